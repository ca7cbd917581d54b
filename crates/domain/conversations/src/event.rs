use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{ConversationId, UserId};
use serde::{Deserialize, Serialize};

/// A conversation was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationCreated {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Who opened it.
    pub created_by: UserId,
    /// Everyone in it, the creator included.
    pub participants: Vec<UserId>,
}

impl DomainEvent for ConversationCreated {
    const KIND: &'static str = "conversations.conversation_created";
}

/// Someone was added to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantAdded {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Who came.
    pub user_id: UserId,
    /// Who added them.
    pub added_by: UserId,
}

impl DomainEvent for ParticipantAdded {
    const KIND: &'static str = "conversations.participant_added";
}

/// Someone left a conversation or was removed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRemoved {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Who went.
    pub user_id: UserId,
    /// Who removed them: themselves if they left.
    pub removed_by: UserId,
}

impl DomainEvent for ParticipantRemoved {
    const KIND: &'static str = "conversations.participant_removed";
}

/// What a conversation is, allows, or makes of its participants has changed; who is in it has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationUpdated {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Who changed it.
    pub updated_by: UserId,
    /// Whether it concerns only them: what they keep of it for themselves.
    pub is_personal: bool,
}

impl DomainEvent for ConversationUpdated {
    const KIND: &'static str = "conversations.conversation_updated";
}
