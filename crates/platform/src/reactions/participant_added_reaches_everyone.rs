use std::sync::Arc;

use alivio_conversations::ParticipantAdded;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells those in the conversation, and every device of the one who came.
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
        ParticipantAdded::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let added: ParticipantAdded = event.read()?;
        let happening = Happening::ParticipantJoined { user_id: added.user_id, added_by: added.added_by };
        let frame = self.hub.frame(added.conversation_id, event.at, happening);
        self.hub.tell_topic(added.conversation_id, &frame);
        self.hub.tell_people(&[added.user_id], &frame);
        Ok(())
    }
}
