use alivio_accounts::Administration;
use alivio_files::ManyDownloaded;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Writes to every administrator of the clinic that someone has downloaded many files in a short time (S0-234). Who and
/// which is in the audit trail, not in the letter.
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
        ManyDownloaded::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let administrators = self.administration.clinic_administrators().await?;
        self.correspondence.write(event, &administrators, &Letter::ManyDownloaded).await
    }
}
