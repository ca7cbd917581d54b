//! What can go wrong with the embedded cluster, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the embedded PostgreSQL could not be found, started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No usable PostgreSQL programs on this machine, and none could be downloaded.
    #[error(
        "no PostgreSQL {minimum} or newer was found ({details}). Install it (Debian and Ubuntu: `apt install \
         postgresql`, macOS: `brew install postgresql@16`), or set DATABASE_URL to a server that already runs."
    )]
    ProgramsMissing {
        /// The oldest major version that will do.
        minimum: u32,
        /// Where was searched and why the download failed.
        details: String,
    },

    /// The data directory was made by a major version that is not installed.
    #[error(
        "the database in {} was made by PostgreSQL {found}, but only version {available} is available. Install \
         PostgreSQL {found}, or dump it there and restore it into a new data directory, or set DATABASE_URL.",
        directory.display()
    )]
    VersionMismatch {
        /// The PostgreSQL data directory.
        directory: PathBuf,
        /// The major version that made it.
        found: String,
        /// The major versions found on this machine.
        available: String,
    },

    /// Another Alivio process uses the directory.
    #[error(
        "another Alivio process is already using the data directory {}. Stop it first, or give this one its own \
         data directory, or set DATABASE_URL so that both use one server.",
        directory.display()
    )]
    AlreadyRunning {
        /// The data directory both want.
        directory: PathBuf,
    },

    /// A PostgreSQL that is not ours to stop runs on the directory.
    #[error(
        "a PostgreSQL server (process {pid}) is still running on {}. Stop it with `kill -INT {pid}`, or use another \
         data directory.",
        directory.display()
    )]
    StillRunning {
        /// The PostgreSQL data directory.
        directory: PathBuf,
        /// The process to stop; 0 when it is not known.
        pid: u32,
    },

    /// The files belong to someone else.
    #[error(
        "{} belongs to user id {owner}, but this process runs as user id {ours}. Run as that user, or use another \
         data directory.",
        directory.display()
    )]
    ForeignOwner {
        /// The directory concerned.
        directory: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        ours: u32,
    },

    /// Running as root, and there is no other account to run PostgreSQL as.
    #[error(
        "PostgreSQL refuses to run as root, and neither user `postgres` nor `nobody` can be used ({details}). Create \
         one (`useradd --system postgres`), run Alivio as an ordinary user, or set DATABASE_URL."
    )]
    NoAccount {
        /// What was tried.
        details: String,
    },

    /// No directory that the PostgreSQL account can reach.
    #[error(
        "PostgreSQL, running as user `{account}`, can enter none of these directories: {tried}. Choose another data directory."
    )]
    Unreachable {
        /// The unprivileged account.
        account: String,
        /// The directories that were tried.
        tried: String,
    },

    /// `initdb` failed.
    #[error("initdb could not create a database in {}: {output}", directory.display())]
    Initialise {
        /// The new data directory.
        directory: PathBuf,
        /// What `initdb` said.
        output: String,
    },

    /// The server ended or did not answer while it was starting.
    #[error("PostgreSQL did not start in {} ({reason}). Its log, {}, ends with:\n{tail}", directory.display(), log.display())]
    Start {
        /// The PostgreSQL data directory.
        directory: PathBuf,
        /// Ended or timed out.
        reason: String,
        /// The server's log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// The server was told to stop and did not.
    #[error("PostgreSQL in {} did not stop within {seconds} s", directory.display())]
    Stop {
        /// The PostgreSQL data directory.
        directory: PathBuf,
        /// How long was waited.
        seconds: u64,
    },

    /// A statement on the running cluster failed.
    #[error("the embedded PostgreSQL refused to {doing}: {source}")]
    Database {
        /// What was attempted.
        doing: String,
        /// The server's or driver's answer.
        source: tokio_postgres::Error,
    },

    /// The file system or a process call failed.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: String,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl ClusterError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    pub(crate) fn path(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("{verb} {}", path.display()))
    }

    pub(crate) fn database(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Database { doing, source }
    }
}
