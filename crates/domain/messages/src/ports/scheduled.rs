use alivio_kernel::ids::{ConversationId, MessageId, ScheduledMessageId, UserId};
use alivio_kernel::{Event, PageSize, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{ClientMessageId, Error, Outcome, ScheduledState};

/// A message about to be put off.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScheduled {
    /// Its id.
    pub id: ScheduledMessageId,
    /// Where to.
    pub conversation_id: ConversationId,
    /// By whom.
    pub sender_id: UserId,
    /// The sender's name for it.
    pub client_message_id: ClientMessageId,
    /// Keyed digest of all that the client sent.
    pub fingerprint: [u8; 16],
    /// The sealed draft, of version 1.
    pub draft: Sealed,
    /// When to send it.
    pub due_at: DateTime<Utc>,
    /// Now.
    pub created_at: DateTime<Utc>,
    /// [`ScheduledMessageDue`](crate::ScheduledMessageDue), for then.
    pub timer: Event,
}

/// A message that was put off, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredScheduled {
    /// Its id.
    pub id: ScheduledMessageId,
    /// Where to.
    pub conversation_id: ConversationId,
    /// By whom.
    pub sender_id: UserId,
    /// When to send it.
    pub due_at: DateTime<Utc>,
    /// How far it has come.
    pub state: ScheduledState,
    /// The message that it became.
    pub message_id: Option<MessageId>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes of the draft, from 1.
    pub version: u32,
    /// The sealed draft.
    pub draft: Sealed,
}

/// What came of putting a message off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduled {
    /// It waits for its time.
    New,
    /// One of that name was made before.
    Earlier(Earlier),
    /// The sender is not in the conversation.
    NotAMember,
}

/// What was made under a name before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// The same was asked for, and this is what was made then.
    Same(ScheduledMessageId),
    /// The client message id belongs to another one.
    Other,
}

/// Another wording or another time.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledChange {
    /// Of which.
    pub id: ScheduledMessageId,
    /// Whose.
    pub sender_id: UserId,
    /// The version that it changes.
    pub version: u32,
    /// The sealed draft, of the next version.
    pub draft: Sealed,
    /// When to send it.
    pub due_at: DateTime<Utc>,
    /// Now.
    pub now: DateTime<Utc>,
    /// Another timer.
    pub timer: Event,
}

/// Messages that are to be sent later.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ScheduledStore: Send + Sync {
    /// Stores a message with its timer, together. One `(conversation, sender, client_message_id)` MUST make one.
    async fn create(&self, new: &NewScheduled) -> Result<Scheduled, Error>;

    /// What `sender` made there under that name, if anything.
    async fn earlier(
        &self,
        sender: UserId,
        conversation: ConversationId,
        name: &ClientMessageId,
        fingerprint: [u8; 16],
    ) -> Result<Option<Earlier>, Error>;

    /// One of `sender`'s.
    async fn find(&self, sender: UserId, id: ScheduledMessageId) -> Result<Option<StoredScheduled>, Error>;

    /// Those of `sender`, the latest due first, after the one that is due then; and one more if there is one.
    async fn list(
        &self,
        sender: UserId,
        state: Option<ScheduledState>,
        after: Option<(DateTime<Utc>, ScheduledMessageId)>,
        size: PageSize,
    ) -> Result<Vec<StoredScheduled>, Error>;

    /// Changes it and sets its new timer, together. MUST change nothing and answer `false` unless it is pending and of
    /// that version.
    async fn change(&self, change: &ScheduledChange) -> Result<bool, Error>;

    /// Takes it back. MUST answer `false` unless it is pending: of taking back and
    /// [claiming](ScheduledStore::claim), one wins.
    async fn cancel(&self, sender: UserId, id: ScheduledMessageId, now: DateTime<Utc>)
    -> Result<bool, Error>;

    /// Takes it on for sending, if it is due and pending, or was taken on before and not settled.
    async fn claim(
        &self,
        id: ScheduledMessageId,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredScheduled>, Error>;

    /// Notes what came of it. `false` if that was noted before.
    async fn settle(
        &self,
        id: ScheduledMessageId,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<bool, Error>;
}

/// Words that someone has begun, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDraft {
    /// Where.
    pub conversation_id: ConversationId,
    /// The sealed words.
    pub content: Sealed,
    /// What they answer.
    pub reply_to: Option<MessageId>,
    /// When they last changed.
    pub updated_at: DateTime<Utc>,
}

/// Words that people have begun and not sent: one draft for each person in each conversation.
///
/// Someone who is not in the conversation has no draft there.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait DraftStore: Send + Sync {
    /// Keeps it instead of the one before. `false` if `user` is not in the conversation.
    async fn put(&self, user: UserId, draft: &StoredDraft) -> Result<bool, Error>;

    /// The draft of `user` there.
    async fn get(&self, user: UserId, conversation: ConversationId) -> Result<Option<StoredDraft>, Error>;

    /// Throws it away. `false` if there was none.
    async fn remove(&self, user: UserId, conversation: ConversationId) -> Result<bool, Error>;

    /// All of `user`, the one that changed last first, after the one that changed then; and one more if there is one.
    async fn list(
        &self,
        user: UserId,
        after: Option<(DateTime<Utc>, ConversationId)>,
        size: PageSize,
    ) -> Result<Vec<StoredDraft>, Error>;
}
