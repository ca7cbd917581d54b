//! How an adapter proves itself.
//!
//! ```text
//! use alivio_conversations::testing::Fixture;
//!
//! async fn fresh() -> Fixture { … }                              // an empty, isolated instance per case
//! alivio_conversations::conversation_store_conformance!(fresh);  // → one named #[tokio::test] per case
//! ```
//!
//! The crate that calls the macro needs `tokio` with `macros` and `rt-multi-thread` among its
//! dev-dependencies. The cases run against the bare port, so the sealed texts in them are arbitrary bytes.

use std::sync::Arc;

use alivio_kernel::Event;
use alivio_kernel::ids::{ConversationId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{ConversationStore, Inbox, LinkStore};

pub mod conversation_store;
#[cfg(test)]
mod memory;

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, without conversations.
    pub store: Arc<dyn ConversationStore>,
    /// The list of the same conversations, as [`WithoutMessages`](crate::WithoutMessages) shows it.
    pub inbox: Arc<dyn Inbox<()>>,
    /// Links into the same conversations.
    pub links: Arc<dyn LinkStore>,
    /// What lies around it. Lives as long as the case does, so it may own the test's database.
    pub world: Arc<dyn World>,
}

/// What lies around a conversation store: the other stores, or plain SQL. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// A new active user.
    async fn user(&self) -> UserId;
    /// `sender`, who is in the conversation, says something in it at `at`: the log grows by one entry.
    async fn message(&self, conversation: ConversationId, sender: UserId, at: DateTime<Utc>);
    /// All that the outbox has received so far, in any order.
    async fn events(&self) -> Vec<Event>;
    /// What the audit trail says was done so far, in any order.
    async fn audited(&self) -> Vec<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let source = include_str!("conversation_store.rs");
        let list = source.split("macro_rules!").nth(1).unwrap();
        for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let case = case.split('(').next().unwrap();
            assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
        }
    }

    async fn fresh() -> Fixture {
        memory::fixture()
    }
    crate::conversation_store_conformance!(fresh);
}
