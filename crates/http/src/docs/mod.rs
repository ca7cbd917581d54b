//! The document and a page to try it: works without any other server, and signs in by itself.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use utoipa_swagger_ui::Config;

use crate::document::Document;
use crate::problem::{Problem, Result};

const PAGE: &str = include_str!("index.html");
const SCRIPT: &str = include_str!("page.js");
/// Made once, for the first who asks.
static DIALECTS: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&crate::dialects()).unwrap_or_default().into());
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

#[get("/docs")]
async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

#[get("/docs/{file}")]
async fn asset(file: web::Path<String>) -> Result<HttpResponse> {
    if file.as_str() == "page.js" {
        return Ok(HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(SCRIPT));
    }
    let config = std::sync::Arc::new(Config::from("/openapi.json"));
    let found = utoipa_swagger_ui::serve(&file, config).ok().flatten().ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok()
        .content_type(found.content_type)
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .body(found.bytes.into_owned()))
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(openapi).service(dialects).service(page).service(asset);
}
