use std::sync::Arc;

use alivio_conversations::EmergencyPaged;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Alerts every device of those who are paged.
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
        EmergencyPaged::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let paged: EmergencyPaged = event.read()?;
        let what = Happening::EmergencyPaged {
            emergency_id: paged.emergency_id,
            opened_by: paged.opened_by,
            level: paged.level,
        };
        let frame = self.hub.frame(paged.conversation_id, event.at, what);
        self.hub.tell_people(&paged.people, &frame);
        Ok(())
    }
}
