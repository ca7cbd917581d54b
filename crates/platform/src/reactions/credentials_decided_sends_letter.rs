use alivio_accounts::{CredentialStatus, CredentialsDecided};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Tells professionals what became of their credentials.
pub(super) struct React(Correspondence);

impl React {
    pub(super) const fn new(correspondence: Correspondence) -> Self {
        Self(correspondence)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        CredentialsDecided::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: CredentialsDecided = event.read()?;
        let letter = match happened.status {
            CredentialStatus::Verified => Letter::CredentialsVerified,
            CredentialStatus::Rejected => Letter::CredentialsRejected,
            CredentialStatus::Unverified | CredentialStatus::Submitted => return Ok(()),
        };
        self.0.write(event, &[happened.user_id], &letter).await
    }
}
