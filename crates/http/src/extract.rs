//! What handlers take from a request: a caller, a body, a path, a query. Each refuses with a problem.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use alivio_kernel::Caller;
use futures_util::future::LocalBoxFuture;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use crate::problem::{Problem, Result};
use crate::state::State;

/// Whoever is signed in.
pub(crate) struct SignedIn(pub(crate) Caller);

impl FromRequest for SignedIn {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = State::of(request);
        let token = bearer(request.headers()).map(str::to_owned);
        Box::pin(async move {
            let token = token.ok_or_else(Problem::unauthenticated)?;
            Ok(Self(state.platform.accounts.authenticate(&token).await?.caller))
        })
    }
}

/// The token of `Authorization: Bearer …`, if there is one and it could be ours.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A JSON body. Unknown fields are refused by the types themselves.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
            let value = value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
            value.eq_ignore_ascii_case("application/json")
        });
        if !is_json {
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
            return Box::pin(ready(Err(problem)));
        }
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            let bytes =
                bytes.await.map_err(|error| Problem::of_status(error.as_response_error().status_code()))?;
            parse_json(&bytes).map(Self)
        })
    }
}

/// Reads JSON: malformed text is 400, a value that does not fit is 422 and names the field.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        // Some wrong types, of enumerations, are reported as if the text were malformed.
        let is_json =
            || std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        if error.inner().is_data() || is_json() {
            misfit(&path, error.inner())
        } else {
            malformed(error.inner())
        }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json")
        .with(json!({"line": error.line(), "column": error.column()}))
}

/// Tells which field and why, but never its value: serde's own words would quote it.
fn misfit(path: &str, error: &serde_json::Error) -> Problem {
    let words = error.to_string();
    let quoted = || words.split('`').nth(1).unwrap_or("").chars().take(64).collect::<String>();
    let (rule, field) = if words.starts_with("unknown field") {
        ("unknown_field", quoted())
    } else if words.starts_with("missing field") {
        ("missing", quoted())
    } else if words.starts_with("invalid type") || !error.is_data() {
        ("wrong_type", path.to_owned())
    } else {
        ("malformed", path.to_owned())
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed")
        .with(json!({"field": field, "rule": rule}))
}

/// Path parameters; what does not parse is 422.
pub(crate) fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, _| {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed");
        problem.with(json!({"field": "id", "rule": "malformed"})).into()
    })
}

/// Query parameters; what does not parse, or is unknown, is 422.
pub(crate) fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| {
        let words = error.to_string();
        let field: String = words.split('`').nth(1).unwrap_or("query").chars().take(64).collect();
        let rule = if words.contains("unknown field") { "unknown_field" } else { "malformed" };
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed");
        problem.with(json!({"field": field, "rule": rule})).into()
    })
}

/// The client's key for retries, if it sent one.
pub(crate) struct IdempotencyKey(pub(crate) Option<alivio_conversations::IdempotencyKey>);

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parse = |value: &header::HeaderValue| {
            alivio_conversations::IdempotencyKey::parse(value.to_str().unwrap_or("\u{7f}"))
                .map_err(crate::problem::invalid)
        };
        ready(request.headers().get("idempotency-key").map(parse).transpose().map(Self))
    }
}
