//! What files need from outside.

mod annotations;
mod blobs;
mod scanner;
mod sealing;
mod stores;
mod workshop;

pub use annotations::*;
pub use blobs::{Blob, BlobError, BlobKey, BlobPart, BlobStore, BlobWriter, ByteStream, NotABlobKey};
pub use scanner::{ScanError, Scanner, Verdict, eicar};
pub use sealing::{CHUNK, ContentSealer, HEADER, OpeningSegment, SealingSegment, Segment, TAG};
pub use stores::*;
pub use workshop::{Looks, Rendition, Sound, Stamp, Workshop, WorkshopError};

#[cfg(feature = "testing")]
pub use scanner::MockScanner;
#[cfg(feature = "testing")]
pub use workshop::MockWorkshop;
