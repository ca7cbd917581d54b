//! The adapters that keep secrets: none of the algorithms is ours, only how they are put together.
//!
//! | type | implements | with |
//! |---|---|---|
//! | [`KeyRing`] | | the file that holds every long-lived secret |
//! | [`EnvelopeSealer`] | [`Sealer`](alivio_kernel::Sealer) | AES-256-GCM, one data key per conversation or user |
//! | [`Argon2Hasher`] | [`PasswordHasher`](alivio_accounts::PasswordHasher) | Argon2id |
//! | [`EddsaTokens`] | [`TokenMint`](alivio_accounts::TokenMint) | Ed25519, SHA-256 |
//! | [`TotpCodes`] | [`OneTimeCodes`](alivio_accounts::OneTimeCodes) | TOTP: HMAC-SHA-1 |
//!
//! Randomness and the primitives come from AWS-LC; Argon2 and TOTP come from RustCrypto.

mod envelope;
mod frame;
mod key_ring;
mod one_time_codes;
mod passwords;
mod tokens;

pub use envelope::{CACHE_LIFETIME, EnvelopeSealer, KeyCheckError, RewrapError};
pub use key_ring::{KeyRing, KeyRingError};
pub use one_time_codes::TotpCodes;
pub use passwords::Argon2Hasher;
pub use tokens::{AUDIENCE, EddsaTokens};

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no randomness is available")]
struct NoRandomness;

/// Random bytes.
fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
