use std::sync::Arc;

use alivio_files::FileQuarantined;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells whoever uploaded a file that nobody will open it. The others have heard nothing of it.
pub(super) struct React {
    hub: Arc<Hub>,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        FileQuarantined::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let FileQuarantined { file_id, conversation_id, uploader_id, state } = event.read()?;
        let what = Happening::FileQuarantined { file_id, conversation_id, uploader_id, state: state.into() };
        self.hub.tell_people(&[uploader_id], &self.hub.frame(None, event.at, what));
        Ok(())
    }
}
