use alivio_kernel::ids::{RegistrationId, UserId};
use alivio_kernel::{Effects, Language, Role, Sealed, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, SecretHash};

/// Someone who signed up and has not confirmed their address yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRegistration {
    /// Which.
    pub id: RegistrationId,
    /// The hash of the token that confirms it.
    pub token: SecretHash,
    /// The id of the user that will be.
    pub user_id: UserId,
    /// The blind index of the address.
    pub email_index: [u8; 16],
    /// Sealed [`Identity`](crate::Identity) of the user that will be.
    pub identity: Sealed,
    /// The hash of the password.
    pub password_hash: Sensitive<String>,
    /// What the account will be for.
    pub role: Role,
    /// The language to write to them in.
    pub language: Language,
    /// When they signed up.
    pub created_at: DateTime<Utc>,
    /// Until when it can be confirmed.
    pub expires_at: DateTime<Utc>,
}

/// Registrations that wait for their address to be confirmed.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait RegistrationStore: Send + Sync {
    /// Stores `registration` and `effects`, whether its address is taken or not. MUST NOT take longer, nor answer
    /// differently, for one that is. May forget those that have expired.
    async fn begin(&self, registration: &PendingRegistration, effects: &Effects) -> Result<(), Error>;

    /// The registration, if it still waits.
    async fn pending(
        &self,
        id: RegistrationId,
        now: DateTime<Utc>,
    ) -> Result<Option<PendingRegistration>, Error>;

    /// The registration that `token` confirms, if it still waits. Asking is a try at its password: after
    /// [`CONFIRMATION_TRIES`](crate::CONFIRMATION_TRIES) it MUST wait no longer, however many ask at once.
    async fn attempt(
        &self,
        token: SecretHash,
        now: DateTime<Utc>,
    ) -> Result<Option<PendingRegistration>, Error>;

    /// Makes the account and stores `effects`; false if the registration no longer waits. Of many at once MUST let
    /// one succeed. MUST answer [`Error::EmailTaken`], and change nothing, when the address has an account by now.
    async fn confirm(&self, id: RegistrationId, now: DateTime<Utc>, effects: &Effects)
    -> Result<bool, Error>;
}
