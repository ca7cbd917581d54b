//! Running the postmaster under a small shell that stops it when we end, whatever ends us.

use super::admin;
use super::error::ClusterError;
use super::home::Home;
use super::programs::Programs;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("supervise.sh");
const LARGEST_LOG: u64 = 8 << 20;
const TAIL: u64 = 4096;
const POLL: Duration = Duration::from_millis(5);
/// Crash recovery of a large database takes its time.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// More than the script needs to get from a fast shutdown to SIGKILL.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

/// The shell that is the postmaster's parent.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    /// Closing it stops PostgreSQL. Absent if a named pipe does that.
    pipe: Option<ChildStdin>,
    log_start: u64,
}

/// What keeps PostgreSQL running.
pub(crate) enum Lifeline<'a> {
    /// This process.
    Private,
    /// All processes that hold the named pipe open for writing, and a grace after the last.
    Shared {
        /// The end to read from.
        reader: File,
        /// Its path, removed before the stop.
        path: &'a Path,
        /// How long to wait for another process to join.
        grace: Duration,
    },
}

impl Supervisor {
    /// `family` is the postmaster lock, which passes to the new processes.
    pub(crate) fn spawn(
        home: &Home,
        programs: &Programs,
        settings: &[String],
        lifeline: Lifeline<'_>,
        family: File,
    ) -> Result<Self, ClusterError> {
        let log = open_log(&home.log)?;
        let log_start = log.metadata().map_err(ClusterError::path("inspect", &home.log))?.len();
        let mut command = home.account.command(Path::new("/bin/sh"));
        command.args(["-c", SCRIPT, "alivio-postgres"]);
        match lifeline {
            Lifeline::Private => command.args(["0", ""]).stdin(Stdio::piped()),
            Lifeline::Shared { reader, path, grace } => {
                command.arg((grace.as_millis() / 200).to_string()).arg(path).stdin(Stdio::from(reader))
            }
        };
        command.arg(programs.postgres()).arg("-D").arg(&home.data).args(settings);
        command.stdout(Stdio::from(family)).stderr(Stdio::from(log));
        let mut shell = command.spawn().map_err(ClusterError::io("start PostgreSQL"))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe, log_start })
    }

    /// Returns when the server answers.
    pub(crate) async fn ready(&mut self, home: &Home) -> Result<(), ClusterError> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Some(status) = self.shell.try_wait().map_err(ClusterError::io("watch PostgreSQL"))? {
                return Err(self.failure(home, format!("it ended: {status}")));
            }
            match admin::connect(&home.runtime, "postgres").await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(
                        self.failure(home, format!("no answer in {} s: {error}", START_PATIENCE.as_secs()))
                    );
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Fast shutdown: closes connections, rolls back what is open, writes everything, ends.
    pub(crate) async fn stop(mut self, home: &Home) -> Result<(), ClusterError> {
        drop(self.pipe.take());
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.shell.try_wait().map_err(ClusterError::io("watch PostgreSQL"))? {
                if !status.success() {
                    tracing::warn!(%status, log = %home.log.display(), "PostgreSQL did not end properly");
                }
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(ClusterError::Stop { directory: home.data.clone(), seconds: STOP_PATIENCE.as_secs() })
    }

    fn failure(&self, home: &Home, reason: String) -> ClusterError {
        ClusterError::Start {
            directory: home.data.clone(),
            reason,
            log: home.log.clone(),
            tail: tail(&home.log, self.log_start),
        }
    }
}

fn open_log(path: &Path) -> Result<File, ClusterError> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LARGEST_LOG) {
        let old = path.with_extension("log.old");
        fs::rename(path, &old).map_err(ClusterError::path("rename", path))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(ClusterError::path("open", path))
}

fn tail(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut log| {
        let from = start.max(log.metadata()?.len().saturating_sub(TAIL));
        log.seek(SeekFrom::Start(from))?;
        log.read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => format!("(unreadable: {error})"),
    }
}
