use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::IdSource;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Whoever is told to come back later comes after so long at the earliest …
const LATER: Duration = Duration::from_secs(5);
/// … and so much later at the most: not all at the same moment.
const SPREAD_MS: u64 = 15_000;

/// How many devices begin to listen at a time, and how long the others wait.
#[derive(Debug, Clone, Copy)]
pub struct DoorPolicy {
    /// So many at a time. More would only make each of them slower.
    pub at_once: usize,
    /// Whoever has waited for so long is told to come back later.
    pub patience: Duration,
}

/// Lets in the devices that begin to listen, in the order in which they came.
///
/// To listen is to read from the log what was missed. When everyone comes back at once, the many wait here, where it costs
/// nothing, and not for the database, where they would stand in the way of all else.
pub(crate) struct Door {
    places: Arc<Semaphore>,
    patience: Duration,
    ids: Arc<dyn IdSource>,
}

/// A place inside; free again once it is dropped.
#[derive(Debug)]
pub struct Entry {
    _place: OwnedSemaphorePermit,
}

/// There are too many: come back after this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("come back in {} s", .0.as_secs())]
pub struct ComeBack(pub Duration);

impl Door {
    pub(crate) fn new(policy: DoorPolicy, ids: Arc<dyn IdSource>) -> Self {
        let DoorPolicy { at_once, patience } = policy;
        Self { places: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))), patience, ids }
    }

    /// Waits for one's turn.
    pub(super) async fn enter(&self) -> Result<Entry, ComeBack> {
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.patience, place).await {
            Ok(Ok(place)) => Ok(Entry { _place: place }),
            // The door is never closed for good.
            Ok(Err(_)) | Err(_) => Err(self.later()),
        }
    }

    /// When whoever cannot be served now is to come back.
    pub(super) fn later(&self) -> ComeBack {
        // The last bytes are random.
        let [.., high, low] = self.ids.uuid().into_bytes();
        let share = u64::from(u16::from_be_bytes([high, low]));
        ComeBack(LATER + Duration::from_millis(SPREAD_MS * share / u64::from(u16::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use alivio_kernel::SystemIds;

    use super::*;

    fn door(at_once: usize) -> Door {
        let policy = DoorPolicy { at_once, patience: Duration::from_secs(20) };
        Door::new(policy, Arc::new(SystemIds))
    }

    #[tokio::test(start_paused = true)]
    async fn they_enter_in_the_order_in_which_they_came() {
        let door = Arc::new(door(1));
        let inside = door.enter().await.unwrap();
        let (told, mut entered) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..5 {
            let (door, told) = (Arc::clone(&door), told.clone());
            tokio::spawn(async move {
                let _inside = door.enter().await.unwrap();
                told.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        assert!(entered.try_recv().is_err());
        drop(inside);
        for number in 0..5 {
            assert_eq!(entered.recv().await, Some(number));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_is_told_when_to_come_back_and_not_all_at_once() {
        let door = door(1);
        let inside = door.enter().await.unwrap();
        let mut told = HashSet::new();
        for _ in 0..8 {
            let ComeBack(after) = door.enter().await.unwrap_err();
            assert!((LATER..=LATER + Duration::from_millis(SPREAD_MS)).contains(&after), "{after:?}");
            told.insert(after);
        }
        assert!(told.len() > 1, "{told:?}");
        drop(inside);
        assert!(door.enter().await.is_ok(), "whoever gave up holds no place");
    }
}
