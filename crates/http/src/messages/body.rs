//! Messages as they are shown.

use alivio_messages::{DeliveryStatus, MessageType, Priority, Rewording, TakenBackBy};
use alivio_platform::{MessageView, ReactionView};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::formatted::FormattedContentBody;
use super::payload::{AttachmentBody, PayloadBody, attachments};
use crate::conversations::UserSummaryBody;
use crate::encryption::EncryptionBody;

/// What a message is. `system` is said by the server alone; `appointment` and `prescription` by clinicians.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MessageType)]
pub(crate) enum MessageTypeBody {
    #[default]
    Text,
    File,
    Image,
    Audio,
    Video,
    System,
    Appointment,
    Prescription,
}

impl From<MessageTypeBody> for MessageType {
    fn from(kind: MessageTypeBody) -> Self {
        match kind {
            MessageTypeBody::Text => Self::Text,
            MessageTypeBody::File => Self::File,
            MessageTypeBody::Image => Self::Image,
            MessageTypeBody::Audio => Self::Audio,
            MessageTypeBody::Video => Self::Video,
            MessageTypeBody::System => Self::System,
            MessageTypeBody::Appointment => Self::Appointment,
            MessageTypeBody::Prescription => Self::Prescription,
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
    /// The words; `null` if there are none, and once they are withheld, because the message was taken back or has
    /// expired.
    #[schema(example = "¿Cómo se ha sentido con la nueva medicación?")]
    content: Option<String>,
    /// Its files, as they were when it was sent.
    attachments: Vec<AttachmentBody>,
    /// What an `appointment`, a `prescription` or a `system` message holds.
    payload: Option<PayloadBody>,
    /// What it answers.
    reply_to: Option<ReplyBody>,
    /// How the words look and what is in them; `null` when `content` is.
    formatted_content: Option<FormattedContentBody>,
    /// How urgent it is.
    #[schema(example = "normal")]
    priority: &'static str,
    /// How far it has come: `sent`, `delivered` to a device of every recipient, `read` by every recipient.
    #[schema(example = "delivered")]
    delivery_status: &'static str,
    /// Those who have read it, the first one first. Empty where that is not shown, and in conversations of more than 50
    /// people: see `GET /messages/{id}/receipts`.
    read_by: Vec<ReadByBody>,
    /// Who reacts to it, in the order in which each emoji came first.
    reactions: Vec<ReactionBody>,
    /// Which wording this is, from 1.
    #[schema(example = 1)]
    version: u32,
    /// Counts everything that changed about it. Ignore an event that shows a lower one than you have.
    #[schema(example = 0)]
    revision: i64,
    /// Whether it had other words before.
    #[schema(example = false)]
    is_edited: bool,
    /// When its words last changed.
    edited_at: Option<DateTime<Utc>>,
    /// Its former wordings, the oldest first; `GET /messages/{id}/history` has their words.
    edit_history: Vec<EditBody>,
    /// The message that this one puts right.
    corrects: Option<Uuid>,
    /// The message that puts this one right: read that one instead.
    corrected_by: Option<Uuid>,
    /// Whether it was taken back or has expired. Its place stays, its words are withheld.
    #[schema(example = false)]
    is_deleted: bool,
    /// Since when.
    deleted_at: Option<DateTime<Utc>>,
    /// By whom: `sender`, `moderator`, or `system` when it had expired.
    #[schema(example = "sender")]
    deleted_by: Option<&'static str>,
    /// When it disappears.
    expires_at: Option<DateTime<Utc>>,
    /// The sender's name for it.
    #[schema(example = "client_msg_12345")]
    client_message_id: String,
    /// When it was to be sent, if that was decided before.
    scheduled_for: Option<DateTime<Utc>>,
    /// How its words rest in storage.
    encryption: EncryptionBody,
    /// When it was stored.
    created_at: DateTime<Utc>,
    /// When its words last changed, or it was taken back.
    updated_at: DateTime<Utc>,
    /// How it came about.
    metadata: MetadataBody,
}

/// What a message answers.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplyTo)]
pub(crate) struct ReplyBody {
    /// The message.
    message_id: Uuid,
    /// Who said it; `null` if you cannot read it.
    #[schema(example = "Dra. María Martínez")]
    sender_name: Option<String>,
    /// Its first 100 characters; `null` if it was taken back, has expired, has no words, or you cannot read it.
    #[schema(example = "¿Cómo se ha sentido con la nueva medicación?")]
    content_preview: Option<String>,
    /// When it was stored; `null` if you cannot read it.
    created_at: Option<DateTime<Utc>>,
}

/// How a message came about. Where its sender was is never told.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageMetadata)]
pub(crate) struct MetadataBody {
    /// The sender's name for it.
    #[schema(example = "client_msg_12345")]
    client_message_id: String,
    /// What it was written with.
    #[schema(example = "web_app")]
    source: String,
    /// When the client says it was written.
    client_sent_at: Option<DateTime<Utc>>,
    /// Whether it repeats a message.
    is_forwarded: bool,
    /// Which, if you can read that one.
    forwarded_from: Option<Uuid>,
    /// Whether a machine wrote it. Show that wherever you show the message.
    is_automated: bool,
    /// How sure the machine is, from 0 to 1, if it says so.
    #[schema(example = 0.87)]
    confidence_score: Option<f32>,
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
            attachments: attachments(message),
            payload: message.payload.as_ref().and_then(PayloadBody::of),
            reply_to: message.reply_to.map(|id| {
                let quote = message.quote.as_ref();
                let preview = quote.and_then(|quote| quote.preview.as_ref());
                ReplyBody {
                    message_id: id.uuid(),
                    sender_name: view.quoted.as_ref().map(|person| person.display_name.expose().clone()),
                    content_preview: preview.map(|words| words.as_str().to_owned()),
                    created_at: quote.map(|quote| quote.created_at),
                }
            }),
            formatted_content: message.content.as_ref().map(|c| FormattedContentBody::of(c.as_str(), view)),
            priority: message.priority.as_str(),
            delivery_status: view.status.as_str(),
            read_by: view.read_by.iter().map(|(user, at)| ReadByBody::new(user.uuid(), *at)).collect(),
            reactions: view.reactions.iter().map(ReactionBody::from).collect(),
            version: message.version,
            revision: message.revision,
            is_edited: message.edited_at.is_some(),
            edited_at: message.edited_at,
            edit_history: view.rewordings.iter().map(EditBody::from).collect(),
            corrects: message.corrects.map(Uuid::from),
            corrected_by: message.corrected_by.map(Uuid::from),
            is_deleted: message.deleted_at.is_some(),
            deleted_at: message.deleted_at,
            deleted_by: message.taken_back_by().map(TakenBackBy::as_str),
            expires_at: message.expires_at,
            client_message_id: message.client_message_id.as_str().to_owned(),
            scheduled_for: message.scheduled_for,
            encryption: EncryptionBody::from(&message.header),
            created_at: message.created_at,
            updated_at: message.deleted_at.max(message.edited_at).unwrap_or(message.created_at),
            metadata: MetadataBody {
                client_message_id: message.client_message_id.as_str().to_owned(),
                source: message.source.as_str().to_owned(),
                client_sent_at: message.client_sent_at,
                is_forwarded: message.forwarded_from.is_some(),
                forwarded_from: message.known_source.map(|id| id.uuid()),
                is_automated: message.automation.is_some(),
                confidence_score: message.automation.and_then(|a| a.confidence),
            },
        }
    }
}

/// Someone who has read a message.
#[derive(Serialize, ToSchema)]
#[schema(as = ReadBy)]
pub(crate) struct ReadByBody {
    /// Who.
    user_id: Uuid,
    /// When they first had read so far.
    read_at: DateTime<Utc>,
    /// `read`.
    #[schema(example = "read")]
    delivery_status: &'static str,
}

impl ReadByBody {
    const fn new(user_id: Uuid, read_at: DateTime<Utc>) -> Self {
        Self { user_id, read_at, delivery_status: DeliveryStatus::Read.as_str() }
    }
}

/// Those who react to a message with one emoji.
#[derive(Serialize, ToSchema)]
#[schema(as = Reaction)]
pub(crate) struct ReactionBody {
    /// With what.
    #[schema(example = "👍")]
    emoji: String,
    /// How many.
    #[schema(example = 1)]
    count: i64,
    /// The first 20 of them, the first one first.
    users: Vec<ReactorBody>,
}

impl From<&ReactionView> for ReactionBody {
    fn from(view: &ReactionView) -> Self {
        let users = view.people.iter().map(|(person, at)| ReactorBody {
            id: person.id.uuid(),
            name: person.display_name.expose().clone(),
            reacted_at: *at,
        });
        Self { emoji: view.emoji.clone(), count: view.count, users: users.collect() }
    }
}

/// Someone who reacts to a message.
#[derive(Serialize, ToSchema)]
#[schema(as = Reactor)]
pub(crate) struct ReactorBody {
    /// Who.
    id: Uuid,
    /// Their name.
    #[schema(example = "Ana López")]
    name: String,
    /// Since when.
    reacted_at: DateTime<Utc>,
}

/// A wording that a message had before.
#[derive(Serialize, ToSchema)]
#[schema(as = Edit)]
pub(crate) struct EditBody {
    /// Which wording it was, from 1.
    #[schema(example = 1)]
    version: u32,
    /// When it gave way to the next.
    edited_at: DateTime<Utc>,
}

impl From<&Rewording> for EditBody {
    fn from(rewording: &Rewording) -> Self {
        Self { version: rewording.version, edited_at: rewording.edited_at }
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
