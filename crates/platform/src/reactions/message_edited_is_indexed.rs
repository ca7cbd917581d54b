use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{MessageEdited, Search};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Lets the message be found by its words of now, and no longer by those of before.
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
        MessageEdited::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        self.react_to_all(&[event]).await
    }

    fn gathers(&self) -> bool {
        true
    }

    async fn react_to_all(&self, events: &[&Event]) -> Result<(), BoxError> {
        let sent = events.iter().map(|event| event.read::<MessageEdited>());
        let messages =
            sent.map(|sent| Ok(sent?.message_id)).collect::<Result<Vec<_>, serde_json::Error>>()?;
        Ok(self.search.index(&messages).await?)
    }
}
