use std::sync::Arc;

use alivio_files::{FileAnnotated, Files};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells those who may see a file that something was drawn over it. What, they ask for.
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
        FileAnnotated::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let annotated: FileAnnotated = event.read()?;
        let viewers = self.files.viewers(annotated.file_id).await?;
        self.hub.tell_people(&viewers, &self.hub.frame(None, event.at, Happening::FileAnnotated(annotated)));
        Ok(())
    }
}
