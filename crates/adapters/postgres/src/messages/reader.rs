//! `messages::MessageReader`.
//!
//! A page never costs more than a window of the log: sequence numbers have no gaps, so the end of the window is known
//! without looking.

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_messages::{
    Edge, Error, Filter, LogPage, LogQuery, MessageReader, OwnPage, OwnQuery, ReadableMessage, WINDOW,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::{MessageRow, unavailable};
use crate::Database;
use crate::sql::prepared;

/// So many entries around an instant are looked at one by one, as clocks disagree.
const SLACK: i64 = 500;
/// Conversations that a page of all of someone's logs is made of.
const CONVERSATIONS: i64 = 500;
/// Entries of each that are looked at for it.
const WINDOW_OF_EACH: i64 = 1000;

/// What a message must be. $10: types, $11: sender, $12: whether what is gone is shown, $13: now.
macro_rules! matches_filter {
    () => {
        "($10::text[] IS NULL OR m.message_type = ANY ($10))
         AND ($11::uuid IS NULL OR m.sender_id = $11)
         AND ($12 OR (m.deleted_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > $13)))"
    };
}

// An edge of which nothing is known takes the whole row away: then there is no answer. One row without a message
// stands for an empty page. low and high themselves are not part of what is read.
macro_rules! browse {
    ($first:literal, $last:literal, $order:literal) => {
        concat!(
            "SELECT w.low AS readable_low, w.high AS readable_high, m.* FROM (
                SELECT p.conversation_id,
                    greatest(p.joined_seq - 1, CASE
                        WHEN $6::bigint IS NOT NULL THEN $6
                        WHEN $7::uuid IS NOT NULL THEN (
                            SELECT a.seq FROM messages a
                            WHERE a.id = $7 AND a.conversation_id = p.conversation_id AND a.seq >= p.joined_seq)
                        WHEN $8::timestamptz IS NOT NULL THEN seq_before(p.conversation_id, $8) - $9
                        ELSE 0 END) AS low,
                    least(c.last_seq + 1, CASE
                        WHEN $3::bigint IS NOT NULL THEN $3
                        WHEN $4::uuid IS NOT NULL THEN (
                            SELECT a.seq FROM messages a
                            WHERE a.id = $4 AND a.conversation_id = p.conversation_id AND a.seq >= p.joined_seq)
                        WHEN $5::timestamptz IS NOT NULL THEN seq_before(p.conversation_id, $5) + 1 + $9
                        ELSE c.last_seq + 1 END) AS high,
                    $7::uuid IS NULL OR EXISTS (
                        SELECT 1 FROM messages a
                        WHERE a.id = $7 AND a.conversation_id = p.conversation_id AND a.seq >= p.joined_seq)
                    AS low_known,
                    $4::uuid IS NULL OR EXISTS (
                        SELECT 1 FROM messages a
                        WHERE a.id = $4 AND a.conversation_id = p.conversation_id AND a.seq >= p.joined_seq)
                    AS high_known
                FROM participants p JOIN conversations c ON c.id = p.conversation_id
                WHERE p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL
            ) w
            LEFT JOIN LATERAL (
                SELECT ",
            message_columns!(),
            " FROM messages m
                WHERE m.conversation_id = w.conversation_id AND m.seq > ",
            $first,
            " AND m.seq < ",
            $last,
            " AND ($5::timestamptz IS NULL OR m.created_at < $5)
                  AND ($8::timestamptz IS NULL OR m.created_at > $8) AND ",
            matches_filter!(),
            " ORDER BY m.seq ",
            $order,
            " OFFSET $14 LIMIT $15
            ) m ON true
            WHERE w.low_known AND w.high_known ORDER BY m.seq ",
            $order
        )
    };
}
const NEWEST_FIRST: &str = browse!("greatest(w.low, w.high - 1 - $16)", "w.high", "DESC");
const OLDEST_FIRST: &str = browse!("w.low", "least(w.high, w.low + 1 + $16)", "ASC");

const READABLE: &str = concat!(
    "SELECT NOT EXISTS (
            SELECT 1 FROM participants o
            WHERE o.conversation_id = m.conversation_id AND o.left_seq IS NULL AND o.joined_seq > m.seq
        ) AS by_everyone, ",
    message_columns!(),
    " FROM messages m
    JOIN participants p ON p.conversation_id = m.conversation_id AND p.user_id = $1 AND p.left_seq IS NULL
        AND p.joined_seq <= m.seq
    WHERE m.id = ANY ($2)"
);

// $3, $4: before this instant, or at it with a smaller id; $5: after this instant. One row without a message stands for
// a conversation of which nothing matches. edge_at: when the last entry that was looked at was stored, if there are
// more before it.
const ACROSS: &str = concat!(
    "SELECT edge.created_at AS edge_at, m.* FROM (
        SELECT p.conversation_id, p.joined_seq - 1 AS low, CASE
            WHEN $3::timestamptz IS NULL THEN c.last_seq
            ELSE least(c.last_seq, seq_before(p.conversation_id, $3) + $6) END AS high
        FROM participants p JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = $1 AND p.left_seq IS NULL AND ($2::uuid IS NULL OR p.conversation_id = $2)
        ORDER BY c.updated_at DESC LIMIT $7
    ) w
    LEFT JOIN messages edge ON edge.conversation_id = w.conversation_id AND w.high - $8 > w.low
        AND edge.seq = w.high - $8 + 1
        AND ($5::timestamptz IS NULL OR edge.created_at > $5)
    LEFT JOIN LATERAL (
        SELECT ",
    message_columns!(),
    " FROM messages m
        WHERE m.conversation_id = w.conversation_id AND m.seq <= w.high AND m.seq > greatest(w.low, w.high - $8)
          AND ($3::timestamptz IS NULL OR (m.created_at, m.id) < ($3, $4))
          AND ($5::timestamptz IS NULL OR m.created_at > $5) AND ",
    matches_filter!(),
    " ORDER BY m.seq DESC LIMIT $9
    ) m ON true"
);

#[derive(QueryableByName)]
struct BrowsedRow {
    #[diesel(sql_type = BigInt)]
    readable_low: i64,
    #[diesel(sql_type = BigInt)]
    readable_high: i64,
    #[diesel(embed)]
    message: MessageRow,
}

#[derive(QueryableByName)]
struct ReadableRow {
    #[diesel(sql_type = Bool)]
    by_everyone: bool,
    #[diesel(embed)]
    message: MessageRow,
}

#[derive(QueryableByName)]
struct OwnRow {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    edge_at: Option<DateTime<Utc>>,
    #[diesel(embed)]
    message: MessageRow,
}

/// A sequence number, a message or an instant.
type Split = (Option<i64>, Option<Uuid>, Option<DateTime<Utc>>);

const fn split(edge: Option<Edge>) -> Split {
    match edge {
        None => (None, None, None),
        Some(Edge::Seq(seq)) => (Some(seq), None, None),
        Some(Edge::Message(id)) => (None, Some(id.uuid()), None),
        Some(Edge::Time(at)) => (None, None, Some(at)),
    }
}

fn types(filter: &Filter) -> Option<Vec<&'static str>> {
    filter.types.as_ref().map(|types| types.iter().map(|kind| kind.as_str()).collect())
}

#[async_trait]
impl MessageReader for Database {
    async fn browse(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        query: &LogQuery,
        now: DateTime<Utc>,
    ) -> Result<Option<LogPage>, Error> {
        let (before_seq, before_message, before_time) = split(query.before);
        let (after_seq, after_message, after_time) = split(query.after);
        let sql = diesel::sql_query(if query.ascending { OLDEST_FIRST } else { NEWEST_FIRST })
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Nullable<BigInt>, _>(before_seq)
            .bind::<Nullable<SqlUuid>, _>(before_message)
            .bind::<Nullable<Timestamptz>, _>(before_time)
            .bind::<Nullable<BigInt>, _>(after_seq)
            .bind::<Nullable<SqlUuid>, _>(after_message)
            .bind::<Nullable<Timestamptz>, _>(after_time)
            .bind::<BigInt, _>(SLACK)
            .bind::<Nullable<Array<Text>>, _>(types(&query.filter))
            .bind::<Nullable<SqlUuid>, _>(query.filter.sender.map(UserId::uuid))
            .bind::<Bool, _>(query.filter.include_gone)
            .bind::<Timestamptz, _>(now)
            .bind::<BigInt, _>(query.offset)
            .bind::<BigInt, _>(query.size.get() + 1)
            .bind::<BigInt, _>(WINDOW);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<BrowsedRow> = prepared(sql).load(&mut connection).await.map_err(unavailable)?;
        let [BrowsedRow { readable_low, readable_high, .. }, ..] = rows.as_slice() else { return Ok(None) };
        let (low, high) = (*readable_low, *readable_high);
        let is_cut = high - 1 - low > WINDOW;
        let edge = is_cut.then_some(if query.ascending { low + WINDOW } else { high - WINDOW });
        let messages = rows.into_iter().filter_map(|row| row.message.restore()).collect::<Result<_, _>>()?;
        Ok(Some(LogPage { messages, edge }))
    }

    async fn readable(&self, viewer: UserId, messages: &[MessageId]) -> Result<Vec<ReadableMessage>, Error> {
        let ids: Vec<Uuid> = messages.iter().map(|id| id.uuid()).collect();
        let sql =
            diesel::sql_query(READABLE).bind::<SqlUuid, _>(viewer.uuid()).bind::<Array<SqlUuid>, _>(ids);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ReadableRow> = prepared(sql).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter()
            .filter_map(|row| {
                let by_everyone = row.by_everyone;
                Some(row.message.restore()?.map(|message| ReadableMessage { message, by_everyone }))
            })
            .collect()
    }

    async fn across(&self, viewer: UserId, query: &OwnQuery, now: DateTime<Utc>) -> Result<OwnPage, Error> {
        let sql = diesel::sql_query(ACROSS)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Nullable<SqlUuid>, _>(query.conversation.map(ConversationId::uuid))
            .bind::<Nullable<Timestamptz>, _>(query.before.map(|(at, _)| at))
            .bind::<Nullable<SqlUuid>, _>(query.before.map(|(_, id)| id.uuid()))
            .bind::<Nullable<Timestamptz>, _>(query.after)
            .bind::<BigInt, _>(SLACK)
            .bind::<BigInt, _>(CONVERSATIONS)
            .bind::<BigInt, _>(WINDOW_OF_EACH)
            .bind::<BigInt, _>(query.size.get() + 1)
            .bind::<Nullable<Array<Text>>, _>(types(&query.filter))
            .bind::<Nullable<SqlUuid>, _>(query.filter.sender.map(UserId::uuid))
            .bind::<Bool, _>(query.filter.include_gone)
            .bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<OwnRow> = prepared(sql).load(&mut connection).await.map_err(unavailable)?;
        // A conversation that filled its part of the page was not read to its edge, which is older then.
        let complete_down_to = rows.iter().filter_map(|row| row.edge_at).max();
        let mut messages =
            rows.into_iter().filter_map(|row| row.message.restore()).collect::<Result<Vec<_>, _>>()?;
        messages.sort_unstable_by_key(|message| std::cmp::Reverse((message.created_at, message.id)));
        messages.truncate(usize::try_from(query.size.get() + 1).unwrap_or(usize::MAX));
        Ok(OwnPage { messages, complete_down_to })
    }
}
