//! Every error that leaves by HTTP: RFC 9457 problem JSON which contains the documented `error`, `message`
//! and `details` (C-20).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use alivio_kernel::{DomainError, ErrorKind, FieldError};
use alivio_metrics::Outcome;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::catalogue::{self, Language};

/// An error on its way out. The edge adds words and the request id.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    details: Option<Value>,
}

/// The result of a handler.
pub(crate) type Result<T> = std::result::Result<T, Problem>;

/// What `result` is to those who count.
pub(crate) fn outcome<T>(result: &Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(problem) if problem.status == StatusCode::TOO_MANY_REQUESTS => Outcome::RateLimited,
        Err(problem) if problem.status.is_server_error() => Outcome::Failed,
        Err(_) => Outcome::Refused,
    }
}

impl Problem {
    /// A problem that no domain knows of.
    pub(crate) const fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, details: None }
    }

    /// The same with facts a client can act on.
    #[must_use]
    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Nobody is signed in.
    pub(crate) const fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated")
    }

    /// There is nothing here.
    pub(crate) const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found")
    }

    /// What an answer without a problem of ours stands for: a framework's own refusal.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
            StatusCode::REQUEST_TIMEOUT => "request_timeout",
            status if status.is_server_error() => "internal_error",
            _ => "bad_request",
        };
        Self::new(status, code)
    }

    /// The same with other details, or another status, if there are any for it.
    pub(crate) fn in_words(
        &self,
        details: fn(&Value) -> Option<Value>,
        status: fn(&str) -> Option<StatusCode>,
    ) -> Option<Self> {
        let (other, status) = (self.details.as_ref().and_then(details), status(self.code));
        if other.is_none() && status.is_none() {
            return None;
        }
        let details = other.or_else(|| self.details.clone());
        Some(Self { status: status.unwrap_or(self.status), code: self.code, details })
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn words(&self, language: Language, request_id: &str) -> ProblemDetails {
        let message = catalogue::message(self.code, language).to_owned();
        ProblemDetails {
            r#type: format!("urn:alivio:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: message.clone(),
            error: self.code.to_owned(),
            message,
            details: self.details.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            request_id: request_id.to_owned(),
        }
    }

    pub(crate) fn respond(&self, language: Language, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        let wait = self.details.as_ref().and_then(|details| details["retry_after"].as_i64());
        match (self.status, wait) {
            (StatusCode::SERVICE_UNAVAILABLE, wait) => {
                response.insert_header((header::RETRY_AFTER, wait.unwrap_or(1)));
            }
            (StatusCode::TOO_MANY_REQUESTS, Some(seconds)) => {
                response.insert_header((header::RETRY_AFTER, seconds));
            }
            _ => {}
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            response.insert_header((header::UPGRADE, HeaderValue::from_static("websocket")));
        }
        response.insert_header((header::CONTENT_LANGUAGE, language.tag()));
        let body = serde_json::to_vec(&self.words(language, request_id)).unwrap_or_default();
        response.content_type("application/problem+json").body(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.respond(Language::default(), "")
    }
}

impl<E: DomainError> From<E> for Problem {
    fn from(error: E) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::Unavailable | ErrorKind::Internal) {
            log_source(&error);
        }
        let status = match kind {
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::NotNow => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, code: error.code(), details: error.details() }
    }
}

/// A field that breaks a rule.
pub(crate) fn invalid(field: FieldError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed").with(field.details())
}

/// Logs an error with all its causes, once, where it leaves.
fn log_source(error: &dyn DomainError) {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    tracing::error!(error.code = error.code(), error.causes = causes.join(": "), "http.failed");
}

/// An error (RFC 9457). Rely on `error`; `message` is for people and comes in the language of
/// `Accept-Language` (es, en).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDetails {
    /// A URN that names the kind of problem.
    #[schema(example = "urn:alivio:problem:validation_failed")]
    r#type: String,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// The same as `message`.
    #[schema(example = "A field has an invalid value.")]
    detail: String,
    /// A stable code.
    #[schema(example = "validation_failed")]
    error: String,
    /// What went wrong, for people.
    #[schema(example = "A field has an invalid value.")]
    message: String,
    /// Facts a client can act on.
    #[schema(value_type = Object, example = json!({"field": "content", "rule": "too_long", "max": 5000}))]
    details: Value,
    /// Quote it to support. Also in the `X-Request-Id` header.
    #[schema(example = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    request_id: String,
}

impl ProblemDetails {
    /// The part that a WebSocket `error` frame carries.
    pub(crate) fn into_frame(self) -> FrameProblem {
        FrameProblem { error: self.error, message: self.message, details: self.details }
    }
}

/// Why a command was refused. Rely on `error`; `message` is for people and comes in the language of `Accept-Language`.
#[derive(Serialize, ToSchema)]
pub(crate) struct FrameProblem {
    /// A stable code.
    #[schema(example = "validation_failed")]
    error: String,
    /// What went wrong, for people.
    #[schema(example = "A field has an invalid value.")]
    message: String,
    /// Facts a client can act on.
    #[schema(value_type = Object, example = json!({"field": "content", "rule": "too_long", "max": 5000}))]
    details: Value,
}
