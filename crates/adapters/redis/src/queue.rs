use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use alivio_kernel::ids::Uuid;
use alivio_metrics::{Direction, redis as metrics};
use tokio::sync::Notify;

use crate::SHARDS;

/// Calls that may wait while Redis is away.
const ROOM: usize = 4096;
/// Calls that are sent at once.
const GULP: usize = 256;

/// A call on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) channel: String,
    pub(crate) hint: Vec<u8>,
}

/// What waits to be called; the oldest gives way.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<Call>>,
    filled: Notify,
}

impl Queue {
    pub(crate) fn push(&self, about: Uuid, hint: Vec<u8>) {
        let call = Call { channel: channel(shard(about)), hint };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Said twice in a row, it says nothing more.
        if waiting.back() == Some(&call) {
            return;
        }
        if waiting.len() == ROOM {
            waiting.pop_front();
            metrics::DROPPED.of(Direction::Out).increment(1);
        }
        waiting.push_back(call);
        show(&waiting);
        drop(waiting);
        self.filled.notify_one();
    }

    /// The next calls, once there are any. They are taken: what cannot be sent is lost.
    pub(crate) async fn take(&self) -> Vec<Call> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let count = waiting.len().min(GULP);
                if count > 0 {
                    let taken = waiting.drain(..count).collect();
                    show(&waiting);
                    return taken;
                }
            }
            self.filled.notified().await;
        }
    }
}

fn show(waiting: &VecDeque<Call>) {
    metrics::WAITING.set(u32::try_from(waiting.len()).unwrap_or(u32::MAX));
}

fn shard(about: Uuid) -> u8 {
    // The end of an id is random, its beginning is the time.
    about.into_bytes()[15] % SHARDS
}

pub(crate) fn channel(shard: u8) -> String {
    format!("alivio:nodes:{{{shard}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_twice_in_a_row_is_called_once() {
        let queue = Queue::default();
        for hint in [1, 1, 2, 1] {
            queue.push(Uuid::nil(), vec![hint]);
        }
        let hints: Vec<_> = queue.take().await.into_iter().map(|call| call.hint).collect();
        assert_eq!(hints, [[1], [2], [1]]);
    }

    #[tokio::test]
    async fn the_oldest_gives_way_and_the_order_stays() {
        let queue = Queue::default();
        for n in 0..=ROOM {
            queue.push(Uuid::nil(), n.to_le_bytes().to_vec());
        }
        let mut taken = Vec::new();
        while taken.len() < ROOM {
            taken.extend(queue.take().await);
        }
        let expected: Vec<_> = (1..=ROOM).map(|n| n.to_le_bytes().to_vec()).collect();
        assert_eq!(taken.into_iter().map(|call| call.hint).collect::<Vec<_>>(), expected);
    }
}
