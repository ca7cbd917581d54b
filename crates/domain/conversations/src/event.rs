use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{ConversationId, EmergencyId, UserId};
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

/// Someone called for urgent help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyOpened {
    /// The emergency.
    pub emergency_id: EmergencyId,
    /// Where they talk.
    pub conversation_id: ConversationId,
    /// Who needs help.
    pub patient_id: UserId,
    /// Who opened it.
    pub opened_by: UserId,
}

impl DomainEvent for EmergencyOpened {
    const KIND: &'static str = "conversations.emergency_opened";
}

/// People were called to an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyPaged {
    /// The emergency.
    pub emergency_id: EmergencyId,
    /// Where they talk.
    pub conversation_id: ConversationId,
    /// Who needs help.
    pub patient_id: UserId,
    /// Who opened it.
    pub opened_by: UserId,
    /// The level of those who are paged.
    pub level: i32,
    /// Who is paged.
    pub people: Vec<UserId>,
    /// Whether others had been paged before and did not acknowledge.
    pub escalated: bool,
}

impl DomainEvent for EmergencyPaged {
    const KIND: &'static str = "conversations.emergency_paged";
}

/// The time is up in which those who were paged should have acknowledged. Stored when they are paged, handed out then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgementDue {
    /// The emergency.
    pub emergency_id: EmergencyId,
    /// The level of those who were paged.
    pub level: i32,
}

impl DomainEvent for AcknowledgementDue {
    const KIND: &'static str = "conversations.emergency_acknowledgement_due";
}

/// Someone takes care of an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyAcknowledged {
    /// The emergency.
    pub emergency_id: EmergencyId,
    /// Where they talk.
    pub conversation_id: ConversationId,
    /// Who does.
    pub acknowledged_by: UserId,
    /// Who had been paged and can stand down.
    pub paged: Vec<UserId>,
}

impl DomainEvent for EmergencyAcknowledged {
    const KIND: &'static str = "conversations.emergency_acknowledged";
}

/// An emergency is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyResolved {
    /// The emergency.
    pub emergency_id: EmergencyId,
    /// Where they talked.
    pub conversation_id: ConversationId,
    /// Who said so.
    pub resolved_by: UserId,
}

impl DomainEvent for EmergencyResolved {
    const KIND: &'static str = "conversations.emergency_resolved";
}
