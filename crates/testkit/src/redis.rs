//! A Redis of one's own, to be killed, stopped and flushed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{PATIENCE, POLL};

/// A running `redis-server` on a port that nobody else has. Dropping it kills the process.
#[derive(Debug)]
pub struct TestRedis {
    port: u16,
    process: Mutex<Option<Child>>,
    directory: TempDir,
}

impl TestRedis {
    /// Starts one; `None`, said loudly, on a machine that has no `redis-server`.
    ///
    /// # Panics
    /// If it does not come up; if there is none, and `ALIVIO_TESTS_MUST_NOT_SKIP` is set.
    pub async fn start() -> Option<Self> {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if found.is_err() {
            assert!(std::env::var_os("ALIVIO_TESTS_MUST_NOT_SKIP").is_none(), "there is no redis-server");
            #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
            {
                eprintln!("SKIPPED: there is no redis-server on this machine");
            }
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let directory = tempfile::Builder::new().prefix("alivio-redis-").tempdir().expect("a directory");
        let redis = Self { port, process: Mutex::new(None), directory };
        redis.restart().await;
        Some(redis)
    }

    /// The address, as `REDIS_URL` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on this machine.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL. Returns when the process is gone.
    pub fn kill(&self) {
        if let Some(mut child) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Whether it runs, paused or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Starts it again at the same address, after killing it if it runs.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn restart(&self) {
        self.kill();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server");
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let began = Instant::now();
        while !self.ask("PING").await.is_ok_and(|answer| answer == "+PONG") {
            assert!(began.elapsed() < PATIENCE, "Redis does not answer");
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGSTOP: it takes connections and does not answer.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Forgets all it knows.
    ///
    /// # Panics
    /// If it does not.
    pub async fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL").await.expect("an answer"), "+OK");
    }

    fn signal(&self, name: &str) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let child = process.as_ref().expect("Redis does not run");
        // The shell's own `kill`, because a safe way to signal is not worth a dependency.
        let asked = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status();
        assert!(asked.is_ok_and(|status| status.success()), "cannot signal Redis");
    }

    async fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}
