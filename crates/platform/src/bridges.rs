//! Questions that one domain asks and another answers.

use std::sync::Arc;

use alivio_accounts::{BlockStore, UserStore};
use alivio_audit::{Members, Membership};
use alivio_conversations::{BlockedPair, ConversationStore, Error, People, Standing};
use alivio_kernel::ids::{ConversationId, UserId};
use async_trait::async_trait;

/// Conversations ask how people stand to each other; accounts know.
pub(crate) struct StandingsFromAccounts {
    users: Arc<dyn UserStore>,
    blocks: Arc<dyn BlockStore>,
}

impl StandingsFromAccounts {
    pub(crate) const fn new(users: Arc<dyn UserStore>, blocks: Arc<dyn BlockStore>) -> Self {
        Self { users, blocks }
    }
}

fn unavailable(error: alivio_accounts::Error) -> Error {
    Error::Unavailable(Box::new(error))
}

#[async_trait]
impl People for StandingsFromAccounts {
    async fn standings(&self, asker: UserId, others: &[UserId]) -> Result<Vec<Standing>, Error> {
        let users = self.users.by_ids(others).await.map_err(unavailable)?;
        let related = self.users.related(asker, others).await.map_err(unavailable)?;
        let standing = |user: alivio_accounts::StoredUser| Standing {
            user_id: user.id,
            role: user.role,
            related: related.contains(&user.id),
        };
        Ok(users.into_iter().filter(|user| user.is_active).map(standing).collect())
    }

    async fn blocked_among(&self, people: &[UserId]) -> Result<Vec<BlockedPair>, Error> {
        let mut pairs = Vec::new();
        // Mostly there are none.
        for (one, other) in self.blocks.among(people).await.map_err(unavailable)? {
            let related = self.users.related(one, &[other]).await.map_err(unavailable)?;
            pairs.push(BlockedPair { one, other, related: !related.is_empty() });
        }
        Ok(pairs)
    }
}

/// Those who break the glass ask who is in a conversation; conversations know.
pub(crate) struct MembersFromConversations {
    conversations: Arc<dyn ConversationStore>,
}

impl MembersFromConversations {
    pub(crate) const fn new(conversations: Arc<dyn ConversationStore>) -> Self {
        Self { conversations }
    }
}

#[async_trait]
impl Membership for MembersFromConversations {
    async fn members(&self, conversation: ConversationId) -> Result<Option<Members>, alivio_audit::Error> {
        let audience = self.conversations.audience(conversation).await;
        let unavailable = |error| alivio_audit::Error::Unavailable(Box::new(error));
        let audience = audience.map_err(unavailable)?;
        let Some(audience) = audience else { return Ok(None) };
        // Asked second: whoever goes in between is among them.
        let mut former = self.conversations.former(conversation).await.map_err(unavailable)?;
        former.retain(|user| !audience.members.contains(user));
        Ok(Some(Members { version: audience.members_version, users: audience.members, former }))
    }
}
