//! `audit::AuditReader` and `audit::GrantStore`.

use alivio_audit::{
    After, AuditReader, Ended, Error, GrantStore, NewGrant, Recorded, StoredGrant, TrailFilter,
};
use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{GrantId, UserId, Uuid};
use alivio_kernel::{BoxError, Effects, PageSize, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use crate::sql::prepared;
use crate::{Database, effects};

macro_rules! select_entries {
    ($condition:literal) => {
        concat!(
            "SELECT a.id, a.at, a.actor_id, a.actor_role, host(a.address) AS address, a.action, a.subject_id,
                a.object_kind, a.object_id, a.outcome, a.reason
            FROM audit_log a WHERE ",
            $condition,
            "
              AND ($1::timestamptz IS NULL OR (a.at, a.id) < ($1, $2::uuid))
            ORDER BY a.at DESC, a.id DESC LIMIT $3"
        )
    };
}

const ENTRIES: &str = select_entries!(
    "($4::uuid IS NULL OR a.actor_id = $4)
     AND ($5::uuid IS NULL OR a.subject_id = $5)
     AND ($6::text IS NULL OR starts_with(a.action, $6))
     AND ($7::text IS NULL OR a.object_kind = $7)
     AND ($8::uuid IS NULL OR a.object_id = $8)
     AND ($9::text IS NULL OR a.outcome = $9)
     AND ($10::timestamptz IS NULL OR a.at >= $10)
     AND ($11::timestamptz IS NULL OR a.at < $11)"
);

const BY_OTHERS: &str = select_entries!("a.subject_id = $4 AND a.actor_id <> $4");

// Whoever asks for a second grant waits here for the first one. The conversation's members stay as they are until the
// commit.
const LOCK_ADMIN: &str = "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE";
const LOCK_MEMBERS: &str = "SELECT id FROM conversations WHERE id = $1 AND members_version = $2 FOR SHARE";

const OPEN: &str = "
    INSERT INTO break_glass_grants (id, admin_id, conversation_id, reason, opened_at, expires_at)
    SELECT $1, $2, $3, $4, $5, $6
    WHERE NOT EXISTS (
        SELECT 1 FROM break_glass_grants g
        WHERE g.admin_id = $2 AND g.conversation_id = $3 AND g.ended_at IS NULL AND g.expires_at > $5)
    RETURNING id";

const FIND: &str = "
    SELECT id, admin_id, conversation_id, reason, opened_at, expires_at, ended_at, ended_by
    FROM break_glass_grants WHERE id = $1";

const LIST: &str = "
    SELECT id, admin_id, conversation_id, reason, opened_at, expires_at, ended_at, ended_by
    FROM break_glass_grants
    WHERE ($1::timestamptz IS NULL OR (opened_at, id) < ($1, $2::uuid))
    ORDER BY opened_at DESC, id DESC LIMIT $3";

const END: &str = "
    UPDATE break_glass_grants SET ended_at = $3, ended_by = $2
    WHERE id = $1 AND ended_at IS NULL AND expires_at > $3
    RETURNING id";

#[derive(QueryableByName)]
struct EntryRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    actor_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    actor_role: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    subject_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    object_kind: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    object_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
}

impl EntryRow {
    fn restore(self) -> Result<Recorded, Error> {
        Ok(Recorded {
            id: self.id.into(),
            at: self.at,
            actor: self.actor_id.map(UserId::from),
            actor_role: self.actor_role.map(|role| role.parse()).transpose().map_err(unavailable)?,
            address: self.address.map(|address| address.parse()).transpose().map_err(unavailable)?,
            action: self.action,
            subject: self.subject_id.map(UserId::from),
            object: self.object_kind.zip(self.object_id),
            outcome: Outcome::parse(&self.outcome).ok_or_else(|| unavailable("unknown outcome"))?,
            reason: self.reason,
        })
    }
}

#[derive(QueryableByName)]
struct GrantRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    admin_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = Bytea)]
    reason: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    opened_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ended_by: Option<Uuid>,
}

impl From<GrantRow> for StoredGrant {
    fn from(row: GrantRow) -> Self {
        Self {
            id: row.id.into(),
            admin_id: row.admin_id.into(),
            conversation_id: row.conversation_id.into(),
            reason: Sealed::from_bytes(row.reason),
            opened_at: row.opened_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
            ended_by: row.ended_by.map(UserId::from),
        }
    }
}

fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

/// What a transaction comes to: diesel wants to make its own errors of it.
struct Failed(Error);

impl From<diesel::result::Error> for Failed {
    fn from(error: diesel::result::Error) -> Self {
        Self(unavailable(error))
    }
}

#[async_trait]
impl AuditReader for Database {
    async fn entries(
        &self,
        filter: &TrailFilter,
        after: Option<After>,
        size: PageSize,
    ) -> Result<Vec<Recorded>, Error> {
        let query = diesel::sql_query(ENTRIES)
            .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.at))
            .bind::<Nullable<SqlUuid>, _>(after.map(|after| after.id))
            .bind::<BigInt, _>(size.get() + 1)
            .bind::<Nullable<SqlUuid>, _>(filter.actor.map(UserId::uuid))
            .bind::<Nullable<SqlUuid>, _>(filter.subject.map(UserId::uuid))
            .bind::<Nullable<Text>, _>(filter.action.as_ref().map(|action| action.as_str()))
            .bind::<Nullable<Text>, _>(filter.object_kind.as_ref().map(|kind| kind.as_str()))
            .bind::<Nullable<SqlUuid>, _>(filter.object_id)
            .bind::<Nullable<Text>, _>(filter.outcome.map(Outcome::as_str))
            .bind::<Nullable<Timestamptz>, _>(filter.from)
            .bind::<Nullable<Timestamptz>, _>(filter.to);
        let mut connection = self.connection().await.map_err(unavailable)?;
        // Planned anew each time, as the filters decide which index serves.
        let rows: Vec<EntryRow> = query.load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(EntryRow::restore).collect()
    }

    async fn by_others(
        &self,
        subject: UserId,
        after: Option<After>,
        size: PageSize,
    ) -> Result<Vec<Recorded>, Error> {
        let query = diesel::sql_query(BY_OTHERS)
            .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.at))
            .bind::<Nullable<SqlUuid>, _>(after.map(|after| after.id))
            .bind::<BigInt, _>(size.get() + 1)
            .bind::<SqlUuid, _>(subject.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<EntryRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(EntryRow::restore).collect()
    }
}

#[async_trait]
impl GrantStore for Database {
    async fn open(&self, grant: &NewGrant, effects: Effects) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let opened = connection
            .transaction(async |connection| {
                let admin = diesel::sql_query(LOCK_ADMIN).bind::<SqlUuid, _>(grant.admin_id.uuid());
                prepared(admin).execute(connection).await?;
                let members = diesel::sql_query(LOCK_MEMBERS)
                    .bind::<SqlUuid, _>(grant.conversation_id.uuid())
                    .bind::<BigInt, _>(grant.members_version);
                if prepared(members).execute(connection).await? == 0 {
                    return Err(Failed(Error::Stale));
                }
                let open = diesel::sql_query(OPEN)
                    .bind::<SqlUuid, _>(grant.id.uuid())
                    .bind::<SqlUuid, _>(grant.admin_id.uuid())
                    .bind::<SqlUuid, _>(grant.conversation_id.uuid())
                    .bind::<Bytea, _>(grant.reason.as_bytes())
                    .bind::<Timestamptz, _>(grant.opened_at)
                    .bind::<Timestamptz, _>(grant.expires_at);
                if prepared(open).execute(connection).await? == 0 {
                    return Err(Failed(Error::GrantOpen));
                }
                Ok(effects::store(connection, &effects).await?)
            })
            .await;
        opened.map_err(|Failed(error)| error)?;
        self.ring();
        Ok(())
    }

    async fn find(&self, grant: GrantId) -> Result<Option<StoredGrant>, Error> {
        let query = diesel::sql_query(FIND).bind::<SqlUuid, _>(grant.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<GrantRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(StoredGrant::from))
    }

    async fn list(&self, after: Option<After>, size: PageSize) -> Result<Vec<StoredGrant>, Error> {
        let query = diesel::sql_query(LIST)
            .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.at))
            .bind::<Nullable<SqlUuid>, _>(after.map(|after| after.id))
            .bind::<BigInt, _>(size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<GrantRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(StoredGrant::from).collect())
    }

    async fn end(
        &self,
        grant: GrantId,
        by: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<Ended, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let ended = connection
            .transaction(async |connection| {
                let end = diesel::sql_query(END)
                    .bind::<SqlUuid, _>(grant.uuid())
                    .bind::<SqlUuid, _>(by.uuid())
                    .bind::<Timestamptz, _>(now);
                if prepared(end).execute(connection).await? == 0 {
                    return Ok(Ended::NotOpen);
                }
                effects::store(connection, &effects).await?;
                Ok(Ended::Ended)
            })
            .await;
        let ended = ended.map_err(|Failed(error)| error)?;
        self.ring();
        Ok(ended)
    }
}
