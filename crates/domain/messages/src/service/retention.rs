use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, DataKeyId, IdSource};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{AuditEntry, Clock, Effects, Event, Origin, Sealer};

use crate::{ContentDestroyed, Error, Shredded, Shredder, Shredding};

/// What [`Retention`] needs.
#[derive(Clone)]
pub struct RetentionPorts {
    /// Whoever destroys.
    pub shredder: Arc<dyn Shredder>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// How long what was said is kept. For operators: nothing here asks who is calling.
#[derive(Clone)]
pub struct Retention {
    ports: RetentionPorts,
}

impl Retention {
    /// Retention over `ports`.
    pub const fn new(ports: RetentionPorts) -> Self {
        Self { ports }
    }

    /// Destroys what was said in a conversation, for ever: its keys, and what it was found by. It is closed, and its
    /// messages stay as tombstones. `reason` is a code, for the audit trail. A conversation about care is left alone
    /// unless `care_too`: its words belong to the record, which the law says how long to keep.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn shred(
        &self,
        conversation_id: ConversationId,
        reason: &'static str,
        care_too: bool,
    ) -> Result<Shredded, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let mut entry =
            AuditEntry::from_origin(&*p.ids, now, &Origin::default(), "conversation.content_destroyed")
                .on("conversation", conversation_id.uuid());
        entry.reason = Some(reason);
        let event = Event::new(&*p.ids, now, &ContentDestroyed { conversation_id });
        let shredding = Shredding {
            conversation_id,
            tombstone: DataKeyId::generate(&*p.ids),
            care_too,
            now,
            effects: Effects::default().event(event).audit(entry),
        };
        let shredded = p.shredder.shred(&shredding).await?;
        self.forget(conversation_id).await;
        Ok(shredded)
    }

    /// Forgets the keys of a conversation whose content was destroyed. Other nodes do so within the quarter of an
    /// hour for which keys are remembered.
    pub async fn forget(&self, conversation: ConversationId) {
        self.ports.sealer.forget(Scope::Conversation(conversation)).await;
    }
}
