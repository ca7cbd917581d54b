use std::sync::Arc;

use alivio_files::{FileReady, State};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::FileView;
use crate::live::Happening;
use crate::viewers::Viewers;

/// Tells those who may see a file that it can be opened.
pub(super) struct React(pub(super) Viewers);

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileReady::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let ready: FileReady = event.read()?;
        let told =
            |view: Arc<FileView>| (view.file.state == State::Active).then(|| Happening::FileReady { view });
        self.0.show(event, ready.file_id, told).await
    }
}
