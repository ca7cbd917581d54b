//! How an adapter proves itself.
//!
//! ```text
//! use alivio_messages::testing::Fixture;
//!
//! async fn fresh() -> Fixture { … }                     // an empty, isolated instance per case
//! alivio_messages::message_log_conformance!(fresh);     // → one named #[tokio::test] per case
//! ```
//!
//! The crate that calls the macro needs `tokio` with `macros` and `rt-multi-thread` among its
//! dev-dependencies. The cases run against the bare port, so the sealed words in them are arbitrary bytes.

use std::sync::Arc;

use alivio_kernel::Event;
use alivio_kernel::ids::{ConversationId, MessageId, ReportId, UserId};
use async_trait::async_trait;

use crate::MessageLog;

#[cfg(test)]
mod memory;
pub mod message_log;

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, with an empty log.
    pub log: Arc<dyn MessageLog>,
    /// What lies around it. Lives as long as the case does, so it may own the test's database.
    pub world: Arc<dyn World>,
}

/// What lies around a message log: the other stores, or plain SQL. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// A new active user.
    async fn user(&self) -> UserId;
    /// A new open group of `members`, who read from its first entry on.
    async fn conversation(&self, members: &[UserId]) -> ConversationId;
    /// Adds `user`, for the first time or again; they read what comes next. Returns when it is done.
    async fn add(&self, conversation: ConversationId, user: UserId);
    /// Takes `user` out. Returns when it is done.
    async fn remove(&self, conversation: ConversationId, user: UserId);
    /// A new direct conversation.
    async fn direct(&self, one: UserId, other: UserId) -> ConversationId;
    /// Lets `blocker` block `blocked`. Returns when it is done.
    async fn block(&self, blocker: UserId, blocked: UserId);
    /// Lifts that block.
    async fn unblock(&self, blocker: UserId, blocked: UserId);
    /// Closes the conversation: nothing can be sent any more.
    async fn close(&self, conversation: ConversationId);
    /// All that the outbox has received so far, in any order.
    async fn events(&self) -> Vec<Event>;
    /// All flags so far with their messages, in any order.
    async fn flags(&self) -> Vec<(ReportId, MessageId)>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let source = include_str!("message_log.rs");
        let list = source.split("macro_rules!").nth(1).unwrap();
        for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let case = case.split('(').next().unwrap();
            assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
        }
    }

    async fn fresh() -> Fixture {
        memory::fixture()
    }
    crate::message_log_conformance!(fresh);
}
