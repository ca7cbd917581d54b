//! Where it happens: two servers on one PostgreSQL and one Redis of their own, and proxies on all ways between.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use alivio_postgres::cluster::{Cluster, ClusterConfig};
use alivio_testkit::proxy::{Proxy, Target};
use alivio_testkit::redis::TestRedis;
use alivio_testkit::server::TestServer;
use futures_util::future::join_all;
use tempfile::TempDir;

pub(crate) const DATABASE: &str = "alivio";

/// All that can break.
pub(crate) struct Stage {
    cluster: Option<Cluster>,
    cluster_home: TempDir,
    pub(crate) redis: TestRedis,
    /// Between each of the servers and PostgreSQL.
    pub(crate) to_database: [Proxy; 2],
    /// Between each of the servers and Redis.
    pub(crate) to_redis: [Proxy; 2],
    pub(crate) servers: [TestServer; 2],
    /// Between people and each of the servers.
    pub(crate) to_servers: [Proxy; 2],
}

impl Stage {
    /// Starts everything; `None` on a machine without Redis.
    pub(crate) async fn open() -> Option<Self> {
        let redis = TestRedis::start().await?;
        let cluster_home = tempfile::Builder::new().prefix("alivio-chaos-").tempdir().expect("a directory");
        // PostgreSQL may have to run as someone else, who must get there.
        let passable = Permissions::from_mode(0o711);
        std::fs::set_permissions(cluster_home.path(), passable).expect("a passable directory");
        let cluster = start(&cluster_home).await;
        cluster.ensure_database(DATABASE).await.expect("a database");
        let way_to_database = async || Proxy::to(Target::Socket(socket_of(&cluster))).await;
        let to_database = [way_to_database().await, way_to_database().await];
        let way_to_redis = async || Proxy::to(Target::Port(redis.port())).await;
        let to_redis = [way_to_redis().await, way_to_redis().await];
        let first = launch(&to_database[0], &to_redis[0], &[]).await;
        // Two nodes of one installation have the same keys.
        let keys = first.data_dir().join("keys.json").display().to_string();
        let shared = [("ALIVIO_KEYS_FILE", keys.as_str()), ("ALIVIO_DEMO", "false")];
        let second = launch(&to_database[1], &to_redis[1], &shared).await;
        let to_servers = [
            Proxy::to(Target::Server(first.address())).await,
            Proxy::to(Target::Server(second.address())).await,
        ];
        let servers = [first, second];
        Some(Self { cluster: Some(cluster), cluster_home, redis, to_database, to_redis, servers, to_servers })
    }

    /// The database itself, past the proxies, under a name that tells us from the servers.
    pub(crate) fn database_url(&self) -> String {
        self.cluster.as_ref().expect("PostgreSQL").url(DATABASE) + "&application_name=chaos"
    }

    /// The number of the postmaster.
    pub(crate) fn postmaster(&self) -> u32 {
        let directory = self.cluster.as_ref().expect("PostgreSQL").directory();
        let file = std::fs::read_to_string(directory.join("postmaster.pid")).expect("the postmaster's file");
        file.lines().next().and_then(|line| line.trim().parse().ok()).expect("the postmaster's number")
    }

    /// Starts PostgreSQL again after its postmaster has ended.
    pub(crate) async fn restart_database(&mut self) {
        // Whoever held its directory lets go first.
        drop(self.cluster.take());
        self.cluster = Some(start(&self.cluster_home).await);
    }

    /// Starts both servers again, after killing those that run.
    pub(crate) async fn restart_servers(&self) {
        join_all(self.servers.iter().map(TestServer::restart)).await;
    }

    /// What both servers have logged.
    pub(crate) fn logs(&self) -> String {
        self.servers.iter().map(TestServer::logs).collect()
    }
}

async fn launch(to_database: &Proxy, to_redis: &Proxy, more: &[(&str, &str)]) -> TestServer {
    let database = format!("postgres://alivio@127.0.0.1:{}/{DATABASE}", to_database.port());
    let redis = format!("redis://127.0.0.1:{}", to_redis.port());
    let usual = [
        ("REDIS_URL", redis.as_str()),
        ("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "1000000"),
        // Those whose connection has broken are back before that has shown.
        ("ALIVIO_SOCKETS_PER_PERSON", "1000"),
        // Whoever does not finish by then is to come back like everyone else.
        ("ALIVIO_SHUTDOWN_SECONDS", "2"),
    ];
    TestServer::start(env!("CARGO_BIN_EXE_alivio"), &database, &[&usual, more].concat()).await
}

async fn start(home: &TempDir) -> Cluster {
    Cluster::start(ClusterConfig::new(home.path())).await.expect("PostgreSQL")
}

/// The socket that a private PostgreSQL listens on.
fn socket_of(cluster: &Cluster) -> PathBuf {
    let url = cluster.url(DATABASE);
    let host =
        url.split("host=").nth(1).and_then(|rest| rest.split('&').next()).expect("a socket's directory");
    PathBuf::from(host).join(".s.PGSQL.5432")
}
