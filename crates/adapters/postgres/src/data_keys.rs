//! `kernel::DataKeyStore`.

use alivio_kernel::BoxError;
use alivio_kernel::ids::{DataKeyId, Uuid};
use alivio_kernel::sealing::{DataKeyStore, Scope, WrappedKey};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::schema::data_keys;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = data_keys)]
struct Row {
    id: Uuid,
    scope_kind: String,
    scope_id: Uuid,
    version: i32,
    kek_version: i32,
    wrapped: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl From<Row> for WrappedKey {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            scope_kind: row.scope_kind,
            scope_id: row.scope_id,
            version: row.version,
            kek_version: row.kek_version,
            wrapped: row.wrapped,
            created_at: row.created_at,
        }
    }
}

impl From<WrappedKey> for Row {
    fn from(key: WrappedKey) -> Self {
        Self {
            id: key.id.uuid(),
            scope_kind: key.scope_kind,
            scope_id: key.scope_id,
            version: key.version,
            kek_version: key.kek_version,
            wrapped: key.wrapped,
            created_at: key.created_at,
        }
    }
}

#[async_trait]
impl DataKeyStore for Database {
    async fn active(&self, scope: Scope) -> Result<Option<WrappedKey>, BoxError> {
        let mut connection = self.connection().await?;
        let row: Option<Row> = data_keys::table
            .filter(data_keys::scope_kind.eq(scope.kind()))
            .filter(data_keys::scope_id.eq(scope.id()))
            .order(data_keys::version.desc())
            .select(Row::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(row.map(WrappedKey::from))
    }

    async fn by_ids(&self, ids: &[DataKeyId]) -> Result<Vec<WrappedKey>, BoxError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let mut connection = self.connection().await?;
        let rows: Vec<Row> = data_keys::table
            .filter(data_keys::id.eq_any(ids))
            .select(Row::as_select())
            .load(&mut connection)
            .await?;
        Ok(rows.into_iter().map(WrappedKey::from).collect())
    }

    async fn insert(&self, key: WrappedKey) -> Result<WrappedKey, BoxError> {
        let row = Row::from(key);
        let (kind, id, version) = (row.scope_kind.clone(), row.scope_id, row.version);
        let mut connection = self.connection().await?;
        diesel::insert_into(data_keys::table)
            .values(row)
            .on_conflict((data_keys::scope_kind, data_keys::scope_id, data_keys::version))
            .do_nothing()
            .execute(&mut connection)
            .await?;
        // A statement of its own: its snapshot shows the winner of a race.
        let stored: Row = data_keys::table
            .filter(data_keys::scope_kind.eq(kind))
            .filter(data_keys::scope_id.eq(id))
            .filter(data_keys::version.eq(version))
            .select(Row::as_select())
            .first(&mut connection)
            .await?;
        Ok(stored.into())
    }

    async fn sample(&self) -> Result<Option<WrappedKey>, BoxError> {
        let mut connection = self.connection().await?;
        let row: Option<Row> = data_keys::table
            .order(data_keys::id.desc())
            .select(Row::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(row.map(WrappedKey::from))
    }
}
