use alivio_conversations::EmergencyPaged;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Writes to those who are paged. Who needs help is not in the letter.
pub(super) struct React {
    correspondence: Correspondence,
}

impl React {
    pub(super) const fn new(correspondence: Correspondence) -> Self {
        Self { correspondence }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        EmergencyPaged::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let paged: EmergencyPaged = event.read()?;
        self.correspondence.write(event, &paged.people, &Letter::EmergencyPaged).await
    }
}
