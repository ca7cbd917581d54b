use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
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
    /// Why it disturbs nobody, if it was written while it was closed. Whoever notifies people passes it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
}

/// What becomes of a message that was taken while it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// It waits until someone looks.
    Waits,
    /// A machine answers that it waits, once in each closed period.
    Answered,
}

impl DomainEvent for MessageSent {
    const KIND: &'static str = "messages.message_sent";
}
