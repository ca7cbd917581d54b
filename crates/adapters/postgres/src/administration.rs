//! `accounts::UserAdministration`.

use alivio_accounts::{
    AccountChange, Changed, Error, RevocationReason, StoredUser, UserAdministration, UserFilter,
};
use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{Effects, Role, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::schema::users;
use crate::sql::{Id, prepared};
use crate::users::{Row, unavailable};
use crate::{Database, effects, sessions};

// Whoever would take away another administrator waits here, and then no longer sees those who are gone.
const LOCK_ADMINISTRATORS: &str =
    "SELECT id FROM users WHERE role = 'it_admin' AND is_active ORDER BY id FOR NO KEY UPDATE";

// What was verified was verified for the role. Whoever is changing their profile meanwhile reads it again.
const CHANGE: &str = "
    WITH changed AS (
        UPDATE users SET is_active = coalesce($2, is_active), role = coalesce($3, role),
            profile_version = profile_version + CASE WHEN $3 IS NULL THEN 0 ELSE 1 END
        WHERE id = $1 AND (is_active, role) IS DISTINCT FROM (coalesce($2, is_active), coalesce($3, role))
        RETURNING id
    ), unverified AS (
        UPDATE professional_profiles p SET credential_status = 'unverified'
        FROM changed c WHERE p.user_id = c.id AND $3 IS NOT NULL
    )
    SELECT id FROM changed";

const EXISTS: &str = "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE";

/// Any number that no other lock has: two who make the first administrator come one after the other.
const LOCK_CREATION: &str = "SELECT pg_advisory_xact_lock(4217330017)";

/// What a transaction comes to: diesel wants to make its own errors of it.
struct Failed(Error);

impl From<DieselError> for Failed {
    fn from(error: DieselError) -> Self {
        Self(match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Error::EmailTaken,
            error => unavailable(error),
        })
    }
}

async fn change(
    connection: &mut AsyncPgConnection,
    user: UserId,
    change: AccountChange,
    reason: RevocationReason,
    now: DateTime<Utc>,
) -> QueryResult<Changed> {
    let (is_active, role, ends_sessions) = match change {
        AccountChange::Deactivate => (Some(false), None, true),
        AccountChange::Activate => (Some(true), None, false),
        AccountChange::Role(role) => (None, Some(role), true),
        AccountChange::EndSessions => (None, None, true),
    };
    if is_active == Some(false) || role.is_some_and(|role| role != Role::ItAdmin) {
        let administrators: Vec<Id> =
            prepared(diesel::sql_query(LOCK_ADMINISTRATORS)).load(connection).await?;
        if administrators.iter().all(|other| other.id == user.uuid()) && !administrators.is_empty() {
            return Ok(Changed::LastAdministrator);
        }
    }
    let exists = || prepared(diesel::sql_query(EXISTS).bind::<SqlUuid, _>(user.uuid()));
    if change == AccountChange::EndSessions {
        if exists().execute(connection).await? == 0 {
            return Ok(Changed::NoSuchUser);
        }
    } else {
        let changed = diesel::sql_query(CHANGE)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<Bool>, _>(is_active)
            .bind::<Nullable<Text>, _>(role.map(Role::as_str));
        if prepared(changed).execute(connection).await? == 0 {
            let known = exists().execute(connection).await? > 0;
            return Ok(if known { Changed::Already } else { Changed::NoSuchUser });
        }
    }
    if ends_sessions {
        // Whoever signs in at the same time does so before, and is seen, or not at all.
        sessions::end_all(connection, user, None, reason, now).await?;
    }
    Ok(Changed::Done)
}

#[async_trait]
impl UserAdministration for Database {
    async fn list(&self, filter: &UserFilter) -> Result<Vec<StoredUser>, Error> {
        let mut query = users::table.select(Row::as_select()).into_boxed();
        if let Some(role) = filter.role {
            query = query.filter(users::role.eq(role.as_str()));
        }
        if let Some(is_active) = filter.is_active {
            query = query.filter(users::is_active.eq(is_active));
        }
        if let Some(index) = filter.email_index {
            query = query.filter(users::email_index.eq(index.to_vec()));
        }
        if let Some(after) = filter.after {
            query = query.filter(users::id.lt(after.uuid()));
        }
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = query
            .order(users::id.desc())
            .offset(filter.offset)
            .limit(filter.size.get() + 1)
            .load(&mut connection)
            .await
            .map_err(unavailable)?;
        rows.into_iter().map(Row::restore).collect()
    }

    async fn with_role(&self, role: Role) -> Result<Vec<UserId>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let ids: Vec<Uuid> = users::table
            .filter(users::role.eq(role.as_str()))
            .filter(users::is_active)
            .select(users::id)
            .load(&mut connection)
            .await
            .map_err(unavailable)?;
        Ok(ids.into_iter().map(UserId::from).collect())
    }

    async fn change(
        &self,
        user: UserId,
        asked: AccountChange,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<Changed, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let changed: QueryResult<_> = connection
            .transaction(async |connection| {
                let changed = change(connection, user, asked, reason, now).await?;
                if changed == Changed::Done {
                    effects::store(connection, &effects).await?;
                }
                Ok(changed)
            })
            .await;
        let changed = changed.map_err(unavailable)?;
        self.ring();
        Ok(changed)
    }

    async fn insert_administrator(
        &self,
        user: &StoredUser,
        email_index: [u8; 16],
        password_hash: &Sensitive<String>,
        must_change_password: bool,
        force: bool,
        effects: Effects,
    ) -> Result<(), Error> {
        let values = (
            Row::from(user),
            users::email_index.eq(email_index.to_vec()),
            users::password_hash.eq(password_hash.expose()),
            users::must_change_password.eq(must_change_password),
        );
        let mut connection = self.connection().await.map_err(unavailable)?;
        let inserted = connection
            .transaction(async |connection| {
                connection.batch_execute(LOCK_CREATION).await?;
                let others: Vec<Id> =
                    prepared(diesel::sql_query(LOCK_ADMINISTRATORS)).load(connection).await?;
                if !others.is_empty() && !force {
                    return Err(Failed(Error::AdministratorExists));
                }
                diesel::insert_into(users::table).values(values).execute(connection).await?;
                Ok(effects::store(connection, &effects).await?)
            })
            .await;
        inserted.map_err(|Failed(error)| error)?;
        self.ring();
        Ok(())
    }
}
