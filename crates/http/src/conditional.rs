//! Requests on a condition: nothing is sent again that a client has.

use actix_web::HttpResponse;
use actix_web::http::header::{ETAG, EntityTag, IfNoneMatch};

/// The whole answer to a client that names `tag` among those it has.
pub(crate) fn not_modified(tag: &EntityTag, known: &IfNoneMatch) -> Option<HttpResponse> {
    let is_known = matches!(known, IfNoneMatch::Items(tags) if tags.iter().any(|known| known.weak_eq(tag)));
    is_known.then(|| HttpResponse::NotModified().insert_header((ETAG, tag.clone())).finish())
}
