use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alivio_accounts::{BlockStore, Error};
use alivio_kernel::Caller;
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_messages::{Marks, Rooms};
use moka::future::Cache;

/// A block that was raised on another node may go unheard here for so long. It stops messages at once everywhere:
/// the log looks itself.
const FRESH: Duration = Duration::from_secs(5);
const CAPACITY: u64 = 100_000;

/// Which direct conversations are silenced by a block, for what passes without being stored: typing, receipts.
pub(crate) struct Silence {
    blocks: Arc<dyn BlockStore>,
    rooms: Arc<dyn Rooms>,
    known: Cache<ConversationId, bool>,
    /// Counts the blocks raised and lifted here. An answer from before one is not kept.
    changes: AtomicU64,
}

impl Silence {
    pub(crate) fn new(blocks: Arc<dyn BlockStore>, rooms: Arc<dyn Rooms>) -> Self {
        let known = Cache::builder().max_capacity(CAPACITY).time_to_live(FRESH).build();
        Self { blocks, rooms, known, changes: AtomicU64::new(0) }
    }

    /// Whether what is said in `conversation` reaches nobody but the one who says it.
    pub(crate) async fn holds(&self, conversation: ConversationId) -> Result<bool, Error> {
        if let Some(known) = self.known.get(&conversation).await {
            return Ok(known);
        }
        let before = self.changes.load(Ordering::SeqCst);
        let silenced = self.blocks.silences(conversation).await?;
        self.known.insert(conversation, silenced).await;
        if self.changes.load(Ordering::SeqCst) != before {
            self.known.invalidate(&conversation).await;
        }
        Ok(silenced)
    }

    /// Leaves of `marks` what the caller may see.
    pub(crate) async fn hush(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        marks: &mut Vec<Marks>,
    ) -> Result<(), Error> {
        let is_blocked = self.holds(conversation).await?;
        let room = self.rooms.room(conversation).await.map_err(|e| Error::Unavailable(Box::new(e)))?;
        Marks::hide(marks, caller.user_id, is_blocked, room.is_some_and(|room| room.read_receipts));
        Ok(())
    }

    /// Those of `others` who see nothing of the caller in their direct conversation, nor the caller of them.
    pub(crate) async fn between(&self, caller: &Caller, others: &[UserId]) -> Result<Vec<UserId>, Error> {
        if others.is_empty() { Ok(Vec::new()) } else { self.blocks.between(caller.user_id, others).await }
    }

    /// A block was raised or lifted.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use alivio_accounts::MockBlockStore;
    use alivio_kernel::ids::Uuid;

    use super::*;

    #[tokio::test]
    async fn it_is_asked_for_once_until_something_changes() {
        let mut blocks = MockBlockStore::new();
        let mut answers = [false, true].into_iter();
        blocks.expect_silences().times(2).returning(move |_| Ok(answers.next().unwrap()));
        let silence = Silence::new(Arc::new(blocks), Arc::new(alivio_messages::MockRooms::new()));
        let conversation = ConversationId::from(Uuid::nil());
        assert!(!silence.holds(conversation).await.unwrap());
        assert!(!silence.holds(conversation).await.unwrap());
        silence.changed();
        assert!(silence.holds(conversation).await.unwrap());
        assert!(silence.holds(conversation).await.unwrap());
    }
}
