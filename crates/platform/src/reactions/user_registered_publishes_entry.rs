use alivio_accounts::{Error, Invitations, Profiles, UserRegistered, has_entry};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Gives a new professional their entry in the directory, and submits the licence they stated.
pub(super) struct React {
    invitations: Invitations,
    profiles: Profiles,
}

impl React {
    pub(super) const fn new(invitations: Invitations, profiles: Profiles) -> Self {
        Self { invitations, profiles }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        UserRegistered::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let UserRegistered { user_id, role } = event.read()?;
        if !has_entry(role) {
            return Ok(());
        }
        let stated = self.invitations.stated(user_id).await?.unwrap_or_default();
        match self.profiles.publish(user_id, stated).await {
            // Their role is another by now.
            Err(Error::NotFound) => Ok(()),
            published => Ok(published?),
        }
    }
}
