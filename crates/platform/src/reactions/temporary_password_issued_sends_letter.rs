use alivio_accounts::{Invitations, TemporaryPasswordIssued};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Sends the temporary password.
pub(super) struct React(Invitations);

impl React {
    pub(super) const fn new(invitations: Invitations) -> Self {
        Self(invitations)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        TemporaryPasswordIssued::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: TemporaryPasswordIssued = event.read()?;
        Ok(self.0.send_temporary_password(event.id, happened.user_id, happened.secret_id).await?)
    }
}
