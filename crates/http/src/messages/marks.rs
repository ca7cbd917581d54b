//! How far one has read.

use actix_web::{put, web};
use alivio_kernel::ids::ConversationId;
use alivio_messages::{Anchor, Mark, Moved};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::problem::Result;
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// How far you have come in a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = ReadMarker)]
pub(crate) struct ReadMarkerBody {
    /// Where.
    conversation_id: Uuid,
    /// You have read all messages up to this `seq`.
    #[schema(example = 15)]
    read_up_to: i64,
    /// A device of yours has all messages up to this `seq`.
    #[schema(example = 15)]
    delivered_up_to: i64,
    /// Messages by others after `read_up_to`.
    #[schema(example = 0)]
    unread_count: i64,
}

impl ReadMarkerBody {
    pub(crate) fn new(conversation: ConversationId, moved: &Moved) -> Self {
        Self {
            conversation_id: conversation.uuid(),
            read_up_to: moved.marks.read_up_to,
            delivered_up_to: moved.marks.delivered_up_to,
            unread_count: moved.unread,
        }
    }
}

/// Up to where you have read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReadMarker {
    /// The newest message that you have read.
    message_id: Uuid,
}

/// Mark messages as read
///
/// Everything up to the message counts as read. The marker never goes back.
#[utoipa::path(
    tag = "Messages",
    operation_id = "setReadMarker",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = NewReadMarker,
    responses(
        (status = 200, description = "Where the marker is now.", body = ReadMarkerBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/conversations/{id}/read-marker")]
pub(super) async fn set_read_marker(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewReadMarker>,
) -> Result<web::Json<ReadMarkerBody>> {
    let conversation = ConversationId::from(id.into_inner());
    let target = Anchor::Message(body.0.message_id.into());
    let moved = state.platform.advance(&caller, conversation, Mark::Read, target).await?;
    Ok(web::Json(ReadMarkerBody::new(conversation, &moved)))
}
