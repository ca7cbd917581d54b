use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{ConversationId, MessageId, ScheduledMessageId, UserId};
use serde::{Deserialize, Serialize};

/// A message was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSent {
    /// Where.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// By whom.
    pub sender_id: UserId,
    /// Its place in the log. Known only to the store, which fills it in.
    pub seq: i64,
}

impl DomainEvent for MessageSent {
    const KIND: &'static str = "messages.message_sent";
}

/// The time has come to send a message that was put off. A timer: it is stored when the message is put off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledMessageDue {
    /// Which.
    pub id: ScheduledMessageId,
}

impl DomainEvent for ScheduledMessageDue {
    const KIND: &'static str = "messages.scheduled_message_due";
}

/// The words of a message were changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEdited {
    /// Where.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// Which wording it has now, from 2.
    pub version: u32,
}

impl DomainEvent for MessageEdited {
    const KIND: &'static str = "messages.message_edited";
}

/// A message was taken back, or has expired. Its words are withheld from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDeleted {
    /// Where.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// By whom; by nobody, if it had expired.
    pub deleted_by: Option<UserId>,
}

impl DomainEvent for MessageDeleted {
    const KIND: &'static str = "messages.message_deleted";
}
