//! `conversations::EmergencyStore`.

use alivio_conversations::{
    AcknowledgedEmergency, Emergency, EmergencyQuery, EmergencyStore, Error, NewEmergency, OnCallList,
    OpenedEmergency, SeenEmergency,
};
use alivio_kernel::Effects;
use alivio_kernel::ids::{EmergencyId, UserId, Uuid};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, RunQueryDsl};

use crate::hours::{changed_with, set_policy, unavailable};
use crate::sql::{Id, prepared};
use crate::{Database, effects};

const ON_CALL: &str = "on_call";

/// The columns of an [`EmergencyRow`], of `emergencies e`.
macro_rules! emergency_columns {
    () => {
        "e.id, e.patient_id, e.conversation_id, e.opened_by, e.opened_at, e.level, e.acknowledged_by,
         e.acknowledged_at, e.resolved_by, e.resolved_at,
         (SELECT count(DISTINCT g.user_id) FROM emergency_pages g WHERE g.emergency_id = e.id) AS paged"
    };
}

// Nothing is stored unless the emergency is: the other inserts select from the row it returns. The index over open ones
// makes whoever comes second wait for the first.
const OPEN: &str = "
    WITH opened AS (
        INSERT INTO emergencies (id, patient_id, conversation_id, opened_by, opened_at, level)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (patient_id) WHERE resolved_at IS NULL DO NOTHING
        RETURNING id, patient_id, conversation_id, opened_by
    ), room AS (
        INSERT INTO conversations (id, kind, purpose, created_by, created_at, updated_at)
        SELECT conversation_id, 'emergency', 'care', opened_by, $5, $5 FROM opened
        RETURNING id
    ), joined AS (
        INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, delivered_up_to, read_up_to)
        SELECT o.conversation_id, p.user_id, p.role, $5, 1, 0, 0
        FROM opened o, LATERAL (
            SELECT o.patient_id AS user_id, 'member' AS role
            UNION ALL SELECT o.opened_by, 'moderator' WHERE o.opened_by <> o.patient_id
        ) p
    ), paged AS (
        INSERT INTO emergency_pages (emergency_id, user_id, level, paged_at)
        SELECT o.id, person, $6, $5 FROM opened o, unnest($7::uuid[]) AS person
    )
    SELECT id FROM opened";

const OPEN_OF: &str = concat!(
    "SELECT ",
    emergency_columns!(),
    " FROM emergencies e WHERE e.patient_id = $1 AND e.resolved_at IS NULL"
);

const FIND: &str = concat!(
    "SELECT ",
    emergency_columns!(),
    ", EXISTS (SELECT 1 FROM emergency_pages g WHERE g.emergency_id = e.id AND g.user_id = $2) AS was_paged,
     p.role = 'moderator' AS moderates
     FROM emergencies e
     LEFT JOIN participants p ON p.conversation_id = e.conversation_id AND p.user_id = $2 AND p.left_seq IS NULL
     WHERE e.id = $1"
);

const LIST: &str = concat!(
    "SELECT ",
    emergency_columns!(),
    " FROM emergencies e
     WHERE ($1::uuid IS NULL
         OR EXISTS (SELECT 1 FROM emergency_pages g WHERE g.emergency_id = e.id AND g.user_id = $1)
         OR EXISTS (SELECT 1 FROM participants p WHERE p.conversation_id = e.conversation_id AND p.user_id = $1
             AND p.role = 'moderator' AND p.left_seq IS NULL))
       AND ($2::boolean IS NULL OR (e.resolved_at IS NULL) = $2)
       AND ($3::uuid IS NULL OR e.id < $3)
     ORDER BY e.id DESC LIMIT $4"
);

const PAGED: &str = "SELECT DISTINCT user_id AS id FROM emergency_pages WHERE emergency_id = $1";

const ESCALATE: &str = "
    WITH climbed AS (
        UPDATE emergencies SET level = $3
        WHERE id = $1 AND level = $2 AND acknowledged_at IS NULL AND resolved_at IS NULL
        RETURNING id
    ), paged AS (
        INSERT INTO emergency_pages (emergency_id, user_id, level, paged_at)
        SELECT c.id, person, $3, $5 FROM climbed c, unnest($4::uuid[]) AS person
        ON CONFLICT (emergency_id, user_id, level) DO UPDATE SET paged_at = excluded.paged_at
    )
    SELECT id FROM climbed";

const CALL_AGAIN: &str = "
    WITH called AS (
        UPDATE emergencies SET level = $3, acknowledged_by = NULL, acknowledged_at = NULL
        WHERE id = $1 AND acknowledged_at = $2 AND resolved_at IS NULL
        RETURNING id
    ), paged AS (
        INSERT INTO emergency_pages (emergency_id, user_id, level, paged_at)
        SELECT c.id, person, $3, $5 FROM called c, unnest($4::uuid[]) AS person
        ON CONFLICT (emergency_id, user_id, level) DO UPDATE SET paged_at = excluded.paged_at
    )
    SELECT id FROM called";

const LOCK: &str = "
    SELECT e.acknowledged_at IS NULL AS first FROM emergencies e
    WHERE e.id = $1 AND e.resolved_at IS NULL FOR NO KEY UPDATE";

const ACKNOWLEDGE: &str = "
    UPDATE emergencies SET acknowledged_by = $2, acknowledged_at = $3 WHERE id = $1 AND acknowledged_at IS NULL";

// Whoever comes to help reads all of it: it was said to them. Who was in it before, and wrote, finds their own counted.
const JOIN: &str = "
    WITH changed AS (
        UPDATE conversations c SET members_version = c.members_version + 1, updated_at = greatest(c.updated_at, $3)
        FROM emergencies e
        WHERE e.id = $1 AND c.id = e.conversation_id AND NOT EXISTS (
            SELECT 1 FROM participants p WHERE p.conversation_id = c.id AND p.user_id = $2 AND p.left_seq IS NULL)
        RETURNING c.id
    ), joined AS (
        INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, delivered_up_to, read_up_to)
        SELECT id, $2, 'moderator', $3, 1, 0, 0 FROM changed
        ON CONFLICT (conversation_id, user_id) DO UPDATE SET role = excluded.role, joined_at = excluded.joined_at,
            joined_seq = 1, left_at = NULL, left_seq = NULL, delivered_up_to = 0, read_up_to = 0, own_read = 0,
            own_total = (SELECT count(*) FROM messages m
                WHERE m.conversation_id = excluded.conversation_id AND m.sender_id = excluded.user_id)
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, at) SELECT id, 'participant.joined', $2, $3 FROM changed
    )
    SELECT id FROM changed";

const PROMOTE: &str = "
    UPDATE participants p SET role = 'moderator' FROM emergencies e
    WHERE e.id = $1 AND p.conversation_id = e.conversation_id AND p.user_id = $2 AND p.left_seq IS NULL";

const RESOLVE: &str = "
    WITH ended AS (
        UPDATE emergencies SET resolved_by = $2, resolved_at = $3 WHERE id = $1 AND resolved_at IS NULL
        RETURNING id, conversation_id
    ), closed AS (
        UPDATE conversations c SET is_active = false, updated_at = greatest(c.updated_at, $3)
        FROM ended WHERE c.id = ended.conversation_id
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, at)
        SELECT conversation_id, 'conversation.closed', $2, $3 FROM ended
    )
    SELECT id FROM ended";

#[derive(QueryableByName)]
struct First {
    #[diesel(sql_type = Bool)]
    first: bool,
}

#[derive(QueryableByName)]
struct EmergencyRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    patient_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    opened_by: Uuid,
    #[diesel(sql_type = Timestamptz)]
    opened_at: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    level: i32,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    acknowledged_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    acknowledged_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    resolved_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    resolved_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    paged: i64,
}

#[derive(QueryableByName)]
struct SeenRow {
    #[diesel(embed)]
    emergency: EmergencyRow,
    #[diesel(sql_type = Bool)]
    was_paged: bool,
    #[diesel(sql_type = Nullable<Bool>)]
    moderates: Option<bool>,
}

impl From<EmergencyRow> for Emergency {
    fn from(row: EmergencyRow) -> Self {
        let by = |user: Option<Uuid>, at: Option<DateTime<Utc>>| user.map(UserId::from).zip(at);
        Self {
            id: row.id.into(),
            patient_id: row.patient_id.into(),
            conversation_id: row.conversation_id.into(),
            opened_by: row.opened_by.into(),
            opened_at: row.opened_at,
            level: row.level,
            paged: row.paged,
            acknowledged: by(row.acknowledged_by, row.acknowledged_at),
            resolved: by(row.resolved_by, row.resolved_at),
        }
    }
}

fn uuids(people: &[UserId]) -> Vec<Uuid> {
    people.iter().map(|user| user.uuid()).collect()
}

/// Runs a statement that returns a row if it did something, and stores `$effects` with it only then.
macro_rules! if_done {
    ($database:expr, $query:expr, $effects:expr) => {
        changed_with!($database, $effects, |connection| {
            let rows: Vec<Id> = prepared($query).load(connection).await?;
            rows.into_iter().map(|row| row.id).next().is_some()
        })
    };
}

#[async_trait]
impl EmergencyStore for Database {
    async fn on_call(&self) -> Result<OnCallList, Error> {
        Ok(self.policy(ON_CALL).await?.unwrap_or_default())
    }

    async fn set_on_call(
        &self,
        list: &OnCallList,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let value = serde_json::to_value(list).map_err(unavailable)?;
        changed_with!(self, &effects, |connection| {
            set_policy(connection, ON_CALL, &value, now).await?;
            true
        });
        Ok(())
    }

    async fn open(&self, new: &NewEmergency, effects: Effects) -> Result<OpenedEmergency, Error> {
        let query = diesel::sql_query(OPEN)
            .bind::<SqlUuid, _>(new.id.uuid())
            .bind::<SqlUuid, _>(new.patient_id.uuid())
            .bind::<SqlUuid, _>(new.conversation_id.uuid())
            .bind::<SqlUuid, _>(new.opened_by.uuid())
            .bind::<Timestamptz, _>(new.opened_at)
            .bind::<Integer, _>(new.paged.0)
            .bind::<Array<SqlUuid>, _>(uuids(&new.paged.1));
        let is_new = if_done!(self, query, &effects);
        // A new statement sees what the first has stored.
        let query = prepared(diesel::sql_query(OPEN_OF).bind::<SqlUuid, _>(new.patient_id.uuid()));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<EmergencyRow> = query.load(&mut connection).await.map_err(unavailable)?;
        let emergency: Emergency = rows.into_iter().next().ok_or(Error::Stale)?.into();
        Ok(if is_new && emergency.id == new.id {
            OpenedEmergency::New(emergency)
        } else {
            OpenedEmergency::Continues(emergency)
        })
    }

    async fn find(&self, viewer: UserId, id: EmergencyId) -> Result<Option<SeenEmergency>, Error> {
        let query = diesel::sql_query(FIND).bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(viewer.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<SeenRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(|row| SeenEmergency {
            emergency: row.emergency.into(),
            was_paged: row.was_paged,
            moderates: row.moderates,
        }))
    }

    async fn list(&self, query: &EmergencyQuery) -> Result<Vec<Emergency>, Error> {
        let query = diesel::sql_query(LIST)
            .bind::<Nullable<SqlUuid>, _>(query.of.map(UserId::uuid))
            .bind::<Nullable<Bool>, _>(query.open)
            .bind::<Nullable<SqlUuid>, _>(query.after.map(EmergencyId::uuid))
            .bind::<BigInt, _>(query.limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<EmergencyRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(Emergency::from).collect())
    }

    async fn paged(&self, id: EmergencyId) -> Result<Vec<UserId>, Error> {
        let query = prepared(diesel::sql_query(PAGED).bind::<SqlUuid, _>(id.uuid()));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = query.load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }

    async fn escalate(
        &self,
        id: EmergencyId,
        from: i32,
        to: &(i32, Vec<UserId>),
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(ESCALATE)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<Integer, _>(from)
            .bind::<Integer, _>(to.0)
            .bind::<Array<SqlUuid>, _>(uuids(&to.1))
            .bind::<Timestamptz, _>(now);
        Ok(if_done!(self, query, &effects))
    }

    async fn call_again(
        &self,
        id: EmergencyId,
        acknowledged_at: DateTime<Utc>,
        to: &(i32, Vec<UserId>),
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(CALL_AGAIN)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<Timestamptz, _>(acknowledged_at)
            .bind::<Integer, _>(to.0)
            .bind::<Array<SqlUuid>, _>(uuids(&to.1))
            .bind::<Timestamptz, _>(now);
        Ok(if_done!(self, query, &effects))
    }

    async fn acknowledge(
        &self,
        id: EmergencyId,
        by: UserId,
        now: DateTime<Utc>,
        acknowledged: Effects,
        joined: Effects,
    ) -> Result<Option<AcknowledgedEmergency>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let bound = |sql: &'static str| {
            diesel::sql_query(sql).bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(by.uuid())
        };
        let done: QueryResult<Option<(bool, bool)>> = connection
            .transaction(async |connection| {
                // Of several at once, each sees what those before have done.
                let locked = prepared(diesel::sql_query(LOCK).bind::<SqlUuid, _>(id.uuid()));
                let locked: Vec<First> = locked.load(connection).await?;
                let Some(First { first }) = locked.into_iter().next() else { return Ok(None) };
                if first {
                    let query = prepared(bound(ACKNOWLEDGE).bind::<Timestamptz, _>(now));
                    query.execute(connection).await?;
                    effects::store(connection, &acknowledged).await?;
                }
                let query = prepared(bound(JOIN).bind::<Timestamptz, _>(now));
                let rows: Vec<Id> = query.load(connection).await?;
                if rows.is_empty() {
                    prepared(bound(PROMOTE)).execute(connection).await?;
                } else {
                    effects::store(connection, &joined).await?;
                }
                Ok::<_, DieselError>(Some((first, !rows.is_empty())))
            })
            .await;
        let Some((first, joined)) = done.map_err(unavailable)? else { return Ok(None) };
        drop(connection);
        self.ring();
        let seen = self.find(by, id).await?;
        Ok(seen.map(|seen| AcknowledgedEmergency { emergency: seen.emergency, first, joined }))
    }

    async fn resolve(
        &self,
        id: EmergencyId,
        by: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(RESOLVE)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(by.uuid())
            .bind::<Timestamptz, _>(now);
        Ok(if_done!(self, query, &effects))
    }
}
