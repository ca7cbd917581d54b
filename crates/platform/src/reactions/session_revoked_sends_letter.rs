use alivio_accounts::{RevocationReason, SessionRevoked};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Tells people that a new sign-in has ended their oldest one, or that one seems to have been copied.
pub(super) struct React(Correspondence);

impl React {
    pub(super) const fn new(correspondence: Correspondence) -> Self {
        Self(correspondence)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        SessionRevoked::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: SessionRevoked = event.read()?;
        let letter = match happened.reason {
            RevocationReason::Evicted => Letter::SessionEvicted,
            RevocationReason::TokenReuse => Letter::TokenReused,
            _ => return Ok(()),
        };
        self.0.write(event, &[happened.user_id], &letter).await
    }
}
