//! `GET /api/v1/changes`: what happened while a client was away.

use actix_web::{get, web};
use alivio_kernel::PageSize;
use alivio_platform::{ChangeView, ChangedState, FeedView};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::conversations::{ConversationBody, ParticipantBody};
use crate::extract::SignedIn;
use crate::messages::MessageBody;
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, Unauthenticated, Unavailable};
use crate::state::State;

/// How far someone has come in a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangedReceipt)]
struct ReceiptBody {
    /// Who.
    user_id: Uuid,
    /// A device of theirs has all messages up to this `seq`.
    #[schema(example = 15)]
    delivered_up_to: i64,
    /// They have read all messages up to this `seq`.
    #[schema(example = 13)]
    read_up_to: i64,
}

/// Something that happened, and how what it is about is now.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
struct ChangeBody {
    /// What happened, by the names of the socket's events.
    #[schema(example = "message.created")]
    r#type: String,
    /// Where.
    conversation_id: Uuid,
    /// Whom it concerns, or who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Uuid>,
    /// When.
    at: DateTime<Utc>,
    /// With `message.…`: the message as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageBody>,
    /// With `receipt.…`: how far they have come.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptBody>,
    /// With `participant.…`: their part; not there if they are no longer in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<ParticipantBody>,
    /// With `conversation.…`, and when you came in yourself: the conversation as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ConversationBody>,
}

impl From<ChangeView> for ChangeBody {
    fn from(view: ChangeView) -> Self {
        let mut body = Self {
            r#type: view.kind,
            conversation_id: view.conversation_id.uuid(),
            user_id: view.user_id.map(|user| user.uuid()),
            at: view.at,
            message: None,
            receipt: None,
            participant: None,
            conversation: None,
        };
        match view.state {
            ChangedState::Message(message) => body.message = Some(MessageBody::from(&*message)),
            ChangedState::Receipt(marks) => {
                body.receipt = Some(ReceiptBody {
                    user_id: marks.user_id.uuid(),
                    delivered_up_to: marks.delivered_up_to,
                    read_up_to: marks.read_up_to,
                });
            }
            ChangedState::Participant(participant, conversation) => {
                body.participant = participant.map(|participant| ParticipantBody::from(*participant));
                body.conversation = conversation.map(|conversation| ConversationBody::from(*conversation));
            }
            ChangedState::Conversation(conversation) => {
                body.conversation = Some(ConversationBody::from(*conversation));
            }
        }
        body
    }
}

/// What happened since.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangePage)]
struct ChangePage {
    /// In the order in which it happened.
    items: Vec<ChangeBody>,
    /// Send it as `since`, now or when you come back. Good for 30 days.
    #[schema(
        example = "3f2b8c1e5d7a4f60a1b2c3d4e5f60718.84213.9223372036854775807.1767225600000000.8f14e45fceea167a5a36dedd4bea2543"
    )]
    next_cursor: String,
    /// Whether there is more now.
    #[schema(example = false)]
    has_more: bool,
    /// `sync.gap`: `since` is older than 30 days, of before a backup was restored, or unknown, so what happened is not known either. Read your
    /// conversations anew, and go on from `next_cursor`.
    #[schema(example = false)]
    gap: bool,
}

impl From<FeedView> for ChangePage {
    fn from(feed: FeedView) -> Self {
        Self {
            items: feed.items.into_iter().map(ChangeBody::from).collect(),
            next_cursor: feed.next_cursor,
            has_more: feed.has_more,
            gap: feed.is_gap,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ChangeParams {
    /// `next_cursor` of the answer before. Without it you learn only where to begin.
    since: Option<String>,
    /// How many changes to answer (default 100).
    #[param(minimum = 1, maximum = 100, example = 100)]
    limit: Option<i64>,
}

/// Catch up after being offline
///
/// Everything that happened in all your conversations, in one stream: messages, edits, deletions, reactions, receipts,
/// people coming and going, settings. Get a cursor first (without `since`), then read your conversations; from then on
/// each answer's `next_cursor` brings you up to date. Each change carries the state of now, so a change may come a
/// moment early, and applying it twice does no harm.
///
/// When you come into a conversation (`participant.joined` with your `user_id`), forget what you had of it: you read it
/// from there. When you go (`participant.removed`, `participant.left`), it is no longer yours.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "listChanges",
    security(("bearer" = [])),
    params(ChangeParams),
    responses(
        (status = 200, description = "What happened.", body = ChangePage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/changes")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<ChangeParams>,
) -> Result<web::Json<ChangePage>> {
    let size = PageSize::parse(params.limit, 100)
        .map_err(|error| invalid(alivio_kernel::FieldError { field: "limit", ..error }))?;
    let feed = state.platform.feed(&caller, params.since.as_deref(), size).await?;
    Ok(web::Json(ChangePage::from(feed)))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(list);
}
