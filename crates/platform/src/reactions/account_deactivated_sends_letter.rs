use alivio_accounts::{RevocationReason, SessionsRevoked};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Tells people that their account was switched off.
pub(super) struct React(Correspondence);

impl React {
    pub(super) const fn new(correspondence: Correspondence) -> Self {
        Self(correspondence)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        SessionsRevoked::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: SessionsRevoked = event.read()?;
        if happened.reason != RevocationReason::Deactivated {
            return Ok(());
        }
        self.0.write(event, &[happened.user_id], &Letter::AccountDeactivated).await
    }
}
