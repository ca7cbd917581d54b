use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alivio_kernel::ids::UserId;
use alivio_messages::{Error, Pace, SentElsewhere, Step, Taken};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use super::{Hint, Nodes};

/// How long nodes do not know of what was sent through another.
const MOMENT: Duration = Duration::from_millis(100);
/// So many people are named in one call.
const LIST: usize = 1000;

/// The pace of people, whichever node they send through.
///
/// Each node counts what is sent through it, and tells the others a moment later how much that was. Nobody waits for
/// that, and it is little to tell, however much is sent. What passed too much in that moment, the others count as well:
/// less passes afterwards. Nodes that do not hear each other count by themselves.
pub(crate) struct SharedPace {
    here: Arc<dyn Pace>,
    /// What the others were not told yet: from whom, whether for emergencies, and how many.
    untold: Mutex<HashMap<(UserId, bool), u32>>,
    filled: Notify,
}

impl SharedPace {
    pub(crate) fn new(here: Arc<dyn Pace>) -> Self {
        Self { here, untold: Mutex::default(), filled: Notify::new() }
    }

    /// Tells the others what was sent here, until `stop` turns true.
    pub(super) async fn tell(&self, nodes: &Nodes, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            tokio::select! {
                () = self.filled.notified() => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep(MOMENT).await;
            let untold: Vec<_> = std::mem::take(&mut *self.untold()).into_iter().collect();
            for part in untold.chunks(LIST) {
                let sent = part.iter().filter(|(_, count)| *count > 0);
                let sent = sent.map(|((user, emergency), count)| (*user, *emergency, *count)).collect();
                nodes.say(nodes.own, Hint::Sent { sent });
            }
        }
    }

    /// Another node has told what was sent there.
    pub(super) async fn heard(&self, sent: Vec<(UserId, bool, u32)>, at: DateTime<Utc>) {
        for (sender, emergency, count) in sent {
            if let Err(error) = self.here.note(&SentElsewhere { sender, emergency, count, at }).await {
                tracing::warn!(error = %error, "live.pace_not_noted");
            }
        }
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<(UserId, bool), u32>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pace for SharedPace {
    async fn take(&self, step: &Step) -> Result<Taken, Error> {
        let taken = self.here.take(step).await?;
        if matches!(taken, Taken::Passed { .. }) {
            let mut untold = self.untold();
            *untold.entry((step.sender, step.emergency)).or_default() += 1;
            drop(untold);
            self.filled.notify_one();
        }
        Ok(taken)
    }

    async fn give_back(&self, step: &Step) -> Result<(), Error> {
        // If the others were told already, they count one too many for a minute.
        if let Some(count) = self.untold().get_mut(&(step.sender, step.emergency)) {
            *count = count.saturating_sub(1);
        }
        self.here.give_back(step).await
    }

    async fn note(&self, elsewhere: &SentElsewhere) -> Result<(), Error> {
        self.here.note(elsewhere).await
    }
}
