use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{Messages, ScheduledMessageDue};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Sends what was put off, when its time has come.
pub(super) struct React {
    messages: Messages,
}

impl React {
    pub(super) const fn new(messages: Messages) -> Self {
        Self { messages }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ScheduledMessageDue::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let due: ScheduledMessageDue = event.read()?;
        Ok(self.messages.dispatch(due.id).await?)
    }
}
