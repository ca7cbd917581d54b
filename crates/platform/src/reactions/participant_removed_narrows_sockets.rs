use std::sync::Arc;

use alivio_conversations::{Conversations, Error, ParticipantRemoved};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};
use crate::people::PeopleDirectory;

/// Takes the conversation from the sockets of whoever has gone, then tells them and those who stay. An event that
/// comes late, after they were added again, is no longer true and does nothing.
pub(super) struct React {
    hub: Arc<Hub>,
    conversations: Conversations,
    people: PeopleDirectory,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>, conversations: Conversations, people: PeopleDirectory) -> Self {
        Self { hub, conversations, people }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ParticipantRemoved::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let gone: ParticipantRemoved = event.read()?;
        match self.conversations.audience(gone.conversation_id).await {
            Ok(audience) if audience.members.contains(&gone.user_id) => return Ok(()),
            Ok(_) | Err(Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        // First of all, whatever else may fail.
        self.hub.expel(gone.conversation_id, gone.user_id);
        let person = self.people.summary(gone.user_id).await?;
        let happening = Happening::ParticipantRemoved { person, removed_by: gone.removed_by };
        let frame = self.hub.frame(gone.conversation_id, event.at, happening);
        self.hub.tell_topic(gone.conversation_id, &frame);
        self.hub.tell_people(&[gone.user_id], &frame);
        Ok(())
    }
}
