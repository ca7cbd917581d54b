//! The OpenAPI document, made from the routes themselves, and what can be told from it.

use std::collections::HashMap;
use std::collections::btree_map::Entry;

use actix_router::ResourceDef;
use actix_web::http::Method;
use actix_web::web::Bytes;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{HttpMethod, OpenApi as Api, PathItem, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use crate::{rate_limit, responses};

/// What the document says before any route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Alivio",
        description = "Secure conversations between patients and professionals.\n\nSign in with `POST /api/v1/auth/login`, \
            then send `Authorization: Bearer <access_token>`; web pages may use cookies instead (see `login`). Errors are problem JSON (RFC 9457): rely on `error`, show \
            `message`, which comes in Spanish or English by `Accept-Language`. Unknown fields are refused. What you may \
            not see answers 404, as if it did not exist. Instants are UTC (RFC 3339).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "Accounts", description = "Signing in and out."),
        (name = "People", description = "Profiles, pictures and the directory."),
        (name = "Credentials", description = "Professionals, and whether their credentials are genuine."),
        (name = "Contacts", description = "Whom you know, and of whom you want nothing."),
        (name = "Presence", description = "Who is here."),
        (name = "Conversations", description = "Who talks to whom."),
        (name = "Messages", description = "What was said."),
        (name = "Files", description = "What people hand each other."),
        (name = "Realtime", description = "What happens, as it happens."),
        (name = "Administration", description = "Accounts, the audit trail, and reading in an emergency."),
        (name = "Operations", description = "How the server is."),
    ),
    components(
        schemas(crate::problem::ProblemDetails),
        responses(
            responses::Malformed, responses::Unauthenticated, responses::Forbidden, responses::Forged,
            responses::NotFound, responses::TooLarge, responses::NotJson, responses::Invalid,
            responses::RateLimited, responses::Unavailable, responses::MalformedOrClosed, responses::PaceExceeded,
        ),
    ),
    modifiers(&Schemes),
)]
pub(crate) struct Base;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, api: &mut Api) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The `access_token` of a sign-in. Good for ten minutes."))
            .build();
        if let Some(components) = &mut api.components {
            components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
            let cookie = ApiKeyValue::with_description(
                crate::cookies::SESSION,
                "Set by a sign-in with `X-Alivio-Session: cookie`. Requests other than `GET` need `X-CSRF-Token` too.",
            );
            components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
            let link =
                ApiKeyValue::with_description("link", "The secret of a link of `POST /files/{id}/link`.");
            components.add_security_scheme("link", SecurityScheme::ApiKey(ApiKey::Query(link)));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.head, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .flatten()
}

/// Whatever takes a token in a header takes it in a cookie. Sockets do not: any page may open one, and its browser
/// would add the cookie.
pub(crate) fn accept_cookies(api: &mut Api) {
    let requirement = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    for item in api.paths.paths.values_mut() {
        for operation in operations(item) {
            if let Some(security) = &mut operation.security
                && *security == [requirement("bearer")]
            {
                security.push(requirement("cookie"));
            }
            if operation.security.is_some() {
                refuse(operation);
            }
        }
    }
}

/// Whatever needs a sign-in may be refused because it is not complete, or because another page made the browser ask.
fn refuse(operation: &mut Operation) {
    match operation.responses.responses.entry("403".to_owned()) {
        Entry::Vacant(none) => drop(none.insert(RefOr::Ref(Ref::from_response_name("Forbidden")))),
        Entry::Occupied(mut some) => {
            if let RefOr::T(response) = some.get_mut() {
                response.description.push_str("; `step_required`, `csrf_token_invalid`: as everywhere.");
            }
        }
    }
}

/// Every operation that is counted may be refused for it.
pub(crate) fn add_rate_limits(api: &mut Api) {
    for (path, item) in &mut api.paths.paths {
        if !rate_limit::is_limited(path) {
            continue;
        }
        for operation in operations(item) {
            let refused = || RefOr::Ref(Ref::from_response_name("RateLimited"));
            operation.responses.responses.entry("429".to_owned()).or_insert_with(refused);
        }
    }
}

/// The document as served, and the methods of each path.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) json: Bytes,
    /// Those of paths without parameters.
    plain: HashMap<String, Vec<Method>>,
    /// Those of the others.
    patterns: Vec<(ResourceDef, Vec<Method>)>,
}

impl Document {
    pub(crate) fn new(api: &Api) -> Self {
        let (mut plain, mut patterns) = (HashMap::new(), Vec::new());
        for (path, item) in &api.paths.paths {
            let operations = [
                (HttpMethod::Get, &item.get, Method::GET),
                (HttpMethod::Head, &item.head, Method::HEAD),
                (HttpMethod::Put, &item.put, Method::PUT),
                (HttpMethod::Post, &item.post, Method::POST),
                (HttpMethod::Delete, &item.delete, Method::DELETE),
                (HttpMethod::Patch, &item.patch, Method::PATCH),
            ];
            let present = operations.into_iter().filter(|(_, operation, _)| operation.is_some());
            let present: Vec<_> = present.map(|(_, _, method)| method).collect();
            if path.contains('{') {
                patterns.push((ResourceDef::new(path.as_str()), present));
            } else {
                plain.insert(path.clone(), present);
            }
        }
        Self { json: serde_json::to_vec(api).unwrap_or_default().into(), plain, patterns }
    }

    /// Whether `path` has no parameters and no such method: a path with parameters that looks like it is not meant.
    pub(crate) fn refuses(&self, path: &str, method: &Method) -> bool {
        let is_safe = [Method::HEAD, Method::OPTIONS].contains(method);
        !is_safe && self.plain.get(path).is_some_and(|methods| !methods.contains(method))
    }

    /// The methods that `path` has, if there is such a path. A path without parameters comes first, as in
    /// routing.
    pub(crate) fn methods(&self, path: &str) -> Option<&[Method]> {
        let matching = || self.patterns.iter().find(|(pattern, _)| pattern.is_match(path));
        self.plain.get(path).or_else(|| matching().map(|(_, methods)| methods)).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_parameters_has_its_own_methods() {
        let document = Document::new(&crate::openapi());
        assert_eq!(document.methods("/api/v1/conversations/direct"), Some(&[Method::POST][..]));
        assert_eq!(
            document.methods("/api/v1/conversations/x"),
            Some(&[Method::GET, Method::DELETE, Method::PATCH][..])
        );
        assert_eq!(document.methods("/api/v1/nowhere"), None);
        assert!(document.refuses("/api/v1/messages/mark-read", &Method::PATCH));
        assert!(!document.refuses("/api/v1/messages/mark-read", &Method::POST));
        assert!(!document.refuses("/api/v1/messages/x", &Method::PATCH));
    }

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let written = crate::openapi().to_pretty_json().unwrap();
        let committed = include_str!("../../../openapi/openapi.json");
        assert!(committed.trim_end() == written, "run `just openapi`");
    }

    #[test]
    fn every_operation_says_what_it_does_and_how_it_fails() {
        let api = serde_json::to_value(crate::openapi()).unwrap();
        for (path, item) in api["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = format!("{method} {path}");
                assert!(operation["summary"].is_string() && operation["operationId"].is_string(), "{name}");
                let responses = operation["responses"].as_object().unwrap();
                if !path.contains("health") {
                    assert!(responses.contains_key("503"), "{name}");
                    assert!(responses.contains_key("429"), "{name}");
                    let is_open = operation.get("security").is_none();
                    assert!(is_open || responses.contains_key("401"), "{name}");
                }
                if path.contains('{') {
                    assert!(responses.contains_key("422"), "{name}");
                }
                if operation.get("requestBody").is_some() {
                    for status in ["400", "413", "415", "422"] {
                        assert!(responses.contains_key(status), "{name} {status}");
                    }
                }
            }
        }
    }

    #[test]
    fn two_operations_never_share_an_id() {
        let api = serde_json::to_value(crate::openapi()).unwrap();
        let items =
            api["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
        let mut ids: Vec<_> = items.map(|operation| operation["operationId"].as_str().unwrap()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn two_types_never_share_a_name_in_the_document() {
        // utoipa lets the second overwrite the first, silently; titles in the source are the only witness.
        let mut names: Vec<_> = sources().iter().flat_map(|source| schema_names(source)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert!(count > 15 && names.len() == count, "{names:?}");
    }

    /// Every file of this crate.
    fn sources() -> Vec<String> {
        fn read(folder: &std::path::Path, into: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, into);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    into.push(std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut sources = Vec::new();
        read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
        sources
    }

    /// `#[schema(as = Name)]`, or the name of the type.
    fn schema_names(source: &str) -> Vec<String> {
        let types = source.split("ToSchema)]").skip(1);
        types
            .filter_map(|after| {
                let item = after.split_once('{')?.0;
                let named = item.split_once("#[schema(as = ").map(|(_, rest)| rest);
                let name = named.or_else(|| {
                    item.rsplit_once("struct ").or_else(|| item.rsplit_once("enum ")).map(|(_, n)| n)
                })?;
                Some(name.split(|c: char| !c.is_alphanumeric()).next()?.to_owned())
            })
            .collect()
    }
}
