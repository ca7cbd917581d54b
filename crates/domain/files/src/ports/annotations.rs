use alivio_kernel::ids::{AnnotationId, FileId, UserId};
use alivio_kernel::{Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, LayerVersion};

/// A version of a layer, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLayer {
    /// Which layer.
    pub id: AnnotationId,
    /// Over which file.
    pub file_id: FileId,
    /// Which version.
    pub version: u32,
    /// The newest that there is; not looked at when it is stored.
    pub newest: u32,
    /// Who drew it.
    pub author_id: UserId,
    /// When.
    pub drawn_at: DateTime<Utc>,
    /// When the layer was taken away; not looked at when it is stored.
    pub removed_at: Option<DateTime<Utc>>,
    /// What, sealed.
    pub drawing: Sealed,
}

/// What is drawn over files. Nothing here asks who may see the file.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait AnnotationStore: Send + Sync {
    /// Stores the first version of a layer with `effects`, or nothing: [`Error::NotFound`] unless the file is there,
    /// [`Error::TooManyAnnotations`] if it has `most` layers already, however many come at once.
    async fn add(&self, layer: &StoredLayer, most: i64, effects: Effects) -> Result<(), Error>;

    /// Stores the next version of a layer with `effects`, or nothing. MUST answer [`Error::Stale`] unless the one before
    /// it still is the newest and the layer was not taken away.
    async fn redraw(&self, layer: &StoredLayer, effects: Effects) -> Result<(), Error>;

    /// Takes a layer away with `effects`; its versions stay. MUST answer [`Error::Stale`] unless `version` still is the
    /// newest and the layer was not taken away.
    async fn withdraw(
        &self,
        file: FileId,
        layer: AnnotationId,
        version: u32,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error>;

    /// The newest version of each layer of a file that was not taken away, the oldest layer first.
    async fn layers(&self, file: FileId) -> Result<Vec<StoredLayer>, Error>;

    /// A version of a layer of a file, or its newest, whether or not it was taken away.
    async fn layer(
        &self,
        file: FileId,
        layer: AnnotationId,
        version: Option<u32>,
    ) -> Result<Option<StoredLayer>, Error>;

    /// Who has drawn each version of a layer of a file, the newest first; none if there is no such layer.
    async fn versions(&self, file: FileId, layer: AnnotationId) -> Result<Vec<LayerVersion>, Error>;
}
