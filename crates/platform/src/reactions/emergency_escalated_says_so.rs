use alivio_conversations::{EmergencyNumber, EmergencyPaged};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::SystemEvent;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::automated::{Announcements, emergency_escalated};

/// Says in the conversation that more people have been called.
pub(super) struct React {
    announcements: Announcements,
    number: EmergencyNumber,
}

impl React {
    pub(super) const fn new(announcements: Announcements, number: EmergencyNumber) -> Self {
        Self { announcements, number }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        EmergencyPaged::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let paged: EmergencyPaged = event.read()?;
        if !paged.escalated {
            return Ok(());
        }
        let people = (paged.opened_by, paged.patient_id);
        let words = |language| emergency_escalated(language, self.number.as_str());
        let happened = SystemEvent::new("emergency_escalated").with("emergency_id", paged.emergency_id);
        let name = format!("event:{}", event.id);
        self.announcements.say(paged.conversation_id, people, &name, happened, words).await
    }
}
