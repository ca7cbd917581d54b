use alivio_kernel::ids::{ConversationId, GrantId, UserId};
use alivio_kernel::{Effects, PageSize, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{After, Error};

/// A grant about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// Which.
    pub id: GrantId,
    /// Who may read.
    pub admin_id: UserId,
    /// What.
    pub conversation_id: ConversationId,
    /// Why, sealed.
    pub reason: Sealed,
    /// Now.
    pub opened_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// The membership that those who are told were read from.
    pub members_version: i64,
}

/// A grant as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    /// Which.
    pub id: GrantId,
    /// Who may read.
    pub admin_id: UserId,
    /// What.
    pub conversation_id: ConversationId,
    /// Why, sealed.
    pub reason: Sealed,
    /// From when on.
    pub opened_at: DateTime<Utc>,
    /// Until when at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it was ended early.
    pub ended_at: Option<DateTime<Utc>>,
    /// By whom.
    pub ended_by: Option<UserId>,
}

/// What came of ending a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is over now.
    Ended,
    /// It was over before, or there is none.
    NotOpen,
}

/// Grants.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Stores a grant and `effects` together, or nothing.
    ///
    /// MUST answer [`Error::GrantOpen`] while the same person holds one to the same conversation that is neither
    /// ended nor expired, however many ask at once; and [`Error::Stale`] if the conversation's membership is no
    /// longer at `members_version`.
    async fn open(&self, grant: &NewGrant, effects: Effects) -> Result<(), Error>;

    /// The grant, open or not.
    async fn find(&self, grant: GrantId) -> Result<Option<StoredGrant>, Error>;

    /// One page of all grants, newest first, and one more if there is one.
    async fn list(&self, after: Option<After>, size: PageSize) -> Result<Vec<StoredGrant>, Error>;

    /// Ends a grant that is open at `now`, and stores `effects` with it. MUST change and store nothing otherwise.
    async fn end(
        &self,
        grant: GrantId,
        by: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<Ended, Error>;
}

/// Who is in a conversation, at a version of its membership, and who was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The version.
    pub version: i64,
    /// Those who are in it.
    pub users: Vec<UserId>,
    /// Those who were in it before: what they wrote is still there.
    pub former: Vec<UserId>,
}

impl Members {
    /// Everyone whose words can be read there.
    pub fn concerned(&self) -> impl Iterator<Item = UserId> {
        self.users.iter().chain(&self.former).copied()
    }
}

/// Asks who is in a conversation. Answered by another domain.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Membership: Send + Sync {
    /// Those in the conversation, and MUST hold everyone who ever was; `None` if there is none.
    async fn members(&self, conversation: ConversationId) -> Result<Option<Members>, Error>;
}
