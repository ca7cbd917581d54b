//! What the acknowledgements of commands tell, and all frames that are no events.

use std::collections::HashSet;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_messages::{Marks, Position};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::messages::{ReadMarkerBody, WarningBody};
use crate::problem::FrameProblem;

/// What an acknowledgement tells.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Subscribed(Subscriptions),
    Resumed(Resumption),
    Sent(Sent),
    Edited(Edition),
    Deleted(Deletion),
    Reacted(ReactionAnswer),
    Marker(ReadMarkerBody),
    ShownAs(ShownPresence),
    Pong(Pong),
    Nothing(Nothing),
}

/// Nothing else.
#[derive(Serialize, ToSchema)]
pub(crate) struct Nothing {}

/// Where conversations stand.
#[derive(Serialize, ToSchema)]
pub(crate) struct Subscriptions {
    /// In the order in which they were asked for.
    pub(super) subscriptions: Vec<Standing>,
}

/// Where a conversation stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Standing {
    /// Which.
    conversation_id: Uuid,
    /// Its newest message.
    #[schema(example = 15)]
    last_seq: i64,
    /// The number of the newest change of a message.
    #[schema(example = 4)]
    last_revision: i64,
    /// How far everyone in it has come.
    marks: Vec<MarksBody>,
    /// Those of them whom you see online.
    online: Vec<Uuid>,
}

impl Standing {
    /// Where `conversation` stands, for a device that begins to listen.
    pub(super) fn new(online: &HashSet<UserId>, conversation: ConversationId, position: &Position) -> Self {
        let people = position.marks.iter().map(|marks| marks.user_id);
        Self {
            conversation_id: conversation.uuid(),
            last_seq: position.last_seq,
            last_revision: position.last_revision,
            marks: position.marks.iter().map(MarksBody::from).collect(),
            online: people.filter(|id| online.contains(id)).map(|id| id.uuid()).collect(),
        }
    }
}

/// How far someone has come.
#[derive(Serialize, ToSchema)]
#[schema(as = Marks)]
struct MarksBody {
    /// Who.
    user_id: Uuid,
    /// A device of theirs has all messages up to this `seq`.
    #[schema(example = 15)]
    delivered_up_to: i64,
    /// They have read all messages up to this `seq`.
    #[schema(example = 15)]
    read_up_to: i64,
}

impl From<&Marks> for MarksBody {
    fn from(marks: &Marks) -> Self {
        Self {
            user_id: marks.user_id.uuid(),
            delivered_up_to: marks.delivered_up_to,
            read_up_to: marks.read_up_to,
        }
    }
}

/// Where a conversation stands, once all that was missed has been sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct Resumption {
    #[serde(flatten)]
    pub(super) standing: Standing,
    /// How many messages were sent again.
    #[schema(example = 3)]
    pub(super) replayed: usize,
    /// How many changed messages were sent again.
    #[schema(example = 1)]
    pub(super) replayed_changes: usize,
    /// Whether what you have is not what there is: read the conversation anew.
    pub(super) gap: bool,
}

/// What became of a message.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sent {
    /// Its id.
    pub(super) message_id: Uuid,
    /// Its place in the conversation.
    #[schema(example = 15)]
    pub(super) seq: i64,
    /// When it was stored.
    pub(super) created_at: DateTime<Utc>,
    /// `false` if it had been sent before under the same name.
    pub(super) created: bool,
    /// What the rules have found in it.
    pub(super) warnings: Vec<WarningBody>,
}

/// What became of an edit.
#[derive(Serialize, ToSchema)]
pub(crate) struct Edition {
    /// Which message.
    pub(super) message_id: Uuid,
    /// Which wording it has now.
    #[schema(example = 2)]
    pub(super) version: u32,
    /// Since when.
    pub(super) edited_at: Option<DateTime<Utc>>,
}

/// What was taken back.
#[derive(Serialize, ToSchema)]
pub(crate) struct Deletion {
    /// Which message.
    pub(super) message_id: Uuid,
}

/// A reaction that was set or taken back.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReactionAnswer {
    /// To which message.
    pub(super) message_id: Uuid,
    /// With what.
    #[schema(example = "👍")]
    pub(super) emoji: &'static str,
}

/// How others see you now.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownPresence {
    /// `online`, `away` or `busy`.
    #[schema(example = "busy")]
    pub(super) presence: &'static str,
}

/// Somebody is there.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pong {
    /// What time it is there.
    pub(super) at: DateTime<Utc>,
}

/// What is said first.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadyFrame {
    /// The version of the envelope.
    #[schema(example = 1)]
    pub(super) v: u8,
    /// `ready`.
    #[schema(example = "ready")]
    pub(super) r#type: &'static str,
    /// Who you are.
    pub(super) data: Ready,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Who.
    pub(super) user_id: Uuid,
    /// In which session.
    pub(super) session_id: Uuid,
    /// Which history of the installation this is; keep it, and `resume` with it.
    pub(super) epoch: Uuid,
}

/// A command was done.
#[derive(Serialize, ToSchema)]
pub(super) struct AckFrame {
    /// The version of the envelope.
    #[schema(example = 1)]
    pub(super) v: u8,
    /// `ack`.
    #[schema(example = "ack")]
    pub(super) r#type: &'static str,
    /// Your name for the command.
    #[schema(example = "1")]
    pub(super) r#ref: Option<String>,
    /// What came of it.
    #[schema(value_type = Object)]
    pub(super) data: Answer,
}

/// A command was refused.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorFrame {
    /// The version of the envelope.
    #[schema(example = 1)]
    pub(super) v: u8,
    /// `error`.
    #[schema(example = "error")]
    pub(super) r#type: &'static str,
    /// Your name for the command.
    #[schema(example = "1")]
    pub(super) r#ref: Option<String>,
    /// Why.
    pub(super) data: FrameProblem,
}
