use alivio_kernel::ids::MessageId;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{MessageDeleted, MessageEdited, MessageSent, Search};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Lets the message be found by its words of now, and no longer by those of before; not at all, once it is gone.
pub(super) struct React {
    search: Search,
    kind: &'static str,
    message: fn(&Event) -> Result<MessageId, serde_json::Error>,
}

impl React {
    pub(super) fn to_sent(search: Search) -> Self {
        let message = |event: &Event| Ok(event.read::<MessageSent>()?.message_id);
        Self { search, kind: MessageSent::KIND, message }
    }

    pub(super) fn to_edited(search: Search) -> Self {
        let message = |event: &Event| Ok(event.read::<MessageEdited>()?.message_id);
        Self { search, kind: MessageEdited::KIND, message }
    }

    pub(super) fn to_deleted(search: Search) -> Self {
        let message = |event: &Event| Ok(event.read::<MessageDeleted>()?.message_id);
        Self { search, kind: MessageDeleted::KIND, message }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        self.react_to_all(&[event]).await
    }

    fn gathers(&self) -> bool {
        true
    }

    async fn react_to_all(&self, events: &[&Event]) -> Result<(), BoxError> {
        let messages = events.iter().map(|event| (self.message)(event)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.search.index(&messages).await?)
    }
}
