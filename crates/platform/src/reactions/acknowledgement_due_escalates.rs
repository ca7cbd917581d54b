use alivio_conversations::{AcknowledgementDue, Emergencies};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Pages the next level when those of one have not acknowledged in time.
pub(super) struct React {
    emergencies: Emergencies,
}

impl React {
    pub(super) const fn new(emergencies: Emergencies) -> Self {
        Self { emergencies }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        AcknowledgementDue::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        Ok(self.emergencies.escalate(&event.read()?).await?)
    }
}
