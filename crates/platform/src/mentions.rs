use std::collections::HashSet;
use std::sync::Arc;

use alivio_accounts::UserSummary;
use alivio_conversations::ConversationStore;
use alivio_kernel::ids::UserId;
use alivio_messages::Message;
use alivio_messages::formatting::mentioned;

use crate::Error;
use crate::people::PeopleDirectory;

/// Who is named in messages. Only those who are in the conversation may be: anyone else stays an id.
#[derive(Clone)]
pub(crate) struct Mentions {
    people: PeopleDirectory,
    conversations: Arc<dyn ConversationStore>,
}

impl Mentions {
    pub(crate) const fn new(people: PeopleDirectory, conversations: Arc<dyn ConversationStore>) -> Self {
        Self { people, conversations }
    }

    /// Those of `participants` whom the message names.
    pub(crate) async fn among(
        &self,
        message: &Message,
        participants: &HashSet<UserId>,
    ) -> Result<Vec<Arc<UserSummary>>, Error> {
        let named = named(message);
        self.people_of(named.into_iter().filter(|user| participants.contains(user)).collect()).await
    }

    /// Those in the conversation whom the message names.
    pub(crate) async fn of(&self, message: &Message) -> Result<Vec<Arc<UserSummary>>, Error> {
        let mut named = named(message);
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let audience = self.conversations.audience(message.conversation_id).await?;
        named.retain(|user| audience.as_ref().is_some_and(|audience| audience.members.contains(user)));
        self.people_of(named).await
    }

    async fn people_of(&self, users: Vec<UserId>) -> Result<Vec<Arc<UserSummary>>, Error> {
        // Mostly there are none.
        if users.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.people.summaries(users).await?.into_values().collect())
    }
}

fn named(message: &Message) -> Vec<UserId> {
    let words = message.content.as_ref().map(|content| content.as_str());
    words.filter(|words| words.contains("<@")).map(mentioned).unwrap_or_default()
}
