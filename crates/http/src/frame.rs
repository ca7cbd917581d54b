//! What surrounds every request: its id, its log line, its deadline, and problems put into words.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, HeaderName, HeaderValue, ORIGIN, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::{Error, web};
use alivio_kernel::{IdSource, SystemIds};
use alivio_metrics::{Method as MethodName, Status, http as metrics};

use crate::catalogue::{self, Language};
use crate::files;
use crate::problem::Problem;
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// No handler takes so long unless something it needs hangs.
const DEADLINE: Duration = Duration::from_secs(20);
/// Longer than any upload at the slowest pace that it may have.
const UPLOAD_DEADLINE: Duration = Duration::from_hours(24);

/// Headers of every answer: nothing of it is kept by caches, guessed at, framed or told to others.
const SECURITY_HEADERS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("strict-transport-security", "max-age=63072000; includeSubDomains"),
];

pub(crate) fn security_headers() -> DefaultHeaders {
    SECURITY_HEADERS.into_iter().fold(DefaultHeaders::new(), DefaultHeaders::add)
}

/// Gives the request an id, logs it without its query or body, and puts problems into words.
pub(crate) async fn around(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request_id(&request);
    let language = catalogue::negotiate(request.headers());
    let method = request.method().clone();
    // A page that may call us may also read how it failed.
    let page = request.headers().get(ORIGIN).filter(|page| {
        state.config.allowed_origins.iter().any(|allowed| allowed.as_bytes() == page.as_bytes())
    });
    let page = page.cloned();

    // Uploads take as long as they take, while they come.
    let deadline = if files::is_upload(&method, request.path()) { UPLOAD_DEADLINE } else { DEADLINE };
    let mut response = match tokio::time::timeout(deadline, next.call(request)).await {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        Ok(Err(error)) => {
            let fallback = Problem::of_status(error.as_response_error().status_code());
            measure(&method, None, fallback.status(), started);
            return Err(bare(error.as_error::<Problem>().unwrap_or(&fallback), language, &id, page));
        }
        Err(_) => {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
            measure(&method, None, problem.status(), started);
            return Err(bare(&problem, language, &id, page));
        }
    };
    if let Some(words) = reword(&response, language, &id) {
        response = response.into_response(words);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().match_pattern();
    tracing::info!(
        request.id = %id,
        http.method = %method,
        http.route = route.as_deref().unwrap_or("-"),
        http.status = response.status().as_u16(),
        duration_ms = started.elapsed().as_millis(),
        "http.request"
    );
    measure(&method, route, response.status(), started);
    Ok(response)
}

/// `route` is a pattern, of which there are as many as we have routes; whatever else is asked for is one and the same.
fn measure(method: &Method, route: Option<String>, status: StatusCode, started: Instant) {
    if status == StatusCode::TOO_MANY_REQUESTS {
        metrics::RATE_LIMITED.increment(1);
    }
    let method = MethodName::named(method.as_str()).unwrap_or(MethodName::Other).value();
    let status = Status::of(status.as_u16()).value();
    let route = route.map_or("other".into(), Cow::Owned);
    metrics::REQUESTS.of([method.into(), route, status.into()]).record(started.elapsed());
}

/// An answer for a request that is no longer at hand. It left the inner layers as an error, so what they add to answers
/// is added here.
fn bare(problem: &Problem, language: Language, id: &str, page: Option<HeaderValue>) -> Error {
    tracing::warn!(request.id = %id, error.code = %problem, "http.request_failed");
    let mut response = problem.respond(language, id);
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(page) = page {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
        if let Ok(exposed) = HeaderValue::from_str(&crate::EXPOSED.join(", ")) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the answer to a request that failed within carries.
    fn names(page: Option<&str>) -> Vec<String> {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
        let page = page.map(|page| HeaderValue::from_str(page).unwrap());
        let error = bare(&problem, Language::English, "id-1", page);
        let response = error.as_response_error().error_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        response.headers().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn an_answer_from_without_is_dressed_like_all_others() {
        let plain = names(None);
        for (name, _) in SECURITY_HEADERS {
            assert!(plain.iter().any(|n| n == name), "{name}");
        }
        for name in ["x-request-id", "retry-after", "content-type", "vary"] {
            assert!(plain.iter().any(|n| n == name), "{name}");
        }
        let cors = ["access-control-allow-origin", "access-control-expose-headers"];
        let for_page = names(Some("https://app.clinic.example"));
        for name in cors {
            assert!(!plain.iter().any(|n| n == name) && for_page.iter().any(|n| n == name), "{name}");
        }
    }
}
