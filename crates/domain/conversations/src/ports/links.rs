use alivio_kernel::ids::{ConversationId, InvitationLinkId, UserId};
use alivio_kernel::{Effects, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, InvitationLink};

/// The hash under which a secret is stored.
pub type TokenHash = [u8; 32];

/// Secrets that links carry.
#[cfg_attr(feature = "testing", mockall::automock)]
pub trait LinkSecrets: Send + Sync {
    /// A new secret. MUST have 128 random bits or more.
    fn mint(&self) -> Result<Sensitive<String>, Error>;

    /// The hash of a secret, the same on every node and at any time.
    fn hash(&self, secret: &str) -> TokenHash;
}

/// Links that let people into conversations.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait LinkStore: Send + Sync {
    /// Stores a link that nobody has used, with its `effects`, together or not at all.
    async fn issue(&self, link: &InvitationLink, hash: &TokenHash, effects: Effects) -> Result<(), Error>;

    /// The links of a conversation, the newest first.
    async fn of(&self, conversation: ConversationId) -> Result<Vec<InvitationLink>, Error>;

    /// The link with this hash, good or not.
    async fn by_hash(&self, hash: &TokenHash) -> Result<Option<InvitationLink>, Error>;

    /// Withdraws a link with `effects`, together or not at all; withdrawing it again changes nothing and MUST leave none.
    /// `false` if the conversation has no such link.
    async fn revoke(
        &self,
        conversation: ConversationId,
        link: InvitationLinkId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Lets `user` into the conversation as a member and counts that use, with `effects`, together or not at all. Who is in
    /// it already stays, and is not counted.
    ///
    /// MUST answer [`Error::Stale`] unless the members version still is `members_version`, and [`Error::NotFound`] if the
    /// link is not good any more. However many come at once, it MUST NOT let in more than it is for.
    async fn admit(
        &self,
        link: &InvitationLink,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error>;
}
