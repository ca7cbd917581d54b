use alivio_files::{FileDestroyed, Files};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Forgets the keys at once, instead of when their time is over.
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
        FileDestroyed::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let destroyed: FileDestroyed = event.read()?;
        self.files.forget(destroyed.file_id).await;
        Ok(())
    }
}
