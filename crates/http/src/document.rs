//! The OpenAPI document, made from the routes themselves, and what can be told from it.

use actix_router::ResourceDef;
use actix_web::http::Method;
use actix_web::web::Bytes;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{HttpMethod, OpenApi as Api};
use utoipa::{Modify, OpenApi};

use crate::responses;

/// What the document says before any route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Alivio",
        description = "Secure conversations between patients and professionals.\n\nSign in with `POST /api/v1/auth/login`, \
            then send `Authorization: Bearer <access_token>`. Errors are problem JSON (RFC 9457): rely on `error`, show \
            `message`, which comes in Spanish or English by `Accept-Language`. Unknown fields are refused. What you may \
            not see answers 404, as if it did not exist. Instants are UTC (RFC 3339).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "Accounts", description = "Signing in and out."),
        (name = "Conversations", description = "Who talks to whom."),
        (name = "Messages", description = "What was said."),
        (name = "Realtime", description = "What happens, as it happens."),
        (name = "Operations", description = "How the server is."),
    ),
    components(
        schemas(crate::problem::ProblemDetails),
        responses(
            responses::Malformed, responses::Unauthenticated, responses::NotFound, responses::TooLarge,
            responses::NotJson, responses::Invalid, responses::Unavailable,
        ),
    ),
    modifiers(&Bearer),
)]
pub(crate) struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut Api) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The `access_token` of a sign-in. Good for ten minutes."))
            .build();
        if let Some(components) = &mut api.components {
            components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        }
    }
}

/// The document as served, and the methods of each path.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) json: Bytes,
    methods: Vec<(ResourceDef, Vec<Method>)>,
}

impl Document {
    pub(crate) fn new(api: &Api) -> Self {
        let mut methods = Vec::new();
        for (path, item) in &api.paths.paths {
            let operations = [
                (HttpMethod::Get, &item.get, Method::GET),
                (HttpMethod::Put, &item.put, Method::PUT),
                (HttpMethod::Post, &item.post, Method::POST),
                (HttpMethod::Delete, &item.delete, Method::DELETE),
                (HttpMethod::Patch, &item.patch, Method::PATCH),
            ];
            let present = operations.into_iter().filter(|(_, operation, _)| operation.is_some());
            methods.push((ResourceDef::new(path.as_str()), present.map(|(_, _, method)| method).collect()));
        }
        Self { json: serde_json::to_vec(api).unwrap_or_default().into(), methods }
    }

    /// The methods that `path` has, if there is such a path. A path without parameters comes first, as in
    /// routing.
    pub(crate) fn methods(&self, path: &str) -> Option<&[Method]> {
        let matching = self.methods.iter().filter(|(pattern, _)| pattern.is_match(path));
        let (_, methods) = matching.min_by_key(|(pattern, _)| pattern.pattern() != Some(path))?;
        Some(methods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_parameters_has_its_own_methods() {
        let document = Document::new(&crate::openapi());
        assert_eq!(document.methods("/api/v1/conversations/direct"), Some(&[Method::POST][..]));
        assert_eq!(document.methods("/api/v1/conversations/x"), Some(&[Method::GET][..]));
        assert_eq!(document.methods("/api/v1/nowhere"), None);
    }

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let written = crate::openapi().to_pretty_json().unwrap();
        let committed = include_str!("../../../openapi/openapi.json");
        assert_eq!(committed.trim_end(), written, "run `just openapi`");
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
                    assert!(responses.contains_key("401"), "{name}");
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
    fn two_types_never_share_a_name_in_the_document() {
        // utoipa lets the second overwrite the first, silently; titles in the source are the only witness.
        let mut names: Vec<_> = SOURCES.iter().flat_map(|source| schema_names(source)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert!(count > 15 && names.len() == count, "{names:?}");
    }

    const SOURCES: [&str; 6] = [
        include_str!("accounts.rs"),
        include_str!("conversations.rs"),
        include_str!("messages.rs"),
        include_str!("health.rs"),
        include_str!("problem.rs"),
        include_str!("realtime/mod.rs"),
    ];

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
