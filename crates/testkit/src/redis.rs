//! A Redis of one's own, to be killed, stopped and flushed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Process, free_port, is_there};
use crate::server::{PATIENCE, POLL};

/// A running `redis-server` on a port that nobody else has. Dropping it kills the process.
#[derive(Debug)]
pub struct TestRedis {
    port: u16,
    process: Process,
    directory: TempDir,
}

impl TestRedis {
    /// Starts one; `None`, said loudly, on a machine that has no `redis-server`.
    ///
    /// # Panics
    /// If it does not come up; if there is none, and `ALIVIO_TESTS_MUST_NOT_SKIP` is set.
    pub async fn start() -> Option<Self> {
        if !is_there("redis-server") {
            return None;
        }
        let port = free_port();
        let directory = tempfile::Builder::new().prefix("alivio-redis-").tempdir().expect("a directory");
        let redis = Self { port, process: Process::default(), directory };
        redis.restart().await;
        Some(redis)
    }

    /// The address, as `REDIS_URL` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL. Returns when the process is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Whether it runs, paused or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Starts it again at the same address, after killing it if it runs.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn restart(&self) {
        let port = self.port.to_string();
        let options = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let mut command = Command::new("redis-server");
        self.process.start(command.args(options).current_dir(self.directory.path()));
        let began = Instant::now();
        while !self.ask("PING").await.is_ok_and(|answer| answer == "+PONG") {
            assert!(began.elapsed() < PATIENCE, "Redis does not answer");
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

    /// Forgets all it knows.
    ///
    /// # Panics
    /// If it does not.
    pub async fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL").await.expect("an answer"), "+OK");
    }

    async fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
    }
}
