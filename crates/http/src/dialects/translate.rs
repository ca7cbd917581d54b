//! Serves a documented path as its canonical route, and puts what goes in and comes out into the right words.

use std::sync::LazyLock;

use actix_router::{Path, ResourceDef};
use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use actix_web::http::uri::{PathAndQuery, Uri};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, web};
use alivio_kernel::{FieldError, Rule};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::row::{Asked, Row, Show};
use super::s0;
use super::table::{ROWS, S0};
use crate::extract::{Body, SignedIn};
use crate::problem::{Problem, Result as Answer, invalid};
use crate::state::State;

/// RFC 9745: since when a path is deprecated, as a structured date. Ours were from the beginning.
const DEPRECATION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("deprecation"), HeaderValue::from_static("@1795219200"));

/// No other path is documented: most requests need no further look.
const PREFIXES: [&str; 4] = ["/api/auth/", "/api/chat/", "/api/messages/", "/api/v1/chat/"];

static PATTERNS: LazyLock<Vec<ResourceDef>> =
    LazyLock::new(|| ROWS.iter().map(|row| ResourceDef::new(row.from.1)).collect());

/// Serves a documented path as its canonical route, and says which that is.
pub(crate) async fn translate(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some((row, mut asked)) = find(request.method(), request.path()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    asked.query = Asked::parse_query(request.query_string());
    let mut response = match put(row, &mut asked, &mut request).await {
        Ok(()) => {
            let response = next.call(request).await?.map_into_boxed_body();
            match row.show {
                _ if !response.status().is_success() => present_problem(response, row),
                Some(show) => present(response, show).await,
                None => response,
            }
        }
        // Who is not signed in is told so first, as everywhere.
        Err(problem) => {
            let problem = request.extract::<SignedIn>().await.err().unwrap_or(problem);
            request.error_response(problem)
        }
    };
    response.headers_mut().insert(DEPRECATION.0, DEPRECATION.1);
    let link = format!("<{}>; rel=\"successor-version\"", asked.fill(row.to.1));
    if let Ok(link) = HeaderValue::try_from(link) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// The canonical path names the message only, the documented one its room, too.
struct Within {
    room: String,
    message: String,
}

/// Lets a request pass that names a message in its room. Closer to the handlers than the limits: it looks.
pub(crate) async fn within(
    state: web::Data<State>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let named = request.extensions_mut().remove::<Within>();
    if let Some(Within { room, message }) = named {
        let found = async {
            let SignedIn(caller) = request.extract::<SignedIn>().await?;
            let malformed = |_| invalid(FieldError::new("id", Rule::Malformed));
            let room: Uuid = room.parse().map_err(malformed)?;
            let message: Uuid = message.parse().map_err(malformed)?;
            state.platform.screens.one(&caller, Some(room.into()), message.into()).await?;
            Ok::<_, Problem>(())
        };
        if let Err(problem) = found.await {
            return Ok(request.error_response(problem));
        }
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// The row of a documented method and path, and the named segments.
fn find(method: &Method, path: &str) -> Option<(&'static Row, Asked)> {
    if !PREFIXES.iter().any(|prefix| path.starts_with(prefix)) {
        return None;
    }
    let path = path.trim_end_matches('/');
    // A path without parameters comes first, as in routing: the table has `search` before `{id}`.
    ROWS.iter().zip(PATTERNS.iter()).find_map(|(row, pattern)| {
        let mut found = Path::new(path);
        if row.from.0 != *method || !pattern.capture_match_info(&mut found) {
            return None;
        }
        let named = found.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some((row, Asked { path: named.collect(), ..Asked::default() }))
    })
}

/// Puts the request into canonical words.
async fn put(row: &Row, asked: &mut Asked, request: &mut ServiceRequest) -> Answer<()> {
    if row.reads_body() {
        asked.body = request.extract::<Body<Map<String, Value>>>().await?.0;
    }
    if let Some(ask) = row.ask {
        ask(asked).map_err(invalid)?;
    }
    if row.writes {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    if row.writes || row.reads_body() {
        let body = serde_json::to_vec(&asked.body).unwrap_or_default();
        request.set_payload(Payload::from(Bytes::from(body)));
    }
    if let (Some(room), Some(message)) = (asked.path.get("room_id"), asked.path.get("id"))
        && !row.to.1.contains("{room_id}")
    {
        let within = Within { room: room.clone(), message: message.clone() };
        request.extensions_mut().insert(within);
    }
    readdress(request, row.to.0.clone(), &asked.fill(row.to.1), &asked.write_query());
    Ok(())
}

fn readdress(request: &mut ServiceRequest, method: Method, path: &str, query: &str) {
    let target = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let mut parts = request.head().uri.clone().into_parts();
    let Ok(target) = PathAndQuery::try_from(target) else { return };
    parts.path_and_query = Some(target);
    let Ok(uri) = Uri::from_parts(parts) else { return };
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
    request.head_mut().method = method;
}

/// Puts a problem into documented words.
fn present_problem(response: ServiceResponse<BoxBody>, row: &Row) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    match problem.filter(|_| row.source == S0).and_then(|problem| problem.in_words(s0::details, s0::status)) {
        Some(problem) => ServiceResponse::from_err(problem, response.into_parts().0),
        None => response,
    }
}

/// Puts a good answer into documented words.
async fn present(response: ServiceResponse<BoxBody>, show: Show) -> ServiceResponse<BoxBody> {
    let json = HeaderValue::from_static("application/json");
    // What is only accepted is not yet what the document shows.
    let is_shown = response.status() != StatusCode::ACCEPTED;
    if !is_shown || response.headers().get(CONTENT_TYPE) != Some(&json) {
        return response;
    }
    let (request, response) = response.into_parts();
    let (response, body) = response.into_parts();
    let shown = to_bytes(body).await.ok().and_then(|canonical| {
        let canonical: Value = serde_json::from_slice(&canonical).ok()?;
        serde_json::to_vec(&show(&canonical)).ok()
    });
    match shown {
        Some(shown) => ServiceResponse::new(request, response.set_body(BoxBody::new(shown))),
        None => {
            let problem = Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
            ServiceResponse::from_err(problem, request)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressed(method: &Method, path: &str) -> Option<(Method, String)> {
        let (row, mut asked) = find(method, path)?;
        if let Some(ask) = row.ask.filter(|_| !row.reads_body()) {
            ask(&mut asked).unwrap();
        }
        Some((row.to.0.clone(), asked.fill(row.to.1)))
    }

    #[test]
    fn every_row_is_looked_at() {
        for row in ROWS {
            assert!(PREFIXES.iter().any(|prefix| row.from.1.starts_with(prefix)), "{}", row.from.1);
            let found = find(&row.from.0, &row.from.1.replace(['{', '}'], "")).unwrap().0;
            assert_eq!(found.from.1, row.from.1, "another row comes first");
        }
    }

    #[test]
    fn segments_are_carried_over_and_slashes_at_the_end_do_not_matter() {
        let found = addressed(&Method::POST, "/api/chat/contacts/7/block/");
        assert_eq!(found, Some((Method::POST, "/api/v1/blocks/7".to_owned())));
        let found = addressed(&Method::GET, "/api/chat/users/search");
        assert_eq!(found, Some((Method::GET, "/api/v1/users".to_owned())));
        let found = addressed(&Method::DELETE, "/api/chat/rooms/7/participants/8");
        assert_eq!(found, Some((Method::DELETE, "/api/v1/conversations/7/participants/8".to_owned())));
        assert_eq!(addressed(&Method::GET, "/api/chat/contacts/7/block"), None);
        assert_eq!(addressed(&Method::GET, "/api/chat/users/7/8"), None);
        assert_eq!(addressed(&Method::GET, "/api/v1/conversations"), None);
    }
}
