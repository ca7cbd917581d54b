//! `/api/v1/files`: what people hand each other.

mod annotations;
mod bodies;
mod form;
mod grants;
mod pace;
mod policy;
mod range;
mod resumable;
mod serve;
mod upload;

use actix_web::http::Method;

pub(crate) use bodies::FileBody;

/// Whether a request may take as long as its body does: it is paced by itself.
pub(crate) fn is_upload(method: &Method, path: &str) -> bool {
    const PATHS: [&str; 3] = ["/api/v1/files", "/api/chat/upload-file", "/api/messages/upload-attachment"];
    let path = path.trim_end_matches('/');
    match *method {
        Method::POST => PATHS.contains(&path) || path.starts_with("/api/chat/upload/"),
        Method::PATCH => path.starts_with("/api/v1/files/uploads/"),
        _ => false,
    }
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    // What has a name of its own comes before `{id}`.
    policy::routes(config);
    resumable::routes(config);
    upload::routes(config);
    serve::routes(config);
    grants::routes(config);
    annotations::routes(config);
}
