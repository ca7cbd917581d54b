use alivio_kernel::Effects;
use alivio_kernel::ids::{ConversationId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, Window};

/// Someone who is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Who blocks.
    pub blocker: UserId,
    /// Whom.
    pub blocked: UserId,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Who wants nothing of whom (C-42).
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait BlockStore: Send + Sync {
    /// Stores a block with `effects`; `true` if it is new. One that stands MUST stay as it is, without effects.
    ///
    /// With it MUST end, together: every request between the two, where the one who is blocked MUST see no
    /// difference in theirs, nor the blocker in those by address: they would tell whose address it is. What they send each other directly MUST either be stored before the block or be
    /// refused: it returns only when no such message can follow.
    async fn block(&self, block: &Block, is_care: bool, effects: &Effects) -> Result<(Block, bool), Error>;

    /// Lifts a block, with `effects`. Without one it MUST change nothing.
    async fn unblock(&self, blocker: UserId, blocked: UserId, effects: &Effects) -> Result<(), Error>;

    /// Whom `blocker` blocks, newest first, and one more if there is one.
    async fn blocks(&self, blocker: UserId, window: &Window<UserId>) -> Result<Vec<Block>, Error>;

    /// Those of `others` between whom and `user` a block stands, whoever raised it.
    async fn between(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error>;

    /// Every pair of `people` between whom a block stands, once, whoever raised it.
    async fn among(&self, people: &[UserId]) -> Result<Vec<(UserId, UserId)>, Error>;

    /// Whether `user` has to do with `other`: they share a conversation or did, are contacts, or one asks the other.
    async fn acquainted(&self, user: UserId, other: UserId) -> Result<bool, Error>;

    /// Whether `conversation` is a direct one, and a block stands between its two people.
    async fn silences(&self, conversation: ConversationId) -> Result<bool, Error>;

    /// The blocks between patients and those who attend them, newest first, and one more if there is one.
    async fn care_blocks(&self, window: &Window<(UserId, UserId)>) -> Result<Vec<Block>, Error>;
}
