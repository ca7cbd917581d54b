//! `alivio rotate-keys`, `shred-conversation` and `reindex`: what operators do with keys, and what hangs on them.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use alivio_crypto::{EnvelopeSealer, KeyRing};
use alivio_kernel::ids::{ConversationId, SystemIds, Uuid};
use alivio_kernel::sealing::DataKeyStore;
use alivio_kernel::{AuditEntry, AuditSink, BoxError, Clock, Origin, SystemClock};
use alivio_messages::Shredded;
use alivio_postgres::{Database, DatabaseOptions, migrate};

use crate::assembly::{Storage, keys, with_platform};
use crate::config::Config;

/// How many data keys are made to open only at once.
const RETIRED_AT_ONCE: i64 = 500;
/// Whoever read the key ring before it was replaced has stored their key by then.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// How to rotate.
#[derive(clap::Args)]
pub(crate) struct Rotate {
    /// Begin new data keys, too: each scope gets one for what is sealed from now on, within a quarter of an hour
    #[arg(long)]
    data_keys: bool,
    /// Only add the key to the file, for nodes that have copies of it: copy it to all, and run this again without
    #[arg(long)]
    add_only: bool,
}

/// What was done.
struct Rotated {
    version: i32,
    wrapped: usize,
    retired: usize,
    was_unfinished: bool,
}

/// Rotates. What was begun and broken off is finished first.
pub(crate) async fn rotate(config: &Config, options: Rotate) -> Result<(), BoxError> {
    if options.add_only {
        let version = KeyRing::rotate(&config.keys_file, false)?;
        return Ok(writeln!(std::io::stdout(), "key-encryption key {version} added, not in use yet")?);
    }
    let rotated = Storage::with(config, async |storage| rotate_in(config, storage, options.data_keys).await);
    let Rotated { version, wrapped, retired, was_unfinished } = rotated.await?;
    let mut out = std::io::stdout().lock();
    if was_unfinished {
        writeln!(out, "a rotation that was broken off is finished")?;
    }
    writeln!(out, "key-encryption key {version} is in use; {wrapped} data keys wrapped by it")?;
    if options.data_keys {
        writeln!(out, "{retired} data keys will be followed by new ones")?;
    }
    Ok(writeln!(out, "keep a copy of {}, apart from the database's backups", config.keys_file.display())?)
}

async fn rotate_in(config: &Config, storage: &Storage, data_keys: bool) -> Result<Rotated, BoxError> {
    let begun = SystemClock.now();
    let ring = keys(config)?;
    migrate(&storage.url).await?;
    let options = DatabaseOptions { connections: 2, ..DatabaseOptions::default() };
    let database = Arc::new(Database::new(&storage.url, options)?);
    let store = Arc::clone(&database) as _;
    let sealer = EnvelopeSealer::new(&ring, store, Arc::new(SystemClock), Arc::new(SystemIds));
    sealer.check().await?;
    let was_unfinished = !database.not_wrapped_by(ring.current_kek(), None, 1).await?.is_empty();
    let version = if was_unfinished { ring.current_kek() } else { KeyRing::rotate(&config.keys_file, true)? };
    let mut wrapped = sealer.rewrap_all().await?;
    tokio::time::sleep(STRAGGLERS).await;
    loop {
        match sealer.rewrap_all().await? {
            0 => break,
            more => wrapped += more,
        }
    }
    let mut retired = 0;
    if data_keys {
        loop {
            match database.retire(begun, RETIRED_AT_ONCE).await? {
                0 => break,
                more => retired += more,
            }
        }
    }
    let entry = AuditEntry::from_origin(&SystemIds, SystemClock.now(), &Origin::default(), "keys.rotated");
    database.record(&[entry]).await?;
    Ok(Rotated { version, wrapped, retired, was_unfinished })
}

/// Why something is destroyed. A code, because the audit trail holds no words.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Reason {
    /// The time for which it had to be kept is over
    RetentionOver,
    /// The people concerned have asked for it, and the law lets them
    ErasureRequest,
    /// A court or an authority has ordered it
    LegalOrder,
    /// It should never have been said here
    Misplaced,
}

impl Reason {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::RetentionOver => "retention_over",
            Self::ErasureRequest => "erasure_request",
            Self::LegalOrder => "legal_order",
            Self::Misplaced => "misplaced",
        }
    }
}

/// What to destroy.
#[derive(clap::Args)]
pub(crate) struct Shred {
    /// The conversation's id
    conversation: Uuid,
    /// Why
    #[arg(long)]
    reason: Reason,
    /// Do it although it is about the care of a patient, whose record the law says how long to keep
    #[arg(long)]
    force: bool,
}

/// Destroys the content of a conversation.
pub(crate) async fn shred(config: &Config, options: Shred) -> Result<(), BoxError> {
    let id = ConversationId::from(options.conversation);
    let shredded = with_platform(config, async |platform| {
        Ok(platform.retention.shred(id, options.reason.code(), options.force).await?)
    })
    .await?;
    let mut out = std::io::stdout().lock();
    match shredded {
        Shredded::Done => Ok(writeln!(
            out,
            "{id}: destroyed. Nodes that have read it forget its keys within 15 minutes; backups of the database \
             hold them until the key-encryption key of their time is destroyed, too"
        )?),
        Shredded::Already => Ok(writeln!(out, "{id}: had been destroyed before")?),
        Shredded::IsCare => Err("it is about the care of a patient; add --force if the law lets you".into()),
        Shredded::Unknown => Err("there is no such conversation".into()),
    }
}

/// Completes the search index.
pub(crate) async fn reindex(config: &Config) -> Result<(), BoxError> {
    let indexed = with_platform(config, async |platform| Ok(platform.search.complete_index().await?)).await?;
    Ok(writeln!(std::io::stdout(), "{indexed} messages put into the index")?)
}
