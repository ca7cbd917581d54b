//! `messages::MessageChanges`.

use std::collections::HashMap;

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{BoxError, DomainEvent, Effects, Sealed};
use alivio_messages::{
    Aftermath, Appended, Correction, Current, Deletion, Edit, Error, Expired, Found, MAX_EMOJI,
    MessageChanges, MessageDeleted, NAMED_REACTORS, NAMED_READERS, React, Reacted, Receipt, RevisedPage,
    RevisedQuery, Rewording, Spot, Standing, StoredMessage, StoredWording, StoredWordings, WINDOW,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::group_commit::{findings, offer};
use super::{Id, MarksRow, MessageRow, unavailable};
use crate::sql::prepared;
use crate::together::Statement;
use crate::{Database, effects};

/// Whether the words said in `conversations c` belong to a record.
macro_rules! is_care {
    () => {
        "(c.purpose = 'care' OR c.kind IN ('consultation', 'emergency'))"
    };
}

const FIND: &str = concat!(
    "SELECT c.kind = 'group' AND me.role = 'moderator' AS moderates,
        c.is_active AND coalesce(c.expires_at > $3, true) AS is_open, ",
    blocked!(),
    " AS is_blocked, ",
    message_columns!(),
    " FROM messages m
    JOIN conversations c ON c.id = m.conversation_id
    JOIN participants me ON me.conversation_id = m.conversation_id AND me.user_id = $2
        AND me.left_seq IS NULL AND me.joined_seq <= m.seq
    WHERE m.id = $1"
);

const CURRENT: &str = concat!(
    "SELECT c.members_version, k.users, k.delivered, k.read, ",
    message_columns!(),
    " FROM messages m
    JOIN conversations c ON c.id = m.conversation_id
    CROSS JOIN LATERAL (",
    shown_marks!("NULL"),
    ") k
    WHERE m.id = ANY ($1)"
);

// Of each reader the moves within the page and the first one after it: enough to tell when they passed each message.
const AFTERMATH: &str = concat!(
    "SELECT 1::smallint AS what, v.message_id, NULL::uuid AS user_id, NULL::text AS emoji, v.version::bigint AS number,
        0::bigint AS joined, lead(v.written_at, 1, m.edited_at) OVER (PARTITION BY v.message_id ORDER BY v.version) AS at
    FROM message_versions v JOIN messages m ON m.id = v.message_id
    WHERE v.message_id = ANY ($1)
    UNION ALL
    SELECT 2::smallint, r.message_id, r.user_id, r.emoji, r.total, 0, r.reacted_at
    FROM (
        SELECT r.*, count(*) OVER (PARTITION BY r.message_id, r.emoji) AS total,
            row_number() OVER (PARTITION BY r.message_id, r.emoji ORDER BY r.reacted_at, r.user_id) AS nth
        FROM reactions r WHERE r.message_id = ANY ($1)
    ) r WHERE r.nth <= $5
    UNION ALL
    SELECT 3::smallint, c.id, p.user_id, NULL, v.up_to, p.joined_seq, v.moved_at
    FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS asked (id, first, last)
    JOIN conversations c ON c.id = asked.id
    JOIN participants p ON p.conversation_id = c.id AND p.left_seq IS NULL
    CROSS JOIN LATERAL (
        (SELECT v.up_to, v.moved_at FROM mark_moves v
         WHERE v.conversation_id = c.id AND v.user_id = p.user_id AND v.mark = 'read' AND v.up_to >= asked.first
           AND v.up_to < asked.last)
        UNION ALL
        (SELECT v.up_to, v.moved_at FROM mark_moves v
         WHERE v.conversation_id = c.id AND v.user_id = p.user_id AND v.mark = 'read' AND v.up_to >= asked.last
         ORDER BY v.up_to LIMIT 1)
    ) v
    WHERE c.settings ->> 'read_receipts' IS DISTINCT FROM 'false' AND NOT ",
    blocked!(),
    " AND (SELECT count(*) FROM participants n WHERE n.conversation_id = c.id AND n.left_seq IS NULL) <= $6"
);

const HOLD: &str =
    "SELECT conversation_id, is_gone, corrected, version, outcome FROM hold_message($1, $2, $3)";

/// The note of a change, of `changed (conversation_id, id, seq, revision)`.
macro_rules! noted {
    ($kind:literal, $actor:literal, $at:literal) => {
        concat!(
            "noted AS (
                INSERT INTO changes (conversation_id, kind, message_id, seq, user_id, at, revision)
                SELECT conversation_id, ",
            $kind,
            ", id, seq, ",
            $actor,
            ", ",
            $at,
            ", revision FROM changed
            ) "
        )
    };
}

const EDIT: &str = concat!(
    "WITH former AS (
        INSERT INTO message_versions (message_id, version, content, written_at)
        SELECT m.id, m.version, m.content, coalesce(m.edited_at, m.created_at) FROM messages m WHERE m.id = $1
    ), changed AS (
        UPDATE messages SET content = $2, version = version + 1, edited_at = $3,
            revision = next_revision(conversation_id)
        WHERE id = $1 RETURNING conversation_id, id, seq, revision
    ), ",
    noted!("'message.updated'", "$4", "$3"),
    "SELECT revision FROM changed"
);

// The message is held: nobody else flags it meanwhile.
const FLAG: &str = "
    INSERT INTO message_reports (id, kind, conversation_id, message_id, sender_id, findings, created_at, updated_at)
    SELECT $1, 'flag', m.conversation_id, m.id, m.sender_id, $3, $4, $4 FROM messages m
    WHERE m.id = $2 AND NOT EXISTS (
        SELECT 1 FROM message_reports r
        WHERE r.message_id = m.id AND r.kind = 'flag' AND r.status = 'open' AND r.findings = $3)";

const DELETE: &str = concat!(
    "WITH changed AS (
        UPDATE messages m SET deleted_at = $2, deleted_by = $3, revision = next_revision(m.conversation_id),
            purge_at = CASE WHEN ",
    is_care!(),
    " THEN NULL ELSE $4 END
        FROM conversations c WHERE c.id = m.conversation_id AND m.id = $1 AND m.deleted_at IS NULL
        RETURNING m.conversation_id, m.id, m.seq, m.revision
    ), ",
    noted!("'message.deleted'", "$3", "$2"),
    "SELECT revision FROM changed"
);

const CORRECT: &str = concat!(
    "WITH changed AS (
        UPDATE messages m SET corrected_by = $2, correction_reason = $3, revision = next_revision(m.conversation_id)
        WHERE m.id = $1 AND m.corrected_by IS NULL AND m.deleted_at IS NULL AND coalesce(m.expires_at > $4, true)
          AND m.sender_id = $5 AND m.conversation_id = $6
        RETURNING m.conversation_id, m.id, m.seq, m.revision
    ), ",
    noted!("'message.corrected'", "$5", "$4"),
    "SELECT revision FROM changed"
);

const SET_REACTION: &str = concat!(
    "WITH used AS (
        SELECT count(DISTINCT r.emoji) FILTER (WHERE r.emoji <> $2) AS others FROM reactions r WHERE r.message_id = $1
    ), added AS (
        INSERT INTO reactions (message_id, emoji, user_id, reacted_at)
        SELECT $1, $2, $3, $4 FROM used WHERE others < $5
        ON CONFLICT DO NOTHING RETURNING 1
    ), changed AS (
        UPDATE messages SET revision = next_revision(conversation_id) FROM added WHERE id = $1
        RETURNING conversation_id, id, seq, revision
    ), ",
    noted!("'message.reacted'", "$3", "$4"),
    "SELECT others < $5 AS fits, (SELECT revision FROM changed) AS revision FROM used"
);

const CLEAR_REACTION: &str = concat!(
    "WITH removed AS (
        DELETE FROM reactions WHERE message_id = $1 AND emoji = $2 AND user_id = $3 RETURNING 1
    ), changed AS (
        UPDATE messages SET revision = next_revision(conversation_id) FROM removed WHERE id = $1
        RETURNING conversation_id, id, seq, revision
    ), ",
    noted!("'message.reacted'", "$3", "$4"),
    "SELECT true AS fits, (SELECT revision FROM changed) AS revision"
);

const WORDINGS: &str = "
    SELECT v.version, v.content, v.written_at, NULL::bytea AS reason FROM message_versions v WHERE v.message_id = $1
    UNION ALL
    SELECT 0, NULL, NULL, m.correction_reason FROM messages m WHERE m.id = $1 AND m.correction_reason IS NOT NULL
    ORDER BY 1";

const RECEIPTS: &str = concat!(
    "SELECT p.user_id, d.moved_at AS delivered_at, r.moved_at AS read_at
    FROM messages m
    JOIN conversations c ON c.id = m.conversation_id
    CROSS JOIN LATERAL (SELECT ",
    blocked!(),
    " AS yes) blocked
    JOIN participants p ON p.conversation_id = c.id AND p.left_seq IS NULL AND p.joined_seq <= m.seq
        AND p.user_id <> m.sender_id AND (p.user_id = $1 OR NOT blocked.yes)
    LEFT JOIN LATERAL (
        SELECT v.moved_at FROM mark_moves v
        WHERE v.conversation_id = c.id AND v.user_id = p.user_id AND v.mark = 'read' AND v.up_to >= m.seq
          AND (p.user_id = $1 OR c.settings ->> 'read_receipts' IS DISTINCT FROM 'false')
        ORDER BY v.up_to LIMIT 1
    ) r ON true
    LEFT JOIN LATERAL (
        -- What was read had been delivered, even if nothing said so before.
        SELECT min(v.moved_at) AS moved_at FROM (
            (SELECT v.moved_at FROM mark_moves v
             WHERE v.conversation_id = c.id AND v.user_id = p.user_id AND v.mark = 'delivered' AND v.up_to >= m.seq
             ORDER BY v.up_to LIMIT 1)
            UNION ALL
            (SELECT v.moved_at FROM mark_moves v
             WHERE v.conversation_id = c.id AND v.user_id = p.user_id AND v.mark = 'read' AND v.up_to >= m.seq
             ORDER BY v.up_to LIMIT 1)
        ) v
    ) d ON true
    WHERE m.id = $2 AND ($3::uuid IS NULL OR p.user_id > $3)
    ORDER BY p.user_id LIMIT $4"
);

const NEWEST_OF_EACH: &str = "
    SELECT DISTINCT ON (m.conversation_id) m.conversation_id, m.id
    FROM messages m
    JOIN participants me ON me.conversation_id = m.conversation_id AND me.user_id = $1
        AND me.left_seq IS NULL AND me.joined_seq <= m.seq
    WHERE m.id = ANY ($2)
    ORDER BY m.conversation_id, m.seq DESC";

// Conversations come before messages, in the order of their ids, as wherever something is numbered.
const HOLD_EXPIRING: &str = "
    SELECT c.id FROM conversations c
    WHERE c.id IN (
        SELECT m.conversation_id FROM messages m WHERE m.expires_at <= $1 AND m.deleted_at IS NULL
        ORDER BY m.expires_at LIMIT $2)
    ORDER BY c.id FOR NO KEY UPDATE";

// A message expires once, so its event can bear its id.
const EXPIRE: &str = concat!(
    "WITH due AS (
        SELECT m.id FROM messages m
        WHERE m.expires_at <= $1 AND m.deleted_at IS NULL AND m.conversation_id = ANY ($5)
        ORDER BY m.expires_at LIMIT $3 FOR NO KEY UPDATE
    ), changed AS (
        UPDATE messages m SET deleted_at = m.expires_at, revision = next_revision(m.conversation_id),
            purge_at = CASE WHEN ",
    is_care!(),
    " THEN NULL ELSE $2 END
        FROM due, conversations c WHERE m.id = due.id AND c.id = m.conversation_id
        RETURNING m.conversation_id, m.id, m.seq, m.revision
    ), ",
    noted!("'message.deleted'", "NULL", "$1"),
    ", published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at)
        SELECT n.id, $4, jsonb_build_object('conversation_id', n.conversation_id, 'message_id', n.id,
            'deleted_by', NULL), $1, $1
        FROM changed n
    )
    SELECT conversation_id, id, revision FROM changed"
);

// One row without a message stands for an empty page; no row at all for no access. $3: after, $4: up to, $5: window.
const REVISED: &str = concat!(
    "SELECT c.last_revision, m.*
    FROM participants p
    JOIN conversations c ON c.id = p.conversation_id
    LEFT JOIN LATERAL (
        SELECT ",
    message_columns!(),
    " FROM messages m
        WHERE m.conversation_id = c.id AND m.revision > 0 AND m.revision > $3 AND m.revision <= $3 + $5
          AND m.seq >= p.joined_seq AND m.seq <= $4
        ORDER BY m.revision LIMIT $6
    ) m ON true
    WHERE p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL
    ORDER BY m.revision"
);

// Words of a record stay, even if the conversation became one after they were taken back.
const PURGE: &str = concat!(
    "WITH due AS (
        SELECT m.id, ",
    is_care!(),
    " AS is_care FROM messages m JOIN conversations c ON c.id = m.conversation_id
        WHERE m.purge_at <= $1 ORDER BY m.purge_at LIMIT $2 FOR NO KEY UPDATE OF m SKIP LOCKED
    ), reactions_gone AS (
        DELETE FROM reactions r USING due WHERE r.message_id = due.id AND NOT due.is_care
    ), versions_gone AS (
        DELETE FROM message_versions v USING due WHERE v.message_id = due.id AND NOT due.is_care
    )
    UPDATE messages m SET purge_at = NULL,
        content = CASE WHEN due.is_care THEN m.content END,
        correction_reason = CASE WHEN due.is_care THEN m.correction_reason END
    FROM due WHERE m.id = due.id"
);

#[derive(QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = Bool)]
    moderates: bool,
    #[diesel(sql_type = Bool)]
    is_open: bool,
    #[diesel(sql_type = Bool)]
    is_blocked: bool,
    #[diesel(embed)]
    message: MessageRow,
}

#[derive(QueryableByName)]
struct CurrentRow {
    #[diesel(sql_type = BigInt)]
    members_version: i64,
    #[diesel(embed)]
    marks: MarksRow,
    #[diesel(embed)]
    message: MessageRow,
}

#[derive(QueryableByName)]
struct AftermathRow {
    #[diesel(sql_type = SmallInt)]
    what: i16,
    /// Of readers, their conversation.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    message_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    user_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    emoji: Option<String>,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    joined: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = Bool)]
    is_gone: bool,
    #[diesel(sql_type = Bool)]
    corrected: bool,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    outcome: String,
}

#[derive(QueryableByName)]
struct Done {
    #[diesel(sql_type = Bool)]
    fits: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    revision: Option<i64>,
}

/// The number of a change.
#[derive(QueryableByName)]
struct Numbered {
    #[diesel(sql_type = BigInt)]
    revision: i64,
}

#[derive(QueryableByName)]
struct ExpiredRow {
    #[diesel(embed)]
    place: Place,
    #[diesel(embed)]
    change: Numbered,
}

#[derive(QueryableByName)]
struct RevisedRow {
    #[diesel(sql_type = BigInt)]
    last_revision: i64,
    #[diesel(embed)]
    message: MessageRow,
}

#[derive(QueryableByName)]
struct WordingRow {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Nullable<Bytea>)]
    content: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    written_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    reason: Option<Vec<u8>>,
}

#[derive(QueryableByName)]
struct ReceiptRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    delivered_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    read_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Leaves a transaction: what was refused, or the database itself.
enum Stop {
    Refused(Error),
    Failed(diesel::result::Error),
}

impl From<diesel::result::Error> for Stop {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => error,
            Stop::Failed(error) => unavailable(error),
        }
    }
}

/// Locks a message for a change by someone who may change it.
async fn hold(
    connection: &mut AsyncPgConnection,
    message: MessageId,
    actor: UserId,
    now: DateTime<Utc>,
) -> Result<Held, Stop> {
    let query = diesel::sql_query(HOLD)
        .bind::<SqlUuid, _>(message.uuid())
        .bind::<SqlUuid, _>(actor.uuid())
        .bind::<Timestamptz, _>(now);
    let held: Vec<Held> = prepared(query).load(connection).await?;
    let held = held.into_iter().next().ok_or(Error::NotFound)?;
    match held.outcome.as_str() {
        "closed" => Err(Error::Closed.into()),
        "blocked" => Err(Error::Blocked.into()),
        _ => Ok(held),
    }
}

/// Since when each reader is there, and how far they had read when.
type Readers = HashMap<UserId, (i64, Vec<(i64, DateTime<Utc>)>)>;

/// Sorts what was found by message.
fn gather(rows: Vec<AftermathRow>, messages: &[Spot]) -> HashMap<MessageId, Aftermath> {
    let mut found: HashMap<MessageId, Aftermath> = HashMap::new();
    let mut moves: HashMap<ConversationId, Readers> = HashMap::new();
    for row in rows {
        let Some(at) = row.at else { continue };
        let user = row.user_id.map(UserId::from);
        match (row.what, row.message_id.map(MessageId::from), user, row.emoji) {
            (3, Some(place), Some(user), _) => {
                let readers = moves.entry(place.uuid().into()).or_default();
                readers.entry(user).or_insert((row.joined, Vec::new())).1.push((row.number, at));
            }
            (1, Some(message), ..) => {
                let version = u32::try_from(row.number).unwrap_or_default();
                found.entry(message).or_default().rewordings.push(Rewording { version, edited_at: at });
            }
            (2, Some(message), Some(user), Some(emoji)) => {
                let reactions = &mut found.entry(message).or_default().reactions;
                match reactions.iter_mut().find(|reacted| reacted.emoji == emoji) {
                    Some(reacted) => reacted.people.push((user, at)),
                    None => reactions.push(Reacted { emoji, count: row.number, people: vec![(user, at)] }),
                }
            }
            _ => {}
        }
    }
    for (_, moves) in moves.values_mut().flat_map(HashMap::values_mut) {
        moves.sort_unstable();
    }
    for Spot { conversation_id, message_id, seq, sender_id } in messages {
        let readers =
            moves.get(conversation_id).into_iter().flatten().filter_map(|(user, (joined, moves))| {
                let meant = joined <= seq && user != sender_id;
                let at = moves.get(moves.partition_point(|(up_to, _)| up_to < seq)).map(|(_, at)| *at);
                at.filter(|_| meant).map(|at| (*user, at))
            });
        let mut read_by: Vec<_> = readers.collect();
        if !read_by.is_empty() {
            read_by.sort_unstable_by_key(|(user, at)| (*at, *user));
            found.entry(*message_id).or_default().read_by = read_by;
        }
    }
    for aftermath in found.values_mut() {
        aftermath.rewordings.sort_unstable_by_key(|rewording| rewording.version);
        for reacted in &mut aftermath.reactions {
            reacted.people.sort_unstable_by_key(|(user, at)| (*at, *user));
        }
        aftermath.reactions.sort_by(|a, b| {
            let first = |reacted: &Reacted| reacted.people.as_slice().first().map(|(_, at)| *at);
            first(a).cmp(&first(b)).then_with(|| a.emoji.cmp(&b.emoji))
        });
    }
    found
}

/// What has gathered around messages.
pub(crate) struct Aftermaths;

impl Statement for Aftermaths {
    type Question = Vec<Spot>;
    type Answer = HashMap<MessageId, Aftermath>;
    const MOST: usize = 50;

    async fn answer(
        connection: &mut AsyncPgConnection,
        questions: &[Vec<Spot>],
    ) -> Result<Vec<Self::Answer>, BoxError> {
        let spots = questions.concat();
        let ids: Vec<Uuid> = spots.iter().map(|spot| spot.message_id.uuid()).collect();
        let (conversations, (firsts, lasts)): (Vec<_>, (Vec<_>, Vec<_>)) =
            stretches(questions).into_iter().map(|(id, first, last)| (id, (first, last))).unzip();
        let query = diesel::sql_query(AFTERMATH)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<SqlUuid>, _>(conversations)
            .bind::<Array<BigInt>, _>(firsts)
            .bind::<Array<BigInt>, _>(lasts)
            .bind::<BigInt, _>(NAMED_REACTORS)
            .bind::<BigInt, _>(NAMED_READERS);
        let found = gather(prepared(query).load(connection).await?, &spots);
        let of = |spot: &Spot| Some((spot.message_id, found.get(&spot.message_id)?.clone()));
        Ok(questions.iter().map(|spots| spots.iter().filter_map(of).collect()).collect())
    }
}

/// The stretches of logs that `questions` are about: of those that overlap one, as many ask about the same, and apart what
/// lies apart.
fn stretches(questions: &[Vec<Spot>]) -> Vec<(Uuid, i64, i64)> {
    let mut all = Vec::new();
    for spots in questions {
        let mut of_one: HashMap<Uuid, (i64, i64)> = HashMap::new();
        for Spot { conversation_id, seq, .. } in spots {
            let (first, last) = of_one.entry(conversation_id.uuid()).or_insert((*seq, *seq));
            (*first, *last) = ((*first).min(*seq), (*last).max(*seq));
        }
        all.extend(of_one.into_iter().map(|(id, (first, last))| (id, first, last)));
    }
    all.sort_unstable();
    all.dedup_by(|(id, first, last), before| {
        let overlaps = *id == before.0 && *first <= before.2;
        if overlaps {
            before.2 = before.2.max(*last);
        }
        overlaps
    });
    all
}

/// These messages as everyone may see them.
pub(super) async fn currents(database: &Database, messages: &[MessageId]) -> Result<Vec<Current>, Error> {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.uuid()).collect();
    let query = diesel::sql_query(CURRENT).bind::<Array<SqlUuid>, _>(ids);
    let mut connection = database.connection().await.map_err(unavailable)?;
    let rows: Vec<CurrentRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
    let restore = |CurrentRow { members_version, marks, message }| {
        let message = message.restore()?;
        Some(message.map(|message| Current { message, marks: marks.restore(), members_version }))
    };
    rows.into_iter().filter_map(restore).collect()
}

#[async_trait]
impl MessageChanges for Database {
    async fn find(
        &self,
        viewer: UserId,
        message: MessageId,
        now: DateTime<Utc>,
    ) -> Result<Option<Found>, Error> {
        let query = diesel::sql_query(FIND)
            .bind::<SqlUuid, _>(message.uuid())
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<FoundRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let Some(FoundRow { moderates, is_open, is_blocked, message }) = rows.into_iter().next() else {
            return Ok(None);
        };
        let standing = Standing { moderates, is_open, is_blocked };
        Ok(message.restore().transpose()?.map(|message| Found { message, standing }))
    }

    async fn current(&self, message: MessageId) -> Result<Option<Current>, Error> {
        Ok(currents(self, &[message]).await?.pop())
    }

    async fn aftermath(&self, messages: &[Spot]) -> Result<HashMap<MessageId, Aftermath>, Error> {
        if messages.is_empty() {
            return Ok(HashMap::new());
        }
        self.queues.aftermaths.ask(self.apart(), messages.to_vec()).await.map_err(unavailable)
    }

    async fn edit(&self, edit: &Edit, effects: &Effects) -> Result<i64, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let revision = connection
            .transaction(async |connection| {
                let held = hold(connection, edit.message_id, edit.actor, edit.at).await?;
                if held.is_gone || held.corrected || u32::try_from(held.version) != Ok(edit.replaces) {
                    return Err(Stop::Refused(Error::Stale));
                }
                let query = diesel::sql_query(EDIT)
                    .bind::<SqlUuid, _>(edit.message_id.uuid())
                    .bind::<Bytea, _>(edit.content.as_bytes())
                    .bind::<Timestamptz, _>(edit.at)
                    .bind::<SqlUuid, _>(edit.actor.uuid());
                let Numbered { revision } = prepared(query).get_result(connection).await?;
                if let Some(flag) = &edit.flag {
                    let query = diesel::sql_query(FLAG)
                        .bind::<SqlUuid, _>(flag.id.uuid())
                        .bind::<SqlUuid, _>(edit.message_id.uuid())
                        .bind::<Jsonb, _>(findings(flag))
                        .bind::<Timestamptz, _>(edit.at);
                    prepared(query).execute(connection).await?;
                }
                effects::store(connection, effects).await?;
                Ok(revision)
            })
            .await?;
        self.ring();
        Ok(revision)
    }

    async fn delete(&self, deletion: &Deletion, effects: &Effects) -> Result<Option<i64>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let deleted = connection
            .transaction(async |connection| {
                let held = hold(connection, deletion.message_id, deletion.actor, deletion.at).await?;
                if held.is_gone {
                    return Ok::<_, Stop>(None);
                }
                let query = diesel::sql_query(DELETE)
                    .bind::<SqlUuid, _>(deletion.message_id.uuid())
                    .bind::<Timestamptz, _>(deletion.at)
                    .bind::<SqlUuid, _>(deletion.actor.uuid())
                    .bind::<Timestamptz, _>(deletion.purge_at);
                let Numbered { revision } = prepared(query).get_result(connection).await?;
                effects::store(connection, effects).await?;
                Ok(Some(revision))
            })
            .await?;
        self.ring();
        Ok(deleted)
    }

    async fn correct(&self, correction: Correction) -> Result<(Appended, Option<i64>), Error> {
        let Correction { entry, reason, effects } = correction;
        let Some(corrected) = entry.corrects else { return Err(Error::NotFound) };
        let mut connection = self.connection().await.map_err(unavailable)?;
        let (outcome, earlier, revision) = connection
            .transaction(async |connection| {
                let outcome = offer(connection, &[&entry]).await?.into_iter().next();
                let outcome = outcome.ok_or_else(|| unavailable("the outcome is unknown"))?;
                if outcome.outcome != "stored" {
                    let repeats = outcome.outcome == "repeat";
                    let earlier = repeats.then_some(outcome.message_id);
                    return Ok::<_, Stop>((outcome, earlier, None));
                }
                let query = diesel::sql_query(CORRECT)
                    .bind::<SqlUuid, _>(corrected.uuid())
                    .bind::<SqlUuid, _>(entry.id.uuid())
                    .bind::<Nullable<Bytea>, _>(reason.as_ref().map(Sealed::as_bytes))
                    .bind::<Timestamptz, _>(entry.created_at)
                    .bind::<SqlUuid, _>(entry.sender_id.uuid())
                    .bind::<SqlUuid, _>(entry.conversation_id.uuid());
                let numbered: Vec<Numbered> = prepared(query).load(connection).await?;
                // Nothing of the new message stays, its number neither.
                let Numbered { revision } = numbered.into_iter().next().ok_or(Error::Stale)?;
                effects::store(connection, &effects).await?;
                Ok((outcome, None, Some(revision)))
            })
            .await?;
        drop(connection);
        self.ring();
        let earlier = match earlier {
            Some(id) => self.messages_by_ids(vec![id]).await?.into_iter().map(|m| (m.id.uuid(), m)).collect(),
            None => HashMap::new(),
        };
        let appended = outcome.appended(&earlier).ok_or_else(|| unavailable("the outcome is unknown"))?;
        Ok((appended, revision))
    }

    async fn react(&self, react: &React) -> Result<Option<i64>, Error> {
        let React { message_id, actor, emoji, is_set, at } = *react;
        let mut connection = self.connection().await.map_err(unavailable)?;
        let done = connection
            .transaction(async |connection| {
                if hold(connection, message_id, actor, at).await?.is_gone {
                    return Err(Stop::Refused(Error::Gone));
                }
                let query = diesel::sql_query(if is_set { SET_REACTION } else { CLEAR_REACTION })
                    .bind::<SqlUuid, _>(message_id.uuid())
                    .bind::<Text, _>(emoji.as_str())
                    .bind::<SqlUuid, _>(actor.uuid())
                    .bind::<Timestamptz, _>(at);
                let done: Done = if is_set {
                    prepared(query.bind::<BigInt, _>(MAX_EMOJI)).get_result(connection).await?
                } else {
                    prepared(query).get_result(connection).await?
                };
                if done.fits { Ok(done.revision) } else { Err(Error::TooManyReactions.into()) }
            })
            .await?;
        Ok(done)
    }

    async fn revised(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        query: &RevisedQuery,
    ) -> Result<Option<RevisedPage>, Error> {
        let sql = diesel::sql_query(REVISED)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<BigInt, _>(query.after)
            .bind::<BigInt, _>(query.up_to_seq)
            .bind::<BigInt, _>(WINDOW)
            .bind::<BigInt, _>(query.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<RevisedRow> = prepared(sql).load(&mut connection).await.map_err(unavailable)?;
        let Some(RevisedRow { last_revision, .. }) = rows.as_slice().first() else { return Ok(None) };
        let last_revision = *last_revision;
        let found = rows.into_iter().filter_map(|row| row.message.restore()).collect::<Result<_, _>>()?;
        let (messages, more): (Vec<StoredMessage>, _) = query.size.cut(found);
        let looked_at = last_revision.min(query.after + WINDOW);
        let reached = messages.last().filter(|_| more).map_or(looked_at, |last| last.revision);
        Ok(Some(RevisedPage { messages, reached, last_revision }))
    }

    async fn wordings(&self, message: MessageId) -> Result<StoredWordings, Error> {
        let query = diesel::sql_query(WORDINGS).bind::<SqlUuid, _>(message.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<WordingRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let mut wordings = StoredWordings::default();
        for row in rows {
            if let Some(reason) = row.reason {
                wordings.correction_reason = Some(Sealed::from_bytes(reason));
            }
            if let (Ok(version), Some(content), Some(written_at)) =
                (u32::try_from(row.version), row.content, row.written_at)
            {
                let content = Sealed::from_bytes(content);
                wordings.former.push(StoredWording { version, content, written_at });
            }
        }
        Ok(wordings)
    }

    async fn receipts(
        &self,
        viewer: UserId,
        message: MessageId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<Receipt>, Error> {
        let query = diesel::sql_query(RECEIPTS)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<SqlUuid, _>(message.uuid())
            .bind::<Nullable<SqlUuid>, _>(after.map(UserId::uuid))
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ReceiptRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let receipt = |row: ReceiptRow| Receipt {
            user_id: row.user_id.into(),
            delivered_at: row.delivered_at,
            read_at: row.read_at,
        };
        Ok(rows.into_iter().map(receipt).collect())
    }

    async fn newest_of_each(
        &self,
        viewer: UserId,
        messages: &[MessageId],
    ) -> Result<Vec<(ConversationId, MessageId)>, Error> {
        let ids: Vec<Uuid> = messages.iter().map(|id| id.uuid()).collect();
        let query = diesel::sql_query(NEWEST_OF_EACH)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Place> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| (row.conversation_id.into(), row.id.into())).collect())
    }

    async fn expire(
        &self,
        now: DateTime<Utc>,
        purge_at: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Expired>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Result<Vec<ExpiredRow>, diesel::result::Error> = connection
            .transaction(async |connection| {
                let hold =
                    diesel::sql_query(HOLD_EXPIRING).bind::<Timestamptz, _>(now).bind::<BigInt, _>(limit);
                let held: Vec<Id> = prepared(hold).load(connection).await?;
                let conversations: Vec<Uuid> = held.into_iter().map(|held| held.id).collect();
                if conversations.is_empty() {
                    return Ok(Vec::new());
                }
                let query = diesel::sql_query(EXPIRE)
                    .bind::<Timestamptz, _>(now)
                    .bind::<Timestamptz, _>(purge_at)
                    .bind::<BigInt, _>(limit)
                    .bind::<Text, _>(MessageDeleted::KIND)
                    .bind::<Array<SqlUuid>, _>(conversations);
                prepared(query).load(connection).await
            })
            .await;
        let rows = rows.map_err(unavailable)?;
        if !rows.is_empty() {
            self.ring();
        }
        let expired = rows.into_iter().map(|ExpiredRow { place, change }| Expired {
            conversation_id: place.conversation_id.into(),
            message_id: place.id.into(),
            revision: change.revision,
        });
        Ok(expired.collect())
    }

    async fn purge(&self, now: DateTime<Utc>, limit: i64) -> Result<usize, Error> {
        let query = diesel::sql_query(PURGE).bind::<Timestamptz, _>(now).bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_overlap_are_read_once_and_others_apart() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let spots = |conversation: Uuid, seqs: &[i64]| -> Vec<Spot> {
            let spot = |seq: &i64| Spot {
                conversation_id: conversation.into(),
                message_id: Uuid::from_u128(9).into(),
                seq: *seq,
                sender_id: Uuid::from_u128(8).into(),
            };
            seqs.iter().map(spot).collect()
        };
        let mixed = [spots(one, &[900_000]), spots(other, &[4])].concat();
        let questions = [spots(one, &[3, 1, 2]), mixed, spots(one, &[3, 7]), Vec::new()];
        assert_eq!(stretches(&questions), [(one, 1, 7), (one, 900_000, 900_000), (other, 4, 4)]);
    }
}
