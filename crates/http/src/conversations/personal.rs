//! What people keep of a conversation for themselves.

use actix_web::{HttpResponse, delete, put, web};
use alivio_conversations::PersonalChange;
use alivio_kernel::Caller;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::problem::Result;
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// For how long you are not told.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Quiet {
    /// Until then; without end if it is left out.
    until: Option<DateTime<Utc>>,
}

async fn keep(state: &State, caller: &Caller, id: Uuid, change: PersonalChange) -> Result<HttpResponse> {
    state.platform.conversations.keep(caller, id.into(), change).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Archive a conversation
///
/// Takes it out of your inbox only. A new message does not bring it back; it still counts as unread.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "archiveConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "Done."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/conversations/{id}/archive")]
pub(super) async fn archive(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    keep(&state, &caller, id.into_inner(), PersonalChange::Archive(true)).await
}

/// Bring an archived conversation back
#[utoipa::path(
    tag = "Conversations",
    operation_id = "unarchiveConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "Done."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/conversations/{id}/archive")]
pub(super) async fn unarchive(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    keep(&state, &caller, id.into_inner(), PersonalChange::Archive(false)).await
}

/// Pin a conversation
///
/// It stands first in your inbox.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "pinConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "Done."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/conversations/{id}/pin")]
pub(super) async fn pin(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    keep(&state, &caller, id.into_inner(), PersonalChange::Pin(true)).await
}

/// Unpin a conversation
#[utoipa::path(
    tag = "Conversations",
    operation_id = "unpinConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "Done."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/conversations/{id}/pin")]
pub(super) async fn unpin(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    keep(&state, &caller, id.into_inner(), PersonalChange::Pin(false)).await
}

/// Mute a conversation
///
/// You are not told of what happens in it. It still counts as unread.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "muteConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = Quiet,
    responses(
        (status = 204, description = "Done."),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/conversations/{id}/mute")]
pub(super) async fn mute(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<Quiet>,
) -> Result<HttpResponse> {
    keep(&state, &caller, id.into_inner(), PersonalChange::Mute(body.0.until)).await
}

/// Unmute a conversation
#[utoipa::path(
    tag = "Conversations",
    operation_id = "unmuteConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "Done."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/conversations/{id}/mute")]
pub(super) async fn unmute(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    keep(&state, &caller, id.into_inner(), PersonalChange::Unmute).await
}
