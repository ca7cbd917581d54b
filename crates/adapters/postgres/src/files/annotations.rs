//! `files::AnnotationStore`.

use alivio_files::{AnnotationStore, Error, LayerVersion, StoredLayer};
use alivio_kernel::ids::{AnnotationId, FileId, Uuid};
use alivio_kernel::{Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Bytea, Integer, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::unavailable;
use crate::sql::{Count, prepared};
use crate::{Database, effects};

// Those who come at the same time wait for the row of the file, and count what the others have stored.
const LOCK_FILE: &str = "SELECT id FROM files WHERE id = $1 AND state = 'active' FOR NO KEY UPDATE";
const COUNT: &str = "SELECT count(*) AS count FROM file_annotations WHERE file_id = $1";
const ADD: &str = "INSERT INTO file_annotations (id, file_id, version) VALUES ($1, $2, $3)";
const MOVE_ON: &str = "
    UPDATE file_annotations SET version = $3 WHERE id = $1 AND file_id = $2 AND version = $3 - 1 AND removed_at IS NULL";
const ADD_VERSION: &str = "
    INSERT INTO file_annotation_versions (annotation_id, version, author_id, drawn_at, drawing)
    VALUES ($1, $2, $3, $4, $5)";
const WITHDRAW: &str = "
    UPDATE file_annotations SET removed_at = $4
    WHERE id = $1 AND file_id = $2 AND version = $3 AND removed_at IS NULL";

macro_rules! layers {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.file_id, v.version, a.version AS newest, v.author_id, v.drawn_at, a.removed_at, v.drawing
             FROM file_annotations a JOIN file_annotation_versions v ON v.annotation_id = a.id ",
            $rest
        )
    };
}
const LAYERS: &str =
    layers!("WHERE a.file_id = $1 AND a.removed_at IS NULL AND v.version = a.version ORDER BY a.id");
const LAYER: &str = layers!("WHERE a.file_id = $1 AND a.id = $2 AND v.version = coalesce($3, a.version)");
const VERSIONS: &str = "
    SELECT v.version, v.author_id, v.drawn_at
    FROM file_annotations a JOIN file_annotation_versions v ON v.annotation_id = a.id
    WHERE a.file_id = $1 AND a.id = $2 ORDER BY v.version DESC";

#[derive(QueryableByName)]
struct LayerRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    file_id: Uuid,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Integer)]
    newest: i32,
    #[diesel(sql_type = SqlUuid)]
    author_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    drawn_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    removed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bytea)]
    drawing: Vec<u8>,
}

impl LayerRow {
    fn restore(self) -> Result<StoredLayer, Error> {
        Ok(StoredLayer {
            id: self.id.into(),
            file_id: self.file_id.into(),
            version: number(self.version)?,
            newest: number(self.newest)?,
            author_id: self.author_id.into(),
            drawn_at: self.drawn_at,
            removed_at: self.removed_at,
            drawing: Sealed::from_bytes(self.drawing),
        })
    }
}

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = SqlUuid)]
    author_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    drawn_at: DateTime<Utc>,
}

/// No layer comes so far that it matters which of the versions beyond it is.
fn stored(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

fn number(version: i32) -> Result<u32, Error> {
    u32::try_from(version).map_err(unavailable)
}

impl Database {
    /// Stores a version and `effects`, or nothing: the first of a layer, if `most` says how many layers there may be, or
    /// the next.
    async fn store_version(
        &self,
        layer: &StoredLayer,
        most: Option<i64>,
        effects: Effects,
    ) -> Result<(), Error> {
        let (id, file) = (layer.id.uuid(), layer.file_id.uuid());
        let version = stored(layer.version);
        let first = diesel::sql_query(if most.is_some() { ADD } else { MOVE_ON })
            .bind::<SqlUuid, _>(id)
            .bind::<SqlUuid, _>(file)
            .bind::<Integer, _>(version);
        let add = diesel::sql_query(ADD_VERSION)
            .bind::<SqlUuid, _>(id)
            .bind::<Integer, _>(version)
            .bind::<SqlUuid, _>(layer.author_id.uuid())
            .bind::<Timestamptz, _>(layer.drawn_at)
            .bind::<Bytea, _>(layer.drawing.as_bytes());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<Result<(), Error>, diesel::result::Error> = connection
            .transaction(async |connection| {
                let lock = diesel::sql_query(LOCK_FILE).bind::<SqlUuid, _>(file);
                if prepared(lock).execute(connection).await? == 0 {
                    return Ok(Err(Error::NotFound));
                }
                if let Some(most) = most {
                    let count = diesel::sql_query(COUNT).bind::<SqlUuid, _>(file);
                    let rows: Vec<Count> = prepared(count).load(connection).await?;
                    if rows.iter().any(|row| row.count >= most) {
                        return Ok(Err(Error::TooManyAnnotations));
                    }
                }
                if prepared(first).execute(connection).await? == 0 {
                    return Ok(Err(Error::Stale));
                }
                prepared(add).execute(connection).await?;
                effects::store(connection, &effects).await?;
                Ok(Ok(()))
            })
            .await;
        work.map_err(unavailable)??;
        self.ring();
        Ok(())
    }
}

#[async_trait]
impl AnnotationStore for Database {
    async fn add(&self, layer: &StoredLayer, most: i64, effects: Effects) -> Result<(), Error> {
        self.store_version(layer, Some(most), effects).await
    }

    async fn redraw(&self, layer: &StoredLayer, effects: Effects) -> Result<(), Error> {
        self.store_version(layer, None, effects).await
    }

    async fn withdraw(
        &self,
        file: FileId,
        layer: AnnotationId,
        version: u32,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let query = diesel::sql_query(WITHDRAW)
            .bind::<SqlUuid, _>(layer.uuid())
            .bind::<SqlUuid, _>(file.uuid())
            .bind::<Integer, _>(stored(version))
            .bind::<Timestamptz, _>(now);
        if self.change_file(query, effects).await? { Ok(()) } else { Err(Error::Stale) }
    }

    async fn layers(&self, file: FileId) -> Result<Vec<StoredLayer>, Error> {
        let query = diesel::sql_query(LAYERS).bind::<SqlUuid, _>(file.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<LayerRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(LayerRow::restore).collect()
    }

    async fn layer(
        &self,
        file: FileId,
        layer: AnnotationId,
        version: Option<u32>,
    ) -> Result<Option<StoredLayer>, Error> {
        // Larger numbers are no versions.
        let version = version.map(stored);
        let query = diesel::sql_query(LAYER)
            .bind::<SqlUuid, _>(file.uuid())
            .bind::<SqlUuid, _>(layer.uuid())
            .bind::<Nullable<Integer>, _>(version);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<LayerRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(LayerRow::restore).transpose()
    }

    async fn versions(&self, file: FileId, layer: AnnotationId) -> Result<Vec<LayerVersion>, Error> {
        let query =
            diesel::sql_query(VERSIONS).bind::<SqlUuid, _>(file.uuid()).bind::<SqlUuid, _>(layer.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<VersionRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let version = |row: VersionRow| {
            let version = number(row.version)?;
            Ok(LayerVersion { version, author_id: row.author_id.into(), drawn_at: row.drawn_at })
        };
        rows.into_iter().map(version).collect()
    }
}
