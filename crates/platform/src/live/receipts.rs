use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_messages::{Mark, MarksMoved, Rooms};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::{Happening, Hub, Silence};
use crate::Error;

/// What moves within so long after the first is told together.
const MOMENT: Duration = Duration::from_millis(250);

/// Who has received and read more, gathered before it is told.
///
/// Each message is acknowledged by everyone in its conversation, and each of them hears of it: one by one that would be as
/// many events as the square of them. So the first is told at once, and what comes within a moment after it, together. Of
/// one person's mark only the furthest counts.
pub(super) struct Receipts {
    hub: Arc<Hub>,
    silence: Arc<Silence>,
    rooms: Arc<dyn Rooms>,
    gathered: Gathered,
}

impl Receipts {
    pub(super) fn new(hub: Arc<Hub>, silence: Arc<Silence>, rooms: Arc<dyn Rooms>) -> Self {
        Self { hub, silence, rooms, gathered: Gathered::default() }
    }

    /// Tells of it now, or with others in a moment.
    pub(super) async fn tell(self: &Arc<Self>, moved: &MarksMoved) {
        if self.gathered.keep(moved) {
            return;
        }
        let (receipts, conversation) = (Arc::clone(self), moved.conversation_id);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(MOMENT).await;
                let Some(moved) = receipts.gathered.take(conversation) else { return };
                receipts.tell_all(conversation, moved).await;
            }
        });
        self.tell_all(conversation, vec![*moved]).await;
    }

    async fn tell_all(&self, conversation: ConversationId, moved: Vec<MarksMoved>) {
        // Looked at now, not when it moved: whoever has blocked someone meanwhile hears no more of them.
        let shows_reading = self.shows_reading(conversation).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "live.receipt_not_announced");
            None
        });
        let (mut shown, mut own) = (Vec::new(), Vec::new());
        for mut moved in moved {
            match (shows_reading, moved.mark) {
                (Some(true), _) => shown.push(moved),
                (Some(false), Mark::Delivered) => {
                    moved.marks.read_up_to = 0;
                    shown.push(moved);
                }
                // Their own devices may know.
                (Some(false), Mark::Read) | (None, _) => own.push(moved),
            }
        }
        self.hub.tell_receipts(conversation, &shown);
        for moved in own {
            let frame = self.hub.frame(conversation, moved.at, Happening::MarksMoved(moved));
            self.hub.tell_own(conversation, moved.marks.user_id, &frame);
        }
    }

    /// Whether it is shown who has read what (S0-36); `None` if nothing is shown, as a block stands between the two.
    async fn shows_reading(&self, conversation: ConversationId) -> Result<Option<bool>, Error> {
        let room = self.rooms.room(conversation).await?;
        let is_silent = self.silence.holds(conversation).await?;
        Ok((!is_silent).then(|| room.is_some_and(|room| room.read_receipts)))
    }
}

/// What has moved in the conversations whose moment runs.
#[derive(Default)]
struct Gathered(DashMap<ConversationId, HashMap<(UserId, Mark), MarksMoved>>);

impl Gathered {
    /// Keeps `moved` until the moment is over. If none runs, `false`: then one begins.
    fn keep(&self, moved: &MarksMoved) -> bool {
        match self.0.entry(moved.conversation_id) {
            Entry::Vacant(vacant) => {
                vacant.insert(HashMap::new());
                false
            }
            Entry::Occupied(mut gathered) => {
                let known = gathered.get_mut().entry((moved.marks.user_id, moved.mark)).or_insert(*moved);
                if up_to(moved) > up_to(known) {
                    *known = *moved;
                }
                true
            }
        }
    }

    /// What has gathered, in its order, and the next moment begins; `None` if there was nothing: then none runs any more.
    fn take(&self, conversation: ConversationId) -> Option<Vec<MarksMoved>> {
        let Entry::Occupied(mut gathered) = self.0.entry(conversation) else { return None };
        if gathered.get().is_empty() {
            gathered.remove();
            return None;
        }
        let mut moved: Vec<_> = std::mem::take(gathered.get_mut()).into_values().collect();
        moved.sort_unstable_by_key(|moved| (moved.at, moved.marks.user_id, up_to(moved)));
        Some(moved)
    }
}

/// Where the mark is that moved.
pub(super) const fn up_to(moved: &MarksMoved) -> i64 {
    match moved.mark {
        Mark::Delivered => moved.marks.delivered_up_to,
        Mark::Read => moved.marks.read_up_to,
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;
    use alivio_messages::Marks;
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn moved(user: u128, mark: Mark, to: i64) -> MarksMoved {
        let read_up_to = if mark == Mark::Read { to } else { 0 };
        MarksMoved {
            conversation_id: Uuid::from_u128(1).into(),
            mark,
            marks: Marks { user_id: Uuid::from_u128(user).into(), delivered_up_to: to, read_up_to },
            message_id: Uuid::from_u128(u128::try_from(to).unwrap()).into(),
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(to),
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_of_the_others_the_furthest_of_each() {
        let (gathered, here) = (Gathered::default(), moved(1, Mark::Read, 1).conversation_id);
        assert!(!gathered.keep(&moved(1, Mark::Read, 1)));
        for (user, mark, to) in [
            (2, Mark::Delivered, 5),
            (1, Mark::Read, 4),
            (1, Mark::Delivered, 3),
            (2, Mark::Delivered, 4),
            (1, Mark::Read, 2),
        ] {
            assert!(gathered.keep(&moved(user, mark, to)));
        }
        let told = gathered.take(here).expect("something has moved");
        let expected = [moved(1, Mark::Delivered, 3), moved(1, Mark::Read, 4), moved(2, Mark::Delivered, 5)];
        assert_eq!(told, expected);
        assert!(gathered.keep(&moved(1, Mark::Read, 6)), "the next moment has begun");
        assert_eq!(gathered.take(here), Some(vec![moved(1, Mark::Read, 6)]));
        assert_eq!(gathered.take(here), None, "it was quiet");
        assert!(!gathered.keep(&moved(2, Mark::Delivered, 9)), "the first again");
    }
}
