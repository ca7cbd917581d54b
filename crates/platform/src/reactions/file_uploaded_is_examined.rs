use std::time::Duration;

use alivio_files::{FileUploaded, Files};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// A reaction must have an end; the chore has all the time that a large file takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has a file examined as soon as it is there. Should that take too long or fail, a chore comes by.
pub(super) struct React {
    files: Files,
}

impl React {
    pub(super) const fn new(files: Files) -> Self {
        Self { files }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileUploaded::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let uploaded: FileUploaded = event.read()?;
        match tokio::time::timeout(PATIENCE, self.files.examine(Some(uploaded.file_id))).await {
            Ok(Ok(_)) => {}
            // It is due again by itself: trying the event again would count for nothing.
            Ok(Err(error)) => {
                tracing::warn!(error = %error, file.id = %uploaded.file_id, "files.not_examined");
            }
            Err(_) => self.files.give_back(uploaded.file_id).await?,
        }
        Ok(())
    }
}
