//! `messages::MessageLog`: appends go through [`GroupCommit`]'s writers, what those who come back ask for is asked
//! [together](crate::together), and the rest through the pool.

use std::collections::HashSet;

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{BoxError, Effects, Sealed};
use alivio_messages::{
    Anchor, Appended, Automation, ClientMessageId, Digest, Error, GrantedLog, GrantedPage, Header,
    HistoryQuery, Mark, Marks, MessageLog, Moved, NewEntry, Pass, Position, Source, StoredMessage,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Float, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::sql::{Id, prepared};
use crate::together::{Statement, in_order};
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

/// Whether a block stands between the two of `conversations c`, if it is direct.
macro_rules! blocked {
    () => {
        "coalesce(c.kind = 'direct' AND (
            SELECT true FROM blocks b
            WHERE least(b.blocker_id, b.blocked_id) = c.direct_low
              AND greatest(b.blocker_id, b.blocked_id) = c.direct_high LIMIT 1), false)"
    };
}

pub(crate) use {blocked, message_columns, unread};

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

/// Everyone's marks in a conversation.
macro_rules! marks {
    ($conversation:literal) => {
        concat!(
            "SELECT coalesce(array_agg(p.user_id), '{}') AS users,
                coalesce(array_agg(p.delivered_up_to), '{}') AS delivered, coalesce(array_agg(p.read_up_to), '{}') AS read
            FROM participants p WHERE p.conversation_id = ",
            $conversation,
            " AND p.left_seq IS NULL"
        )
    };
}
const MARKS: &str = marks!("$1");

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

// Many ask about the same conversation, whose marks are read once.
const POSITIONS: &str = concat!(
    "WITH asked AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS a (conversation_id, user_id, ord)
    ), rooms AS MATERIALIZED (
        SELECT c.id, c.last_seq, c.last_revision, c.members_version,
            c.settings ->> 'read_receipts' IS DISTINCT FROM 'false' AS shows_reading, ",
    blocked!(),
    " AS is_blocked, k.users, k.delivered, k.read
        FROM (SELECT DISTINCT a.conversation_id FROM asked a) d
        JOIN conversations c ON c.id = d.conversation_id
        CROSS JOIN LATERAL (",
    marks!("c.id"),
    ") k
    )
    SELECT a.ord, me.joined_seq, r.last_seq, r.last_revision, r.members_version, r.shows_reading, r.is_blocked,
        r.users, r.delivered, r.read
    FROM asked a
    JOIN participants me ON me.conversation_id = a.conversation_id AND me.user_id = a.user_id AND me.left_seq IS NULL
    JOIN rooms r ON r.id = me.conversation_id"
);

// What those who come back have missed. One row without a message stands for nothing.
const REPLAYS: &str = concat!(
    "SELECT a.ord, m.*
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) WITH ORDINALITY
        AS a (conversation_id, user_id, seq, size, ord)
    JOIN participants me ON me.conversation_id = a.conversation_id AND me.user_id = a.user_id AND me.left_seq IS NULL
    LEFT JOIN LATERAL (
        SELECT ",
    message_columns!(),
    " FROM messages m
        WHERE m.conversation_id = me.conversation_id AND m.seq >= me.joined_seq AND m.seq > a.seq
        ORDER BY m.seq LIMIT a.size
    ) m ON true
    ORDER BY a.ord, m.seq"
);

// After the macros, which they use.
mod changes;
mod feed;
mod group_commit;
mod reader;
mod search;
mod shredder;

pub(crate) use changes::Aftermaths;
pub use group_commit::GroupCommit;

// Marks that move, each of another participant.
macro_rules! advance {
    ($lock:literal) => {
        concat!(
            "WITH asked AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::timestamptz[])
            WITH ORDINALITY AS a (conversation_id, user_id, seq, message_id, mark, at, ord)
    ), me AS MATERIALIZED (
        SELECT a.ord, a.mark, a.at, p.conversation_id, p.user_id, p.delivered_up_to, p.read_up_to, p.own_total, p.own_read,
            m.id AS message_id, m.seq
        FROM asked a
        JOIN participants p ON p.conversation_id = a.conversation_id AND p.user_id = a.user_id AND p.left_seq IS NULL
        CROSS JOIN LATERAL (
            SELECT m.id, m.seq FROM messages m WHERE m.conversation_id = a.conversation_id AND m.seq = a.seq
            UNION ALL
            SELECT m.id, m.seq FROM messages m WHERE m.id = a.message_id AND m.conversation_id = a.conversation_id
        ) m
        WHERE m.seq >= p.joined_seq
        FOR NO KEY UPDATE OF p",
            $lock,
            "
    ), moved AS (
        UPDATE participants p SET
            delivered_up_to = greatest(me.delivered_up_to, me.seq),
            read_up_to = CASE WHEN me.mark = 'read' THEN me.seq ELSE me.read_up_to END,
            own_read = me.own_read + CASE WHEN me.mark = 'read' THEN (
                SELECT count(*) FROM messages m
                WHERE m.conversation_id = me.conversation_id AND m.sender_id = me.user_id
                  AND m.seq > me.read_up_to AND m.seq <= me.seq
            ) ELSE 0 END
        FROM me
        WHERE p.conversation_id = me.conversation_id AND p.user_id = me.user_id
          AND CASE WHEN me.mark = 'read' THEN me.read_up_to ELSE me.delivered_up_to END < me.seq
        RETURNING me.ord, me.mark, me.at, me.message_id, me.seq, p.conversation_id, p.user_id, p.delivered_up_to,
            p.read_up_to, p.own_read
    ), logged AS (
        INSERT INTO mark_moves (conversation_id, user_id, mark, up_to, moved_at)
        SELECT conversation_id, user_id, mark, seq, at FROM moved
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, message_id, seq, user_id, at)
        SELECT conversation_id, 'receipt.' || mark, message_id, seq, user_id, at FROM moved ORDER BY ord
    )
    SELECT me.ord, me.message_id, moved.seq IS NOT NULL AS moved,
        coalesce(moved.delivered_up_to, me.delivered_up_to) AS delivered_up_to,
        coalesce(moved.read_up_to, me.read_up_to) AS read_up_to,
        greatest(0, c.last_seq - coalesce(moved.read_up_to, me.read_up_to)
            - (me.own_total - coalesce(moved.own_read, me.own_read))) AS unread
    FROM me JOIN conversations c ON c.id = me.conversation_id LEFT JOIN moved ON moved.ord = me.ord"
        )
    };
}
// The lock waits for whoever moves the same marks, and then shows where they left them.
const ADVANCE: &str = advance!("");
// Of those that somebody holds nothing is said: whoever appends holds several in any order, and must not wait for us
// while we wait for them.
const ADVANCE_UNHELD: &str = advance!(" SKIP LOCKED");

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
    ord: i64,
    #[diesel(sql_type = BigInt)]
    joined_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_revision: i64,
    #[diesel(sql_type = BigInt)]
    members_version: i64,
    #[diesel(sql_type = Bool)]
    shows_reading: bool,
    #[diesel(sql_type = Bool)]
    is_blocked: bool,
    #[diesel(embed)]
    marks: MarksRow,
}

impl PositionRow {
    fn restore(self, viewer: UserId) -> Position {
        let Self { joined_seq, last_seq, last_revision, members_version, .. } = self;
        let mut marks = self.marks.restore();
        Marks::hide(&mut marks, viewer, self.is_blocked, self.shows_reading);
        Position { joined_seq, last_seq, last_revision, members_version, marks }
    }
}

#[derive(QueryableByName)]
struct ReplayRow {
    #[diesel(sql_type = BigInt)]
    ord: i64,
    #[diesel(embed)]
    message: MessageRow,
}

#[derive(QueryableByName)]
struct MovedRow {
    #[diesel(sql_type = BigInt)]
    ord: i64,
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

impl MovedRow {
    fn restore(self, viewer: UserId) -> Moved {
        let Self { message_id, moved, delivered_up_to, read_up_to, unread, .. } = self;
        let marks = Marks { user_id: viewer, delivered_up_to, read_up_to };
        Moved { marks, moved, message_id: message_id.into(), unread }
    }
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

/// Where someone stands.
pub(crate) struct Positions;

impl Statement for Positions {
    type Question = (ConversationId, UserId);
    type Answer = Option<Position>;
    const MOST: usize = 200;

    async fn answer(
        connection: &mut AsyncPgConnection,
        questions: &[(ConversationId, UserId)],
    ) -> Result<Vec<Option<Position>>, BoxError> {
        let query = diesel::sql_query(POSITIONS)
            .bind::<Array<SqlUuid>, _>(questions.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(questions.iter().map(|(_, user)| user.uuid()).collect::<Vec<_>>());
        let rows: Vec<PositionRow> = prepared(query).load(connection).await?;
        let answers =
            in_order(questions.len(), rows, |row| row.ord, || None, |answer, row| *answer = Some(row));
        let restore = |(row, (_, viewer)): (Option<PositionRow>, &(ConversationId, UserId))| {
            row.map(|row| row.restore(*viewer))
        };
        Ok(answers.into_iter().zip(questions).map(restore).collect())
    }
}

/// What came after a number, and how much of it is wanted.
pub(crate) struct Replay {
    conversation: ConversationId,
    viewer: UserId,
    after: i64,
    size: i64,
}

/// The next messages for those who come back.
pub(crate) struct Replays;

impl Statement for Replays {
    type Question = Replay;
    type Answer = Result<Option<Vec<StoredMessage>>, Error>;
    const MOST: usize = 50;

    async fn answer(
        connection: &mut AsyncPgConnection,
        questions: &[Replay],
    ) -> Result<Vec<Self::Answer>, BoxError> {
        let query = diesel::sql_query(REPLAYS)
            .bind::<Array<SqlUuid>, _>(questions.iter().map(|q| q.conversation.uuid()).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(questions.iter().map(|q| q.viewer.uuid()).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(questions.iter().map(|q| q.after).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(questions.iter().map(|q| q.size).collect::<Vec<_>>());
        let rows: Vec<ReplayRow> = prepared(query).load(connection).await?;
        let pages = in_order(
            questions.len(),
            rows,
            |row| row.ord,
            || None,
            |page: &mut Option<Vec<_>>, row| page.get_or_insert_default().extend(row.message.restore()),
        );
        Ok(pages.into_iter().map(|page| page.map(|page| page.into_iter().collect()).transpose()).collect())
    }
}

/// A mark that is to be moved.
#[derive(Clone, Copy)]
pub(crate) struct Move {
    conversation: ConversationId,
    viewer: UserId,
    mark: Mark,
    target: Anchor,
    at: DateTime<Utc>,
}

/// Marks that are to be moved, in one commit. What became of each; of those that have to be moved alone, nothing.
pub(crate) struct Moves;

impl Statement for Moves {
    type Question = Move;
    type Answer = Option<Moved>;
    const MOST: usize = 200;

    async fn answer(
        connection: &mut AsyncPgConnection,
        questions: &[Move],
    ) -> Result<Vec<Option<Moved>>, BoxError> {
        advance(ADVANCE_UNHELD, connection, questions).await.map_err(BoxError::from)
    }
}

/// Moves marks by one of the `advance!` statements.
async fn advance(
    sql: &str,
    connection: &mut AsyncPgConnection,
    moves: &[Move],
) -> QueryResult<Vec<Option<Moved>>> {
    let mut seen = HashSet::new();
    // A statement moves the marks of one person once. Another move of theirs has a target that nothing has.
    let targets = moves.iter().map(|asked| {
        let is_first = seen.insert((asked.conversation, asked.viewer));
        if is_first { split(&asked.target) } else { (None, None) }
    });
    let (seqs, messages): (Vec<_>, Vec<_>) = targets.unzip();
    let query = diesel::sql_query(sql)
        .bind::<Array<SqlUuid>, _>(moves.iter().map(|q| q.conversation.uuid()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(moves.iter().map(|q| q.viewer.uuid()).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(seqs)
        .bind::<Array<Nullable<SqlUuid>>, _>(messages)
        .bind::<Array<Text>, _>(moves.iter().map(|q| q.mark.as_str()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(moves.iter().map(|q| q.at).collect::<Vec<_>>());
    let rows: Vec<MovedRow> = prepared(query).load(connection).await?;
    let answers = in_order(moves.len(), rows, |row| row.ord, || None, |answer, row| *answer = Some(row));
    let restore = |(row, asked): (Option<MovedRow>, &Move)| Some(row?.restore(asked.viewer));
    Ok(answers.into_iter().zip(moves).map(restore).collect())
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
        if let HistoryQuery::After(Anchor::Seq(after), size) = *history {
            let question = Replay { conversation, viewer, after, size: size.get() + 1 };
            let database = self.database();
            let asked = database.queues.replays.ask(database.apart(), question);
            return asked.await.map_err(unavailable)?;
        }
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
        let database = self.database();
        let asked = database.queues.positions.ask(database.apart(), (conversation, viewer));
        asked.await.map_err(unavailable)
    }

    async fn advance(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        mark: Mark,
        target: &Anchor,
        now: DateTime<Utc>,
    ) -> Result<Option<Moved>, Error> {
        let database = self.database();
        let question = Move { conversation, viewer, mark, target: *target, at: now };
        let together = database.queues.moves.ask(database.apart(), question).await.map_err(unavailable)?;
        if together.is_some() {
            return Ok(together);
        }
        // There is nothing to move, or somebody holds it: that is waited for alone.
        let mut connection = database.connection().await.map_err(unavailable)?;
        let mut alone = advance(ADVANCE, &mut connection, &[question]).await.map_err(unavailable)?;
        Ok(alone.pop().flatten())
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
