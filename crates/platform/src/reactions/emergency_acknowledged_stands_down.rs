use std::sync::Arc;

use alivio_conversations::EmergencyAcknowledged;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells those who were paged that someone takes care of it, and those who listen in the conversation.
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
        EmergencyAcknowledged::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let done: EmergencyAcknowledged = event.read()?;
        let what = Happening::EmergencyAcknowledged {
            emergency_id: done.emergency_id,
            acknowledged_by: done.acknowledged_by,
        };
        let frame = self.hub.frame(done.conversation_id, event.at, what);
        self.hub.tell_everyone(done.conversation_id, &done.paged, &frame);
        Ok(())
    }
}
