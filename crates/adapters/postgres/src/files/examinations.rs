//! `files::ExaminationStore`.

use alivio_files::{Error, ExaminationStore, Examined, SegmentRow, StoredFile};
use alivio_kernel::Effects;
use alivio_kernel::ids::{FileId, Uuid};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{FileRow, file_columns, restored, signed, small, unavailable};
use crate::sql::prepared;
use crate::{Database, effects};

const CLAIM: &str = concat!(
    "UPDATE files f SET due_at = $3
     WHERE f.id = (
        SELECT w.id FROM files w
        WHERE w.due_at <= $2 AND ($1::uuid IS NULL OR w.id = $1)
        ORDER BY w.due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
     RETURNING ",
    file_columns!("NULL::uuid")
);
const PUT_OFF: &str = "UPDATE files SET due_at = $2 WHERE id = $1 AND state = 'pending'";
const SETTLE: &str = "
    UPDATE files SET state = $2, scan = $3, scanner = $4, finding = $5, sha256 = coalesce($6, sha256), made = $7,
        size = coalesce($8, size), due_at = NULL, updated_at = $9
    WHERE id = $1 AND state = 'pending'";
const FORGET_OTHERS: &str = "DELETE FROM file_segments WHERE file_id = $1";
const ADD: &str = "INSERT INTO file_segments (file_id, number, size) VALUES ($1, $2, $3)";

#[async_trait]
impl ExaminationStore for Database {
    async fn claim(
        &self,
        id: Option<FileId>,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<StoredFile>, Error> {
        let query = diesel::sql_query(CLAIM)
            .bind::<Nullable<SqlUuid>, _>(id.map(Uuid::from))
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(until);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<FileRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(restored(rows)?.pop())
    }

    async fn put_off(&self, id: FileId, at: DateTime<Utc>) -> Result<(), Error> {
        let query = diesel::sql_query(PUT_OFF).bind::<SqlUuid, _>(id.uuid()).bind::<Timestamptz, _>(at);
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map(drop).map_err(unavailable)
    }

    async fn settle(
        &self,
        id: FileId,
        examined: &Examined,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let made = serde_json::to_value(&examined.made).map_err(unavailable)?;
        let replaced = match examined.replaced {
            Some(SegmentRow { number, size }) => Some((small(number)?, signed(size)?)),
            None => None,
        };
        let settle = diesel::sql_query(SETTLE)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<Text, _>(examined.state.as_str())
            .bind::<Text, _>(examined.scan.as_str())
            .bind::<Text, _>(examined.scanner.clone())
            .bind::<Nullable<Text>, _>(examined.finding.clone())
            .bind::<Nullable<Bytea>, _>(examined.sha256.map(|digest| digest.to_vec()))
            .bind::<Jsonb, _>(made)
            .bind::<Nullable<BigInt>, _>(replaced.map(|(_, size)| size))
            .bind::<Timestamptz, _>(now);
        let forget = diesel::sql_query(FORGET_OTHERS).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                if prepared(settle).execute(connection).await? == 0 {
                    return Ok(false);
                }
                if let Some((number, size)) = replaced {
                    prepared(forget).execute(connection).await?;
                    let add = diesel::sql_query(ADD)
                        .bind::<SqlUuid, _>(id.uuid())
                        .bind::<Integer, _>(number)
                        .bind::<BigInt, _>(size);
                    prepared(add).execute(connection).await?;
                }
                effects::store(connection, &effects).await?;
                Ok(true)
            })
            .await;
        let settled = work.map_err(unavailable)?;
        self.ring();
        Ok(settled)
    }
}
