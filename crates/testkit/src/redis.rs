//! A Redis of one's own, alone or as a cluster, to be killed, stopped and flushed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::process::{Process, free_port, is_there};
use crate::proxy::Target;
use crate::server::{PATIENCE, POLL};

/// A running `redis-server` on a port that nobody else has. Dropping it kills the process.
#[derive(Debug)]
pub struct TestRedis {
    port: u16,
    /// By TLS; `None` if it does not speak it.
    tls_port: Option<u16>,
    /// What it is started with besides its port.
    arguments: Vec<String>,
    process: Process,
    directory: TempDir,
}

impl TestRedis {
    /// Starts one; `None`, said loudly, on a machine that has no `redis-server`.
    ///
    /// # Panics
    /// If it does not come up; if there is none, and `ALIVIO_TESTS_MUST_NOT_SKIP` is set.
    pub async fn start() -> Option<Self> {
        if is_there("redis-server") { Some(Self::start_with(None, Vec::new()).await) } else { None }
    }

    /// Starts one that speaks TLS as well, with a certificate for `localhost` that nobody trusts yet.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_with_tls() -> Option<Self> {
        if is_there("redis-server") {
            Some(Self::start_with(Some(free_port()), Vec::new()).await)
        } else {
            None
        }
    }

    async fn start_with(tls_port: Option<u16>, mut arguments: Vec<String>) -> Self {
        let directory = tempfile::Builder::new().prefix("alivio-redis-").tempdir().expect("a directory");
        if let Some(port) = tls_port {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            std::fs::write(directory.path().join("certificate.pem"), made.cert.pem()).expect("written");
            std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem())
                .expect("written");
            let tls = [
                ["--tls-port", &port.to_string()],
                ["--tls-cert-file", "certificate.pem"],
                ["--tls-key-file", "key.pem"],
                ["--tls-ca-cert-file", "certificate.pem"],
                ["--tls-auth-clients", "no"],
            ];
            arguments.extend(tls.as_flattened().iter().map(|&argument| argument.to_owned()));
        }
        let redis = Self { port: free_port(), tls_port, arguments, process: Process::default(), directory };
        redis.restart().await;
        redis
    }

    /// The address by TLS, as `REDIS_URL` takes it, and the file with the certificate to trust.
    ///
    /// # Panics
    /// If it does not speak it.
    #[must_use]
    pub fn with_tls(&self) -> (String, PathBuf) {
        let port = self.tls_port.expect("started with TLS");
        (format!("rediss://localhost:{port}"), self.directory.path().join("certificate.pem"))
    }

    /// Where a [`Proxy`](crate::proxy::Proxy) to it leads, and how to close that way: `None` lets nobody through.
    #[must_use]
    pub fn target(&self) -> (Target, watch::Sender<Option<String>>) {
        let way = watch::Sender::new(Some(format!("http://127.0.0.1:{}", self.port)));
        (Target::Server(way.subscribe()), way)
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
        self.process.start(command.args(options).args(&self.arguments).current_dir(self.directory.path()));
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
        self.must("FLUSHALL").await;
    }

    /// How many keys it has.
    ///
    /// # Panics
    /// If it does not say.
    pub async fn key_count(&self) -> usize {
        let answer = self.ask("DBSIZE").await.expect("an answer");
        answer.strip_prefix(':').and_then(|count| count.parse().ok()).expect("a number")
    }

    /// The names of its keys, in its own words.
    ///
    /// # Panics
    /// If it does not say.
    pub async fn keys(&self) -> String {
        self.ask("KEYS *").await.expect("an answer")
    }

    async fn is_in_whole_cluster(&self) -> bool {
        let state = self.ask("CLUSTER INFO").await.unwrap_or_default();
        state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
    }

    async fn must(&self, command: &str) {
        assert_eq!(self.ask(command).await.expect("an answer"), "+OK", "{command}");
    }

    async fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
    }
}

/// The slots of a cluster, of which each key has one.
const SLOTS: usize = 16_384;

/// A Redis cluster of three shards without replicas. It works while all of them are there.
#[derive(Debug)]
pub struct TestCluster {
    shards: [TestRedis; 3],
}

impl TestCluster {
    /// Starts one; `None`, said loudly, on a machine that has no `redis-server`.
    ///
    /// # Panics
    /// As [`TestRedis::start`].
    pub async fn start() -> Option<Self> {
        if !is_there("redis-server") {
            return None;
        }
        let shards = [Self::start_shard().await, Self::start_shard().await, Self::start_shard().await];
        let first = &shards[0];
        let share = SLOTS.div_ceil(shards.len());
        for (number, shard) in shards.iter().enumerate() {
            let slots = (number * share, ((number + 1) * share).min(SLOTS) - 1);
            shard.must(&format!("CLUSTER ADDSLOTSRANGE {} {}", slots.0, slots.1)).await;
            if number > 0 {
                let bus = first.arguments.last().expect("the port of its bus");
                shard.must(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", first.port)).await;
            }
        }
        let cluster = Self { shards };
        cluster.is_whole().await;
        Some(cluster)
    }

    async fn start_shard() -> TestRedis {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port"];
        let mut arguments: Vec<_> = options.map(str::to_owned).into();
        arguments.push(free_port().to_string());
        TestRedis::start_with(None, arguments).await
    }

    /// Its shards.
    #[must_use]
    pub const fn shards(&self) -> &[TestRedis; 3] {
        &self.shards
    }

    /// The address of one of them, as `REDIS_URL` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        self.shards[1].url()
    }

    /// Waits until all shards know that all are there.
    ///
    /// # Panics
    /// If they do not.
    pub async fn is_whole(&self) {
        let began = Instant::now();
        for shard in &self.shards {
            while !shard.is_in_whole_cluster().await {
                assert!(began.elapsed() < PATIENCE, "the cluster is not whole");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}
