//! The OpenAPI document, made from the routes themselves, and what can be told from it.

use std::collections::BTreeMap;

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

    /// The methods that `path` has, if there is such a path.
    pub(crate) fn methods(&self, path: &str) -> Option<Vec<Method>> {
        let mut found = BTreeMap::new();
        for (_, methods) in self.methods.iter().filter(|(pattern, _)| pattern.is_match(path)) {
            found.extend(methods.iter().map(|method| (method.to_string(), method.clone())));
        }
        (!found.is_empty()).then(|| found.into_values().collect())
    }
}
