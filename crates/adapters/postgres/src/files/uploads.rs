//! `files::UploadStore`.

use alivio_files::{Admitted, Error, NewFile, Quota, SegmentRow, Standing, Upload, UploadStore, Whose};
use alivio_kernel::ids::{ConversationId, FileId, UserId, Uuid};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::{segments, signed, small, unavailable};
use crate::messages::blocked;
use crate::sql::{Id, prepared};
use crate::{Database, data_keys, effects};

// Of the one who uploads, $1, since $2: deleted ones count as well.
macro_rules! recent {
    () => {
        "SELECT count(*) AS recent, min(created_at) AS oldest FROM (
            SELECT created_at FROM files WHERE uploader_id = $1 AND created_at > $2
            UNION ALL
            SELECT created_at FROM file_uploads WHERE uploader_id = $1 AND created_at > $2
        ) r"
    };
}

const STANDING: &str = concat!(
    "SELECT c.is_active AND (c.expires_at IS NULL OR c.expires_at > $4) AS is_open, ",
    blocked!(),
    " AS is_blocked,
        coalesce((c.settings ->> 'file_sharing_enabled')::boolean, true) AS file_sharing,
        coalesce(c.related_patient_id, only_one.id) AS subject,
        recent.recent, recent.oldest
     FROM conversations c
     JOIN participants p ON p.conversation_id = c.id AND p.user_id = $1 AND p.left_seq IS NULL
     LEFT JOIN LATERAL (
        SELECT min(u.id::text)::uuid AS id
        FROM participants q JOIN users u ON u.id = q.user_id AND u.role = 'patient'
        WHERE q.conversation_id = c.id AND q.left_seq IS NULL HAVING count(*) = 1
     ) only_one ON true
     CROSS JOIN (",
    recent!(),
    ") recent
     WHERE c.id = $3"
);
// Whoever uploads takes turns with themselves.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('files ' || $1::text, 0))";
const RECENT: &str = recent!();
const INSERT: &str = "
    INSERT INTO files (id, conversation_id, uploader_id, place, patient_id, related_appointment_id, kind, document_type,
        format, size, sha256, state, scan, due_at, terms, consent, max_downloads, access_expires_at, kept_until, name,
        description, created_at, updated_at)
    SELECT $1, c.id, $3, c.last_seq, $4, $5, $6, $7, $8, $9, $10, 'pending', 'pending', $11, $12, $13, $14, $15, $16, $17,
        $18, $11, $11
    FROM conversations c
    JOIN participants p ON p.conversation_id = c.id AND p.user_id = $3 AND p.left_seq IS NULL
    WHERE c.id = $2
    RETURNING ref_number AS number";
const INSERT_SEGMENTS: &str = "
    INSERT INTO file_segments (file_id, number, size)
    SELECT $1, s.number, s.size FROM unnest($2::integer[], $3::bigint[]) AS s (number, size)
    ON CONFLICT (file_id, number) DO NOTHING";
const BEGIN: &str = "
    INSERT INTO file_uploads (id, conversation_id, uploader_id, draft, length, created_at, expires_at)
    SELECT $1, p.conversation_id, p.user_id, $4, $5, $6, $7 FROM participants p
    WHERE p.conversation_id = $2 AND p.user_id = $3 AND p.left_seq IS NULL
    RETURNING 0::bigint AS number";
const FIND: &str = "
    SELECT u.id, u.conversation_id, u.uploader_id, u.draft, u.length, u.received, u.created_at, u.expires_at
    FROM file_uploads u
    JOIN participants p ON p.conversation_id = u.conversation_id AND p.user_id = u.uploader_id AND p.left_seq IS NULL
    WHERE u.uploader_id = $1 AND u.id = $2 AND u.expires_at > $3";
const NEXT: &str = "
    UPDATE file_uploads SET next_segment = next_segment + 1 WHERE id = $1
    RETURNING (next_segment - 1)::bigint AS number";
const APPEND: &str = "
    WITH moved AS (
        UPDATE file_uploads SET received = received + $4 WHERE id = $1 AND received = $2 RETURNING id
    )
    INSERT INTO file_segments (file_id, number, size) SELECT m.id, $3, $4 FROM moved m";
const FORGET: &str = "DELETE FROM file_uploads WHERE id = $1";
const FORGET_SEGMENTS: &str = "DELETE FROM file_segments WHERE file_id = ANY ($1)";
const FORGET_EXPIRED: &str = "
    DELETE FROM file_uploads WHERE id IN (
        SELECT id FROM file_uploads WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING id";

#[derive(QueryableByName)]
struct StandingRow {
    #[diesel(sql_type = Bool)]
    is_open: bool,
    #[diesel(sql_type = Bool)]
    is_blocked: bool,
    #[diesel(sql_type = Bool)]
    file_sharing: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    subject: Option<Uuid>,
    #[diesel(embed)]
    recent: RecentRow,
}

#[derive(QueryableByName)]
struct RecentRow {
    #[diesel(sql_type = BigInt)]
    recent: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    oldest: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct UploadRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    uploader_id: Uuid,
    #[diesel(sql_type = Bytea)]
    draft: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    length: i64,
    #[diesel(sql_type = BigInt)]
    received: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
}

impl UploadRow {
    fn restore(self) -> Result<Upload, Error> {
        let count = |n: i64| u64::try_from(n).map_err(unavailable);
        Ok(Upload {
            id: self.id.into(),
            conversation_id: self.conversation_id.into(),
            uploader_id: self.uploader_id.into(),
            draft: Sealed::from_bytes(self.draft),
            length: count(self.length)?,
            offset: count(self.received)?,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

/// Waits for the turn of `uploader`, and says when the first of their files came, if there are too many.
async fn too_many(
    connection: &mut AsyncPgConnection,
    uploader: UserId,
    quota: Quota,
) -> QueryResult<Option<DateTime<Utc>>> {
    let turn = diesel::sql_query(TURN).bind::<SqlUuid, _>(uploader.uuid());
    prepared(turn).execute(connection).await?;
    let recent =
        diesel::sql_query(RECENT).bind::<SqlUuid, _>(uploader.uuid()).bind::<Timestamptz, _>(quota.since);
    let rows: Vec<RecentRow> = prepared(recent).load(connection).await?;
    let full = rows.into_iter().find(|row| row.recent >= i64::from(quota.most));
    Ok(full.and_then(|row| row.oldest))
}

#[async_trait]
impl UploadStore for Database {
    async fn standing(
        &self,
        uploader: UserId,
        conversation: ConversationId,
        now: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> Result<Option<Standing>, Error> {
        let query = diesel::sql_query(STANDING)
            .bind::<SqlUuid, _>(uploader.uuid())
            .bind::<Timestamptz, _>(since)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<StandingRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        Ok(Some(Standing {
            is_open: row.is_open,
            is_blocked: row.is_blocked,
            file_sharing: row.file_sharing,
            subject: row.subject.map(UserId::from),
            recent: u32::try_from(row.recent.recent).map_err(unavailable)?,
            oldest: row.recent.oldest,
        }))
    }

    async fn admit(&self, new: &NewFile, quota: Quota, effects: Effects) -> Result<Admitted, Error> {
        let header = &new.file.header;
        let id = header.id.uuid();
        let insert = diesel::sql_query(INSERT)
            .bind::<SqlUuid, _>(id)
            .bind::<SqlUuid, _>(header.conversation_id.uuid())
            .bind::<SqlUuid, _>(header.uploader_id.uuid())
            .bind::<Nullable<SqlUuid>, _>(header.patient_id.map(Uuid::from))
            .bind::<Nullable<SqlUuid>, _>(header.related_appointment.map(Uuid::from))
            .bind::<Text, _>(header.kind.as_str())
            .bind::<Text, _>(header.document_type.as_str())
            .bind::<Text, _>(header.format.extension())
            .bind::<BigInt, _>(signed(header.size)?)
            .bind::<Nullable<Bytea>, _>(header.sha256.map(|digest| digest.to_vec()))
            .bind::<Timestamptz, _>(header.created_at)
            .bind::<Jsonb, _>(serde_json::to_value(header.terms).map_err(unavailable)?)
            .bind::<Text, _>(header.consent.as_str())
            .bind::<Nullable<Integer>, _>(header.max_downloads.map(small).transpose()?)
            .bind::<Timestamptz, _>(header.access_expires_at)
            .bind::<Timestamptz, _>(new.kept_until)
            .bind::<Bytea, _>(new.file.name.as_bytes())
            .bind::<Nullable<Bytea>, _>(new.file.description.as_ref().map(Sealed::as_bytes));
        let numbers: Result<Vec<_>, _> = new.segments.iter().map(|segment| small(segment.number)).collect();
        let sizes: Result<Vec<_>, _> = new.segments.iter().map(|segment| signed(segment.size)).collect();
        let insert_segments = diesel::sql_query(INSERT_SEGMENTS)
            .bind::<SqlUuid, _>(id)
            .bind::<Array<Integer>, _>(numbers?)
            .bind::<Array<BigInt>, _>(sizes?);
        let forget = diesel::sql_query(FORGET).bind::<SqlUuid, _>(id);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                if new.is_upload {
                    if prepared(forget).execute(connection).await? == 0 {
                        return Ok(Admitted::NotThere);
                    }
                } else if let Some(oldest) = too_many(connection, header.uploader_id, quota).await? {
                    return Ok(Admitted::TooMany(oldest));
                }
                let rows: Vec<NumberRow> = prepared(insert).load(connection).await?;
                let Some(row) = rows.into_iter().next() else {
                    // The upload stays where it is.
                    return Err(diesel::result::Error::RollbackTransaction);
                };
                prepared(insert_segments).execute(connection).await?;
                effects::store(connection, &effects).await?;
                Ok(Admitted::Stored(row.number))
            })
            .await;
        let admitted = match work {
            Err(diesel::result::Error::RollbackTransaction) => Admitted::NotThere,
            work => work.map_err(unavailable)?,
        };
        self.ring();
        Ok(admitted)
    }

    async fn begin(&self, upload: &Upload, quota: Quota, effects: Effects) -> Result<Admitted, Error> {
        let begin = diesel::sql_query(BEGIN)
            .bind::<SqlUuid, _>(upload.id.uuid())
            .bind::<SqlUuid, _>(upload.conversation_id.uuid())
            .bind::<SqlUuid, _>(upload.uploader_id.uuid())
            .bind::<Bytea, _>(upload.draft.as_bytes())
            .bind::<BigInt, _>(signed(upload.length)?)
            .bind::<Timestamptz, _>(upload.created_at)
            .bind::<Timestamptz, _>(upload.expires_at);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                if let Some(oldest) = too_many(connection, upload.uploader_id, quota).await? {
                    return Ok(Admitted::TooMany(oldest));
                }
                let rows: Vec<NumberRow> = prepared(begin).load(connection).await?;
                let Some(row) = rows.into_iter().next() else { return Ok(Admitted::NotThere) };
                effects::store(connection, &effects).await?;
                Ok(Admitted::Stored(row.number))
            })
            .await;
        work.map_err(unavailable)
    }

    async fn upload(
        &self,
        uploader: UserId,
        id: FileId,
        now: DateTime<Utc>,
    ) -> Result<Option<Upload>, Error> {
        let query = diesel::sql_query(FIND)
            .bind::<SqlUuid, _>(uploader.uuid())
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<UploadRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(UploadRow::restore).transpose()
    }

    async fn next_segment(&self, id: FileId) -> Result<Option<u32>, Error> {
        let query = diesel::sql_query(NEXT).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<NumberRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(|row| u32::try_from(row.number).map_err(unavailable)).transpose()
    }

    async fn append(&self, id: FileId, offset: u64, segment: SegmentRow) -> Result<(), Error> {
        let query = diesel::sql_query(APPEND)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<BigInt, _>(signed(offset)?)
            .bind::<Integer, _>(small(segment.number)?)
            .bind::<BigInt, _>(signed(segment.size)?);
        let mut connection = self.connection().await.map_err(unavailable)?;
        match prepared(query).execute(&mut connection).await.map_err(unavailable)? {
            0 => Err(Error::Stale),
            _ => Ok(()),
        }
    }

    async fn received(&self, id: FileId) -> Result<Vec<SegmentRow>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        segments(&mut connection, id).await
    }

    async fn forget(&self, id: FileId) -> Result<bool, Error> {
        let forget = diesel::sql_query(FORGET).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                let forgotten = prepared(forget).execute(connection).await? == 1;
                if forgotten {
                    forget_all(connection, vec![id.uuid()]).await?;
                }
                Ok(forgotten)
            })
            .await;
        work.map_err(unavailable)
    }

    async fn unfinished(&self, whose: Whose) -> Result<Vec<FileId>, Error> {
        self.unfinished_uploads(whose).await
    }

    async fn forget_expired(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<FileId>, Error> {
        let forget = diesel::sql_query(FORGET_EXPIRED).bind::<Timestamptz, _>(now).bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<Vec<Uuid>, diesel::result::Error> = connection
            .transaction(async |connection| {
                let rows: Vec<Id> = prepared(forget).load(connection).await?;
                let ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
                forget_all(connection, ids.clone()).await?;
                Ok(ids)
            })
            .await;
        Ok(work.map_err(unavailable)?.into_iter().map(FileId::from).collect())
    }
}

/// What is left of forgotten uploads: their segments and their keys.
async fn forget_all(connection: &mut AsyncPgConnection, ids: Vec<Uuid>) -> QueryResult<()> {
    for id in &ids {
        data_keys::destroy_existing(connection, Scope::File((*id).into())).await?;
    }
    let forget = diesel::sql_query(FORGET_SEGMENTS).bind::<Array<SqlUuid>, _>(ids);
    prepared(forget).execute(connection).await.map(drop)
}
