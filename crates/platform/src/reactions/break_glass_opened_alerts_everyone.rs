use std::sync::Arc;

use alivio_accounts::Administration;
use alivio_audit::BreakGlassOpened;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells those in the conversation, and every administrator of the clinic but the one who did it (C-59).
pub(super) struct React {
    hub: Arc<Hub>,
    administration: Administration,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>, administration: Administration) -> Self {
        Self { hub, administration }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        BreakGlassOpened::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let opened: BreakGlassOpened = event.read()?;
        let mut people = self.administration.clinic_administrators().await?;
        people.extend(&opened.participants);
        people.sort_unstable();
        people.dedup();
        people.retain(|user| *user != opened.admin_id);
        let happening = Happening::BreakGlass { grant_id: opened.grant_id, admin_id: opened.admin_id };
        let frame = self.hub.frame(opened.conversation_id, event.at, happening);
        self.hub.tell_people(&people, &frame);
        Ok(())
    }
}
