//! Which history of the installation the database holds.

use alivio_kernel::ids::Uuid;
use diesel::QueryableByName;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;

use crate::{Database, DatabaseError};

// The first eight digits of a log file's name are its timeline.
const NOTE: &str = "
    WITH here AS (
        SELECT concat_ws('.', (SELECT system_identifier FROM pg_control_system()),
            left(pg_walfile_name(pg_current_wal_lsn()), 8),
            (SELECT oid FROM pg_database WHERE datname = current_database())) AS origin
    )
    UPDATE installation i SET origin = here.origin,
        epoch = CASE WHEN i.origin <> here.origin THEN gen_random_uuid() ELSE i.epoch END
    FROM here RETURNING i.epoch";

const RENEW: &str = "UPDATE installation SET epoch = gen_random_uuid() RETURNING epoch";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    epoch: Uuid,
}

impl Database {
    /// The present epoch. It is a new one if the database has come here from another place: from a backup, or by the
    /// promotion of a stand-by.
    ///
    /// # Errors
    /// [`DatabaseError::Unreachable`].
    pub async fn epoch(&self) -> Result<Uuid, DatabaseError> {
        self.ask_epoch(NOTE).await
    }

    /// Begins another epoch.
    ///
    /// # Errors
    /// [`DatabaseError::Unreachable`].
    pub async fn renew_epoch(&self) -> Result<Uuid, DatabaseError> {
        self.ask_epoch(RENEW).await
    }

    async fn ask_epoch(&self, sql: &str) -> Result<Uuid, DatabaseError> {
        let mut connection = self.connection().await.map_err(DatabaseError::Unreachable)?;
        let row: Row = diesel::sql_query(sql)
            .get_result(&mut connection)
            .await
            .map_err(|error| DatabaseError::Unreachable(error.into()))?;
        Ok(row.epoch)
    }
}
