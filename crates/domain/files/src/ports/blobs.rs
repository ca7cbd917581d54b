use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use alivio_kernel::BoxError;
use alivio_kernel::ids::Uuid;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

/// Bytes on their way, in pieces of any size.
pub type ByteStream = BoxStream<'static, Result<Bytes, BlobError>>;

/// Where a blob is: what it belongs to and which of its parts. Never made of a name that someone gave (FI-07).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey {
    /// What it belongs to.
    pub owner: Uuid,
    /// Which part of it.
    pub part: BlobPart,
}

/// What a blob is to the file that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobPart {
    /// A segment of the file itself, counted from 0.
    Segment(u32),
    /// Its small picture.
    Thumbnail,
    /// Its large picture.
    Preview,
}

/// Its stable name, which stores keep and sealing authenticates: `segment-0`.
impl fmt::Display for BlobPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(number) => write!(f, "segment-{number}"),
            Self::Thumbnail => f.write_str("thumbnail"),
            Self::Preview => f.write_str("preview"),
        }
    }
}

/// As a path of two steps: `0197a3c0-…/segment-0`.
impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.part)
    }
}

/// Not the path of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a blob")]
pub struct NotABlobKey;

/// What [`Display`](fmt::Display) writes, and nothing else: a store knows by it what is ours.
impl FromStr for BlobKey {
    type Err = NotABlobKey;

    fn from_str(path: &str) -> Result<Self, NotABlobKey> {
        let (owner, part) = path.split_once('/').ok_or(NotABlobKey)?;
        let part = match part {
            "thumbnail" => BlobPart::Thumbnail,
            "preview" => BlobPart::Preview,
            segment => {
                let number = segment.strip_prefix("segment-").ok_or(NotABlobKey)?;
                BlobPart::Segment(number.parse().map_err(|_| NotABlobKey)?)
            }
        };
        let key = Self { owner: owner.parse().map_err(|_| NotABlobKey)?, part };
        // A UUID, and a number, can be written in several ways.
        if key.to_string() == path { Ok(key) } else { Err(NotABlobKey) }
    }
}

/// What is known of a blob without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Where it is.
    pub key: BlobKey,
    /// Bytes.
    pub size: u64,
    /// When it was stored.
    pub stored_at: DateTime<Utc>,
}

/// What a store of blobs may answer instead.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is nothing under this key.
    #[error("no such blob")]
    NotFound,
    /// There is no room.
    #[error("the store is full")]
    Full,
    /// Its bytes are not those that were stored.
    #[error("the blob is damaged")]
    Damaged,
    /// It cannot be reached, or fails.
    #[error("the store is unavailable")]
    Unavailable(#[source] BoxError),
}

/// Keeps blobs. It sees sealed bytes only.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a blob. Nobody MUST see anything under `key` before [`BlobWriter::finish`] has returned; then they MUST see
    /// all of it, after a crash too. What was there before is replaced.
    async fn begin(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// The bytes of `range`, which MUST be within the blob: [`BlobError::Damaged`] where it ends before.
    async fn read(&self, key: BlobKey, range: Range<u64>) -> Result<ByteStream, BlobError>;

    /// What is known of a blob.
    async fn look(&self, key: BlobKey) -> Result<Blob, BlobError>;

    /// Removes a blob. MUST succeed where there is none.
    async fn delete(&self, key: BlobKey) -> Result<(), BlobError>;

    /// Every finished blob, in any order, for the sweep of what nobody owns. MUST leave out what is none of ours.
    async fn list(&self) -> Result<BoxStream<'static, Result<Blob, BlobError>>, BlobError>;

    /// Removes what unfinished writers left behind that began before `before`, and tells how many there were.
    async fn sweep(&self, before: DateTime<Utc>) -> Result<u64, BlobError>;

    /// Whether it can be used: cheap, for health checks.
    async fn check(&self) -> Result<(), BlobError>;
}

/// A blob that is being written. Dropped unfinished, it MUST leave nothing that [`BlobStore::read`] or
/// [`BlobStore::list`] would find, and nothing at all after [`BlobStore::sweep`].
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends. Waits while the store is slower than whoever writes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Stores it durably.
    async fn finish(self: Box<Self>) -> Result<(), BlobError>;

    /// Forgets it, and what it took.
    async fn abort(self: Box<Self>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written_and_nothing_else_is() {
        let owner = Uuid::from_u128(0x0197_a3c0_0000_7000_8000_0000_0000_00ab);
        for part in
            [BlobPart::Segment(0), BlobPart::Segment(u32::MAX), BlobPart::Thumbnail, BlobPart::Preview]
        {
            let key = BlobKey { owner, part };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        let key = BlobKey { owner, part: BlobPart::Segment(7) }.to_string();
        assert_eq!(key, "0197a3c0-0000-7000-8000-0000000000ab/segment-7");
        let strange = [
            key.to_uppercase(),
            key.replace("000000ab", "000000AB"),
            key.replace('-', ""),
            key.replace("-7", "-07"),
            key.replace("-7", "-+7"),
            key.replace("-7", "-4294967296"),
            key.replace("segment-7", "original"),
            format!("{key}/"),
            format!("/{key}"),
            format!("{key}#1"),
            "segment-7".to_owned(),
            "../segment-7".to_owned(),
            String::new(),
        ];
        for path in strange {
            assert_eq!(path.parse::<BlobKey>(), Err(NotABlobKey), "{path}");
        }
    }
}
