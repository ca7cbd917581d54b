use alivio_kernel::ids::UserId;
use alivio_kernel::{Language, Role, Sealed, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Error;

/// A user as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// Who.
    pub id: UserId,
    /// Sealed [`Identity`](crate::Identity).
    pub identity: Sealed,
    /// What the account is for.
    pub role: Role,
    /// Title among professionals.
    pub professional_title: Option<String>,
    /// The language to write to them in.
    pub language: Language,
    /// Whether they may sign in.
    pub is_active: bool,
    /// When the last of their devices went away.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// Counts what makes worthless all that was proved before: another password or role, a second factor turned on or
/// off, all sessions ended, the account switched off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CredentialEpoch(pub i32);

/// What sign-in needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: StoredUser,
    /// Their password's hash in PHC format; none if they have not set one yet.
    pub password_hash: Option<Sensitive<String>>,
    /// Whether they must change it before they do anything else.
    pub must_change_password: bool,
    /// When this was read. What is proved with it opens sessions of this epoch only.
    pub epoch: CredentialEpoch,
}

/// Users and who attends whom.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Adds a user. MUST answer [`Error::EmailTaken`] when `email_index` exists, and add nothing.
    async fn insert(
        &self,
        user: &StoredUser,
        email_index: [u8; 16],
        password_hash: &Sensitive<String>,
    ) -> Result<(), Error>;

    /// The user with this address, active or not.
    async fn credentials(&self, email_index: [u8; 16]) -> Result<Option<Credentials>, Error>;

    /// The users with these ids, in any order; unknown ones are left out.
    async fn by_ids(&self, ids: &[UserId]) -> Result<Vec<StoredUser>, Error>;

    /// Records when a user was last seen. MUST NOT go back in time.
    async fn record_seen(&self, user: UserId, at: DateTime<Utc>) -> Result<(), Error>;

    /// Records that `professional` attends `patient`. Repeating it changes nothing.
    async fn relate(&self, patient: UserId, professional: UserId, at: DateTime<Utc>) -> Result<(), Error>;

    /// Those of `others` that stand in a care relationship with `user`, on either side of it.
    async fn related(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error>;
}
