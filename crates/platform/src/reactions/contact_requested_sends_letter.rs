use alivio_accounts::ContactRequested;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Tells people that someone asks to become their contact. Requests that reach nobody are nobody's news.
pub(super) struct React(Correspondence);

impl React {
    pub(super) const fn new(correspondence: Correspondence) -> Self {
        Self(correspondence)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ContactRequested::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: ContactRequested = event.read()?;
        self.0.write(event, happened.to.as_slice(), &Letter::ContactRequested).await
    }
}
