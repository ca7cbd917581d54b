//! What files need from outside.

mod blobs;
mod scanner;
mod sealing;
mod stores;
mod workshop;

pub use blobs::{Blob, BlobError, BlobKey, BlobPart, BlobStore, BlobWriter, ByteStream};
pub use scanner::{ScanError, Scanner, Verdict};
pub use sealing::{CHUNK, ContentSealer, HEADER, OpeningSegment, SealingSegment, Segment, TAG};
pub use stores::*;
pub use workshop::{Looks, Rendition, Sound, Stamp, Workshop, WorkshopError};
