//! What people hand each other: documents, pictures, recordings.
//!
//! | word | meaning |
//! |---|---|
//! | blob | bytes under a key in a store that knows nothing of them: a disk, a bucket |
//! | segment | a stretch of a file, sealed by itself, one blob: an upload in one go makes one, a resumed one several |
//! | chunk | 64 KiB of a segment, sealed so that it opens nowhere else |
//! | verdict | what a scanner says of a file |
//! | rendition | a picture made from a file: its thumbnail, its preview, its watermarked copy |

pub mod ports;
#[cfg(feature = "testing")]
pub mod testing;

pub use ports::*;
