use std::sync::Arc;

use alivio_conversations::ConversationCreated;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells every device of the participants that there is a new conversation.
pub(super) struct React {
    hub: Arc<Hub>,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ConversationCreated::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let created: ConversationCreated = event.read()?;
        let happening = Happening::ConversationCreated { created_by: created.created_by };
        let frame = self.hub.frame(created.conversation_id, event.at, happening);
        self.hub.tell_people(&created.participants, &frame);
        Ok(())
    }
}
