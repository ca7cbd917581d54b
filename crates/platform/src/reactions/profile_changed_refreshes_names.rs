use alivio_accounts::ProfileChanged;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::people::PeopleDirectory;

/// Shows the new names and picture beside what the person says.
pub(super) struct React {
    people: PeopleDirectory,
}

impl React {
    pub(super) const fn new(people: PeopleDirectory) -> Self {
        Self { people }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ProfileChanged::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let changed: ProfileChanged = event.read()?;
        self.people.forget(changed.user_id).await;
        Ok(())
    }
}
