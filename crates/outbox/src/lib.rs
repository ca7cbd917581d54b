//! At-least-once delivery of events and timers.
//!
//! A store writes [`Event`]s in the transaction that made them true. The [`Relay`] claims those that
//! are due, hands each to every [`Reaction`] that listens to its kind, and removes it once all have
//! succeeded. A failed event comes back later, ever less often, and is set aside as a dead letter
//! after [`MAX_ATTEMPTS`]. A crash between handling and removing repeats the event: reactions MUST
//! be idempotent. What asks someone far away says so, and keeps nobody waiting.

mod ports;
mod relay;

pub use ports::{Broadcasts, Claimed, OutboxStore};
pub use relay::{LEASE, MAX_ATTEMPTS, NotBefore, Reaction, Relay, SLOWEST, backoff};

#[doc(inline)]
pub use alivio_kernel::Event;
