use alivio_kernel::Role;
use alivio_kernel::ids::{FileId, SessionId, UserId};
use chrono::{DateTime, Utc};

/// A digest of a link's secret, which is stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkHash(pub [u8; 32]);

/// A link about to be stored: for one person, one session and one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLink {
    /// Of its secret.
    pub hash: LinkHash,
    /// Where it leads.
    pub file_id: FileId,
    /// For whom.
    pub user_id: UserId,
    /// It ends with this session.
    pub session_id: SessionId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// Whose link it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkHolder {
    /// Who.
    pub user_id: UserId,
    /// What they are now.
    pub role: Role,
    /// The session that it was made in, which lives.
    pub session_id: SessionId,
}
