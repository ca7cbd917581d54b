//! The bytes of files: sealed on their way in, opened on their way out, never more than a chunk or two at once.

use std::ops::Range;
use std::sync::Arc;

use alivio_kernel::ids::FileId;
use alivio_kernel::sealing::SealError;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Files;
use crate::{
    BlobError, BlobKey, BlobPart, BlobStore, BlobWriter, ByteStream, CHUNK, ContentSealer, Error, HEADER,
    OpeningSegment, SealingSegment, Segment, SegmentRow, TAG,
};

/// Chunks that are handed on together.
const AT_ONCE: usize = 4;
/// A chunk and its tag.
const SEALED: u64 = (CHUNK + TAG) as u64;

/// A blob that is being filled.
pub(super) struct SegmentWriter {
    blob: Box<dyn BlobWriter>,
    seal: Box<dyn SealingSegment>,
    chunk: Vec<u8>,
    size: u64,
}

impl SegmentWriter {
    pub(super) async fn begin(files: &Files, file: FileId, part: BlobPart) -> Result<Self, Error> {
        let p = &files.ports;
        let seal = p.content.seal(Segment { file, blob: part }).await?;
        let mut blob = p.blobs.begin(BlobKey { owner: file.uuid(), part }).await?;
        blob.write(Bytes::copy_from_slice(&seal.header())).await?;
        Ok(Self { blob, seal, chunk: Vec::with_capacity(CHUNK + TAG), size: 0 })
    }

    /// How many bytes it holds.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            // Only what is not the last may be sealed.
            if self.chunk.len() == CHUNK {
                self.seal(false).await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            self.size += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Makes it safe, and says how many bytes it holds.
    pub(super) async fn finish(mut self) -> Result<u64, Error> {
        self.seal(true).await?;
        self.blob.finish().await?;
        Ok(self.size)
    }

    pub(super) async fn abort(self) {
        self.blob.abort().await;
    }

    async fn seal(&mut self, is_last: bool) -> Result<(), Error> {
        let mut chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK + TAG));
        self.seal.chunk(&mut chunk, is_last)?;
        Ok(self.blob.write(chunk.into()).await?)
    }
}

impl Files {
    /// The bytes of `range` of what lies in `segments`.
    pub(super) fn read(&self, file: FileId, segments: &[SegmentRow], range: Range<u64>) -> ByteStream {
        let mut parts = Vec::new();
        let mut start = 0;
        for segment in segments {
            let end = start + segment.size;
            let within = range.start.max(start)..range.end.min(end);
            if within.start < within.end {
                let part = BlobPart::Segment(segment.number);
                parts.push((part, segment.size, within.start - start..within.end - start));
            }
            start = end;
        }
        let (blobs, content) = (Arc::clone(&self.ports.blobs), Arc::clone(&self.ports.content));
        let open = move |(part, size, range)| {
            let (blobs, content) = (Arc::clone(&blobs), Arc::clone(&content));
            async move { open(&*blobs, &*content, file, part, size, range).await }
        };
        stream::iter(parts).then(open).try_flatten().boxed()
    }

    /// All of a blob of `size` bytes beside the file itself: a rendition.
    pub(super) fn read_part(&self, file: FileId, part: BlobPart, size: u64) -> ByteStream {
        let (blobs, content) = (Arc::clone(&self.ports.blobs), Arc::clone(&self.ports.content));
        let open = async move { open(&*blobs, &*content, file, part, size, 0..size).await };
        stream::once(open).try_flatten().boxed()
    }

    /// Stores all of `bytes` as one blob.
    pub(super) async fn store(&self, file: FileId, part: BlobPart, bytes: &[u8]) -> Result<u64, Error> {
        let mut writer = SegmentWriter::begin(self, file, part).await?;
        match writer.write(bytes).await {
            Ok(()) => writer.finish().await,
            Err(error) => {
                writer.abort().await;
                Err(error)
            }
        }
    }
}

/// All of a stream.
pub(super) async fn gather(mut content: ByteStream, size: u64) -> Result<Bytes, BlobError> {
    let mut all = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
    while let Some(bytes) = content.try_next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

fn unreadable(error: SealError) -> BlobError {
    match error {
        SealError::Broken => BlobError::Damaged,
        SealError::Destroyed => BlobError::NotFound,
        error @ SealError::Unavailable(_) => BlobError::Unavailable(Box::new(error)),
    }
}

/// The bytes of `range`, which is not empty, of a segment of `size` bytes.
async fn open(
    blobs: &dyn BlobStore,
    content: &dyn ContentSealer,
    file: FileId,
    part: BlobPart,
    size: u64,
    range: Range<u64>,
) -> Result<ByteStream, BlobError> {
    let key = BlobKey { owner: file.uuid(), part };
    let header = gather(blobs.read(key, 0..HEADER as u64).await?, HEADER as u64).await?;
    let header = header.first_chunk::<HEADER>().ok_or(BlobError::Damaged)?;
    let opener = content.open(Segment { file, blob: part }, header).await.map_err(unreadable)?;
    let chunks = size.div_ceil(CHUNK as u64).max(1);
    let (first, behind) = (range.start / CHUNK as u64, range.end.div_ceil(CHUNK as u64));
    let sealed_end = (behind * SEALED).min(size + chunks * TAG as u64);
    let sealed = blobs.read(key, HEADER as u64 + first * SEALED..HEADER as u64 + sealed_end).await?;
    let reading =
        Reading { opener, sealed, buffer: BytesMut::new(), chunk: first, behind, chunks, size, range };
    Ok(stream::try_unfold(reading, Reading::next).boxed())
}

/// A stretch of a segment that is being opened.
struct Reading {
    opener: Box<dyn OpeningSegment>,
    sealed: ByteStream,
    buffer: BytesMut,
    /// The next chunk.
    chunk: u64,
    /// The one behind the last that is wanted.
    behind: u64,
    /// How many the segment has.
    chunks: u64,
    size: u64,
    range: Range<u64>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BlobError> {
        if self.chunk == self.behind {
            return Ok(None);
        }
        while self.buffer.len() < self.length_of(self.chunk)? {
            let more = self.sealed.try_next().await?.ok_or(BlobError::Damaged)?;
            // Nothing is copied unless a chunk comes in two pieces.
            self.buffer.unsplit(more.into());
        }
        let start = self.chunk * CHUNK as u64;
        let opened = self.open()?;
        let within = |at: u64| {
            usize::try_from(at.saturating_sub(start)).map_or(opened.len(), |at| at.min(opened.len()))
        };
        let wanted = within(self.range.start)..within(self.range.end);
        Ok(Some((opened.slice(wanted), self)))
    }

    /// Opens chunks that are there, one at least, and joins them: what is handed on in larger pieces takes less work.
    fn open(&mut self) -> Result<Bytes, BlobError> {
        let (mut sealed, mut end) = (0, 0);
        for _ in 0..AT_ONCE {
            let next = sealed + self.length_of(self.chunk)?;
            if self.chunk == self.behind || next > self.buffer.len() {
                break;
            }
            let is_last = self.chunk + 1 == self.chunks;
            let chunk = &mut self.buffer[sealed..next];
            let length = self.opener.chunk(self.chunk, is_last, chunk).map_err(unreadable)?.len();
            self.buffer.copy_within(sealed..sealed + length, end);
            self.chunk += 1;
            sealed = next;
            end += length;
        }
        let mut opened = self.buffer.split_to(sealed);
        opened.truncate(end);
        Ok(opened.freeze())
    }

    /// How many bytes a chunk takes, sealed.
    fn length_of(&self, chunk: u64) -> Result<usize, BlobError> {
        let length = self.size.saturating_sub(chunk * CHUNK as u64).min(CHUNK as u64);
        Ok(usize::try_from(length).map_err(|_| BlobError::Damaged)? + TAG)
    }
}
