//! What handlers take from a request: a caller, a body, a path, a query. Each refuses with a problem.

use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, X_FORWARDED_FOR};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use alivio_accounts::LiveSession;
use alivio_kernel::{Caller, Origin};
use futures_util::future::LocalBoxFuture;
use ipnet::IpNet;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use crate::cookies::Presented;
use crate::problem::{Problem, Result};
use crate::state::State;

/// More of a `User-Agent` is not kept.
const DEVICE_MAX: usize = 200;

/// Whoever is signed in.
pub(crate) struct SignedIn(pub(crate) Caller);

impl FromRequest for SignedIn {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Ok(Self(live_session(&request).await?.full()?.caller)) })
    }
}

/// Whoever is signed in, or on the way there by the step that their session is for. The few use-cases that take it
/// look at the stage themselves.
pub(crate) struct InStep(pub(crate) LiveSession);

impl FromRequest for InStep {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Ok(Self(live_session(&request).await?)) })
    }
}

/// The session that a request belongs to, if no other page made the browser ask.
async fn live_session(request: &HttpRequest) -> Result<LiveSession> {
    let presented = Presented::of(request).ok_or_else(Problem::unauthenticated)?;
    let live = authenticated(request, &presented.token).await?;
    presented.check(&State::of(request), live.caller.session_id)?;
    let address = origin(request).address;
    Ok(LiveSession { caller: Caller { address, ..live.caller }, ..live })
}

/// What [`authenticated`] found before.
struct Authenticated {
    token: String,
    live: LiveSession,
}

/// Whose token it is that came with a request: verified once, however many want to know.
pub(crate) async fn authenticated(
    request: &HttpRequest,
    token: &str,
) -> std::result::Result<LiveSession, alivio_accounts::Error> {
    if let Some(before) = request.extensions().get::<Authenticated>()
        && before.token == token
    {
        return Ok(before.live);
    }
    let live = State::of(request).platform.accounts.authenticate_any(token).await?;
    request.extensions_mut().insert(Authenticated { token: token.to_owned(), live });
    Ok(live)
}

/// From where a request comes.
pub(crate) struct Asked(pub(crate) Origin);

impl FromRequest for Asked {
    type Error = Problem;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(origin(request))))
    }
}

/// The one place that decides where a request comes from.
pub(crate) fn origin(request: &HttpRequest) -> Origin {
    let device = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    Origin {
        address: client_address(peer, request.headers(), &State::of(request).config.trusted_proxies),
        device: device.map(|device| device.chars().take(DEVICE_MAX).collect()),
    }
}

/// The peer, unless it is a trusted proxy: then whoever the proxies say they speak for (AU-15). Each appends the address
/// it was asked from to `X-Forwarded-For`, so the right-most that is not a trusted proxy is the last one that nobody
/// could make up; what stands left of it is anyone's claim.
fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut client = peer?;
    let hops: Vec<_> = headers.get_all(X_FORWARDED_FOR).map(|value| value.to_str().unwrap_or("")).collect();
    for hop in hops.iter().rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        // What cannot be read was not written by a proxy of ours: nothing before it counts.
        let Some(address) = hop_address(hop.trim()) else { break };
        client = address;
    }
    Some(client)
}

/// Some proxies add the port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
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
    // Serde would read a struct from a list as well.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(invalid_body(".", "wrong_type"));
    }
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
    invalid_body(&field, rule)
}

pub(crate) fn invalid_body(field: &str, rule: &str) -> Problem {
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

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const TRUSTED: [&str; 3] = ["10.0.0.0/8", "127.0.0.1/32", "2001:db8:1::/48"];

    /// `peer` asks with these values of `X-Forwarded-For`.
    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(Some(peer.parse().unwrap()), &headers, &trusted).unwrap().to_string()
    }

    #[test]
    fn a_list_is_no_object_even_if_all_fields_may_be_missing() {
        #[derive(Debug, serde::Deserialize)]
        struct Patch {
            #[expect(dead_code, reason = "only read")]
            name: Option<String>,
        }
        parse_json::<Patch>(b"{}").unwrap();
        for list in ["[null]", " [\"x\"]"] {
            assert_eq!(parse_json::<Patch>(list.as_bytes()).unwrap_err().code(), "validation_failed");
        }
    }

    #[test]
    fn a_peer_that_nobody_trusts_is_the_client_whatever_it_says() {
        for forged in ["192.0.2.9", "127.0.0.1", "10.0.0.1", "::1", "192.0.2.9, 10.0.0.1", "", "garbage"] {
            assert_eq!(client("203.0.113.5", &[forged], &TRUSTED), "203.0.113.5", "{forged}");
            assert_eq!(client("127.0.0.1", &[forged], &[]), "127.0.0.1", "{forged}");
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_what_stands_before_its_word_is_not() {
        assert_eq!(client("10.0.0.1", &["203.0.113.5"], &TRUSTED), "203.0.113.5");
        // The client sent the first itself; the proxy appended the second.
        assert_eq!(client("10.0.0.1", &["192.0.2.9, 203.0.113.5"], &TRUSTED), "203.0.113.5");
        assert_eq!(client("10.0.0.1", &["127.0.0.1, 203.0.113.5"], &TRUSTED), "203.0.113.5");
        // Two proxies; one header or two.
        assert_eq!(client("10.0.0.1", &["192.0.2.9, 203.0.113.5, 10.0.0.2"], &TRUSTED), "203.0.113.5");
        assert_eq!(client("10.0.0.1", &["192.0.2.9", "203.0.113.5", "10.0.0.2"], &TRUSTED), "203.0.113.5");
        assert_eq!(client("2001:db8:1::1", &["2001:db8:2::7"], &TRUSTED), "2001:db8:2::7");
    }

    #[test]
    fn without_a_word_that_can_be_read_the_last_proxy_is_the_client() {
        assert_eq!(client("10.0.0.1", &[], &TRUSTED), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[""], &TRUSTED), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9, unknown"], &TRUSTED), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9, unknown, 10.0.0.2"], &TRUSTED), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &["\u{ff}\u{fe}"], &TRUSTED), "10.0.0.1");
        // All are ours: someone within asks.
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &TRUSTED), "10.0.0.3");
    }

    #[test]
    fn addresses_are_read_in_every_usual_spelling() {
        for (spelt, read) in [
            ("203.0.113.5:51234", "203.0.113.5"),
            ("[2001:db8:2::7]:443", "2001:db8:2::7"),
            ("[2001:db8:2::7]", "2001:db8:2::7"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
        ] {
            assert_eq!(client("10.0.0.1", &[spelt], &TRUSTED), read, "{spelt}");
        }
        // A proxy that reaches us by a mapped address is the same proxy.
        assert_eq!(client("10.0.0.1", &["203.0.113.5, ::ffff:10.0.0.2"], &TRUSTED), "203.0.113.5");
    }
}
