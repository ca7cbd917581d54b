use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::BoxError;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::sync::Notify;

use crate::messages::{Aftermaths, Moves, Positions, Replays};
use crate::presence::Views;
use crate::sessions::{Lives, Touches};
use crate::together::Queue;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../../migrations");

/// What every connection begins with. `synchronous_commit` is what an acknowledgement stands on. Plans are made once
/// and kept, since making one anew for each set of parameters takes longer than most queries here; and one that was made
/// while a table was small must not scan it when it has grown: every query here has its index.
const SESSION: &str = "SET synchronous_commit = on; SET timezone = 'UTC'; SET statement_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET jit = off; SET enable_seqscan = off; \
     SET plan_cache_mode = force_generic_plan";

/// Connections for what is asked [together](crate::together): one statement of each kind is on its way at most.
const APART: usize = 3;
/// How long a whole group of those who ask together may wait for one: longer than any statement may take.
const APART_WAIT: Duration = Duration::from_secs(30);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It does not answer.
    #[error("the database does not answer: {0}")]
    Unreachable(#[source] BoxError),
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migration(#[source] BoxError),
    /// It is configured so that it may lose what it has acknowledged.
    #[error("PostgreSQL runs with `{setting} = off` and may lose acknowledged messages; set it to `on`")]
    NotDurable {
        /// The setting.
        setting: String,
    },
}

/// How to use the database.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseOptions {
    /// Connections in the pool; more than about twice the cores makes PostgreSQL slower.
    pub connections: usize,
    /// How long a request waits for one before it is answered 503.
    pub wait: Duration,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self { connections: 8, wait: Duration::from_secs(5) }
    }
}

/// A pool of connections. All stores are implemented on it.
#[derive(Clone)]
pub struct Database {
    url: Arc<str>,
    pool: Pool<AsyncPgConnection>,
    wake: Arc<Notify>,
    apart: Pool<AsyncPgConnection>,
    pub(crate) queues: Arc<Queues>,
}

/// What is asked [together](crate::together).
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) lives: Queue<Lives>,
    pub(crate) touches: Queue<Touches>,
    pub(crate) positions: Queue<Positions>,
    pub(crate) replays: Queue<Replays>,
    pub(crate) aftermaths: Queue<Aftermaths>,
    pub(crate) moves: Queue<Moves>,
    pub(crate) views: Queue<Views>,
}

impl Database {
    /// A pool for the database at `url`. Connects when first used.
    ///
    /// # Errors
    /// Only if the pool cannot be built.
    pub fn new(url: &str, options: DatabaseOptions) -> Result<Self, DatabaseError> {
        let pool = |connections, wait| {
            let mut config = ManagerConfig::default();
            // A round trip per use would double the cost of a query; broken connections show by themselves.
            config.recycling_method = RecyclingMethod::Fast;
            config.custom_setup = Box::new(|url| Box::pin(connect(url)));
            let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(url, config);
            Pool::builder(manager)
                .max_size(connections)
                .wait_timeout(Some(wait))
                .create_timeout(Some(options.wait))
                .runtime(deadpool::Runtime::Tokio1)
                .build()
                .map_err(|e| DatabaseError::Unreachable(e.into()))
        };
        let (pool, apart) = (pool(options.connections, options.wait)?, pool(APART, APART_WAIT)?);
        Ok(Self { url: url.into(), pool, wake: Arc::default(), apart, queues: Arc::default() })
    }

    /// Rung whenever an event was stored.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// One round trip.
    ///
    /// # Errors
    /// [`DatabaseError::Unreachable`].
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let mut connection = self.connection().await.map_err(DatabaseError::Unreachable)?;
        connection.batch_execute("SELECT 1").await.map_err(|e| DatabaseError::Unreachable(e.into()))
    }

    /// Checks that what PostgreSQL acknowledges is on disk.
    ///
    /// # Errors
    /// [`DatabaseError::NotDurable`] names the setting.
    pub async fn check_durability(&self) -> Result<(), DatabaseError> {
        use diesel::sql_types::Text;
        use diesel_async::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Setting {
            #[diesel(sql_type = Text)]
            name: String,
        }
        let mut connection = self.connection().await.map_err(DatabaseError::Unreachable)?;
        let off: Vec<Setting> = diesel::sql_query(
            "SELECT name FROM pg_settings WHERE setting = 'off'
             AND name IN ('fsync', 'full_page_writes', 'synchronous_commit')",
        )
        .load(&mut connection)
        .await
        .map_err(|e| DatabaseError::Unreachable(e.into()))?;
        match off.into_iter().next() {
            Some(Setting { name: setting }) => Err(DatabaseError::NotDurable { setting }),
            None => Ok(()),
        }
    }

    pub(crate) async fn connection(&self) -> Result<Object<AsyncPgConnection>, BoxError> {
        Ok(self.pool.get().await?)
    }

    pub(crate) fn pool(&self) -> &Pool<AsyncPgConnection> {
        &self.pool
    }

    /// The connections for what is asked [together](crate::together).
    pub(crate) const fn apart(&self) -> &Pool<AsyncPgConnection> {
        &self.apart
    }

    /// A connection of one's own, outside the pool.
    pub(crate) async fn dedicated(&self) -> Result<AsyncPgConnection, BoxError> {
        Ok(connect(&self.url).await?)
    }

    pub(crate) fn ring(&self) {
        self.wake.notify_one();
    }
}

async fn connect(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let mut connection = AsyncPgConnection::establish(url).await?;
    connection.batch_execute(SESSION).await.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Brings the database at `url` to the present schema. Does nothing if it is there already; several
/// nodes may do it at once.
///
/// # Errors
/// [`DatabaseError::Unreachable`], [`DatabaseError::Migration`].
pub async fn migrate(url: &str) -> Result<(), DatabaseError> {
    with_migrations(url, |harness| harness.run_pending_migrations(MIGRATIONS).map(drop)).await
}

/// Takes all migrations back. Only tests use it, to prove that every `down.sql` works.
///
/// # Errors
/// [`DatabaseError::Unreachable`], [`DatabaseError::Migration`].
pub async fn revert_all(url: &str) -> Result<(), DatabaseError> {
    with_migrations(url, |harness| harness.revert_all_migrations(MIGRATIONS).map(drop)).await
}

async fn with_migrations(
    url: &str,
    work: impl FnOnce(&mut AsyncMigrationHarness<AsyncPgConnection>) -> Result<(), BoxError> + Send + 'static,
) -> Result<(), DatabaseError> {
    let mut connection =
        AsyncPgConnection::establish(url).await.map_err(|e| DatabaseError::Unreachable(e.into()))?;
    // Held until the connection closes; any number will do, as long as all nodes use the same.
    connection
        .batch_execute("SELECT pg_advisory_lock(4217330016)")
        .await
        .map_err(|e| DatabaseError::Unreachable(e.into()))?;
    tokio::task::spawn_blocking(move || work(&mut AsyncMigrationHarness::new(connection)))
        .await
        .map_err(|e| DatabaseError::Migration(e.into()))?
        .map_err(DatabaseError::Migration)
}

/// Changes whenever a migration does: names template databases in tests.
pub fn migrations_fingerprint() -> String {
    env!("ALIVIO_MIGRATIONS_FINGERPRINT").to_owned()
}
