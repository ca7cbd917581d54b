//! Where it happens: two servers on one PostgreSQL of their own, and proxies on all ways between.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use alivio_postgres::cluster::{Cluster, ClusterConfig};
use alivio_testkit::proxy::{Proxy, Target};
use alivio_testkit::server::TestServer;
use tempfile::TempDir;

const DATABASE: &str = "alivio";

/// All that can break.
pub(crate) struct Stage {
    cluster: Option<Cluster>,
    cluster_home: TempDir,
    /// Between the servers and PostgreSQL.
    pub(crate) to_database: Proxy,
    pub(crate) servers: [TestServer; 2],
    /// Between people and each of the servers.
    pub(crate) to_servers: [Proxy; 2],
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn open() -> Self {
        let cluster_home = tempfile::Builder::new().prefix("alivio-chaos-").tempdir().expect("a directory");
        // PostgreSQL may have to run as someone else, who must get there.
        let passable = Permissions::from_mode(0o711);
        std::fs::set_permissions(cluster_home.path(), passable).expect("a passable directory");
        let cluster = start(&cluster_home).await;
        cluster.ensure_database(DATABASE).await.expect("a database");
        let to_database = Proxy::to(Target::Socket(socket_of(&cluster))).await;
        let url = format!("postgres://alivio@127.0.0.1:{}/{DATABASE}", to_database.port());
        let environment = [("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "1000000")];
        let first = TestServer::start(env!("CARGO_BIN_EXE_alivio"), &url, &environment).await;
        let keys = first.data_dir().join("keys.json").display().to_string();
        // Two nodes of one installation have the same keys.
        let environment = [environment[0], ("ALIVIO_KEYS_FILE", &keys)];
        let second = TestServer::start(env!("CARGO_BIN_EXE_alivio"), &url, &environment).await;
        let to_servers = [
            Proxy::to(Target::Server(first.address())).await,
            Proxy::to(Target::Server(second.address())).await,
        ];
        Self { cluster: Some(cluster), cluster_home, to_database, servers: [first, second], to_servers }
    }

    /// The database itself, past the proxy.
    pub(crate) fn database_url(&self) -> String {
        self.cluster.as_ref().expect("PostgreSQL").url(DATABASE)
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

    /// What both servers have logged.
    pub(crate) fn logs(&self) -> String {
        self.servers.iter().map(TestServer::logs).collect()
    }
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
