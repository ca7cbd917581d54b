//! `accounts::SecondFactorStore`.

use alivio_accounts::{
    Attempt, Confirmation, CredentialEpoch, Error, RevocationReason, SecondFactorStore, SecretHash,
    StoredFactor, lock_after,
};
use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Bytea, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::schema::{recovery_codes as codes, second_factors as factors};
use crate::sql::prepared;
use crate::users::unavailable;
use crate::{Database, effects, sessions};

#[derive(Queryable, Selectable)]
#[diesel(table_name = factors)]
struct Row {
    secret: Vec<u8>,
    confirmed_at: Option<DateTime<Utc>>,
    failures: i32,
    locked_until: Option<DateTime<Utc>>,
}

impl Row {
    async fn restore(self, connection: &mut AsyncPgConnection, user: UserId) -> QueryResult<StoredFactor> {
        let unused = codes::user_id.eq(user.uuid()).and(codes::used_at.is_null());
        let left: i64 = codes::table.filter(unused).count().get_result(connection).await?;
        Ok(StoredFactor {
            secret: Sealed::from_bytes(self.secret),
            confirmed_at: self.confirmed_at,
            recovery_codes_left: u32::try_from(left).unwrap_or(u32::MAX),
        })
    }
}

async fn begin_attempt(
    connection: &mut AsyncPgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> QueryResult<Attempt> {
    let on =
        factors::table.filter(factors::user_id.eq(user.uuid())).filter(factors::confirmed_at.is_not_null());
    // The row lock makes those who try at once take their turns.
    let row: Option<Row> = on.select(Row::as_select()).for_update().first(connection).await.optional()?;
    let Some(row) = row else { return Ok(Attempt::Off) };
    if let Some(until) = row.locked_until.filter(|until| now < *until) {
        return Ok(Attempt::Locked { until });
    }
    let failures = row.failures.saturating_add(1);
    let locks_until = lock_after(failures.unsigned_abs()).map(|lock| now + lock);
    diesel::update(factors::table.filter(factors::user_id.eq(user.uuid())))
        .set((factors::failures.eq(failures), factors::locked_until.eq(locks_until)))
        .execute(connection)
        .await?;
    let factor = row.restore(connection, user).await?;
    Ok(Attempt::Begun { factor, locks_until })
}

// Pending ones are replaced; one that is on stays as it is.
const BEGIN: &str = "
    INSERT INTO second_factors (user_id, secret, created_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at
    WHERE second_factors.confirmed_at IS NULL";

const CONFIRM: &str = "
    WITH confirmed AS (
        UPDATE second_factors SET confirmed_at = $3, last_step = $4, failures = 0, locked_until = NULL
        WHERE user_id = $1 AND secret = $2 AND confirmed_at IS NULL
        RETURNING user_id
    )
    INSERT INTO recovery_codes (user_id, hash) SELECT user_id, unnest($5) FROM confirmed";

// The row lock makes those that come at once see the step of the first.
const USE_STEP: &str = "
    UPDATE second_factors SET last_step = $2, failures = 0, locked_until = NULL
    WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2";

const USE_RECOVERY_CODE: &str = "
    WITH used AS (
        UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND hash = $2 AND used_at IS NULL
        RETURNING user_id
    )
    UPDATE second_factors f SET failures = 0, locked_until = NULL FROM used
    WHERE f.user_id = used.user_id AND f.confirmed_at IS NOT NULL";

const FORGET_CODES: &str = "DELETE FROM recovery_codes WHERE user_id = $1";

const RENEW_CODES: &str = "
    INSERT INTO recovery_codes (user_id, hash)
    SELECT user_id, unnest($2) FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL";

const REMOVE: &str = "DELETE FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL";

fn bytes(hashes: &[SecretHash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.0.to_vec()).collect()
}

/// One transaction: the statement, and the effects if it changed something. Whether it did.
macro_rules! change {
    ($self:ident, $effects:ident, $connection:ident => $changed:expr) => {{
        let mut connection = $self.connection().await.map_err(unavailable)?;
        let work = connection.transaction::<_, DieselError, _>(async |$connection| {
            let changed: usize = $changed;
            if changed > 0 {
                effects::store($connection, &$effects).await?;
            }
            Ok(changed > 0)
        });
        let changed = work.await.map_err(unavailable)?;
        $self.ring();
        Ok(changed)
    }};
}

#[async_trait]
impl SecondFactorStore for Database {
    async fn find(&self, user: UserId) -> Result<Option<StoredFactor>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<Row> = factors::table
            .filter(factors::user_id.eq(user.uuid()))
            .select(Row::as_select())
            .first(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        match row {
            Some(row) => row.restore(&mut connection, user).await.map(Some).map_err(unavailable),
            None => Ok(None),
        }
    }

    async fn begin(
        &self,
        user: UserId,
        secret: &Sealed,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let begun: Result<bool, Error> = change!(self, effects, connection => {
            let query = diesel::sql_query(BEGIN)
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Bytea, _>(secret.as_bytes())
                .bind::<Timestamptz, _>(now);
            prepared(query).execute(connection).await?
        });
        if begun? { Ok(()) } else { Err(Error::SecondFactorOn) }
    }

    async fn confirm(
        &self,
        confirmation: &Confirmation,
        effects: Effects,
    ) -> Result<Option<CredentialEpoch>, Error> {
        let &Confirmation { user_id, session, at, .. } = confirmation;
        let query = diesel::sql_query(CONFIRM)
            .bind::<SqlUuid, _>(user_id.uuid())
            .bind::<Bytea, _>(confirmation.secret.as_bytes())
            .bind::<Timestamptz, _>(at)
            .bind::<BigInt, _>(confirmation.step)
            .bind::<Array<Bytea>, _>(bytes(&confirmation.codes));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction::<_, DieselError, _>(async |connection| {
            if prepared(query).execute(connection).await? == 0 {
                return Ok(None);
            }
            let reason = RevocationReason::SecondFactorOn;
            let ended = sessions::end_all(connection, user_id, Some(session), reason, at).await?;
            effects::store(connection, &effects).await?;
            Ok(ended.map(|(epoch, _)| epoch))
        });
        let epoch = work.await.map_err(unavailable)?;
        self.ring();
        Ok(epoch)
    }

    async fn begin_attempt(&self, user: UserId, now: DateTime<Utc>) -> Result<Attempt, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection
            .transaction::<_, DieselError, _>(async |connection| begin_attempt(connection, user, now).await);
        work.await.map_err(unavailable)
    }

    async fn use_step(&self, user: UserId, step: i64, effects: Effects) -> Result<bool, Error> {
        change!(self, effects, connection => {
            let query = diesel::sql_query(USE_STEP).bind::<SqlUuid, _>(user.uuid()).bind::<BigInt, _>(step);
            prepared(query).execute(connection).await?
        })
    }

    async fn use_recovery_code(
        &self,
        user: UserId,
        code: SecretHash,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        change!(self, effects, connection => {
            let query = diesel::sql_query(USE_RECOVERY_CODE)
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Bytea, _>(code.0.to_vec())
                .bind::<Timestamptz, _>(now);
            prepared(query).execute(connection).await?
        })
    }

    async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: &[SecretHash],
        effects: Effects,
    ) -> Result<bool, Error> {
        change!(self, effects, connection => {
            // Those who do it at once take their turns, or both would leave their codes.
            let lock = factors::table.filter(factors::user_id.eq(user.uuid())).select(factors::user_id);
            lock.for_update().first::<Uuid>(connection).await.optional()?;
            let query = diesel::sql_query(FORGET_CODES).bind::<SqlUuid, _>(user.uuid());
            prepared(query).execute(connection).await?;
            let query = diesel::sql_query(RENEW_CODES)
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Array<Bytea>, _>(bytes(codes));
            prepared(query).execute(connection).await?
        })
    }

    async fn remove(&self, user: UserId, effects: Effects) -> Result<bool, Error> {
        change!(self, effects, connection => {
            let query = diesel::sql_query(REMOVE).bind::<SqlUuid, _>(user.uuid());
            let removed = prepared(query).execute(connection).await?;
            if removed > 0 {
                sessions::next_epoch(connection, user).await?;
            }
            removed
        })
    }

    async fn reset(&self, user: UserId, now: DateTime<Utc>, effects: Effects) -> Result<bool, Error> {
        change!(self, effects, connection => {
            let query = diesel::sql_query(REMOVE).bind::<SqlUuid, _>(user.uuid());
            let removed = prepared(query).execute(connection).await?;
            if removed > 0 {
                let reason = RevocationReason::SecondFactorReset;
                sessions::end_all(connection, user, None, reason, now).await?;
            }
            removed
        })
    }
}
