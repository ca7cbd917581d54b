use alivio_accounts::{PasswordResetRequested, Passwords};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Sends the token that resets the password, if the address has an account.
pub(super) struct React(Passwords);

impl React {
    pub(super) const fn new(passwords: Passwords) -> Self {
        Self(passwords)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        PasswordResetRequested::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: PasswordResetRequested = event.read()?;
        Ok(self.0.send_reset(event.id, event.at, &happened).await?)
    }
}
