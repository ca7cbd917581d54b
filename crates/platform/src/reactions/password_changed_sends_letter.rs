use alivio_accounts::{PasswordChanged, Passwords};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Tells the owner that their password was changed: it may not have been them.
pub(super) struct React(Passwords);

impl React {
    pub(super) const fn new(passwords: Passwords) -> Self {
        Self(passwords)
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        PasswordChanged::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let happened: PasswordChanged = event.read()?;
        Ok(self.0.send_changed(event.id, happened.user_id).await?)
    }
}
