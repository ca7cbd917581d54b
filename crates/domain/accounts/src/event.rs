use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{SessionId, UserId};
use serde::{Deserialize, Serialize};

use crate::RevocationReason;

/// A session was ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// The session.
    pub session_id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// Why.
    pub reason: RevocationReason,
}

impl DomainEvent for SessionRevoked {
    const KIND: &'static str = "accounts.session_revoked";
}
