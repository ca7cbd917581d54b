use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Event, PageSize, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    Audience, BlockedPair, Conversation, Error, Facts, IdempotencyKey, Kind, ParticipantRole, Purpose,
    Settings, Standing,
};

/// A question to whoever knows people.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait People: Send + Sync {
    /// How each of `others` stands to `asker`. Those who do not exist or are deactivated are left out.
    async fn standings(&self, asker: UserId, others: &[UserId]) -> Result<Vec<Standing>, Error>;

    /// Every pair of `people` between whom a block stands. MUST name each of them once, whoever raised it.
    async fn blocked_among(&self, people: &[UserId]) -> Result<Vec<BlockedPair>, Error>;
}

/// A conversation about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewConversation {
    /// Its id.
    pub id: ConversationId,
    /// How people meet in it.
    pub kind: Kind,
    /// What they talk about.
    pub purpose: Purpose,
    /// What it allows.
    pub settings: Settings,
    /// Sealed title.
    pub title: Option<Sealed>,
    /// Sealed description.
    pub description: Option<Sealed>,
    /// Everyone in it, the creator included.
    pub participants: Vec<(UserId, ParticipantRole)>,
    /// Who opens it.
    pub created_by: UserId,
    /// Now.
    pub created_at: DateTime<Utc>,
    /// The client's key and a fingerprint of what it asked for.
    pub idempotency: Option<(IdempotencyKey, [u8; 16])>,
}

/// What came of storing a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// The two people of a direct conversation already have this one.
    DirectExists(ConversationId),
    /// The same request was made before, and this is what it made.
    Repeat(ConversationId),
}

/// A conversation as stored: with sealed texts.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredConversation {
    /// Everything but the texts, which are `None`.
    pub conversation: Conversation,
    /// Sealed title.
    pub title: Option<Sealed>,
    /// Sealed description.
    pub description: Option<Sealed>,
}

/// Where a page of the list starts: after the conversation that last changed at `updated_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListAfter {
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Which it was.
    pub id: ConversationId,
}

/// Which of a person's conversations to list, most recently changed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListQuery {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Start after this one.
    pub after: Option<ListAfter>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

/// Conversations and who is in them.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ConversationStore: Send + Sync {
    /// Stores a conversation, its participants and `event` together, or nothing.
    ///
    /// Two people MUST NOT get a second direct conversation, and one creator's idempotency key MUST NOT
    /// make two, however many ask at once. MUST answer [`Error::KeyReused`] when the key's fingerprint
    /// differs from the stored one. The key is looked at before the pair: who repeats a direct conversation
    /// with its key gets [`Created::Repeat`].
    async fn create(&self, new: &NewConversation, event: Event) -> Result<Created, Error>;

    /// The conversation, if `viewer` is in it.
    async fn find(&self, viewer: UserId, id: ConversationId) -> Result<Option<StoredConversation>, Error>;

    /// One page of the conversations that `viewer` is in, and one more if there is one.
    async fn list(&self, viewer: UserId, query: &ListQuery) -> Result<Vec<StoredConversation>, Error>;

    /// Adds `user`, who from now on reads what comes next; they MUST NOT read what came before.
    ///
    /// MUST answer [`Error::Stale`] unless the members version still is `members_version`. Adding someone
    /// who is in it changes nothing.
    async fn add(
        &self,
        id: ConversationId,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error>;

    /// Takes `user` out. MUST answer [`Error::Stale`] unless the members version still is
    /// `members_version`.
    async fn remove(
        &self,
        id: ConversationId,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error>;

    /// What it allows. `None` if there is no such conversation.
    async fn facts(&self, id: ConversationId) -> Result<Option<Facts>, Error>;

    /// Who is in it. `None` if there is no such conversation.
    async fn audience(&self, id: ConversationId) -> Result<Option<Audience>, Error>;

    /// Those who were in it once and are no longer. MUST hold all who have left by the time it is asked.
    async fn former(&self, id: ConversationId) -> Result<Vec<UserId>, Error>;
}
