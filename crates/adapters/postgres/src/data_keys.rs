//! `kernel::DataKeyStore`.

use alivio_kernel::BoxError;
use alivio_kernel::ids::{DataKeyId, Uuid};
use alivio_kernel::sealing::{DataKeyStore, KeyState, Rewrapped, Scope, WrappedKey};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bytea, Integer, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::Database;
use crate::schema::data_keys;
use crate::sql::prepared;

const LOCK: &str = "SELECT lock_data_keys($1, $2)";

// Under the lock: nobody destroys the keys of the scope meanwhile.
const INSERT: &str = "
    INSERT INTO data_keys (id, scope_kind, scope_id, version, kek_version, wrapped, created_at)
    SELECT $1, $2, $3, $4, $5, $6, $7
    WHERE NOT EXISTS (
        SELECT FROM data_keys k WHERE k.scope_kind = $2 AND k.scope_id = $3 AND k.state = 'destroyed'
    )
    ON CONFLICT (scope_kind, scope_id, version) DO NOTHING";

// A statement of its own: its snapshot shows the winner of a race.
const INSERTED: &str = "
    SELECT id, scope_kind, scope_id, version, state, kek_version, wrapped, created_at FROM data_keys
    WHERE scope_kind = $1 AND scope_id = $2 AND (version = $3 OR state = 'destroyed')
    ORDER BY state = 'destroyed' DESC, version LIMIT 1";

const REWRAP: &str = "
    UPDATE data_keys k SET kek_version = n.now, wrapped = n.wrapped
    FROM (
        SELECT k.id, n.now, n.wrapped
        FROM unnest($1, $2, $3, $4) AS n (id, before, now, wrapped)
        JOIN data_keys k ON k.id = n.id AND k.kek_version = n.before AND k.state <> 'destroyed'
        ORDER BY k.id FOR NO KEY UPDATE OF k
    ) n
    WHERE k.id = n.id";

const RETIRE: &str = "
    UPDATE data_keys SET state = 'decrypt_only'
    WHERE id IN (
        SELECT k.id FROM data_keys k WHERE k.state = 'active' AND k.created_at < $1
        ORDER BY k.created_at, k.id LIMIT $2 FOR NO KEY UPDATE
    ) AND state = 'active'";

const COUNT_SEALS: &str = "
    UPDATE data_keys SET seals = seals + $2,
        state = CASE WHEN state = 'active' AND seals + $2 >= $3 THEN 'decrypt_only' ELSE state END
    WHERE id = $1 RETURNING state";

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = data_keys)]
struct Row {
    id: Uuid,
    scope_kind: String,
    scope_id: Uuid,
    version: i32,
    state: String,
    kek_version: i32,
    wrapped: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for WrappedKey {
    type Error = BoxError;

    fn try_from(row: Row) -> Result<Self, BoxError> {
        Ok(Self {
            id: row.id.into(),
            scope_kind: row.scope_kind,
            scope_id: row.scope_id,
            version: row.version,
            state: state(&row.state)?,
            kek_version: row.kek_version,
            wrapped: row.wrapped,
            created_at: row.created_at,
        })
    }
}

fn state(name: &str) -> Result<KeyState, BoxError> {
    KeyState::parse(name).ok_or_else(|| format!("a data key is {name:?}, which is no state").into())
}

/// Destroys all keys of a scope, in the transaction that `connection` is in: from the commit on, nobody seals or
/// opens anything of it who does not remember the key. Where there was no key, there will be none.
pub(crate) async fn destroy(
    connection: &mut AsyncPgConnection,
    scope: Scope,
    tombstone: DataKeyId,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    if destroy_existing(connection, scope).await? == 0 {
        let never = diesel::sql_query(
            "INSERT INTO data_keys (id, scope_kind, scope_id, version, state, kek_version, wrapped, created_at)
             VALUES ($1, $2, $3, 1, 'destroyed', 0, ''::bytea, $4)",
        )
        .bind::<SqlUuid, _>(tombstone.uuid())
        .bind::<Text, _>(scope.kind())
        .bind::<SqlUuid, _>(scope.id())
        .bind::<Timestamptz, _>(now);
        prepared(never).execute(connection).await?;
    }
    Ok(())
}

/// Destroys the keys that a scope has, likewise. How many there are.
pub(crate) async fn destroy_existing(connection: &mut AsyncPgConnection, scope: Scope) -> QueryResult<usize> {
    lock(connection, scope.kind(), scope.id()).await?;
    let destroyed = diesel::sql_query(
        "UPDATE data_keys SET state = 'destroyed', wrapped = ''::bytea WHERE scope_kind = $1 AND scope_id = $2",
    )
    .bind::<Text, _>(scope.kind())
    .bind::<SqlUuid, _>(scope.id());
    prepared(destroyed).execute(connection).await
}

async fn lock(connection: &mut AsyncPgConnection, kind: &str, scope: Uuid) -> QueryResult<()> {
    let lock = diesel::sql_query(LOCK).bind::<Text, _>(kind).bind::<SqlUuid, _>(scope);
    prepared(lock).execute(connection).await.map(drop)
}

#[async_trait]
impl DataKeyStore for Database {
    async fn newest(&self, scope: Scope) -> Result<Option<WrappedKey>, BoxError> {
        let mut connection = self.connection().await?;
        let row: Option<Row> = data_keys::table
            .filter(data_keys::scope_kind.eq(scope.kind()))
            .filter(data_keys::scope_id.eq(scope.id()))
            .order(data_keys::version.desc())
            .select(Row::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        row.map(WrappedKey::try_from).transpose()
    }

    async fn by_ids(&self, ids: &[DataKeyId]) -> Result<Vec<WrappedKey>, BoxError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let mut connection = self.connection().await?;
        let rows: Vec<Row> = data_keys::table
            .filter(data_keys::id.eq_any(ids))
            .select(Row::as_select())
            .load(&mut connection)
            .await?;
        rows.into_iter().map(WrappedKey::try_from).collect()
    }

    async fn insert(&self, key: WrappedKey) -> Result<WrappedKey, BoxError> {
        let mut connection = self.connection().await?;
        let stored: Result<Row, diesel::result::Error> = connection
            .transaction(async |connection| {
                lock(connection, &key.scope_kind, key.scope_id).await?;
                let insert = diesel::sql_query(INSERT)
                    .bind::<SqlUuid, _>(key.id.uuid())
                    .bind::<Text, _>(&key.scope_kind)
                    .bind::<SqlUuid, _>(key.scope_id)
                    .bind::<Integer, _>(key.version)
                    .bind::<Integer, _>(key.kek_version)
                    .bind::<Bytea, _>(&key.wrapped)
                    .bind::<Timestamptz, _>(key.created_at);
                prepared(insert).execute(connection).await?;
                let inserted = diesel::sql_query(INSERTED)
                    .bind::<Text, _>(&key.scope_kind)
                    .bind::<SqlUuid, _>(key.scope_id)
                    .bind::<Integer, _>(key.version);
                prepared(inserted).get_result(connection).await
            })
            .await;
        stored?.try_into()
    }

    async fn sample(&self) -> Result<Option<WrappedKey>, BoxError> {
        let mut connection = self.connection().await?;
        let row: Option<Row> = data_keys::table
            .filter(data_keys::state.ne(KeyState::Destroyed.as_str()))
            .order(data_keys::id.desc())
            .select(Row::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        row.map(WrappedKey::try_from).transpose()
    }

    async fn not_wrapped_by(
        &self,
        kek_version: i32,
        after: Option<DataKeyId>,
        limit: i64,
    ) -> Result<Vec<WrappedKey>, BoxError> {
        let mut connection = self.connection().await?;
        let rows: Vec<Row> = data_keys::table
            .filter(data_keys::state.ne(KeyState::Destroyed.as_str()))
            .filter(data_keys::kek_version.ne(kek_version))
            .filter(data_keys::id.gt(after.map_or(Uuid::nil(), |id| id.uuid())))
            .order(data_keys::id)
            .limit(limit)
            .select(Row::as_select())
            .load(&mut connection)
            .await?;
        rows.into_iter().map(WrappedKey::try_from).collect()
    }

    async fn rewrap(&self, keys: &[Rewrapped]) -> Result<(), BoxError> {
        let query = diesel::sql_query(REWRAP)
            .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.id.uuid()).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(keys.iter().map(|key| key.from).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(keys.iter().map(|key| key.to).collect::<Vec<_>>())
            .bind::<Array<Bytea>, _>(keys.iter().map(|key| key.wrapped.as_slice()).collect::<Vec<_>>());
        let mut connection = self.connection().await?;
        prepared(query).execute(&mut connection).await?;
        Ok(())
    }

    async fn retire(&self, before: DateTime<Utc>, limit: i64) -> Result<usize, BoxError> {
        let query = diesel::sql_query(RETIRE).bind::<Timestamptz, _>(before).bind::<BigInt, _>(limit);
        let mut connection = self.connection().await?;
        Ok(prepared(query).execute(&mut connection).await?)
    }

    async fn count_seals(&self, key: DataKeyId, seals: i64, cap: i64) -> Result<KeyState, BoxError> {
        #[derive(QueryableByName)]
        struct State {
            #[diesel(sql_type = Text)]
            state: String,
        }
        let query = diesel::sql_query(COUNT_SEALS)
            .bind::<SqlUuid, _>(key.uuid())
            .bind::<BigInt, _>(seals)
            .bind::<BigInt, _>(cap);
        let mut connection = self.connection().await?;
        let row: Option<State> = prepared(query).get_result(&mut connection).await.optional()?;
        row.map_or(Ok(KeyState::Destroyed), |row| state(&row.state))
    }
}
