use std::sync::Arc;

use alivio_files::{FileDeleted, Files};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells those who could see a file that it is gone.
pub(super) struct React {
    hub: Arc<Hub>,
    files: Files,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>, files: Files) -> Self {
        Self { hub, files }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileDeleted::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let FileDeleted { file_id, conversation_id, deleted_by } = event.read()?;
        let viewers = self.files.viewers(file_id).await?;
        let what = Happening::FileRemoved { file_id, conversation_id, removed_by: deleted_by };
        self.hub.tell_people(&viewers, &self.hub.frame(None, event.at, what));
        Ok(())
    }
}
