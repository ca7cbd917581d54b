//! Who opens a socket, and from where.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use alivio_accounts::LiveSession;

use crate::extract::{authenticated, bearer};
use crate::problem::{Problem, Result};
use crate::state::{HttpConfig, State};

/// The subprotocol we speak.
pub(super) const PROTOCOL: &str = "alivio.v1";

/// What someone presents at the door.
#[derive(Debug, PartialEq, Eq)]
enum Credential {
    /// An access token.
    Token(String),
    /// A ticket.
    Ticket(String),
}

impl Credential {
    /// Tickets are told by their prefix.
    fn of(secret: &str) -> Self {
        if secret.starts_with("alt_") {
            Self::Ticket(secret.to_owned())
        } else {
            Self::Token(secret.to_owned())
        }
    }
}

/// Header first, then subprotocol, then the query parameter `parameter`.
fn credential(request: &HttpRequest, parameter: &str) -> Result<Credential> {
    if let Some(token) = bearer(request.headers()) {
        return Ok(Credential::Token(token.to_owned()));
    }
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    for protocol in offered.flat_map(|value| value.split(',')).map(str::trim) {
        if let Some(token) = protocol.strip_prefix("bearer.") {
            return Ok(Credential::Token(token.to_owned()));
        }
        if let Some(ticket) = protocol.strip_prefix("ticket.") {
            return Ok(Credential::Ticket(ticket.to_owned()));
        }
    }
    let pairs = request.query_string().split('&').filter_map(|pair| pair.split_once('='));
    let secret = pairs.into_iter().find(|(name, _)| *name == parameter).map(|(_, value)| value);
    match secret.map(Credential::of) {
        // Only the documented socket takes a token in its address, where it may end up in logs.
        Some(Credential::Token(_)) if parameter == "ticket" => {
            Err(Problem::new(StatusCode::UNAUTHORIZED, "invalid_ticket"))
        }
        Some(credential) => Ok(credential),
        None => Err(Problem::unauthenticated()),
    }
}

/// Whose socket it is to be, by what a header presents or the query parameter `parameter`.
pub(crate) async fn whose(request: &HttpRequest, parameter: &str) -> Result<LiveSession> {
    Ok(match credential(request, parameter)? {
        Credential::Token(token) => authenticated(request, &token).await?.full()?,
        Credential::Ticket(ticket) => State::of(request).platform.accounts.redeem_ticket(&ticket).await?,
    })
}

/// Refuses web pages of other origins. Programs that are not browsers send no `Origin`, and cannot be
/// made to act for someone else.
pub(crate) fn check_origin(request: &HttpRequest, config: &HttpConfig) -> Result<()> {
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("");
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let own = origin
        .split_once("://")
        .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && !host.is_empty() && rest == host);
    if own || config.allowed_origins.iter().any(|allowed| allowed == origin) {
        Ok(())
    } else {
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden_origin"))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn three_ways_to_present_a_credential() {
        let header = TestRequest::default().insert_header(("Authorization", "bearer abc")).to_http_request();
        assert_eq!(credential(&header, "ticket").unwrap(), Credential::Token("abc".into()));
        let protocol = TestRequest::default()
            .insert_header(("Sec-WebSocket-Protocol", "alivio.v1, ticket.alt_1"))
            .to_http_request();
        assert_eq!(credential(&protocol, "ticket").unwrap(), Credential::Ticket("alt_1".into()));
        let query = TestRequest::with_uri("/ws?ticket=alt_2").to_http_request();
        assert_eq!(credential(&query, "ticket").unwrap(), Credential::Ticket("alt_2".into()));
    }

    #[test]
    fn only_the_documented_socket_takes_a_token_in_its_address() {
        let request = TestRequest::with_uri("/ws?ticket=eyJ.e30.c2ln").to_http_request();
        assert!(credential(&request, "ticket").is_err());
        let documented = TestRequest::with_uri("/ws/chat/1?token=eyJ.e30.c2ln").to_http_request();
        assert_eq!(credential(&documented, "token").unwrap(), Credential::Token("eyJ.e30.c2ln".into()));
        assert!(credential(&TestRequest::default().to_http_request(), "token").is_err());
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let config =
            HttpConfig { allowed_origins: vec!["https://app.example".into()], ..HttpConfig::default() };
        let check = |origin: &str| {
            let request = TestRequest::default()
                .insert_header(("Host", "api.example"))
                .insert_header(("Origin", origin));
            check_origin(&request.to_http_request(), &config).is_ok()
        };
        assert!(check("https://app.example") && check("https://api.example"));
        for evil in [
            "null",
            "https://evil.example",
            "https://app.example.evil",
            "https://api.example:1",
            "ftp://api.example",
        ] {
            assert!(!check(evil), "{evil}");
        }
        assert!(check_origin(&TestRequest::default().to_http_request(), &config).is_ok());
    }
}
