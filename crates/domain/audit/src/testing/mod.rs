//! How an adapter proves itself.
//!
//! ```text
//! use alivio_audit::testing::Fixture;
//! use alivio_audit::{AuditReader, GrantStore};
//!
//! async fn trail() -> Fixture<dyn AuditReader> { … }        // an empty, isolated instance per case
//! alivio_audit::audit_reader_conformance!(trail);           // → one named #[tokio::test] per case
//! async fn grants() -> Fixture<dyn GrantStore> { … }
//! alivio_audit::grant_store_conformance!(grants);
//! ```
//!
//! The crate that calls the macros needs `tokio` with `macros` and `rt-multi-thread` among its dev-dependencies.

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{AuditEntry, Event};
use async_trait::async_trait;

pub mod audit_reader;
pub mod grant_store;

/// What a case is given.
pub struct Fixture<S: ?Sized> {
    /// The adapter on trial, empty.
    pub store: Arc<S>,
    /// What lies around it. Lives as long as the case does, so it may own the test's database.
    pub world: Arc<dyn World>,
}

/// What lies around the trail and the grants: the other stores, or plain SQL. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// A new administrator.
    async fn admin(&self) -> UserId;
    /// A new conversation between two others, and the version of its membership.
    async fn conversation(&self) -> (ConversationId, i64);
    /// Adds somebody to the conversation.
    async fn add_somebody(&self, conversation: ConversationId);
    /// Appends `entries` to the trail.
    async fn record(&self, entries: &[AuditEntry]);
    /// How many entries the trail holds.
    async fn trail_length(&self) -> usize;
    /// All that the outbox has received so far, in any order.
    async fn events(&self) -> Vec<Event>;
}

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        for source in [include_str!("audit_reader.rs"), include_str!("grant_store.rs")] {
            let list = source.split("macro_rules!").nth(1).unwrap();
            for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let case = case.split('(').next().unwrap();
                assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
            }
        }
    }
}
