use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{MessageDeleted, Search};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Lets the message be found no longer.
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
        MessageDeleted::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        self.react_to_all(&[event]).await
    }

    fn gathers(&self) -> bool {
        true
    }

    async fn react_to_all(&self, events: &[&Event]) -> Result<(), BoxError> {
        let sent = events.iter().map(|event| event.read::<MessageDeleted>());
        let messages =
            sent.map(|sent| Ok(sent?.message_id)).collect::<Result<Vec<_>, serde_json::Error>>()?;
        Ok(self.search.index(&messages).await?)
    }
}
