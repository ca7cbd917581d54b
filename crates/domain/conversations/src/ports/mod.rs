use std::collections::HashMap;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Event, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    Audience, BlockedPair, Conversation, Error, Facts, IdempotencyKey, Kind, Metadata, ParticipantRole,
    PersonalChange, Purpose, Settings, Standing, Versions,
};

mod inbox;
mod links;

#[cfg(feature = "testing")]
pub use inbox::WithoutMessages;
pub use inbox::{
    Inbox, InboxAfter, InboxFilter, InboxPage, Ordering, Progress, StoredLine, StoredTitle, Unread,
};
pub use links::{LinkSecrets, LinkStore, TokenHash};
#[cfg(feature = "testing")]
pub use links::{MockLinkSecrets, MockLinkStore};

/// A question to whoever knows people.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait People: Send + Sync {
    /// How each of `others` stands to `asker`. Those who do not exist or are deactivated are left out.
    async fn standings(&self, asker: UserId, others: &[UserId]) -> Result<Vec<Standing>, Error>;

    /// Every pair of `people` between whom a block stands. MUST name each of them once, whoever raised it.
    async fn blocked_among(&self, people: &[UserId]) -> Result<Vec<BlockedPair>, Error>;
}

/// A question to whoever knows what people are called.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Names: Send + Sync {
    /// What each of `people` is called. Those who do not exist are left out.
    async fn names(&self, people: &[UserId]) -> Result<HashMap<UserId, String>, Error>;
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
    /// What it refers to, without its words.
    pub metadata: Metadata,
    /// Its words.
    pub labels: StoredLabels,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether the creator is told of what happens in it.
    pub notifies_creator: bool,
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

/// The words of [`Metadata`] as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredLabels {
    /// Sealed type of consultation and tags.
    pub sealed: Option<Sealed>,
    /// Keyed digests of the tags, to find it by.
    pub tags: Vec<[u8; 16]>,
}

/// A conversation as stored: with sealed texts.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredConversation {
    /// Everything but the texts, which are `None` or empty.
    pub conversation: Conversation,
    /// Sealed title.
    pub title: Option<Sealed>,
    /// Sealed description.
    pub description: Option<Sealed>,
    /// Sealed type of consultation and tags.
    pub labels: Option<Sealed>,
    /// Why it was closed, sealed.
    pub closed_reason: Option<Sealed>,
}

/// All that can be changed of a conversation besides who is in it, about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDetails {
    /// Sealed title.
    pub title: Option<Sealed>,
    /// Sealed description.
    pub description: Option<Sealed>,
    /// What it allows.
    pub settings: Settings,
    /// What it refers to, without its words.
    pub metadata: Metadata,
    /// Its words.
    pub labels: StoredLabels,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What happens to a conversation besides people coming and going.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is something else, or allows something else; and whether whoever changes it is told of what happens in it, if
    /// they say so.
    Details(Box<NewDetails>, Option<bool>),
    /// It is over, for this sealed reason.
    Close(Option<Sealed>),
    /// It goes on.
    Reopen,
    /// Someone gets another part.
    Role(UserId, ParticipantRole),
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

    /// The conversation, whoever asks. Authorises nothing: for those who are about to come in.
    async fn look(&self, id: ConversationId) -> Result<Option<StoredConversation>, Error>;

    /// Makes `change`, by `by`, and stores `event`, together or not at all.
    ///
    /// MUST answer [`Error::Stale`] unless both versions still are what they were. A new part counts as a change of
    /// membership, everything else as one of details.
    async fn change(
        &self,
        id: ConversationId,
        versions: Versions,
        by: UserId,
        change: &Change,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error>;

    /// Changes what `user` keeps of it for themselves. MUST change nothing for anyone else, and neither when it changed
    /// last. `false` if they are not in it.
    async fn keep(
        &self,
        id: ConversationId,
        user: UserId,
        change: PersonalChange,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<bool, Error>;

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
