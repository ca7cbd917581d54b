//! Clinical text as it rests in storage.
//!
//! Domains hand plain bytes and a [`SealContext`] to the [`Sealer`] port and store what comes back;
//! a store never sees plain text. The context is authenticated, so a ciphertext that was moved to
//! another row, column, scope or version does not open.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::BoxError;
use crate::ids::{ConversationId, DataKeyId, FileId, UserId};

/// What sealed text is sealed with, to be told to people (S0-71). The tag of GCM is its integrity code.
pub const ALGORITHM: &str = "AES-256-GCM";

/// Format, algorithm and data key id.
const HEADER_LEN: usize = 18;

/// Encrypted bytes: `format | algorithm | data key id | nonce | ciphertext | tag`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Bytes read from storage.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The data key that the bytes name, if they have a layout we know.
    pub fn key_id(&self) -> Option<DataKeyId> {
        match self.0.split_first_chunk::<HEADER_LEN>()? {
            ([1 | 2, 1, id @ ..], _) => Some(Uuid::from_bytes(*id).into()),
            _ => None,
        }
    }

    /// The bytes to store, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Whose key protects something. Destroying the key of a scope destroys all that it sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// What is said in a conversation.
    Conversation(ConversationId),
    /// Who a person is.
    User(UserId),
    /// What is in a file, and what it is called.
    File(FileId),
}

impl Scope {
    /// The kind's stable name, stored and authenticated.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Conversation(_) => "conversation",
            Self::User(_) => "user",
            Self::File(_) => "file",
        }
    }

    /// The id within its kind.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Conversation(id) => id.uuid(),
            Self::User(id) => id.uuid(),
            Self::File(id) => id.uuid(),
        }
    }
}

/// The place a ciphertext belongs to; it opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext {
    /// Table it is stored in.
    pub table: &'static str,
    /// Column it is stored in.
    pub column: &'static str,
    /// Key of the row.
    pub row: Uuid,
    /// Whose key.
    pub scope: Scope,
    /// Version of the row's content, from 1.
    pub version: u32,
}

/// Why sealing or opening failed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The bytes were changed, cut, moved, or sealed by a key we do not have. One variant for all, so
    /// that nothing can be learnt from the difference.
    #[error("sealed data does not open")]
    Broken,
    /// The keys of the scope were destroyed, and with them all that they sealed.
    #[error("the keys were destroyed")]
    Destroyed,
    /// The keys cannot be reached.
    #[error("data keys are unavailable")]
    Unavailable(#[source] BoxError),
}

/// Encrypts and decrypts.
#[async_trait]
pub trait Sealer: Send + Sync {
    /// Encrypts `plain` for the place `context`.
    ///
    /// MUST authenticate every field of the context, and MUST NOT return the same bytes twice. MUST fail with
    /// [`SealError::Destroyed`] where the keys of the scope were destroyed.
    async fn seal(&self, context: &SealContext, plain: &[u8]) -> Result<Sealed, SealError>;

    /// Whether `scope` has a key already. Sealing makes one, so whoever may be a stranger there is asked about
    /// their rights first. Destroyed keys are none.
    async fn has_key(&self, scope: Scope) -> Result<bool, SealError>;

    /// Decrypts all `items`, in order, fetching the keys they need at once; `None` for those whose keys were
    /// destroyed.
    ///
    /// MUST fail with [`SealError::Broken`] if one of them was not sealed for its context.
    async fn open_remaining(
        &self,
        items: &[(SealContext, &Sealed)],
    ) -> Result<Vec<Option<Vec<u8>>>, SealError>;

    /// Decrypts all `items`, in order.
    ///
    /// Fails with [`SealError::Broken`] if one of them was not sealed for its context, and with
    /// [`SealError::Destroyed`] if the keys of one were destroyed.
    async fn open_many(&self, items: &[(SealContext, &Sealed)]) -> Result<Vec<Vec<u8>>, SealError> {
        let opened = self.open_remaining(items).await?;
        opened.into_iter().map(|plain| plain.ok_or(SealError::Destroyed)).collect()
    }

    /// Forgets the keys of `scope` that it remembers, because they were destroyed.
    async fn forget(&self, scope: Scope);

    /// Keyed digest of `bytes` within `scope`: tells equal from different without telling what.
    fn fingerprint(&self, scope: Scope, bytes: &[u8]) -> [u8; 16];

    /// Keyed digest for looking a value up by equality, the same in every row of `column`.
    fn blind_index(&self, column: &'static str, bytes: &[u8]) -> [u8; 16];
}

/// Keyed digests of what texts can be found by, for an index that tells nothing without the key.
pub trait Tokeniser: Send + Sync {
    /// A token for each of `terms`, in order: the same for the same term in the same scope, and unlike in any other.
    fn tokens(&self, scope: Scope, terms: &[&str]) -> Vec<i64>;

    /// So many tokens of nothing, to hide how many there are.
    fn noise(&self, count: usize) -> Vec<i64>;
}

/// A sealer without secrets, for tests of use-cases. It keeps the contract as far as a test can tell: text
/// sealed for one place opens nowhere else, never looks the same twice, and does not contain its plain text.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default)]
pub struct PlainSealer {
    sealed: std::sync::atomic::AtomicU64,
    keyless: bool,
    destroyed: std::sync::Mutex<std::collections::HashSet<Scope>>,
}

#[cfg(any(test, feature = "testing"))]
impl PlainSealer {
    /// A sealer that says of every scope that it has no key yet.
    #[must_use]
    pub fn keyless() -> Self {
        Self { keyless: true, ..Self::default() }
    }

    /// Destroys the keys of `scope`.
    pub fn destroy(&self, scope: Scope) {
        self.destroyed().insert(scope);
    }

    fn destroyed(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<Scope>> {
        self.destroyed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Any value but 0: enough to keep plain text from being found by looking for it.
    const MASK: u8 = 0xa5;
    /// The length of the number that makes every result differ.
    const NONCE: usize = 8;

    fn place(context: &SealContext) -> Vec<u8> {
        format!("{context:?}|").into_bytes()
    }

    fn digest(place: impl std::hash::Hash, bytes: &[u8]) -> [u8; 16] {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, &place, bytes).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        ((half(0) << 64) | half(1)).to_be_bytes()
    }
}

#[cfg(any(test, feature = "testing"))]
#[async_trait]
impl Sealer for PlainSealer {
    async fn seal(&self, context: &SealContext, plain: &[u8]) -> Result<Sealed, SealError> {
        if self.destroyed().contains(&context.scope) {
            return Err(SealError::Destroyed);
        }
        let nonce = self.sealed.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes();
        let masked = plain.iter().map(|byte| byte ^ Self::MASK);
        Ok(Sealed(nonce.into_iter().chain(Self::place(context)).chain(masked).collect()))
    }

    async fn has_key(&self, scope: Scope) -> Result<bool, SealError> {
        Ok(!self.keyless && !self.destroyed().contains(&scope))
    }

    async fn open_remaining(
        &self,
        items: &[(SealContext, &Sealed)],
    ) -> Result<Vec<Option<Vec<u8>>>, SealError> {
        let destroyed = self.destroyed().clone();
        let open = |(context, sealed): &(SealContext, &Sealed)| {
            if destroyed.contains(&context.scope) {
                return Some(None);
            }
            let masked = sealed.0.get(Self::NONCE..)?.strip_prefix(Self::place(context).as_slice())?;
            Some(Some(masked.iter().map(|byte| byte ^ Self::MASK).collect()))
        };
        items.iter().map(|item| open(item).ok_or(SealError::Broken)).collect()
    }

    async fn forget(&self, _: Scope) {}

    fn fingerprint(&self, scope: Scope, bytes: &[u8]) -> [u8; 16] {
        Self::digest(scope, bytes)
    }

    fn blind_index(&self, column: &'static str, bytes: &[u8]) -> [u8; 16] {
        Self::digest(column, bytes)
    }
}

#[cfg(any(test, feature = "testing"))]
impl Tokeniser for PlainSealer {
    fn tokens(&self, scope: Scope, terms: &[&str]) -> Vec<i64> {
        let token = |term: &&str| {
            let [a, b, c, d, e, f, g, h, ..] = Self::digest(scope, term.as_bytes());
            i64::from_be_bytes([a, b, c, d, e, f, g, h])
        };
        terms.iter().map(token).collect()
    }

    fn noise(&self, count: usize) -> Vec<i64> {
        let next = |_| self.sealed.fetch_add(1, std::sync::atomic::Ordering::Relaxed).cast_signed();
        (0..count).map(next).collect()
    }
}

/// What may be done with a data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It seals and opens.
    Active,
    /// It opens what it sealed; the next seal makes a newer key.
    DecryptOnly,
    /// It is gone, and with it all that it sealed. So are the other keys of its scope, for ever.
    Destroyed,
}

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::DecryptOnly, Self::Destroyed];

    /// Its name in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::DecryptOnly => "decrypt_only",
            Self::Destroyed => "destroyed",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A data key as it is stored: wrapped by a key-encryption key.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The id that sealed bytes carry.
    pub id: DataKeyId,
    /// [`Scope::kind`].
    pub scope_kind: String,
    /// [`Scope::id`].
    pub scope_id: Uuid,
    /// Counts the keys of a scope, from 1.
    pub version: i32,
    /// What may be done with it.
    pub state: KeyState,
    /// Which key-encryption key wrapped it.
    pub kek_version: i32,
    /// The wrapped key; nothing, once it was destroyed.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({}, {} {}, {:?})", self.id, self.scope_kind, self.scope_id, self.state)
    }
}

/// A data key that was wrapped anew.
#[derive(Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// Which.
    pub id: DataKeyId,
    /// The key-encryption key that had wrapped it.
    pub from: i32,
    /// The one that has wrapped it now.
    pub to: i32,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

/// Where wrapped data keys are kept.
#[async_trait]
pub trait DataKeyStore: Send + Sync {
    /// The newest key of `scope`, in whatever state, if it has one.
    async fn newest(&self, scope: Scope) -> Result<Option<WrappedKey>, BoxError>;

    /// The keys with these ids, in any order and state. Unknown ones are left out.
    async fn by_ids(&self, ids: &[DataKeyId]) -> Result<Vec<WrappedKey>, BoxError>;

    /// Stores `key` and returns the scope's key of that version. When two nodes race, the first one
    /// wins and MUST be what both get. Where the keys of the scope were destroyed, nothing is stored, and a
    /// destroyed key MUST be what comes back.
    async fn insert(&self, key: WrappedKey) -> Result<WrappedKey, BoxError>;

    /// Any one stored key that was not destroyed, preferably the newest: used at start-up to prove that the
    /// key-encryption keys fit the data.
    async fn sample(&self) -> Result<Option<WrappedKey>, BoxError>;

    /// At most `limit` keys that another key-encryption key than `kek_version` wrapped, in the order of their ids,
    /// after `after`. Destroyed ones are left out.
    async fn not_wrapped_by(
        &self,
        kek_version: i32,
        after: Option<DataKeyId>,
        limit: i64,
    ) -> Result<Vec<WrappedKey>, BoxError>;

    /// Stores keys that were wrapped anew. Each is left alone whose stored wrapping is not the one it was made
    /// from, or that was destroyed meanwhile.
    async fn rewrap(&self, keys: &[Rewrapped]) -> Result<(), BoxError>;

    /// Makes at most `limit` active keys that are older than `before` open only, and tells how many it were.
    async fn retire(&self, before: DateTime<Utc>, limit: i64) -> Result<usize, BoxError>;

    /// Adds `seals` to what `key` has sealed; from `cap` on it opens only. Returns its state.
    async fn count_seals(&self, key: DataKeyId, seals: i64, cap: i64) -> Result<KeyState, BoxError>;
}
