use std::fmt;
use std::sync::Arc;

use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::{Caller, Effects, Origin};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    ACTIVITY_GRAIN, CredentialEpoch, Error, IDLE_LIFETIME, RevocationReason, SecretHash, SessionStage,
};

/// A sign-in about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The session.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// The epoch of the credentials that were proved.
    pub epoch: CredentialEpoch,
    /// Now.
    pub created_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// What may be done in it.
    pub stage: SessionStage,
    /// Where it was opened.
    pub origin: Origin,
    /// Its first refresh token; one that is not [`SessionStage::Full`] has none.
    pub refresh: Option<NewRefresh>,
    /// The session of the step before, which ends with this one's beginning.
    pub replaces: Option<SessionId>,
}

/// On what terms a session is opened, and what to store with it.
#[derive(Clone)]
pub struct Admission {
    /// How many live ones the user may have of its kind (full, or for a step), this one included.
    pub max_live: usize,
    /// Stored in any case.
    pub effects: Effects,
    /// Stored besides if the sign-in is unusual.
    pub unusual: Effects,
    /// Stored besides for each session that is ended to make room.
    pub evicted: Arc<dyn Fn(SessionId) -> Effects + Send + Sync>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("max_live", &self.max_live).finish_non_exhaustive()
    }
}

/// A live session, as its owner sees it in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The session.
    pub id: SessionId,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When something was last done in it.
    pub last_active_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// What may be done in it.
    pub stage: SessionStage,
    /// Where it was opened.
    pub origin: Origin,
    /// Whether the account was new to its device or network.
    pub is_new_device: bool,
}

/// A refresh token about to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRefresh {
    /// Its hash.
    pub hash: SecretHash,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// A session that may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSession {
    /// Who acts, with the role they have now, from an address that is not known here.
    pub caller: Caller,
    /// What may be done in it.
    pub stage: SessionStage,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// When something was last done in it.
    pub last_active_at: DateTime<Utc>,
}

impl LiveSession {
    /// Whether it still lives at `now`, if nothing was done in it since.
    pub fn lives(&self, now: DateTime<Utc>) -> bool {
        now < self.expires_at && now < self.last_active_at + IDLE_LIFETIME
    }

    /// Whether activity at `now` is to be noted.
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        now - self.last_active_at >= ACTIVITY_GRAIN
    }
}

impl LiveSession {
    /// The session, if everything the role allows may be done in it.
    ///
    /// # Errors
    /// [`Error::StepRequired`].
    pub fn full(self) -> Result<Self, Error> {
        if self.stage == SessionStage::Full { Ok(self) } else { Err(Error::StepRequired(self.stage)) }
    }
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
///
/// A session is *live* if it was neither revoked nor is past its end, something was done in it within
/// [`IDLE_LIFETIME`], and its user is active.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Stores a session with its first refresh token, and says which ones it ended to make room.
    ///
    /// It is unusual if it is full, the user has had a full session before, and none within
    /// [`USUAL_FOR`](crate::USUAL_FOR) was on the same device or none in the same network (/24, /48).
    ///
    /// MUST leave no more than [`Admission::max_live`] live sessions of its kind, by ending the oldest with
    /// [`RevocationReason::Evicted`] in the same transaction, however many are opened at once. MUST end
    /// [`NewSession::replaces`], and MUST answer [`Error::SessionEnded`] and store nothing if that one does not
    /// live. MUST answer [`Error::InvalidCredentials`] and store nothing if the user is deactivated, or their
    /// credentials have another epoch than [`NewSession::epoch`] by the time it is stored: whatever begins another
    /// epoch takes turns with this (AU-05, AU-10).
    async fn open(&self, session: &NewSession, admission: &Admission) -> Result<Vec<SessionId>, Error>;

    /// Replaces `presented` by `next`, good until `next_expires_at`, and notes activity.
    ///
    /// Of many that present the same token, MUST let exactly one succeed, and tell the others that it
    /// was used before. MUST NOT extend a session that does not live.
    async fn rotate(
        &self,
        presented: SecretHash,
        next: SecretHash,
        now: DateTime<Utc>,
        next_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, Error>;

    /// Ends a session of `owner` and stores `effects` with it. Whether it did: repeating it, or naming the session
    /// of another, MUST change nothing and store nothing.
    async fn revoke(
        &self,
        session: SessionId,
        owner: UserId,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Ends all sessions of `user`, except one if so told, and stores `effects` if there was any. Whether there was:
    /// repeating it MUST store nothing. It takes turns with [`open`](Self::open), and MUST begin another epoch in any
    /// case, so that no sign-in slips through.
    async fn revoke_all(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// The session, if it is live. Asking is not activity.
    async fn live(&self, session: SessionId, now: DateTime<Utc>) -> Result<Option<LiveSession>, Error>;

    /// Notes activity in a session and says whether it is live. MUST NOT revive one that is not, and MUST NOT go
    /// back in time.
    async fn touch(&self, session: SessionId, now: DateTime<Utc>) -> Result<bool, Error>;

    /// The live sessions of `user`, the newest first.
    async fn list(&self, user: UserId, now: DateTime<Utc>) -> Result<Vec<SessionRecord>, Error>;

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
