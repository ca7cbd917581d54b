//! An empty, migrated database for each test.

use alivio_postgres::cluster::{ClusterError, SharedCluster};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

/// Any constant: nothing else takes advisory locks on the maintenance database.
const MIGRATING: i64 = 0x0A11_0710;
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no test database.
#[derive(Debug, thiserror::Error)]
pub enum TestDatabaseError {
    /// No PostgreSQL.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The migrations failed.
    #[error("the migrations failed: {0}")]
    Migrate(String),
    /// PostgreSQL refused.
    #[error("cannot create a test database: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// A database of its own for one test, with all migrations applied; removed when dropped.
///
/// The first test of a run starts the shared PostgreSQL and migrates a template; the others copy it.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    maintenance: String,
}

impl TestDatabase {
    /// Copies the template.
    ///
    /// # Errors
    /// [`TestDatabaseError`] says what is missing.
    pub async fn new() -> Result<Self, TestDatabaseError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let cluster = SharedCluster::join().await?;
        let maintenance = cluster.url("postgres");
        let client = connect(&maintenance).await?;
        let template = template(cluster, &client).await?;

        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}_{count}", SharedCluster::TEST_PREFIX, std::process::id());
        // Of an earlier process with our number, which was killed.
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        // Copying files takes a fraction of copying through the log, but PostgreSQL 14 knows no other way.
        let version = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?;
        let strategy = if version.get::<_, i32>(0) >= 150_000 { "STRATEGY FILE_COPY" } else { "" };
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template} {strategy}")).await?;
        Ok(Self { url: cluster.url(&name), name, maintenance })
    }

    /// The address, as `DATABASE_URL` takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name within the shared cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    /// Best effort: what stays is removed when the shared cluster starts again.
    fn drop(&mut self) {
        let (done, wait) = mpsc::channel();
        let (url, name) = (self.maintenance.clone(), self.name.clone());
        // The test's own runtime may be shutting down, or be the thread we are on.
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            let removed = runtime.block_on(async {
                let client = connect(&url).await?;
                end_connections(&client, &name).await?;
                client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
            });
            if let Err(error) = removed {
                tracing::debug!(%error, name, "test database not removed");
            }
            // The receiver is gone if it has waited long enough.
            done.send(()).ok();
        });
        wait.recv_timeout(DROP_PATIENCE).ok();
    }
}

/// The name of the template with the migrations this program was built with; made by whoever needs it first.
async fn template(cluster: &SharedCluster, client: &Client) -> Result<String, TestDatabaseError> {
    let fingerprint: String = alivio_postgres::migrations_fingerprint()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(40)
        .collect();
    let template = format!("{}{}", SharedCluster::TEMPLATE_PREFIX, fingerprint.to_ascii_lowercase());
    if exists(client, &template).await? {
        return Ok(template);
    }
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATING]).await?;
    if !exists(client, &template).await? {
        // Under another name until it is complete. It counts as a test database: cleared away if we die.
        let unfinished =
            format!("{}unfinished_{fingerprint}", SharedCluster::TEST_PREFIX).to_ascii_lowercase();
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await?;
        client.batch_execute(&format!("CREATE DATABASE {unfinished}")).await?;
        alivio_postgres::migrate(&cluster.url(&unfinished))
            .await
            .map_err(|error| TestDatabaseError::Migrate(error.to_string()))?;
        // A copy, because it waits for the migration's connection to end and a rename does not.
        client.batch_execute(&format!("ALTER DATABASE {unfinished} ALLOW_CONNECTIONS false")).await?;
        client
            .batch_execute(&format!(
                "CREATE DATABASE {template} TEMPLATE {unfinished} ALLOW_CONNECTIONS false"
            ))
            .await?;
        client.batch_execute(&format!("DROP DATABASE {unfinished} WITH (FORCE)")).await?;
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATING]).await?;
    Ok(template)
}

/// `DROP DATABASE … WITH (FORCE)` looks only every 100 ms whether the connections it ended are gone.
async fn end_connections(client: &Client, database: &str) -> Result<(), tokio_postgres::Error> {
    const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    for _ in 0..50 {
        if client.execute(END, &[&database]).await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn exists(client: &Client, database: &str) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await?.is_some())
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "maintenance connection ended");
        }
    });
    Ok(client)
}
