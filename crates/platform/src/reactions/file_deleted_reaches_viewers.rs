use alivio_files::FileDeleted;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::Happening;
use crate::viewers::Viewers;

/// Tells those who could see a file that it is gone.
pub(super) struct React(pub(super) Viewers);

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileDeleted::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let FileDeleted { file_id, conversation_id, deleted_by } = event.read()?;
        let what = Happening::FileRemoved { file_id, conversation_id, removed_by: deleted_by };
        self.0.tell(event, file_id, what).await
    }
}
