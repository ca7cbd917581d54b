use alivio_kernel::Sensitive;
use alivio_kernel::ids::Uuid;
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{AccessClaims, Error, Password, SecretHash};

/// Slow hashes of passwords.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Hashes with a fresh salt.
    async fn hash(&self, password: &Password) -> Result<Sensitive<String>, Error>;

    /// Whether `password` made `hash`. With `None` MUST take as long as with a hash and answer false,
    /// so that nobody learns which addresses exist. MUST answer [`Error::Busy`] rather than queue
    /// without bound.
    ///
    /// Hashes of older systems MUST be understood, too (C-31).
    async fn verify(&self, password: &Password, hash: Option<Sensitive<String>>) -> Result<bool, Error>;

    /// Whether `hash` was made in an older way than [`PasswordHasher::hash`] does, and is to be replaced.
    fn is_outdated(&self, hash: &Sensitive<String>) -> bool;
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

    /// A keyed digest of `bytes` for `purpose`: the same on every node and at any time, and nothing else can be told
    /// from it.
    fn mac(&self, purpose: &'static str, bytes: &[u8]) -> [u8; 32];

    /// The secret of 256 bits that goes with `id`, the same whenever it is asked for. `purpose` is what it begins with,
    /// and MUST be told apart. So a secret that is sent by mail rests nowhere: the event carries `id`.
    fn derive(&self, purpose: &'static str, id: Uuid) -> Sensitive<String>;

    /// The hash under which a secret is stored.
    fn digest(&self, secret: &str) -> SecretHash;
}
