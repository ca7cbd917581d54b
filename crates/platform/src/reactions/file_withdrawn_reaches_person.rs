use std::sync::Arc;

use alivio_files::FileWithdrawn;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Happening, Hub};

/// Tells the person from whom a file was taken back that it is gone for them.
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
        FileWithdrawn::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let FileWithdrawn { file_id, conversation_id, user_id, withdrawn_by } = event.read()?;
        let what = Happening::FileRemoved { file_id, conversation_id, removed_by: withdrawn_by };
        self.hub.tell_people(&[user_id], &self.hub.frame(None, event.at, what));
        Ok(())
    }
}
