//! `accounts::PasswordStore`.

use alivio_accounts::{
    CredentialEpoch, Credentials, Error, NewReset, PasswordChange, PasswordStore, RESET_PAUSE,
    RevocationReason, SecretHash, StoredUser, TemporaryPassword,
};
use alivio_kernel::ids::{MailedSecretId, SessionId, UserId, Uuid};
use alivio_kernel::{Effects, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bytea, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::registrations::bytes;
use crate::schema::{password_resets as resets, temporary_passwords as temporary, users};
use crate::sessions::Epoch;
use crate::sql::{Id, prepared};
use crate::users::{Row, Secrets, unavailable};
use crate::{Database, effects};

const REPLACE: &str = "
    UPDATE users SET password_hash = $3, must_change_password = false, credential_epoch = credential_epoch + 1
    WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2 AND credential_epoch = $4
        AND EXISTS (SELECT FROM sessions s WHERE s.id = $5 AND s.user_id = $1 AND s.revoked_at IS NULL)
    RETURNING credential_epoch";

// What a new password makes worthless.
const END_THE_REST: &str = "
    WITH ended AS (
        UPDATE sessions SET revoked_at = $2, revoked_reason = $3
        WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $4
    ), temporary AS (
        UPDATE temporary_passwords SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL
    )
    UPDATE password_resets SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL";

// A repeat comes to the same row as long as it was not used; an older request comes to nothing, and so does one that
// follows another too soon, or strangers could fill a mailbox and void what the owner has in hand. $6: how soon.
const PUT_RESET: &str = "
    INSERT INTO password_resets AS r (user_id, id, hash, requested_at, expires_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (user_id) DO UPDATE SET
        id = excluded.id, hash = excluded.hash, requested_at = excluded.requested_at,
        expires_at = excluded.expires_at, used_at = NULL
    WHERE (r.id = excluded.id AND r.used_at IS NULL)
        OR (r.id <> excluded.id AND r.requested_at < excluded.requested_at
            AND (r.used_at IS NOT NULL OR r.requested_at <= $6))";

// Whoever comes second waits for the row, and then finds it used.
const RESET: &str = "
    WITH used AS (
        UPDATE password_resets r SET used_at = $2 FROM users u
        WHERE r.hash = $1 AND r.used_at IS NULL AND r.expires_at > $2 AND u.id = r.user_id AND u.is_active
        RETURNING r.user_id
    ), unlocked AS (
        DELETE FROM login_guards g USING users u, used WHERE u.id = used.user_id AND g.key = u.email_index
    )
    UPDATE users u SET password_hash = $3, must_change_password = false, credential_epoch = u.credential_epoch + 1
    FROM used
    WHERE u.id = used.user_id
    RETURNING u.id";

async fn end_the_rest(
    connection: &mut AsyncPgConnection,
    user: Uuid,
    reason: RevocationReason,
    except: Option<SessionId>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let query = diesel::sql_query(END_THE_REST)
        .bind::<SqlUuid, _>(user)
        .bind::<Timestamptz, _>(now)
        .bind::<Text, _>(reason.as_str())
        .bind::<Nullable<SqlUuid>, _>(except.map(SessionId::uuid));
    prepared(query).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl PasswordStore for Database {
    async fn by_user(&self, user: UserId) -> Result<Option<Credentials>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let found: Option<Secrets> = users::table
            .filter(users::id.eq(user.uuid()))
            .select(Secrets::as_select())
            .first(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        found.map(Secrets::restore).transpose()
    }

    async fn rehash(
        &self,
        user: UserId,
        old: &Sensitive<String>,
        new: &Sensitive<String>,
    ) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let unchanged = users::id.eq(user.uuid()).and(users::password_hash.eq(old.expose()));
        diesel::update(users::table.filter(unchanged))
            .set(users::password_hash.eq(new.expose()))
            .execute(&mut connection)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    async fn replace(
        &self,
        change: &PasswordChange,
        effects: &Effects,
    ) -> Result<Option<CredentialEpoch>, Error> {
        let user = change.user_id.uuid();
        let query = diesel::sql_query(REPLACE)
            .bind::<SqlUuid, _>(user)
            .bind::<Nullable<Text>, _>(change.old.as_ref().map(Sensitive::expose))
            .bind::<Text, _>(change.new.expose())
            .bind::<Integer, _>(change.epoch.0)
            .bind::<SqlUuid, _>(change.session.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction(async |connection| {
            let replaced: Option<Epoch> = prepared(query).get_result(connection).await.optional()?;
            let Some(Epoch { credential_epoch }) = replaced else { return QueryResult::Ok(None) };
            end_the_rest(connection, user, change.reason, change.except, change.at).await?;
            effects::store(connection, effects).await?;
            Ok(Some(CredentialEpoch(credential_epoch)))
        });
        let replaced = work.await.map_err(unavailable)?;
        self.ring();
        Ok(replaced)
    }

    async fn temporary(&self, email_index: [u8; 16]) -> Result<Option<TemporaryPassword>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        type Found = (Row, i32, Uuid, Vec<u8>, DateTime<Utc>);
        let found: Option<Found> = users::table
            .inner_join(temporary::table)
            .filter(users::email_index.eq(email_index.to_vec()))
            .filter(temporary::used_at.is_null())
            .select((
                Row::as_select(),
                users::credential_epoch,
                temporary::id,
                temporary::hash,
                temporary::expires_at,
            ))
            .first(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        let restore = |(row, epoch, id, hash, expires_at): Found| {
            let (epoch, hash) = (CredentialEpoch(epoch), SecretHash(bytes(&hash)?));
            Ok(TemporaryPassword { user: row.restore()?, epoch, id: id.into(), hash, expires_at })
        };
        found.map(restore).transpose()
    }

    async fn take_temporary(&self, id: MailedSecretId, now: DateTime<Utc>) -> Result<bool, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let good =
            temporary::id.eq(id.uuid()).and(temporary::used_at.is_null()).and(temporary::expires_at.gt(now));
        let taken = diesel::update(temporary::table.filter(good))
            .set(temporary::used_at.eq(now))
            .execute(&mut connection)
            .await
            .map_err(unavailable)?;
        Ok(taken == 1)
    }

    async fn request_reset(&self, effects: &Effects) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        effects::store(&mut connection, effects).await.map_err(unavailable)?;
        self.ring();
        Ok(())
    }

    async fn put_reset(&self, user: UserId, reset: &NewReset) -> Result<bool, Error> {
        let query = diesel::sql_query(PUT_RESET)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<SqlUuid, _>(reset.id.uuid())
            .bind::<Bytea, _>(reset.token.0.to_vec())
            .bind::<Timestamptz, _>(reset.requested_at)
            .bind::<Timestamptz, _>(reset.expires_at)
            .bind::<Timestamptz, _>(reset.requested_at - RESET_PAUSE);
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(prepared(query).execute(&mut connection).await.map_err(unavailable)? == 1)
    }

    async fn reset_owner(&self, token: SecretHash, now: DateTime<Utc>) -> Result<Option<StoredUser>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<Row> = users::table
            .inner_join(resets::table)
            .filter(resets::hash.eq(token.0.to_vec()))
            .filter(resets::used_at.is_null())
            .filter(resets::expires_at.gt(now))
            .filter(users::is_active)
            .select(Row::as_select())
            .first(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        row.map(Row::restore).transpose()
    }

    async fn reset(
        &self,
        token: SecretHash,
        new: &Sensitive<String>,
        now: DateTime<Utc>,
        effects: &Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(RESET)
            .bind::<Bytea, _>(token.0.to_vec())
            .bind::<Timestamptz, _>(now)
            .bind::<Text, _>(new.expose());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction(async |connection| {
            let owner: Option<Id> = prepared(query).get_result(connection).await.optional()?;
            let Some(owner) = owner else { return QueryResult::Ok(false) };
            end_the_rest(connection, owner.id, RevocationReason::PasswordReset, None, now).await?;
            effects::store(connection, effects).await?;
            Ok(true)
        });
        let reset = work.await.map_err(unavailable)?;
        self.ring();
        Ok(reset)
    }
}
