use alivio_accounts::SecondFactorChanged;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Tells people that their sign-in takes a second factor from now on, or no longer does.
pub(super) struct React(Correspondence);

impl React {
    pub(super) const fn new(correspondence: Correspondence) -> Self {
        Self(correspondence)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        SecondFactorChanged::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: SecondFactorChanged = event.read()?;
        let letter = if happened.is_on { Letter::SecondFactorOn } else { Letter::SecondFactorOff };
        self.0.write(event, &[happened.user_id], &letter).await
    }
}
