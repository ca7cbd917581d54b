use std::sync::Arc;

use alivio_files::{Error, FileReady, Files, State};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};
use crate::{FileView, PeopleDirectory};

/// Tells those who may see a file that it can be opened.
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
        FileReady::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let ready: FileReady = event.read()?;
        let file = match self.files.look(ready.file_id).await {
            Ok(file) if file.state == State::Active => file,
            // It was taken away meanwhile.
            Ok(_) | Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let viewers = self.files.viewers(ready.file_id).await?;
        let uploader = self.people.summary(ready.uploader_id).await?;
        let what = Happening::FileReady { view: Arc::new(FileView { file, uploader }) };
        // Told by each socket in its own words: to those of a single conversation it matters which that is.
        self.hub.tell_people(&viewers, &self.hub.frame(None, event.at, what));
        Ok(())
    }
}
