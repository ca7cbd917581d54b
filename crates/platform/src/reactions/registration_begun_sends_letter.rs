use alivio_accounts::{RegistrationBegun, Registrations};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Asks whoever signed up to confirm their address, or tells them that it has an account.
pub(super) struct React(Registrations);

impl React {
    pub(super) const fn new(registrations: Registrations) -> Self {
        Self(registrations)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        RegistrationBegun::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: RegistrationBegun = event.read()?;
        Ok(self.0.send_letter(event.id, happened.registration_id).await?)
    }
}
