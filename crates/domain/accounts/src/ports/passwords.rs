use alivio_kernel::ids::{MailedSecretId, SessionId, UserId};
use alivio_kernel::{Effects, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{CredentialEpoch, Credentials, Error, RevocationReason, SecretHash, StoredUser};

/// A password about to be replaced. All sessions end, but for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// Whose.
    pub user_id: UserId,
    /// The session it is made in.
    pub session: SessionId,
    /// The epoch in which it was proved that it may be.
    pub epoch: CredentialEpoch,
    /// The hash that it has; none if there was no password yet.
    pub old: Option<Sensitive<String>>,
    /// The hash that it is to have.
    pub new: Sensitive<String>,
    /// The session that goes on, or is about to begin.
    pub except: Option<SessionId>,
    /// Why the others end.
    pub reason: RevocationReason,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A temporary password as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemporaryPassword {
    /// Its owner, active or not.
    pub user: StoredUser,
    /// The epoch of their credentials.
    pub epoch: CredentialEpoch,
    /// What it is made from.
    pub id: MailedSecretId,
    /// Its hash.
    pub hash: SecretHash,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// A token to reset a password, about to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewReset {
    /// What it is made from.
    pub id: MailedSecretId,
    /// Its hash.
    pub token: SecretHash,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// How passwords are replaced.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait PasswordStore: Send + Sync {
    /// The user's credentials, active or not.
    async fn by_user(&self, user: UserId) -> Result<Option<Credentials>, Error>;

    /// Stores another hash of the same password, unless the password was changed since `old` was read.
    async fn rehash(
        &self,
        user: UserId,
        old: &Sensitive<String>,
        new: &Sensitive<String>,
    ) -> Result<(), Error>;

    /// Replaces a password and stores `effects`; none, and nothing changes, if its hash or its epoch is no longer the
    /// old one, or the session it is made in was revoked. MUST end the user's sessions, their temporary password and
    /// their token to reset it, all or nothing. MUST begin another epoch, which is what it answers.
    async fn replace(
        &self,
        change: &PasswordChange,
        effects: &Effects,
    ) -> Result<Option<CredentialEpoch>, Error>;

    /// The temporary password of this address, if there is one that was not used.
    async fn temporary(&self, email_index: [u8; 16]) -> Result<Option<TemporaryPassword>, Error>;

    /// Uses a temporary password up; false if it was used before or has expired. MUST succeed at most once.
    async fn take_temporary(&self, id: MailedSecretId, now: DateTime<Utc>) -> Result<bool, Error>;

    /// Stores what a request to reset a password leaves behind.
    async fn request_reset(&self, effects: &Effects) -> Result<(), Error>;

    /// Stores a token, which takes the place of one that was asked for earlier. False if it may not be sent: it was
    /// used, one that was asked for later is there, or one that was asked for less than
    /// [`RESET_PAUSE`](crate::RESET_PAUSE) before and was not used, which MUST stay good. Repeating it before it is
    /// used changes nothing.
    async fn put_reset(&self, user: UserId, reset: &NewReset) -> Result<bool, Error>;

    /// Whose token this is, if it is good and they are active.
    async fn reset_owner(&self, token: SecretHash, now: DateTime<Utc>) -> Result<Option<StoredUser>, Error>;

    /// Uses a token up, replaces the password as [`PasswordStore::replace`] does whatever it was, forgets wrong
    /// guesses at the address, begins another epoch, and stores `effects`. False, and nothing changes, if the token is not good. Of many
    /// at once MUST let one succeed.
    async fn reset(
        &self,
        token: SecretHash,
        new: &Sensitive<String>,
        now: DateTime<Utc>,
        effects: &Effects,
    ) -> Result<bool, Error>;
}
