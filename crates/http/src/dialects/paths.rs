//! Documented paths that ask for the same as a canonical route, with the same bodies: one row each (C-2).

use std::sync::LazyLock;

use actix_router::{Path, ResourceDef};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue, LINK};
use actix_web::http::uri::{PathAndQuery, Uri};
use actix_web::middleware::Next;

/// RFC 9745: since when a path is deprecated, as a structured date. Ours were from the beginning.
const DEPRECATION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("deprecation"), HeaderValue::from_static("@1795219200"));

/// Documented method and path, canonical method and path. `{id}` stands for one segment.
const PATHS: &[(Method, &str, Method, &str)] = &[
    (Method::POST, "/api/auth/register", Method::POST, "/api/v1/auth/register"),
    (Method::POST, "/api/auth/login", Method::POST, "/api/v1/auth/login"),
    (Method::POST, "/api/auth/logout", Method::POST, "/api/v1/auth/logout"),
    (Method::POST, "/api/auth/refresh", Method::POST, "/api/v1/auth/refresh"),
    (Method::GET, "/api/auth/profile", Method::GET, "/api/v1/me/profile"),
    (Method::PUT, "/api/auth/profile", Method::PUT, "/api/v1/me/profile"),
    (Method::POST, "/api/auth/forgot-password", Method::POST, "/api/v1/auth/password/forgot"),
    (Method::POST, "/api/auth/reset-password", Method::POST, "/api/v1/auth/reset-password"),
    (Method::GET, "/api/chat/users", Method::GET, "/api/v1/users"),
    (Method::GET, "/api/chat/users/search", Method::GET, "/api/v1/users"),
    (Method::GET, "/api/chat/users/filter", Method::GET, "/api/v1/users"),
    (Method::GET, "/api/chat/users/{id}", Method::GET, "/api/v1/users/{id}"),
    (Method::PUT, "/api/chat/users/{id}", Method::PATCH, "/api/v1/users/{id}"),
    (Method::GET, "/api/chat/users/{id}/status", Method::GET, "/api/v1/users/{id}/presence"),
    (Method::PUT, "/api/chat/users/{id}/status", Method::PUT, "/api/v1/users/{id}/presence"),
    (Method::GET, "/api/chat/contacts", Method::GET, "/api/v1/contacts"),
    (Method::POST, "/api/chat/contacts", Method::POST, "/api/v1/contacts"),
    (Method::GET, "/api/chat/contacts/{id}", Method::GET, "/api/v1/contacts/{id}"),
    (Method::PUT, "/api/chat/contacts/{id}", Method::PUT, "/api/v1/contacts/{id}"),
    (Method::DELETE, "/api/chat/contacts/{id}", Method::DELETE, "/api/v1/contacts/{id}"),
    (Method::POST, "/api/chat/contacts/{id}/favorite", Method::PUT, "/api/v1/contacts/{id}/favorite"),
    (Method::DELETE, "/api/chat/contacts/{id}/favorite", Method::DELETE, "/api/v1/contacts/{id}/favorite"),
    (Method::POST, "/api/chat/contacts/{id}/block", Method::POST, "/api/v1/blocks/{id}"),
    (Method::DELETE, "/api/chat/contacts/{id}/block", Method::DELETE, "/api/v1/blocks/{id}"),
    (Method::POST, "/api/chat/emergency", Method::POST, "/api/v1/emergencies"),
    (Method::GET, "/api/v1/chat/online-status", Method::GET, "/api/v1/presence"),
    (Method::GET, "/api/v1/chat/online-status/my_status", Method::GET, "/api/v1/me/presence"),
];

/// A query's name that means another in a documented path: there, a role is what someone's title says (C-6).
const TITLES: [&str; 2] = ["/api/chat/users/filter", "/api/chat/users"];

static PATTERNS: LazyLock<Vec<ResourceDef>> =
    LazyLock::new(|| PATHS.iter().map(|(_, documented, ..)| ResourceDef::new(*documented)).collect());

/// Serves a documented path as its canonical route, and says which that is.
pub(crate) async fn translate(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some((method, path)) = canonical(request.method(), request.path()) else {
        return next.call(request).await;
    };
    let link = HeaderValue::try_from(format!("<{path}>; rel=\"successor-version\""));
    let query = query(request.path(), request.query_string());
    readdress(&mut request, method, &path, &query);
    let mut response = next.call(request).await?;
    response.headers_mut().insert(DEPRECATION.0, DEPRECATION.1);
    if let Ok(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

fn canonical(method: &Method, path: &str) -> Option<(Method, String)> {
    let path = path.trim_end_matches('/');
    // A path without parameters comes first, as in routing: the table has `search` before `{id}`.
    let (index, id) = PATTERNS.iter().enumerate().find_map(|(index, pattern)| {
        let mut found = Path::new(path);
        let matches = PATHS[index].0 == *method && pattern.capture_match_info(&mut found);
        matches.then(|| (index, found.get("id").map(str::to_owned)))
    })?;
    let (_, _, method, template) = &PATHS[index];
    Some((method.clone(), template.replace("{id}", id.as_deref().unwrap_or_default())))
}

/// The query in canonical words.
fn query(documented: &str, query: &str) -> String {
    if !TITLES.contains(&documented.trim_end_matches('/')) {
        return query.to_owned();
    }
    let word = |pair: &str| match pair.strip_prefix("role=") {
        Some(title) => format!("title={title}"),
        None => pair.to_owned(),
    };
    query.split('&').map(word).collect::<Vec<_>>().join("&")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_leads_to_a_route_of_the_document() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        for (_, documented, method, path) in PATHS {
            let paths = document["paths"].as_object().unwrap();
            let served = paths.iter().any(|(canonical, item)| {
                ResourceDef::new(canonical.as_str()).is_match(&path.replace("{id}", "x"))
                    && item.get(method.as_str().to_lowercase()).is_some()
            });
            assert!(served, "{documented} leads to {method} {path}, which there is not");
        }
    }

    #[test]
    fn the_documented_role_of_a_professional_is_their_title() {
        let filter = query("/api/chat/users/filter", "role=GP&institution=Sur");
        assert_eq!(filter, "title=GP&institution=Sur");
        assert_eq!(query("/api/chat/contacts", "role=GP"), "role=GP");
    }

    #[test]
    fn segments_are_carried_over_and_slashes_at_the_end_do_not_matter() {
        let found = canonical(&Method::POST, "/api/chat/contacts/7/block/");
        assert_eq!(found, Some((Method::POST, "/api/v1/blocks/7".to_owned())));
        let found = canonical(&Method::GET, "/api/chat/users/search");
        assert_eq!(found, Some((Method::GET, "/api/v1/users".to_owned())));
        assert_eq!(canonical(&Method::GET, "/api/chat/contacts/7/block"), None);
        assert_eq!(canonical(&Method::GET, "/api/chat/users/7/8"), None);
    }
}
