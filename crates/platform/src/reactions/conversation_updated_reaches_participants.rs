use std::sync::Arc;

use alivio_conversations::{ConversationUpdated, Conversations, Error};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::bridges::RoomsFromConversations;
use crate::live::{Happening, Hub};

/// Tells every device of the participants that a conversation is not what it was; of what someone keeps of it for
/// themselves, their own devices only.
pub(super) struct React {
    hub: Arc<Hub>,
    conversations: Conversations,
    rooms: Arc<RoomsFromConversations>,
}

impl React {
    pub(super) const fn new(
        hub: Arc<Hub>,
        conversations: Conversations,
        rooms: Arc<RoomsFromConversations>,
    ) -> Self {
        Self { hub, conversations, rooms }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ConversationUpdated::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let updated: ConversationUpdated = event.read()?;
        let people = if updated.is_personal {
            vec![updated.updated_by]
        } else {
            self.rooms.forget(updated.conversation_id).await;
            match self.conversations.audience(updated.conversation_id).await {
                Ok(audience) => audience.members,
                Err(Error::NotFound) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        };
        let happening = Happening::ConversationUpdated { updated_by: updated.updated_by };
        let frame = self.hub.frame(updated.conversation_id, event.at, happening);
        self.hub.tell_people(&people, &frame);
        Ok(())
    }
}
