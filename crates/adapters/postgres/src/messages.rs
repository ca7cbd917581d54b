//! `messages::MessageLog`: reads go through the pool, appends through [`GroupCommit`]'s writers.

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{BoxError, Effects, Sealed};
use alivio_messages::{
    Anchor, Appended, Automation, ClientMessageId, Digest, Error, GrantedLog, GrantedPage, Header,
    HistoryQuery, Mark, Marks, MessageLog, Moved, NewEntry, Pass, Position, Source, StoredMessage,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Float, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncConnection, RunQueryDsl};

use crate::sql::{Id, prepared};
use crate::{Database, effects};

/// The columns of a [`MessageRow`], of `messages m`.
macro_rules! message_columns {
    () => {
        "m.id, m.ref_number, m.conversation_id, m.seq, m.sender_id, m.message_type, m.priority, m.content,
         m.client_message_id, m.created_at, m.reply_to, m.forwarded_from, m.corrects, m.scheduled_for, m.expires_at,
         m.source, m.is_automated, m.confidence, m.version, m.edited_at, m.deleted_at, m.deleted_by,
         m.payload, m.client_sent_at, m.corrected_by, m.revision"
    };
}

/// Messages by others that a participant has not read, without looking at messages. Of `conversations c`.
macro_rules! unread {
    ($me:literal) => {
        concat!("(c.last_seq - ", $me, ".read_up_to) - (", $me, ".own_total - ", $me, ".own_read)")
    };
}

pub(crate) use {message_columns, unread};

// One row without a message stands for an empty page; no row at all for no access.
macro_rules! history {
    ($reader:literal, $anchor:literal, $side:literal, $order:literal) => {
        concat!(
            "SELECT m.* FROM (",
            $reader,
            ") me CROSS JOIN LATERAL (",
            $anchor,
            ") anchor
            LEFT JOIN LATERAL (
                SELECT ",
            message_columns!(),
            "
                FROM messages m
                WHERE m.conversation_id = me.conversation_id AND m.seq >= me.joined_seq AND m.seq ",
            $side,
            " anchor.seq
                ORDER BY m.seq ",
            $order,
            " OFFSET $5 LIMIT $6
            ) m ON true
            WHERE $3::bigint IS NULL OR $4::uuid IS NULL
            ORDER BY m.seq ",
            $order
        )
    };
}

/// The five ways to ask for a page, by one who reads.
macro_rules! histories {
    ($reader:literal) => {
        [
            history!($reader, "SELECT 9223372036854775807 AS seq", "<=", "DESC"),
            history!($reader, "SELECT $3::bigint AS seq", "<", "DESC"),
            history!(
                $reader,
                "SELECT a.seq FROM messages a
                 WHERE a.id = $4 AND a.conversation_id = me.conversation_id AND a.seq >= me.joined_seq",
                "<",
                "DESC"
            ),
            history!($reader, "SELECT $3::bigint AS seq", ">", "ASC"),
            history!(
                $reader,
                "SELECT a.seq FROM messages a
                 WHERE a.id = $4 AND a.conversation_id = me.conversation_id AND a.seq >= me.joined_seq",
                ">",
                "ASC"
            ),
        ]
    };
}
const BY_PARTICIPANT: [&str; 5] = histories!(
    "SELECT p.conversation_id, p.joined_seq FROM participants p
     WHERE p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL"
);
// Whoever ends the grant meanwhile waits until what is read has been recorded.
const BY_GRANT: [&str; 5] = histories!(
    "SELECT g.conversation_id, 1::bigint AS joined_seq FROM break_glass_grants g
     WHERE g.id = $7 AND g.conversation_id = $1 AND g.admin_id = $2 AND g.ended_at IS NULL AND g.expires_at > $8
     FOR SHARE"
);

const BY_IDS: &str = concat!("SELECT ", message_columns!(), " FROM messages m WHERE m.id = ANY ($1)");

// One row for a member, without a message if there is none of that name.
const EARLIER: &str = concat!(
    "SELECT m.fingerprint = $4 AS same, m.*
    FROM participants me
    LEFT JOIN LATERAL (
        SELECT ",
    message_columns!(),
    ", m.fingerprint FROM messages m
        WHERE m.conversation_id = $1 AND m.sender_id = $2 AND m.client_message_id = $3
    ) m ON true
    WHERE me.conversation_id = $1 AND me.user_id = $2 AND me.left_seq IS NULL"
);

const MARKS: &str = "
    SELECT coalesce(array_agg(p.user_id), '{}') AS users, coalesce(array_agg(p.delivered_up_to), '{}') AS delivered,
        coalesce(array_agg(p.read_up_to), '{}') AS read
    FROM participants p WHERE p.conversation_id = $1 AND p.left_seq IS NULL";

/// Everyone's marks in `conversations c`, as `viewer` may see them: where it is not shown who has read what (S0-36),
/// only the viewer's own tells it.
macro_rules! shown_marks {
    ($viewer:literal) => {
        concat!(
            "SELECT coalesce(array_agg(p.user_id), '{}') AS users,
                coalesce(array_agg(p.delivered_up_to), '{}') AS delivered,
                coalesce(array_agg(CASE WHEN p.user_id = ",
            $viewer,
            " OR c.settings ->> 'read_receipts' IS DISTINCT FROM 'false' THEN p.read_up_to ELSE 0 END), '{}') AS read
            FROM participants p WHERE p.conversation_id = c.id AND p.left_seq IS NULL"
        )
    };
}

const POSITION: &str = concat!(
    "SELECT me.joined_seq, c.last_seq, c.last_revision, c.members_version, k.users, k.delivered, k.read
    FROM participants me
    JOIN conversations c ON c.id = me.conversation_id
    CROSS JOIN LATERAL (",
    shown_marks!("me.user_id"),
    ") k
    WHERE me.conversation_id = $1 AND me.user_id = $2 AND me.left_seq IS NULL"
);

// After the macros, which they use.
mod changes;
mod feed;
mod group_commit;
mod reader;
mod search;
mod shredder;

pub use group_commit::GroupCommit;

// The lock waits for whoever moves the same marks, and then shows where they left them.
const ADVANCE: &str = "
    WITH me AS (
        SELECT p.delivered_up_to, p.read_up_to, p.own_total, p.own_read, m.id AS message_id, m.seq
        FROM participants p
        JOIN messages m ON m.conversation_id = p.conversation_id AND m.seq >= p.joined_seq
        WHERE p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL AND (m.seq = $3 OR m.id = $4)
        FOR UPDATE OF p
    ), moved AS (
        UPDATE participants p SET
            delivered_up_to = greatest(me.delivered_up_to, me.seq),
            read_up_to = CASE WHEN $5 = 'read' THEN me.seq ELSE me.read_up_to END,
            own_read = me.own_read + CASE WHEN $5 = 'read' THEN (
                SELECT count(*) FROM messages m
                WHERE m.conversation_id = $1 AND m.sender_id = $2 AND m.seq > me.read_up_to AND m.seq <= me.seq
            ) ELSE 0 END
        FROM me
        WHERE p.conversation_id = $1 AND p.user_id = $2
          AND CASE WHEN $5 = 'read' THEN me.read_up_to ELSE me.delivered_up_to END < me.seq
        RETURNING p.delivered_up_to, p.read_up_to, p.own_read, me.seq
    ), logged AS (
        INSERT INTO mark_moves (conversation_id, user_id, mark, up_to, moved_at)
        SELECT $1, $2, $5, seq, $6 FROM moved
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, message_id, seq, user_id, at)
        SELECT $1, 'receipt.' || $5, me.message_id, me.seq, $2, $6 FROM me JOIN moved ON true
    )
    SELECT me.message_id, moved.seq IS NOT NULL AS moved,
        coalesce(moved.delivered_up_to, me.delivered_up_to) AS delivered_up_to,
        coalesce(moved.read_up_to, me.read_up_to) AS read_up_to,
        greatest(0, (SELECT c.last_seq FROM conversations c WHERE c.id = $1)
            - coalesce(moved.read_up_to, me.read_up_to)
            - (me.own_total - coalesce(moved.own_read, me.own_read))) AS unread
    FROM me LEFT JOIN moved ON true";

const NEWEST_OF: &str = "
    SELECT m.id FROM messages m
    JOIN participants me ON me.conversation_id = m.conversation_id AND me.user_id = $2 AND me.left_seq IS NULL
    WHERE m.conversation_id = $1 AND m.id = ANY ($3) AND m.seq >= me.joined_seq
    ORDER BY m.seq DESC LIMIT 1";

const DIGESTS: &str = concat!(
    "SELECT me.conversation_id AS digest_id, ",
    unread!("me"),
    " AS unread, k.users, k.delivered, k.read, m.*
    FROM participants me
    JOIN conversations c ON c.id = me.conversation_id
    CROSS JOIN LATERAL (",
    shown_marks!("me.user_id"),
    ") k
    LEFT JOIN LATERAL (
        SELECT ",
    message_columns!(),
    " FROM messages m
        WHERE m.conversation_id = me.conversation_id AND m.seq >= me.joined_seq
        ORDER BY m.seq DESC LIMIT 1
    ) m ON true
    WHERE me.user_id = $1 AND me.left_seq IS NULL AND me.conversation_id = ANY ($2)"
);

/// A message, or the absence of one.
#[derive(QueryableByName)]
pub(crate) struct MessageRow {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    ref_number: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    conversation_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    seq: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    sender_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    message_type: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    priority: Option<String>,
    #[diesel(sql_type = Nullable<Bytea>)]
    content: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    client_message_id: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reply_to: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    forwarded_from: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    corrects: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    scheduled_for: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    source: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    is_automated: Option<bool>,
    #[diesel(sql_type = Nullable<Float>)]
    confidence: Option<f32>,
    #[diesel(sql_type = Nullable<Integer>)]
    version: Option<i32>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    edited_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    deleted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    deleted_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<Bytea>)]
    payload: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    client_sent_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    corrected_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    revision: Option<i64>,
}

#[derive(QueryableByName)]
struct EarlierRow {
    #[diesel(sql_type = Nullable<Bool>)]
    same: Option<bool>,
    #[diesel(embed)]
    message: MessageRow,
}

impl MessageRow {
    pub(crate) fn restore(self) -> Option<Result<StoredMessage, Error>> {
        let (message_type, priority, client_message_id, source) =
            (self.message_type?, self.priority?, self.client_message_id?, self.source?);
        let parse = || {
            Ok((
                message_type.parse()?,
                priority.parse()?,
                ClientMessageId::parse(&client_message_id)?,
                Source::parse(&source)?,
            ))
        };
        let (message_type, priority, client_message_id, source) = match parse() {
            Ok(parsed) => parsed,
            Err(error) => return Some(Err(error)),
        };
        let header = Header {
            id: self.id?.into(),
            number: self.ref_number?,
            conversation_id: self.conversation_id?.into(),
            seq: self.seq?,
            sender_id: self.sender_id?.into(),
            message_type,
            priority,
            client_message_id,
            created_at: self.created_at?,
            reply_to: self.reply_to.map(MessageId::from),
            forwarded_from: self.forwarded_from.map(MessageId::from),
            corrects: self.corrects.map(MessageId::from),
            scheduled_for: self.scheduled_for,
            expires_at: self.expires_at,
            client_sent_at: self.client_sent_at,
            source,
            automation: self.is_automated?.then_some(Automation { confidence: self.confidence }),
            version: u32::try_from(self.version?).ok()?,
            edited_at: self.edited_at,
            deleted_at: self.deleted_at,
            deleted_by: self.deleted_by.map(UserId::from),
            corrected_by: self.corrected_by.map(MessageId::from),
            revision: self.revision?,
            key_id: None,
            is_destroyed: false,
        };
        let (content, payload) = (self.content.map(Sealed::from_bytes), self.payload.map(Sealed::from_bytes));
        Some(Ok(StoredMessage { header, content, payload }))
    }
}

#[derive(QueryableByName)]
struct MarksRow {
    #[diesel(sql_type = Array<SqlUuid>)]
    users: Vec<Uuid>,
    #[diesel(sql_type = Array<BigInt>)]
    delivered: Vec<i64>,
    #[diesel(sql_type = Array<BigInt>)]
    read: Vec<i64>,
}

impl MarksRow {
    fn restore(self) -> Vec<Marks> {
        self.users
            .into_iter()
            .zip(self.delivered.into_iter().zip(self.read))
            .map(|(user, (delivered_up_to, read_up_to))| Marks {
                user_id: user.into(),
                delivered_up_to,
                read_up_to,
            })
            .collect()
    }
}

#[derive(QueryableByName)]
struct PositionRow {
    #[diesel(sql_type = BigInt)]
    joined_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_revision: i64,
    #[diesel(sql_type = BigInt)]
    members_version: i64,
    #[diesel(embed)]
    marks: MarksRow,
}

#[derive(QueryableByName)]
struct MovedRow {
    #[diesel(sql_type = SqlUuid)]
    message_id: Uuid,
    #[diesel(sql_type = Bool)]
    moved: bool,
    #[diesel(sql_type = BigInt)]
    delivered_up_to: i64,
    #[diesel(sql_type = BigInt)]
    read_up_to: i64,
    #[diesel(sql_type = BigInt)]
    unread: i64,
}

#[derive(QueryableByName)]
struct DigestRow {
    #[diesel(sql_type = SqlUuid)]
    digest_id: Uuid,
    #[diesel(sql_type = BigInt)]
    unread: i64,
    #[diesel(embed)]
    marks: MarksRow,
    #[diesel(embed)]
    last: MessageRow,
}

pub(crate) fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

const fn split(anchor: &Anchor) -> (Option<i64>, Option<Uuid>) {
    match anchor {
        Anchor::Seq(seq) => (Some(*seq), None),
        Anchor::Message(id) => (None, Some(id.uuid())),
    }
}

/// A page that is asked for: the statement and its places.
struct Asked {
    sql: &'static str,
    seq: Option<i64>,
    message: Option<Uuid>,
    offset: i64,
}

const fn asked(histories: &'static [&'static str; 5], query: &HistoryQuery) -> Asked {
    let [newest, before_seq, before_message, after_seq, after_message] = histories;
    let (sql, (seq, message), offset) = match query {
        HistoryQuery::Newest { offset, .. } => (newest, (None, None), *offset),
        HistoryQuery::Before(anchor @ Anchor::Seq(_), _) => (before_seq, split(anchor), 0),
        HistoryQuery::Before(anchor @ Anchor::Message(_), _) => (before_message, split(anchor), 0),
        HistoryQuery::After(anchor @ Anchor::Seq(_), _) => (after_seq, split(anchor), 0),
        HistoryQuery::After(anchor @ Anchor::Message(_), _) => (after_message, split(anchor), 0),
    };
    Asked { sql, seq, message, offset }
}

impl Database {
    /// Messages by their ids, for those that a writer found to be repeats.
    async fn messages_by_ids(&self, ids: Vec<Uuid>) -> Result<Vec<StoredMessage>, Error> {
        let query = diesel::sql_query(BY_IDS).bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<MessageRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().filter_map(MessageRow::restore).collect()
    }
}

#[async_trait]
impl MessageLog for GroupCommit {
    async fn append(&self, entry: NewEntry) -> Result<Appended, Error> {
        self.write(entry).await
    }

    async fn earlier(
        &self,
        sender: UserId,
        conversation: ConversationId,
        client_message_id: &ClientMessageId,
        fingerprint: [u8; 16],
    ) -> Result<Option<Appended>, Error> {
        let query = diesel::sql_query(EARLIER)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(sender.uuid())
            .bind::<Text, _>(client_message_id.as_str())
            .bind::<Bytea, _>(fingerprint.to_vec());
        let mut connection = self.database().connection().await.map_err(unavailable)?;
        let rows: Vec<EarlierRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let Some(row) = rows.into_iter().next() else { return Ok(Some(Appended::NotAMember)) };
        Ok(match (row.same, row.message.restore()) {
            (Some(true), Some(stored)) => Some(Appended::Repeat(stored?)),
            (Some(false), Some(_)) => Some(Appended::Reused),
            _ => None,
        })
    }

    async fn history(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        history: &HistoryQuery,
    ) -> Result<Option<Vec<StoredMessage>>, Error> {
        let Asked { sql, seq, message, offset } = asked(&BY_PARTICIPANT, history);
        let query = diesel::sql_query(sql)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Nullable<BigInt>, _>(seq)
            .bind::<Nullable<SqlUuid>, _>(message)
            .bind::<BigInt, _>(offset)
            .bind::<BigInt, _>(history.size().get() + 1);
        let mut connection = self.database().connection().await.map_err(unavailable)?;
        let rows: Vec<MessageRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        if rows.is_empty() {
            return Ok(None);
        }
        rows.into_iter().filter_map(MessageRow::restore).collect::<Result<_, _>>().map(Some)
    }

    async fn position(
        &self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<Position>, Error> {
        let query = diesel::sql_query(POSITION)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(viewer.uuid());
        let mut connection = self.database().connection().await.map_err(unavailable)?;
        let rows: Vec<PositionRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(|row| Position {
            joined_seq: row.joined_seq,
            last_seq: row.last_seq,
            last_revision: row.last_revision,
            members_version: row.members_version,
            marks: row.marks.restore(),
        }))
    }

    async fn advance(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        mark: Mark,
        target: &Anchor,
        now: DateTime<Utc>,
    ) -> Result<Option<Moved>, Error> {
        let (seq, message) = split(target);
        let query = diesel::sql_query(ADVANCE)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Nullable<BigInt>, _>(seq)
            .bind::<Nullable<SqlUuid>, _>(message)
            .bind::<Text, _>(mark.as_str())
            .bind::<Timestamptz, _>(now);
        let mut connection = self.database().connection().await.map_err(unavailable)?;
        let rows: Vec<MovedRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(|row| Moved {
            marks: Marks {
                user_id: viewer,
                delivered_up_to: row.delivered_up_to,
                read_up_to: row.read_up_to,
            },
            moved: row.moved,
            message_id: row.message_id.into(),
            unread: row.unread,
        }))
    }

    async fn newest_of(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        messages: &[MessageId],
    ) -> Result<Option<MessageId>, Error> {
        let ids: Vec<Uuid> = messages.iter().map(|id| id.uuid()).collect();
        let query = diesel::sql_query(NEWEST_OF)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.database().connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(|row| row.id.into()))
    }

    async fn digests(&self, viewer: UserId, conversations: &[ConversationId]) -> Result<Vec<Digest>, Error> {
        let ids: Vec<Uuid> = conversations.iter().map(|id| id.uuid()).collect();
        let query =
            diesel::sql_query(DIGESTS).bind::<SqlUuid, _>(viewer.uuid()).bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.database().connection().await.map_err(unavailable)?;
        let rows: Vec<DigestRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter()
            .map(|row| {
                Ok(Digest {
                    conversation_id: row.digest_id.into(),
                    unread: row.unread,
                    last: row.last.restore().transpose()?,
                    marks: row.marks.restore(),
                })
            })
            .collect()
    }
}

#[async_trait]
impl GrantedLog for Database {
    async fn granted_history(
        &self,
        pass: &Pass,
        history: &HistoryQuery,
        now: DateTime<Utc>,
    ) -> Result<Option<GrantedPage>, Error> {
        let Asked { sql, seq, message, offset } = asked(&BY_GRANT, history);
        let effects = Effects { audit: pass.audit.clone(), ..Effects::default() };
        let mut connection = self.connection().await.map_err(unavailable)?;
        let read: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                let query = diesel::sql_query(sql)
                    .bind::<SqlUuid, _>(pass.conversation_id.uuid())
                    .bind::<SqlUuid, _>(pass.holder.uuid())
                    .bind::<Nullable<BigInt>, _>(seq)
                    .bind::<Nullable<SqlUuid>, _>(message)
                    .bind::<BigInt, _>(offset)
                    .bind::<BigInt, _>(history.size().get() + 1)
                    .bind::<SqlUuid, _>(pass.grant_id.uuid())
                    .bind::<Timestamptz, _>(now);
                let rows: Vec<MessageRow> = prepared(query).load(connection).await?;
                if rows.is_empty() {
                    return Ok(None);
                }
                let marks = diesel::sql_query(MARKS).bind::<SqlUuid, _>(pass.conversation_id.uuid());
                let marks: MarksRow = prepared(marks).get_result(connection).await?;
                effects::store(connection, &effects).await?;
                Ok(Some((rows, marks)))
            })
            .await;
        let Some((rows, marks)) = read.map_err(unavailable)? else { return Ok(None) };
        let messages = rows.into_iter().filter_map(MessageRow::restore).collect::<Result<_, _>>()?;
        Ok(Some(GrantedPage { messages, marks: marks.restore() }))
    }
}
