//! Words every domain shares. No I/O happens here.
//!
//! | word | meaning |
//! |---|---|
//! | [`ids`] | one newtype over UUIDv7 per kind of thing |
//! | [`Clock`], [`IdSource`] | time and identifiers as ports, so that tests decide them |
//! | [`Caller`] | who is asking: passed to every use-case, which authorises |
//! | [`DomainError`] | the whole bridge between a domain's errors and an edge such as HTTP |
//! | [`Event`] | something that happened, stored in the transaction that made it so |
//! | [`Page`] | one page of a list and where the next one starts |
//! | [`Sealed`], [`Sealer`] | clinical text as it rests in storage, and the port that opens it |
//! | [`Sensitive`] | a value that must never reach a log |

mod caller;
mod clock;
mod error;
mod event;
pub mod ids;
mod page;
pub mod sealing;
mod sensitive;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;

pub use caller::{Caller, Role, UnknownRole};
#[cfg(any(test, feature = "testing"))]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use error::{BoxError, DomainError, ErrorKind, FieldError, Rule};
pub use event::{DomainEvent, Event};
#[cfg(any(test, feature = "testing"))]
pub use ids::SequentialIds;
pub use ids::{IdSource, SystemIds};
pub use page::{Page, PageSize};
pub use sealing::{Sealed, Sealer};
pub use sensitive::Sensitive;
