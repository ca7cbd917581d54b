//! Where a cluster lives on disk, and the locks that keep others off it.
//!
//! ```text
//! <data_dir>/postgres/
//!   server.lock        held by the Alivio process that uses the directory
//!   location           only if the rest is elsewhere: the path of that home
//!   postmaster.lock    held by the PostgreSQL processes themselves, until the last has ended
//!   cluster/           PGDATA, owned by the account PostgreSQL runs as
//!   run/               the socket (in the temp dir if this path is too long for one)
//!   postgres.log
//!   programs/          a downloaded PostgreSQL
//! ```

use super::account::{Account, create_passage};
use super::error::ClusterError;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the cluster goes if the PostgreSQL account cannot reach the data directory.
const ELSEWHERE: [&str; 2] = ["/var/lib/alivio", "/var/tmp/alivio"];
/// The name PostgreSQL gives its socket for the port we always use.
const SOCKET: &str = ".s.PGSQL.5432";
/// macOS allows 103 bytes, Linux 107.
const LONGEST_SOCKET_PATH: usize = 100;
const POLL: Duration = Duration::from_millis(10);

/// The directories of one cluster and the account that owns it.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) root: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) runtime: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) account: Account,
}

impl Home {
    /// The home below `base` (`<data_dir>/postgres`), or elsewhere if PostgreSQL could not enter it.
    /// The caller holds the lock on `base`.
    pub(crate) fn open(base: &Path) -> Result<Self, ClusterError> {
        let account = Account::choose()?;
        create_passage(base, &account)?;
        let base = fs::canonicalize(base).map_err(ClusterError::path("resolve", base))?;
        let pointer = base.join("location");
        if let Ok(location) = fs::read_to_string(&pointer) {
            let root = PathBuf::from(location.trim_end_matches('\n'));
            create_passage(&root, &account)?;
            return Self::at(root, account);
        }
        if !account.switches() || account.can_enter(&base) {
            return Self::at(base, account);
        }
        let mut tried = vec![base.display().to_string()];
        for parent in ELSEWHERE {
            let Some(root) = unused_directory(Path::new(parent), hash(&base), &account) else {
                tried.push(parent.into());
                continue;
            };
            tried.push(root.display().to_string());
            let usable = account.can_enter(&root);
            if usable {
                fs::write(&pointer, format!("{}\n", root.display()))
                    .map_err(ClusterError::path("write", &pointer))?;
                tracing::warn!(
                    directory = %root.display(),
                    pointer = %pointer.display(),
                    account = account.name(),
                    "the PostgreSQL account cannot enter the data directory; the database is kept elsewhere"
                );
                return Self::at(root, account);
            }
        }
        Err(ClusterError::Unreachable { account: account.name().into(), tried: tried.join(", ") })
    }

    fn at(root: PathBuf, account: Account) -> Result<Self, ClusterError> {
        let data = root.join("cluster");
        // An incomplete directory is replaced, whoever owns it.
        let account = if is_complete(&data) { account.owning(&data)? } else { account };
        let runtime = runtime_directory(&root, &account)?;
        let log = root.join("postgres.log");
        Ok(Self { root, data, runtime, log, account })
    }

    /// Waits until no PostgreSQL process of an earlier start is left; they inherit this lock, so the kernel
    /// frees it with the last of them.
    pub(crate) async fn lock_postmaster(&self, patience: Duration) -> Result<File, ClusterError> {
        let path = self.root.join("postmaster.lock");
        match lock_within(&path, patience).await? {
            Some(lock) => Ok(lock),
            None => Err(ClusterError::StillRunning {
                directory: self.data.clone(),
                pid: recorded_pid(&self.data).unwrap_or_default(),
            }),
        }
    }

    /// Removes the pid file of a postmaster that is gone. PostgreSQL itself would refuse to start if the
    /// number had meanwhile gone to any other process.
    pub(crate) fn remove_stale_pid_file(&self) -> Result<(), ClusterError> {
        let file = self.data.join("postmaster.pid");
        if !file.exists() {
            return Ok(());
        }
        // Someone may have started one by hand, without our lock.
        if let Some(pid) = recorded_pid(&self.data)
            && is_postmaster_of(pid, &self.data)
        {
            return Err(ClusterError::StillRunning { directory: self.data.clone(), pid });
        }
        tracing::info!(file = %file.display(), "PostgreSQL was not shut down properly; it will recover");
        fs::remove_file(&file).map_err(ClusterError::path("remove", &file))
    }
}

/// An exclusive lock on the file at `path`, or `None` if others keep it for longer than `patience`.
pub(crate) async fn lock_within(path: &Path, patience: Duration) -> Result<Option<File>, ClusterError> {
    let file = open_lock(path)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(ClusterError::path("lock", path)(error)),
        }
    }
}

pub(crate) fn open_lock(path: &Path) -> Result<File, ClusterError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(ClusterError::path("open", path))
}

/// Numbered, not derived from the path alone: a deleted data directory must not find its old data again.
fn unused_directory(parent: &Path, name: u64, account: &Account) -> Option<PathBuf> {
    create_passage(parent, account).ok()?;
    let found = fs::symlink_metadata(parent).ok()?;
    if !found.is_dir() || found.uid() != account.own_uid() {
        return None;
    }
    let root = unused(&parent.join(format!("{name:016x}")));
    create_passage(&root, account).ok()?;
    Some(root)
}

/// `stem` with the first number that is free.
pub(crate) fn unused(stem: &Path) -> PathBuf {
    let numbered = |number: u64| {
        let mut path = stem.as_os_str().to_owned();
        path.push(format!("-{number}"));
        PathBuf::from(path)
    };
    let mut number = 1;
    while fs::symlink_metadata(numbered(number)).is_ok() {
        number += 1;
    }
    numbered(number)
}

/// Stable for one build only; used for names that need not outlive it.
pub(crate) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn runtime_directory(root: &Path, account: &Account) -> Result<PathBuf, ClusterError> {
    let short = format!("alivio-{}-{:016x}", account.uid(), hash(&root));
    let candidates = [root.join("run"), std::env::temp_dir().join(&short), Path::new("/tmp").join(&short)];
    let mut tried = Vec::new();
    for candidate in candidates {
        let parent = candidate.parent().unwrap_or(root);
        if fits_a_socket(&candidate) && account.can_enter(parent) {
            account.private_directory(&candidate)?;
            return Ok(candidate);
        }
        tried.push(candidate.display().to_string());
    }
    Err(ClusterError::Unreachable { account: account.name().into(), tried: tried.join(", ") })
}

/// Short enough, and free of characters that lists of directories or URLs would have to escape.
fn fits_a_socket(directory: &Path) -> bool {
    directory.to_str().is_some_and(|path| {
        path.len() + 1 + SOCKET.len() <= LONGEST_SOCKET_PATH
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
    })
}

/// Holds a database, rather than the remains of an interrupted `initdb`.
pub(crate) fn is_complete(data: &Path) -> bool {
    data.join("PG_VERSION").exists() && data.join("global/pg_control").exists()
}

fn recorded_pid(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

fn is_postmaster_of(pid: u32, data: &Path) -> bool {
    if Path::new("/proc/self").exists() {
        // The postmaster's working directory is its data directory.
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    }
    std::process::Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy()))
}
