//! REST and WebSocket: translates, decides nothing.
//!
//! A handler extracts, calls a service once, and converts. One file per domain; `routes` makes both the
//! router and the document, so they cannot drift. Errors become problem JSON in `problem`.

mod accounts;
mod admin_users;
mod audit;
mod blocks;
mod break_glass;
mod catalogue;
mod changes;
mod conditional;
mod contacts;
mod conversations;
mod cookies;
mod dev;
mod dialects;
mod directory;
mod docs;
mod document;
mod emergencies;
mod encryption;
mod extract;
mod files;
mod frame;
mod health;
mod hours;
mod messages;
mod moderation;
mod networks;
mod paging;
mod passwords;
mod presence;
mod problem;
mod professionals;
mod profiles;
mod rate_limit;
mod realtime;
mod registration;
mod responses;
mod search;
mod second_factor;
mod sessions;
mod state;

use actix_cors::Cors;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue};
use actix_web::middleware::{Next, NormalizePath, from_fn};
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;

pub use rate_limit::Rates;
pub use state::{HttpConfig, State};

use document::{Base, Document};
use problem::Problem;

/// What pages of other origins may read of an answer's headers.
const EXPOSED: [&str; 18] = [
    "x-request-id",
    "retry-after",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "accept-ranges",
    "content-disposition",
    "content-range",
    "etag",
    "location",
    "tus-resumable",
    "tus-extension",
    "tus-max-size",
    "tus-version",
    "upload-expires",
    "upload-length",
    "upload-offset",
    "x-file-status",
];

/// The largest request body.
const MAX_BODY: usize = 64 * 1024;

/// The whole HTTP application over `state`.
pub fn app(
    state: State,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let cors = cors(&state.config);
    let (app, api) =
        App::new().into_utoipa_app().openapi(Base::openapi()).configure(routes).split_for_parts();
    app.app_data(web::Data::new(state))
        .app_data(web::Data::new(Document::new(&finish(api))))
        .app_data(web::PayloadConfig::new(MAX_BODY))
        .app_data(extract::path_config())
        .app_data(extract::query_config())
        .configure(dev::routes)
        .configure(docs::routes)
        .configure(dialects::routes)
        .default_service(web::to(nowhere))
        .wrap(from_fn(keep_to_methods))
        .wrap(from_fn(dialects::within))
        .wrap(from_fn(rate_limit::limit))
        .wrap(NormalizePath::trim())
        .wrap(from_fn(dialects::translate))
        .wrap(cors)
        .wrap(frame::security_headers())
        .wrap(from_fn(frame::around))
}

/// The OpenAPI document, as committed and as served at `/openapi.json`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, api) = App::new().into_utoipa_app().openapi(Base::openapi()).configure(routes).split_for_parts();
    finish(api)
}

/// The document of the dialects: documented paths that stand for canonical ones. As committed and as served at
/// `/dialects.json`.
pub fn dialects() -> serde_json::Value {
    dialects::document(&serde_json::to_value(openapi()).unwrap_or_default())
}

/// The AsyncAPI document of the WebSocket, as committed and as served at `/asyncapi.json`.
pub fn asyncapi() -> serde_json::Value {
    realtime::document()
}

fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.configure(health::routes).service(
        utoipa_actix_web::scope::scope("/api/v1")
            .configure(accounts::routes)
            .configure(admin_users::routes)
            .configure(audit::routes)
            .configure(break_glass::routes)
            .configure(hours::routes)
            .configure(emergencies::routes)
            .configure(directory::routes)
            .configure(profiles::routes)
            .configure(professionals::routes)
            .configure(registration::routes)
            .configure(passwords::routes)
            .configure(sessions::routes)
            .configure(second_factor::routes)
            .configure(contacts::routes)
            .configure(blocks::routes)
            .configure(presence::routes)
            .configure(changes::routes)
            .configure(conversations::routes)
            .configure(messages::routes)
            .configure(files::routes)
            .configure(moderation::routes)
            .configure(search::routes)
            .configure(realtime::routes),
    );
}

fn finish(mut api: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    document::accept_cookies(&mut api);
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document::add_rate_limits(&mut api);
    api
}

fn cors(config: &HttpConfig) -> Cors {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let headers = [
        "authorization",
        "content-type",
        "accept-language",
        "idempotency-key",
        "x-alivio-session",
        "x-csrf-token",
        "x-request-id",
        "if-none-match",
        "if-range",
        "range",
        "tus-resumable",
        "upload-length",
        "upload-metadata",
        "upload-offset",
    ];
    let cors = Cors::default()
        .allowed_methods(methods)
        .allowed_headers(headers.map(HeaderName::from_static))
        .expose_headers(EXPOSED)
        // Only the pages listed, never any: those may send the cookies of a sign-in.
        .supports_credentials()
        .block_on_origin_mismatch(false)
        .max_age(600);
    config.allowed_origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// Refuses methods that a path without parameters does not have, before a path with parameters takes them for its own.
async fn keep_to_methods(
    document: web::Data<Document>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if document.refuses(request.path(), request.method()) {
        let (request, _) = request.into_parts();
        // Not by `into_response`, which forgets the problem that the response is to be filled in from.
        let response = nowhere(request.clone(), document).await;
        return Ok(ServiceResponse::new(request, response));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// A path that does not exist, or not with this method.
pub(crate) async fn nowhere(request: HttpRequest, document: web::Data<Document>) -> HttpResponse {
    let Some(methods) = document.methods(request.path()) else {
        return HttpResponse::from_error(Problem::not_found());
    };
    let allow = methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
    let mut response = HttpResponse::from_error(problem);
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
