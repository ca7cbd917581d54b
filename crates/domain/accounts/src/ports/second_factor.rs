use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::{Effects, Sealed, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{CredentialEpoch, Error, OneTimeCode, RecoveryCode, SecretHash};

/// A second factor as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFactor {
    /// The sealed secret that codes are made of.
    pub secret: Sealed,
    /// Since when it is on; not yet, while it is being set up.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// How many recovery codes were not used yet.
    pub recovery_codes_left: u32,
}

/// A second factor about to be turned on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Whose.
    pub user_id: UserId,
    /// The secret that a code was shown of.
    pub secret: Sealed,
    /// The step of that code, which counts as used.
    pub step: i64,
    /// The recovery codes.
    pub codes: Vec<SecretHash>,
    /// The session it is made in; all others end.
    pub session: SessionId,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What came of wanting to try a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// There is no second factor, or it is not on yet.
    Off,
    /// Codes are refused until then.
    Locked {
        /// The end of it.
        until: DateTime<Utc>,
    },
    /// It may be tried, and counts as a wrong one until it proves right.
    Begun {
        /// The factor.
        factor: StoredFactor,
        /// Until when codes are refused if it is wrong.
        locks_until: Option<DateTime<Utc>>,
    },
}

/// Second factors and recovery codes.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SecondFactorStore: Send + Sync {
    /// The second factor of `user`, on or being set up.
    async fn find(&self, user: UserId) -> Result<Option<StoredFactor>, Error>;

    /// Stores a secret that is to be confirmed, in place of an earlier such one. MUST answer
    /// [`Error::SecondFactorOn`] and change nothing if one is on.
    async fn begin(
        &self,
        user: UserId,
        secret: &Sealed,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error>;

    /// Turns the second factor on, if the secret is the one being set up, and stores the recovery codes. The epoch
    /// that begins with it, if it did: of many at once, MUST let exactly one succeed. MUST end all sessions but the
    /// one it is made in, in the same transaction.
    async fn confirm(
        &self,
        confirmation: &Confirmation,
        effects: Effects,
    ) -> Result<Option<CredentialEpoch>, Error>;

    /// Counts a try in advance. After [`MAX_FAILURES`](crate::MAX_FAILURES) without a right one, MUST refuse further
    /// ones for as long as [`lock_after`](crate::lock_after) says, however many come at once.
    async fn begin_attempt(&self, user: UserId, now: DateTime<Utc>) -> Result<Attempt, Error>;

    /// Uses the code of a time step, and forgives earlier wrong ones. Whether it did: MUST succeed at most once per
    /// step, and for no earlier one afterwards.
    async fn use_step(&self, user: UserId, step: i64, effects: Effects) -> Result<bool, Error>;

    /// Uses a recovery code, and forgives earlier wrong ones. Whether it did: MUST succeed at most once per code.
    async fn use_recovery_code(
        &self,
        user: UserId,
        code: SecretHash,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Replaces all recovery codes of a second factor that is on. Whether there is one.
    async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: &[SecretHash],
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Turns the second factor off and forgets it with its recovery codes. Whether one was on; if so, MUST begin
    /// another epoch.
    async fn remove(&self, user: UserId, effects: Effects) -> Result<bool, Error>;

    /// Like [`remove`](Self::remove), and ends all sessions of `user` in the same transaction.
    async fn reset(&self, user: UserId, now: DateTime<Utc>, effects: Effects) -> Result<bool, Error>;
}

/// What an authenticator app needs to know.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The secret in base 32, to be typed.
    pub secret: Sensitive<String>,
    /// The same as an `otpauth://` address, to be shown as a QR code.
    pub url: Sensitive<String>,
}

/// Codes that are good for one time step (TOTP, RFC 6238), and random recovery codes.
#[cfg_attr(feature = "testing", mockall::automock)]
pub trait OneTimeCodes: Send + Sync {
    /// A new secret of at least 160 random bits.
    fn secret(&self) -> Result<Sensitive<Vec<u8>>, Error>;

    /// How an app learns `secret`, which it shows under the name `account`.
    fn enrolment(&self, secret: &[u8], account: &str) -> Result<Enrolment, Error>;

    /// The time step that `code` is of. MUST look at the present one, the one before and the one after, and at no
    /// other (AU-11).
    fn step_of(&self, secret: &[u8], code: &OneTimeCode, now: DateTime<Utc>) -> Result<Option<i64>, Error>;

    /// A new recovery code of at least 80 random bits.
    fn recovery_code(&self) -> Result<RecoveryCode, Error>;
}
