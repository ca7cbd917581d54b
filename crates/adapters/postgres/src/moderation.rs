//! `messages::ModerationStore`.

use alivio_kernel::ids::{ConversationId, MessageId, ReportId, UserId, Uuid};
use alivio_kernel::{AuditEntry, Effects, Sealed};
use alivio_messages::{
    Case, Decision, Error, ModerationStore, NewReport, ReportFilter, ReportHeader, ReportKind, ReportReason,
    ReportStatus, Reported, Resolution, StoredReport,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use serde_json::Value;

use crate::messages::{MessageRow, message_columns, unavailable};
use crate::sql::prepared;
use crate::{Database, effects};

macro_rules! select_report {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.kind, r.conversation_id, r.message_id, r.sender_id, r.reporter_id, r.reason, r.findings,
                 r.comment, r.note, r.note_version, r.status, r.resolution, r.decided_by, r.version, r.created_at,
                 r.updated_at
             FROM message_reports r ",
            $rest
        )
    };
}

const READABLE: &str = "
    SELECT m.conversation_id, m.sender_id FROM messages m
    JOIN participants p ON p.conversation_id = m.conversation_id AND p.user_id = $1 AND p.left_seq IS NULL
        AND m.seq >= p.joined_seq
    WHERE m.id = $2";

// Whoever is removed at the same time was in it before, or is not any more.
const INSERT: &str = "
    INSERT INTO message_reports (id, kind, conversation_id, message_id, sender_id, reporter_id, reason, comment,
        created_at, updated_at)
    SELECT $1, 'report', m.conversation_id, m.id, m.sender_id, $3, $4, $5, $6, $6
    FROM messages m
    JOIN participants p ON p.conversation_id = m.conversation_id AND p.user_id = $3 AND p.left_seq IS NULL
        AND m.seq >= p.joined_seq
    WHERE m.id = $2
    ON CONFLICT (message_id, reporter_id) DO NOTHING";

// What someone can read no more, they cannot ask about either.
const OF_REPORTER: &str = select_report!(
    "JOIN messages m ON m.id = r.message_id
     JOIN participants p ON p.conversation_id = m.conversation_id AND p.user_id = $2 AND p.left_seq IS NULL
         AND m.seq >= p.joined_seq
     WHERE r.message_id = $1 AND r.reporter_id = $2"
);

const LISTS: [&str; 4] = [
    select_report!(
        "WHERE r.sender_id <> $1 AND r.reporter_id IS DISTINCT FROM $1 AND ($2::uuid IS NULL OR r.id < $2)
         AND $4::text IS NULL AND $5::text IS NULL ORDER BY r.id DESC LIMIT $3"
    ),
    select_report!(
        "WHERE r.sender_id <> $1 AND r.reporter_id IS DISTINCT FROM $1 AND ($2::uuid IS NULL OR r.id < $2)
         AND r.status = $4 AND $5::text IS NULL ORDER BY r.id DESC LIMIT $3"
    ),
    select_report!(
        "WHERE r.sender_id <> $1 AND r.reporter_id IS DISTINCT FROM $1 AND ($2::uuid IS NULL OR r.id < $2)
         AND $4::text IS NULL AND r.kind = $5 ORDER BY r.id DESC LIMIT $3"
    ),
    select_report!(
        "WHERE r.sender_id <> $1 AND r.reporter_id IS DISTINCT FROM $1 AND ($2::uuid IS NULL OR r.id < $2)
         AND r.status = $4 AND r.kind = $5 ORDER BY r.id DESC LIMIT $3"
    ),
];

const FIND: &str = select_report!("WHERE r.id = $1");

const AROUND: &str = concat!(
    "SELECT ", message_columns!(), "
     FROM messages target
     JOIN messages m ON m.conversation_id = target.conversation_id AND m.seq BETWEEN target.seq - $2 AND target.seq + $2
     WHERE target.id = $1 ORDER BY m.seq"
);

const DECIDE: &str = "
    UPDATE message_reports SET status = $3, resolution = $4, decided_by = $5, version = version + 1, updated_at = $6,
        note = coalesce($7, note), note_version = CASE WHEN $7 IS NULL THEN note_version ELSE version + 1 END
    WHERE id = $1 AND version = $2";

// Once: whoever takes the message back at the same time waits, and then finds it gone.
const REMOVE: &str = "
    WITH removed AS (
        UPDATE messages m SET deleted_at = $2, deleted_by = $3 WHERE m.id = $1 AND m.deleted_at IS NULL
        RETURNING m.conversation_id, m.id, m.seq
    )
    INSERT INTO changes (conversation_id, kind, message_id, seq, user_id, at)
    SELECT r.conversation_id, 'message.deleted', r.id, r.seq, $3, $2 FROM removed r";

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    sender_id: Uuid,
}

#[derive(QueryableByName)]
struct ReportRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    message_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    sender_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reporter_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Jsonb)]
    findings: Value,
    #[diesel(sql_type = Nullable<Bytea>)]
    comment: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    note: Option<Vec<u8>>,
    #[diesel(sql_type = Integer)]
    note_version: i32,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    resolution: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    decided_by: Option<Uuid>,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

impl ReportRow {
    fn restore(self) -> Result<StoredReport, Error> {
        let version = |n: i32| u32::try_from(n).map_err(unavailable);
        let header = ReportHeader {
            id: self.id.into(),
            kind: self.kind.parse::<ReportKind>()?,
            conversation_id: self.conversation_id.into(),
            message_id: self.message_id.into(),
            sender_id: self.sender_id.into(),
            reporter_id: self.reporter_id.map(UserId::from),
            reason: self.reason.as_deref().map(str::parse::<ReportReason>).transpose()?,
            findings: serde_json::from_value(self.findings).map_err(unavailable)?,
            status: self.status.parse::<ReportStatus>()?,
            resolution: self.resolution.as_deref().map(str::parse::<Resolution>).transpose()?,
            decided_by: self.decided_by.map(UserId::from),
            version: version(self.version)?,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        Ok(StoredReport {
            header,
            comment: self.comment.map(Sealed::from_bytes),
            note: self.note.map(Sealed::from_bytes),
            note_version: version(self.note_version)?,
        })
    }
}

fn only(audit: &[AuditEntry]) -> Effects {
    Effects { events: Vec::new(), audit: audit.to_vec() }
}

#[async_trait]
impl ModerationStore for Database {
    async fn readable(
        &self,
        viewer: UserId,
        message: MessageId,
    ) -> Result<Option<(ConversationId, UserId)>, Error> {
        let query =
            diesel::sql_query(READABLE).bind::<SqlUuid, _>(viewer.uuid()).bind::<SqlUuid, _>(message.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Place> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(|row| (row.conversation_id.into(), row.sender_id.into())))
    }

    async fn report(&self, report: &NewReport, effects: Effects) -> Result<Option<Reported>, Error> {
        let insert = diesel::sql_query(INSERT)
            .bind::<SqlUuid, _>(report.id.uuid())
            .bind::<SqlUuid, _>(report.message_id.uuid())
            .bind::<SqlUuid, _>(report.reporter_id.uuid())
            .bind::<Text, _>(report.reason.as_str())
            .bind::<Nullable<Bytea>, _>(report.comment.as_ref().map(Sealed::as_bytes))
            .bind::<Timestamptz, _>(report.created_at);
        let find = diesel::sql_query(OF_REPORTER)
            .bind::<SqlUuid, _>(report.message_id.uuid())
            .bind::<SqlUuid, _>(report.reporter_id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                let stored = prepared(insert).execute(connection).await? == 1;
                if stored {
                    effects::store(connection, &effects).await?;
                }
                let rows: Vec<ReportRow> = prepared(find).load(connection).await?;
                Ok((stored, rows.into_iter().next()))
            })
            .await;
        let (stored, row) = work.map_err(unavailable)?;
        self.ring();
        let report = row.map(ReportRow::restore).transpose()?;
        Ok(report.map(|report| if stored { Reported::Stored(report) } else { Reported::Known(report) }))
    }

    async fn list(&self, filter: &ReportFilter) -> Result<Vec<ReportHeader>, Error> {
        let list = match (filter.status, filter.kind) {
            (None, None) => 0,
            (Some(_), None) => 1,
            (None, Some(_)) => 2,
            (Some(_), Some(_)) => 3,
        };
        let query = diesel::sql_query(LISTS[list])
            .bind::<SqlUuid, _>(filter.viewer.uuid())
            .bind::<Nullable<SqlUuid>, _>(filter.after.map(Uuid::from))
            .bind::<BigInt, _>(filter.size.get() + 1)
            .bind::<Nullable<Text>, _>(filter.status.map(ReportStatus::as_str))
            .bind::<Nullable<Text>, _>(filter.kind.map(ReportKind::as_str));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ReportRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(|row| Ok(row.restore()?.header)).collect()
    }

    async fn find(&self, report: ReportId) -> Result<Option<ReportHeader>, Error> {
        let query = diesel::sql_query(FIND).bind::<SqlUuid, _>(report.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ReportRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(|row| Ok(row.restore()?.header)).transpose()
    }

    async fn look(&self, report: ReportId, around: i64, audit: &[AuditEntry]) -> Result<Option<Case>, Error> {
        let effects = only(audit);
        let find = diesel::sql_query(FIND).bind::<SqlUuid, _>(report.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                let rows: Vec<ReportRow> = prepared(find).load(connection).await?;
                let Some(report) = rows.into_iter().next() else { return Ok(None) };
                let messages =
                    diesel::sql_query(AROUND).bind::<SqlUuid, _>(report.message_id).bind::<BigInt, _>(around);
                let messages: Vec<MessageRow> = prepared(messages).load(connection).await?;
                effects::store(connection, &effects).await?;
                Ok(Some((report, messages)))
            })
            .await;
        let Some((report, messages)) = work.map_err(unavailable)? else { return Ok(None) };
        let messages = messages.into_iter().filter_map(MessageRow::restore).collect::<Result<_, _>>()?;
        Ok(Some(Case { report: report.restore()?, messages }))
    }

    async fn decide(&self, decision: &Decision, effects: Effects) -> Result<bool, Error> {
        let header = &decision.header;
        let before = i32::try_from(header.version - 1).map_err(unavailable)?;
        let Some(by) = header.decided_by else { return Err(Error::NotThere) };
        let decide = diesel::sql_query(DECIDE)
            .bind::<SqlUuid, _>(header.id.uuid())
            .bind::<Integer, _>(before)
            .bind::<Text, _>(header.status.as_str())
            .bind::<Nullable<Text>, _>(header.resolution.map(Resolution::as_str))
            .bind::<SqlUuid, _>(by.uuid())
            .bind::<Timestamptz, _>(header.updated_at)
            .bind::<Nullable<Bytea>, _>(decision.note.as_ref().map(Sealed::as_bytes));
        let remove = diesel::sql_query(REMOVE)
            .bind::<SqlUuid, _>(header.message_id.uuid())
            .bind::<Timestamptz, _>(header.updated_at)
            .bind::<SqlUuid, _>(by.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                if prepared(decide).execute(connection).await? == 0 {
                    return Ok(None);
                }
                let removed = decision.removes && prepared(remove).execute(connection).await? == 1;
                effects::store(connection, &effects).await?;
                Ok(Some(removed))
            })
            .await;
        let removed = work.map_err(unavailable)?.ok_or(Error::Stale)?;
        self.ring();
        Ok(removed)
    }
}
