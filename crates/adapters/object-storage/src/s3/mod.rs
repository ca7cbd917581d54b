//! Blobs in a bucket of S3, or of whatever speaks its language.

mod unfinished;
mod writer;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use alivio_files::{Blob, BlobError, BlobKey, BlobStore, BlobWriter, ByteStream};
use alivio_kernel::Sensitive;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::{Path, PathPart};
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt,
    RetryConfig,
};

use self::unfinished::Unfinished;
use self::writer::S3Writer;

/// The same request is tried so often, and so long.
const RETRIES: usize = 4;
/// Nothing is said for so long, and the line is dead.
const SILENCE: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);

/// Who may use a bucket.
#[derive(Debug, Clone)]
pub struct S3Credentials {
    /// The name of the key.
    pub key_id: String,
    /// The key.
    pub secret: Sensitive<String>,
}

/// Where a bucket is.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Its name.
    pub bucket: String,
    /// What the names of all blobs begin with, without slashes at its ends; it may be empty.
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// The URL of a server of one's own; `None` is Amazon's.
    pub endpoint: Option<String>,
    /// Who we are; `None` is whoever the machine or container is for Amazon.
    pub credentials: Option<S3Credentials>,
    /// How long one request may be without an answer, or an answer without a next piece.
    pub silence: Duration,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            credentials: None,
            silence: SILENCE,
        }
    }
}

/// The bucket cannot be used as it is described.
#[derive(Debug, thiserror::Error)]
#[error("not a bucket that can be used: {0}")]
pub struct S3Error(String);

/// Blobs in a bucket.
pub struct S3 {
    place: Arc<Place>,
    unfinished: Unfinished,
}

/// The bucket, and where in it blobs are.
struct Place {
    bucket: AmazonS3,
    prefix: Path,
}

impl S3 {
    /// Keeps blobs in the bucket. Asks nobody yet.
    ///
    /// # Errors
    /// If there can be no such bucket.
    pub fn new(options: &S3Options) -> Result<Self, S3Error> {
        let refused = |error: Error| S3Error(error.to_string());
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            // Whoever downloads may take their time; the server may not.
            .with_timeout_disabled()
            .with_read_timeout(options.silence)
            .with_allow_http(true);
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: options.silence * 3,
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(2),
                base: 2.,
            },
        };
        let builder = match &options.credentials {
            None => AmazonS3Builder::from_env(),
            Some(S3Credentials { key_id, secret }) => {
                AmazonS3Builder::new().with_access_key_id(key_id).with_secret_access_key(secret.expose())
            }
        };
        let builder = builder.with_bucket_name(&options.bucket).with_region(&options.region);
        let builder = match &options.endpoint {
            None => builder,
            Some(endpoint) => builder.with_endpoint(endpoint),
        };
        let bucket =
            builder.with_client_options(client.clone()).with_retry(retry).build().map_err(refused)?;
        let prefix = Path::parse(&options.prefix).map_err(|error| S3Error(error.to_string()))?;
        let unfinished = Unfinished::new(options, &client).map_err(refused)?;
        Ok(Self { place: Arc::new(Place { bucket, prefix }), unfinished })
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("prefix", &self.place.prefix).finish_non_exhaustive()
    }
}

impl Place {
    fn path(&self, key: BlobKey) -> Path {
        let (owner, part) = (key.owner.to_string(), key.part.to_string());
        self.prefix.clone().join(PathPart::from(owner)).join(PathPart::from(part))
    }

    /// `None` is none of ours.
    fn key(&self, path: &Path) -> Option<BlobKey> {
        let steps: Vec<_> = path.prefix_match(&self.prefix)?.collect();
        let [owner, part] = steps.as_slice() else { return None };
        format!("{}/{}", owner.as_ref(), part.as_ref()).parse().ok()
    }

    fn blob(&self, found: &ObjectMeta) -> Option<Blob> {
        Some(Blob { key: self.key(&found.location)?, size: found.size, stored_at: found.last_modified })
    }

    async fn look(&self, key: BlobKey) -> Result<Blob, BlobError> {
        let found = self.bucket.head(&self.path(key)).await.map_err(failure)?;
        Ok(Blob { key, size: found.size, stored_at: found.last_modified })
    }
}

fn failure(error: Error) -> BlobError {
    match error {
        Error::NotFound { .. } => BlobError::NotFound,
        // Amazon is never full. Servers of one's own are, and `object_store` keeps the status to itself.
        error if error.to_string().contains("507 Insufficient Storage") => BlobError::Full,
        error => BlobError::Unavailable(error.into()),
    }
}

#[async_trait]
impl BlobStore for S3 {
    async fn begin(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(S3Writer::new(Arc::clone(&self.place), key)))
    }

    async fn read(&self, key: BlobKey, range: Range<u64>) -> Result<ByteStream, BlobError> {
        if range.is_empty() {
            // There is no way to ask for nothing.
            let blob = self.place.look(key).await?;
            return if range.end > blob.size {
                Err(BlobError::Damaged)
            } else {
                Ok(futures_util::stream::empty().boxed())
            };
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        match self.place.bucket.get_opts(&self.place.path(key), options).await {
            Ok(found) if found.range == range => Ok(found.into_stream().map_err(failure).boxed()),
            Ok(_) => Err(BlobError::Damaged),
            Err(Error::NotFound { .. }) => Err(BlobError::NotFound),
            // It may be that there is nothing at all in that range.
            Err(error) => match self.place.look(key).await {
                Ok(blob) if blob.size < range.end => Err(BlobError::Damaged),
                _ => Err(failure(error)),
            },
        }
    }

    async fn look(&self, key: BlobKey) -> Result<Blob, BlobError> {
        self.place.look(key).await
    }

    async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        match self.place.bucket.delete(&self.place.path(key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Blob, BlobError>>, BlobError> {
        let place = Arc::clone(&self.place);
        let found = self.place.bucket.list(Some(&self.place.prefix)).map_err(failure);
        Ok(found.try_filter_map(move |found| std::future::ready(Ok(place.blob(&found)))).boxed())
    }

    async fn sweep(&self, before: DateTime<Utc>) -> Result<u64, BlobError> {
        self.unfinished.sweep(&self.place, before).await
    }

    /// Looks for the first blob, whether there is one or not.
    async fn check(&self) -> Result<(), BlobError> {
        let mut found = self.place.bucket.list(Some(&self.place.prefix));
        found.try_next().await.map(drop).map_err(failure)
    }
}
