//! Bugs of what those who listen are told.

use std::sync::{Arc, Mutex, PoisonError};

use alivio_kernel::ids::{ConversationId, ScheduledMessageId, UserId};
use alivio_messages::{Content, LiveFeed, MarksMoved, Message, MessageChanged, NotedChange, ScheduledState};
use async_trait::async_trait;

use super::Bug;

/// Of so many hints one is lost, or wrong.
const EVERY: i64 = 5;
/// After so many messages nobody is told anything any more.
const SILENCE: i64 = 10;

/// A feed with a bug.
pub(super) struct WithBug {
    inner: Arc<dyn LiveFeed>,
    bug: Bug,
    last: Mutex<Option<Content>>,
}

impl WithBug {
    pub(super) fn new(inner: Arc<dyn LiveFeed>, bug: Bug) -> Self {
        Self { inner, bug, last: Mutex::default() }
    }
}

#[async_trait]
impl LiveFeed for WithBug {
    async fn message_created(&self, message: &Message, members_version: i64) {
        let mut told = message.clone();
        match self.bug {
            Bug::HintsOnly if message.seq % EVERY == 0 => return,
            Bug::FallsSilent if message.seq > SILENCE => return,
            Bug::OtherWordsTold => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let other = std::mem::replace(&mut *last, message.content.clone());
                if message.seq % EVERY == 0 {
                    told.content = other;
                }
            }
            _ => {}
        }
        self.inner.message_created(&told, members_version).await;
    }

    fn has_audience(&self, conversation: ConversationId) -> bool {
        self.inner.has_audience(conversation)
    }

    fn awaits(&self, change: &NotedChange) -> bool {
        self.inner.awaits(change)
    }

    async fn unread_changed(&self, user: UserId, conversation: ConversationId, unread: i64) {
        self.inner.unread_changed(user, conversation, unread).await;
    }

    async fn message_changed(&self, changed: MessageChanged) {
        if self.bug != Bug::FallsSilent || changed.message.seq <= SILENCE {
            self.inner.message_changed(changed).await;
        }
    }

    async fn marks_moved(&self, moved: &MarksMoved) {
        self.inner.marks_moved(moved).await;
    }

    async fn scheduled_changed(&self, sender: UserId, id: ScheduledMessageId, state: ScheduledState) {
        self.inner.scheduled_changed(sender, id, state).await;
    }

    async fn draft_changed(&self, user: UserId, conversation: ConversationId) {
        self.inner.draft_changed(user, conversation).await;
    }
}
