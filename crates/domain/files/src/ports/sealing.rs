use alivio_kernel::ids::FileId;
use alivio_kernel::sealing::SealError;
use async_trait::async_trait;

/// Bytes of a file that are sealed together, the last ones of a segment excepted.
pub const CHUNK: usize = 64 * 1024;
/// Bytes before the first chunk: format, algorithm, key, the segment's own part of the nonces.
pub const HEADER: usize = 32;
/// Bytes that sealing adds to a chunk.
pub const TAG: usize = 16;

/// A stretch of a file that is sealed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Of which file; its own key seals it.
    pub file: FileId,
    /// Which of its blobs, as stored: [`BlobKey`](crate::BlobKey)'s part, authenticated.
    pub blob: crate::BlobPart,
}

/// Seals files in chunks, so that any stretch can be read by itself.
///
/// A sealed segment is its header and then its chunks: each [`CHUNK`] bytes of the file and a tag, the last one as long as
/// what is left (and empty, if nothing is). A chunk MUST open only at its own place in its own segment of its own file,
/// and a segment MUST not be shortened or prolonged unnoticed: the last chunk is sealed as the last.
#[async_trait]
pub trait ContentSealer: Send + Sync {
    /// Begins a segment, with a key of the file, made if there is none.
    async fn seal(&self, segment: Segment) -> Result<Box<dyn SealingSegment>, SealError>;

    /// Opens a segment by its header.
    async fn open(
        &self,
        segment: Segment,
        header: &[u8; HEADER],
    ) -> Result<Box<dyn OpeningSegment>, SealError>;
}

/// A segment that is being sealed, its chunks in order.
pub trait SealingSegment: Send {
    /// Its header.
    fn header(&self) -> [u8; HEADER];

    /// Seals the next chunk in place and appends its tag. It MUST be [`CHUNK`] bytes long unless it is the last.
    ///
    /// # Errors
    /// [`SealError::Broken`] after the last one, for a chunk of another length, and past 2³² chunks.
    fn chunk(&mut self, plain: &mut Vec<u8>, is_last: bool) -> Result<(), SealError>;
}

/// A segment that is being read, its chunks in any order.
pub trait OpeningSegment: Send + Sync {
    /// Opens the chunk of this number, from 0, in place: its first bytes are the file's, and come back.
    ///
    /// # Errors
    /// [`SealError::Broken`] unless it is that chunk, whole, and the last one exactly if `is_last`.
    fn chunk<'a>(&self, number: u64, is_last: bool, sealed: &'a mut [u8]) -> Result<&'a mut [u8], SealError>;
}
