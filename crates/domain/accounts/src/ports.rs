use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::{Caller, Event, Role, Sealed, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{AccessClaims, Error, Password, SecretHash};

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
    /// Whether they may sign in.
    pub is_active: bool,
    /// When the last of their devices went away.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// What sign-in needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: StoredUser,
    /// Their password's hash in PHC format.
    pub password_hash: Sensitive<String>,
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

/// A sign-in about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The session.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Now.
    pub created_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// Its first refresh token.
    pub refresh: SecretHash,
    /// Until when that token is good.
    pub refresh_expires_at: DateTime<Utc>,
}

/// A session that may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSession {
    /// Who acts, with the role they have now.
    pub caller: Caller,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// What came of presenting a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It was good and has been replaced.
    Rotated(LiveSession),
    /// It had been used before. Nothing has changed yet: the session is for the caller to revoke.
    Reused {
        /// The session it belonged to.
        session_id: SessionId,
        /// Whose it was.
        user_id: UserId,
    },
    /// Unknown, expired, or its session has ended.
    Refused,
}

/// Sessions, refresh tokens and tickets.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Stores a session with its first refresh token.
    async fn open(&self, session: &NewSession) -> Result<(), Error>;

    /// Replaces `presented` by `next`, good until `next_expires_at`.
    ///
    /// Of many that present the same token, MUST let exactly one succeed, and tell the others that it
    /// was used before. MUST extend neither a revoked session, nor one past its end, nor one whose user is
    /// deactivated.
    async fn rotate(
        &self,
        presented: SecretHash,
        next: SecretHash,
        now: DateTime<Utc>,
        next_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, Error>;

    /// Ends a session and stores `event` with it. Repeating it changes nothing and stores nothing.
    async fn revoke(
        &self,
        session: SessionId,
        reason: &'static str,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error>;

    /// The session, if it is neither ended nor expired and its user is active.
    async fn live(&self, session: SessionId, now: DateTime<Utc>) -> Result<Option<LiveSession>, Error>;

    /// Stores a ticket of `session`, and may forget those that have expired by `now`.
    async fn put_ticket(
        &self,
        ticket: SecretHash,
        session: SessionId,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<(), Error>;

    /// Takes a ticket away and says whose it was, if it was still good. MUST succeed at most once.
    async fn take_ticket(&self, ticket: SecretHash, now: DateTime<Utc>) -> Result<Option<SessionId>, Error>;
}

/// Slow hashes of passwords.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Hashes with a fresh salt.
    async fn hash(&self, password: &Password) -> Result<Sensitive<String>, Error>;

    /// Whether `password` made `hash`. With `None` MUST take as long as with a hash and answer false,
    /// so that nobody learns which addresses exist. MUST answer [`Error::Busy`] rather than queue
    /// without bound.
    async fn verify(&self, password: &Password, hash: Option<Sensitive<String>>) -> Result<bool, Error>;
}

/// Access tokens and random secrets.
#[cfg_attr(feature = "testing", mockall::automock)]
pub trait TokenMint: Send + Sync {
    /// Signs an access token.
    fn access(&self, claims: &AccessClaims) -> Result<Sensitive<String>, Error>;

    /// Reads an access token. MUST refuse any algorithm, key, issuer, audience and type but its own, and
    /// every token outside its time, with [`Error::InvalidToken`].
    fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, Error>;

    /// A new secret of 256 random bits that starts with `prefix`, so that scanners find leaked ones.
    fn secret(&self, prefix: &'static str) -> Result<Sensitive<String>, Error>;

    /// The hash under which a secret is stored.
    fn digest(&self, secret: &str) -> SecretHash;
}
