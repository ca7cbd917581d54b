//! `messages::ChangeLog`.

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{PageSize, Place};
use alivio_messages::{ChangeLog, Current, Error, Marks, NotedChange, StoredChange, Stretch};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::changes::currents;
use super::{MessageRow, unavailable};
use crate::Database;
use crate::sql::{Count, horizon, prepared};

const HORIZON: &str = concat!("SELECT ", horizon!(), "::text AS horizon");

// For each conversation of the viewer the next changes are looked up by the primary key of `changes`, and no more than a
// page of them; a conversation in which nothing happened costs one descent. The row of the horizon is there even if
// there is no change.
const CHANGES: &str = concat!(
    "WITH edge AS MATERIALIZED (SELECT ", horizon!(), " AS horizon)
    SELECT edge.horizon::text AS horizon, ch.xid::text AS change_xid, ch.id AS change_id, ch.kind AS change_kind,
        ch.conversation_id AS change_conversation, ch.user_id AS change_user, ch.at AS change_at, m.*
    FROM edge
    LEFT JOIN LATERAL (
        SELECT next.*, me.joined_seq
        FROM (
            SELECT p.conversation_id, p.joined_seq, p.joined_at, p.left_at FROM participants p
            WHERE p.user_id = $1 AND p.left_seq IS NULL
            UNION ALL
            SELECT p.conversation_id, p.joined_seq, p.joined_at, p.left_at FROM participants p
            WHERE p.user_id = $1 AND p.left_seq IS NOT NULL
        ) me
        CROSS JOIN LATERAL (
            SELECT c.* FROM changes c
            WHERE c.conversation_id = me.conversation_id
              AND (c.xid, c.id) > ($2::text::xid8, $3) AND c.xid < edge.horizon
              AND (c.only_for IS NULL OR c.only_for = $1)
              AND CASE
                WHEN me.left_at IS NOT NULL THEN
                    c.user_id = $1 AND c.kind IN ('participant.removed', 'participant.left') AND c.at >= me.left_at
                WHEN c.kind IN ('participant.removed', 'participant.left') AND c.user_id = $1 THEN false
                WHEN c.kind LIKE 'message.%' THEN c.seq >= me.joined_seq
                ELSE c.at >= me.joined_at
              END
            ORDER BY c.xid, c.id LIMIT $4
        ) next
        ORDER BY next.xid, next.id LIMIT $4
    ) ch ON true
    LEFT JOIN LATERAL (
        SELECT ", super::message_columns!(), " FROM messages m
        WHERE m.id = ch.message_id AND m.conversation_id = ch.conversation_id AND m.seq >= ch.joined_seq
          AND ch.kind LIKE 'message.%'
    ) m ON true
    ORDER BY ch.xid, ch.id"
);

// All that is committed, by the index on the place alone. The row of the horizon is there even if there is no change.
const NOTED: &str = concat!(
    "WITH edge AS MATERIALIZED (SELECT ",
    horizon!(),
    " AS horizon)
    SELECT edge.horizon::text AS horizon, c.xid::text AS change_xid, c.id AS change_id, c.kind AS change_kind,
        c.conversation_id AS change_conversation, c.user_id AS change_user, c.at AS change_at,
        c.message_id AS change_message, c.seq AS change_seq, c.revision AS change_revision
    FROM edge
    LEFT JOIN LATERAL (
        SELECT c.* FROM changes c
        WHERE (c.xid, c.id) > ($1::text::xid8, $2) AND c.message_id IS NOT NULL AND c.only_for IS NULL
        ORDER BY c.xid, c.id LIMIT $3
    ) c ON true
    ORDER BY c.xid, c.id"
);

const MARKS_OF: &str = "
    SELECT p.conversation_id, p.user_id, p.delivered_up_to, p.read_up_to
    FROM unnest($1::uuid[], $2::uuid[]) AS asked (conversation_id, user_id)
    JOIN participants p ON p.conversation_id = asked.conversation_id AND p.user_id = asked.user_id
    WHERE p.left_seq IS NULL";

// Found by the index on their age, which knows pages only: enough for what was written in that order.
const FORGET: &str = "
    WITH gone AS (
        DELETE FROM changes WHERE ctid = ANY (ARRAY(
            SELECT c.ctid FROM changes c WHERE c.at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
        RETURNING 1
    )
    SELECT count(*) AS count FROM gone";

#[derive(QueryableByName)]
struct HorizonRow {
    #[diesel(sql_type = Text)]
    horizon: String,
}

/// A change, or nothing but the horizon where there is none.
#[derive(QueryableByName)]
struct ChangeRow {
    #[diesel(embed)]
    edge: HorizonRow,
    #[diesel(sql_type = Nullable<Text>)]
    change_xid: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    change_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    change_kind: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    change_conversation: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    change_user: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    change_at: Option<DateTime<Utc>>,
}

/// What every change says of itself.
struct Said {
    place: Place,
    kind: String,
    conversation_id: ConversationId,
    user_id: Option<UserId>,
    at: DateTime<Utc>,
}

impl ChangeRow {
    fn restore(self) -> Option<Result<Said, Error>> {
        let (xid, number) = (self.change_xid?, self.change_id?);
        let (kind, conversation, at) = (self.change_kind?, self.change_conversation?, self.change_at?);
        Some(transaction(&xid).map(|transaction| Said {
            place: Place { transaction, number },
            kind,
            conversation_id: conversation.into(),
            user_id: self.change_user.map(UserId::from),
            at,
        }))
    }
}

#[derive(QueryableByName)]
struct ChangeWithMessageRow {
    #[diesel(embed)]
    change: ChangeRow,
    #[diesel(embed)]
    message: MessageRow,
}

impl ChangeWithMessageRow {
    fn restore(self) -> Option<Result<StoredChange, Error>> {
        let message = self.message;
        let stored = |Said { place, kind, conversation_id, user_id, at }| {
            let message = message.restore().transpose()?;
            Ok(StoredChange { place, kind, conversation_id, user_id, at, message })
        };
        Some(self.change.restore()?.and_then(stored))
    }
}

#[derive(QueryableByName)]
struct NotedRow {
    #[diesel(embed)]
    change: ChangeRow,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    change_message: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    change_seq: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    change_revision: Option<i64>,
}

impl NotedRow {
    fn restore(self) -> Option<Result<NotedChange, Error>> {
        let (message_id, seq, revision) =
            (self.change_message?.into(), self.change_seq?, self.change_revision);
        let noted = |Said { place, kind, conversation_id, user_id, at }| NotedChange {
            place,
            kind,
            conversation_id,
            message_id,
            seq,
            revision,
            user_id,
            at,
        };
        Some(self.change.restore()?.map(noted))
    }
}

#[derive(QueryableByName)]
struct ParticipantMarksRow {
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = BigInt)]
    delivered_up_to: i64,
    #[diesel(sql_type = BigInt)]
    read_up_to: i64,
}

fn transaction(xid: &str) -> Result<u64, Error> {
    xid.parse().map_err(unavailable)
}

#[async_trait]
impl ChangeLog for Database {
    async fn changes(&self, viewer: UserId, after: Place, size: PageSize) -> Result<Stretch, Error> {
        let query = diesel::sql_query(CHANGES)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Text, _>(after.transaction.to_string())
            .bind::<BigInt, _>(after.number)
            .bind::<BigInt, _>(size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ChangeWithMessageRow> =
            prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let horizon = rows.as_slice().first().map_or(Ok(0), |row| transaction(&row.change.edge.horizon))?;
        let changes = rows.into_iter().filter_map(ChangeWithMessageRow::restore).collect::<Result<_, _>>()?;
        Ok(Stretch { horizon, changes })
    }

    async fn noted(&self, after: Place, limit: i64) -> Result<(u64, Vec<NotedChange>), Error> {
        let query = diesel::sql_query(NOTED)
            .bind::<Text, _>(after.transaction.to_string())
            .bind::<BigInt, _>(after.number)
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<NotedRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let horizon = rows.as_slice().first().map_or(Ok(0), |row| transaction(&row.change.edge.horizon))?;
        let changes = rows.into_iter().filter_map(NotedRow::restore).collect::<Result<_, _>>()?;
        Ok((horizon, changes))
    }

    async fn currents(&self, messages: &[MessageId]) -> Result<Vec<Current>, Error> {
        currents(self, messages).await
    }

    async fn marks_of(
        &self,
        people: &[(ConversationId, UserId)],
    ) -> Result<Vec<(ConversationId, Marks)>, Error> {
        let (conversations, users): (Vec<_>, Vec<_>) =
            people.iter().map(|(conversation, user)| (conversation.uuid(), user.uuid())).unzip();
        let query = diesel::sql_query(MARKS_OF)
            .bind::<Array<SqlUuid>, _>(conversations)
            .bind::<Array<SqlUuid>, _>(users);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ParticipantMarksRow> =
            prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let restore = |row: ParticipantMarksRow| {
            let ParticipantMarksRow { conversation_id, user_id, delivered_up_to, read_up_to } = row;
            (conversation_id.into(), Marks { user_id: user_id.into(), delivered_up_to, read_up_to })
        };
        Ok(rows.into_iter().map(restore).collect())
    }

    async fn horizon(&self) -> Result<u64, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = prepared(diesel::sql_query(HORIZON));
        let row: HorizonRow = query.get_result(&mut connection).await.map_err(unavailable)?;
        transaction(&row.horizon)
    }

    async fn forget(&self, before: DateTime<Utc>, limit: i64) -> Result<i64, Error> {
        let query = diesel::sql_query(FORGET).bind::<Timestamptz, _>(before).bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Count = prepared(query).get_result(&mut connection).await.map_err(unavailable)?;
        Ok(row.count)
    }
}
