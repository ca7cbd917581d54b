//! Stand-ins without a disk and without secrets, for tests of use-cases. They keep the contracts.
#![allow(clippy::unwrap_used, reason = "only tests call them")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alivio_kernel::Clock;
use alivio_kernel::ids::FileId;
use alivio_kernel::sealing::SealError;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::{
    Blob, BlobError, BlobKey, BlobStore, BlobWriter, ByteStream, CHUNK, ContentSealer, HEADER,
    OpeningSegment, SealingSegment, Segment, TAG,
};

#[derive(Default)]
struct Shelves {
    finished: BTreeMap<BlobKey, (Bytes, DateTime<Utc>)>,
    unfinished: HashMap<u64, DateTime<Utc>>,
    next: u64,
    full: bool,
}

/// Blobs in memory.
pub struct MemoryBlobs {
    clock: Arc<dyn Clock>,
    shelves: Arc<Mutex<Shelves>>,
}

impl MemoryBlobs {
    /// None yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, shelves: Arc::default() }
    }

    /// From now on there is no room, or there is again.
    pub fn fill(&self, full: bool) {
        lock(&self.shelves).full = full;
    }

    /// Changes the bytes of a blob behind everybody's back.
    ///
    /// # Panics
    /// If there is no such blob.
    pub fn edit(&self, key: BlobKey, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shelves = lock(&self.shelves);
        let (bytes, _) = shelves.finished.get_mut(&key).unwrap();
        let mut changed = bytes.to_vec();
        change(&mut changed);
        *bytes = changed.into();
    }

    /// Cuts a blob off after `size` bytes.
    pub fn cut(&self, key: BlobKey, size: u64) {
        self.edit(key, |bytes| bytes.truncate(usize::try_from(size).unwrap()));
    }

    /// How many writers have not finished.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        lock(&self.shelves).unfinished.len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct MemoryWriter {
    key: BlobKey,
    number: u64,
    bytes: Vec<u8>,
    clock: Arc<dyn Clock>,
    shelves: Arc<Mutex<Shelves>>,
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        lock(&self.shelves).unfinished.remove(&self.number);
    }
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if lock(&self.shelves).full {
            return Err(BlobError::Full);
        }
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), BlobError> {
        let (bytes, now) = (std::mem::take(&mut self.bytes), self.clock.now());
        let mut shelves = lock(&self.shelves);
        if shelves.full {
            return Err(BlobError::Full);
        }
        shelves.unfinished.remove(&self.number).ok_or_else(|| BlobError::Unavailable("swept".into()))?;
        shelves.finished.insert(self.key, (bytes.into(), now));
        Ok(())
    }

    async fn abort(self: Box<Self>) {}
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn begin(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let (clock, shelves) = (Arc::clone(&self.clock), Arc::clone(&self.shelves));
        let mut here = lock(&self.shelves);
        here.next += 1;
        let number = here.next;
        here.unfinished.insert(number, clock.now());
        Ok(Box::new(MemoryWriter { key, number, bytes: Vec::new(), clock, shelves }))
    }

    async fn read(&self, key: BlobKey, range: Range<u64>) -> Result<ByteStream, BlobError> {
        let (bytes, _) = lock(&self.shelves).finished.get(&key).cloned().ok_or(BlobError::NotFound)?;
        if range.end > bytes.len() as u64 {
            return Err(BlobError::Damaged);
        }
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        let bytes = bytes.slice(start..end);
        Ok(futures_util::stream::once(async { Ok(bytes) }).boxed())
    }

    async fn look(&self, key: BlobKey) -> Result<Blob, BlobError> {
        let shelves = lock(&self.shelves);
        let (bytes, stored_at) = shelves.finished.get(&key).ok_or(BlobError::NotFound)?;
        Ok(Blob { key, size: bytes.len() as u64, stored_at: *stored_at })
    }

    async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        lock(&self.shelves).finished.remove(&key);
        Ok(())
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Blob, BlobError>>, BlobError> {
        let shelves = lock(&self.shelves);
        let blob = |(key, (bytes, stored_at)): (&BlobKey, &(Bytes, DateTime<Utc>))| {
            Ok(Blob { key: *key, size: bytes.len() as u64, stored_at: *stored_at })
        };
        let blobs: Vec<_> = shelves.finished.iter().map(blob).collect();
        Ok(futures_util::stream::iter(blobs).boxed())
    }

    async fn sweep(&self, before: DateTime<Utc>) -> Result<u64, BlobError> {
        let mut shelves = lock(&self.shelves);
        let count = shelves.unfinished.len();
        shelves.unfinished.retain(|_, began| *began >= before);
        Ok((count - shelves.unfinished.len()) as u64)
    }

    async fn check(&self) -> Result<(), BlobError> {
        if lock(&self.shelves).full { Err(BlobError::Full) } else { Ok(()) }
    }
}

/// A sealer of content without secrets. It hides nothing from those who look closely.
#[derive(Debug, Default)]
pub struct PlainSegments {
    sealed: AtomicU64,
    destroyed: Mutex<HashSet<FileId>>,
}

impl PlainSegments {
    /// Destroys the keys of `file`.
    pub fn destroy(&self, file: FileId) {
        lock(&self.destroyed).insert(file);
    }
}

struct PlainSegment {
    segment: Segment,
    header: [u8; HEADER],
    next: u64,
    done: bool,
}

/// Changes bytes such that the same mean something else everywhere; twice, and they are what they were.
fn mask(place: &PlainSegment, number: u64, bytes: &mut [u8]) {
    let seed = u64::from_le_bytes([place.header[0], 1, 2, 3, 4, 5, 6, 7]) ^ number.rotate_left(20);
    let mask = super::noise(seed, bytes.len());
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

fn tag(place: &PlainSegment, number: u64, is_last: bool, plain: &[u8]) -> [u8; TAG] {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, place.segment, place.header, number, is_last, plain).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    ((half(0) << 64) | half(1)).to_be_bytes()
}

impl SealingSegment for PlainSegment {
    fn header(&self) -> [u8; HEADER] {
        self.header
    }

    fn chunk(&mut self, plain: &mut Vec<u8>, is_last: bool) -> Result<(), SealError> {
        if self.done || plain.len() > CHUNK || (plain.len() < CHUNK && !is_last) {
            return Err(SealError::Broken);
        }
        let tag = tag(self, self.next, is_last, plain);
        mask(self, self.next, plain);
        plain.extend_from_slice(&tag);
        self.next += 1;
        self.done = is_last;
        Ok(())
    }
}

impl OpeningSegment for PlainSegment {
    fn chunk<'a>(&self, number: u64, is_last: bool, sealed: &'a mut [u8]) -> Result<&'a mut [u8], SealError> {
        let (bytes, sealed_tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(SealError::Broken)?;
        if bytes.len() > CHUNK || (bytes.len() < CHUNK && !is_last) {
            return Err(SealError::Broken);
        }
        mask(self, number, bytes);
        if *sealed_tag == tag(self, number, is_last, bytes) { Ok(bytes) } else { Err(SealError::Broken) }
    }
}

impl PlainSegments {
    fn check(&self, file: FileId) -> Result<(), SealError> {
        if lock(&self.destroyed).contains(&file) { Err(SealError::Destroyed) } else { Ok(()) }
    }
}

#[async_trait]
impl ContentSealer for PlainSegments {
    async fn seal(&self, segment: Segment) -> Result<Box<dyn SealingSegment>, SealError> {
        self.check(segment.file)?;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&self.sealed.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Ok(Box::new(PlainSegment { segment, header, next: 0, done: false }))
    }

    async fn open(
        &self,
        segment: Segment,
        header: &[u8; HEADER],
    ) -> Result<Box<dyn OpeningSegment>, SealError> {
        self.check(segment.file)?;
        Ok(Box::new(PlainSegment { segment, header: *header, next: 0, done: false }))
    }
}
