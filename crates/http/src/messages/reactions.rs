//! Reactions.

use actix_web::{delete, put, web};
use alivio_messages::Emoji;
use uuid::Uuid;

use super::MessageBody;
use crate::extract::SignedIn;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

/// React to a message
///
/// Idempotent. A message takes at most 20 different emoji, and each of them once from each person.
#[utoipa::path(
    tag = "Messages",
    operation_id = "setReaction",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The message."),
        ("emoji" = String, Path, description = "One emoji, percent-encoded.", example = "👍"),
    ),
    responses(
        (status = 200, description = "The message as it is now.", body = MessageBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`direct_chat_blocked`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`too_many_reactions`; `message_gone`; `conversation_closed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/messages/{id}/reactions/{emoji}")]
pub(super) async fn set(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    path: web::Path<(Uuid, String)>,
) -> Result<web::Json<MessageBody>> {
    let (id, emoji) = path.into_inner();
    let emoji = Emoji::parse(&emoji).map_err(invalid)?;
    let changed = state.platform.react(&caller, id.into(), emoji, true).await?;
    let view = state.platform.screens.changed(&caller, changed).await?;
    Ok(web::Json(MessageBody::from(&view)))
}

/// Take a reaction back
///
/// Idempotent.
#[utoipa::path(
    tag = "Messages",
    operation_id = "clearReaction",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The message."),
        ("emoji" = String, Path, description = "One emoji, percent-encoded.", example = "👍"),
    ),
    responses(
        (status = 200, description = "The message as it is now.", body = MessageBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`direct_chat_blocked`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`message_gone`; `conversation_closed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/messages/{id}/reactions/{emoji}")]
pub(super) async fn clear(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    path: web::Path<(Uuid, String)>,
) -> Result<web::Json<MessageBody>> {
    let (id, emoji) = path.into_inner();
    let emoji = Emoji::parse(&emoji).map_err(invalid)?;
    let changed = state.platform.react(&caller, id.into(), emoji, false).await?;
    let view = state.platform.screens.changed(&caller, changed).await?;
    Ok(web::Json(MessageBody::from(&view)))
}
