use alivio_conversations::{EmergencyNumber, EmergencyOpened};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::SystemEvent;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::automated::{Announcements, emergency_opened};

/// Says in the conversation that help was called, and whom to call when a life is in danger.
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
        EmergencyOpened::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let opened: EmergencyOpened = event.read()?;
        let people = (opened.opened_by, opened.patient_id);
        let words = |language| emergency_opened(language, self.number.as_str());
        let happened = SystemEvent::new("emergency_opened").with("emergency_id", opened.emergency_id);
        let name = format!("event:{}", event.id);
        self.announcements.say(opened.conversation_id, people, &name, happened, words).await
    }
}
