//! One volatile cluster for all processes of a test run.
//!
//! Every process that joins holds a named pipe open for writing; `supervise.sh` reads from it and stops
//! PostgreSQL a few seconds after the last holder has gone. The kernel counts the holders, so a killed test
//! leaves nothing behind, and nothing can stop a cluster in use.

use super::account::{Account, create_passage};
use super::admin;
use super::download::downloaded;
use super::error::ClusterError;
use super::home::{Home, hash, lock_within};
use super::programs::{find_all, usual_places};
use super::settings::{self, Durability};
use super::{ClusterConfig, blocking, launch};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// The time between one test program's end and the next one's beginning.
const GRACE: Duration = Duration::from_secs(5);
/// Others may be downloading, creating or stopping the cluster.
const PATIENCE: Duration = Duration::from_secs(400);
const POLL: Duration = Duration::from_millis(20);
/// A file system in memory, which PostgreSQL itself needs too.
const MEMORY: &str = "/dev/shm";
/// What the databases of many tests at a time and PostgreSQL's log fill, with room to spare.
const ROOM: u64 = 3 << 30;
/// Each change of the migrations makes another template.
const TEMPLATES_KEPT: i64 = 3;

/// A cluster shared with the other test processes; it runs for as long as any of them holds one of these.
#[derive(Debug)]
pub struct SharedCluster {
    home: Home,
    _holder: File,
}

impl SharedCluster {
    /// Databases whose name begins so are removed when the cluster starts.
    pub const TEST_PREFIX: &'static str = "test_";
    /// Databases whose name begins so outlive a test run, but not many of them.
    pub const TEMPLATE_PREFIX: &'static str = "template_";

    /// The cluster of this workspace, held until this process ends.
    ///
    /// # Errors
    /// As for [`Cluster::start`](super::Cluster::start).
    pub async fn join() -> Result<&'static Self, ClusterError> {
        static JOINED: OnceCell<SharedCluster> = OnceCell::const_new();
        JOINED
            .get_or_try_init(async || {
                let directory = blocking(default_directory).await?;
                Self::join_in(&directory, GRACE).await
            })
            .await
    }

    /// The cluster in `directory`, which stops `grace` after its last holder has gone.
    ///
    /// # Errors
    /// As for [`Cluster::start`](super::Cluster::start).
    pub async fn join_in(directory: &Path, grace: Duration) -> Result<Self, ClusterError> {
        let deadline = Instant::now() + PATIENCE;
        create_passage(directory, &Account::choose()?)?;
        let _starting = lock_within(&directory.join("cluster.lock"), PATIENCE)
            .await?
            .ok_or_else(|| ClusterError::AlreadyRunning { directory: directory.into() })?;
        let base = directory.to_path_buf();
        let home = blocking(move || Home::open(&base)).await?;
        loop {
            let postmaster = lock_within(&home.root.join("postmaster.lock"), Duration::ZERO).await?;
            let attempt = match postmaster {
                Some(family) => Attempt::Down(family),
                None => hold(&pipe(&home))?.map_or(Attempt::Stopping, Attempt::Up),
            };
            match attempt {
                Attempt::Down(family) => return start(home, family, grace).await,
                // A starter that was killed may have left one that is not ready yet, or will never be.
                Attempt::Up(holder) if admin::connect(&home.runtime, "postgres").await.is_ok() => {
                    return Ok(Self { home, _holder: holder });
                }
                _ if Instant::now() > deadline => {
                    return Err(ClusterError::StillRunning { directory: home.data, pid: 0 });
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// The address of `database`, for libpq and for Rust drivers.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        admin::url(&self.home.runtime, database)
    }
}

enum Attempt {
    /// Nobody runs it; the lock lets us.
    Down(File),
    Stopping,
    /// It runs, and will while we keep this.
    Up(File),
}

async fn start(home: Home, family: File, grace: Duration) -> Result<SharedCluster, ClusterError> {
    let config = ClusterConfig {
        durability: Durability::Volatile,
        max_connections: 300,
        shared_buffers_mb: 128,
        ..ClusterConfig::new(&home.root)
    };
    let (prepared, chosen) = (home.clone(), config.clone());
    let (holder, stamp) = blocking(move || {
        let stamp = stamp(&prepared, &chosen);
        discard_unless(&prepared, &stamp)?;
        Ok((new_pipe(&prepared)?, stamp))
    })
    .await?;
    let shared = Some((pipe(&home), grace));
    let (home, _, mut supervisor) = launch(home, family, &config, shared).await?;
    supervisor.ready(&home).await?;
    fs::write(stamp_file(&home), stamp).map_err(ClusterError::path("write", &stamp_file(&home)))?;
    remove_leftovers(&home).await?;
    Ok(SharedCluster { home, _holder: holder })
}

fn pipe(home: &Home) -> PathBuf {
    home.runtime.join("holders")
}

fn stamp_file(home: &Home) -> PathBuf {
    home.root.join("stamp")
}

fn new_pipe(home: &Home) -> Result<File, ClusterError> {
    let path = pipe(home);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(ClusterError::path("remove", &path)(error));
        }
        _ => {}
    }
    // By the account: it removes the pipe before it stops PostgreSQL.
    let made = home.account.command(Path::new("mkfifo")).args(["-m", "600"]).arg(&path).status();
    if !made.map_err(ClusterError::io("run mkfifo"))?.success() {
        return Err(ClusterError::path("create", &path)(std::io::Error::other("mkfifo failed")));
    }
    hold(&path)?.ok_or_else(|| ClusterError::path("hold", &path)(std::io::ErrorKind::NotFound.into()))
}

/// Holds the pipe, unless it is gone, which means that the cluster is being stopped.
fn hold(path: &Path) -> Result<Option<File>, ClusterError> {
    // For reading too, or opening would wait for a reader.
    let mut holder = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(holder) => holder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClusterError::path("open", path)(error)),
    };
    let held = holder.metadata().map_err(ClusterError::path("inspect", path))?;
    if !held.file_type().is_fifo() {
        return Err(ClusterError::path("use", path)(std::io::Error::other("it is not a named pipe")));
    }
    holder.write_all(b"joined\n").map_err(ClusterError::path("write to", path))?;
    // Removed meanwhile: let go, so that the stop goes on.
    let still = fs::metadata(path).is_ok_and(|found| found.ino() == held.ino());
    Ok(still.then_some(holder))
}

/// What a data directory must have been made with to be used again.
fn stamp(home: &Home, config: &ClusterConfig) -> String {
    let mut directories = usual_places();
    directories.extend(downloaded(&home.root));
    let newest = find_all(&directories, &home.account).first().map(|programs| programs.version.clone());
    let settings =
        settings::arguments(home, config.durability, config.max_connections, config.shared_buffers_mb)
            .join(" ");
    // Without fsync a data directory does not survive a crash of the machine.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{}\n{settings}\n{boot}", newest.unwrap_or_default())
}

fn discard_unless(home: &Home, stamp: &str) -> Result<(), ClusterError> {
    if fs::read_to_string(stamp_file(home)).is_ok_and(|found| found == stamp) || !home.data.exists() {
        return Ok(());
    }
    fs::remove_dir_all(&home.data).map_err(ClusterError::path("remove", &home.data))
}

/// Nobody else has joined yet: whatever is there is from earlier runs.
async fn remove_leftovers(home: &Home) -> Result<(), ClusterError> {
    const FIND: &str = "SELECT datname FROM pg_database, (SELECT count(*) AS templates FROM pg_database
         WHERE starts_with(datname::text, $2)) AS counted
         WHERE starts_with(datname::text, $1) OR (starts_with(datname::text, $2) AND templates > $3)";
    let failed = || ClusterError::database("remove the databases of earlier test runs");
    let client = admin::connect(&home.runtime, "postgres").await.map_err(failed())?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&SharedCluster::TEST_PREFIX, &SharedCluster::TEMPLATE_PREFIX, &TEMPLATES_KEPT];
    for row in client.query(FIND, &parameters).await.map_err(failed())? {
        let name = admin::quote(row.get(0));
        client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.map_err(failed())?;
    }
    Ok(())
}

/// In memory, in cargo's target directory, or the temp dir if PostgreSQL cannot enter that.
///
/// A database is hundreds of files. On a disk's file system, making and removing those for each test costs more
/// than most tests do.
fn default_directory() -> Result<PathBuf, ClusterError> {
    let account = Account::choose()?;
    let executable = std::env::current_exe().map_err(ClusterError::io("find this program"))?;
    let target = executable.ancestors().find(|directory| directory.join("CACHEDIR.TAG").exists());
    let workspace = target.unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR")));
    let name = format!("alivio-test-{}-{:016x}", account.own_uid(), hash(&workspace));
    let candidates = [
        has_room(Path::new(MEMORY), &account).then(|| Path::new(MEMORY).join(&name)),
        target.map(|target| target.join("test-postgres")),
        Some(std::env::temp_dir().join(&name)),
        Some(Path::new("/tmp").join(&name)),
    ];
    let mut tried = Vec::new();
    for candidate in candidates.into_iter().flatten() {
        let ours = create_passage(&candidate, &account).is_ok()
            && fs::symlink_metadata(&candidate)
                .is_ok_and(|found| found.is_dir() && found.uid() == account.own_uid());
        if ours && account.can_enter(&candidate) {
            return Ok(candidate);
        }
        tried.push(candidate.display().to_string());
    }
    Err(ClusterError::Unreachable { account: account.name().into(), tried: tried.join(", ") })
}

/// Whether the cluster fits into `memory`. A PostgreSQL that would have to be downloaded does not: where it is
/// kept, programs must be allowed to run.
fn has_room(memory: &Path, account: &Account) -> bool {
    rustix::fs::statvfs(memory).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) >= ROOM)
        && !find_all(&usual_places(), account).is_empty()
}
