//! `accounts::SessionStore`.

use alivio_accounts::{Error, LiveSession, NewSession, Rotation, SecretHash, SessionStore};
use alivio_kernel::ids::{SessionId, Uuid};
use alivio_kernel::{Caller, Event};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Bytea, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::schema::{sessions, users, websocket_tickets};
use crate::sql::prepared;
use crate::users::unavailable;

const OPEN: &str = "
    WITH session AS (
        INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)
    )
    INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at) VALUES ($5, $1, $3, $6)";

// Whoever comes second waits for the row lock, and then sees `used_at` as the first one left it.
const ROTATE: &str = "
    WITH presented AS (
        SELECT r.session_id, r.expires_at, r.used_at FROM refresh_tokens r WHERE r.hash = $1 FOR UPDATE
    ), live AS (
        SELECT p.session_id, s.user_id, u.role, s.expires_at, p.used_at IS NOT NULL AS reused
        FROM presented p
        JOIN sessions s ON s.id = p.session_id AND s.revoked_at IS NULL AND s.expires_at > $3
        JOIN users u ON u.id = s.user_id AND u.is_active
        WHERE p.used_at IS NOT NULL OR p.expires_at > $3
    ), used AS (
        UPDATE refresh_tokens r SET used_at = $3 FROM live l
        WHERE r.hash = $1 AND NOT l.reused
        RETURNING r.session_id
    ), next AS (
        INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at)
        SELECT $2, session_id, $3, $4 FROM used
    )
    SELECT session_id, user_id, role, expires_at, reused FROM live";

const REVOKE: &str = "
    WITH revoked AS (
        UPDATE sessions SET revoked_at = $2, revoked_reason = $3
        WHERE id = $1 AND revoked_at IS NULL
        RETURNING id
    )
    INSERT INTO outbox (id, kind, payload, at, due_at) SELECT $4, $5, $6, $2, $2 FROM revoked";

const PUT_TICKET: &str = "
    WITH swept AS (DELETE FROM websocket_tickets WHERE expires_at <= $4)
    INSERT INTO websocket_tickets (hash, session_id, expires_at) VALUES ($1, $2, $3)";

#[derive(QueryableByName)]
struct Rotated {
    #[diesel(sql_type = SqlUuid)]
    session_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    reused: bool,
}

fn live(session: Uuid, user: Uuid, role: &str, expires_at: DateTime<Utc>) -> Result<LiveSession, Error> {
    let role = role.parse().map_err(unavailable)?;
    let caller = Caller { user_id: user.into(), role, session_id: session.into() };
    Ok(LiveSession { caller, expires_at })
}

#[async_trait]
impl SessionStore for Database {
    async fn open(&self, session: &NewSession) -> Result<(), Error> {
        let query = diesel::sql_query(OPEN)
            .bind::<SqlUuid, _>(session.id.uuid())
            .bind::<SqlUuid, _>(session.user_id.uuid())
            .bind::<Timestamptz, _>(session.created_at)
            .bind::<Timestamptz, _>(session.expires_at)
            .bind::<Bytea, _>(session.refresh.0.to_vec())
            .bind::<Timestamptz, _>(session.refresh_expires_at);
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        Ok(())
    }

    async fn rotate(
        &self,
        presented: SecretHash,
        next: SecretHash,
        now: DateTime<Utc>,
        next_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, Error> {
        let query = diesel::sql_query(ROTATE)
            .bind::<Bytea, _>(presented.0.to_vec())
            .bind::<Bytea, _>(next.0.to_vec())
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(next_expires_at);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<Rotated> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        Ok(match row {
            None => Rotation::Refused,
            Some(row) if row.reused => {
                Rotation::Reused { session_id: row.session_id.into(), user_id: row.user_id.into() }
            }
            Some(row) => Rotation::Rotated(live(row.session_id, row.user_id, &row.role, row.expires_at)?),
        })
    }

    async fn revoke(
        &self,
        session: SessionId,
        reason: &'static str,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        let query = diesel::sql_query(REVOKE)
            .bind::<SqlUuid, _>(session.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<Text, _>(reason)
            .bind::<SqlUuid, _>(event.id.uuid())
            .bind::<Text, _>(event.kind)
            .bind::<Jsonb, _>(event.payload);
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        self.ring();
        Ok(())
    }

    async fn live(&self, session: SessionId, now: DateTime<Utc>) -> Result<Option<LiveSession>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<(Uuid, String, DateTime<Utc>)> = sessions::table
            .inner_join(users::table)
            .filter(sessions::id.eq(session.uuid()))
            .filter(sessions::revoked_at.is_null())
            .filter(sessions::expires_at.gt(now))
            .filter(users::is_active)
            .select((users::id, users::role, sessions::expires_at))
            .first(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        row.map(|(user, role, expires_at)| live(session.uuid(), user, &role, expires_at)).transpose()
    }

    async fn put_ticket(
        &self,
        ticket: SecretHash,
        session: SessionId,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let query = diesel::sql_query(PUT_TICKET)
            .bind::<Bytea, _>(ticket.0.to_vec())
            .bind::<SqlUuid, _>(session.uuid())
            .bind::<Timestamptz, _>(expires_at)
            .bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        Ok(())
    }

    async fn take_ticket(&self, ticket: SecretHash, now: DateTime<Utc>) -> Result<Option<SessionId>, Error> {
        use websocket_tickets as tickets;
        let mut connection = self.connection().await.map_err(unavailable)?;
        let good = tickets::hash.eq(ticket.0.to_vec()).and(tickets::expires_at.gt(now));
        let session: Option<Uuid> = diesel::delete(tickets::table.filter(good))
            .returning(tickets::session_id)
            .get_result(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        Ok(session.map(SessionId::from))
    }
}
