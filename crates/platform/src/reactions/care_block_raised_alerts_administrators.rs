use alivio_accounts::{Administration, CareBlockRaised};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_notifications::Letter;
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::correspondence::Correspondence;

/// Writes to every administrator of the clinic that a block stands in the way of care (C-42). Who blocks whom is not in
/// the letter.
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
        CareBlockRaised::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let administrators = self.administration.clinic_administrators().await?;
        self.correspondence.write(event, &administrators, &Letter::CareBlockRaised).await
    }
}
