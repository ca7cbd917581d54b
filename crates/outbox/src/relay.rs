use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::EventId;
use alivio_kernel::{BoxError, Clock, Event};
use async_trait::async_trait;
use chrono::TimeDelta;
use tokio::sync::{Notify, watch};

use crate::{Claimed, OutboxStore};

/// How long a claimed event is kept from other relays.
pub const LEASE: TimeDelta = TimeDelta::seconds(30);
/// After so many failures an event is set aside.
pub const MAX_ATTEMPTS: i32 = 12;
/// How many events are claimed at once.
const BATCH: i64 = 500;
/// How long events gather after the first has woken us: one batch costs as much as one event.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait when nothing woke us: another node may have stored something.
const IDLE: Duration = Duration::from_millis(500);

/// A consequence of an event.
#[async_trait]
pub trait Reaction: Send + Sync {
    /// The one kind of event it listens to.
    fn kind(&self) -> &'static str;
    /// Handles the event. MUST be idempotent: the same event may come again.
    async fn react(&self, event: &Event) -> Result<(), BoxError>;
}

/// Time to wait before attempt `attempts + 1`: doubling from one second, at most an hour.
pub fn backoff(attempts: i32) -> TimeDelta {
    TimeDelta::seconds(1_i64 << attempts.saturating_sub(1).clamp(0, 12)).min(TimeDelta::hours(1))
}

/// Takes events from the store to the reactions.
pub struct Relay {
    store: Arc<dyn OutboxStore>,
    clock: Arc<dyn Clock>,
    reactions: HashMap<&'static str, Vec<Arc<dyn Reaction>>>,
    wake: Arc<Notify>,
}

impl Relay {
    /// A relay for `reactions`. `wake` cuts the waiting short; whoever stores an event rings it.
    pub fn new(
        store: Arc<dyn OutboxStore>,
        clock: Arc<dyn Clock>,
        reactions: Vec<Arc<dyn Reaction>>,
        wake: Arc<Notify>,
    ) -> Self {
        let mut by_kind: HashMap<_, Vec<_>> = HashMap::new();
        for reaction in reactions {
            by_kind.entry(reaction.kind()).or_default().push(reaction);
        }
        Self { store, clock, reactions: by_kind, wake }
    }

    /// Handles all that is due and returns how many events that were.
    ///
    /// # Errors
    /// The store's, when it cannot be reached. Failures of reactions are not errors: they postpone.
    pub async fn drain(&self) -> Result<usize, BoxError> {
        let mut handled = 0;
        loop {
            let now = self.clock.now();
            let batch = self.store.claim(now, now + LEASE, BATCH).await?;
            if batch.is_empty() {
                return Ok(handled);
            }
            handled += batch.len();
            let mut done = Vec::with_capacity(batch.len());
            for claimed in &batch {
                match self.handle(&claimed.event).await {
                    Ok(()) => done.push(claimed.event.id),
                    Err(error) => self.postpone(claimed, &*error).await?,
                }
            }
            self.complete(&done).await?;
        }
    }

    /// Runs until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.drain().await {
                tracing::warn!(error = %error, "outbox.unavailable");
            }
            tokio::select! {
                () = self.wake.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(IDLE) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn handle(&self, event: &Event) -> Result<(), BoxError> {
        for reaction in self.reactions.get(event.kind.as_ref()).into_iter().flatten() {
            reaction.react(event).await?;
        }
        Ok(())
    }

    async fn complete(&self, done: &[EventId]) -> Result<(), BoxError> {
        if done.is_empty() { Ok(()) } else { self.store.complete(done).await }
    }

    async fn postpone(
        &self,
        claimed: &Claimed,
        error: &(dyn std::error::Error + Send + Sync),
    ) -> Result<(), BoxError> {
        let due = (claimed.attempts < MAX_ATTEMPTS).then(|| self.clock.now() + backoff(claimed.attempts));
        tracing::error!(
            event.id = %claimed.event.id, event.kind = %claimed.event.kind,
            attempts = claimed.attempts, dead = due.is_none(), %error, "outbox.reaction_failed"
        );
        self.store.postpone(claimed.event.id, due).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use alivio_kernel::{DomainEvent, ManualClock, SequentialIds};
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Happened {}
    impl DomainEvent for Happened {
        const KIND: &'static str = "tests.happened";
    }

    /// Event, when it is due (`None` for a dead letter), attempts.
    type Row = (Event, Option<DateTime<Utc>>, i32);

    #[derive(Default)]
    struct Memory(Mutex<Vec<Row>>);

    #[async_trait]
    impl OutboxStore for Memory {
        async fn claim(
            &self,
            now: DateTime<Utc>,
            until: DateTime<Utc>,
            _: i64,
        ) -> Result<Vec<Claimed>, BoxError> {
            let mut rows = self.0.lock().unwrap();
            Ok(rows
                .iter_mut()
                .filter(|(_, due, _)| due.is_some_and(|due| due <= now))
                .map(|(event, due, attempts)| {
                    *due = Some(until);
                    *attempts += 1;
                    Claimed { event: event.clone(), attempts: *attempts }
                })
                .collect())
        }
        async fn complete(&self, ids: &[EventId]) -> Result<(), BoxError> {
            self.0.lock().unwrap().retain(|(event, ..)| !ids.contains(&event.id));
            Ok(())
        }
        async fn postpone(&self, id: EventId, at: Option<DateTime<Utc>>) -> Result<(), BoxError> {
            for (event, due, _) in self.0.lock().unwrap().iter_mut() {
                if event.id == id {
                    *due = at;
                }
            }
            Ok(())
        }
    }

    /// Fails the first `failures` times.
    struct Flaky {
        failures: usize,
        calls: AtomicUsize,
    }
    #[async_trait]
    impl Reaction for Flaky {
        fn kind(&self) -> &'static str {
            Happened::KIND
        }
        async fn react(&self, _: &Event) -> Result<(), BoxError> {
            if self.calls.fetch_add(1, Ordering::Relaxed) < self.failures {
                return Err("not yet".into());
            }
            Ok(())
        }
    }

    fn world(failures: usize) -> (Arc<Memory>, Arc<ManualClock>, Arc<Flaky>, Relay) {
        let (store, clock) = (Arc::new(Memory::default()), Arc::new(ManualClock::default()));
        let event = Event::new(&SequentialIds::default(), clock.now(), &Happened {});
        store.0.lock().unwrap().push((event, Some(clock.now()), 0));
        let flaky = Arc::new(Flaky { failures, calls: AtomicUsize::new(0) });
        let relay = Relay::new(store.clone(), clock.clone(), vec![flaky.clone()], Arc::default());
        (store, clock, flaky, relay)
    }

    #[tokio::test]
    async fn a_handled_event_is_removed() {
        let (store, _, flaky, relay) = world(0);
        assert_eq!(relay.drain().await.unwrap(), 1);
        assert_eq!(flaky.calls.load(Ordering::Relaxed), 1);
        assert!(store.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_failed_event_comes_back_after_its_backoff_and_not_before() {
        let (store, clock, flaky, relay) = world(1);
        relay.drain().await.unwrap();
        assert_eq!(relay.drain().await.unwrap(), 0, "not due yet");
        clock.advance(backoff(1));
        assert_eq!(relay.drain().await.unwrap(), 1);
        assert_eq!(flaky.calls.load(Ordering::Relaxed), 2);
        assert!(store.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_event_that_never_succeeds_is_set_aside_and_kept() {
        let (store, clock, flaky, relay) = world(usize::MAX);
        for _ in 0..MAX_ATTEMPTS + 5 {
            relay.drain().await.unwrap();
            clock.advance(TimeDelta::hours(1));
        }
        assert_eq!(flaky.calls.load(Ordering::Relaxed), usize::try_from(MAX_ATTEMPTS).unwrap());
        let rows = store.0.lock().unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].1, None);
    }

    #[test]
    fn backoff_doubles_up_to_an_hour() {
        assert_eq!(backoff(1), TimeDelta::seconds(1));
        assert_eq!(backoff(4), TimeDelta::seconds(8));
        assert_eq!(backoff(i32::MAX), TimeDelta::hours(1));
    }
}
