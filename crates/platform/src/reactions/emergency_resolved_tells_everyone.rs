use std::sync::Arc;

use alivio_conversations::EmergencyResolved;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells those who listen in the conversation that it is over and closed.
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
        EmergencyResolved::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let done: EmergencyResolved = event.read()?;
        let what =
            Happening::EmergencyResolved { emergency_id: done.emergency_id, resolved_by: done.resolved_by };
        let frame = self.hub.frame(done.conversation_id, event.at, what);
        self.hub.tell_topic(done.conversation_id, &frame);
        Ok(())
    }
}
