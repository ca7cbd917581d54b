use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{PageSize, Place};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Current;
use crate::{Error, Marks, StoredMessage};

/// Something that happened in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChange {
    /// Its place.
    pub place: Place,
    /// What: `message.created`, `receipt.read`, `participant.joined` …
    pub kind: String,
    /// Where.
    pub conversation_id: ConversationId,
    /// Whom it concerns, or who did it.
    pub user_id: Option<UserId>,
    /// When.
    pub at: DateTime<Utc>,
    /// The message that it is about, as it is now.
    pub message: Option<StoredMessage>,
}

/// A part of all changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Every transaction before this one is over: what it changed can be read. Those from here on may still be at work.
    pub horizon: u64,
    /// The changes, in their order.
    pub changes: Vec<StoredChange>,
}

/// What became of a message or of someone's marks, in any conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedChange {
    /// Its place.
    pub place: Place,
    /// What: `message.created`, `receipt.read` …
    pub kind: String,
    /// Where.
    pub conversation_id: ConversationId,
    /// Of which message. Of marks, the one they have come to.
    pub message_id: MessageId,
    /// The place of that message in its log.
    pub seq: i64,
    /// The number of this change, if it is one of a message.
    pub revision: Option<i64>,
    /// Who did it; nobody, if a message's time was over.
    pub user_id: Option<UserId>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What happened in all conversations of a person, for those who come back; and in all conversations, for a node that
/// tells those who are connected to it.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// What happened behind `after` in the conversations that `viewer` is in, in one order for all of them, and one
    /// change more than asked for if there is one.
    ///
    /// MUST answer only what transactions before the horizon have made, and all of that: whoever reads on from the last
    /// place, or from [`Place::before`] the horizon, MUST NOT miss a change, however late the one who made it commits.
    ///
    /// MUST leave out what was said before `viewer` joined, what else happened before, and what concerns another person
    /// alone. Of a conversation that they have left they MUST get their own going only.
    async fn changes(&self, viewer: UserId, after: Place, size: PageSize) -> Result<Stretch, Error>;

    /// What became of messages and marks behind `after` in all conversations, in one order, `limit` changes at most, and
    /// the horizon.
    ///
    /// MUST answer all that is committed, also what transactions from the horizon on have made: see
    /// [`Follower`](alivio_kernel::Follower).
    async fn noted(&self, after: Place, limit: i64) -> Result<(u64, Vec<NotedChange>), Error>;

    /// These messages as everyone may see them; those that there are. Asks nobody for their rights.
    async fn currents(&self, messages: &[MessageId]) -> Result<Vec<Current>, Error>;

    /// How far these people have come, where they still are in the conversation. Authorises nothing.
    async fn marks_of(
        &self,
        people: &[(ConversationId, UserId)],
    ) -> Result<Vec<(ConversationId, Marks)>, Error>;

    /// The horizon alone.
    async fn horizon(&self) -> Result<u64, Error>;

    /// Forgets at most `limit` changes of those that happened before `before`, and says how many that were.
    async fn forget(&self, before: DateTime<Utc>, limit: i64) -> Result<i64, Error>;
}
