use std::sync::Arc;

use alivio_conversations::ParticipantAdded;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};
use crate::people::PeopleDirectory;

/// Tells those in the conversation, and every device of the one who came.
pub(super) struct React {
    hub: Arc<Hub>,
    people: PeopleDirectory,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>, people: PeopleDirectory) -> Self {
        Self { hub, people }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        ParticipantAdded::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let added: ParticipantAdded = event.read()?;
        let person = self.people.summary(added.user_id).await?;
        let happening = Happening::ParticipantJoined { person, added_by: added.added_by };
        let frame = self.hub.frame(added.conversation_id, event.at, happening);
        self.hub.tell_topic(added.conversation_id, &frame);
        self.hub.tell_people(&[added.user_id], &frame);
        Ok(())
    }
}
