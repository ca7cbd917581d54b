use std::sync::Arc;

use alivio_files::{BlobError, BlobKey, BlobWriter};
use async_trait::async_trait;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use super::{Place, failure};

/// Parts of an upload but the last must not be smaller.
const PART: usize = 5 * 1024 * 1024;

/// A blob on its way: what is small goes at once, the rest in parts, of which one is under way while the next gathers.
pub(super) struct S3Writer {
    place: Arc<Place>,
    key: BlobKey,
    part: Vec<Bytes>,
    gathered: usize,
    written: u64,
    upload: Option<Box<dyn MultipartUpload>>,
    /// At most one. It ends with the writer.
    under_way: JoinSet<object_store::Result<()>>,
    /// A part was not stored.
    torn: bool,
}

impl S3Writer {
    pub(super) fn new(place: Arc<Place>, key: BlobKey) -> Self {
        Self {
            place,
            key,
            part: Vec::new(),
            gathered: 0,
            written: 0,
            upload: None,
            under_way: JoinSet::new(),
            torn: false,
        }
    }

    fn payload(&mut self) -> PutPayload {
        self.gathered = 0;
        std::mem::take(&mut self.part).into_iter().collect()
    }

    /// Waits for the part that is under way.
    async fn arrived(&mut self) -> Result<(), BlobError> {
        if self.torn {
            return Err(BlobError::Unavailable("a part was not stored before".into()));
        }
        // Only when it has arrived is it no torn blob any more, whoever gives up waiting.
        while let Some(part) = self.under_way.join_next().await {
            let part = match part {
                Ok(part) => part.map_err(failure),
                Err(gone) => Err(BlobError::Unavailable(gone.into())),
            };
            self.torn = part.is_err();
            part?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), BlobError> {
        self.arrived().await?;
        if self.upload.is_none() {
            let path = self.place.path(self.key);
            self.upload = Some(self.place.bucket.put_multipart(&path).await.map_err(failure)?);
        }
        let payload = self.payload();
        if let Some(upload) = &mut self.upload {
            self.under_way.spawn(upload.put_part(payload));
        }
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.gathered += bytes.len();
        self.written += bytes.len() as u64;
        self.part.push(bytes);
        if self.gathered >= PART { self.send().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<(), BlobError> {
        self.arrived().await?;
        if self.upload.is_some() && self.gathered > 0 {
            self.send().await?;
            self.arrived().await?;
        }
        let path = self.place.path(self.key);
        let put = match &mut self.upload {
            Some(upload) => upload.complete().await,
            None => {
                let payload = self.payload();
                self.place.bucket.put(&path, payload).await
            }
        };
        let put = put.map_err(failure)?;
        // Whether all arrived; unless what is there now is of another writer.
        let stored = self.place.bucket.head(&path).await.map_err(failure)?;
        if stored.size == self.written || stored.e_tag != put.e_tag {
            Ok(())
        } else {
            Err(BlobError::Damaged)
        }
    }

    async fn abort(mut self: Box<Self>) {
        self.under_way.shutdown().await;
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            // The next sweep will.
            tracing::warn!(%error, "blob.not_aborted");
        }
    }
}
