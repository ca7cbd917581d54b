//! `accounts::SessionStore`.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use alivio_accounts::{
    Admission, CredentialEpoch, Error, IDLE_LIFETIME, LiveSession, NewSession, RevocationReason, Rotation,
    SecretHash, SessionRecord, SessionStage, SessionStore, USUAL_FOR,
};
use alivio_kernel::ids::{SessionId, UserId, Uuid};
use alivio_kernel::{BoxError, Caller, Effects, Origin};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::schema::{sessions, websocket_tickets};
use crate::sql::{Id, prepared};
use crate::together::Statement;
use crate::users::unavailable;
use crate::{Database, effects};

/// Sign-ins of one user take their turns, and so do whatever ends all their sessions: each sees what the other left.
const LOCK_USER: &str =
    "SELECT id FROM users WHERE id = $1 AND is_active AND credential_epoch = $2 FOR NO KEY UPDATE";

/// Locks the row, too.
const NEXT_EPOCH: &str =
    "UPDATE users SET credential_epoch = credential_epoch + 1 WHERE id = $1 RETURNING credential_epoch";

/// What is masked to /24 or /48 is compared by its network.
const OPEN: &str = "
    WITH place AS (
        SELECT set_masklen($8::inet, CASE family($8::inet) WHEN 4 THEN 24 ELSE 48 END) AS network
    ), earlier AS (
        SELECT count(*) > 0 AS any,
            coalesce(bool_or(s.created_at > $10 AND s.device IS NOT DISTINCT FROM $9), false) AS same_device,
            coalesce(bool_or(s.created_at > $10 AND s.address <<= p.network), false) AS same_network
        FROM sessions s, place p WHERE s.user_id = $2 AND s.stage = 'full'
    ), session AS (
        INSERT INTO sessions (id, user_id, created_at, expires_at, stage, address, device, last_active_at,
            is_new_device)
        SELECT $1, $2, $3, $4, $7, $8::inet, $9, $3,
            $7 = 'full' AND e.any AND NOT (e.same_device AND ($8 IS NULL OR e.same_network))
        FROM earlier e
        RETURNING is_new_device
    ), refresh AS (
        INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at)
        SELECT $5, $1, $3, $6 FROM session WHERE $5 IS NOT NULL
    )
    SELECT is_new_device FROM session";

/// $5: how many besides the new one may stay.
const EVICT: &str = "
    WITH surplus AS (
        SELECT s.id FROM sessions s
        WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $3 AND s.last_active_at > $4
            AND s.id <> $2 AND (s.stage = 'full') = ($6 = 'full')
        ORDER BY s.created_at DESC, s.id DESC OFFSET $5
    )
    UPDATE sessions s SET revoked_at = $3, revoked_reason = $7 FROM surplus WHERE s.id = surplus.id
    RETURNING s.id";

// Whoever comes second waits for the row lock, and then sees `used_at` as the first one left it.
const ROTATE: &str = "
    WITH presented AS (
        SELECT r.session_id, r.expires_at, r.used_at FROM refresh_tokens r WHERE r.hash = $1 FOR UPDATE
    ), live AS (
        SELECT p.session_id, s.user_id, u.role, s.stage, s.expires_at, p.used_at IS NOT NULL AS reused
        FROM presented p
        JOIN sessions s ON s.id = p.session_id AND s.revoked_at IS NULL AND s.expires_at > $3
            AND s.last_active_at > $5
        JOIN users u ON u.id = s.user_id AND u.is_active
        WHERE p.used_at IS NOT NULL OR p.expires_at > $3
    ), used AS (
        UPDATE refresh_tokens r SET used_at = $3 FROM live l
        WHERE r.hash = $1 AND NOT l.reused
        RETURNING r.session_id
    ), touched AS (
        UPDATE sessions s SET last_active_at = greatest(s.last_active_at, $3) FROM used
        WHERE s.id = used.session_id
    ), next AS (
        INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at)
        SELECT $2, session_id, $3, $4 FROM used
    )
    SELECT session_id, user_id, role, stage, expires_at, reused FROM live";

const REVOKE: &str = "
    UPDATE sessions SET revoked_at = $3, revoked_reason = $4
    WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL";

const REVOKE_ALL: &str = "
    UPDATE sessions SET revoked_at = $3, revoked_reason = $4
    WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL";

// Sessions in which something was done.
macro_rules! touch {
    ($lock:literal) => {
        concat!(
            "WITH asked AS (
        SELECT a.id, max(a.now) AS now, max(a.idle_since) AS idle_since
        FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS a (id, now, idle_since) GROUP BY a.id
    ), held AS (
        SELECT s.id, a.now FROM asked a
        JOIN sessions s ON s.id = a.id AND s.revoked_at IS NULL AND s.expires_at > a.now
            AND s.last_active_at > a.idle_since
        JOIN users u ON u.id = s.user_id AND u.is_active
        FOR NO KEY UPDATE OF s",
            $lock,
            "
    )
    UPDATE sessions s SET last_active_at = greatest(s.last_active_at, held.now) FROM held WHERE s.id = held.id
    RETURNING s.id"
        )
    };
}
const TOUCH: &str = touch!("");
// Of sessions that someone else holds nothing is said: whoever ends several of them may wait for us.
const TOUCH_UNHELD: &str = touch!(" SKIP LOCKED");

const LIVE: &str = "
    SELECT s.id, s.user_id, u.role, s.stage, s.expires_at, s.last_active_at
    FROM sessions s JOIN users u ON u.id = s.user_id AND u.is_active
    WHERE s.id = ANY ($1) AND s.revoked_at IS NULL";

const LIST: &str = "
    SELECT s.id, s.created_at, s.last_active_at, s.expires_at, s.stage, host(s.address) AS address, s.device,
        s.is_new_device
    FROM sessions s JOIN users u ON u.id = s.user_id AND u.is_active
    WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 AND s.last_active_at > $3
    ORDER BY s.created_at DESC, s.id DESC";

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
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    reused: bool,
}

#[derive(QueryableByName)]
struct LiveRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_active_at: DateTime<Utc>,
}

/// What a statement says that begins another epoch.
#[derive(QueryableByName)]
pub(crate) struct Epoch {
    #[diesel(sql_type = Integer)]
    pub(crate) credential_epoch: i32,
}

#[derive(QueryableByName)]
struct Opened {
    #[diesel(sql_type = Bool)]
    is_new_device: bool,
}

#[derive(QueryableByName)]
struct Listed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_active_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    device: Option<String>,
    #[diesel(sql_type = Bool)]
    is_new_device: bool,
}

impl Listed {
    fn restore(self) -> Result<SessionRecord, Error> {
        let address: Option<IpAddr> =
            self.address.map(|address| address.parse()).transpose().map_err(unavailable)?;
        Ok(SessionRecord {
            id: self.id.into(),
            created_at: self.created_at,
            last_active_at: self.last_active_at,
            expires_at: self.expires_at,
            stage: stage(&self.stage)?,
            origin: Origin { address, device: self.device },
            is_new_device: self.is_new_device,
        })
    }
}

fn stage(name: &str) -> Result<SessionStage, Error> {
    SessionStage::parse(name).ok_or_else(|| unavailable("unknown stage of a session"))
}

/// Locks the user's row until the transaction ends, if they are active and the epoch is this.
async fn lock_user(
    connection: &mut AsyncPgConnection,
    user: UserId,
    epoch: CredentialEpoch,
) -> QueryResult<Option<()>> {
    let query = diesel::sql_query(LOCK_USER).bind::<SqlUuid, _>(user.uuid()).bind::<Integer, _>(epoch.0);
    Ok(prepared(query).get_result::<Id>(connection).await.optional()?.map(drop))
}

/// Begins another epoch of the user's credentials, and locks their row until the transaction ends, if they are there.
pub(crate) async fn next_epoch(
    connection: &mut AsyncPgConnection,
    user: UserId,
) -> QueryResult<Option<CredentialEpoch>> {
    let query = diesel::sql_query(NEXT_EPOCH).bind::<SqlUuid, _>(user.uuid());
    let row: Option<Epoch> = prepared(query).get_result(connection).await.optional()?;
    Ok(row.map(|row| CredentialEpoch(row.credential_epoch)))
}

/// Ends one session. Whether it did.
async fn end(
    connection: &mut AsyncPgConnection,
    session: SessionId,
    owner: UserId,
    reason: RevocationReason,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let query = diesel::sql_query(REVOKE)
        .bind::<SqlUuid, _>(session.uuid())
        .bind::<SqlUuid, _>(owner.uuid())
        .bind::<Timestamptz, _>(now)
        .bind::<Text, _>(reason.as_str());
    Ok(prepared(query).execute(connection).await? > 0)
}

/// Begins another epoch, and ends all sessions of a user but one. The epoch, and whether there was any session. For
/// transactions that must not miss a sign-in which happens at the same time.
pub(crate) async fn end_all(
    connection: &mut AsyncPgConnection,
    user: UserId,
    except: Option<SessionId>,
    reason: RevocationReason,
    now: DateTime<Utc>,
) -> QueryResult<Option<(CredentialEpoch, bool)>> {
    let Some(epoch) = next_epoch(connection, user).await? else { return Ok(None) };
    let query = diesel::sql_query(REVOKE_ALL)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(except.map(SessionId::uuid))
        .bind::<Timestamptz, _>(now)
        .bind::<Text, _>(reason.as_str());
    Ok(Some((epoch, prepared(query).execute(connection).await? > 0)))
}

/// Why a session was not opened.
enum Refusal {
    /// Deactivated, or what was proved is worth nothing by now.
    Unproven,
    StepOver,
    Failed(DieselError),
}

impl From<DieselError> for Refusal {
    fn from(error: DieselError) -> Self {
        Self::Failed(error)
    }
}

async fn open(
    connection: &mut AsyncPgConnection,
    session: &NewSession,
    admission: &Admission,
) -> Result<Vec<SessionId>, Refusal> {
    let (user, now) = (session.user_id, session.created_at);
    lock_user(connection, user, session.epoch).await?.ok_or(Refusal::Unproven)?;
    if let Some(step) = session.replaces {
        let lives = sessions::table
            .filter(sessions::id.eq(step.uuid()))
            .filter(sessions::expires_at.gt(now))
            .filter(sessions::last_active_at.gt(now - IDLE_LIFETIME))
            .select(sessions::id)
            .first::<Uuid>(connection)
            .await
            .optional()?
            .is_some();
        if !lives || !end(connection, step, user, RevocationReason::StepDone, now).await? {
            return Err(Refusal::StepOver);
        }
    }
    let query = diesel::sql_query(OPEN)
        .bind::<SqlUuid, _>(session.id.uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(session.expires_at)
        .bind::<Nullable<Bytea>, _>(session.refresh.map(|refresh| refresh.hash.0.to_vec()))
        .bind::<Nullable<Timestamptz>, _>(session.refresh.map(|refresh| refresh.expires_at))
        .bind::<Text, _>(session.stage.as_str())
        .bind::<Nullable<Text>, _>(session.origin.address.map(|address| address.to_string()))
        .bind::<Nullable<Text>, _>(session.origin.device.as_deref())
        .bind::<Timestamptz, _>(now - USUAL_FOR);
    let opened: Opened = prepared(query).get_result(connection).await?;

    let others = i64::try_from(admission.max_live.saturating_sub(1)).unwrap_or(i64::MAX);
    let query = diesel::sql_query(EVICT)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<SqlUuid, _>(session.id.uuid())
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(now - IDLE_LIFETIME)
        .bind::<BigInt, _>(others)
        .bind::<Text, _>(session.stage.as_str())
        .bind::<Text, _>(RevocationReason::Evicted.as_str());
    let evicted: Vec<Id> = prepared(query).load(connection).await?;
    let evicted: Vec<_> = evicted.into_iter().map(|row| SessionId::from(row.id)).collect();

    let mut all = admission.effects.clone();
    let besides = opened.is_new_device.then(|| admission.unusual.clone());
    for more in besides.into_iter().chain(evicted.iter().map(|id| (admission.evicted)(*id))) {
        all.events.extend(more.events);
        all.audit.extend(more.audit);
    }
    effects::store(connection, &all).await?;
    Ok(evicted)
}

fn live(
    session: Uuid,
    user: Uuid,
    role: &str,
    stage_name: &str,
    expires_at: DateTime<Utc>,
    last_active_at: DateTime<Utc>,
) -> Result<LiveSession, Error> {
    let role = role.parse().map_err(unavailable)?;
    let caller = Caller { user_id: user.into(), role, session_id: session.into(), address: None };
    Ok(LiveSession { caller, stage: stage(stage_name)?, expires_at, last_active_at })
}

/// Which sessions have not been ended.
pub(crate) struct Lives;

impl Statement for Lives {
    type Question = SessionId;
    type Answer = Option<Result<LiveSession, Error>>;
    const MOST: usize = 500;

    async fn answer(
        connection: &mut AsyncPgConnection,
        sessions: &[SessionId],
    ) -> Result<Vec<Self::Answer>, BoxError> {
        let ids: Vec<Uuid> = sessions.iter().map(|id| id.uuid()).collect();
        let rows: Vec<LiveRow> =
            prepared(diesel::sql_query(LIVE).bind::<Array<SqlUuid>, _>(ids)).load(connection).await?;
        let found: HashMap<Uuid, LiveRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        let restore = |row: &LiveRow| {
            live(row.id, row.user_id, &row.role, &row.stage, row.expires_at, row.last_active_at)
        };
        Ok(sessions.iter().map(|id| found.get(&id.uuid()).map(restore)).collect())
    }
}

/// Sessions in which something was done, and when. Whether that was noted; if not, they are over or somebody holds them.
pub(crate) struct Touches;

impl Statement for Touches {
    type Question = (SessionId, DateTime<Utc>);
    type Answer = bool;
    const MOST: usize = 500;

    async fn answer(
        connection: &mut AsyncPgConnection,
        touched: &[(SessionId, DateTime<Utc>)],
    ) -> Result<Vec<bool>, BoxError> {
        let noted = touch(TOUCH_UNHELD, connection, touched).await?;
        Ok(touched.iter().map(|(id, _)| noted.contains(&id.uuid())).collect())
    }
}

/// Notes by one of the `touch!` statements that something was done. The sessions of which that was noted.
async fn touch(
    sql: &str,
    connection: &mut AsyncPgConnection,
    touched: &[(SessionId, DateTime<Utc>)],
) -> QueryResult<HashSet<Uuid>> {
    let query = diesel::sql_query(sql)
        .bind::<Array<SqlUuid>, _>(touched.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(touched.iter().map(|(_, now)| *now).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(
            touched.iter().map(|(_, now)| *now - IDLE_LIFETIME).collect::<Vec<_>>(),
        );
    let rows: Vec<Id> = prepared(query).load(connection).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[async_trait]
impl SessionStore for Database {
    async fn open(&self, session: &NewSession, admission: &Admission) -> Result<Vec<SessionId>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction(async |connection| open(connection, session, admission).await);
        let evicted = work.await.map_err(|refusal| match refusal {
            Refusal::Unproven => Error::InvalidCredentials,
            Refusal::StepOver => Error::SessionEnded,
            Refusal::Failed(error) => unavailable(error),
        })?;
        self.ring();
        Ok(evicted)
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
            .bind::<Timestamptz, _>(next_expires_at)
            .bind::<Timestamptz, _>(now - IDLE_LIFETIME);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<Rotated> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        Ok(match row {
            None => Rotation::Refused,
            Some(row) if row.reused => {
                Rotation::Reused { session_id: row.session_id.into(), user_id: row.user_id.into() }
            }
            Some(row) => {
                let Rotated { session_id, user_id, role, stage, expires_at, .. } = row;
                Rotation::Rotated(live(session_id, user_id, &role, &stage, expires_at, now)?)
            }
        })
    }

    async fn revoke(
        &self,
        session: SessionId,
        owner: UserId,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction::<_, DieselError, _>(async |connection| {
            let ended = end(connection, session, owner, reason, now).await?;
            if ended {
                effects::store(connection, &effects).await?;
            }
            Ok(ended)
        });
        let ended = work.await.map_err(unavailable)?;
        self.ring();
        Ok(ended)
    }

    async fn revoke_all(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction::<_, DieselError, _>(async |connection| {
            let ended = end_all(connection, user, except, reason, now).await?.is_some_and(|(_, any)| any);
            if ended {
                effects::store(connection, &effects).await?;
            }
            Ok(ended)
        });
        let ended = work.await.map_err(unavailable)?;
        self.ring();
        Ok(ended)
    }

    async fn touch(&self, session: SessionId, now: DateTime<Utc>) -> Result<bool, Error> {
        let touched = self.queues.touches.ask(self.apart(), (session, now));
        if touched.await.map_err(unavailable)? {
            return Ok(true);
        }
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(!touch(TOUCH, &mut connection, &[(session, now)]).await.map_err(unavailable)?.is_empty())
    }

    async fn list(&self, user: UserId, now: DateTime<Utc>) -> Result<Vec<SessionRecord>, Error> {
        let query = diesel::sql_query(LIST)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(now - IDLE_LIFETIME);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Listed> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(Listed::restore).collect()
    }

    async fn live(&self, session: SessionId, now: DateTime<Utc>) -> Result<Option<LiveSession>, Error> {
        let live = self.queues.lives.ask(self.apart(), session).await.map_err(unavailable)?;
        Ok(live.transpose()?.filter(|live| live.lives(now)))
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
