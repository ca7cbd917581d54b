//! A private PostgreSQL for development and tests, with nothing to set up.
//!
//! With `DATABASE_URL` unset, [`Cluster::start`] finds the installed programs ([`find_programs`]) or downloads
//! them, keeps a cluster below the data directory and listens on a private Unix socket only. A small shell
//! (`supervise.sh`) is the postmaster's parent and stops it when our end of a pipe closes, so that neither
//! SIGTERM nor SIGKILL of ours leaves it behind. [`SharedCluster`] is the same for all processes of a test run.

mod account;
mod admin;
mod download;
mod error;
mod home;
mod initialise;
mod programs;
mod settings;
mod shared;
mod supervise;

pub use download::Download;
pub use error::ClusterError;
pub use programs::{MINIMUM_MAJOR, Programs, find_programs, find_programs_in, usual_places};
pub use settings::Durability;
pub use shared::SharedCluster;

use account::{Account, create_passage};
use home::Home;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use supervise::{Lifeline, Supervisor};

/// Covers the moment between our predecessor's death and the kernel freeing its locks.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Our predecessor's PostgreSQL may still be writing its last checkpoint.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(40);

/// How to run a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Alivio's data directory; the cluster is kept in `postgres/` below it.
    pub data_dir: PathBuf,
    /// What a crash of the machine may cost.
    pub durability: Durability,
    /// Most connections at a time.
    pub max_connections: u16,
    /// PostgreSQL's own cache, in MiB.
    pub shared_buffers_mb: u32,
    /// Where to look for the programs, instead of [`usual_places`].
    pub program_dirs: Option<Vec<PathBuf>>,
    /// What to do if none are installed.
    pub download: Download,
}

impl ClusterConfig {
    /// A durable cluster of moderate size.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            durability: Durability::Durable,
            max_connections: 100,
            shared_buffers_mb: 128,
            program_dirs: None,
            download: Download::Official,
        }
    }
}

/// A running private cluster. Dropping it stops PostgreSQL too, without waiting.
#[derive(Debug)]
pub struct Cluster {
    home: Home,
    programs: Programs,
    supervisor: Supervisor,
    // After the supervisor: the pipe closes before the directory is free for another process.
    _lock: ServerLock,
}

impl Cluster {
    /// Starts PostgreSQL, on a new data directory after creating it.
    ///
    /// # Errors
    /// See [`ClusterError`]; every message says what to do.
    pub async fn start(config: ClusterConfig) -> Result<Self, ClusterError> {
        let began = Instant::now();
        let base = config.data_dir.join("postgres");
        create_passage(&base, &Account::choose()?)?;
        let lock = ServerLock::take(&base.join("server.lock"), &config.data_dir).await?;
        let home = blocking(move || Home::open(&base)).await?;
        let family = home.lock_postmaster(PREDECESSOR_PATIENCE).await?;
        let (home, programs, mut supervisor) = launch(home, family, &config, None).await?;
        supervisor.ready(&home).await?;
        tracing::info!(
            directory = %home.data.display(),
            version = programs.version,
            account = home.account.name(),
            milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "embedded PostgreSQL is ready"
        );
        Ok(Self { home, programs, supervisor, _lock: lock })
    }

    /// The address of `database`, for libpq and for Rust drivers.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        admin::url(&self.home.runtime, database)
    }

    /// Creates `name` if it is missing.
    ///
    /// # Errors
    /// [`ClusterError::Database`] if PostgreSQL refuses.
    pub async fn ensure_database(&self, name: &str) -> Result<(), ClusterError> {
        admin::ensure_database(&self.home.runtime, name).await
    }

    /// The PostgreSQL that runs it.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The PostgreSQL data directory, which may be elsewhere than [`ClusterConfig::data_dir`].
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.home.data
    }

    /// Shuts PostgreSQL down in order and waits until it has ended.
    ///
    /// # Errors
    /// [`ClusterError::Stop`] if it does not end.
    pub async fn stop(self) -> Result<(), ClusterError> {
        let Self { home, supervisor, _lock, .. } = self;
        supervisor.stop(&home).await
    }
}

/// A named pipe and the grace after its last holder.
type SharedPipe = (PathBuf, Duration);

/// From a locked home to a spawned postmaster.
async fn launch(
    home: Home,
    family: File,
    config: &ClusterConfig,
    shared: Option<SharedPipe>,
) -> Result<(Home, Programs, Supervisor), ClusterError> {
    let directories = config.program_dirs.clone();
    let (home, existing, installed) = blocking(move || {
        let mut directories = directories.unwrap_or_else(usual_places);
        directories.extend(download::downloaded(&home.root));
        let existing = initialise::existing_version(&home)?;
        let installed = programs::find_all(&directories, &home.account);
        Ok((home, existing, (directories, installed)))
    })
    .await?;
    let (directories, installed) = installed;
    let programs = match pick(&home, existing.as_deref(), &installed)? {
        Some(programs) => programs,
        None => {
            let major = existing.as_deref().and_then(|version| version.parse().ok());
            download::download(&config.download, &home, major)
                .await
                .map_err(|reason| programs::missing(&directories, Some(reason)))?
        }
    };
    let config = config.clone();
    blocking(move || {
        if existing.is_none() {
            initialise::initialise(&home, &programs, config.durability, &family)?;
        }
        home.remove_stale_pid_file()?;
        let settings =
            settings::arguments(&home, config.durability, config.max_connections, config.shared_buffers_mb);
        let lifeline = match &shared {
            None => Lifeline::Private,
            Some((path, grace)) => Lifeline::Shared {
                reader: File::open(path).map_err(ClusterError::path("open", path))?,
                path,
                grace: *grace,
            },
        };
        let supervisor = Supervisor::spawn(&home, &programs, &settings, lifeline, family)?;
        Ok((home, programs, supervisor))
    })
    .await
}

/// The newest installed version, or the one that made the data. `None` if nothing is installed.
fn pick(
    home: &Home,
    existing: Option<&str>,
    installed: &[Programs],
) -> Result<Option<Programs>, ClusterError> {
    let Some(version) = existing else { return Ok(installed.first().cloned()) };
    let matching = installed.iter().find(|programs| programs.major.to_string() == version);
    if matching.is_none() && !installed.is_empty() {
        let available: Vec<String> = installed.iter().map(|programs| programs.major.to_string()).collect();
        return Err(ClusterError::VersionMismatch {
            directory: home.data.clone(),
            found: version.into(),
            available: available.join(", "),
        });
    }
    Ok(matching.cloned())
}

/// Keeps a second Alivio off the data directory for as long as this value lives.
#[derive(Debug)]
struct ServerLock(File);

impl ServerLock {
    async fn take(file: &Path, data_dir: &Path) -> Result<Self, ClusterError> {
        home::lock_within(file, LOCK_PATIENCE)
            .await?
            .map(Self)
            .ok_or_else(|| ClusterError::AlreadyRunning { directory: data_dir.into() })
    }
}

impl Drop for ServerLock {
    fn drop(&mut self) {
        // Explicit: a child caught between fork and exec would otherwise keep the lock for a moment.
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "cannot unlock the data directory");
        }
    }
}

/// File system and process calls, off the asynchronous threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T, ClusterError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ClusterError::io("finish a task")(io::Error::other(error))))
}
