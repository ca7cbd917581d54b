//! `files::FileStore` and the other ports of files.

mod annotations;
mod erasing;
mod examinations;
mod grants;
mod uploads;

use alivio_files::{
    BlobKey, BlobPart, Consent, DocumentType, Erased, Erasure, Error, FileFilter, FileKind, FileStore,
    Format, Header, Made, ScanStatus, SegmentRow, State, StoredFile, Terms,
};
use alivio_kernel::ids::{ConsultationId, DataKeyId, FileId, MessageId, UserId, Uuid};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{BoxError, Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use crate::sql::{Id, prepared};
use crate::{Database, data_keys, effects};

macro_rules! file_columns {
    ($message:literal) => {
        concat!(
            "f.id, f.ref_number, f.conversation_id, f.uploader_id, ",
            $message,
            " AS message_id, f.patient_id, f.related_appointment_id, f.kind, f.document_type, f.format, f.size,
            f.sha256, f.state, f.scan, f.terms, f.made, f.consent, f.max_downloads, f.download_count,
            f.access_expires_at, f.name, f.description, f.created_at, f.updated_at"
        )
    };
}
use file_columns;

// Files that $1 may see at $2, with a message that holds each, if there is one.
macro_rules! visible {
    ($condition:literal $(, $rest:literal)?) => {
        concat!(
            "SELECT ",
            file_columns!("v.message_id"),
            " FROM files f CROSS JOIN LATERAL (
                SELECT min(v.message_id::text)::uuid AS message_id
                FROM file_viewers(f.id, $2) v WHERE v.user_id = $1 HAVING count(*) > 0
            ) v WHERE ",
            $condition
            $(, $rest)?
        )
    };
}

/// A page of them.
macro_rules! listed {
    ($condition:literal) => {
        visible!(
            $condition,
            " AND ($5::uuid IS NULL OR f.id < $5) AND f.state <> 'deleted'
             AND ($7::uuid IS NULL OR f.related_appointment_id = $7) AND ($8::text IS NULL OR f.document_type = $8)
             ORDER BY f.id DESC LIMIT $6"
        )
    };
}

const VISIBLE: &str = visible!("f.id = ANY ($3)");
const OF_CONVERSATION: &str = listed!(
    "f.id IN (SELECT o.id FROM files o WHERE o.conversation_id = $3
              UNION SELECT s.file_id FROM file_shares s WHERE s.conversation_id = $3)
     AND ($4::uuid IS NULL OR f.patient_id = $4)"
);
const OF_PATIENT: &str = listed!("$3::uuid IS NULL AND f.patient_id = $4");
const OF_ALL: &str = listed!(
    "$3::uuid IS NULL AND $4::uuid IS NULL AND f.id IN (
        SELECT o.id FROM participants p JOIN files o ON o.conversation_id = p.conversation_id
        WHERE p.user_id = $1 AND p.left_seq IS NULL
        UNION SELECT s.file_id FROM participants p JOIN file_shares s ON s.conversation_id = p.conversation_id
        WHERE p.user_id = $1 AND p.left_seq IS NULL)"
);
const LOOK: &str = concat!("SELECT ", file_columns!("NULL::uuid"), " FROM files f WHERE f.id = $1");
const SEGMENTS: &str = "SELECT number, size FROM file_segments WHERE file_id = $1 ORDER BY number";
const VIEWERS: &str = "SELECT DISTINCT user_id AS id FROM file_viewers($1, $2)";
const REMOVE: &str = "
    UPDATE files SET state = 'deleted', due_at = NULL, deleted_at = $3, deleted_by = $2, updated_at = $3
    WHERE id = $1 AND state <> 'deleted'";
const REMOVED: &str = "SELECT id FROM files WHERE id = ANY ($1) AND state = 'deleted'";
const DESTROYABLE: &str = "
    SELECT id FROM files WHERE deleted_at IS NOT NULL AND destroyed_at IS NULL AND kept_until <= $1
    ORDER BY kept_until LIMIT $2";
const DESTROY: &str = "
    UPDATE files SET destroyed_at = $2, name = ''::bytea, description = NULL, made = '{}'
    WHERE id = $1 AND deleted_at IS NOT NULL AND destroyed_at IS NULL";
const FORGET_ANNOTATIONS: &str = "DELETE FROM file_annotations WHERE file_id = $1";
const FORGET_SEGMENTS: &str = "DELETE FROM file_segments WHERE file_id = $1";
// $2: the number of a segment; -1 for a thumbnail, -2 for a preview.
const OWNED: &str = "
    SELECT k.ord
    FROM unnest($1::uuid[], $2::integer[]) WITH ORDINALITY AS k (owner, part, ord)
    WHERE EXISTS (SELECT 1 FROM file_segments s WHERE s.file_id = k.owner AND s.number = k.part)
       OR k.part < 0 AND EXISTS (SELECT 1 FROM files f WHERE f.id = k.owner AND f.destroyed_at IS NULL)";

pub(super) fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

fn unknown(what: &str) -> Error {
    unavailable(format!("a file's {what} is none that we know"))
}

#[derive(QueryableByName)]
struct FileRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    ref_number: i64,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    uploader_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    message_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    patient_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    related_appointment_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    document_type: String,
    #[diesel(sql_type = Text)]
    format: String,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Nullable<Bytea>)]
    sha256: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Text)]
    scan: String,
    #[diesel(sql_type = Jsonb)]
    terms: Value,
    #[diesel(sql_type = Jsonb)]
    made: Value,
    #[diesel(sql_type = Text)]
    consent: String,
    #[diesel(sql_type = Nullable<Integer>)]
    max_downloads: Option<i32>,
    #[diesel(sql_type = Integer)]
    download_count: i32,
    #[diesel(sql_type = Timestamptz)]
    access_expires_at: DateTime<Utc>,
    #[diesel(sql_type = Bytea)]
    name: Vec<u8>,
    #[diesel(sql_type = Nullable<Bytea>)]
    description: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

impl FileRow {
    fn restore(self) -> Result<StoredFile, Error> {
        let count = |n: i32| u32::try_from(n).map_err(unavailable);
        let header = Header {
            id: self.id.into(),
            number: self.ref_number,
            conversation_id: self.conversation_id.into(),
            uploader_id: self.uploader_id.into(),
            message_id: self.message_id.map(MessageId::from),
            patient_id: self.patient_id.map(UserId::from),
            related_appointment: self.related_appointment_id.map(ConsultationId::from),
            kind: self.kind.parse::<FileKind>()?,
            document_type: self.document_type.parse::<DocumentType>()?,
            format: Format::parse(&self.format).ok_or_else(|| unknown("format"))?,
            size: u64::try_from(self.size).map_err(unavailable)?,
            sha256: self.sha256.as_deref().map(digest).transpose()?,
            state: State::parse(&self.state).ok_or_else(|| unknown("state"))?,
            scan: ScanStatus::parse(&self.scan).ok_or_else(|| unknown("scan"))?,
            terms: serde_json::from_value::<Terms>(self.terms).map_err(unavailable)?,
            consent: Consent::parse(&self.consent).ok_or_else(|| unknown("consent"))?,
            max_downloads: self.max_downloads.map(count).transpose()?,
            download_count: count(self.download_count)?,
            access_expires_at: self.access_expires_at,
            made: serde_json::from_value::<Made>(self.made).map_err(unavailable)?,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        Ok(StoredFile {
            header,
            name: Sealed::from_bytes(self.name),
            description: self.description.map(Sealed::from_bytes),
        })
    }
}

pub(super) fn digest(bytes: &[u8]) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| unknown("digest"))
}

#[derive(QueryableByName)]
struct SegmentSqlRow {
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

#[derive(QueryableByName)]
struct OrdRow {
    #[diesel(sql_type = BigInt)]
    ord: i64,
}

fn restored(rows: Vec<FileRow>) -> Result<Vec<StoredFile>, Error> {
    rows.into_iter().map(FileRow::restore).collect()
}

pub(super) async fn segments(
    connection: &mut AsyncPgConnection,
    id: FileId,
) -> Result<Vec<SegmentRow>, Error> {
    let query = diesel::sql_query(SEGMENTS).bind::<SqlUuid, _>(id.uuid());
    let rows: Vec<SegmentSqlRow> = prepared(query).load(connection).await.map_err(unavailable)?;
    let row = |row: SegmentSqlRow| {
        let number = u32::try_from(row.number).map_err(unavailable)?;
        Ok(SegmentRow { number, size: u64::try_from(row.size).map_err(unavailable)? })
    };
    rows.into_iter().map(row).collect()
}

pub(super) fn signed(n: u64) -> Result<i64, Error> {
    i64::try_from(n).map_err(unavailable)
}

pub(super) fn small(n: u32) -> Result<i32, Error> {
    i32::try_from(n).map_err(unavailable)
}

#[async_trait]
impl FileStore for Database {
    async fn find(
        &self,
        viewer: UserId,
        id: FileId,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredFile>, Error> {
        Ok(self.visible(viewer, &[id], now).await?.pop())
    }

    async fn look(&self, id: FileId) -> Result<Option<StoredFile>, Error> {
        let query = diesel::sql_query(LOOK).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(restored(rows)?.pop())
    }

    async fn visible(
        &self,
        viewer: UserId,
        ids: &[FileId],
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredFile>, Error> {
        let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        let query = diesel::sql_query(VISIBLE)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.connection().await.map_err(unavailable)?;
        restored(prepared(query).load(&mut connection).await.map_err(unavailable)?)
    }

    async fn list(
        &self,
        viewer: UserId,
        filter: &FileFilter,
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredFile>, Error> {
        let of = &filter.query;
        let text = match (of.conversation_id, of.patient_id) {
            (Some(_), _) => OF_CONVERSATION,
            (None, Some(_)) => OF_PATIENT,
            (None, None) => OF_ALL,
        };
        let query = diesel::sql_query(text)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<Nullable<SqlUuid>, _>(of.conversation_id.map(Uuid::from))
            .bind::<Nullable<SqlUuid>, _>(of.patient_id.map(Uuid::from))
            .bind::<Nullable<SqlUuid>, _>(filter.after.map(Uuid::from))
            .bind::<BigInt, _>(filter.limit)
            .bind::<Nullable<SqlUuid>, _>(of.related_appointment.map(Uuid::from))
            .bind::<Nullable<Text>, _>(of.document_type.map(DocumentType::as_str));
        let mut connection = self.connection().await.map_err(unavailable)?;
        restored(prepared(query).load(&mut connection).await.map_err(unavailable)?)
    }

    async fn segments(&self, id: FileId) -> Result<Vec<SegmentRow>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        segments(&mut connection, id).await
    }

    async fn viewers(&self, id: FileId, now: DateTime<Utc>) -> Result<Vec<UserId>, Error> {
        let query = diesel::sql_query(VIEWERS).bind::<SqlUuid, _>(id.uuid()).bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }

    async fn remove(
        &self,
        id: FileId,
        by: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(REMOVE)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(by.uuid())
            .bind::<Timestamptz, _>(now);
        self.change_file(query, effects).await
    }

    async fn removed(&self, ids: &[FileId]) -> Result<Vec<FileId>, Error> {
        let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        let query = diesel::sql_query(REMOVED).bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }

    async fn destroyable(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<FileId>, Error> {
        let query = diesel::sql_query(DESTROYABLE).bind::<Timestamptz, _>(now).bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }

    async fn destroy(
        &self,
        id: FileId,
        tombstone: DataKeyId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let destroy = diesel::sql_query(DESTROY).bind::<SqlUuid, _>(id.uuid()).bind::<Timestamptz, _>(now);
        let forget = diesel::sql_query(FORGET_SEGMENTS).bind::<SqlUuid, _>(id.uuid());
        let undraw = diesel::sql_query(FORGET_ANNOTATIONS).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                if prepared(destroy).execute(connection).await? == 1 {
                    prepared(forget).execute(connection).await?;
                    prepared(undraw).execute(connection).await?;
                    data_keys::destroy(connection, Scope::File(id), tombstone, now).await?;
                    effects::store(connection, &effects).await?;
                }
                Ok(())
            })
            .await;
        work.map_err(unavailable)?;
        self.ring();
        Ok(())
    }

    async fn erase(&self, erasure: &Erasure) -> Result<Erased, Error> {
        self.erase_files(erasure).await
    }

    async fn owned(&self, keys: &[BlobKey]) -> Result<Vec<BlobKey>, Error> {
        let part = |key: &BlobKey| match key.part {
            // Larger numbers are nobody's.
            BlobPart::Segment(number) => i32::try_from(number).unwrap_or(i32::MAX),
            BlobPart::Thumbnail => -1,
            BlobPart::Preview => -2,
        };
        let query = diesel::sql_query(OWNED)
            .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.owner).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(keys.iter().map(part).collect::<Vec<_>>());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<OrdRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let key = |row: OrdRow| keys.get(usize::try_from(row.ord).ok()?.checked_sub(1)?).copied();
        Ok(rows.into_iter().filter_map(key).collect())
    }
}

impl Database {
    /// Makes a change of at most one file, and stores `effects` if it did.
    async fn change_file<Q>(&self, query: Q, effects: Effects) -> Result<bool, Error>
    where
        Q: diesel::query_builder::QueryFragment<diesel::pg::Pg> + diesel::query_builder::Query + Send,
    {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                let changed = prepared(query).execute(connection).await? == 1;
                if changed {
                    effects::store(connection, &effects).await?;
                }
                Ok(changed)
            })
            .await;
        let changed = work.map_err(unavailable)?;
        self.ring();
        Ok(changed)
    }
}
