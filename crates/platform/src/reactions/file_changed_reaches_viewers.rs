use alivio_files::FileChanged;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::Happening;
use crate::viewers::Viewers;

/// Tells those who may see a file what is known of it now: consents, signatures, what may be done with it.
pub(super) struct React(pub(super) Viewers);

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileChanged::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let FileChanged { file_id, changed_by, .. } = event.read()?;
        self.0.show(event, file_id, |view| Some(Happening::FileUpdated { view, changed_by })).await
    }
}
