//! `messages::SearchIndex` and `messages::Shredder`.

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::sealing::Scope;
use alivio_messages::{
    AskedToken, Error, IndexEntry, IndexFilter, SearchIndex, Shredded, Shredder, Shredding, StoredMessage,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};

use super::{MessageRow, unavailable};
use crate::sql::prepared;
use crate::{Database, data_keys, effects};

const SEARCHABLE: &str = "
    SELECT c.id FROM participants p JOIN conversations c ON c.id = p.conversation_id
    WHERE p.user_id = $1 AND p.left_seq IS NULL AND ($2::uuid[] = '{}' OR c.id = ANY ($2))
    ORDER BY c.updated_at DESC, c.id DESC LIMIT $3";

// Two traps of the planner. `tokens && ARRAY[…]` with many tokens scans the table, so each token of the first word is
// looked up by itself; and a limit inside the look-up walks the messages from the newest back, so what was found is
// kept first (MATERIALIZED, OFFSET 0) and sorted outside.
const FIND: &str = concat!(
    "WITH asked AS MATERIALIZED (
        SELECT a.conversation_id, a.token, me.joined_seq
        FROM unnest($2::uuid[], $3::bigint[]) AS a (conversation_id, token)
        JOIN participants me ON me.conversation_id = a.conversation_id AND me.user_id = $1 AND me.left_seq IS NULL
    ), others AS MATERIALIZED (
        SELECT o.conversation_id, o.word, array_agg(o.token) AS tokens
        FROM unnest($4::uuid[], $5::integer[], $6::bigint[]) AS o (conversation_id, word, token)
        GROUP BY o.conversation_id, o.word
    ), hits AS MATERIALIZED (
        SELECT DISTINCT t.message_id
        FROM asked a
        CROSS JOIN LATERAL (
            SELECT t.message_id, t.conversation_id, t.seq, t.tokens FROM message_tokens t
            WHERE t.tokens @> ARRAY[a.token] OFFSET 0
        ) t
        WHERE t.conversation_id = a.conversation_id AND t.seq >= a.joined_seq AND NOT EXISTS (
            SELECT FROM others o WHERE o.conversation_id = a.conversation_id AND NOT (t.tokens && o.tokens)
        )
    )
    SELECT ",
    message_columns!(),
    " FROM hits h JOIN messages m ON m.id = h.message_id
    WHERE m.deleted_at IS NULL AND m.content IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > $7)
      AND ($8::text[] = '{}' OR m.message_type = ANY ($8))
      AND ($9::uuid IS NULL OR m.sender_id = $9)
      AND ($10::timestamptz IS NULL OR m.created_at >= $10)
      AND ($11::timestamptz IS NULL OR m.created_at < $11)
      AND ($12::bigint IS NULL OR m.seq < $12)
      AND ($13::timestamptz IS NULL OR (m.created_at, m.id) < ($13, $14::uuid))
    ORDER BY m.created_at DESC, m.id DESC LIMIT $15"
);

const TO_INDEX: &str = concat!("SELECT ", message_columns!(), " FROM messages m WHERE m.id = ANY ($1)");

/// So many messages are looked at by one query: where all are in the index, one query for all would never come back.
const STRETCH: i64 = 20_000;
const END_OF_STRETCH: &str = "SELECT m.id FROM messages m WHERE m.id > $1 ORDER BY m.id OFFSET $2 LIMIT 1";

const NOT_INDEXED: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages m
    LEFT JOIN message_tokens t ON t.message_id = m.id AND t.index_version = $1 AND t.version = m.version
    WHERE m.id > $2 AND ($5::uuid IS NULL OR m.id <= $5) AND t.message_id IS NULL
      AND m.deleted_at IS NULL AND m.content IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > $3)
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

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
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
        let (first, others): (Vec<_>, Vec<_>) = asked.iter().partition(|asked| asked.word == 0);
        let conversations = |asked: &[&AskedToken]| {
            asked.iter().map(|asked| asked.conversation_id.uuid()).collect::<Vec<Uuid>>()
        };
        let tokens = |asked: &[&AskedToken]| asked.iter().map(|asked| asked.token).collect::<Vec<i64>>();
        let types: Vec<&str> = filter.message_types.iter().map(|kind| kind.as_str()).collect();
        let query = diesel::sql_query(FIND)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Array<SqlUuid>, _>(conversations(&first))
            .bind::<Array<BigInt>, _>(tokens(&first))
            .bind::<Array<SqlUuid>, _>(conversations(&others))
            .bind::<Array<Integer>, _>(others.iter().map(|asked| asked.word).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(tokens(&others))
            .bind::<Timestamptz, _>(now)
            .bind::<Array<Text>, _>(types)
            .bind::<Nullable<SqlUuid>, _>(filter.from_user.map(|user| user.uuid()))
            .bind::<Nullable<Timestamptz>, _>(filter.from)
            .bind::<Nullable<Timestamptz>, _>(filter.until)
            .bind::<Nullable<BigInt>, _>(filter.before_seq)
            .bind::<Nullable<Timestamptz>, _>(filter.after.map(|after| after.created_at))
            .bind::<Nullable<SqlUuid>, _>(filter.after.map(|after| after.message_id.uuid()))
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Result<Vec<MessageRow>, diesel::result::Error> = connection
            .transaction(async |connection| {
                connection.batch_execute("SET LOCAL statement_timeout = '2s'").await?;
                prepared(query).load(connection).await
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
            let end: Option<Place> =
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
        // As one text each: arrays of PostgreSQL hold no arrays of different lengths.
        let tokens = entries.iter().map(|entry| {
            let tokens: Vec<_> = entry.tokens.iter().map(i64::to_string).collect();
            format!("{{{}}}", tokens.join(","))
        });
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

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

#[derive(QueryableByName)]
struct ToShred {
    #[diesel(sql_type = Bool)]
    is_care: bool,
    #[diesel(sql_type = Bool)]
    is_destroyed: bool,
}

// Locked: whoever appends waits, and then finds it closed.
const TO_SHRED: &str = "
    SELECT c.purpose = 'care' OR c.kind IN ('consultation', 'emergency') AS is_care, EXISTS (
        SELECT FROM data_keys k
        WHERE k.scope_kind = 'conversation' AND k.scope_id = c.id AND k.state = 'destroyed'
    ) AS is_destroyed
    FROM conversations c WHERE c.id = $1 FOR NO KEY UPDATE";

const CLOSE: &str = "
    WITH closed AS (UPDATE conversations SET is_active = false, updated_at = greatest(updated_at, $2) WHERE id = $1),
    noted AS (INSERT INTO changes (conversation_id, kind, at) VALUES ($1, 'conversation.updated', $2))
    DELETE FROM message_tokens WHERE conversation_id = $1";

#[async_trait]
impl Shredder for Database {
    async fn shred(&self, shredding: &Shredding) -> Result<Shredded, Error> {
        let Shredding { conversation_id, tombstone, care_too, now, effects } = shredding;
        let mut connection = self.connection().await.map_err(unavailable)?;
        let shredded: Result<Shredded, diesel::result::Error> = connection
            .transaction(async |connection| {
                let query = diesel::sql_query(TO_SHRED).bind::<SqlUuid, _>(conversation_id.uuid());
                let found: Vec<ToShred> = prepared(query).load(connection).await?;
                match found.into_iter().next() {
                    None => return Ok(Shredded::Unknown),
                    Some(ToShred { is_destroyed: true, .. }) => return Ok(Shredded::Already),
                    Some(ToShred { is_care: true, .. }) if !care_too => return Ok(Shredded::IsCare),
                    Some(_) => {}
                }
                let scope = Scope::Conversation(*conversation_id);
                data_keys::destroy(connection, scope, *tombstone, *now).await?;
                let close = diesel::sql_query(CLOSE)
                    .bind::<SqlUuid, _>(conversation_id.uuid())
                    .bind::<Timestamptz, _>(*now);
                prepared(close).execute(connection).await?;
                effects::store(connection, effects).await?;
                Ok(Shredded::Done)
            })
            .await;
        let shredded = shredded.map_err(unavailable)?;
        self.ring();
        Ok(shredded)
    }
}
