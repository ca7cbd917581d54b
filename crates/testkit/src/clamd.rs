//! A clamd of one's own, with signatures of its own, to be killed and stopped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Process, free_port, is_there};
use crate::server::POLL;

/// It reads its signatures first, on a machine that may be busy.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// More is not taken.
pub const STREAM_LIMIT: usize = 8 * 1024 * 1024;
/// Malware that only this clamd knows, wherever it is in a file.
pub const OWN_MALWARE: &[u8] = b"ALIVIO-TEST-MALWARE:hoy-no-hay-virus";
/// Its name.
pub const OWN_NAME: &str = "Alivio.Test.Malware";

/// A running clamd that nobody else has. It says so of what it cannot look into, unless it is told otherwise, and uses no
/// network. Dropping it kills the process.
#[derive(Debug)]
pub struct TestClamd {
    port: u16,
    process: Process,
    directory: TempDir,
}

impl TestClamd {
    /// Starts one; `None`, said loudly, on a machine that has no `clamd`.
    ///
    /// # Panics
    /// If it does not come up; if there is none, and `ALIVIO_TESTS_MUST_NOT_SKIP` is set.
    pub async fn start() -> Option<Self> {
        Self::start_with("AlertExceedsMax yes\nAlertEncrypted yes\n").await
    }

    /// The same with these lines in its configuration.
    ///
    /// # Panics
    /// As above.
    pub async fn start_with(settings: &str) -> Option<Self> {
        if !is_there("clamd") {
            return None;
        }
        let directory = tempfile::Builder::new().prefix("alivio-clamd-").tempdir().expect("a directory");
        let clamd = Self { port: free_port(), process: Process::default(), directory };
        let (path, port) = (clamd.directory.path().display(), clamd.port);
        let configuration = format!(
            "Foreground yes\nDatabaseDirectory {path}\nTCPSocket {port}\nTCPAddr 127.0.0.1\nLocalSocket {path}/ctl\n\
             StreamMaxLength {STREAM_LIMIT}\nBytecode no\nMaxThreads 4\n{settings}"
        );
        std::fs::write(clamd.configuration(), configuration).expect("its configuration");
        let signatures = format!(
            "Eicar-Test-Signature:0:*:{}\n{OWN_NAME}:0:*:{}\n",
            hex(b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-"),
            hex(OWN_MALWARE)
        );
        std::fs::write(clamd.directory.path().join("test.ndb"), signatures).expect("its signatures");
        clamd.restart().await;
        Some(clamd)
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("clamd.conf")
    }

    /// Its address, as `ALIVIO_CLAMD` takes it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of its Unix socket, likewise.
    #[must_use]
    pub fn socket(&self) -> String {
        format!("unix:{}", self.directory.path().join("ctl").display())
    }

    /// SIGKILL. Returns when the process is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again at the same address, after killing it if it runs.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn restart(&self) {
        self.process.kill();
        std::fs::remove_file(self.directory.path().join("ctl")).ok();
        self.process.start(Command::new("clamd").arg("--config-file").arg(self.configuration()));
        let began = Instant::now();
        while !self.ping().await.is_ok_and(|answer| answer == "PONG\0") {
            assert!(began.elapsed() < PATIENCE, "clamd does not answer");
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGSTOP: it takes connections and does not answer.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    async fn ping(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"zPING\0").await?;
        let mut answer = String::new();
        stream.take(64).read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes it");
        hex
    })
}
