use alivio_files::FileAnnotated;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::Happening;
use crate::viewers::Viewers;

/// Tells those who may see a file that something was drawn over it. What, they ask for.
pub(super) struct React(pub(super) Viewers);

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileAnnotated::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let annotated: FileAnnotated = event.read()?;
        self.0.tell(event, annotated.file_id, Happening::FileAnnotated(annotated)).await
    }
}
