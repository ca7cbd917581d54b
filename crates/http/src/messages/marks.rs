//! How far one has read.

use actix_web::{post, put, web};
use alivio_kernel::ids::{ConversationId, MessageId};
use alivio_kernel::{FieldError, Rule};
use alivio_messages::{Anchor, Mark, Marks, Moved};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::problem::{Result, invalid};
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
    pub(crate) const fn new(conversation: ConversationId, moved: &Moved) -> Self {
        Self::of(conversation, moved.marks, moved.unread)
    }

    const fn of(conversation: ConversationId, marks: Marks, unread_count: i64) -> Self {
        let Marks { read_up_to, delivered_up_to, .. } = marks;
        Self { conversation_id: conversation.uuid(), read_up_to, delivered_up_to, unread_count }
    }
}

/// Up to where you have read: `message_id`, or `all`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReadMarker {
    /// The newest message that you have read.
    message_id: Option<Uuid>,
    /// You have read everything.
    #[serde(default)]
    #[schema(example = false)]
    all: bool,
}

/// Messages that you have read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReadMessages {
    /// 1 to 100 messages, of any of your conversations.
    #[schema(min_items = 1, max_items = 100)]
    message_ids: Vec<Uuid>,
}

/// How far you have come in each conversation.
#[derive(Serialize, ToSchema)]
struct ReadMarkers {
    /// One for each conversation.
    items: Vec<ReadMarkerBody>,
}

/// Messages that can be marked as read at once.
const MAX_MARKED: usize = 100;

/// Mark messages as read
///
/// Everything up to the message counts as read, or, with `all`, the whole conversation. The marker never goes back.
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
    let NewReadMarker { message_id, all } = body.0;
    let marker = match (message_id, all) {
        (Some(message), false) => {
            let target = Anchor::Message(message.into());
            let moved = state.platform.advance(&caller, conversation, Mark::Read, target).await?;
            ReadMarkerBody::new(conversation, &moved)
        }
        (None, true) => {
            let (marks, unread) = state.platform.read_everything(&caller, conversation).await?;
            ReadMarkerBody::of(conversation, marks, unread)
        }
        (None, false) => return Err(invalid(FieldError::new("message_id", Rule::Empty))),
        (Some(_), true) => return Err(invalid(FieldError::new("all", Rule::Malformed))),
    };
    Ok(web::Json(marker))
}

/// Mark messages as read by their ids
///
/// In each of their conversations, everything up to the newest of them counts as read. Messages that you cannot read
/// are left out.
#[utoipa::path(
    tag = "Messages",
    operation_id = "markMessagesRead",
    security(("bearer" = [])),
    request_body = ReadMessages,
    responses(
        (status = 200, description = "Where the markers are now.", body = ReadMarkers),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/messages/mark-read")]
pub(super) async fn mark_read(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<ReadMessages>,
) -> Result<web::Json<ReadMarkers>> {
    let ids = body.0.message_ids;
    let rule = match ids.len() {
        0 => Some(Rule::TooFew { min: 1 }),
        1..=MAX_MARKED => None,
        _ => Some(Rule::TooMany { max: MAX_MARKED }),
    };
    if let Some(rule) = rule {
        return Err(invalid(FieldError::new("message_ids", rule)));
    }
    let read = ids.into_iter().map(MessageId::from).collect();
    let moved = state.platform.read_all_of(&caller, read).await?;
    let items = moved.iter().map(|(conversation, moved)| ReadMarkerBody::new(*conversation, moved));
    Ok(web::Json(ReadMarkers { items: items.collect() }))
}
