use alivio_accounts::UnusualSignIn;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Tells people that someone signed in from where they have not been of late.
pub(super) struct React(Correspondence);

impl React {
    pub(super) const fn new(correspondence: Correspondence) -> Self {
        Self(correspondence)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        UnusualSignIn::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: UnusualSignIn = event.read()?;
        self.0.write(event, &[happened.user_id], &Letter::UnusualSignIn).await
    }
}
