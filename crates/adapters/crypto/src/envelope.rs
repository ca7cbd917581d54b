use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use alivio_kernel::ids::DataKeyId;
use alivio_kernel::sealing::{
    DataKeyStore, KeyState, Rewrapped, Scope, SealContext, SealError, Sealed, Sealer, Tokeniser, WrappedKey,
};
use alivio_kernel::{BoxError, Clock, IdSource};
use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use moka::future::Cache;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::frame::frame;
use crate::key_ring::LiveKeks;
use crate::{KeyRing, random};

/// How long an unwrapped data key is remembered: so long after a key was destroyed, the last node has
/// forgotten it too.
pub const CACHE_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// About 1 KiB each.
const CACHED_KEYS: u64 = 32_768;

/// Sealed bytes as long as their plain text, and of wrapped keys.
const FORMAT: u8 = 1;
/// Sealed bytes whose plain text was filled up to a multiple of [`BUCKET`], so that its length tells little.
const PADDED: u8 = 2;
const BUCKET: usize = 256;
/// Ends the plain text in front of the zeros that fill it up (ISO/IEC 7816-4).
const END: u8 = 0x80;
/// AES-256-GCM with a random 96-bit nonce.
const AES_256_GCM_RANDOM: u8 = 1;
const ID_LEN: usize = 16;
const HEADER_LEN: usize = 2 + ID_LEN;
const TAG_LEN: usize = 16;
/// Of a wrapped key: format and algorithm.
const WRAP_HEADER: [u8; 2] = [FORMAT, AES_256_GCM_RANDOM];
const DATA_KEY_LEN: usize = 32;
/// NIST SP 800-38D allows 2³² random nonces per key.
const SEAL_CAP: i64 = 1 << 28;
/// After so many seals a node adds them to the key's count. What it seals less before it forgets the key is not
/// counted: to fill the room up to 2³² that way would take a node longer than 25 years.
const SEALS_COUNTED_AT_ONCE: i64 = 4096;
/// How many keys are wrapped anew in one statement.
const REWRAPPED_AT_ONCE: i64 = 500;

/// Envelope encryption: a key-encryption key of the [`KeyRing`] wraps the data key of a conversation, user or
/// file, and the data key seals what is theirs. What is in a file is sealed in [segments](crate#files).
///
/// | | layout | authenticated besides |
/// |---|---|---|
/// | sealed bytes | format 1 (1 or, filled up, 2), algorithm 1, data key id 16, nonce 12, ciphertext, tag 16 | header, table, column, row, scope, row version |
/// | wrapped key | format 1, algorithm 1, nonce 12, ciphertext 32, tag 16 | header, key id, scope, version, KEK version |
///
/// The layout is a promise to stored data: a change of it needs a new format number, and the old one
/// must go on opening.
///
/// What is said in a conversation is filled up to a multiple of 256 bytes before it is sealed.
///
/// Nonces are random. NIST SP 800-38D allows 2³² of them per key; after 2²⁸ seals a scope gets a newer key by
/// itself, and the old one opens only.
///
/// # Rotation
///
/// The key ring's file is looked at again when a stored key names a key-encryption key that is not known, and
/// before a new key is wrapped. So all nodes that share the file, or were given a new copy of it, go on without a
/// restart when [`rewrap_all`](Self::rewrap_all) runs anywhere.
pub struct EnvelopeSealer {
    keks: LiveKeks,
    index: IndexKeys,
    store: Arc<dyn DataKeyStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    by_id: Cache<DataKeyId, Arc<DataKey>>,
    active: Cache<Scope, Arc<DataKey>>,
    limits: Limits,
}

/// What only tests choose.
#[derive(Clone, Copy)]
struct Limits {
    lifetime: Duration,
    seals_counted_at_once: i64,
    seal_cap: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lifetime: CACHE_LIFETIME, seals_counted_at_once: SEALS_COUNTED_AT_ONCE, seal_cap: SEAL_CAP }
    }
}

impl EnvelopeSealer {
    /// A sealer that keeps its wrapped data keys in `store`.
    pub fn new(
        ring: &KeyRing,
        store: Arc<dyn DataKeyStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self::limited(ring, store, clock, ids, Limits::default())
    }

    fn limited(
        ring: &KeyRing,
        store: Arc<dyn DataKeyStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        limits: Limits,
    ) -> Self {
        let lifetime = limits.lifetime;
        // From insertion, not from last use: a key in steady use must be forgotten as well.
        Self {
            keks: LiveKeks::new(ring),
            index: IndexKeys::new(ring.index_root()),
            store,
            clock,
            ids,
            by_id: Cache::builder().max_capacity(CACHED_KEYS).time_to_live(lifetime).build(),
            active: Cache::builder().max_capacity(CACHED_KEYS).time_to_live(lifetime).build(),
            limits,
        }
    }

    /// Wraps all stored keys by the ring's current key-encryption key, as many at once as do no harm to whoever
    /// works meanwhile, and tells how many it were. It can be broken off at any time and begun again; running
    /// twice at once does no harm.
    ///
    /// # Errors
    /// [`RewrapError`]; what was wrapped anew until then stays.
    pub async fn rewrap_all(&self) -> Result<usize, RewrapError> {
        let to = self.keks.refreshed().current();
        let (mut done, mut after) = (0, None);
        loop {
            let page = self.store.not_wrapped_by(to, after, REWRAPPED_AT_ONCE).await;
            let page = page.map_err(RewrapError::Store)?;
            let Some(last) = page.last() else { return Ok(done) };
            after = Some(last.id);
            let anew = page.iter().map(|key| self.rewrapped(key, to)).collect::<Result<Vec<_>, _>>()?;
            self.store.rewrap(&anew).await.map_err(RewrapError::Store)?;
            done += anew.len();
        }
    }

    fn rewrapped(&self, key: &WrappedKey, to: i32) -> Result<Rewrapped, RewrapError> {
        let (id, from) = (key.id, key.kek_version);
        let plain = self.plain_key(key).map_err(|_| RewrapError::Refused { key: id, kek_version: from })?;
        let anew = WrappedKey { kek_version: to, wrapped: Vec::new(), ..key.clone() };
        let wrapped = self.wrap(&anew, &plain).map_err(|error| RewrapError::Store(error.into()))?;
        Ok(Rewrapped { id, from, to, wrapped })
    }

    /// Whether the key ring fits the stored data; for start-up, before anything is sealed with a key
    /// that the rest of the data does not know. Succeeds where nothing is stored yet.
    pub async fn check(&self) -> Result<(), KeyCheckError> {
        let Some(sample) = self.store.sample().await.map_err(KeyCheckError::Store)? else {
            return Ok(());
        };
        let (key, kek_version) = (sample.id, sample.kek_version);
        match self.unwrap(&sample) {
            Ok(_) => Ok(()),
            Err(UnwrapError::NoKek) => Err(KeyCheckError::MissingKek { kek_version, key }),
            Err(UnwrapError::Refused) => Err(KeyCheckError::WrongKek { kek_version, key }),
        }
    }

    /// The version of the key-encryption key that new keys are wrapped by.
    pub fn current_kek(&self) -> i32 {
        self.keks.refreshed().current()
    }

    /// The key that seals in `scope`, made if there is none.
    pub(crate) async fn active_key(&self, scope: Scope) -> Result<Arc<DataKey>, SealError> {
        if let Some(key) = self.active.get(&scope).await {
            return Ok(key);
        }
        // Of all that wait for the same key, one fetches or makes it.
        self.active.try_get_with(scope, self.load_active(scope)).await.map_err(shared)
    }

    async fn load_active(&self, scope: Scope) -> Result<Arc<DataKey>, SealError> {
        let newest = self.store.newest(scope).await.map_err(SealError::Unavailable)?;
        let wrapped = match newest {
            Some(wrapped) if wrapped.state != KeyState::DecryptOnly => wrapped,
            older => {
                let next = self.new_key(scope, older.map_or(1, |older| older.version + 1))?;
                // Another node may have been faster: then its key comes back, and ours is forgotten.
                self.store.insert(next).await.map_err(SealError::Unavailable)?
            }
        };
        if wrapped.state == KeyState::Destroyed {
            return Err(SealError::Destroyed);
        }
        self.ready(scope, &wrapped).await
    }

    async fn ready(&self, scope: Scope, wrapped: &WrappedKey) -> Result<Arc<DataKey>, SealError> {
        let key = self.unwrap_logged(wrapped).map_err(|_| SealError::Broken)?;
        if !key.is_of(scope) {
            return Err(SealError::Broken);
        }
        self.by_id.insert(key.id, Arc::clone(&key)).await;
        Ok(key)
    }

    /// A new key for `scope`, wrapped by the current key-encryption key.
    fn new_key(&self, scope: Scope, version: i32) -> Result<WrappedKey, SealError> {
        let mut key = WrappedKey {
            id: DataKeyId::generate(&*self.ids),
            scope_kind: scope.kind().to_owned(),
            scope_id: scope.id(),
            version,
            state: KeyState::Active,
            // Of the file as it is now: whoever rotates must not find keys of the old version for ever.
            kek_version: self.keks.refreshed().current(),
            wrapped: Vec::new(),
            created_at: self.clock.now(),
        };
        let plain = random::<DATA_KEY_LEN>().map_err(|error| SealError::Unavailable(error.into()))?;
        let plain = Zeroizing::new(plain.to_vec());
        key.wrapped = self.wrap(&key, &plain).map_err(|error| SealError::Unavailable(error.into()))?;
        Ok(key)
    }

    /// The bytes of `key` to store, wrapped by the key-encryption key that it names.
    fn wrap(&self, key: &WrappedKey, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let nonce = random().map_err(|_| Unspecified)?;
        let keks = self.keks.get();
        let kek = keks.get(key.kek_version).ok_or(Unspecified).and_then(expanded)?;
        seal(&kek, &WRAP_HEADER, nonce, &wrap_aad(key), plain)
    }

    /// The data keys with `ids`, which MUST be free of duplicates: cached ones, and the rest from the
    /// store at once. Unknown ones are left out.
    pub(crate) async fn keys(
        &self,
        ids: Vec<DataKeyId>,
    ) -> Result<HashMap<DataKeyId, Arc<DataKey>>, SealError> {
        let mut found = HashMap::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            match self.by_id.get(&id).await {
                Some(key) => drop(found.insert(id, key)),
                None => missing.push(id),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        for wrapped in self.store.by_ids(&missing).await.map_err(SealError::Unavailable)? {
            let key = self.unwrap_logged(&wrapped).map_err(|_| SealError::Broken)?;
            self.by_id.insert(key.id, Arc::clone(&key)).await;
            found.insert(key.id, key);
        }
        Ok(found)
    }

    fn unwrap(&self, wrapped: &WrappedKey) -> Result<Arc<DataKey>, UnwrapError> {
        let key = match wrapped.state {
            KeyState::Destroyed => None,
            KeyState::Active | KeyState::DecryptOnly => Some(UsableKey::new(&self.plain_key(wrapped)?)?),
        };
        Ok(Arc::new(DataKey {
            id: wrapped.id,
            scope_kind: wrapped.scope_kind.as_str().into(),
            scope_id: wrapped.scope_id,
            key,
            seals: AtomicI64::new(0),
        }))
    }

    fn plain_key(&self, wrapped: &WrappedKey) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let mut keks = self.keks.get();
        if keks.get(wrapped.kek_version).is_none() {
            keks = self.keks.refreshed();
        }
        let kek = expanded(keks.get(wrapped.kek_version).ok_or(UnwrapError::NoKek)?)?;
        let rest = wrapped.wrapped.strip_prefix(&WRAP_HEADER).ok_or(UnwrapError::Refused)?;
        Ok(Zeroizing::new(open(&kek, rest, &wrap_aad(wrapped))?))
    }

    /// Counts a seal. From the cap on, the next one is by a newer key.
    async fn count(&self, key: &DataKey, scope: Scope) {
        let Limits { seals_counted_at_once: step, seal_cap, .. } = self.limits;
        if (key.seals.fetch_add(1, Ordering::Relaxed) + 1) % step != 0 {
            return;
        }
        match self.store.count_seals(key.id, step, seal_cap).await {
            Ok(KeyState::Active) => {}
            Ok(KeyState::DecryptOnly | KeyState::Destroyed) => self.active.invalidate(&scope).await,
            // Nothing is lost but some of the wide margin.
            Err(error) => tracing::warn!(key = %key.id, error, "data_key.seals_not_counted"),
        }
    }

    /// Callers learn only that something is broken; the operator learns here which key it was.
    fn unwrap_logged(&self, wrapped: &WrappedKey) -> Result<Arc<DataKey>, UnwrapError> {
        self.unwrap(wrapped).inspect_err(|error| {
            tracing::error!(key = %wrapped.id, kek_version = wrapped.kek_version, %error, "data key not unwrapped");
        })
    }
}

impl fmt::Debug for EnvelopeSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeSealer").finish_non_exhaustive()
    }
}

#[async_trait]
impl Sealer for EnvelopeSealer {
    async fn seal(&self, context: &SealContext, plain: &[u8]) -> Result<Sealed, SealError> {
        let unavailable = |error: BoxError| SealError::Unavailable(error);
        let key = self.active_key(context.scope).await?;
        let usable = key.key.as_ref().ok_or(SealError::Destroyed)?;
        let nonce = random().map_err(|error| unavailable(error.into()))?;
        let format = if let Scope::Conversation(_) = context.scope { PADDED } else { FORMAT };
        let header = header(format, key.id);
        let aad = content_aad(&header, context);
        let sealed = match format {
            PADDED => seal(&usable.aead, &header, nonce, &aad, &padded(plain)),
            _ => seal(&usable.aead, &header, nonce, &aad, plain),
        };
        let sealed = sealed.map_err(|error| unavailable(error.into()))?;
        self.count(&key, context.scope).await;
        Ok(Sealed::from_bytes(sealed))
    }

    async fn has_key(&self, scope: Scope) -> Result<bool, SealError> {
        if self.active.contains_key(&scope) {
            return Ok(true);
        }
        let newest = self.store.newest(scope).await.map_err(SealError::Unavailable)?;
        let Some(wrapped) = newest else { return Ok(false) };
        match wrapped.state {
            KeyState::Destroyed => return Ok(false),
            KeyState::DecryptOnly => {}
            KeyState::Active => {
                let key = self.ready(scope, &wrapped).await?;
                self.active.insert(scope, key).await;
            }
        }
        Ok(true)
    }

    async fn open_remaining(
        &self,
        items: &[(SealContext, &Sealed)],
    ) -> Result<Vec<Option<Vec<u8>>>, SealError> {
        let ids = items.iter().map(|(_, sealed)| key_id(sealed)).collect::<Result<Vec<_>, _>>()?;
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let keys = self.keys(distinct).await?;

        ids.iter()
            .zip(items)
            .map(|(id, (context, sealed))| {
                let key = keys.get(id).ok_or(SealError::Broken)?;
                if !key.is_of(context.scope) {
                    return Err(SealError::Broken);
                }
                let Some(usable) = &key.key else { return Ok(None) };
                let (header, rest) =
                    sealed.as_bytes().split_at_checked(HEADER_LEN).ok_or(SealError::Broken)?;
                let mut plain =
                    open(&usable.aead, rest, &content_aad(header, context)).map_err(|_| SealError::Broken)?;
                if header.first() == Some(&PADDED) {
                    strip_padding(&mut plain).ok_or(SealError::Broken)?;
                }
                Ok(Some(plain))
            })
            .collect()
    }

    async fn forget(&self, scope: Scope) {
        self.active.invalidate(&scope).await;
        let theirs: Vec<_> =
            self.by_id.iter().filter(|(_, key)| key.is_of(scope)).map(|(id, _)| *id).collect();
        for id in theirs {
            self.by_id.invalidate(&id).await;
        }
    }

    fn fingerprint(&self, scope: Scope, bytes: &[u8]) -> [u8; 16] {
        self.index.digest(&[b"fingerprint", scope.kind().as_bytes(), scope.id().as_bytes()], bytes)
    }

    fn blind_index(&self, column: &'static str, bytes: &[u8]) -> [u8; 16] {
        self.index.digest(&[b"blind_index", column.as_bytes()], bytes)
    }
}

impl Tokeniser for EnvelopeSealer {
    fn tokens(&self, scope: Scope, terms: &[&str]) -> Vec<i64> {
        let key = self.index.key(&frame(&[b"search", scope.kind().as_bytes(), scope.id().as_bytes()]));
        let token = |term: &&str| {
            let mut short = [0; 8];
            short.copy_from_slice(&hmac::sign(&key, term.as_bytes()).as_ref()[..8]);
            i64::from_be_bytes(short)
        };
        terms.iter().map(token).collect()
    }

    fn noise(&self, count: usize) -> Vec<i64> {
        // Without randomness there is no noise; sealing has failed long before that.
        (0..count).filter_map(|_| random().ok()).map(i64::from_be_bytes).collect()
    }
}

/// Why [`EnvelopeSealer::check`] found the key ring unfit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyCheckError {
    /// The stored keys cannot be read.
    #[error("the data keys cannot be read")]
    Store(#[source] BoxError),

    /// The ring lacks a version.
    #[error(
        "the key ring has no key-encryption key version {kek_version}, which data key {key} needs: add it from \
         the backup of the key ring that this database was filled with"
    )]
    MissingKek {
        /// The version that is missing.
        kek_version: i32,
        /// The data key that was tried.
        key: DataKeyId,
    },

    /// The ring has another key under that version, or the stored key was changed.
    #[error(
        "key-encryption key version {kek_version} of the key ring does not open data key {key}: this key ring \
         does not belong to this database, or the database was tampered with"
    )]
    WrongKek {
        /// The version that does not fit.
        kek_version: i32,
        /// The data key that was tried.
        key: DataKeyId,
    },
}

/// Why [`EnvelopeSealer::rewrap_all`] stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewrapError {
    /// The stored keys cannot be read or written.
    #[error("the data keys cannot be wrapped anew")]
    Store(#[source] BoxError),

    /// A stored key does not open.
    #[error(
        "the key ring's key-encryption key version {kek_version} is missing or does not open data key {key}; \
         take it from the backup of the key ring, and begin again"
    )]
    Refused {
        /// The key-encryption key that is asked for.
        kek_version: i32,
        /// The data key that was tried.
        key: DataKeyId,
    },
}

#[derive(Debug, thiserror::Error)]
enum UnwrapError {
    #[error("the key ring has no such key-encryption key")]
    NoKek,
    #[error("the key-encryption key does not open it")]
    Refused,
}

impl From<Unspecified> for UnwrapError {
    fn from(_: Unspecified) -> Self {
        Self::Refused
    }
}

/// A data key ready for use.
pub(crate) struct DataKey {
    pub(crate) id: DataKeyId,
    scope_kind: Box<str>,
    scope_id: Uuid,
    /// None: it was destroyed.
    pub(crate) key: Option<UsableKey>,
    /// How often it has sealed since it was fetched.
    seals: AtomicI64,
}

/// What a data key does. AWS-LC wipes both when they are dropped.
pub(crate) struct UsableKey {
    /// Seals texts.
    aead: LessSafeKey,
    /// Makes the keys of segments.
    root: hmac::Key,
}

impl UsableKey {
    fn new(plain: &[u8]) -> Result<Self, Unspecified> {
        Ok(Self { aead: expanded(plain)?, root: hmac::Key::new(hmac::HMAC_SHA256, plain) })
    }

    /// The key for one use, which `info` names as no other.
    pub(crate) fn derive(&self, info: &[u8]) -> Result<LessSafeKey, Unspecified> {
        expanded(expand(&self.root, info).as_ref())
    }
}

impl DataKey {
    pub(crate) fn is_of(&self, scope: Scope) -> bool {
        *self.scope_kind == *scope.kind() && self.scope_id == scope.id()
    }
}

/// An error that several waited for.
fn shared(error: Arc<SealError>) -> SealError {
    Arc::try_unwrap(error).unwrap_or_else(|error| match *error {
        SealError::Broken => SealError::Broken,
        SealError::Destroyed => SealError::Destroyed,
        SealError::Unavailable(_) => SealError::Unavailable(Box::new(error)),
    })
}

fn padded(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = (plain.len() + 1).next_multiple_of(BUCKET);
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.extend_from_slice(plain);
    padded.push(END);
    padded.resize(length, 0);
    padded
}

/// Undoes [`padded`], if it was that.
fn strip_padding(padded: &mut Vec<u8>) -> Option<()> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    if padded.get(end) != Some(&END) {
        return None;
    }
    padded.truncate(end);
    Some(())
}

fn header(format: u8, key: DataKeyId) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0] = format;
    header[1] = AES_256_GCM_RANDOM;
    header[2..].copy_from_slice(key.uuid().as_bytes());
    header
}

/// The data key that `sealed` names, if it has the layout we know.
fn key_id(sealed: &Sealed) -> Result<DataKeyId, SealError> {
    match sealed.as_bytes().split_first_chunk::<HEADER_LEN>() {
        Some(([FORMAT | PADDED, AES_256_GCM_RANDOM, id @ ..], rest)) if rest.len() >= NONCE_LEN + TAG_LEN => {
            Ok(Uuid::from_bytes(*id).into())
        }
        _ => Err(SealError::Broken),
    }
}

fn content_aad(header: &[u8], context: &SealContext) -> Vec<u8> {
    frame(&[
        b"alivio content",
        header,
        context.table.as_bytes(),
        context.column.as_bytes(),
        context.row.as_bytes(),
        context.scope.kind().as_bytes(),
        context.scope.id().as_bytes(),
        &context.version.to_be_bytes(),
    ])
}

fn wrap_aad(key: &WrappedKey) -> Vec<u8> {
    frame(&[
        b"alivio data key",
        &WRAP_HEADER,
        key.id.uuid().as_bytes(),
        key.scope_kind.as_bytes(),
        key.scope_id.as_bytes(),
        &key.version.to_be_bytes(),
        &key.kek_version.to_be_bytes(),
    ])
}

fn expanded(key: &[u8]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new)
}

/// `header | nonce | ciphertext | tag`.
fn seal(
    key: &LessSafeKey,
    header: &[u8],
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let start = header.len() + NONCE_LEN;
    let mut sealed = Vec::with_capacity(start + plain.len() + TAG_LEN);
    sealed.extend_from_slice(header);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut sealed[start..])?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// The plain text of `nonce | ciphertext | tag`.
fn open(key: &LessSafeKey, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unspecified)?;
    let mut plain = rest.to_vec();
    let opened = key.open_in_place(Nonce::from(nonce), Aad::from(aad), &mut plain)?.len();
    plain.truncate(opened);
    Ok(plain)
}

/// HKDF-Expand (RFC 5869 §2.3) to the 32 bytes of one block. Spelled out because the library's cannot be
/// called without an error case that never happens.
fn expand(key: &hmac::Key, info: &[u8]) -> hmac::Tag {
    let mut block = hmac::Context::with_key(key);
    block.update(info);
    block.update(&[1]);
    block.sign()
}

/// Keys for digests, one for each purpose and place, all from the index root.
struct IndexKeys(hmac::Key);

impl IndexKeys {
    /// HKDF-Extract (RFC 5869 §2.2), done once.
    fn new(root: &[u8]) -> Self {
        let salt = hmac::Key::new(hmac::HMAC_SHA256, b"alivio index v1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&salt, root).as_ref()))
    }

    fn key(&self, info: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, expand(&self.0, info).as_ref())
    }

    fn digest(&self, place: &[&[u8]], bytes: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.key(&frame(place)), bytes);
        let mut short = [0; 16];
        short.copy_from_slice(&tag.as_ref()[..16]);
        short
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use alivio_kernel::ids::ConversationId;
    use alivio_kernel::{ManualClock, SystemIds};
    use futures_util::FutureExt;

    use super::*;

    /// Wrapped keys in memory. Every call gives way once, so that callers interleave as they do around
    /// a database.
    #[derive(Default)]
    struct Keys {
        rows: Mutex<Vec<WrappedKey>>,
        down: AtomicBool,
        /// How many more rewrapped pages are stored before it is down.
        rewraps_left: Mutex<Option<usize>>,
        active: AtomicUsize,
        by_ids: AtomicUsize,
        inserts: AtomicUsize,
        seals: Mutex<HashMap<DataKeyId, i64>>,
    }

    impl Keys {
        async fn call(&self, counter: &AtomicUsize) -> Result<(), BoxError> {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if self.down.load(Ordering::SeqCst) { Err("no connection".into()) } else { Ok(()) }
        }

        fn calls(&self) -> [usize; 3] {
            [&self.active, &self.by_ids, &self.inserts].map(|counter| counter.load(Ordering::SeqCst))
        }

        /// What destroys the keys of a scope.
        fn destroy(&self, scope: Scope) {
            let mut rows = self.rows.lock().unwrap();
            for row in rows.iter_mut().filter(|row| row.scope_id == scope.id()) {
                row.state = KeyState::Destroyed;
                row.wrapped.clear();
            }
        }

        fn edit(&self, change: impl FnOnce(&mut Vec<WrappedKey>)) {
            change(&mut self.rows.lock().unwrap());
        }
    }

    #[async_trait]
    impl DataKeyStore for Keys {
        async fn newest(&self, scope: Scope) -> Result<Option<WrappedKey>, BoxError> {
            self.call(&self.active).await?;
            let rows = self.rows.lock().unwrap();
            let of_scope = |key: &&WrappedKey| key.scope_kind == scope.kind() && key.scope_id == scope.id();
            Ok(rows.iter().filter(of_scope).max_by_key(|key| key.version).cloned())
        }

        async fn by_ids(&self, ids: &[DataKeyId]) -> Result<Vec<WrappedKey>, BoxError> {
            self.call(&self.by_ids).await?;
            Ok(self.rows.lock().unwrap().iter().filter(|key| ids.contains(&key.id)).cloned().collect())
        }

        async fn insert(&self, key: WrappedKey) -> Result<WrappedKey, BoxError> {
            self.call(&self.inserts).await?;
            let mut rows = self.rows.lock().unwrap();
            let place = |key: &WrappedKey| (key.scope_kind.clone(), key.scope_id, key.version);
            let scope =
                |row: &&WrappedKey| (&row.scope_kind, row.scope_id) == (&key.scope_kind, key.scope_id);
            if let Some(row) = rows.iter().filter(scope).find(|row| row.state == KeyState::Destroyed) {
                return Ok(row.clone());
            }
            if let Some(winner) = rows.iter().find(|row| place(row) == place(&key)) {
                return Ok(winner.clone());
            }
            rows.push(key.clone());
            Ok(key)
        }

        async fn sample(&self) -> Result<Option<WrappedKey>, BoxError> {
            self.call(&AtomicUsize::new(0)).await?;
            let rows = self.rows.lock().unwrap();
            Ok(rows.iter().rfind(|row| row.state != KeyState::Destroyed).cloned())
        }

        async fn not_wrapped_by(
            &self,
            kek_version: i32,
            after: Option<DataKeyId>,
            limit: i64,
        ) -> Result<Vec<WrappedKey>, BoxError> {
            self.call(&AtomicUsize::new(0)).await?;
            let mut rows = self.rows.lock().unwrap().clone();
            rows.retain(|row| {
                row.state != KeyState::Destroyed && row.kek_version != kek_version && Some(row.id) > after
            });
            rows.sort_by_key(|row| row.id);
            rows.truncate(usize::try_from(limit).unwrap());
            Ok(rows)
        }

        async fn rewrap(&self, keys: &[Rewrapped]) -> Result<(), BoxError> {
            self.call(&AtomicUsize::new(0)).await?;
            if let Some(left) = self.rewraps_left.lock().unwrap().as_mut() {
                *left = left.checked_sub(1).ok_or("killed")?;
            }
            for row in self.rows.lock().unwrap().iter_mut().filter(|row| row.state != KeyState::Destroyed) {
                if let Some(anew) = keys.iter().find(|new| new.id == row.id && new.from == row.kek_version) {
                    row.kek_version = anew.to;
                    row.wrapped.clone_from(&anew.wrapped);
                }
            }
            Ok(())
        }

        async fn retire(&self, _: chrono::DateTime<chrono::Utc>, _: i64) -> Result<usize, BoxError> {
            unreachable!("the sealer does not retire")
        }

        async fn count_seals(&self, key: DataKeyId, seals: i64, cap: i64) -> Result<KeyState, BoxError> {
            self.call(&AtomicUsize::new(0)).await?;
            let mut counts = self.seals.lock().unwrap();
            let count = counts.entry(key).or_default();
            *count += seals;
            let mut rows = self.rows.lock().unwrap();
            let row = rows.iter_mut().find(|row| row.id == key).unwrap();
            if *count >= cap && row.state == KeyState::Active {
                row.state = KeyState::DecryptOnly;
            }
            Ok(row.state)
        }
    }

    pub(crate) struct World {
        pub(crate) ring: KeyRing,
        keys: Arc<Keys>,
    }

    impl World {
        pub(crate) fn new() -> Self {
            Self { ring: KeyRing::generate().unwrap(), keys: Arc::default() }
        }

        /// With a ring that is the same every time, and one key that it wrapped.
        pub(crate) fn known(key: Uuid, scope: Scope, wrapped: Vec<u8>) -> Self {
            let world = Self { ring: KeyRing::known(), keys: Arc::default() };
            let (scope_kind, scope_id) = (scope.kind().to_owned(), scope.id());
            let created_at = ManualClock::default().now();
            let (state, version, kek_version) = (KeyState::Active, 1, 1);
            let key = WrappedKey {
                id: key.into(),
                scope_kind,
                scope_id,
                version,
                state,
                kek_version,
                wrapped,
                created_at,
            };
            world.keys.edit(|rows| rows.push(key));
            world
        }

        /// Destroys the keys of `scope`.
        pub(crate) fn destroy(&self, scope: Scope) {
            self.keys.destroy(scope);
        }

        /// Lets all keys open only.
        pub(crate) fn retire(&self) {
            self.keys.edit(|rows| rows.iter_mut().for_each(|row| row.state = KeyState::DecryptOnly));
        }

        /// A node that starts with nothing cached.
        pub(crate) fn node(&self) -> EnvelopeSealer {
            self.node_with(&self.ring)
        }

        pub(crate) fn node_with(&self, ring: &KeyRing) -> EnvelopeSealer {
            let clock = Arc::new(ManualClock::default());
            EnvelopeSealer::new(ring, Arc::clone(&self.keys) as _, clock, Arc::new(SystemIds))
        }

        fn limited_node(&self, limits: Limits) -> EnvelopeSealer {
            let clock = Arc::new(ManualClock::default());
            EnvelopeSealer::limited(
                &self.ring,
                Arc::clone(&self.keys) as _,
                clock,
                Arc::new(SystemIds),
                limits,
            )
        }
    }

    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn conversation(n: u128) -> Scope {
        Scope::Conversation(ConversationId::from(Uuid::from_u128(n)))
    }

    fn place(scope: Scope) -> SealContext {
        SealContext { table: "messages", column: "content", row: Uuid::from_u128(9), scope, version: 1 }
    }

    async fn open_one(
        sealer: &EnvelopeSealer,
        at: SealContext,
        sealed: &Sealed,
    ) -> Result<Vec<u8>, SealError> {
        sealer.open_many(&[(at, sealed)]).await.map(|mut plain| plain.remove(0))
    }

    #[track_caller]
    fn assert_broken<T: fmt::Debug>(answer: Result<T, SealError>, why: &str) {
        assert!(matches!(answer, Err(SealError::Broken)), "{why}: {answer:?}");
    }

    #[tokio::test]
    async fn what_is_sealed_opens_in_order() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        let texts = ["".to_owned(), "ñandú".to_owned(), "x".repeat(20_000)];
        let mut sealed = Vec::new();
        for text in &texts {
            sealed.push(node.seal(&at, text.as_bytes()).await.unwrap());
        }
        let items: Vec<_> = sealed.iter().map(|sealed| (at, sealed)).collect();
        for sealer in [&node, &world.node()] {
            let opened = sealer.open_many(&items).await.unwrap();
            assert!(opened.iter().zip(&texts).all(|(opened, text)| opened == text.as_bytes()));
        }
        assert!(node.open_many(&[]).await.unwrap().is_empty());
        assert_eq!(sealed[1].as_bytes().len(), 2 + 16 + 12 + 256 + 16);
        assert!(!sealed[2].as_bytes().windows(8).any(|window| window == b"xxxxxxxx"));
    }

    #[tokio::test]
    async fn stored_data_of_today_opens_tomorrow() {
        // Written by another implementation (Python's `cryptography`) from the layout above.
        let id = |n: u128| Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000 | n);
        let wrapped = unhex(
            "0101040404040404040404040404eca258439abbb84aa44f9dbf9356af81761beaa42f2fe637c880febec03bb816\
             c860f088c9ace1b6c0987eb8ca9df931",
        );
        let scope = Scope::Conversation(id(2).into());
        let world = World::known(id(1), scope, wrapped);
        let at = SealContext { table: "messages", column: "content", row: id(3), scope, version: 7 };
        let sealed = Sealed::from_bytes(unhex(
            "01010000000000007000800000000000000105050505050505050505050542e16c09d7b07661c961a423b2803233b085\
             39a650a8d9ec5869ff921562a9a4",
        ));
        let node = world.node();
        assert_eq!(open_one(&node, at, &sealed).await.unwrap(), "Tómela con agua".as_bytes());
        assert_eq!(node.fingerprint(scope, b"hello")[..], unhex("4257bd4a3c18c8bb173fc656bbe250fa"));
        assert_eq!(
            node.blind_index("users.email", b"ana@clinic.example")[..],
            unhex("7448a9d8be1d0a93153441a4770eb7d1")
        );
    }

    #[tokio::test]
    async fn a_ciphertext_opens_only_where_it_belongs() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        // The other scopes have keys of their own, and one has the same id.
        for scope in [conversation(2), Scope::User(Uuid::from_u128(1).into())] {
            node.seal(&place(scope), b"theirs").await.unwrap();
        }
        let sealed = node.seal(&at, b"secret").await.unwrap();
        open_one(&node, at, &sealed).await.unwrap();
        for (moved, why) in [
            (SealContext { table: "drafts", ..at }, "table"),
            (SealContext { column: "subject", ..at }, "column"),
            (SealContext { table: "messagesc", column: "ontent", ..at }, "border of table and column"),
            (SealContext { row: Uuid::from_u128(8), ..at }, "row"),
            (SealContext { version: 2, ..at }, "version"),
            (SealContext { scope: conversation(2), ..at }, "conversation"),
            (SealContext { scope: Scope::User(Uuid::from_u128(1).into()), ..at }, "scope kind"),
        ] {
            assert_broken(open_one(&node, moved, &sealed).await, why);
            // One that was moved spoils the batch it is in.
            assert_broken(node.open_many(&[(at, &sealed), (moved, &sealed)]).await, why);
        }
    }

    #[tokio::test]
    async fn a_key_opens_nothing_of_another_scope() {
        let world = World::new();
        let node = world.node();
        let (mine, theirs) = (conversation(1), conversation(2));
        let key = node.active_key(mine).await.unwrap();
        // Whoever holds the key of one conversation can authenticate any context with it.
        let header = header(FORMAT, key.id);
        let at = place(theirs);
        let usable = key.key.as_ref().unwrap();
        let forged = seal(&usable.aead, &header, [7; 12], &content_aad(&header, &at), b"forged").unwrap();
        assert_broken(open_one(&node, at, &Sealed::from_bytes(forged)).await, "forged");
    }

    #[tokio::test]
    async fn a_store_that_confuses_scopes_is_not_believed() {
        let world = World::new();
        world.node().seal(&place(conversation(1)), b"x").await.unwrap();
        struct Confused(Arc<Keys>);
        #[async_trait]
        impl DataKeyStore for Confused {
            async fn newest(&self, _: Scope) -> Result<Option<WrappedKey>, BoxError> {
                self.0.sample().await
            }
            async fn not_wrapped_by(
                &self,
                _: i32,
                _: Option<DataKeyId>,
                _: i64,
            ) -> Result<Vec<WrappedKey>, BoxError> {
                Ok(Vec::new())
            }
            async fn rewrap(&self, _: &[Rewrapped]) -> Result<(), BoxError> {
                Ok(())
            }
            async fn retire(&self, _: chrono::DateTime<chrono::Utc>, _: i64) -> Result<usize, BoxError> {
                Ok(0)
            }
            async fn count_seals(&self, _: DataKeyId, _: i64, _: i64) -> Result<KeyState, BoxError> {
                Ok(KeyState::Active)
            }
            async fn by_ids(&self, _: &[DataKeyId]) -> Result<Vec<WrappedKey>, BoxError> {
                Ok(Vec::new())
            }
            async fn insert(&self, key: WrappedKey) -> Result<WrappedKey, BoxError> {
                Ok(key)
            }
            async fn sample(&self) -> Result<Option<WrappedKey>, BoxError> {
                Ok(None)
            }
        }
        let confused = Arc::new(Confused(Arc::clone(&world.keys)));
        let clock = Arc::new(ManualClock::default());
        let node = EnvelopeSealer::new(&world.ring, confused, clock, Arc::new(SystemIds));
        assert_broken(node.seal(&place(conversation(2)), b"x").await, "key of conversation 1");
    }

    #[tokio::test]
    async fn every_bit_counts() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        let sealed = node.seal(&at, b"take two").await.unwrap().into_bytes();
        open_one(&node, at, &Sealed::from_bytes(sealed.clone())).await.unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_broken(open_one(&node, at, &Sealed::from_bytes(changed)).await, &format!("bit {bit}"));
        }
    }

    #[tokio::test]
    async fn nothing_may_be_cut_off_or_added() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        for text in [&b""[..], b"take two"] {
            let sealed = node.seal(&at, text).await.unwrap().into_bytes();
            for length in 0..sealed.len() {
                let cut = Sealed::from_bytes(sealed[..length].to_vec());
                assert_broken(open_one(&node, at, &cut).await, &format!("first {length}"));
                let cut = Sealed::from_bytes(sealed[sealed.len() - length..].to_vec());
                assert_broken(open_one(&node, at, &cut).await, &format!("last {length}"));
            }
            for extra in [&[0][..], &[0; 16], &sealed] {
                let longer = Sealed::from_bytes([&sealed, extra].concat());
                assert_broken(open_one(&node, at, &longer).await, "longer");
            }
        }
    }

    #[tokio::test]
    async fn unknown_formats_and_algorithms_are_refused() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        let key = node.active_key(at.scope).await.unwrap();
        for (byte, known) in [(0, FORMAT..=PADDED), (1, 1..=1)] {
            for value in (0..=u8::MAX).filter(|value| !known.contains(value)) {
                // Authentic but for its number: what a downgrade would look like.
                let mut header = header(FORMAT, key.id);
                header[byte] = value;
                let usable = key.key.as_ref().unwrap();
                let sealed = seal(&usable.aead, &header, [7; 12], &content_aad(&header, &at), b"x").unwrap();
                assert_broken(
                    open_one(&node, at, &Sealed::from_bytes(sealed)).await,
                    &format!("{byte}: {value}"),
                );
            }
        }
    }

    #[tokio::test]
    async fn the_same_text_never_looks_the_same() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        let mut nonces = HashSet::new();
        for _ in 0..1_000_000 {
            let sealed = node.seal(&at, b"yes").await.unwrap();
            assert!(nonces.insert(sealed.as_bytes()[HEADER_LEN..HEADER_LEN + NONCE_LEN].to_vec()));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_first_seals_make_one_key() {
        let world = World::new();
        let nodes = [Arc::new(world.node()), Arc::new(world.node())];
        let at = place(conversation(1));
        let start = Arc::new(tokio::sync::Barrier::new(50));
        let mut racers = tokio::task::JoinSet::new();
        for n in 0..50_usize {
            let (node, start) = (Arc::clone(&nodes[n % 2]), Arc::clone(&start));
            racers.spawn(async move {
                start.wait().await;
                (n, node.seal(&at, &n.to_be_bytes()).await.unwrap())
            });
        }
        let sealed = racers.join_all().await;
        assert_eq!(world.keys.rows.lock().unwrap().len(), 1);
        let [active, _, inserts] = world.keys.calls();
        assert!(active <= 2 && inserts <= 2, "each node asked for itself: {active}, {inserts}");
        for (n, sealed) in &sealed {
            for node in &nodes {
                assert_eq!(open_one(node, at, sealed).await.unwrap(), n.to_be_bytes());
            }
        }
    }

    #[tokio::test]
    async fn asking_for_a_key_makes_none() {
        let world = World::new();
        let sealer = world.node();
        assert!(!sealer.has_key(conversation(1)).await.unwrap());
        sealer.seal(&place(conversation(1)), b"x").await.unwrap();
        for node in [&sealer, &world.node()] {
            assert!(node.has_key(conversation(1)).await.unwrap());
            assert!(!node.has_key(conversation(2)).await.unwrap());
        }
        let [_, _, inserted] = world.keys.calls();
        assert_eq!(inserted, 1);
    }

    #[tokio::test]
    async fn the_node_that_loses_the_race_uses_the_winners_key() {
        let world = World::new();
        let (winner, loser) = (world.node(), world.node());
        let at = place(conversation(1));
        // Both see no key before either inserts one: every store call gives way once.
        let (won, lost) = tokio::join!(winner.seal(&at, b"a"), loser.seal(&at, b"b"));
        let (won, lost) = (won.unwrap(), lost.unwrap());
        assert_eq!(world.keys.calls()[2], 2, "both tried");
        assert_eq!(won.as_bytes()[..HEADER_LEN], lost.as_bytes()[..HEADER_LEN]);
        assert_eq!(open_one(&world.node(), at, &lost).await.unwrap(), b"b");
    }

    #[tokio::test]
    async fn a_batch_fetches_its_keys_at_once_and_then_remembers_them() {
        let world = World::new();
        let writer = world.node();
        let mut sealed = Vec::new();
        for n in 0..100_u128 {
            let at = SealContext { row: Uuid::from_u128(n), ..place(conversation(n % 10)) };
            sealed.push((at, writer.seal(&at, &n.to_be_bytes()).await.unwrap()));
        }
        assert_eq!(world.keys.calls(), [10, 0, 10], "sealing asks once for each conversation");

        let items: Vec<_> = sealed.iter().map(|(at, sealed)| (*at, sealed)).collect();
        writer.open_many(&items).await.unwrap();
        assert_eq!(world.keys.calls(), [10, 0, 10], "who sealed can open");

        let reader = world.node();
        for _ in 0..3 {
            let opened = reader.open_many(&items).await.unwrap();
            assert!(opened.iter().zip(0..100_u128).all(|(opened, n)| *opened == n.to_be_bytes()));
            assert_eq!(world.keys.calls(), [10, 1, 10]);
        }
    }

    #[tokio::test]
    async fn a_warm_node_does_not_wait_for_the_store() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        let sealed = node.seal(&at, b"x").await.unwrap();
        world.keys.down.store(true, Ordering::SeqCst);
        // `now_or_never` polls once: anything that waits answers `None`.
        node.seal(&at, b"y").now_or_never().unwrap().unwrap();
        open_one(&node, at, &sealed).now_or_never().unwrap().unwrap();

        for answer in [
            world.node().seal(&at, b"z").await.map(drop),
            open_one(&world.node(), at, &sealed).await.map(drop),
        ] {
            assert!(matches!(answer, Err(SealError::Unavailable(_))), "{answer:?}");
        }
        assert!(matches!(node.check().await, Err(KeyCheckError::Store(_))));
    }

    #[tokio::test]
    async fn a_failed_first_seal_is_tried_again() {
        let world = World::new();
        let node = Arc::new(world.node());
        let at = place(conversation(1));
        world.keys.down.store(true, Ordering::SeqCst);
        let (first, second) = tokio::join!(node.seal(&at, b"x"), node.seal(&at, b"y"));
        assert!(matches!((first, second), (Err(SealError::Unavailable(_)), Err(SealError::Unavailable(_)))));
        world.keys.down.store(false, Ordering::SeqCst);
        node.seal(&at, b"x").await.unwrap();
    }

    #[tokio::test]
    async fn a_destroyed_key_is_forgotten_in_time() {
        let world = World::new();
        let lifetime = Duration::from_millis(20);
        let node = world.limited_node(Limits { lifetime, ..Limits::default() });
        let at = place(conversation(1));
        let sealed = node.seal(&at, b"x").await.unwrap();
        world.keys.destroy(at.scope);
        tokio::time::sleep(lifetime * 2).await;
        assert_destroyed(open_one(&node, at, &sealed).await);
        assert_destroyed(node.seal(&at, b"y").await);
    }

    #[track_caller]
    fn assert_destroyed<T: fmt::Debug>(answer: Result<T, SealError>) {
        assert!(matches!(answer, Err(SealError::Destroyed)), "{answer:?}");
    }

    #[tokio::test]
    async fn what_a_destroyed_key_sealed_is_gone_and_the_rest_is_not() {
        let world = World::new();
        let node = world.node();
        let (gone, kept) = (place(conversation(1)), place(conversation(2)));
        let (lost, safe) = (node.seal(&gone, b"x").await.unwrap(), node.seal(&kept, b"y").await.unwrap());
        world.keys.destroy(gone.scope);
        // This node remembers the key until it is told.
        assert_eq!(open_one(&node, gone, &lost).await.unwrap(), b"x");
        node.forget(gone.scope).await;
        for node in [&node, &world.node()] {
            let opened = node.open_remaining(&[(gone, &lost), (kept, &safe)]).await.unwrap();
            assert_eq!(opened, [None, Some(b"y".to_vec())]);
            assert_destroyed(node.open_many(&[(kept, &safe), (gone, &lost)]).await);
            assert_destroyed(node.seal(&gone, b"z").await);
            assert!(!node.has_key(gone.scope).await.unwrap());
            assert!(node.has_key(kept.scope).await.unwrap());
        }
        world.node().check().await.unwrap();
    }

    #[tokio::test]
    async fn a_key_is_not_made_for_a_scope_that_was_destroyed_meanwhile() {
        let world = World::new();
        let (slow, fast) = (world.node(), world.node());
        let at = place(conversation(1));
        // The slow one has asked for a key before the fast one made it and all keys were destroyed.
        let late = async {
            let key = slow.new_key(at.scope, 1).unwrap();
            fast.seal(&at, b"x").await.unwrap();
            world.keys.destroy(at.scope);
            world.keys.insert(key).await.unwrap()
        };
        assert_eq!(late.await.state, KeyState::Destroyed);
        assert_destroyed(slow.seal(&at, b"y").await);
    }

    #[tokio::test]
    async fn text_is_filled_up_so_that_its_length_tells_little() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        let extra = HEADER_LEN + NONCE_LEN + TAG_LEN;
        for length in (0..520).chain([5_000, 20_000]) {
            let text: Vec<u8> = (0..length).map(|n| if n % 3 == 0 { 0 } else { END }).collect();
            let sealed = node.seal(&at, &text).await.unwrap();
            assert_eq!(sealed.as_bytes().len() - extra, (length / BUCKET + 1) * BUCKET);
            assert_eq!(open_one(&node, at, &sealed).await.unwrap(), text);
        }
        let name = node.seal(&place(Scope::User(Uuid::from_u128(5).into())), b"Ana").await.unwrap();
        assert_eq!(name.as_bytes().len() - extra, 3);
    }

    #[tokio::test]
    async fn what_was_sealed_before_texts_were_filled_up_still_opens() {
        let world = World::new();
        let node = world.node();
        let at = place(conversation(1));
        let key = node.active_key(at.scope).await.unwrap();
        let usable = key.key.as_ref().unwrap();
        let header = header(FORMAT, key.id);
        let old = seal(&usable.aead, &header, [7; 12], &content_aad(&header, &at), b"take two").unwrap();
        let old = Sealed::from_bytes(old);
        assert_eq!(open_one(&node, at, &old).await.unwrap(), b"take two");
        assert_eq!(old.key_id(), Some(key.id));
        // Filled up by nobody, though it says so.
        let header = super::header(PADDED, key.id);
        for text in [&b""[..], b"\0\0", b"take two"] {
            let odd = seal(&usable.aead, &header, [7; 12], &content_aad(&header, &at), text).unwrap();
            assert_broken(open_one(&node, at, &Sealed::from_bytes(odd)).await, "not filled up");
        }
    }

    #[tokio::test]
    async fn sealed_bytes_tell_their_key() {
        let world = World::new();
        let node = world.node();
        for scope in [conversation(1), Scope::User(Uuid::from_u128(5).into())] {
            let sealed = node.seal(&place(scope), b"x").await.unwrap();
            assert_eq!(sealed.key_id(), Some(node.active_key(scope).await.unwrap().id));
        }
        assert_eq!(Sealed::from_bytes(vec![1, 1, 3]).key_id(), None);
        assert_eq!(Sealed::from_bytes(vec![9; 40]).key_id(), None);
    }

    #[tokio::test]
    async fn after_so_many_seals_a_newer_key_takes_over() {
        let world = World::new();
        let node = world.limited_node(Limits { seals_counted_at_once: 4, seal_cap: 8, ..Limits::default() });
        let at = place(conversation(1));
        let mut sealed = Vec::new();
        for n in 0..20_u8 {
            sealed.push((n, node.seal(&at, &[n]).await.unwrap()));
        }
        let keys: Vec<_> = sealed.iter().map(|(_, sealed)| sealed.key_id().unwrap()).collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 3);
        assert!(keys.chunks(8).all(|chunk| chunk.iter().all(|key| *key == chunk[0])), "8 by each");
        let states: Vec<_> =
            world.keys.rows.lock().unwrap().iter().map(|row| (row.version, row.state)).collect();
        let expected = [(1, KeyState::DecryptOnly), (2, KeyState::DecryptOnly), (3, KeyState::Active)];
        assert_eq!(states, expected);
        for node in [&node, &world.node()] {
            for (n, sealed) in &sealed {
                assert_eq!(open_one(node, at, sealed).await.unwrap(), [*n]);
            }
        }
    }

    #[tokio::test]
    async fn a_retired_key_opens_and_a_newer_one_seals() {
        let world = World::new();
        let at = place(conversation(1));
        let old = world.node().seal(&at, b"old").await.unwrap();
        world.keys.edit(|rows| rows[0].state = KeyState::DecryptOnly);
        let node = world.node();
        assert!(node.has_key(at.scope).await.unwrap());
        let new = node.seal(&at, b"new").await.unwrap();
        assert_ne!(old.key_id(), new.key_id());
        assert_eq!(open_one(&node, at, &old).await.unwrap(), b"old");
        let versions: Vec<_> = world.keys.rows.lock().unwrap().iter().map(|key| key.version).collect();
        assert_eq!(versions, [1, 2]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn key_encryption_keys_rotate_while_everybody_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let ring = KeyRing::load_or_create(&path).unwrap();
        let world = Arc::new(World { ring, keys: Arc::default() });
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..4_u128 {
            let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
            workers.spawn(async move {
                let (mut done, mut node) = (0_u128, world.node());
                while !stop.load(Ordering::SeqCst) {
                    // Old scopes and new ones, by nodes that remember keys and such that do not.
                    let at = place(conversation(worker + (done / 3) * 10));
                    let sealed = node.seal(&at, &done.to_be_bytes()).await.unwrap();
                    if done % 7 == 0 {
                        node = world.node();
                    }
                    assert_eq!(open_one(&node, at, &sealed).await.unwrap(), done.to_be_bytes());
                    done += 1;
                }
                done
            });
        }
        let operator = world.node();
        for expected in 2..=6 {
            while world.keys.rows.lock().unwrap().len() < 40 * usize::try_from(expected).unwrap() {
                tokio::task::yield_now().await;
            }
            assert_eq!(KeyRing::rotate(&path, true).unwrap(), expected);
            // Whoever was about to store a key of the old version does so yet.
            while operator.rewrap_all().await.unwrap() > 0 {}
        }
        stop.store(true, Ordering::SeqCst);
        assert!(workers.join_all().await.into_iter().all(|done| done > 0));
        operator.rewrap_all().await.unwrap();
        assert!(world.keys.rows.lock().unwrap().iter().all(|key| key.kek_version == 6));
        // Also for those who have only the new key.
        let ring = KeyRing::load(&path).unwrap();
        world.node_with(&(1..6).fold(ring, |ring, version| ring.without_kek(version))).check().await.unwrap();
    }

    #[tokio::test]
    async fn a_rotation_that_was_broken_off_is_finished_by_the_next() {
        let world = World::new();
        let node = world.node();
        for n in 0..1_200 {
            node.active_key(conversation(n)).await.unwrap();
        }
        let ring = world.ring.with_newer_kek();
        let operator = world.node_with(&ring);
        *world.keys.rewraps_left.lock().unwrap() = Some(1);
        assert!(matches!(operator.rewrap_all().await, Err(RewrapError::Store(_))));
        let on =
            |version| world.keys.rows.lock().unwrap().iter().filter(|key| key.kek_version == version).count();
        assert_eq!((on(1), on(2)), (700, 500));
        *world.keys.rewraps_left.lock().unwrap() = None;
        assert_eq!(world.node_with(&ring).rewrap_all().await.unwrap(), 700);
        assert_eq!((on(1), on(2)), (0, 1_200));
        let at = place(conversation(1));
        let sealed = node.seal(&at, b"x").await.unwrap();
        let without = ring.without_kek(1);
        assert_eq!(open_one(&world.node_with(&without), at, &sealed).await.unwrap(), b"x");

        let error = world
            .node_with(&KeyRing::generate().unwrap().with_newer_kek().with_newer_kek())
            .rewrap_all()
            .await;
        assert!(matches!(error, Err(RewrapError::Refused { kek_version: 2, .. })), "{error:?}");
    }

    #[test]
    fn caches_are_bounded_in_time_and_number() {
        let node = World::new().node();
        for policy in [node.by_id.policy(), node.active.policy()] {
            assert_eq!(policy.time_to_live(), Some(Duration::from_secs(900)));
            assert_eq!(policy.max_capacity(), Some(CACHED_KEYS));
        }
    }

    #[tokio::test]
    async fn a_changed_key_row_opens_nothing() {
        let world = World::new();
        let ring = world.ring.with_newer_kek();
        let at = place(conversation(1));
        let sealed = world.node_with(&ring).seal(&at, b"x").await.unwrap();
        let row = world.keys.rows.lock().unwrap()[0].clone();

        let mut changed = vec![
            (WrappedKey { version: 2, ..row.clone() }, "version".to_owned()),
            (WrappedKey { kek_version: 1, ..row.clone() }, "KEK version".to_owned()),
            (WrappedKey { kek_version: 99, ..row.clone() }, "unknown KEK version".to_owned()),
            (WrappedKey { scope_id: Uuid::from_u128(2), ..row.clone() }, "scope id".to_owned()),
            (WrappedKey { scope_kind: "user".into(), ..row.clone() }, "scope kind".to_owned()),
            (WrappedKey { wrapped: Vec::new(), ..row.clone() }, "empty".to_owned()),
            (WrappedKey { wrapped: [&row.wrapped[..], &[0]].concat(), ..row.clone() }, "longer".to_owned()),
        ];
        for bit in 0..row.wrapped.len() * 8 {
            let mut wrapped = row.wrapped.clone();
            wrapped[bit / 8] ^= 1 << (bit % 8);
            changed.push((WrappedKey { wrapped, ..row.clone() }, format!("bit {bit}")));
        }
        for (row, why) in changed {
            world.keys.edit(|rows| rows[0] = row);
            let node = world.node_with(&ring);
            assert_broken(open_one(&node, at, &sealed).await, &why);
            assert!(node.check().await.is_err(), "{why}");
        }

        // Put in the place of another key.
        let other = place(conversation(2));
        world.keys.edit(Vec::clear);
        let theirs = world.node_with(&ring).seal(&other, b"y").await.unwrap();
        world.keys.edit(|rows| rows[0] = WrappedKey { id: rows[0].id, ..row.clone() });
        assert_broken(open_one(&world.node_with(&ring), other, &theirs).await, "another's key");

        world.keys.edit(|rows| rows[0] = row);
        open_one(&world.node_with(&ring), at, &sealed).await.unwrap();
    }

    #[tokio::test]
    async fn key_encryption_keys_rotate() {
        let world = World::new();
        let at = place(conversation(1));
        let old = world.node().seal(&at, b"old").await.unwrap();
        let ring = world.ring.with_newer_kek();
        let node = world.node_with(&ring);
        node.check().await.unwrap();
        assert_eq!(open_one(&node, at, &old).await.unwrap(), b"old");
        node.seal(&place(conversation(2)), b"new").await.unwrap();
        let versions: Vec<_> = world.keys.rows.lock().unwrap().iter().map(|key| key.kek_version).collect();
        assert_eq!(versions, [1, 2]);
    }

    #[tokio::test]
    async fn start_up_is_refused_with_keys_that_do_not_fit() {
        let world = World::new();
        world.node().check().await.unwrap();
        let ring = world.ring.with_newer_kek();
        let node = world.node_with(&ring);
        node.seal(&place(conversation(1)), b"x").await.unwrap();
        node.check().await.unwrap();

        let stranger = KeyRing::generate().unwrap().with_newer_kek();
        let error = world.node_with(&stranger).check().await.unwrap_err();
        assert!(matches!(error, KeyCheckError::WrongKek { kek_version: 2, .. }), "{error}");
        assert!(error.to_string().contains("key-encryption key version 2 "), "{error}");

        let error = world.node().check().await.unwrap_err();
        assert!(matches!(error, KeyCheckError::MissingKek { kek_version: 2, .. }), "{error}");
        assert!(error.to_string().contains("no key-encryption key version 2,"), "{error}");
    }

    #[tokio::test]
    async fn without_its_key_encryption_key_data_stays_closed() {
        let world = World::new();
        let at = place(conversation(1));
        let sealed = world.node().seal(&at, b"x").await.unwrap();
        let ring = world.ring.with_newer_kek().without_kek(1);
        assert_broken(open_one(&world.node_with(&ring), at, &sealed).await, "no KEK version 1");
        assert_broken(world.node_with(&ring).seal(&at, b"y").await, "no KEK version 1");
        assert_broken(
            open_one(&world.node_with(&KeyRing::generate().unwrap()), at, &sealed).await,
            "wrong KEK",
        );
    }

    #[tokio::test]
    async fn data_keys_record_when_and_for_whom() {
        let world = World::new();
        world.node().seal(&place(Scope::User(Uuid::from_u128(5).into())), b"x").await.unwrap();
        let key = world.keys.rows.lock().unwrap()[0].clone();
        assert_eq!((key.scope_kind.as_str(), key.scope_id), ("user", Uuid::from_u128(5)));
        assert_eq!((key.version, key.kek_version), (1, 1));
        assert_eq!(key.created_at, ManualClock::default().now());
        assert_eq!(key.wrapped.len(), 2 + 12 + 32 + 16);
    }

    #[test]
    fn digests_tell_equal_from_different_in_one_place_only() {
        let world = World::new();
        let (node, again) = (world.node(), world.node());
        let (a, b) = (conversation(1), conversation(2));
        assert_eq!(node.fingerprint(a, b"x"), again.fingerprint(a, b"x"));
        assert_eq!(node.blind_index("users.email", b"x"), again.blind_index("users.email", b"x"));
        let distinct = HashSet::from([
            node.fingerprint(a, b"x"),
            node.fingerprint(a, b"y"),
            node.fingerprint(b, b"x"),
            node.fingerprint(Scope::User(Uuid::from_u128(1).into()), b"x"),
            node.blind_index("users.email", b"x"),
            node.blind_index("users.email", b"y"),
            node.blind_index("users.phone", b"x"),
            World::new().node().blind_index("users.email", b"x"),
            World::new().node().fingerprint(a, b"x"),
        ]);
        assert_eq!(distinct.len(), 9);
    }

    #[test]
    fn tokens_are_the_same_in_one_conversation_only() {
        let world = World::new();
        let (node, again) = (world.node(), world.node());
        let [dolor, fiebre] = node.tokens(conversation(1), &["dolor", "fiebre"])[..] else { panic!() };
        assert_eq!(again.tokens(conversation(1), &["fiebre", "dolor"]), [fiebre, dolor]);
        let others = [
            node.tokens(conversation(2), &["dolor"]),
            node.tokens(Scope::User(Uuid::from_u128(1).into()), &["dolor"]),
            World::new().node().tokens(conversation(1), &["dolor"]),
        ];
        assert!(dolor != fiebre && others.iter().all(|tokens| tokens[0] != dolor));
        let noise = node.noise(1_000);
        assert_eq!(noise.iter().collect::<HashSet<_>>().len(), 1_000);
    }

    #[tokio::test]
    async fn debug_shows_no_secret() {
        let node = World::new().node();
        node.seal(&place(conversation(1)), b"x").await.unwrap();
        assert_eq!(format!("{node:?}"), "EnvelopeSealer { .. }");
    }
}
