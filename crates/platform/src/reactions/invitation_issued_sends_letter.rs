use alivio_accounts::{InvitationIssued, Invitations};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Sends the invitation.
pub(super) struct React(Invitations);

impl React {
    pub(super) const fn new(invitations: Invitations) -> Self {
        Self(invitations)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        InvitationIssued::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: InvitationIssued = event.read()?;
        Ok(self.0.send_letter(event.id, happened.invitation_id).await?)
    }
}
