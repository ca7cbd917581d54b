//! The documents and pages to try them: work without any other server, and sign in by themselves.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use utoipa_swagger_ui::Config;

use crate::document::Document;
use crate::problem::{Problem, Result};

const PAGE: &str = include_str!("index.html");
const SCRIPT: &str = include_str!("page.js");
const REALTIME_PAGE: &str = include_str!("realtime.html");
const REALTIME_SCRIPT: &str = include_str!("realtime.js");
/// Made once, for the first who asks.
static DIALECTS: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&crate::dialects()).unwrap_or_default().into());
static ASYNCAPI: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&crate::asyncapi()).unwrap_or_default().into());
/// Swagger UI styles elements inline and draws its icons from data addresses.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

#[get("/openapi.json")]
async fn openapi(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(document.json.clone())
}

#[get("/dialects.json")]
async fn dialects() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(DIALECTS.clone())
}

#[get("/asyncapi.json")]
async fn asyncapi() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(ASYNCAPI.clone())
}

#[get("/docs")]
async fn page() -> HttpResponse {
    html(PAGE)
}

#[get("/docs/realtime")]
async fn realtime() -> HttpResponse {
    html(REALTIME_PAGE)
}

fn html(content: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(content)
}

#[get("/docs/{file}")]
async fn asset(file: web::Path<String>) -> Result<HttpResponse> {
    let script = match file.as_str() {
        "page.js" => Some(SCRIPT),
        "realtime.js" => Some(REALTIME_SCRIPT),
        _ => None,
    };
    if let Some(script) = script {
        return Ok(HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(script));
    }
    let config = std::sync::Arc::new(Config::from("/openapi.json"));
    let found = utoipa_swagger_ui::serve(&file, config).ok().flatten().ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok()
        .content_type(found.content_type)
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .body(found.bytes.into_owned()))
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(openapi)
        .service(dialects)
        .service(asyncapi)
        .service(page)
        .service(realtime)
        .service(asset);
}
