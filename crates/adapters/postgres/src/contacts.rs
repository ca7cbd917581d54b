//! `accounts::ContactStore`.
//!
//! Whatever happens between two people begins by locking both, in the order of their ids: requests, answers and
//! blocks of one pair come one after the other, and each sees what the one before left.

use alivio_accounts::{
    AskEffects, Asked, ContactQuery, ContactStore, Direction, Error, NewContactRequest, REFUSAL_HOLDS,
    StoredContact, StoredContactRequest, StoredInvitee, TOLD_ONCE_IN, Window,
};
use alivio_kernel::ids::{ContactRequestId, UserId, Uuid};
use alivio_kernel::{BoxError, Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Bytea, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::methods::ExecuteDsl;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::sql::{Count, prepared};
use crate::users::unavailable;
use crate::{Database, effects};

const LOCK: &str = "
    SELECT count(*) AS count FROM (
        SELECT u.id, u.is_active FROM users u WHERE u.id IN ($1, $2) ORDER BY u.id FOR NO KEY UPDATE
    ) locked WHERE locked.is_active";

const STANDING: &str = "
    SELECT
        EXISTS (SELECT 1 FROM blocks WHERE blocker_id = $1 AND blocked_id = $2)
            OR EXISTS (SELECT 1 FROM blocks WHERE blocker_id = $2 AND blocked_id = $1) AS is_blocked,
        EXISTS (SELECT 1 FROM contacts WHERE user_id = $1 AND contact_id = $2) AS are_contacts,
        (SELECT r.id FROM contact_requests r WHERE r.to_user = $1 AND r.from_user = $2) AS counter,
        EXISTS (SELECT 1 FROM contact_requests r WHERE r.from_user = $1 AND r.to_user = $2) AS asked,
        (SELECT a.told_at FROM contact_approaches a WHERE a.from_user = $1 AND a.to_user = $2) AS told_at,
        (SELECT a.refused_at FROM contact_approaches a WHERE a.from_user = $1 AND a.to_user = $2) AS refused_at";

/// What is older tells nothing any more. A few at a time; whoever comes next takes the rest.
const FORGET_APPROACHES: &str = "
    DELETE FROM contact_approaches a USING (
        SELECT o.from_user, o.to_user FROM contact_approaches o
        WHERE greatest(o.told_at, o.refused_at) < $1
        ORDER BY greatest(o.told_at, o.refused_at) LIMIT 10 FOR UPDATE SKIP LOCKED
    ) old
    WHERE a.from_user = old.from_user AND a.to_user = old.to_user";

macro_rules! select_request {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.from_user, r.named_user, r.email_index, r.named_email, r.nickname, r.created_at
            FROM contact_requests r ",
            $rest
        )
    };
}

const SAME: &str = select_request!(
    "WHERE r.from_user = $1 AND r.named_user = $2
     UNION ALL
     SELECT r.id, r.from_user, r.named_user, r.email_index, r.named_email, r.nickname, r.created_at
     FROM contact_requests r WHERE r.from_user = $1 AND r.email_index = $3"
);

const COUNT_OPEN: &str = "SELECT count(*) AS count FROM contact_requests WHERE from_user = $1";

const INSERT: &str = "
    WITH told AS (
        INSERT INTO contact_approaches (from_user, to_user, told_at)
        SELECT $2::uuid, $3::uuid, $8::timestamptz WHERE $9
        ON CONFLICT (from_user, to_user) DO UPDATE SET told_at = excluded.told_at
    )
    INSERT INTO contact_requests (id, from_user, to_user, named_user, email_index, named_email, nickname, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const DECLINE: &str = "
    WITH declined AS (
        UPDATE contact_requests SET to_user = NULL WHERE id = $1 AND to_user = $2 RETURNING from_user
    )
    INSERT INTO contact_approaches (from_user, to_user, told_at, refused_at)
    SELECT from_user, $2, $3, $3 FROM declined
    ON CONFLICT (from_user, to_user) DO UPDATE SET refused_at = excluded.refused_at";

const WITHDRAW: &str = "DELETE FROM contact_requests WHERE id = $1 AND from_user = $2";

/// They have come together after all.
const FORGIVE: &str = "
    UPDATE contact_approaches SET refused_at = NULL
    WHERE (from_user = $1 AND to_user = $2) OR (from_user = $2 AND to_user = $1)";

const INCOMING: &str = select_request!(
    "JOIN users u ON u.id = r.from_user AND u.is_active
     WHERE r.to_user = $1 AND ($2::timestamptz IS NULL OR (r.created_at, r.id) < ($2, $3::uuid))
     ORDER BY r.created_at DESC, r.id DESC OFFSET $4 LIMIT $5"
);
const OUTGOING: &str = select_request!(
    "WHERE r.from_user = $1 AND ($2::timestamptz IS NULL OR (r.created_at, r.id) < ($2, $3::uuid))
     ORDER BY r.created_at DESC, r.id DESC OFFSET $4 LIMIT $5"
);
const ONE_INCOMING: &str =
    select_request!("JOIN users u ON u.id = r.from_user AND u.is_active WHERE r.id = $1 AND r.to_user = $2");
/// Whoever declines or withdraws it meanwhile was first, or waits and finds it gone.
const LOCK_INCOMING: &str = select_request!(
    "JOIN users u ON u.id = r.from_user AND u.is_active WHERE r.id = $1 AND r.to_user = $2 FOR UPDATE OF r"
);

/// Two rows, each with its owner's name for the other.
const BEFRIEND: &str = "
    INSERT INTO contacts (user_id, contact_id, nickname, created_at)
    VALUES ($1, $2, $3, $5), ($2, $1, $4, $5)
    ON CONFLICT (user_id, contact_id) DO NOTHING";

/// All that the two asked each other, however they named each other.
const END_REQUESTS: &str = "
    DELETE FROM contact_requests r
    WHERE (r.from_user = $1 AND (r.to_user = $2 OR r.named_user = $2
            OR r.email_index = (SELECT u.email_index FROM users u WHERE u.id = $2)))
       OR (r.from_user = $2 AND (r.to_user = $1 OR r.named_user = $1
            OR r.email_index = (SELECT u.email_index FROM users u WHERE u.id = $1)))";

const CONTACTS: &str = "
    SELECT c.contact_id, c.nickname, c.is_favorite, c.created_at,
        EXISTS (SELECT 1 FROM blocks b WHERE b.blocker_id = c.user_id AND b.blocked_id = c.contact_id) AS is_blocked
    FROM contacts c JOIN users u ON u.id = c.contact_id AND u.is_active
    WHERE c.user_id = $1 AND ($2::boolean IS NULL OR c.is_favorite = $2)
      AND ($3::boolean IS NULL OR (c.is_favorite, c.created_at, c.contact_id) < ($3, $4::timestamptz, $5::uuid))
    ORDER BY c.is_favorite DESC, c.created_at DESC, c.contact_id DESC OFFSET $6 LIMIT $7";

const CONTACT: &str = "
    SELECT c.contact_id, c.nickname, c.is_favorite, c.created_at,
        EXISTS (SELECT 1 FROM blocks b WHERE b.blocker_id = c.user_id AND b.blocked_id = c.contact_id) AS is_blocked
    FROM contacts c JOIN users u ON u.id = c.contact_id AND u.is_active
    WHERE c.user_id = $1 AND c.contact_id = $2";

const CHANGE: &str = "
    UPDATE contacts SET nickname = CASE WHEN $3 THEN $4 ELSE nickname END,
        is_favorite = coalesce($5, is_favorite)
    WHERE user_id = $1 AND contact_id = $2";

const REMOVE: &str = "
    DELETE FROM contacts WHERE (user_id = $1 AND contact_id = $2) OR (user_id = $2 AND contact_id = $1)";

#[derive(QueryableByName)]
struct Standing {
    #[diesel(sql_type = Bool)]
    is_blocked: bool,
    #[diesel(sql_type = Bool)]
    are_contacts: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    counter: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    asked: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    told_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    refused_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct RequestRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    from_user: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    named_user: Option<Uuid>,
    #[diesel(sql_type = Nullable<Bytea>)]
    email_index: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    named_email: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    nickname: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl RequestRow {
    fn restore(self) -> Result<StoredContactRequest, BoxError> {
        let named = match (self.named_user, self.email_index, self.named_email) {
            (Some(user), _, _) => StoredInvitee::User(user.into()),
            (None, Some(index), Some(sealed)) => StoredInvitee::Email {
                index: index.try_into().map_err(|_| "an index of another length")?,
                sealed: Sealed::from_bytes(sealed),
            },
            _ => return Err("a request that names nobody".into()),
        };
        Ok(StoredContactRequest {
            id: self.id.into(),
            from: self.from_user.into(),
            named,
            nickname: self.nickname.map(Sealed::from_bytes),
            created_at: self.created_at,
        })
    }
}

#[derive(QueryableByName)]
struct ContactRow {
    #[diesel(sql_type = SqlUuid)]
    contact_id: Uuid,
    #[diesel(sql_type = Nullable<Bytea>)]
    nickname: Option<Vec<u8>>,
    #[diesel(sql_type = Bool)]
    is_favorite: bool,
    #[diesel(sql_type = Bool)]
    is_blocked: bool,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<ContactRow> for StoredContact {
    fn from(row: ContactRow) -> Self {
        Self {
            user_id: row.contact_id.into(),
            nickname: row.nickname.map(Sealed::from_bytes),
            is_favorite: row.is_favorite,
            is_blocked: row.is_blocked,
            created_at: row.created_at,
        }
    }
}

/// Locks two people, in the order of their ids. How many of them are active.
pub(crate) async fn lock_pair(
    connection: &mut AsyncPgConnection,
    one: UserId,
    other: UserId,
) -> Result<i64, BoxError> {
    let query = diesel::sql_query(LOCK).bind::<SqlUuid, _>(one.uuid()).bind::<SqlUuid, _>(other.uuid());
    let row: Count = prepared(query).get_result(connection).await?;
    Ok(row.count)
}

async fn befriend(
    connection: &mut AsyncPgConnection,
    (one, name_by_one): (UserId, Option<&Sealed>),
    (other, name_by_other): (UserId, Option<&Sealed>),
    at: DateTime<Utc>,
) -> Result<(), BoxError> {
    let query = diesel::sql_query(BEFRIEND)
        .bind::<SqlUuid, _>(one.uuid())
        .bind::<SqlUuid, _>(other.uuid())
        .bind::<Nullable<Bytea>, _>(name_by_one.map(Sealed::as_bytes))
        .bind::<Nullable<Bytea>, _>(name_by_other.map(Sealed::as_bytes))
        .bind::<Timestamptz, _>(at);
    prepared(query).execute(connection).await?;
    let end = diesel::sql_query(END_REQUESTS).bind::<SqlUuid, _>(one.uuid()).bind::<SqlUuid, _>(other.uuid());
    prepared(end).execute(connection).await?;
    let forgive = diesel::sql_query(FORGIVE).bind::<SqlUuid, _>(one.uuid()).bind::<SqlUuid, _>(other.uuid());
    prepared(forgive).execute(connection).await?;
    Ok(())
}

async fn one_incoming(
    connection: &mut AsyncPgConnection,
    sql: &'static str,
    user: UserId,
    id: ContactRequestId,
) -> Result<Option<StoredContactRequest>, BoxError> {
    let query = diesel::sql_query(sql).bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(user.uuid());
    let row: Option<RequestRow> = prepared(query).get_result(connection).await.optional()?;
    row.map(RequestRow::restore).transpose()
}

async fn ask(
    connection: &mut AsyncPgConnection,
    new: &NewContactRequest,
    most: i64,
    by_outcome: &AskEffects,
) -> Result<Asked, BoxError> {
    let (named_user, email_index, named_email) = match &new.named {
        StoredInvitee::User(user) => (Some(user.uuid()), None, None),
        StoredInvitee::Email { index, sealed } => (None, Some(index.to_vec()), Some(sealed.as_bytes())),
    };
    let mut reaches = new.reaches;
    // If it reaches nobody the same is done for an id that nobody has: the time it takes must not tell.
    let other = reaches.unwrap_or_else(|| UserId::from(new.id.uuid()));
    let active = lock_pair(connection, new.from, other).await?;
    let forget = diesel::sql_query(FORGET_APPROACHES).bind::<Timestamptz, _>(new.created_at - REFUSAL_HOLDS);
    prepared(forget).execute(connection).await?;
    let query =
        diesel::sql_query(STANDING).bind::<SqlUuid, _>(new.from.uuid()).bind::<SqlUuid, _>(other.uuid());
    let standing: Standing = prepared(query).get_result(connection).await?;
    let by_address = named_user.is_none();
    match standing {
        _ if active < 2 => reaches = None,
        Standing { is_blocked: true, .. } => reaches = None,
        Standing { are_contacts: true, .. } if by_address => reaches = None,
        Standing { are_contacts: true, .. } => return Ok(Asked::AlreadyContacts),
        Standing { counter: Some(counter), .. } => {
            let counter = one_incoming(connection, LOCK_INCOMING, new.from, counter.into()).await?;
            let by_other = counter.as_ref().and_then(|counter| counter.nickname.as_ref());
            let by_us = (new.from, new.nickname.as_ref());
            befriend(connection, by_us, (other, by_other), new.created_at).await?;
            effects::store(connection, &by_outcome.accepted).await?;
            return Ok(Asked::NowContacts);
        }
        Standing { refused_at: Some(at), .. } if at + REFUSAL_HOLDS > new.created_at => reaches = None,
        // Under another name: whoever asks must not learn that both are the same person.
        Standing { asked: true, .. } => reaches = None,
        Standing { .. } => {}
    }
    let told_lately = standing.told_at.is_some_and(|at| at + TOLD_ONCE_IN > new.created_at);
    let same = diesel::sql_query(SAME)
        .bind::<SqlUuid, _>(new.from.uuid())
        .bind::<Nullable<SqlUuid>, _>(named_user)
        .bind::<Nullable<Bytea>, _>(email_index.as_deref());
    let same: Option<RequestRow> = prepared(same).get_result(connection).await.optional()?;
    if let Some(same) = same {
        return Ok(Asked::Open(same.restore()?));
    }
    let open = diesel::sql_query(COUNT_OPEN).bind::<SqlUuid, _>(new.from.uuid());
    let open: Count = prepared(open).get_result(connection).await?;
    if open.count >= most {
        return Ok(Asked::TooMany);
    }
    let insert = diesel::sql_query(INSERT)
        .bind::<SqlUuid, _>(new.id.uuid())
        .bind::<SqlUuid, _>(new.from.uuid())
        .bind::<Nullable<SqlUuid>, _>(reaches.map(UserId::uuid))
        .bind::<Nullable<SqlUuid>, _>(named_user)
        .bind::<Nullable<Bytea>, _>(email_index)
        .bind::<Nullable<Bytea>, _>(named_email)
        .bind::<Nullable<Bytea>, _>(new.nickname.as_ref().map(Sealed::as_bytes))
        .bind::<Timestamptz, _>(new.created_at)
        .bind::<Bool, _>(reaches.is_some() && !told_lately);
    prepared(insert).execute(connection).await?;
    let left = match reaches {
        Some(_) if told_lately => &by_outcome.repeated,
        Some(_) => &by_outcome.reached,
        None => &by_outcome.unreached,
    };
    effects::store(connection, left).await?;
    Ok(Asked::Open(StoredContactRequest {
        id: new.id,
        from: new.from,
        named: new.named.clone(),
        nickname: new.nickname.clone(),
        created_at: new.created_at,
    }))
}

impl Database {
    /// Runs `query`, which ends a request; its effects are stored if there was one.
    async fn end_request<Q>(&self, query: Q, left: &Effects) -> Result<bool, Error>
    where
        Q: RunQueryDsl<AsyncPgConnection> + ExecuteDsl<AsyncPgConnection> + Send,
    {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let ended = connection
            .transaction(async |connection| {
                let ended = query.execute(connection).await? > 0;
                if ended {
                    effects::store(connection, left).await?;
                }
                Ok::<_, BoxError>(ended)
            })
            .await
            .map_err(unavailable)?;
        self.ring();
        Ok(ended)
    }
}

#[async_trait]
impl ContactStore for Database {
    async fn ask(&self, new: &NewContactRequest, most: i64, left: &AskEffects) -> Result<Asked, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let asked = connection
            .transaction(async |connection| ask(connection, new, most, left).await)
            .await
            .map_err(unavailable)?;
        self.ring();
        Ok(asked)
    }

    async fn requests(
        &self,
        user: UserId,
        direction: Direction,
        window: &Window<ContactRequestId>,
    ) -> Result<Vec<StoredContactRequest>, Error> {
        let sql = match direction {
            Direction::Incoming => INCOMING,
            Direction::Outgoing => OUTGOING,
        };
        let query = diesel::sql_query(sql)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<Timestamptz>, _>(window.after.map(|after| after.at))
            .bind::<Nullable<SqlUuid>, _>(window.after.map(|after| after.id.uuid()))
            .bind::<BigInt, _>(window.offset)
            .bind::<BigInt, _>(window.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<RequestRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(|row| row.restore().map_err(unavailable)).collect()
    }

    async fn incoming(
        &self,
        user: UserId,
        id: ContactRequestId,
    ) -> Result<Option<StoredContactRequest>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        one_incoming(&mut connection, ONE_INCOMING, user, id).await.map_err(unavailable)
    }

    async fn accept(
        &self,
        user: UserId,
        id: ContactRequestId,
        at: DateTime<Utc>,
        left: &Effects,
    ) -> Result<bool, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let accepted = connection
            .transaction(async |connection| {
                let request = one_incoming(connection, ONE_INCOMING, user, id).await?;
                let Some(request) = request else { return Ok(false) };
                lock_pair(connection, user, request.from).await?;
                // It may have ended while we waited.
                let request = one_incoming(connection, LOCK_INCOMING, user, id).await?;
                let Some(request) = request else { return Ok(false) };
                befriend(connection, (user, None), (request.from, request.nickname.as_ref()), at).await?;
                effects::store(connection, left).await?;
                Ok::<_, BoxError>(true)
            })
            .await
            .map_err(unavailable)?;
        self.ring();
        Ok(accepted)
    }

    async fn decline(
        &self,
        user: UserId,
        id: ContactRequestId,
        at: DateTime<Utc>,
        left: &Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(DECLINE)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Timestamptz, _>(at);
        self.end_request(prepared(query), left).await
    }

    async fn withdraw(&self, user: UserId, id: ContactRequestId, left: &Effects) -> Result<bool, Error> {
        let query = diesel::sql_query(WITHDRAW).bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(user.uuid());
        self.end_request(prepared(query), left).await
    }

    async fn contacts(&self, owner: UserId, list: &ContactQuery) -> Result<Vec<StoredContact>, Error> {
        let query = diesel::sql_query(CONTACTS)
            .bind::<SqlUuid, _>(owner.uuid())
            .bind::<Nullable<Bool>, _>(list.favorite)
            .bind::<Nullable<Bool>, _>(list.after.map(|(is_favorite, _)| is_favorite))
            .bind::<Nullable<Timestamptz>, _>(list.after.map(|(_, after)| after.at))
            .bind::<Nullable<SqlUuid>, _>(list.after.map(|(_, after)| after.id.uuid()))
            .bind::<BigInt, _>(list.offset)
            .bind::<BigInt, _>(list.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ContactRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(StoredContact::from).collect())
    }

    async fn contact(&self, owner: UserId, user: UserId) -> Result<Option<StoredContact>, Error> {
        let query =
            diesel::sql_query(CONTACT).bind::<SqlUuid, _>(owner.uuid()).bind::<SqlUuid, _>(user.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<ContactRow> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        Ok(row.map(StoredContact::from))
    }

    async fn change(
        &self,
        owner: UserId,
        user: UserId,
        nickname: Option<Option<Sealed>>,
        is_favorite: Option<bool>,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(CHANGE)
            .bind::<SqlUuid, _>(owner.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Bool, _>(nickname.is_some())
            .bind::<Nullable<Bytea>, _>(nickname.flatten().map(Sealed::into_bytes))
            .bind::<Nullable<Bool>, _>(is_favorite);
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(prepared(query).execute(&mut connection).await.map_err(unavailable)? > 0)
    }

    async fn remove(&self, owner: UserId, user: UserId, left: &Effects) -> Result<bool, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let removed = connection
            .transaction(async |connection| {
                lock_pair(connection, owner, user).await?;
                let query = diesel::sql_query(REMOVE)
                    .bind::<SqlUuid, _>(owner.uuid())
                    .bind::<SqlUuid, _>(user.uuid());
                let removed = prepared(query).execute(connection).await? > 0;
                if removed {
                    effects::store(connection, left).await?;
                }
                Ok::<_, BoxError>(removed)
            })
            .await
            .map_err(unavailable)?;
        self.ring();
        Ok(removed)
    }
}
