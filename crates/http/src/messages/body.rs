//! Messages as they are shown.

use alivio_messages::{MessageType, Priority};
use alivio_platform::MessageView;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::formatted::FormattedContentBody;
use crate::conversations::UserSummaryBody;
use crate::encryption::EncryptionBody;

/// What a message is.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MessageType)]
pub(crate) enum MessageTypeBody {
    #[default]
    Text,
}

impl From<MessageTypeBody> for MessageType {
    fn from(kind: MessageTypeBody) -> Self {
        match kind {
            MessageTypeBody::Text => Self::Text,
        }
    }
}

/// How urgent a message is.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Priority)]
pub(crate) enum PriorityBody {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

impl From<PriorityBody> for Priority {
    fn from(priority: PriorityBody) -> Self {
        match priority {
            PriorityBody::Low => Self::Low,
            PriorityBody::Normal => Self::Normal,
            PriorityBody::High => Self::High,
            PriorityBody::Urgent => Self::Urgent,
        }
    }
}

/// A message.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageBody {
    /// Its id.
    id: Uuid,
    /// A number to quote to support.
    #[schema(example = "MSG-2026-005001")]
    r#ref: String,
    /// Where it was said.
    conversation_id: Uuid,
    /// Its place in the conversation: 1, 2, 3 … without gaps.
    #[schema(example = 15)]
    seq: i64,
    /// Who said it.
    sender: UserSummaryBody,
    /// What it is.
    #[schema(example = "text")]
    message_type: &'static str,
    /// The words; `null` once they are withheld, because the message was taken back or has expired.
    #[schema(example = "¿Cómo se ha sentido con la nueva medicación?")]
    content: Option<String>,
    /// How the words look and what is in them; `null` when `content` is.
    formatted_content: Option<FormattedContentBody>,
    /// How urgent it is.
    #[schema(example = "normal")]
    priority: &'static str,
    /// Whether a machine wrote it. Show that wherever you show the message.
    is_automated: bool,
    /// How far it has come: `sent`, `delivered` to a device of every recipient, `read` by every recipient.
    #[schema(example = "delivered")]
    delivery_status: &'static str,
    /// The sender's name for it.
    #[schema(example = "client_msg_12345")]
    client_message_id: String,
    /// How its words rest in storage.
    encryption: EncryptionBody,
    /// When it was stored.
    created_at: DateTime<Utc>,
}

impl From<&MessageView> for MessageBody {
    fn from(view: &MessageView) -> Self {
        let message = &view.message;
        Self {
            id: message.id.uuid(),
            r#ref: message.reference(),
            conversation_id: message.conversation_id.uuid(),
            seq: message.seq,
            sender: UserSummaryBody::from(&*view.sender),
            message_type: message.message_type.as_str(),
            content: message.content.as_ref().map(|c| c.as_str().to_owned()),
            formatted_content: message.content.as_ref().map(|c| FormattedContentBody::of(c.as_str(), view)),
            priority: message.priority.as_str(),
            is_automated: message.automation.is_some(),
            delivery_status: view.status.as_str(),
            client_message_id: message.client_message_id.as_str().to_owned(),
            encryption: EncryptionBody::from(&message.header),
            created_at: message.created_at,
        }
    }
}

/// A page of messages.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessagePage {
    /// Newest first; with `after`, oldest first.
    pub(crate) items: Vec<MessageBody>,
    /// Send it as `before` (or as `after`, if you came by `after`) to go on; `null` at the end.
    #[schema(example = "15")]
    pub(crate) next_cursor: Option<String>,
}
