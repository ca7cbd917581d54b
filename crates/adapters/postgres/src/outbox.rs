//! `outbox::OutboxStore`.

use std::borrow::Cow;

use alivio_kernel::ids::{EventId, Uuid};
use alivio_kernel::{BoxError, Event};
use alivio_outbox::{Claimed, OutboxStore};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::schema::outbox;
use crate::sql::prepared;

const CLAIM: &str = "
    WITH due AS (
        SELECT id FROM outbox WHERE due_at <= $1 ORDER BY due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    UPDATE outbox o SET due_at = $2, attempts = o.attempts + 1 FROM due WHERE o.id = due.id
    RETURNING o.id, o.kind, o.payload, o.at, o.attempts";

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
            event: Event { id: row.id.into(), kind: Cow::Owned(row.kind), payload: row.payload, at: row.at },
            attempts: row.attempts,
        };
        Ok(rows.into_iter().map(claimed).collect())
    }

    async fn complete(&self, ids: &[EventId]) -> Result<(), BoxError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let mut connection = self.connection().await?;
        diesel::delete(outbox::table.filter(outbox::id.eq_any(ids))).execute(&mut connection).await?;
        Ok(())
    }

    async fn postpone(&self, id: EventId, due: Option<DateTime<Utc>>) -> Result<(), BoxError> {
        let mut connection = self.connection().await?;
        diesel::update(outbox::table.filter(outbox::id.eq(id.uuid())))
            .set(outbox::due_at.eq(due))
            .execute(&mut connection)
            .await?;
        Ok(())
    }
}
