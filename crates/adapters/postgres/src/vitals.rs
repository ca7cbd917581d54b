//! How the database is doing, for whoever watches it.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Timestamptz};
use diesel_async::RunQueryDsl;

use crate::sql::prepared;
use crate::{Database, DatabaseError};

// Each part follows an index, and the first stops counting where more would tell nothing new.
const VITALS: &str = "
    SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE due_at <= $1 LIMIT 100000) AS due) AS events_due,
        (SELECT min(due_at) FROM outbox WHERE due_at <= $1) AS oldest_due,
        (SELECT count(*) FROM outbox WHERE due_at IS NULL) AS dead_letters,
        (SELECT c.at FROM search_progress p CROSS JOIN LATERAL (
            SELECT c.at FROM changes c WHERE (c.xid, c.id) > (p.xid, p.id) ORDER BY c.xid, c.id LIMIT 1
        ) c) AS oldest_unindexed,
        (SELECT count(*) FROM emergencies WHERE resolved_at IS NULL AND acknowledged_at IS NULL)
            AS emergencies_unacknowledged";

/// What waits in the whole installation.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Vitals {
    /// Events of the outbox that are due and not done yet, 100,000 at most.
    #[diesel(sql_type = BigInt)]
    pub events_due: i64,
    /// Since when the oldest of them has been.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub oldest_due: Option<DateTime<Utc>>,
    /// Events that were set aside.
    #[diesel(sql_type = BigInt)]
    pub dead_letters: i64,
    /// When that happened which the index of words follows next; nothing, if it has followed everything.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub oldest_unindexed: Option<DateTime<Utc>>,
    /// Open emergencies that nobody has acknowledged.
    #[diesel(sql_type = BigInt)]
    pub emergencies_unacknowledged: i64,
}

/// The pool's connections.
#[derive(Debug, Clone, Copy)]
pub struct PoolState {
    /// Those that nobody uses.
    pub idle: usize,
    /// Those that somebody uses.
    pub busy: usize,
    /// As many as there may be.
    pub max: usize,
    /// Those who wait for one.
    pub waiting: usize,
}

impl Database {
    /// What waits at `now`. Cheap enough for every few seconds.
    ///
    /// # Errors
    /// [`DatabaseError::Unreachable`].
    pub async fn vitals(&self, now: DateTime<Utc>) -> Result<Vitals, DatabaseError> {
        let mut connection = self.connection().await.map_err(DatabaseError::Unreachable)?;
        let query = diesel::sql_query(VITALS).bind::<Timestamptz, _>(now);
        prepared(query)
            .get_result(&mut connection)
            .await
            .map_err(|error| DatabaseError::Unreachable(error.into()))
    }

    /// What the pool is doing.
    pub fn pool_state(&self) -> PoolState {
        let status = self.pool().status();
        PoolState {
            idle: status.available,
            busy: status.size.saturating_sub(status.available),
            max: status.max_size,
            waiting: status.waiting,
        }
    }
}
