use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{ContentDestroyed, Search};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Takes out of the index what was put into it meanwhile.
pub(super) struct React {
    search: Search,
}

impl React {
    pub(super) const fn new(search: Search) -> Self {
        Self { search }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ContentDestroyed::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let destroyed: ContentDestroyed = event.read()?;
        Ok(self.search.forget(destroyed.conversation_id).await?)
    }
}
