//! `messages::SearchIndex`.

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};

use alivio_messages::{AskedToken, Error, IndexEntry, IndexFilter, SearchIndex, StoredMessage};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::{MessageRow, unavailable};
use crate::Database;
use crate::sql::{Id, prepared};

const SEARCHABLE: &str = "
    SELECT c.id FROM participants p JOIN conversations c ON c.id = p.conversation_id
    WHERE p.user_id = $1 AND p.left_seq IS NULL AND ($2::uuid[] = '{}' OR c.id = ANY ($2))
    ORDER BY c.updated_at DESC, c.id DESC LIMIT $3";

/// So many matches are sorted without a thought; of more, the newest are looked for where the newest are.
const MANY: i64 = 2_000;
/// How many messages are looked at for each one that is wanted, if matches are many.
const WALK_PER_WANTED: i64 = 25;
/// The least and the most messages that are looked at so.
const WALK: std::ops::RangeInclusive<i64> = 2_400..=8_000;

// Traps of the planner: with many tokens at once it scans the table, so that each conversation is looked up by itself,
// and before anything else is asked (MATERIALIZED, OFFSET 0). The index reads both lists at once; an empty one costs it
// nothing.
const MATCHES: &str = "
    WITH asked AS MATERIALIZED (
        SELECT a.conversation_id, a.all_of::bigint[] AS all_of, a.one_of::bigint[] AS one_of, a.others, me.joined_seq
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) AS a (conversation_id, all_of, one_of, others)
        JOIN participants me ON me.conversation_id = a.conversation_id AND me.user_id = $1 AND me.left_seq IS NULL
    )
    SELECT t.message_id AS id
    FROM asked a
    CROSS JOIN LATERAL (
        SELECT t.message_id, t.conversation_id, t.seq, t.tokens FROM message_tokens t
        WHERE t.tokens @> a.all_of AND t.tokens && a.one_of OFFSET 0
    ) t
    WHERE t.conversation_id = a.conversation_id AND t.seq >= a.joined_seq AND NOT EXISTS (
        SELECT FROM unnest(string_to_array(a.others, ';')) AS word WHERE NOT t.tokens && word::bigint[]
    )
    LIMIT $6";

/// What else a message must be, by the parameters that [`filtered`] binds.
macro_rules! filters {
    () => {
        "m.deleted_at IS NULL AND m.content IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > $1)
        AND ($2::text[] = '{}' OR m.message_type = ANY ($2))
        AND ($3::uuid IS NULL OR m.sender_id = $3)
        AND ($4::timestamptz IS NULL OR m.created_at >= $4)"
    };
}

/// Where of the log it must be, by the parameters that [`filtered`] binds.
macro_rules! stretch {
    () => {
        "($5::timestamptz IS NULL OR m.created_at < $5)
        AND ($6::bigint IS NULL OR m.seq < $6)
        AND ($7::timestamptz IS NULL OR (m.created_at, m.id) < ($7, $8::uuid))"
    };
}

const PICK: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages m WHERE m.id = ANY ($10) AND ",
    filters!(),
    " AND ",
    stretch!(),
    " ORDER BY m.created_at DESC, m.id DESC LIMIT $9"
);

// The newest of each log. Nothing that was not looked at is newer than the edge: the oldest that was, of the log of which
// least was.
const NEWEST: &str = concat!(
    "WITH walked AS MATERIALIZED (
        SELECT m.id, m.created_at, m.conversation_id, a.words
        FROM unnest($11::uuid[], $12::text[]) AS a (conversation_id, words)
        JOIN participants me ON me.conversation_id = a.conversation_id AND me.user_id = $10 AND me.left_seq IS NULL
        CROSS JOIN LATERAL (
            SELECT m.id, m.created_at, m.conversation_id FROM messages m
            WHERE m.conversation_id = a.conversation_id AND m.seq >= me.joined_seq AND ",
    stretch!(),
    "       ORDER BY m.seq DESC LIMIT $13
        ) m
    ), edge AS MATERIALIZED (
        SELECT max(log.oldest) AS at FROM (
            SELECT min(w.created_at) AS oldest FROM walked w GROUP BY w.conversation_id HAVING count(*) = $13
        ) log
    ), hits AS MATERIALIZED (
        SELECT w.id FROM walked w
        CROSS JOIN LATERAL (SELECT t.tokens FROM message_tokens t WHERE t.message_id = w.id OFFSET 0) t
        WHERE NOT EXISTS (
            SELECT FROM unnest(string_to_array(w.words, ';')) AS word WHERE NOT t.tokens && word::bigint[]
        )
    )
    SELECT (SELECT at FROM edge) AS edge, ",
    message_columns!(),
    " FROM hits h JOIN messages m ON m.id = h.id WHERE ",
    filters!(),
    " ORDER BY m.created_at DESC, m.id DESC LIMIT $9"
);

const TO_INDEX: &str = concat!("SELECT ", message_columns!(), " FROM messages m WHERE m.id = ANY ($1)");

/// So many messages are looked at by one query: where all are in the index, one query for all would never come back.
const STRETCH: i64 = 20_000;
const END_OF_STRETCH: &str = "SELECT m.id FROM messages m WHERE m.id > $1 ORDER BY m.id OFFSET $2 LIMIT 1";

// Asked of each by itself (OFFSET 0) and with an end that is always there, this is one short walk: joined,
// PostgreSQL would read the whole index anew for each batch.
const NOT_INDEXED: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages m
    WHERE m.id > $2 AND m.id <= coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND m.deleted_at IS NULL AND m.content IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > $3)
      AND NOT EXISTS (
          SELECT FROM message_tokens t
          WHERE t.message_id = m.id AND t.index_version = $1 AND t.version = m.version OFFSET 0
      )
    ORDER BY m.id LIMIT $4"
);

// Whoever takes the message back waits for this, and takes it out of the index afterwards.
const PUT: &str = "
    WITH entries AS (
        SELECT * FROM unnest($2::uuid[], $3::integer[], $4::text[]) AS e (message_id, version, tokens)
    ), present AS (
        SELECT m.id, m.conversation_id, m.seq, m.version, e.tokens
        FROM entries e JOIN messages m ON m.id = e.message_id AND m.version = e.version
        WHERE m.deleted_at IS NULL AND m.content IS NOT NULL
        ORDER BY m.id FOR SHARE OF m
    )
    INSERT INTO message_tokens (message_id, conversation_id, seq, version, index_version, tokens)
    SELECT p.id, p.conversation_id, p.seq, p.version, $1, p.tokens::bigint[]
    FROM present p
    WHERE NOT EXISTS (
        SELECT FROM data_keys k
        WHERE k.scope_kind = 'conversation' AND k.scope_id = p.conversation_id AND k.state = 'destroyed'
    )
    ON CONFLICT (message_id) DO UPDATE
        SET version = excluded.version, index_version = excluded.index_version, tokens = excluded.tokens
        WHERE message_tokens.version <= excluded.version";

const REMOVE: &str = "DELETE FROM message_tokens WHERE message_id = ANY ($1)";
const REMOVE_ALL: &str = "DELETE FROM message_tokens WHERE conversation_id = $1";

/// What is asked of one conversation: for each word, the tokens of which one must be there.
struct AskedHere {
    conversation: Uuid,
    words: Vec<Vec<i64>>,
}

/// What is asked, conversation by conversation.
struct Asked(Vec<AskedHere>);

#[derive(QueryableByName)]
struct Newest {
    #[diesel(embed)]
    message: MessageRow,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    edge: Option<DateTime<Utc>>,
}

impl Asked {
    fn of(tokens: &[AskedToken]) -> Self {
        let conversations = tokens.chunk_by(|one, other| one.conversation_id == other.conversation_id);
        let words = |here: &[AskedToken]| {
            let words = here.chunk_by(|one, other| one.word == other.word);
            words.map(|word| word.iter().map(|asked| asked.token).collect()).collect()
        };
        let here = conversations.filter_map(|here| {
            Some(AskedHere { conversation: here.first()?.conversation_id.uuid(), words: words(here) })
        });
        Self(here.collect())
    }

    /// Messages in which all words may be, in no order.
    async fn matches(
        &self,
        connection: &mut AsyncPgConnection,
        viewer: UserId,
        limit: Option<i64>,
    ) -> Result<Vec<Uuid>, diesel::result::Error> {
        let (mut places, mut all_of, mut one_of, mut others) = (vec![], vec![], vec![], vec![]);
        for here in &self.0 {
            let Some((first, rest)) = here.words.split_first() else { continue };
            let (single, several): (Vec<_>, Vec<_>) = rest.iter().partition(|word| word.len() == 1);
            places.push(here.conversation);
            all_of.push(literal(&single.into_iter().flatten().copied().collect::<Vec<_>>()));
            one_of.push(literal(first));
            others.push(literals(several.into_iter()));
        }
        let query = diesel::sql_query(MATCHES)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Array<SqlUuid>, _>(places)
            .bind::<Array<Text>, _>(all_of)
            .bind::<Array<Text>, _>(one_of)
            .bind::<Array<Text>, _>(others)
            .bind::<Nullable<BigInt>, _>(limit);
        let rows: Vec<Id> = prepared(query).load(connection).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// The newest matches, if they are among the newest messages.
    async fn newest(
        &self,
        connection: &mut AsyncPgConnection,
        viewer: UserId,
        filter: &IndexFilter,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Option<Vec<MessageRow>>, diesel::result::Error> {
        let walk = (limit * WALK_PER_WANTED).clamp(*WALK.start(), *WALK.end());
        let each = walk / i64::try_from(self.0.len()).unwrap_or(walk).max(1) + 1;
        let words = self.0.iter().map(|here| literals(here.words.iter()));
        let query = filtered(NEWEST, filter, now, limit)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Array<SqlUuid>, _>(self.0.iter().map(|here| here.conversation).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(words.collect::<Vec<_>>())
            .bind::<BigInt, _>(each);
        let rows: Vec<Newest> = prepared(query).load(connection).await?;
        let whole = i64::try_from(rows.len()).is_ok_and(|found| found == limit);
        let last = rows.last().map(|row| (row.message.created_at, row.edge));
        let newest = last.is_some_and(|(at, edge)| edge.is_none_or(|_| whole && at > edge));
        Ok(newest.then(|| rows.into_iter().map(|row| row.message).collect()))
    }
}

/// An array in PostgreSQL's words: its arrays hold no arrays of different lengths.
fn literal(tokens: &[i64]) -> String {
    let tokens: Vec<_> = tokens.iter().map(i64::to_string).collect();
    format!("{{{}}}", tokens.join(","))
}

/// `sql` with the parameters of [`filters`] and [`stretch`], and how many it may find.
fn filtered<'a>(
    sql: &'static str,
    filter: &'a IndexFilter,
    now: DateTime<Utc>,
    limit: i64,
) -> BoxedSqlQuery<'a, Pg, SqlQuery> {
    let types: Vec<&str> = filter.message_types.iter().map(|kind| kind.as_str()).collect();
    diesel::sql_query(sql)
        .into_boxed()
        .bind::<Timestamptz, _>(now)
        .bind::<Array<Text>, _>(types)
        .bind::<Nullable<SqlUuid>, _>(filter.from_user.map(|user| user.uuid()))
        .bind::<Nullable<Timestamptz>, _>(filter.from)
        .bind::<Nullable<Timestamptz>, _>(filter.until)
        .bind::<Nullable<BigInt>, _>(filter.before_seq)
        .bind::<Nullable<Timestamptz>, _>(filter.after.map(|after| after.created_at))
        .bind::<Nullable<SqlUuid>, _>(filter.after.map(|after| after.message_id.uuid()))
        .bind::<BigInt, _>(limit)
}

/// Several of them, between semicolons.
fn literals<'a>(words: impl Iterator<Item = &'a Vec<i64>>) -> String {
    words.map(|word| literal(word)).collect::<Vec<_>>().join(";")
}

/// The newest of `matches` that are as `filter` says.
async fn pick(
    connection: &mut AsyncPgConnection,
    matches: Vec<Uuid>,
    filter: &IndexFilter,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<MessageRow>, diesel::result::Error> {
    let query = filtered(PICK, filter, now, limit).bind::<Array<SqlUuid>, _>(matches);
    prepared(query).load(connection).await
}

fn ids(messages: &[MessageId]) -> Vec<Uuid> {
    messages.iter().map(|id| id.uuid()).collect()
}

fn restored(rows: Vec<MessageRow>) -> Result<Vec<StoredMessage>, Error> {
    rows.into_iter().filter_map(MessageRow::restore).collect()
}

#[async_trait]
impl SearchIndex for Database {
    async fn searchable(
        &self,
        viewer: UserId,
        among: &[ConversationId],
        limit: i64,
    ) -> Result<Vec<ConversationId>, Error> {
        let among: Vec<Uuid> = among.iter().map(|id| id.uuid()).collect();
        let query = diesel::sql_query(SEARCHABLE)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Array<SqlUuid>, _>(among)
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }

    async fn find(
        &self,
        viewer: UserId,
        asked: &[AskedToken],
        filter: &IndexFilter,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error> {
        let asked = Asked::of(asked);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Result<Vec<MessageRow>, diesel::result::Error> = connection
            .transaction(async |connection| {
                connection.batch_execute("SET LOCAL statement_timeout = '2s'").await?;
                let few = asked.matches(connection, viewer, Some(MANY + 1)).await?;
                if i64::try_from(few.len()).is_ok_and(|found| found <= MANY) {
                    return pick(connection, few, filter, now, limit).await;
                }
                if let Some(newest) = asked.newest(connection, viewer, filter, now, limit).await? {
                    return Ok(newest);
                }
                let all = asked.matches(connection, viewer, None).await?;
                pick(connection, all, filter, now, limit).await
            })
            .await;
        restored(rows.map_err(unavailable)?)
    }

    async fn to_index(&self, messages: &[MessageId]) -> Result<Vec<StoredMessage>, Error> {
        let query = diesel::sql_query(TO_INDEX).bind::<Array<SqlUuid>, _>(ids(messages));
        let mut connection = self.connection().await.map_err(unavailable)?;
        restored(prepared(query).load(&mut connection).await.map_err(unavailable)?)
    }

    async fn not_indexed(
        &self,
        index_version: i16,
        after: Option<MessageId>,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let mut after = after.map_or(Uuid::nil(), |id| id.uuid());
        loop {
            let query =
                diesel::sql_query(END_OF_STRETCH).bind::<SqlUuid, _>(after).bind::<BigInt, _>(STRETCH - 1);
            let end: Option<Id> =
                prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
            let query = diesel::sql_query(NOT_INDEXED)
                .bind::<SmallInt, _>(index_version)
                .bind::<SqlUuid, _>(after)
                .bind::<Timestamptz, _>(now)
                .bind::<BigInt, _>(limit)
                .bind::<Nullable<SqlUuid>, _>(end.as_ref().map(|end| end.id));
            let found = restored(prepared(query).load(&mut connection).await.map_err(unavailable)?)?;
            match end {
                Some(end) if found.is_empty() => after = end.id,
                _ => return Ok(found),
            }
        }
    }

    async fn put(&self, index_version: i16, entries: &[IndexEntry]) -> Result<(), Error> {
        let ids: Vec<Uuid> = entries.iter().map(|entry| entry.message_id.uuid()).collect();
        let versions: Vec<i32> = entries.iter().map(|entry| entry.version.cast_signed()).collect();
        let tokens = entries.iter().map(|entry| literal(&entry.tokens));
        let query = diesel::sql_query(PUT)
            .bind::<SmallInt, _>(index_version)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Integer>, _>(versions)
            .bind::<Array<Text>, _>(tokens.collect::<Vec<_>>());
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        Ok(())
    }

    async fn remove_all(&self, conversation: ConversationId) -> Result<(), Error> {
        let query = diesel::sql_query(REMOVE_ALL).bind::<SqlUuid, _>(conversation.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        Ok(())
    }

    async fn remove(&self, messages: &[MessageId]) -> Result<(), Error> {
        let query = diesel::sql_query(REMOVE).bind::<Array<SqlUuid>, _>(ids(messages));
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        Ok(())
    }
}
