//! Who may talk to whom.
//!
//! | word | meaning |
//! |---|---|
//! | conversation | a place where its participants exchange messages |
//! | kind | `direct` (two people, one conversation for ever), `group`, `consultation`, `emergency` |
//! | participant | someone who is in it now; leaving or being removed ends all access |
//! | moderator | a participant who adds and removes others; patients are never one |
//! | relation rule | a patient and a professional talk only if the professional attends the patient |
//! | standing | what the rule needs to know about a person: role, active, related to the asker |
//! | chat hours | when patients may write: the clinic's, or a professional's own; emergencies are always open |
//! | attendance | whose hours hold in a conversation |
//! | on-call list | who answers emergencies, level by level; each is paged when nobody before has acknowledged |
//! | members version | counts changes of membership, so that caches of it can tell that they are old |

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod titles;

pub use error::*;
pub use event::*;
pub use model::*;
pub use ports::*;
pub use service::*;
pub use titles::*;
