//! `accounts::RegistrationStore`.

use alivio_accounts::{CONFIRMATION_TRIES, Error, PendingRegistration, RegistrationStore, SecretHash};
use alivio_kernel::ids::{RegistrationId, Uuid};
use alivio_kernel::{Effects, Sealed, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bytea, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use crate::schema::pending_registrations as pending;
use crate::sql::prepared;
use crate::users::{taken, unavailable};
use crate::{Database, effects};

// One statement, the same for addresses that are taken. Those who were never confirmed go, with the keys that sealed
// who they are; those who sweep at the same time pass each other by.
const BEGIN: &str = "
    WITH swept AS (
        DELETE FROM pending_registrations WHERE id IN (
            SELECT id FROM pending_registrations WHERE expires_at <= $9
            ORDER BY expires_at LIMIT 10 FOR UPDATE SKIP LOCKED
        ) RETURNING user_id
    ), keys AS (
        DELETE FROM data_keys d USING swept s WHERE d.scope_kind = 'user' AND d.scope_id = s.user_id
    ), published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at)
        SELECT e.id, e.kind, e.payload, e.at, e.at
        FROM jsonb_to_recordset($11) AS e (id uuid, kind text, payload jsonb, at timestamptz)
    ), audited AS (
        INSERT INTO audit_log (id, at, address, action, object_kind, object_id, outcome)
        SELECT a.id, a.at, a.address, a.action, a.object_kind, a.object_id, a.outcome
        FROM jsonb_to_recordset($12) AS a (id uuid, at timestamptz, address inet, action text, object_kind text,
            object_id uuid, outcome text)
    )
    INSERT INTO pending_registrations
        (id, hash, user_id, email_index, identity, password_hash, role, language, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

// Whoever comes second waits for the row, and then finds it gone.
const CONFIRM: &str = "
    WITH confirmed AS (
        DELETE FROM pending_registrations WHERE id = $1 AND expires_at > $2
        RETURNING user_id, email_index, identity, password_hash, role, language
    )
    INSERT INTO users (id, email_index, identity, password_hash, role, language, created_at)
    SELECT user_id, email_index, identity, password_hash, role, language, $2 FROM confirmed";

#[derive(Queryable, Selectable)]
#[diesel(table_name = pending)]
struct Row {
    id: Uuid,
    hash: Vec<u8>,
    user_id: Uuid,
    email_index: Vec<u8>,
    identity: Vec<u8>,
    password_hash: String,
    role: String,
    language: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Row {
    fn restore(self) -> Result<PendingRegistration, Error> {
        Ok(PendingRegistration {
            id: self.id.into(),
            token: SecretHash(bytes(&self.hash)?),
            user_id: self.user_id.into(),
            email_index: bytes(&self.email_index)?,
            identity: Sealed::from_bytes(self.identity),
            password_hash: Sensitive::new(self.password_hash),
            role: self.role.parse().map_err(unavailable)?,
            language: self.language.parse().map_err(unavailable)?,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

/// Bytes of a fixed length.
pub(crate) fn bytes<const N: usize>(stored: &[u8]) -> Result<[u8; N], Error> {
    stored.try_into().map_err(unavailable)
}

#[async_trait]
impl RegistrationStore for Database {
    async fn begin(&self, registration: &PendingRegistration, effects: &Effects) -> Result<(), Error> {
        let query = diesel::sql_query(BEGIN)
            .bind::<SqlUuid, _>(registration.id.uuid())
            .bind::<Bytea, _>(registration.token.0.to_vec())
            .bind::<SqlUuid, _>(registration.user_id.uuid())
            .bind::<Bytea, _>(registration.email_index.to_vec())
            .bind::<Bytea, _>(registration.identity.as_bytes())
            .bind::<Text, _>(registration.password_hash.expose())
            .bind::<Text, _>(registration.role.as_str())
            .bind::<Text, _>(registration.language.tag())
            .bind::<Timestamptz, _>(registration.created_at)
            .bind::<Timestamptz, _>(registration.expires_at)
            .bind::<Jsonb, _>(effects::events_json(&effects.events))
            .bind::<Jsonb, _>(effects::audit_json(&effects.audit));
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        self.ring();
        Ok(())
    }

    async fn pending(
        &self,
        id: RegistrationId,
        now: DateTime<Utc>,
    ) -> Result<Option<PendingRegistration>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<Row> = pending::table
            .filter(pending::id.eq(id.uuid()).and(pending::expires_at.gt(now)))
            .filter(pending::tries.lt(CONFIRMATION_TRIES as i32))
            .select(Row::as_select())
            .first(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        row.map(Row::restore).transpose()
    }

    async fn attempt(
        &self,
        token: SecretHash,
        now: DateTime<Utc>,
    ) -> Result<Option<PendingRegistration>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let waits = pending::hash
            .eq(token.0.to_vec())
            .and(pending::expires_at.gt(now))
            .and(pending::tries.lt(CONFIRMATION_TRIES as i32));
        let row: Option<Row> = diesel::update(pending::table.filter(waits))
            .set(pending::tries.eq(pending::tries + 1))
            .returning(Row::as_returning())
            .get_result(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        row.map(Row::restore).transpose()
    }

    async fn confirm(
        &self,
        id: RegistrationId,
        now: DateTime<Utc>,
        effects: &Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(CONFIRM).bind::<SqlUuid, _>(id.uuid()).bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction(async |connection| {
            let confirmed = prepared(query).execute(connection).await? == 1;
            if confirmed {
                effects::store(connection, effects).await?;
            }
            Ok(confirmed)
        });
        let confirmed = work.await.map_err(taken)?;
        self.ring();
        Ok(confirmed)
    }
}
