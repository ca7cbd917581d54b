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
}

impl DomainEvent for MessageSent {
    const KIND: &'static str = "messages.message_sent";
}

/// What was said in a conversation was destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentDestroyed {
    /// Where.
    pub conversation_id: ConversationId,
}

impl DomainEvent for ContentDestroyed {
    const KIND: &'static str = "messages.content_destroyed";
}
