use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{ContentDestroyed, Retention};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Forgets the keys at once, instead of when their time is over.
pub(super) struct React {
    retention: Retention,
}

impl React {
    pub(super) const fn new(retention: Retention) -> Self {
        Self { retention }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ContentDestroyed::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let destroyed: ContentDestroyed = event.read()?;
        self.retention.forget(destroyed.conversation_id).await;
        Ok(())
    }
}
