//! `conversations::HoursStore`.

use alivio_conversations::{Attendance, Attendant, ChatHours, Error, HoursStore};
use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Effects};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Database;
use crate::sql::prepared;

const CLINIC_HOURS: &str = "chat_hours";

const POLICY: &str = "SELECT value FROM clinic_policies WHERE name = $1";

// All take the same: a value, now, a policy's name, a person.
const SET_POLICY: &str = "
    WITH given AS (SELECT $1::jsonb AS value, $2::timestamptz AS now, $3::text AS name, $4::uuid AS person)
    INSERT INTO clinic_policies (name, value, updated_at) SELECT name, value, now FROM given
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";

const CLEAR_POLICY: &str = "
    WITH given AS (SELECT $1::jsonb AS value, $2::timestamptz AS now, $3::text AS name, $4::uuid AS person)
    DELETE FROM clinic_policies p USING given WHERE p.name = given.name";

const SET_HOURS: &str = "
    WITH given AS (SELECT $1::jsonb AS value, $2::timestamptz AS now, $3::text AS name, $4::uuid AS person)
    INSERT INTO chat_hours (user_id, hours, updated_at) SELECT person, value, now FROM given
    ON CONFLICT (user_id) DO UPDATE SET hours = excluded.hours, updated_at = excluded.updated_at";

const CLEAR_HOURS: &str = "
    WITH given AS (SELECT $1::jsonb AS value, $2::timestamptz AS now, $3::text AS name, $4::uuid AS person)
    DELETE FROM chat_hours h USING given WHERE h.user_id = given.person";

const HOURS: &str = "SELECT hours AS value FROM chat_hours WHERE user_id = $1";

const ATTENDANCE: &str = "
    SELECT c.kind, p.user_id, p.user_role, p.moderates, p.hours
    FROM conversations c
    LEFT JOIN LATERAL (
        SELECT p.user_id, u.role AS user_role, p.role = 'moderator' AS moderates, h.hours, p.joined_at
        FROM participants p
        JOIN users u ON u.id = p.user_id AND u.is_active AND u.role <> 'patient'
        LEFT JOIN chat_hours h ON h.user_id = p.user_id
        WHERE p.conversation_id = c.id AND p.left_seq IS NULL
    ) p ON true
    WHERE c.id = $1 ORDER BY p.joined_at, p.user_id";

#[derive(QueryableByName)]
struct Policy {
    #[diesel(sql_type = Jsonb)]
    value: Value,
}

#[derive(QueryableByName)]
struct AttendantRow {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    user_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    user_role: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    moderates: Option<bool>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    hours: Option<Value>,
}

impl AttendantRow {
    fn restore(self) -> Result<Option<Attendant>, Error> {
        let (Some(user), Some(role), Some(moderates)) = (self.user_id, self.user_role, self.moderates) else {
            return Ok(None);
        };
        Ok(Some(Attendant {
            user_id: user.into(),
            role: role.parse().map_err(unavailable)?,
            moderates,
            hours: self.hours.map(read).transpose()?,
        }))
    }
}

pub(crate) fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(unavailable)
}

impl Database {
    /// What the clinic has decided under `name`.
    pub(crate) async fn policy<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, Error> {
        let query = prepared(diesel::sql_query(POLICY).bind::<Text, _>(name));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Policy> = query.load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(|row| read(row.value)).transpose()
    }
}

/// Runs `$change`, which says whether it did something, and stores `$effects` with it if it did: together or not at all.
macro_rules! changed_with {
    ($database:expr, $effects:expr, |$connection:ident| $change:expr) => {{
        let mut connection = $database.connection().await.map_err(crate::hours::unavailable)?;
        let changed: diesel::QueryResult<bool> = connection
            .transaction(async |$connection| {
                let changed: bool = $change;
                if changed {
                    crate::effects::store($connection, $effects).await?;
                }
                Ok(changed)
            })
            .await;
        let changed = changed.map_err(crate::hours::unavailable)?;
        $database.ring();
        changed
    }};
}
pub(crate) use changed_with;

/// Stores what the clinic has decided under `name`.
pub(crate) async fn set_policy(
    connection: &mut AsyncPgConnection,
    name: &'static str,
    value: &Value,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let query = diesel::sql_query(SET_POLICY)
        .bind::<Nullable<Jsonb>, _>(Some(value))
        .bind::<Timestamptz, _>(now)
        .bind::<Text, _>(name)
        .bind::<Nullable<SqlUuid>, _>(None::<Uuid>);
    prepared(query).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl HoursStore for Database {
    async fn hours(&self, of: Option<UserId>) -> Result<Option<ChatHours>, Error> {
        let Some(user) = of else { return self.policy(CLINIC_HOURS).await };
        let query = prepared(diesel::sql_query(HOURS).bind::<SqlUuid, _>(user.uuid()));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Policy> = query.load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(|row| read(row.value)).transpose()
    }

    async fn set_hours(
        &self,
        of: Option<UserId>,
        hours: Option<ChatHours>,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let value = hours.map(serde_json::to_value).transpose().map_err(unavailable)?;
        let sql = match (of, &value) {
            (None, Some(_)) => SET_POLICY,
            (None, None) => CLEAR_POLICY,
            (Some(_), Some(_)) => SET_HOURS,
            (Some(_), None) => CLEAR_HOURS,
        };
        changed_with!(self, &effects, |connection| {
            let query = diesel::sql_query(sql)
                .bind::<Nullable<Jsonb>, _>(value)
                .bind::<Timestamptz, _>(now)
                .bind::<Text, _>(CLINIC_HOURS)
                .bind::<Nullable<SqlUuid>, _>(of.map(UserId::uuid));
            prepared(query).execute(connection).await?;
            true
        });
        Ok(())
    }

    async fn attendance(&self, conversation: ConversationId) -> Result<Option<Attendance>, Error> {
        let query = prepared(diesel::sql_query(ATTENDANCE).bind::<SqlUuid, _>(conversation.uuid()));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<AttendantRow> = query.load(&mut connection).await.map_err(unavailable)?;
        let Some(first) = rows.as_slice().first() else { return Ok(None) };
        let kind = first.kind.parse()?;
        let professionals = rows.into_iter().filter_map(|row| row.restore().transpose());
        Ok(Some(Attendance { kind, professionals: professionals.collect::<Result<_, _>>()? }))
    }
}
