//! What surrounds every request: its id, its log line, its deadline, and problems put into words.

use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{DefaultHeaders, Next};
use alivio_kernel::{IdSource, SystemIds};

use crate::catalogue::Language;
use crate::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// No handler takes so long unless something it needs hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// Headers of every answer: nothing of it is kept by caches, guessed at, framed or told to others.
pub(crate) fn security_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add(("cache-control", "no-store"))
        .add(("x-content-type-options", "nosniff"))
        .add(("x-frame-options", "DENY"))
        .add(("referrer-policy", "no-referrer"))
        .add(("content-security-policy", "default-src 'none'; frame-ancestors 'none'"))
        .add(("cross-origin-resource-policy", "same-origin"))
        .add(("strict-transport-security", "max-age=63072000; includeSubDomains"))
}

/// Gives the request an id, logs it without its query or body, and puts problems into words.
pub(crate) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request_id(&request);
    let language = Language::negotiate(request.headers());
    let method = request.method().clone();

    let mut response = match tokio::time::timeout(DEADLINE, next.call(request)).await {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        Ok(Err(error)) => {
            let fallback = Problem::of_status(error.as_response_error().status_code());
            return Err(bare(error.as_error::<Problem>().unwrap_or(&fallback), language, &id));
        }
        Err(_) => {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
            return Err(bare(&problem, language, &id));
        }
    };
    if let Some(words) = reword(&response, language, &id) {
        response = response.into_response(words);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    tracing::info!(
        request.id = %id,
        http.method = %method,
        http.route = response.request().match_pattern().as_deref().unwrap_or("-"),
        http.status = response.status().as_u16(),
        duration_ms = started.elapsed().as_millis(),
        "http.request"
    );
    Ok(response)
}

/// An answer for a request that is no longer at hand.
fn bare(problem: &Problem, language: Language, id: &str) -> Error {
    tracing::warn!(request.id = %id, error.code = %problem, "http.request_failed");
    let mut response = problem.respond(language, id);
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    InternalError::from_response("request failed", response).into()
}

/// The answer in the caller's language, if it carries a problem or a framework's own error.
fn reword(
    response: &ServiceResponse<BoxBody>,
    language: Language,
    id: &str,
) -> Option<actix_web::HttpResponse> {
    let error = response.response().error()?;
    let fallback = Problem::of_status(response.status());
    let problem = error.as_error::<Problem>().unwrap_or(&fallback);
    let mut words = problem.respond(language, id);
    for (name, value) in response.headers() {
        if !words.headers().contains_key(name) {
            words.headers_mut().append(name.clone(), value.clone());
        }
    }
    Some(words)
}

/// The client's own id for the request if it is harmless in a log, or a new one.
fn request_id(request: &ServiceRequest) -> String {
    let harmless = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(harmless);
    given.map_or_else(|| SystemIds.uuid().to_string(), str::to_owned)
}
