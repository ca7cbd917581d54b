use std::sync::Arc;

use alivio_conversations::{Conversations, Error, ParticipantRemoved};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Takes the conversation from the sockets of whoever has gone, then tells them and those who stay. An event that
/// comes late, after they were added again, is no longer true and does nothing.
pub(super) struct React {
    hub: Arc<Hub>,
    conversations: Conversations,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>, conversations: Conversations) -> Self {
        Self { hub, conversations }
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
        let happening = Happening::ParticipantRemoved { user_id: gone.user_id, removed_by: gone.removed_by };
        let frame = self.hub.frame(gone.conversation_id, event.at, happening);
        self.hub.expel(gone.conversation_id, gone.user_id);
        self.hub.tell_topic(gone.conversation_id, &frame);
        self.hub.tell_people(&[gone.user_id], &frame);
        Ok(())
    }
}
