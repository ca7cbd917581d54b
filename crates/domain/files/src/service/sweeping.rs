//! What is to be cleared away.

use alivio_kernel::ids::DataKeyId;
use alivio_kernel::{AuditEntry, Effects, Event};
use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt};

use super::Files;
use crate::{Blob, BlobKey, BlobPart, Error, FileDestroyed};

/// What nobody owns is left alone for so long: its row may be on its way.
const GRACE: TimeDelta = TimeDelta::hours(6);
/// How many are looked at at once.
const BATCH: usize = 500;

impl Files {
    /// Destroys the content of files that were taken away and need not be kept. Whether there may be more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn destroy_removed(&self) -> Result<bool, Error> {
        const LIMIT: i64 = 20;
        let p = &self.ports;
        let ids = p.files.destroyable(p.clock.now(), LIMIT).await?;
        for id in &ids {
            // The keys first: what is left of the bytes opens no more.
            let segments = p.files.segments(*id).await?;
            let tombstone = DataKeyId::generate(&*p.ids);
            let now = p.clock.now();
            let event = Event::new(&*p.ids, now, &FileDestroyed { file_id: *id });
            let entry = AuditEntry::by_machine(&*p.ids, now, "file.destroyed").on("file", *id);
            let effects = Effects::default().event(event).audit(entry);
            p.files.destroy(*id, tombstone, now, effects).await?;
            self.forget(*id).await;
            self.remove_blobs(*id, &segments).await;
            for part in [BlobPart::Thumbnail, BlobPart::Preview] {
                p.blobs.delete(BlobKey { owner: id.uuid(), part }).await?;
            }
        }
        Ok(i64::try_from(ids.len()).is_ok_and(|count| count == LIMIT))
    }

    /// Forgets uploads whose time is over. Whether there may be more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_uploads(&self) -> Result<bool, Error> {
        const LIMIT: i64 = 100;
        let p = &self.ports;
        let forgotten = p.uploads.forget_expired(p.clock.now(), LIMIT).await?;
        Ok(i64::try_from(forgotten.len()).is_ok_and(|count| count == LIMIT))
    }

    /// Removes blobs that nobody owns, and what unfinished writers left. How many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sweep(&self) -> Result<u64, Error> {
        let p = &self.ports;
        let before = p.clock.now() - GRACE;
        let mut swept = p.blobs.sweep(before).await?;
        let mut batches = p.blobs.list().await?.try_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| Error::from(error.1))?;
            let old = |blob: &Blob| blob.stored_at < before;
            let keys: Vec<_> = batch.iter().filter(|blob| old(blob)).map(|blob| blob.key).collect();
            let owned = p.files.owned(&keys).await?;
            for key in keys.into_iter().filter(|key| !owned.contains(key)) {
                p.blobs.delete(key).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}
