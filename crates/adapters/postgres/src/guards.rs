//! `accounts::GuardStore`: the rules of `accounts::Guard`, in SQL.

use alivio_accounts::{Error, FORGET, GuardKey, GuardStore, LONGEST_LOCK, MAX_TRIES, TryResult, WINDOW};
use alivio_kernel::{AuditEntry, Effects};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bytea, Integer, Text, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl};

use crate::sql::prepared;
use crate::users::unavailable;
use crate::{Database, effects};

// The row lock of the conflicting row makes those who come at once count one after the other. Those who sweep the same
// rows pass each other by. $3: when what is older is forgotten; $4: when the window began; $5: tries in it.
const ADMIT: &str = "
    WITH swept AS (
        DELETE FROM login_guards WHERE key IN (
            SELECT key FROM login_guards WHERE touched_at <= $3 AND key <> $1
            ORDER BY touched_at LIMIT 10 FOR UPDATE SKIP LOCKED
        )
    )
    INSERT INTO login_guards AS g (key, tries, failures, touched_at) VALUES ($1, ARRAY[$2], 0, $2)
    ON CONFLICT (key) DO UPDATE SET
        tries = CASE
            WHEN g.touched_at <= $3 THEN ARRAY[$2]
            WHEN cardinality(g.tries) >= $5 THEN g.tries[2:] || $2
            ELSE g.tries || $2
        END,
        failures = CASE WHEN g.touched_at <= $3 THEN 0 ELSE g.failures END,
        touched_at = $2
    WHERE (g.locked_until IS NULL OR g.locked_until <= $2)
        AND (cardinality(g.tries) < $5 OR g.tries[1] <= $4)";

// One that was refused writes the same row as one that was wrong. $4: the longest lock in seconds.
const SETTLE: &str = "
    UPDATE login_guards SET
        tries = CASE $3
            WHEN 'right' THEN '{}'
            WHEN 'withdrawn' THEN tries[:cardinality(tries) - 1]
            ELSE tries
        END,
        failures = CASE $3 WHEN 'right' THEN 0 WHEN 'wrong' THEN failures + 1 ELSE failures END,
        locked_until = CASE $3
            WHEN 'right' THEN NULL
            WHEN 'wrong' THEN greatest(
                locked_until, $2 + make_interval(secs => least(power(2, least(failures, 12)), $4)))
            ELSE locked_until
        END
    WHERE key = $1";

#[async_trait]
impl GuardStore for Database {
    async fn admit(&self, key: GuardKey, now: DateTime<Utc>) -> Result<bool, Error> {
        let query = diesel::sql_query(ADMIT)
            .bind::<Bytea, _>(key.0.to_vec())
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(now - FORGET)
            .bind::<Timestamptz, _>(now - WINDOW)
            .bind::<Integer, _>(i32::try_from(MAX_TRIES).unwrap_or(i32::MAX));
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(prepared(query).execute(&mut connection).await.map_err(unavailable)? == 1)
    }

    async fn settle(
        &self,
        key: GuardKey,
        result: TryResult,
        now: DateTime<Utc>,
        audit: &[AuditEntry],
    ) -> Result<(), Error> {
        let name = match result {
            TryResult::Right => "right",
            TryResult::Wrong => "wrong",
            TryResult::Withdrawn => "withdrawn",
            TryResult::Refused => "refused",
        };
        let query = diesel::sql_query(SETTLE)
            .bind::<Bytea, _>(key.0.to_vec())
            .bind::<Timestamptz, _>(now)
            .bind::<Text, _>(name)
            .bind::<BigInt, _>(LONGEST_LOCK.num_seconds());
        let effects = Effects { audit: audit.to_vec(), ..Effects::default() };
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction(async |connection| {
            prepared(query).execute(connection).await?;
            effects::store(connection, &effects).await
        });
        work.await.map_err(unavailable)
    }
}
