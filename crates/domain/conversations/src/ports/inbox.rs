use alivio_kernel::ids::{ConsultationId, ConversationId, UserId};
use alivio_kernel::{PageSize, Role, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, Kind, Purpose, StoredConversation};

/// Which of a person's conversations they ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxFilter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only of this purpose.
    pub purpose: Option<Purpose>,
    /// Only with this person.
    pub with_user: Option<UserId>,
    /// Only with, or only without, messages by others that they have not read.
    pub has_unread: Option<bool>,
    /// Only what has changed at that time or since, messages included.
    pub updated_since: Option<DateTime<Utc>>,
    /// Those out of the inbox, too.
    pub include_archived: bool,
    /// Only with someone else whose account is for this: `doctor`, `patient`.
    pub participant_type: Option<Role>,
    /// Only what follows this consultation.
    pub related_appointment: Option<ConsultationId>,
    /// Only with all of these tags, as keyed digests.
    pub tags: Vec<[u8; 16]>,
    /// Only the one with this number.
    pub number: Option<i64>,
    /// Only these.
    pub among: Option<Vec<ConversationId>>,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ordering {
    /// The pinned first; among them, and among the others, what changed last.
    #[default]
    PinnedThenUpdated,
    /// What changed first.
    Updated,
    /// The newest.
    CreatedDescending,
    /// The oldest.
    Created,
}

/// The last entry of the page before, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxAfter {
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// When it last changed, or was created, as the order has it.
    pub at: DateTime<Utc>,
    /// Which it is.
    pub id: ConversationId,
}

/// One page of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPage {
    /// Which conversations.
    pub filter: InboxFilter,
    /// In which order.
    pub ordering: Ordering,
    /// After which one.
    pub after: Option<InboxAfter>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

/// How far a participant has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Who.
    pub user_id: UserId,
    /// A device of theirs has all up to here.
    pub delivered_up_to: i64,
    /// They have read all up to here.
    pub read_up_to: i64,
}

/// A line of the inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLine<M> {
    /// The conversation.
    pub stored: StoredConversation,
    /// Messages by others that the viewer has not read.
    pub unread: i64,
    /// How far everyone in it has come.
    pub progress: Vec<Progress>,
    /// The newest message that the viewer may read, as whoever knows messages stores it.
    pub last: Option<M>,
}

/// A conversation as far as it is needed to find it by its title.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTitle {
    /// Which.
    pub id: ConversationId,
    /// Its sealed title.
    pub title: Option<Sealed>,
    /// Who is in it besides the viewer, at most two: enough to name a conversation without a title.
    pub others: Vec<UserId>,
}

/// How much of a conversation someone has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub conversation_id: ConversationId,
    /// Messages by others.
    pub messages: i64,
}

/// The conversations of a person, as a list shows them. `M` is a stored message, which is not looked into here.
#[async_trait]
pub trait Inbox<M>: Send + Sync {
    /// One page of the conversations that `viewer` is in, and one more if there is one, in one query. MUST show nothing of
    /// a conversation that they are not in at that moment, nor a message from before they joined.
    async fn page(&self, viewer: UserId, page: &InboxPage) -> Result<Vec<StoredLine<M>>, Error>;

    /// The `limit` conversations that changed last, by title.
    async fn titles(
        &self,
        viewer: UserId,
        filter: &InboxFilter,
        limit: i64,
    ) -> Result<Vec<StoredTitle>, Error>;

    /// All of which `viewer` has not read everything, what changed last first. MUST look at no message.
    async fn unread(&self, viewer: UserId) -> Result<Vec<Unread>, Error>;
}

/// An inbox without its messages: what the conformance suite looks at.
#[cfg(feature = "testing")]
pub struct WithoutMessages<I, M>(I, std::marker::PhantomData<fn() -> M>);

#[cfg(feature = "testing")]
impl<I: Inbox<M>, M> WithoutMessages<I, M> {
    /// Leaves the messages of `inbox` out.
    pub const fn new(inbox: I) -> Self {
        Self(inbox, std::marker::PhantomData)
    }
}

#[cfg(feature = "testing")]
#[async_trait]
impl<I: Inbox<M>, M: Send + 'static> Inbox<()> for WithoutMessages<I, M> {
    async fn page(&self, viewer: UserId, page: &InboxPage) -> Result<Vec<StoredLine<()>>, Error> {
        let lines = self.0.page(viewer, page).await?;
        let bare = |StoredLine { stored, unread, progress, last }: StoredLine<M>| StoredLine {
            stored,
            unread,
            progress,
            last: last.map(drop),
        };
        Ok(lines.into_iter().map(bare).collect())
    }

    async fn titles(
        &self,
        viewer: UserId,
        filter: &InboxFilter,
        limit: i64,
    ) -> Result<Vec<StoredTitle>, Error> {
        self.0.titles(viewer, filter, limit).await
    }

    async fn unread(&self, viewer: UserId) -> Result<Vec<Unread>, Error> {
        self.0.unread(viewer).await
    }
}
