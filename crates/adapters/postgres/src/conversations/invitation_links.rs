//! `conversations::LinkStore`.

use alivio_conversations::{Error, InvitationLink, LinkStore, TokenHash};
use alivio_kernel::Effects;
use alivio_kernel::ids::{ConversationId, InvitationLinkId, UserId, Uuid};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Bytea, Integer, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{Done, unavailable};
use crate::sql::prepared;
use crate::{Database, effects};

const ISSUE: &str = "
    INSERT INTO invitation_links (id, conversation_id, token_hash, created_by, created_at, expires_at, max_uses)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

macro_rules! select_link {
    ($where:literal) => {
        concat!(
            "SELECT id, conversation_id, created_by, created_at, expires_at, max_uses, uses, revoked_at
             FROM invitation_links WHERE ",
            $where
        )
    };
}
const OF: &str = select_link!("conversation_id = $1 ORDER BY id DESC");
const BY_HASH: &str = select_link!("token_hash = $1");

const REVOKE: &str = "
    UPDATE invitation_links SET revoked_at = $3 WHERE id = $2 AND conversation_id = $1 AND revoked_at IS NULL";

const EXISTS: &str = "
    SELECT EXISTS (SELECT 1 FROM invitation_links WHERE id = $2 AND conversation_id = $1) AS done";

// Whoever changes the members meanwhile makes the others wait and then fail, so that each use sees those before it.
const ADMIT: &str = "
    WITH good AS (
        SELECT l.id, l.conversation_id FROM invitation_links l
        WHERE l.id = $5 AND l.conversation_id = $1 AND l.revoked_at IS NULL AND l.expires_at > $4
          AND (l.max_uses IS NULL OR l.uses < l.max_uses)
    ), changed AS (
        UPDATE conversations c SET members_version = c.members_version + 1, updated_at = greatest(c.updated_at, $4)
        FROM good
        WHERE c.id = good.conversation_id AND c.members_version = $2 AND NOT EXISTS (
            SELECT 1 FROM participants p WHERE p.conversation_id = $1 AND p.user_id = $3 AND p.left_seq IS NULL)
        RETURNING c.id, c.last_seq
    ), used AS (
        UPDATE invitation_links l SET uses = l.uses + 1 FROM changed WHERE l.id = $5
    ), joined AS (
        INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, delivered_up_to, read_up_to)
        SELECT id, $3, 'member', $4, last_seq + 1, last_seq, last_seq FROM changed
        ON CONFLICT (conversation_id, user_id) DO UPDATE SET role = excluded.role,
            joined_at = excluded.joined_at, joined_seq = excluded.joined_seq, left_at = NULL, left_seq = NULL,
            delivered_up_to = excluded.delivered_up_to, read_up_to = excluded.read_up_to, own_total = 0, own_read = 0,
            archived_at = NULL, pinned_at = NULL, muted_at = NULL, muted_until = NULL
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, at) SELECT id, 'participant.joined', $3, $4 FROM changed
    )
    SELECT EXISTS (SELECT 1 FROM good) AS good, EXISTS (SELECT 1 FROM changed) AS admitted, EXISTS (
        SELECT 1 FROM participants p WHERE p.conversation_id = $1 AND p.user_id = $3 AND p.left_seq IS NULL
    ) AS was_in";

#[derive(QueryableByName)]
struct LinkRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    created_by: Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Integer>)]
    max_uses: Option<i32>,
    #[diesel(sql_type = Integer)]
    uses: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    revoked_at: Option<DateTime<Utc>>,
}

impl From<LinkRow> for InvitationLink {
    fn from(row: LinkRow) -> Self {
        Self {
            id: row.id.into(),
            conversation_id: row.conversation_id.into(),
            created_by: row.created_by.into(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            max_uses: row.max_uses,
            uses: row.uses,
            revoked_at: row.revoked_at,
        }
    }
}

#[derive(QueryableByName)]
struct Admission {
    #[diesel(sql_type = Bool)]
    good: bool,
    #[diesel(sql_type = Bool)]
    admitted: bool,
    #[diesel(sql_type = Bool)]
    was_in: bool,
}

#[async_trait]
impl LinkStore for Database {
    async fn issue(&self, link: &InvitationLink, hash: &TokenHash, effects: Effects) -> Result<(), Error> {
        let query = diesel::sql_query(ISSUE)
            .bind::<SqlUuid, _>(link.id.uuid())
            .bind::<SqlUuid, _>(link.conversation_id.uuid())
            .bind::<Bytea, _>(hash.as_slice())
            .bind::<SqlUuid, _>(link.created_by.uuid())
            .bind::<Timestamptz, _>(link.created_at)
            .bind::<Timestamptz, _>(link.expires_at)
            .bind::<Nullable<Integer>, _>(link.max_uses);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: QueryResult<()> = connection
            .transaction(async |connection| {
                prepared(query).execute(connection).await?;
                effects::store(connection, &effects).await
            })
            .await;
        work.map_err(unavailable)
    }

    async fn of(&self, conversation: ConversationId) -> Result<Vec<InvitationLink>, Error> {
        let query = diesel::sql_query(OF).bind::<SqlUuid, _>(conversation.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<LinkRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(InvitationLink::from).collect())
    }

    async fn by_hash(&self, hash: &TokenHash) -> Result<Option<InvitationLink>, Error> {
        let query = diesel::sql_query(BY_HASH).bind::<Bytea, _>(hash.as_slice());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<LinkRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(InvitationLink::from))
    }

    async fn revoke(
        &self,
        conversation: ConversationId,
        link: InvitationLinkId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let revoke = diesel::sql_query(REVOKE)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(link.uuid())
            .bind::<Timestamptz, _>(now);
        let exists =
            diesel::sql_query(EXISTS).bind::<SqlUuid, _>(conversation.uuid()).bind::<SqlUuid, _>(link.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: QueryResult<bool> = connection
            .transaction(async |connection| {
                if prepared(revoke).execute(connection).await? == 0 {
                    let row: Done = prepared(exists).get_result(connection).await?;
                    return Ok(row.done);
                }
                effects::store(connection, &effects).await?;
                Ok(true)
            })
            .await;
        work.map_err(unavailable)
    }

    async fn admit(
        &self,
        link: &InvitationLink,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let query = diesel::sql_query(ADMIT)
            .bind::<SqlUuid, _>(link.conversation_id.uuid())
            .bind::<BigInt, _>(members_version)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<SqlUuid, _>(link.id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: QueryResult<Admission> = connection
            .transaction(async |connection| {
                let row: Admission = prepared(query).get_result(connection).await?;
                if row.admitted {
                    effects::store(connection, &effects).await?;
                }
                Ok(row)
            })
            .await;
        let row = work.map_err(unavailable)?;
        self.ring();
        match row {
            Admission { admitted: true, .. } | Admission { was_in: true, .. } => Ok(()),
            Admission { good: false, .. } => Err(Error::NotFound),
            Admission { .. } => Err(Error::Stale),
        }
    }
}
