use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{ConversationId, GrantId, UserId};
use serde::{Deserialize, Serialize};

/// Someone may read a conversation that they are not in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlassOpened {
    /// The grant.
    pub grant_id: GrantId,
    /// Who may read.
    pub admin_id: UserId,
    /// What they may read.
    pub conversation_id: ConversationId,
    /// Who was in the conversation then, or before.
    pub participants: Vec<UserId>,
}

impl DomainEvent for BreakGlassOpened {
    const KIND: &'static str = "audit.break_glass_opened";
}
