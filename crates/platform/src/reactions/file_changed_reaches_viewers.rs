use std::sync::Arc;

use alivio_files::{Error, FileChanged, Files};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};
use crate::{FileView, PeopleDirectory};

/// Tells those who may see a file what is known of it now: consents, signatures, what may be done with it.
pub(super) struct React {
    hub: Arc<Hub>,
    files: Files,
    people: PeopleDirectory,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>, files: Files, people: PeopleDirectory) -> Self {
        Self { hub, files, people }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileChanged::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let changed: FileChanged = event.read()?;
        let file = match self.files.look(changed.file_id).await {
            Ok(file) => file,
            // It was taken away meanwhile.
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let viewers = self.files.viewers(changed.file_id).await?;
        let uploader = self.people.summary(file.uploader_id).await?;
        let view = Arc::new(FileView { file, uploader });
        let what = Happening::FileUpdated { view, changed_by: changed.changed_by };
        self.hub.tell_people(&viewers, &self.hub.frame(None, event.at, what));
        Ok(())
    }
}
