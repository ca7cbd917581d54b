use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use alivio_accounts::UserSummary;
use alivio_conversations::ConversationStore;
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_messages::Message;
use alivio_messages::formatting::mentioned;

use crate::people::PeopleDirectory;
use crate::{Error, MessageView};

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

    /// Tells of each of `views` whom its message names.
    pub(crate) async fn name(
        &self,
        views: impl IntoIterator<Item = &mut MessageView> + Send,
    ) -> Result<(), Error> {
        let mut members: HashMap<ConversationId, Vec<UserId>> = HashMap::new();
        for view in views {
            let mut named = named(&view.message);
            if named.is_empty() {
                continue;
            }
            let conversation = view.message.conversation_id;
            let members = match members.entry(conversation) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let audience = self.conversations.audience(conversation).await?;
                    unknown.insert(audience.map(|audience| audience.members).unwrap_or_default())
                }
            };
            named.retain(|user| members.contains(user));
            view.mentioned = self.people_of(named).await?;
        }
        Ok(())
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
