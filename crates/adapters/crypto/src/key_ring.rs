use std::collections::BTreeMap;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{NoRandomness, random};

/// The only format there is.
const FORMAT: u32 = 1;
/// AES-256 and HMAC-SHA256 keys.
const KEY_BYTES: usize = 32;
/// Far more than a ring of many years; bounds what a wrong path can make us read.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// A `kid` travels in every token.
const MAX_KID_BYTES: usize = 64;

/// Every long-lived secret of an installation, held in one JSON file.
///
/// Whoever has the file and the database can read everything; whoever loses the file has lost the
/// data. Back it up apart from the database.
///
/// # The file
///
/// ```json
/// {
///   "format": 1,
///   "key_encryption": {
///     "current": 2,
///     "keys": [
///       { "version": 1, "key": "<base64 of 32 bytes>" },
///       { "version": 2, "key": "<base64 of 32 bytes>" }
///     ]
///   },
///   "index_root": "<base64 of 32 bytes>",
///   "token_signing": {
///     "current": "2027-01",
///     "keys": [
///       { "kid": "2026-12", "pkcs8": "<base64 of an Ed25519 private key, PKCS#8 DER>" },
///       { "kid": "2027-01", "pkcs8": "<base64 of an Ed25519 private key, PKCS#8 DER>" }
///     ]
///   }
/// }
/// ```
///
/// # Rotating
///
/// - **A key-encryption key**: [`KeyRing::rotate`] (`alivio rotate-keys`). Running nodes read the file again when
///   they need to. Keep the old version for as long as a row of `data_keys` names it, and for as long as you keep
///   backups of the database from that time: without it, what that row's key sealed is gone.
/// - **A token-signing key.** Add a key from `openssl genpkey -algorithm ed25519 -outform DER | base64 -w0` with a
///   `kid` of your choice, leave `current` as it is, and restart every node. Then set `current` to the new `kid` and
///   restart again. Tokens signed by the old key are accepted until it is taken out; ten minutes after the last
///   restart none of them is left.
/// - **The index root** cannot be rotated: every look-up by e-mail address depends on it.
#[derive(Clone)]
pub struct KeyRing {
    keks: Keks,
    index_root: Secret,
    /// All of them, in the order of the file.
    token_keys: Vec<TokenKey>,
    current_token_key: TokenKey,
    /// The file it was read from.
    path: Option<PathBuf>,
}

impl KeyRing {
    /// A ring of fresh keys.
    pub fn generate() -> Result<Self, KeyRingError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| NoRandomness)?;
        // The kid says which key it is, so that keys of two rings are never mistaken for each other.
        let thumbprint = digest(&SHA256, pair.public_key().as_ref());
        let kid = URL_SAFE_NO_PAD.encode(&thumbprint.as_ref()[..12]);
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| NoRandomness)?;
        let current_token_key = TokenKey {
            kid,
            pkcs8: Secret::new(pkcs8.as_ref().to_vec()),
            public: pair.public_key().as_ref().to_vec(),
        };
        Ok(Self {
            keks: Keks { by_version: BTreeMap::from([(1, Secret::random()?)]), current: 1 },
            index_root: Secret::random()?,
            token_keys: vec![current_token_key.clone()],
            current_token_key,
            path: None,
        })
    }

    /// Reads the ring at `path`. On Unix, refuses a file that its group or others may touch.
    pub fn load(path: &Path) -> Result<Self, KeyRingError> {
        let io = |source| KeyRingError::Io { doing: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyRingError::Missing { path: path.to_owned() },
            _ => io(source),
        })?;
        // Of the open file, not of the path: nobody can swap the file in between.
        private(&file, path)?;
        let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
        file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(io)?;
        let invalid = |reason| KeyRingError::Invalid { path: path.to_owned(), reason };
        let stored = serde_json::from_slice(&text).map_err(|error| invalid(without_values(&error)))?;
        let ring = Self::from_stored(stored).map_err(invalid)?;
        Ok(Self { path: Some(path.to_owned()), ..ring })
    }

    /// Gives the ring at `path` a new key-encryption key, and makes it the current one if `current`; a key that
    /// was added before but is not current yet is made so instead. Returns the version. The file is replaced at
    /// once: whoever reads it finds the old ring or the new one. Of several processes that do so at once, one
    /// goes after the other.
    pub fn rotate(path: &Path, current: bool) -> Result<i32, KeyRingError> {
        let io = |source| KeyRingError::Io { doing: "replace", path: path.to_owned(), source };
        // A link to the ring must go on being one.
        let path = &path.canonicalize().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyRingError::Missing { path: path.to_owned() },
            _ => io(source),
        })?;
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        let lock = File::options().create(true).truncate(false).write(true).open(lock).map_err(io)?;
        lock.lock().map_err(io)?;

        let mut ring = Self::load(path)?;
        let newest = ring.keks.by_version.keys().next_back().copied().unwrap_or(0);
        let version = if current && newest > ring.keks.current { newest } else { newest + 1 };
        if version > newest {
            ring.keks.by_version.insert(version, Secret::random()?);
        }
        if current {
            ring.keks.current = version;
        }
        let owner = path.metadata().map_err(io)?;
        ring.write(path, |file| {
            // Whoever runs this need not be whom the server runs as.
            #[cfg(unix)]
            {
                use std::os::unix::fs::{MetadataExt, fchown};
                let ours = file.as_file().metadata()?;
                if (ours.uid(), ours.gid()) != (owner.uid(), owner.gid()) {
                    fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))?;
                }
            }
            file.persist(path).map(drop).map_err(|error| error.error)
        })
        .map_err(io)?;
        Ok(version)
    }

    /// The version of the key-encryption key that wraps new data keys.
    pub const fn current_kek(&self) -> i32 {
        self.keks.current
    }

    /// Reads the ring at `path`; where there is no file, makes a ring and stores it first, for the
    /// owner alone, in a directory that is made if need be. Of several processes that do so at once,
    /// one makes the ring and all use it.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyRingError> {
        match Self::load(path) {
            Err(KeyRingError::Missing { .. }) => {}
            other => return other,
        }
        match Self::generate()?.store_new(path) {
            Err(KeyRingError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        Self::load(path)
    }

    /// Writes the ring to `path`, completely or not at all, and never over another file.
    fn store_new(&self, path: &Path) -> Result<(), KeyRingError> {
        let io = |source| KeyRingError::Io { doing: "create", path: path.to_owned(), source };
        make_private_directory(directory_of(path)).map_err(io)?;
        self.write(path, |file| file.persist_noclobber(path).map(drop).map_err(|error| error.error))
            .map_err(io)
    }

    /// Writes the ring to a file beside `path`, safely on disk, which `persist` moves to its place.
    fn write(
        &self,
        path: &Path,
        persist: impl FnOnce(tempfile::NamedTempFile) -> io::Result<()>,
    ) -> io::Result<()> {
        let directory = directory_of(path);
        // Room for all of it, so that no reallocation leaves a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
        serde_json::to_writer_pretty(&mut *text, &self.to_stored())?;
        text.push(b'\n');

        // Mode 0600 from its first moment: that is what `tempfile` opens with.
        let mut file = tempfile::Builder::new().prefix(".key-ring-").tempfile_in(directory)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        persist(file)?;
        // The name must survive a power cut too: the first data sealed is lost without the ring.
        #[cfg(unix)]
        File::open(directory).and_then(|directory| directory.sync_all())?;
        Ok(())
    }

    fn from_stored(stored: Stored) -> Result<Self, String> {
        if stored.format != FORMAT {
            return Err(format!("its format is {}, and this version reads only {FORMAT}", stored.format));
        }
        let mut by_version = BTreeMap::new();
        for StoredKek { version, key } in stored.key_encryption.keys {
            if version < 1 {
                return Err(format!("key-encryption key version {version} is not positive"));
            }
            key.check_length(&format!("key-encryption key version {version}"))?;
            if by_version.insert(version, key).is_some() {
                return Err(format!("key-encryption key version {version} is there twice"));
            }
        }
        let current_kek = stored.key_encryption.current;
        if !by_version.contains_key(&current_kek) {
            return Err(format!(
                "the current key-encryption key, version {current_kek}, is not among its keys"
            ));
        }
        stored.index_root.check_length("index_root")?;

        let mut token_keys: Vec<TokenKey> = Vec::new();
        for StoredTokenKey { kid, pkcs8 } in stored.token_signing.keys {
            if kid.is_empty() || kid.len() > MAX_KID_BYTES || !kid.chars().all(|c| c.is_ascii_graphic()) {
                return Err(format!("a kid must be 1 to {MAX_KID_BYTES} visible ASCII characters"));
            }
            if token_keys.iter().any(|key| key.kid == kid) {
                return Err(format!("token-signing key {kid:?} is there twice"));
            }
            let pair = Ed25519KeyPair::from_pkcs8(pkcs8.bytes())
                .map_err(|_| format!("token-signing key {kid:?} is not an Ed25519 private key in PKCS#8"))?;
            token_keys.push(TokenKey { kid, pkcs8, public: pair.public_key().as_ref().to_vec() });
        }
        let current = stored.token_signing.current;
        let Some(current_token_key) = token_keys.iter().find(|key| key.kid == current).cloned() else {
            return Err(format!("the current token-signing key, {current:?}, is not among its keys"));
        };
        Ok(Self {
            keks: Keks { by_version, current: current_kek },
            index_root: stored.index_root,
            token_keys,
            current_token_key,
            path: None,
        })
    }

    fn to_stored(&self) -> Stored {
        let keks = self.keks.by_version.iter();
        let tokens = self.token_keys.iter();
        Stored {
            format: FORMAT,
            key_encryption: StoredKeks {
                current: self.keks.current,
                keys: keks.map(|(&version, key)| StoredKek { version, key: key.clone() }).collect(),
            },
            index_root: self.index_root.clone(),
            token_signing: StoredTokenKeys {
                current: self.current_token_key.kid.clone(),
                keys: tokens
                    .map(|key| StoredTokenKey { kid: key.kid.clone(), pkcs8: key.pkcs8.clone() })
                    .collect(),
            },
        }
    }

    #[cfg(test)]
    pub(crate) const fn keks(&self) -> &Keks {
        &self.keks
    }

    pub(crate) fn index_root(&self) -> &[u8] {
        self.index_root.bytes()
    }

    pub(crate) fn token_keys(&self) -> &[TokenKey] {
        &self.token_keys
    }

    pub(crate) const fn current_token_key(&self) -> &TokenKey {
        &self.current_token_key
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions: Vec<_> = self.keks.by_version.keys().collect();
        let kids: Vec<_> = self.token_keys.iter().map(|key| &key.kid).collect();
        f.debug_struct("KeyRing")
            .field("kek_versions", &versions)
            .field("current_kek", &self.keks.current)
            .field("kids", &kids)
            .field("current_kid", &self.current_token_key.kid)
            .finish_non_exhaustive()
    }
}

/// The key-encryption keys.
#[derive(Clone)]
pub(crate) struct Keks {
    by_version: BTreeMap<i32, Secret>,
    current: i32,
}

impl Keks {
    pub(crate) fn get(&self, version: i32) -> Option<&[u8]> {
        self.by_version.get(&version).map(Secret::bytes)
    }

    pub(crate) const fn current(&self) -> i32 {
        self.current
    }
}

/// The key-encryption keys as their file has them, read again when that may have changed.
pub(crate) struct LiveKeks {
    path: Option<PathBuf>,
    index_root: Secret,
    now: RwLock<(Option<Stamp>, Arc<Keks>)>,
}

/// What tells one state of a file from another.
type Stamp = (Option<SystemTime>, u64, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    #[cfg(unix)]
    let file = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let file = 0;
    Some((metadata.modified().ok(), metadata.len(), file))
}

impl LiveKeks {
    pub(crate) fn new(ring: &KeyRing) -> Self {
        Self {
            path: ring.path.clone(),
            index_root: ring.index_root.clone(),
            now: RwLock::new((None, Arc::new(ring.keks.clone()))),
        }
    }

    /// As they were last read.
    pub(crate) fn get(&self) -> Arc<Keks> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// As they are. A file that cannot be used, or belongs to another installation, changes nothing: data must not
    /// be sealed by a key that the next start does not find. Looks at a small local file, seldom.
    pub(crate) fn refreshed(&self) -> Arc<Keks> {
        let Some(path) = &self.path else { return self.get() };
        let found = stamp(path);
        {
            let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
            if found.is_none() || now.0 == found {
                return Arc::clone(&now.1);
            }
        }
        let ring = match KeyRing::load(path) {
            Ok(ring) => ring,
            Err(error) => {
                tracing::error!(%error, "key_ring.not_read_again");
                return self.get();
            }
        };
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let changed = |(version, key): (&i32, &Secret)| {
            ring.keks.get(*version).is_some_and(|other| other != key.bytes())
        };
        if ring.index_root.bytes() != self.index_root.bytes() || now.1.by_version.iter().any(changed) {
            tracing::error!(path = %path.display(), "key_ring.belongs_to_another_installation");
        } else {
            if ring.keks.current != now.1.current {
                tracing::info!(key_ring.current_kek = ring.keks.current, "key_ring.read_again");
            }
            now.1 = Arc::new(ring.keks);
        }
        now.0 = found;
        Arc::clone(&now.1)
    }
}

/// A key pair that signs or has signed tokens.
#[derive(Clone)]
pub(crate) struct TokenKey {
    pub(crate) kid: String,
    pkcs8: Secret,
    pub(crate) public: Vec<u8>,
}

impl TokenKey {
    pub(crate) fn pkcs8(&self) -> &[u8] {
        self.pkcs8.bytes()
    }
}

#[cfg(test)]
impl KeyRing {
    fn changed(&self, change: impl FnOnce(&mut Stored)) -> Self {
        let mut stored = self.to_stored();
        change(&mut stored);
        Self::from_stored(stored).unwrap()
    }

    /// With another key-encryption key, as the operator would add it.
    pub(crate) fn with_newer_kek(&self) -> Self {
        self.changed(|stored| {
            let version = stored.key_encryption.current + 1;
            stored.key_encryption.keys.push(StoredKek { version, key: Secret::random().unwrap() });
            stored.key_encryption.current = version;
        })
    }

    /// Without `version`, as when an old one was taken out too early.
    pub(crate) fn without_kek(&self, version: i32) -> Self {
        self.changed(|stored| stored.key_encryption.keys.retain(|kek| kek.version != version))
    }

    /// With another key to sign tokens.
    pub(crate) fn with_newer_token_key(&self) -> Self {
        let TokenKey { kid, pkcs8, .. } = Self::generate().unwrap().current_token_key;
        self.changed(|stored| {
            stored.token_signing.current = kid.clone();
            stored.token_signing.keys.push(StoredTokenKey { kid, pkcs8 });
        })
    }

    /// With secrets that everybody knows, for comparing with known answers.
    pub(crate) fn known() -> Self {
        Self::generate().unwrap().changed(|stored| {
            stored.key_encryption.keys[0].key = Secret::new(vec![1; KEY_BYTES]);
            stored.index_root = Secret::new(vec![2; KEY_BYTES]);
        })
    }
}

/// Why there is no key ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// There is no such file.
    #[error("there is no key ring at {}: restore it from its backup, or name another file", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },

    /// Others than the owner may touch the file.
    #[error(
        "the key ring {path} may be used by others than its owner (mode {mode:04o}): run `chmod 600 {path}`",
        path = path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// The file holds something else. The reason never holds a value of the file.
    #[error("the key ring {} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The file system failed.
    #[error("could not {doing} the key ring {}: {source}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },

    /// No randomness to make keys from.
    #[error("could not make keys: no randomness is available")]
    NoRandomness,
}

impl From<NoRandomness> for KeyRingError {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

/// Secret bytes that are wiped when the last ring that shares them is dropped.
#[derive(Clone)]
struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    fn random() -> Result<Self, NoRandomness> {
        Ok(Self::new(Zeroizing::new(random::<KEY_BYTES>()?).to_vec()))
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn check_length(&self, name: &str) -> Result<(), String> {
        match self.bytes().len() {
            KEY_BYTES => Ok(()),
            other => Err(format!("{name} has {other} bytes, not {KEY_BYTES}")),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.trim().as_bytes());
        // Base64's own error quotes a character of the secret.
        bytes.map(Self::new).map_err(|_| serde::de::Error::custom("a key is not valid base64"))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(self.bytes())))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    key_encryption: StoredKeks,
    index_root: Secret,
    token_signing: StoredTokenKeys,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKeks {
    current: i32,
    keys: Vec<StoredKek>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKek {
    version: i32,
    key: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTokenKeys {
    current: String,
    keys: Vec<StoredTokenKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTokenKey {
    kid: String,
    pkcs8: Secret,
}

/// What `error` says, less what it quotes: `invalid type: string "…"` would print a key that stands in
/// the wrong place.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("invalid ") {
        format!("a value of the wrong type at line {} column {}", error.line(), error.column())
    } else {
        text
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn make_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

#[cfg(unix)]
fn private(file: &File, path: &Path) -> Result<(), KeyRingError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file.metadata().map_err(|source| KeyRingError::Io {
        doing: "inspect",
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyRingError::TooOpen { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn private(_file: &File, _path: &Path) -> Result<(), KeyRingError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn write(path: &Path, text: &str) {
        let mut options = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    /// A stored ring after `change`, and why it is refused.
    fn refusal(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let directory = directory();
        let path = directory.path().join("keys.json");
        let mut json = serde_json::to_value(KeyRing::generate().unwrap().to_stored()).unwrap();
        change(&mut json);
        write(&path, &json.to_string());
        KeyRing::load(&path).expect_err("this ring is not usable").to_string()
    }

    #[test]
    fn a_ring_is_made_once_and_then_read() {
        let directory = directory();
        let path = directory.path().join("new/keys.json");
        let made = KeyRing::load_or_create(&path).unwrap();
        let read = KeyRing::load_or_create(&path).unwrap();
        assert_eq!(made.keks().get(1), read.keks().get(1));
        assert_eq!(made.index_root(), read.index_root());
        assert_eq!(made.token_keys()[0].pkcs8(), read.token_keys()[0].pkcs8());
        assert_eq!(made.current_token_key().kid, read.current_token_key().kid);
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "a temporary file was left behind");
    }

    #[test]
    fn processes_that_race_share_one_ring() {
        let directory = directory();
        let path = directory.path().join("keys.json");
        let roots = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| KeyRing::load_or_create(&path).unwrap().index_root().to_vec()))
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(roots.iter().all(|root| *root == roots[0]));
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let directory = directory();
        let path = directory.path().join("keys.json");
        write(&path, "precious");
        assert!(KeyRing::generate().unwrap().store_new(&path).is_err());
        assert!(KeyRing::load_or_create(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn two_rings_have_nothing_in_common() {
        let (a, b) = (KeyRing::generate().unwrap(), KeyRing::generate().unwrap());
        assert_ne!(a.keks().get(1), b.keks().get(1));
        assert_ne!(a.index_root(), b.index_root());
        assert_ne!(a.current_token_key().kid, b.current_token_key().kid);
        assert_ne!(a.keks().get(1), Some(a.index_root()));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_touch_the_file() {
        use std::os::unix::fs::PermissionsExt;

        let directory = directory();
        let path = directory.path().join("new/keys.json");
        KeyRing::load_or_create(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);

        for open in [0o644, 0o640, 0o604, 0o660, 0o620, 0o601] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(open)).unwrap();
            let error = KeyRing::load(&path).expect_err("others may use it").to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(KeyRing::load_or_create(&path).is_err());
        }
        for closed in [0o400, 0o600] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(closed)).unwrap();
            KeyRing::load(&path).unwrap();
        }
    }

    #[test]
    fn a_missing_file_is_said_to_be_missing() {
        let directory = directory();
        let error = KeyRing::load(&directory.path().join("nowhere.json")).unwrap_err();
        assert!(matches!(error, KeyRingError::Missing { .. }), "{error}");
    }

    #[test]
    fn an_operator_can_add_versions() {
        let directory = directory();
        let path = directory.path().join("keys.json");
        let old = KeyRing::generate().unwrap();
        let mut json = serde_json::to_value(old.to_stored()).unwrap();
        // What `openssl rand -base64 32` and `openssl genpkey -algorithm ed25519 -outform DER` print.
        json["key_encryption"]["keys"].as_array_mut().unwrap().push(serde_json::json!({
            "version": 2, "key": "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8="
        }));
        json["key_encryption"]["current"] = 2.into();
        json["token_signing"]["keys"].as_array_mut().unwrap().push(serde_json::json!({
            "kid": "2027-01", "pkcs8": "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"
        }));
        json["token_signing"]["current"] = "2027-01".into();
        write(&path, &json.to_string());

        let ring = KeyRing::load(&path).unwrap();
        assert_eq!(ring.keks().current(), 2);
        assert_eq!(ring.keks().get(1), old.keks().get(1));
        assert_eq!(ring.keks().get(2).unwrap()[..2], [0xde, 0xad]);
        assert_eq!(ring.current_token_key().kid, "2027-01");
        // RFC 8032 §7.1, test 1.
        assert_eq!(ring.token_keys()[1].public[..4], [0xd7, 0x5a, 0x98, 0x01]);
    }

    #[test]
    fn rotating_adds_a_key_and_keeps_the_others() {
        let directory = directory();
        let path = directory.path().join("keys.json");
        let old = KeyRing::load_or_create(&path).unwrap();
        assert_eq!(KeyRing::rotate(&path, true).unwrap(), 2);
        let new = KeyRing::load(&path).unwrap();
        assert_eq!(new.current_kek(), 2);
        assert_eq!(new.keks().get(1), old.keks().get(1));
        assert_ne!(new.keks().get(2), old.keks().get(1));
        assert_eq!(new.index_root(), old.index_root());
        assert_eq!(new.current_token_key().pkcs8(), old.current_token_key().pkcs8());

        // In two steps, as where every node has its own copy of the file.
        assert_eq!(KeyRing::rotate(&path, false).unwrap(), 3);
        let added = KeyRing::load(&path).unwrap();
        assert_eq!(added.current_kek(), 2);
        assert_eq!(KeyRing::rotate(&path, true).unwrap(), 3, "the one that was added becomes current");
        let current = KeyRing::load(&path).unwrap();
        assert_eq!((current.current_kek(), current.keks().get(3)), (3, added.keks().get(3)));

        let missing = KeyRing::rotate(&directory.path().join("nowhere.json"), true).unwrap_err();
        assert!(matches!(missing, KeyRingError::Missing { .. }), "{missing}");
    }

    #[cfg(unix)]
    #[test]
    fn a_rotated_ring_is_its_owners_and_stays_where_it_was() {
        use std::os::unix::fs::PermissionsExt;

        let directory = directory();
        let (path, link) = (directory.path().join("keys.json"), directory.path().join("link.json"));
        KeyRing::load_or_create(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        KeyRing::rotate(&link, true).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(KeyRing::load(&path).unwrap().current_kek(), 2);
    }

    #[test]
    fn many_that_rotate_lose_no_key() {
        let directory = directory();
        let path = directory.path().join("keys.json");
        KeyRing::load_or_create(&path).unwrap();
        let mut versions = std::thread::scope(|scope| {
            let racers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| KeyRing::rotate(&path, true).unwrap())).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
        });
        versions.sort_unstable();
        assert_eq!(versions, (2..=9).collect::<Vec<_>>());
        assert_eq!(KeyRing::load(&path).unwrap().keks.by_version.len(), 9);
    }

    #[test]
    fn live_keys_follow_their_file_but_no_other_ring() {
        let directory = directory();
        let path = directory.path().join("keys.json");
        let live = LiveKeks::new(&KeyRing::load_or_create(&path).unwrap());
        KeyRing::rotate(&path, true).unwrap();
        assert_eq!(live.get().current(), 1, "nobody has looked");
        assert_eq!(live.refreshed().current(), 2);
        assert_eq!(live.get().current(), 2);

        let ours = std::fs::read_to_string(&path).unwrap();
        for other in [
            "not a ring".to_owned(),
            serde_json::to_string(
                &KeyRing::generate().unwrap().with_newer_kek().with_newer_kek().to_stored(),
            )
            .unwrap(),
        ] {
            write(&path, &other);
            assert_eq!(live.refreshed().current(), 2);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(live.refreshed().current(), 2);
        write(&path, &ours);
        KeyRing::rotate(&path, true).unwrap();
        assert_eq!(live.refreshed().current(), 3);
    }

    #[test]
    fn what_is_wrong_with_a_ring_is_said() {
        type Change = fn(&mut serde_json::Value);
        let cases: &[(&str, Change)] = &[
            ("format is 2", |ring| ring["format"] = 2.into()),
            ("version 7, is not among", |ring| ring["key_encryption"]["current"] = 7.into()),
            ("not positive", |ring| ring["key_encryption"]["keys"][0]["version"] = 0.into()),
            ("has 3 bytes", |ring| ring["key_encryption"]["keys"][0]["key"] = "c2Vj".into()),
            ("index_root has 3 bytes", |ring| ring["index_root"] = "c2Vj".into()),
            ("not valid base64", |ring| ring["index_root"] = "!".into()),
            ("\"nobody\", is not among", |ring| ring["token_signing"]["current"] = "nobody".into()),
            ("not an Ed25519", |ring| ring["token_signing"]["keys"][0]["pkcs8"] = "c2Vj".into()),
            ("kid must be", |ring| ring["token_signing"]["keys"][0]["kid"] = "a b".into()),
            ("kid must be", |ring| ring["token_signing"]["keys"][0]["kid"] = "".into()),
            ("unknown field `indexroot`", |ring| ring["indexroot"] = "x".into()),
            ("missing field `key_encryption`", |ring| {
                ring.as_object_mut().unwrap().remove("key_encryption");
            }),
            ("version 1 is there twice", |ring| {
                let keys = ring["key_encryption"]["keys"].as_array_mut().unwrap();
                keys.push(keys[0].clone());
            }),
            ("is there twice", |ring| {
                let keys = ring["token_signing"]["keys"].as_array_mut().unwrap();
                keys.push(keys[0].clone());
            }),
        ];
        for (expected, change) in cases {
            let said = refusal(change);
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn an_error_quotes_no_key() {
        let key = "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=";
        for said in [
            refusal(|ring| ring["key_encryption"]["current"] = key.into()),
            refusal(|ring| ring["format"] = key.into()),
            refusal(|ring| ring["key_encryption"] = key.into()),
            refusal(|ring| ring["index_root"] = format!("{key}*").into()),
        ] {
            assert!(!said.contains("3q2"), "{said}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let ring = KeyRing::generate().unwrap();
        let shown = format!("{ring:?} {ring:#?}");
        assert!(shown.contains(&ring.current_token_key().kid));
        for secret in [ring.keks().get(1).unwrap(), ring.index_root(), ring.token_keys()[0].pkcs8()] {
            assert!(!shown.contains(&STANDARD.encode(secret)));
            assert!(!shown.contains(&format!("{secret:?}")));
            assert!(!shown.contains(&format!("{:?}", &secret[..4]).replace(['[', ']'], "")));
        }
    }
}
