//! Who did what to whose data, and how a conversation is read in an emergency.
//!
//! | word | meaning |
//! |---|---|
//! | trail | everything that mattered, in the order it happened; nobody can change it, not even the database's owner by a slip |
//! | actor | who did it |
//! | subject | whose data it concerns |
//! | access log | the part of the trail that people see about themselves: what others did to their data |
//! | break-glass | reading a conversation that one is not in, for a stated reason and at most an hour (C-59) |
//! | grant | the permission that breaking the glass gives; those concerned are told at once |

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::Error;
pub use event::BreakGlassOpened;
pub use model::{
    ActionPrefix, After, GRANT_LIFETIME, Grant, ObjectKind, Reason, Recorded, TrailFilter, reason_context,
};
pub use ports::{AuditReader, Ended, GrantStore, Members, Membership, NewGrant, StoredGrant};
#[cfg(feature = "testing")]
pub use ports::{MockAuditReader, MockGrantStore, MockMembership};
pub use service::{BreakGlass, BreakGlassPorts, Reading, Trail, TrailPorts};
