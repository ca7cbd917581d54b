//! What goes with those whom it is about.

use alivio_files::{Erased, Erasure, Error, Whose};
use alivio_kernel::ids::{FileId, Uuid};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::unavailable;
use crate::sql::{Id, prepared};
use crate::{Database, effects};

const ERASE: &str = "
    WITH erased AS (
        UPDATE files SET state = 'deleted', due_at = NULL, deleted_at = coalesce(deleted_at, $3), updated_at = $3,
            kept_until = CASE WHEN $4 THEN least(kept_until, $3) ELSE kept_until END
        WHERE destroyed_at IS NULL AND (patient_id = $1 OR conversation_id = $2)
        RETURNING kept_until > $3 AS is_kept
    )
    SELECT count(*) FILTER (WHERE NOT is_kept) AS destroyed, count(*) FILTER (WHERE is_kept) AS kept FROM erased";
const UNFINISHED: &str = "SELECT id FROM file_uploads WHERE uploader_id = $1 OR conversation_id = $2";

#[derive(QueryableByName)]
struct ErasedRow {
    #[diesel(sql_type = BigInt)]
    destroyed: i64,
    #[diesel(sql_type = BigInt)]
    kept: i64,
}

/// The patient and the conversation, of which one is there.
fn named(whose: Whose) -> (Option<Uuid>, Option<Uuid>) {
    match whose {
        Whose::Patient(patient) => (Some(patient.uuid()), None),
        Whose::Conversation(conversation) => (None, Some(conversation.uuid())),
    }
}

impl Database {
    pub(super) async fn erase_files(&self, erasure: &Erasure) -> Result<Erased, Error> {
        let (patient, conversation) = named(erasure.whose);
        let query = diesel::sql_query(ERASE)
            .bind::<Nullable<SqlUuid>, _>(patient)
            .bind::<Nullable<SqlUuid>, _>(conversation)
            .bind::<Timestamptz, _>(erasure.now)
            .bind::<Bool, _>(erasure.records_too);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<Vec<ErasedRow>, diesel::result::Error> = connection
            .transaction(async |connection| {
                let rows = prepared(query).load(connection).await?;
                effects::store(connection, &erasure.effects).await?;
                Ok(rows)
            })
            .await;
        let rows = work.map_err(unavailable)?;
        self.ring();
        let count = |n: i64| u64::try_from(n).map_err(unavailable);
        rows.into_iter().next().map_or(Ok(Erased::default()), |row| {
            Ok(Erased { destroyed: count(row.destroyed)?, kept: count(row.kept)? })
        })
    }

    pub(super) async fn unfinished_uploads(&self, whose: Whose) -> Result<Vec<FileId>, Error> {
        let (patient, conversation) = named(whose);
        let query = diesel::sql_query(UNFINISHED)
            .bind::<Nullable<SqlUuid>, _>(patient)
            .bind::<Nullable<SqlUuid>, _>(conversation);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }
}
