//! Words every domain shares. No I/O happens here.
//!
//! | word | meaning |
//! |---|---|
//! | [`ids`] | one newtype over UUIDv7 per kind of thing |
//! | [`Clock`], [`IdSource`] | time and identifiers as ports, so that tests decide them |
//! | [`Caller`] | who is asking: passed to every use-case, which authorises |
//! | [`DomainError`] | the whole bridge between a domain's errors and an edge such as HTTP |
//! | [`policy`] | which role may do what |
//! | [`Effects`] | what a change leaves behind besides the state: events, and entries of the [`audit`] trail |
//! | [`Event`] | something that happened, stored in the transaction that made it so |
//! | [`Page`] | one page of a list and where the next one starts |
//! | [`Place`], [`Follower`] | where something is in a row that many write at once, and how to follow it |
//! | [`Limiter`], [`Quota`] | how often one may ask |
//! | [`NodeBus`] | what the nodes of an installation call to each other |
//! | [`Sealed`], [`Sealer`] | clinical text as it rests in storage, and the port that opens it |
//! | [`terms`] | what a text can be found by |
//! | [`Sensitive`] | a value that must never reach a log |

pub mod audit;
mod caller;
mod clock;
mod error;
mod event;
pub mod ids;
mod language;
mod limits;
mod nodes;
mod page;
mod place;
pub mod policy;
pub mod sealing;
mod sensitive;
pub mod terms;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;

pub use audit::{AuditEntry, AuditSink, Effects};
pub use caller::{Caller, Origin, Role, UnknownRole};
#[cfg(any(test, feature = "testing"))]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use error::{BoxError, DomainError, ErrorKind, FieldError, Rule};
pub use event::{DomainEvent, Event};
#[cfg(any(test, feature = "testing"))]
pub use ids::SequentialIds;
pub use ids::{IdSource, SystemIds};
pub use language::{Language, UnknownLanguage};
pub use limits::{Asker, Limiter, LocalLimiter, Precision, Quota, Verdict};
pub use nodes::{Heard, LoneNode, NodeBus};
pub use page::{Page, PageSize};
pub use place::{Follower, Place};
pub use policy::{AccessScope, Denied};
pub use sealing::{Sealed, Sealer};
pub use sensitive::Sensitive;
