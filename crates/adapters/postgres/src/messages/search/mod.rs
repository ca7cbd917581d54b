//! `messages::SearchIndex`.

use alivio_kernel::Place;
use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_messages::{
    AskedToken, Error, IndexEntry, IndexFilter, SearchIndex, StoredMessage, Turn, Unfollowed,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::RunQueryDsl;

use self::find::Asked;
use super::{MessageRow, unavailable};
use crate::Database;
use crate::sql::{Id, horizon, prepared, unhurried};

mod find;

const SEARCHABLE: &str = "
    SELECT c.id FROM participants p JOIN conversations c ON c.id = p.conversation_id
    WHERE p.user_id = $1 AND p.left_seq IS NULL AND ($2::uuid[] = '{}' OR c.id = ANY ($2))
    ORDER BY c.updated_at DESC, c.id DESC LIMIT $3";

// The row of changes is read below the horizon: behind it nothing comes in between any more. A place beyond it is of another
// cluster, from which a backup came: everything is followed anew.
const UNFOLLOWED: &str = unhurried!(
    ", edge AS MATERIALIZED (SELECT ",
    horizon!(),
    " AS horizon),
    next AS MATERIALIZED (
        SELECT c.* FROM edge CROSS JOIN search_progress p CROSS JOIN LATERAL (
            SELECT c.xid, c.id, c.kind, c.message_id FROM changes c
            WHERE (c.xid, c.id) > (CASE WHEN p.xid > edge.horizon THEN '0'::xid8 ELSE p.xid END, p.id)
              AND c.xid < edge.horizon
            ORDER BY c.xid, c.id LIMIT $4
        ) c
        WHERE p.turn_of = $1 OR p.turn_of IS NULL OR p.turn_until <= $2
    ), turn AS (
        UPDATE search_progress p SET turn_of = $1, turn_until = $3 FROM unhurried
        WHERE (p.turn_of = $1 OR p.turn_of IS NULL OR p.turn_until <= $2) AND EXISTS (SELECT FROM next)
        RETURNING 1
    )
    SELECT n.xid::text AS xid, n.id, CASE
        WHEN n.kind IN ('message.created', 'message.updated', 'message.deleted') THEN n.message_id
    END AS message_id
    FROM next n CROSS JOIN turn ORDER BY n.xid, n.id"
);

const FOLLOWED: &str = unhurried!(
    " UPDATE search_progress p SET xid = $2::text::xid8, id = $3 FROM unhurried WHERE p.turn_of = $1"
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
const PUT: &str = unhurried!(
    ", entries AS (
        SELECT * FROM unnest($2::uuid[], $3::integer[], $4::text[]) AS e (message_id, version, tokens)
    ), present AS (
        SELECT m.id, m.conversation_id, m.seq, m.created_at, m.version, e.tokens
        FROM entries e JOIN messages m ON m.id = e.message_id AND m.version = e.version
        WHERE m.deleted_at IS NULL AND m.content IS NOT NULL
        ORDER BY m.id FOR SHARE OF m
    )
    INSERT INTO message_tokens (message_id, conversation_id, seq, created_at, version, index_version, tokens)
    SELECT p.id, p.conversation_id, p.seq, p.created_at, p.version, $1, p.tokens::bigint[]
    FROM present p, unhurried
    ON CONFLICT (message_id) DO UPDATE
        SET version = excluded.version, index_version = excluded.index_version, tokens = excluded.tokens
        WHERE message_tokens.version <= excluded.version"
);

// Afterwards, so that whoever destroys a conversation at the same moment either finds these in the index, or is found here.
const REMOVE_DESTROYED: &str = "
    DELETE FROM message_tokens t USING data_keys k
    WHERE t.message_id = ANY ($1) AND k.scope_kind = 'conversation' AND k.scope_id = t.conversation_id
      AND k.state = 'destroyed'";

const TIDY: &str = "SELECT gin_clean_pending_list('message_tokens_by_token')";
const REMOVE: &str = "DELETE FROM message_tokens WHERE message_id = ANY ($1)";
const REMOVE_ALL: &str = "DELETE FROM message_tokens WHERE conversation_id = $1";

/// A change, as it stands in the row of changes.
#[derive(QueryableByName)]
struct UnfollowedRow {
    #[diesel(sql_type = Text)]
    xid: String,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    message_id: Option<Uuid>,
}

impl UnfollowedRow {
    fn restore(self) -> Result<Unfollowed, Error> {
        let place = Place { transaction: self.xid.parse().map_err(unavailable)?, number: self.id };
        Ok(Unfollowed { place, message_id: self.message_id.map(MessageId::from) })
    }
}

/// An array in PostgreSQL's words: its arrays hold no arrays of different lengths.
fn literal(tokens: &[i64]) -> String {
    let tokens: Vec<_> = tokens.iter().map(i64::to_string).collect();
    format!("{{{}}}", tokens.join(","))
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
        let asked = Asked::new(asked, viewer, filter, (now, limit));
        let mut connection = self.connection().await.map_err(unavailable)?;
        restored(asked.find(&mut connection).await.map_err(unavailable)?)
    }

    async fn unfollowed(&self, turn: &Turn, limit: i64) -> Result<Vec<Unfollowed>, Error> {
        let query = diesel::sql_query(UNFOLLOWED)
            .bind::<SqlUuid, _>(turn.of)
            .bind::<Timestamptz, _>(turn.now)
            .bind::<Timestamptz, _>(turn.until)
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<UnfollowedRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(UnfollowedRow::restore).collect()
    }

    async fn followed(&self, of: Uuid, place: Place) -> Result<(), Error> {
        let query = diesel::sql_query(FOLLOWED)
            .bind::<SqlUuid, _>(of)
            .bind::<Text, _>(place.transaction.to_string())
            .bind::<BigInt, _>(place.number);
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        Ok(())
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
            .bind::<Array<SqlUuid>, _>(&ids)
            .bind::<Array<Integer>, _>(versions)
            .bind::<Array<Text>, _>(tokens.collect::<Vec<_>>());
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        let query = diesel::sql_query(REMOVE_DESTROYED).bind::<Array<SqlUuid>, _>(&ids);
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
