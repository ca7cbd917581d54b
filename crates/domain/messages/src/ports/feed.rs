use alivio_kernel::PageSize;
use alivio_kernel::ids::{ConversationId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, StoredMessage};

/// A place in the one row of all changes: the transaction that made a change, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The transaction.
    pub transaction: u64,
    /// The number; within a transaction it counts up.
    pub number: i64,
}

impl Place {
    /// Behind all that transactions before `horizon` have made.
    pub const fn before(horizon: u64) -> Self {
        Self { transaction: horizon.saturating_sub(1), number: i64::MAX }
    }
}

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

/// What happened in all conversations of a person, for those who come back.
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

    /// The horizon alone.
    async fn horizon(&self) -> Result<u64, Error>;

    /// Forgets at most `limit` changes of those that happened before `before`, and says how many that were.
    async fn forget(&self, before: DateTime<Utc>, limit: i64) -> Result<i64, Error>;
}
