//! How often one may ask (C-39).
//!
//! [`CLASSES`] says which limit a route has. Whoever tries credentials is counted by network address, whatever token
//! they send along; everyone else by account if their access token stands for a session that lives, and by address if
//! not. A made-up or ended token opens no bucket of its own and empties nobody else's. IPv6 addresses count by /64, of
//! which one subscriber has as many as they like.
//!
//! Tries of credentials are counted exactly, over all nodes: what they cost anyway, a password hash, is a hundred times as
//! long as it takes to ask. Everything else is counted where it is asked, and nodes tell each other a moment later
//! ([`Precision`]). How, and what if they do not reach each other, is the [`Limiter`](alivio_kernel::Limiter)'s business.

use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use alivio_kernel::{Asker, Precision, Quota, Verdict};

use crate::cookies::Presented;
use crate::extract::{authenticated, origin};
use crate::problem::Problem;
use crate::state::State;

pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
pub(crate) const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Requests per minute.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Tries of credentials, per network address.
    pub credentials: NonZeroU32,
    /// Requests that change something, per account.
    pub writes: NonZeroU32,
    /// Requests that only read, per account.
    pub reads: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            credentials: const { NonZeroU32::new(30).unwrap() },
            writes: const { NonZeroU32::new(300).unwrap() },
            reads: const { NonZeroU32::new(1200).unwrap() },
        }
    }
}

/// Which limit a route has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// None: probes of load balancers, and pages that are the same for everyone.
    Free,
    /// That of [`Rates::credentials`].
    Credentials,
    /// As many as [`Rates::writes`], in a bucket of their own: whoever has spent all others still calls for help.
    Emergency,
    /// That of [`Rates::reads`] or [`Rates::writes`], by method.
    Ordinary,
}

/// The first that is the route's pattern, or stands above it, decides; all others are [`Class::Ordinary`]. What is below
/// `/auth` tries credentials unless it is named here.
const CLASSES: &[(&str, Class)] = &[
    ("/api/v1/auth/invitations", Class::Ordinary),
    ("/api/v1/auth/logout", Class::Ordinary),
    ("/api/v1/auth/logout-all", Class::Ordinary),
    ("/api/v1/auth/me", Class::Ordinary),
    // Nobody guesses a refresh token; a whole clinic behind one address swaps them every few minutes.
    ("/api/v1/auth/refresh", Class::Ordinary),
    ("/api/v1/auth/sessions", Class::Ordinary),
    ("/api/v1/auth", Class::Credentials),
    ("/api/v1/emergencies", Class::Emergency),
    ("/api/v1/health", Class::Free),
    ("/api/health", Class::Free),
    ("/dev", Class::Free),
    ("/docs", Class::Free),
    ("/openapi.json", Class::Free),
    ("/dialects.json", Class::Free),
    ("/asyncapi.json", Class::Free),
];

/// `pattern` is that of the route and not the path as asked for, which has many spellings.
fn class(pattern: &str) -> Class {
    let is_it = |named: &str| {
        pattern.strip_prefix(named).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    CLASSES.iter().find(|(named, _)| is_it(named)).map_or(Class::Ordinary, |(_, class)| *class)
}

/// Whether requests of this route are counted at all.
pub(crate) fn is_limited(pattern: &str) -> bool {
    class(pattern) != Class::Free
}

fn tell(verdict: &Verdict, headers: &mut HeaderMap) {
    headers.insert(LIMIT, HeaderValue::from(verdict.limit));
    headers.insert(REMAINING, HeaderValue::from(verdict.remaining));
    headers.insert(RESET, HeaderValue::from(seconds(verdict.reset)));
    if let Some(wait) = verdict.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait).max(1)));
    }
}

/// As many as it takes, rounded up.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl Rates {
    const fn credentials(&self) -> Quota {
        Quota { name: "credentials", per_minute: self.credentials, precision: Precision::Exact }
    }

    const fn emergencies(&self) -> Quota {
        Quota { name: "emergencies", per_minute: self.writes, precision: Precision::Soon }
    }

    const fn reads(&self) -> Quota {
        Quota { name: "reads", per_minute: self.reads, precision: Precision::Soon }
    }

    const fn writes(&self) -> Quota {
        Quota { name: "writes", per_minute: self.writes, precision: Precision::Soon }
    }
}

/// By the decoded path, as the router does: `/auth/%6Cogin` is `/auth/login`.
fn class_of(request: &ServiceRequest) -> Class {
    let path = request.match_info().as_str();
    request.resource_map().match_pattern(path).map_or_else(|| class(path), |pattern| class(&pattern))
}

/// Counts the request, and refuses it if there were too many.
pub(crate) async fn limit(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let rates = &state.config.rates;
    let (asker, quota) = match class_of(&request) {
        Class::Free => return Ok(next.call(request).await?.map_into_boxed_body()),
        Class::Credentials => (network(request.request()), rates.credentials()),
        Class::Emergency => (whoever_asks(request.request()).await, rates.emergencies()),
        Class::Ordinary => {
            let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
            let quota = if is_read { rates.reads() } else { rates.writes() };
            (whoever_asks(request.request()).await, quota)
        }
    };
    let verdict = state.platform.limiter.take(asker, &quota).await;
    let mut response = if verdict.passes() {
        next.call(request).await?.map_into_boxed_body()
    } else {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
        request.error_response(problem)
    };
    // An answer of its own kind, such as that of a locked account, keeps its own time to wait.
    tell(&verdict, response.headers_mut());
    Ok(response)
}

fn network(request: &HttpRequest) -> Asker {
    Asker::at(origin(request).address)
}

async fn whoever_asks(request: &HttpRequest) -> Asker {
    if let Some(presented) = Presented::of(request)
        && let Ok(live) = authenticated(request, &presented.token).await
    {
        return Asker::Account(live.caller.user_id);
    }
    network(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_the_limit_it_should() {
        for (pattern, expected) in [
            ("/api/v1/auth/login", Class::Credentials),
            ("/api/v1/auth/refresh", Class::Ordinary),
            ("/api/v1/auth/mfa/verify", Class::Credentials),
            ("/api/v1/auth/logout-all", Class::Ordinary),
            ("/api/v1/auth/password/forgot", Class::Credentials),
            ("/api/v1/auth/whatever-comes", Class::Credentials),
            ("/api/v1/auth/me", Class::Ordinary),
            ("/api/v1/auth/menace", Class::Credentials),
            ("/api/v1/auth/sessions/{id}", Class::Ordinary),
            ("/api/v1/conversations/{id}/messages", Class::Ordinary),
            ("/api/v1/health/ready", Class::Free),
            ("/api/v1/healthy", Class::Ordinary),
            ("/docs/{file}", Class::Free),
        ] {
            assert_eq!(class(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn of_the_api_only_health_is_free() {
        for path in crate::openapi().paths.paths.keys() {
            assert_eq!(is_limited(path), !path.contains("/health"), "{path}");
        }
    }
}
