//! What people hand each other: documents, pictures, recordings.
//!
//! | word | meaning |
//! |---|---|
//! | blob | bytes under a key in a store that knows nothing of them: a disk, a bucket |
//! | segment | a stretch of a file, sealed by itself, one blob: an upload in one go makes one, a resumed one several |
//! | chunk | 64 KiB of a segment, sealed so that it opens nowhere else |
//! | format | what the bytes are, as they show it themselves; what a name or a header says must not contradict it |
//! | kind | what a file is to people: an image, a prescription |
//! | subject | the patient whom a conversation is about; patients hand over what concerns themselves only (C-60) |
//! | place | how long the log of the conversation was when a file came: who joins later does not see it |
//! | share | a message that holds a file, and lets those who read it read the file |
//! | verdict | what a scanner says of a file; nothing is served before it says clean |
//! | terms | what whoever uploads a file asks of those who look at it |
//! | layer | what professionals draw over a file, in versions that all stay; the file stays as it came |
//! | rendition | a picture made from a file: its thumbnail, its preview, its watermarked copy |

mod error;
mod event;
mod model;
pub mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, Unfit};
pub use event::*;
pub use model::*;
pub use ports::*;
pub use service::*;
