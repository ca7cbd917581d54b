use alivio_accounts::Administration;
use alivio_audit::BreakGlassOpened;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Writes to the patients whose conversation it is, and to every other administrator of the clinic (C-59).
pub(super) struct React {
    administration: Administration,
    correspondence: Correspondence,
}

impl React {
    pub(super) const fn new(administration: Administration, correspondence: Correspondence) -> Self {
        Self { administration, correspondence }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        BreakGlassOpened::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let opened: BreakGlassOpened = event.read()?;
        let mut others = self.administration.clinic_administrators().await?;
        others.retain(|user| *user != opened.admin_id);
        self.correspondence.write(event, &others, &Letter::BreakGlassUsed).await?;
        let patients = self.correspondence.patients(&opened.participants).await?;
        self.correspondence.write(event, &patients, &Letter::ConversationOpenedByAdmin).await
    }
}
