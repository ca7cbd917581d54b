//! `outbox::OutboxStore`.

use std::borrow::Cow;

use alivio_kernel::ids::{EventId, Uuid};
use alivio_kernel::{BoxError, Event};
use alivio_outbox::{Claimed, OutboxStore};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::schema::outbox;
use crate::sql::{prepared, unhurried};

// What the relay has taken note of may be lost in a crash: the event then comes again. So its commits do not
// wait for the disk, where those of senders wait.

// An array, and no join: while the table was empty the planner learnt to read all of it for each event.
const CLAIM: &str = unhurried!(
    ", due AS (
        SELECT o.id FROM outbox o, unhurried
        WHERE o.due_at <= $1 AND (o.leased_until IS NULL OR o.leased_until <= $1)
        ORDER BY o.due_at, o.id LIMIT $3 FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE outbox o SET leased_until = $2, attempts = o.attempts + 1 WHERE o.id = ANY (ARRAY(SELECT id FROM due))
    RETURNING o.id, o.kind, o.payload, o.at, o.attempts"
);

const COMPLETE: &str = unhurried!(" DELETE FROM outbox o USING unhurried WHERE o.id = ANY ($1)");

#[derive(QueryableByName)]
#[diesel(table_name = outbox)]
struct Row {
    id: Uuid,
    kind: String,
    payload: serde_json::Value,
    at: DateTime<Utc>,
    attempts: i32,
}

#[async_trait]
impl OutboxStore for Database {
    async fn claim(
        &self,
        now: DateTime<Utc>,
        lease_until: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Claimed>, BoxError> {
        let query = diesel::sql_query(CLAIM)
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(lease_until)
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await?;
        let mut rows: Vec<Row> = prepared(query).load(&mut connection).await?;
        rows.sort_unstable_by_key(|row| (row.at, row.id));
        let claimed = |row: Row| Claimed {
            event: Event {
                id: row.id.into(),
                kind: Cow::Owned(row.kind),
                payload: row.payload,
                at: row.at,
                due: None,
            },
            attempts: row.attempts,
        };
        Ok(rows.into_iter().map(claimed).collect())
    }

    async fn complete(&self, ids: &[EventId]) -> Result<(), BoxError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let query = diesel::sql_query(COMPLETE).bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.connection().await?;
        prepared(query).execute(&mut connection).await?;
        Ok(())
    }

    async fn postpone(&self, id: EventId, due: Option<DateTime<Utc>>) -> Result<(), BoxError> {
        let mut connection = self.connection().await?;
        diesel::update(outbox::table.filter(outbox::id.eq(id.uuid())))
            .set((outbox::due_at.eq(due), outbox::leased_until.eq(None::<DateTime<Utc>>)))
            .execute(&mut connection)
            .await?;
        Ok(())
    }
}
