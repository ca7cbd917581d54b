//! How messages are found by their words.

use alivio_kernel::ids::{UserId, Uuid};
use alivio_messages::{AskedToken, IndexFilter};
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::super::MessageRow;
use super::literal;
use crate::sql::prepared;

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

/// What is asked of one conversation: for each word, the tokens of which one must be there.
struct AskedHere {
    conversation: Uuid,
    words: Vec<Vec<i64>>,
}

/// What is asked, conversation by conversation, and of which messages.
pub(super) struct Asked<'a> {
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

impl<'a> Asked<'a> {
    pub(super) fn new(
        tokens: &[AskedToken],
        viewer: UserId,
        filter: &'a IndexFilter,
        (now, limit): (DateTime<Utc>, i64),
    ) -> Self {
        Self { here: by_conversation(tokens), viewer, filter, now, limit }
    }

    /// Finds them.
    pub(super) async fn find(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> Result<Vec<MessageRow>, diesel::result::Error> {
        connection
            .transaction(async |connection| {
                connection.batch_execute("SET LOCAL statement_timeout = '2s'").await?;
                if self.are_many(connection).await?
                    && let Some(newest) = self.newest(connection).await?
                {
                    return Ok(newest);
                }
                prepared(self.query(ALL, usize::MAX)).load(connection).await
            })
            .await
    }

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

/// Several of them, between semicolons.
fn literals<'a>(words: impl Iterator<Item = &'a Vec<i64>>) -> String {
    words.map(|word| literal(word)).collect::<Vec<_>>().join(";")
}
