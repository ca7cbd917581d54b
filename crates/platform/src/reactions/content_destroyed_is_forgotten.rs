use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{ContentDestroyed, Retention, Search};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Forgets the keys at once, instead of when their time is over, and what was put into the index meanwhile.
pub(super) struct React {
    retention: Retention,
    search: Search,
}

impl React {
    pub(super) const fn new(retention: Retention, search: Search) -> Self {
        Self { retention, search }
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
        Ok(self.search.forget(destroyed.conversation_id).await?)
    }
}
