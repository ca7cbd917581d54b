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

/// How often the words are there is guessed from so many of the newest messages, in so many conversations.
const SAMPLE: i64 = 320;
const SAMPLED_CONVERSATIONS: usize = 16;
/// So many words are asked of the index; what it brings is compared with the others.
const WORDS_IN_INDEX: usize = 4;
/// How many messages are looked at for each one that is wanted, if matches are many.
const WALK_PER_WANTED: i64 = 25;
/// The least and the most messages that are looked at so.
const WALK: std::ops::RangeInclusive<i64> = 2_400..=8_000;

/// What is asked of each conversation that the viewer is in, by the parameters that [`Asked::query`] binds.
macro_rules! asked {
    () => {
        "WITH asked AS MATERIALIZED (
            SELECT a.conversation_id, a.others, me.joined_seq, a.word_1::bigint[] AS word_1, a.word_2::bigint[] AS word_2,
                a.word_3::bigint[] AS word_3, a.word_4::bigint[] AS word_4
            FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
                AS a (conversation_id, word_1, word_2, word_3, word_4, others)
            JOIN participants me ON me.conversation_id = a.conversation_id AND me.user_id = $1 AND me.left_seq IS NULL
        )"
    };
}

/// Whether one of the tokens of each of the first words is there. The index answers it.
macro_rules! has_first_words {
    () => {
        "t.tokens && a.word_1 AND t.tokens && a.word_2 AND t.tokens && a.word_3 AND t.tokens && a.word_4"
    };
}

/// The words after those.
macro_rules! has_others {
    () => {
        "(a.others = '' OR NOT EXISTS (
            SELECT FROM unnest(string_to_array(a.others, ';')) AS word WHERE NOT t.tokens && word::bigint[]
        ))"
    };
}

// Traps of the planner: with many tokens at once it scans the table, so that each conversation is looked up by itself,
// and before anything else is asked (MATERIALIZED, OFFSET 0). The same list several times costs the index nothing.
macro_rules! matching {
    () => {
        concat!(
            "asked a
            CROSS JOIN LATERAL (
                SELECT t.message_id, t.conversation_id, t.seq, t.created_at, t.tokens FROM message_tokens t
                WHERE ",
            has_first_words!(),
            "   OFFSET 0
            ) t
            WHERE t.conversation_id = a.conversation_id AND t.seq >= a.joined_seq AND ",
            has_others!()
        )
    };
}

/// Where of the log it must be, by the parameters that [`Asked::query`] binds.
macro_rules! stretch {
    () => {
        "($12::timestamptz IS NULL OR t.created_at < $12)
        AND ($13::bigint IS NULL OR t.seq < $13)
        AND ($14::timestamptz IS NULL OR (t.created_at, t.message_id) < ($14, $15::uuid))"
    };
}

/// The newest of `found` whose messages are as the parameters that [`Asked::query`] binds want them. They are looked up one
/// by one, from the newest back, until there are enough.
macro_rules! newest_of {
    ($found:literal) => {
        concat!(
            message_columns!(),
            " FROM (SELECT f.message_id, f.created_at FROM ",
            $found,
            " f ORDER BY f.created_at DESC, f.message_id DESC) f
            CROSS JOIN LATERAL (
                SELECT * FROM messages m
                WHERE m.id = f.message_id
                  AND m.deleted_at IS NULL AND m.content IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > $8)
                  AND ($9::text[] = '{}' OR m.message_type = ANY ($9))
                  AND ($10::uuid IS NULL OR m.sender_id = $10)
                  AND ($11::timestamptz IS NULL OR m.created_at >= $11)
                OFFSET 0
            ) m
            ORDER BY f.created_at DESC, f.message_id DESC LIMIT $16"
        )
    };
}

const ALL: &str = concat!(
    asked!(),
    ", found AS MATERIALIZED (SELECT t.message_id, t.created_at FROM ",
    matching!(),
    " AND ",
    stretch!(),
    ") SELECT ",
    newest_of!("found")
);

/// The newest of each log.
macro_rules! walked {
    () => {
        concat!(
            asked!(),
            ", walked AS MATERIALIZED (
                SELECT t.message_id, t.created_at, t.conversation_id, t.is_match
                FROM asked a
                CROSS JOIN LATERAL (
                    SELECT t.message_id, t.created_at, t.conversation_id, ",
            has_first_words!(),
            " AND ",
            has_others!(),
            " AS is_match
                    FROM message_tokens t
                    WHERE t.conversation_id = a.conversation_id AND t.seq >= a.joined_seq AND ",
            stretch!(),
            "       ORDER BY t.seq DESC LIMIT $17
                ) t
            )"
        )
    };
}

const COUNT: &str = concat!(
    walked!(),
    " SELECT count(*) FILTER (WHERE w.is_match) AS matches, count(*) AS walked FROM walked w"
);

// Nothing that was not looked at is newer than the edge: the oldest that was, of the log of which least was.
const NEWEST: &str = concat!(
    walked!(),
    ", edge AS MATERIALIZED (
        SELECT max(log.oldest) AS at FROM (
            SELECT min(w.created_at) AS oldest FROM walked w GROUP BY w.conversation_id HAVING count(*) = $17
        ) log
    )
    SELECT (SELECT at FROM edge) AS edge, ",
    newest_of!("(SELECT w.message_id, w.created_at FROM walked w WHERE w.is_match)")
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
        SELECT m.id, m.conversation_id, m.seq, m.created_at, m.version, e.tokens
        FROM entries e JOIN messages m ON m.id = e.message_id AND m.version = e.version
        WHERE m.deleted_at IS NULL AND m.content IS NOT NULL
        ORDER BY m.id FOR SHARE OF m
    )
    INSERT INTO message_tokens (message_id, conversation_id, seq, created_at, version, index_version, tokens)
    SELECT p.id, p.conversation_id, p.seq, p.created_at, p.version, $1, p.tokens::bigint[]
    FROM present p
    WHERE NOT EXISTS (
        SELECT FROM data_keys k
        WHERE k.scope_kind = 'conversation' AND k.scope_id = p.conversation_id AND k.state = 'destroyed'
    )
    ON CONFLICT (message_id) DO UPDATE
        SET version = excluded.version, index_version = excluded.index_version, tokens = excluded.tokens
        WHERE message_tokens.version <= excluded.version";

const TIDY: &str = "SELECT gin_clean_pending_list('message_tokens_by_token')";
const REMOVE: &str = "DELETE FROM message_tokens WHERE message_id = ANY ($1)";
const REMOVE_ALL: &str = "DELETE FROM message_tokens WHERE conversation_id = $1";

/// What is asked of one conversation: for each word, the tokens of which one must be there.
struct AskedHere {
    conversation: Uuid,
    words: Vec<Vec<i64>>,
}

/// What is asked, conversation by conversation, and of which messages.
struct Asked<'a> {
    here: Vec<AskedHere>,
    viewer: UserId,
    filter: &'a IndexFilter,
    now: DateTime<Utc>,
    limit: i64,
}

#[derive(QueryableByName)]
struct Sampled {
    #[diesel(sql_type = BigInt)]
    matches: i64,
    #[diesel(sql_type = BigInt)]
    walked: i64,
}

#[derive(QueryableByName)]
struct Newest {
    #[diesel(embed)]
    message: MessageRow,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    edge: Option<DateTime<Utc>>,
}

impl Asked<'_> {
    /// `sql` with the parameters of `asked!`, `stretch!` and `newest_of!`, of the first so many conversations.
    fn query(&self, sql: &'static str, conversations: usize) -> BoxedSqlQuery<'_, Pg, SqlQuery> {
        let here = || self.here.iter().take(conversations);
        // Who asks for fewer words asks for some of them again.
        let word = |at: usize| -> Vec<String> {
            let word = |here: &AskedHere| here.words.iter().cycle().nth(at).map(|word| literal(word));
            here().map(|here| word(here).unwrap_or_default()).collect()
        };
        let others = here().map(|here| literals(here.words.iter().skip(WORDS_IN_INDEX)));
        let query = diesel::sql_query(sql)
            .into_boxed()
            .bind::<SqlUuid, _>(self.viewer.uuid())
            .bind::<Array<SqlUuid>, _>(here().map(|here| here.conversation).collect::<Vec<_>>());
        let query = (0..WORDS_IN_INDEX).fold(query, |query, at| query.bind::<Array<Text>, _>(word(at)));
        let filter = self.filter;
        let types: Vec<&str> = filter.message_types.iter().map(|kind| kind.as_str()).collect();
        query
            .bind::<Array<Text>, _>(others.collect::<Vec<_>>())
            .bind::<Timestamptz, _>(self.now)
            .bind::<Array<Text>, _>(types)
            .bind::<Nullable<SqlUuid>, _>(filter.from_user.map(|user| user.uuid()))
            .bind::<Nullable<Timestamptz>, _>(filter.from)
            .bind::<Nullable<Timestamptz>, _>(filter.until)
            .bind::<Nullable<BigInt>, _>(filter.before_seq)
            .bind::<Nullable<Timestamptz>, _>(filter.after.map(|after| after.created_at))
            .bind::<Nullable<SqlUuid>, _>(filter.after.map(|after| after.message_id.uuid()))
            .bind::<BigInt, _>(self.limit)
    }

    /// Whether the newest messages seem to hold as many matches as are wanted.
    async fn are_many(&self, connection: &mut AsyncPgConnection) -> Result<bool, diesel::result::Error> {
        let each = self.each(SAMPLE, SAMPLED_CONVERSATIONS);
        let query = self.query(COUNT, SAMPLED_CONVERSATIONS).bind::<BigInt, _>(each);
        let sampled: Sampled = prepared(query).get_result(connection).await?;
        // With half as many to spare: to walk in vain costs more than to look at all.
        Ok(2 * sampled.matches * self.walk() > 3 * self.limit * sampled.walked)
    }

    /// How many messages are looked at to find as many matches as are wanted.
    fn walk(&self) -> i64 {
        (self.limit * WALK_PER_WANTED).clamp(*WALK.start(), *WALK.end())
    }

    /// How many messages of each of so many conversations make `all`.
    fn each(&self, all: i64, conversations: usize) -> i64 {
        let conversations = self.here.len().clamp(1, conversations);
        all / i64::try_from(conversations).unwrap_or(all) + 1
    }

    /// The newest matches, if they are among the newest messages.
    async fn newest(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> Result<Option<Vec<MessageRow>>, diesel::result::Error> {
        let each = self.each(self.walk(), usize::MAX);
        let query = self.query(NEWEST, usize::MAX).bind::<BigInt, _>(each);
        let rows: Vec<Newest> = prepared(query).load(connection).await?;
        let whole = i64::try_from(rows.len()).is_ok_and(|found| found == self.limit);
        let last = rows.last().map(|row| (row.message.created_at, row.edge));
        let newest = last.is_some_and(|(at, edge)| edge.is_none_or(|_| whole && at > edge));
        Ok(newest.then(|| rows.into_iter().map(|row| row.message).collect()))
    }
}

/// Tokens by conversation, and there by word.
fn by_conversation(tokens: &[AskedToken]) -> Vec<AskedHere> {
    let conversations = tokens.chunk_by(|one, other| one.conversation_id == other.conversation_id);
    let words = |here: &[AskedToken]| {
        let words = here.chunk_by(|one, other| one.word == other.word);
        words.map(|word| word.iter().map(|asked| asked.token).collect()).collect()
    };
    let here = conversations.filter_map(|here| {
        Some(AskedHere { conversation: here.first()?.conversation_id.uuid(), words: words(here) })
    });
    here.collect()
}

/// An array in PostgreSQL's words: its arrays hold no arrays of different lengths.
fn literal(tokens: &[i64]) -> String {
    let tokens: Vec<_> = tokens.iter().map(i64::to_string).collect();
    format!("{{{}}}", tokens.join(","))
}

/// Several of them, between semicolons.
fn literals<'a>(words: impl Iterator<Item = &'a Vec<i64>>) -> String {
    words.map(|word| literal(word)).collect::<Vec<_>>().join(";")
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
        let asked = Asked { here: by_conversation(asked), viewer, filter, now, limit };
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Result<Vec<MessageRow>, diesel::result::Error> = connection
            .transaction(async |connection| {
                connection.batch_execute("SET LOCAL statement_timeout = '2s'").await?;
                if asked.are_many(connection).await?
                    && let Some(newest) = asked.newest(connection).await?
                {
                    return Ok(newest);
                }
                prepared(asked.query(ALL, usize::MAX)).load(connection).await
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

    async fn tidy(&self) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(diesel::sql_query(TIDY)).execute(&mut connection).await.map_err(unavailable)?;
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
