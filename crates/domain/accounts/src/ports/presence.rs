use alivio_kernel::Effects;
use alivio_kernel::PageSize;
use alivio_kernel::ids::{ConversationId, UserId};
use async_trait::async_trait;

use crate::{ChosenPresence, Error, PresencePreferences, PresencePrivacy, PresenceView};

/// Which of those one knows to look at, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceQuery {
    /// Start after this one.
    pub after: Option<UserId>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

/// Who hears that someone came, went, or chose another presence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceAudience {
    /// What the person has chosen to show.
    pub chosen: ChosenPresence,
    /// Who sees it, and whether they also see when the person was last here.
    pub watchers: Vec<(UserId, bool)>,
    /// The conversations the person is in.
    pub conversations: Vec<ConversationId>,
}

/// What people show of themselves, and to whom. That a device is connected is known elsewhere, and never stored.
///
/// People know each other who are in a conversation together now, or are contacts; a block on either side ends it,
/// and the deactivated know nobody.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait PresenceStore: Send + Sync {
    /// What `user` has chosen; the defaults if nothing.
    async fn preferences(&self, user: UserId) -> Result<PresencePreferences, Error>;

    /// Stores what `user` shows from now on.
    async fn choose(&self, user: UserId, chosen: ChosenPresence) -> Result<(), Error>;

    /// Stores to whom.
    async fn set_privacy(
        &self,
        user: UserId,
        privacy: PresencePrivacy,
        effects: &Effects,
    ) -> Result<(), Error>;

    /// What `viewer` sees of those of `others` whom they know, in any order. MUST leave out all that the others do
    /// not show to the viewer, and everyone who shows them nothing.
    async fn views(&self, viewer: UserId, others: &[UserId]) -> Result<Vec<PresenceView>, Error>;

    /// One page of what `viewer` sees of everyone they know, and one more if there is one. As
    /// [`views`](Self::views).
    async fn all_views(&self, viewer: UserId, query: &PresenceQuery) -> Result<Vec<PresenceView>, Error>;

    /// Who sees the presence of `user`: those for whom [`views`](Self::views) MUST show it.
    async fn audience(&self, user: UserId) -> Result<PresenceAudience, Error>;
}
