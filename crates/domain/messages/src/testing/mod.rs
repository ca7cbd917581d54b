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

use crate::{MessageChanges, MessageLog};

pub mod change_log;
#[cfg(test)]
mod memory;
pub mod message_changes;
pub mod message_log;
pub mod scheduled_store;

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, with an empty log.
    pub log: Arc<dyn MessageLog>,
    /// What lies around it. Lives as long as the case does, so it may own the test's database.
    pub world: Arc<dyn World>,
}

/// What a case about changes is given.
pub struct ChangesFixture {
    /// The adapter on trial.
    pub changes: Arc<dyn MessageChanges>,
    /// The log whose messages it changes, empty.
    pub log: Arc<dyn MessageLog>,
    /// What lies around it.
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
    /// A new open group of `members` that is not about anyone's care.
    async fn leisure(&self, members: &[UserId]) -> ConversationId;
    /// Lets the conversation show nobody who has read what.
    async fn hide_receipts(&self, conversation: ConversationId);
    /// What was noted among the changes of the conversation, in its order: kinds and messages.
    async fn notes(&self, conversation: ConversationId) -> Vec<(String, Option<MessageId>)>;
    /// All that the outbox has received so far, in any order.
    async fn events(&self) -> Vec<Event>;
    /// All flags so far with their messages, in any order.
    async fn flags(&self) -> Vec<(ReportId, MessageId)>;
}

/// Ports of which none expects to be asked, but that it is always open, and people keep the usual pace; the time stands
/// still. To be filled in: `MessagesPorts { log, ..mocked() }`.
pub fn mocked() -> crate::MessagesPorts {
    let mut hours = crate::MockHours::new();
    hours.expect_admission().returning(|_, _, _| Ok(crate::Admission::Open));
    use alivio_kernel::sealing::PlainSealer;
    use alivio_kernel::{ManualClock, SequentialIds};
    crate::MessagesPorts {
        log: Arc::new(crate::MockMessageLog::new()),
        changes: Arc::new(crate::MockMessageChanges::new()),
        policy: crate::ChangePolicy::default(),
        granted: Arc::new(crate::MockGrantedLog::new()),
        feed: Arc::new(crate::MockChangeLog::new()),
        live: Arc::new(crate::MockLiveFeed::new()),
        reader: Arc::new(crate::MockMessageReader::new()),
        scheduled: Arc::new(crate::MockScheduledStore::new()),
        drafts: Arc::new(crate::MockDraftStore::new()),
        attachments: Arc::new(crate::MockAttachments::new()),
        correspondents: Arc::new(crate::MockCorrespondents::new()),
        rooms: Arc::new(crate::MockRooms::new()),
        pace: Arc::new(crate::LocalPace::default()),
        screening: crate::screening::ScreeningPolicy::default(),
        hours: Arc::new(hours),
        sealer: Arc::new(PlainSealer::default()),
        clock: Arc::new(ManualClock::default()),
        ids: Arc::new(SequentialIds::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        for source in [
            include_str!("message_log.rs"),
            include_str!("change_log.rs"),
            include_str!("message_changes.rs"),
            include_str!("scheduled_store.rs"),
        ] {
            let list = source.split("macro_rules!").nth(1).unwrap();
            for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let case = case.split('(').next().unwrap();
                assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
            }
        }
    }

    async fn fresh() -> Fixture {
        memory::fixture()
    }
    crate::message_log_conformance!(fresh);
}
