//! `accounts::BlockStore`.

use alivio_accounts::{Block, BlockStore, Error, Window};
use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Effects};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::contacts::lock_pair;
use crate::sql::{Id, prepared};
use crate::users::unavailable;
use crate::{Database, effects};

const INSERT: &str = "
    INSERT INTO blocks (blocker_id, blocked_id, created_at, is_care) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING blocker_id, blocked_id, created_at";

const FIND: &str = "
    SELECT blocker_id, blocked_id, created_at FROM blocks WHERE blocker_id = $1 AND blocked_id = $2";

/// The blocker's own request by id goes. Those of the other, and the blocker's by address, stay as their askers see
/// them, and reach nobody: the one must not learn of the block, nor the blocker whose address it is.
const END_REQUESTS: &str = "
    WITH unreached AS (
        UPDATE contact_requests SET to_user = NULL
        WHERE (from_user = $2 AND to_user = $1)
           OR (from_user = $1 AND to_user = $2 AND email_index IS NOT NULL)
    )
    DELETE FROM contact_requests r WHERE r.from_user = $1 AND r.named_user = $2";

/// Waits for those who are just sending, and lets those who come next see the block: `append_messages` locks the
/// same row before it looks.
const LOCK_DIRECT: &str = "
    SELECT c.id FROM conversations c
    WHERE c.kind = 'direct' AND c.direct_low = least($1::uuid, $2::uuid) AND c.direct_high = greatest($1::uuid, $2::uuid)
    FOR NO KEY UPDATE";

const BLOCKS: &str = "
    SELECT b.blocker_id, b.blocked_id, b.created_at FROM blocks b
    WHERE b.blocker_id = $1 AND ($2::timestamptz IS NULL OR (b.created_at, b.blocked_id) < ($2, $3::uuid))
    ORDER BY b.created_at DESC, b.blocked_id DESC OFFSET $4 LIMIT $5";

const BETWEEN: &str = "
    SELECT b.blocked_id AS id FROM blocks b WHERE b.blocker_id = $1 AND b.blocked_id = ANY ($2)
    UNION
    SELECT b.blocker_id FROM blocks b WHERE b.blocked_id = $1 AND b.blocker_id = ANY ($2)";

const AMONG: &str = "
    SELECT DISTINCT least(b.blocker_id, b.blocked_id) AS one, greatest(b.blocker_id, b.blocked_id) AS other
    FROM blocks b WHERE b.blocker_id = ANY ($1) AND b.blocked_id = ANY ($1)";

const ACQUAINTED: &str = "
    SELECT EXISTS (SELECT 1 FROM contacts WHERE user_id = $1 AND contact_id = $2)
        OR EXISTS (SELECT 1 FROM contact_requests WHERE from_user = $2 AND to_user = $1)
        OR EXISTS (
            SELECT 1 FROM participants me
            JOIN participants p ON p.conversation_id = me.conversation_id AND p.user_id = $2
            WHERE me.user_id = $1
        ) AS yes";

const SILENCES: &str = "
    SELECT coalesce((
        SELECT true FROM conversations c
        JOIN blocks b ON least(b.blocker_id, b.blocked_id) = c.direct_low
            AND greatest(b.blocker_id, b.blocked_id) = c.direct_high
        WHERE c.id = $1 AND c.kind = 'direct' LIMIT 1
    ), false) AS yes";

const CARE_BLOCKS: &str = "
    SELECT b.blocker_id, b.blocked_id, b.created_at FROM blocks b
    WHERE b.is_care
      AND ($1::timestamptz IS NULL OR (b.created_at, b.blocker_id, b.blocked_id) < ($1, $2::uuid, $3::uuid))
    ORDER BY b.created_at DESC, b.blocker_id DESC, b.blocked_id DESC OFFSET $4 LIMIT $5";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    blocker_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    blocked_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<Row> for Block {
    fn from(row: Row) -> Self {
        Self { blocker: row.blocker_id.into(), blocked: row.blocked_id.into(), created_at: row.created_at }
    }
}

#[derive(QueryableByName)]
struct Pair {
    #[diesel(sql_type = SqlUuid)]
    one: Uuid,
    #[diesel(sql_type = SqlUuid)]
    other: Uuid,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

async fn block(
    connection: &mut AsyncPgConnection,
    block: &Block,
    is_care: bool,
    left: &Effects,
) -> Result<(Block, bool), BoxError> {
    let (blocker, blocked) = (block.blocker.uuid(), block.blocked.uuid());
    lock_pair(connection, block.blocker, block.blocked).await?;
    let insert = diesel::sql_query(INSERT)
        .bind::<SqlUuid, _>(blocker)
        .bind::<SqlUuid, _>(blocked)
        .bind::<Timestamptz, _>(block.created_at)
        .bind::<Bool, _>(is_care);
    let inserted: Option<Row> = prepared(insert).get_result(connection).await.optional()?;
    let Some(inserted) = inserted else {
        let find = diesel::sql_query(FIND).bind::<SqlUuid, _>(blocker).bind::<SqlUuid, _>(blocked);
        let stands: Row = prepared(find).get_result(connection).await?;
        return Ok((stands.into(), false));
    };
    let end = diesel::sql_query(END_REQUESTS).bind::<SqlUuid, _>(blocker).bind::<SqlUuid, _>(blocked);
    prepared(end).execute(connection).await?;
    effects::store(connection, left).await?;
    let lock = diesel::sql_query(LOCK_DIRECT).bind::<SqlUuid, _>(blocker).bind::<SqlUuid, _>(blocked);
    let _: Option<Id> = prepared(lock).get_result(connection).await.optional()?;
    Ok((inserted.into(), true))
}

#[async_trait]
impl BlockStore for Database {
    async fn block(&self, new: &Block, is_care: bool, left: &Effects) -> Result<(Block, bool), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let outcome = connection
            .transaction(async |connection| block(connection, new, is_care, left).await)
            .await
            .map_err(unavailable)?;
        self.ring();
        Ok(outcome)
    }

    async fn unblock(&self, blocker: UserId, blocked: UserId, left: &Effects) -> Result<(), Error> {
        const DELETE: &str = "DELETE FROM blocks WHERE blocker_id = $1 AND blocked_id = $2";
        let mut connection = self.connection().await.map_err(unavailable)?;
        connection
            .transaction(async |connection| {
                let query = diesel::sql_query(DELETE)
                    .bind::<SqlUuid, _>(blocker.uuid())
                    .bind::<SqlUuid, _>(blocked.uuid());
                if prepared(query).execute(connection).await? > 0 {
                    effects::store(connection, left).await?;
                }
                Ok::<_, BoxError>(())
            })
            .await
            .map_err(unavailable)?;
        self.ring();
        Ok(())
    }

    async fn blocks(&self, blocker: UserId, window: &Window<UserId>) -> Result<Vec<Block>, Error> {
        let query = diesel::sql_query(BLOCKS)
            .bind::<SqlUuid, _>(blocker.uuid())
            .bind::<Nullable<Timestamptz>, _>(window.after.map(|after| after.at))
            .bind::<Nullable<SqlUuid>, _>(window.after.map(|after| after.id.uuid()))
            .bind::<BigInt, _>(window.offset)
            .bind::<BigInt, _>(window.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(Block::from).collect())
    }

    async fn between(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
        let others: Vec<Uuid> = others.iter().map(|id| id.uuid()).collect();
        let query =
            diesel::sql_query(BETWEEN).bind::<SqlUuid, _>(user.uuid()).bind::<Array<SqlUuid>, _>(others);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }

    async fn among(&self, people: &[UserId]) -> Result<Vec<(UserId, UserId)>, Error> {
        let people: Vec<Uuid> = people.iter().map(|id| id.uuid()).collect();
        let query = diesel::sql_query(AMONG).bind::<Array<SqlUuid>, _>(people);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Pair> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|pair| (pair.one.into(), pair.other.into())).collect())
    }

    async fn acquainted(&self, user: UserId, other: UserId) -> Result<bool, Error> {
        let query =
            diesel::sql_query(ACQUAINTED).bind::<SqlUuid, _>(user.uuid()).bind::<SqlUuid, _>(other.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Answer = prepared(query).get_result(&mut connection).await.map_err(unavailable)?;
        Ok(row.yes)
    }

    async fn silences(&self, conversation: ConversationId) -> Result<bool, Error> {
        let query = diesel::sql_query(SILENCES).bind::<SqlUuid, _>(conversation.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Answer = prepared(query).get_result(&mut connection).await.map_err(unavailable)?;
        Ok(row.yes)
    }

    async fn care_blocks(&self, window: &Window<(UserId, UserId)>) -> Result<Vec<Block>, Error> {
        let query = diesel::sql_query(CARE_BLOCKS)
            .bind::<Nullable<Timestamptz>, _>(window.after.map(|after| after.at))
            .bind::<Nullable<SqlUuid>, _>(window.after.map(|after| after.id.0.uuid()))
            .bind::<Nullable<SqlUuid>, _>(window.after.map(|after| after.id.1.uuid()))
            .bind::<BigInt, _>(window.offset)
            .bind::<BigInt, _>(window.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(Block::from).collect())
    }
}
