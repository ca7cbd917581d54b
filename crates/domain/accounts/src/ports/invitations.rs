use alivio_kernel::ids::{InvitationId, MailedSecretId, UserId};
use alivio_kernel::{Effects, Language, Role, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, SecretHash, StoredUser};

/// An invitation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInvitation {
    /// Which.
    pub id: InvitationId,
    /// The hash of its token.
    pub token: SecretHash,
    /// The id of the user that will be.
    pub user_id: UserId,
    /// The blind index of the address.
    pub email_index: [u8; 16],
    /// The sealed address.
    pub email: Sealed,
    /// What the account will be for.
    pub role: Role,
    /// The language to write to them in.
    pub language: Language,
    /// Who issued it.
    pub issued_by: UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it can be taken.
    pub expires_at: DateTime<Utc>,
}

/// The account that an invitation becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// The invitation.
    pub invitation: InvitationId,
    /// The account, without a password.
    pub user: StoredUser,
    /// The blind index of the address.
    pub email_index: [u8; 16],
    /// The sealed licence number, if the role has one.
    pub license_number: Option<Sealed>,
    /// The specialty, if the role has one.
    pub specialty: Option<String>,
    /// What leads to the first password.
    pub temporary: NewTemporaryPassword,
}

/// What a professional said of their licence when they took an invitation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatedCredentials {
    /// The sealed licence number.
    pub license_number: Option<Sealed>,
    /// The specialty.
    pub specialty: Option<String>,
}

/// A temporary password about to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTemporaryPassword {
    /// What it is made from.
    pub id: MailedSecretId,
    /// Its hash.
    pub hash: SecretHash,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// Invitations. One that was taken or taken back, or has expired, is no longer open. Nor MUST one be open, to be found or
/// taken, while whoever issued it is deactivated or [may no longer issue it](crate::may_invite).
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait InvitationStore: Send + Sync {
    /// Stores an invitation and `effects`.
    async fn issue(&self, invitation: &StoredInvitation, effects: &Effects) -> Result<(), Error>;

    /// The invitation, if it is open.
    async fn open(&self, id: InvitationId, now: DateTime<Utc>) -> Result<Option<StoredInvitation>, Error>;

    /// The invitation with this token, if it is open.
    async fn by_token(
        &self,
        token: SecretHash,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredInvitation>, Error>;

    /// At most `limit` open ones, newest first, from the one after `after`.
    async fn list(
        &self,
        after: Option<InvitationId>,
        limit: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredInvitation>, Error>;

    /// Takes an open invitation back and stores `effects`; false, and nothing is stored, if it was not open.
    async fn revoke(&self, id: InvitationId, now: DateTime<Utc>, effects: &Effects) -> Result<bool, Error>;

    /// Takes an open invitation: makes the account and stores `effects`; false if it was not open. Of many at once
    /// MUST let one succeed. MUST answer [`Error::EmailTaken`], and change nothing, when the address has an account
    /// by now.
    async fn redeem(
        &self,
        redemption: &Redemption,
        now: DateTime<Utc>,
        effects: &Effects,
    ) -> Result<bool, Error>;

    /// What `user` said when they took their invitation; none if they took none.
    async fn stated(&self, user: UserId) -> Result<Option<StatedCredentials>, Error>;
}
