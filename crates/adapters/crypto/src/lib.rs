//! The adapters that keep secrets: none of the algorithms is ours, only how they are put together.
//!
//! | type | implements | with |
//! |---|---|---|
//! | [`KeyRing`] | | the file that holds every long-lived secret |
//! | [`EnvelopeSealer`] | [`Sealer`](alivio_kernel::Sealer) | AES-256-GCM, one data key per conversation, user or file |
//! | | [`ContentSealer`](alivio_files::ContentSealer) | the same, in [segments](#files) |
//! | [`Argon2Hasher`] | [`PasswordHasher`](alivio_accounts::PasswordHasher) | Argon2id |
//! | [`EddsaTokens`] | [`TokenMint`](alivio_accounts::TokenMint) | Ed25519, SHA-256 |
//! | [`TotpCodes`] | [`OneTimeCodes`](alivio_accounts::OneTimeCodes) | TOTP: HMAC-SHA-1 |
//!
//! Randomness and the primitives come from AWS-LC; Argon2 and TOTP come from RustCrypto.
//!
//! # Files
//!
//! What is in a file is sealed in segments, and a segment in chunks of 64 KiB, as Hoang, Reyhanitabar, Rogaway and Vizár
//! have it (*STREAM*, CRYPTO 2015) and Tink does (*AES-GCM-HKDF streaming*): any stretch can be read by itself, and
//! nothing can be moved, left out or added unnoticed.
//!
//! | | what it is |
//! |---|---|
//! | header | format 1 (1), algorithm 1 (2), data key id 16, salt 14 |
//! | key of the segment | HKDF-Expand with SHA-256 (RFC 5869 §2.3) of the file's data key; info: a label, the header |
//! | nonce of a chunk | the salt's last 7 bytes, the chunk's number 4, 1 for the last chunk and 0 for any other 1 |
//! | authenticated besides | a label, the header, file and part |
//!
//! **Why a key for each segment.** A file has few segments, but each has as many nonces as chunks, so that two segments
//! under one key would need nonces that never meet: 7 random bytes meet after 2²⁸ segments, and a reused nonce gives
//! AES-GCM away. With a key made from 14 random bytes, two segments would have to draw the same 14 bytes under the same
//! data key; that is to be expected after 2⁵⁶ of them. Within a segment no number is sealed twice. The data key is
//! uniformly random, which is all that HKDF-Extract is for, so that step is left out.
//!
//! The data key seals texts of the same file too, its name among them, as every data key does; HMAC-SHA-256 and AES have
//! nothing in common that either would give away of the other. What is derived does not count as a seal.

mod content;
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
