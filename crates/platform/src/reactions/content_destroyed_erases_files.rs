use alivio_files::{Files, Whose};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::ContentDestroyed;
use alivio_outbox::Reaction;
use async_trait::async_trait;

/// Takes away what was uploaded in a conversation whose words were destroyed. What belongs to a record is withheld until
/// it need not be kept.
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
        ContentDestroyed::KIND
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let destroyed: ContentDestroyed = event.read()?;
        let whose = Whose::Conversation(destroyed.conversation_id);
        self.files.erase(whose, "conversation_destroyed", false).await?;
        Ok(())
    }
}
