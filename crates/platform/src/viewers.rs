use std::sync::Arc;

use alivio_files::{Error, Files};
use alivio_kernel::ids::FileId;
use alivio_kernel::{BoxError, Event};

use crate::live::{Happening, Hub};
use crate::{FileView, PeopleDirectory};

/// Tells those who may see a file of it.
pub(crate) struct Viewers {
    pub(crate) hub: Arc<Hub>,
    pub(crate) files: Files,
    pub(crate) people: PeopleDirectory,
}

impl Viewers {
    /// Tells what has happened to a file. Told by each socket in its own words: to those of a single conversation it
    /// matters which that is.
    pub(crate) async fn tell(&self, event: &Event, file: FileId, what: Happening) -> Result<(), BoxError> {
        let viewers = self.files.viewers(file).await?;
        self.hub.tell_people(&viewers, &self.hub.frame(None, event.at, what));
        Ok(())
    }

    /// Tells what `of` makes of a file as it is now, if anything, unless it was taken away meanwhile.
    pub(crate) async fn show(
        &self,
        event: &Event,
        file: FileId,
        of: impl FnOnce(Arc<FileView>) -> Option<Happening> + Send,
    ) -> Result<(), BoxError> {
        let file = match self.files.look(file).await {
            Ok(file) => file,
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let id = file.id;
        let uploader = self.people.summary(file.uploader_id).await?;
        match of(Arc::new(FileView { file, uploader })) {
            Some(what) => self.tell(event, id, what).await,
            None => Ok(()),
        }
    }
}
