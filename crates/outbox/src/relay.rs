use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alivio_kernel::ids::EventId;
use alivio_kernel::{BoxError, Clock, Event};
use alivio_metrics::{Handling, outbox};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

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

/// A slow reaction takes no longer; it must begin so early that its lease outlasts it.
pub const SLOWEST: TimeDelta = TimeDelta::seconds(15);
/// So many slow reactions run at once.
const SLOW_AT_ONCE: usize = 16;

/// Fails a reaction with a wish: not again before `wait` has passed.
#[derive(Debug, thiserror::Error)]
#[error("not before {wait:?} have passed")]
pub struct NotBefore {
    /// At least so long, and no more than an hour.
    pub wait: Duration,
    /// Why.
    #[source]
    pub source: BoxError,
}

/// A consequence of an event.
#[async_trait]
pub trait Reaction: Send + Sync {
    /// The one kind of event it listens to.
    fn kind(&self) -> &'static str;
    /// Handles the event. MUST be idempotent: the same event may come again.
    async fn react(&self, event: &Event) -> Result<(), BoxError>;
    /// Whether it asks someone far away, such as a mail server. Such reactions run beside the others, in no certain
    /// order, after those of the same event that are not slow; nobody waits for them. They MUST end within [`SLOWEST`].
    fn is_slow(&self) -> bool {
        false
    }
}

/// Time to wait before attempt `attempts + 1`: doubling from one second, at most an hour.
pub fn backoff(attempts: i32) -> TimeDelta {
    TimeDelta::seconds(1_i64 << attempts.saturating_sub(1).clamp(0, 12)).min(TimeDelta::hours(1))
}

/// Takes events from the store to the reactions.
pub struct Relay {
    hand: Arc<Hand>,
    wake: Arc<Notify>,
    turns: Arc<Semaphore>,
    slow: Mutex<JoinSet<()>>,
}

/// What it takes to handle one event.
struct Hand {
    store: Arc<dyn OutboxStore>,
    clock: Arc<dyn Clock>,
    reactions: HashMap<&'static str, Vec<Arc<dyn Reaction>>>,
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
        Self {
            hand: Arc::new(Hand { store, clock, reactions: by_kind }),
            wake,
            turns: Arc::new(Semaphore::new(SLOW_AT_ONCE)),
            slow: Mutex::default(),
        }
    }

    /// Handles all that is due and returns how many events that were. Slow reactions may still be running.
    ///
    /// # Errors
    /// The store's, when it cannot be reached. Failures of reactions are not errors: they postpone.
    pub async fn drain(&self) -> Result<usize, BoxError> {
        let mut handled = 0;
        loop {
            let now = self.hand.clock.now();
            let batch = self.hand.store.claim(now, now + LEASE, BATCH).await?;
            handled += batch.len();
            let is_last = i64::try_from(batch.len()).is_ok_and(|claimed| claimed < BATCH);
            let mut done = Vec::with_capacity(batch.len());
            for claimed in batch {
                match self.hand.react(&claimed.event, false).await {
                    Err(error) => self.hand.postpone(&claimed, &*error).await?,
                    Ok(()) if self.hand.is_slow(&claimed.event) => self.hand_over(claimed, now + LEASE),
                    Ok(()) => done.push(claimed.event.id),
                }
            }
            self.hand.complete(&done).await?;
            // What was stored meanwhile rings again.
            if is_last {
                return Ok(handled);
            }
        }
    }

    /// Runs until `stop` turns true, and lets the slow reactions that have begun come to their end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.drain().await {
                tracing::warn!(error = %error, "outbox.unavailable");
            }
            tokio::select! {
                () = self.wake.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(IDLE) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        // Those still waiting for their turn give up; their events come back after their lease.
        self.turns.close();
        let slow = std::mem::take(&mut *self.slow.lock().unwrap_or_else(PoisonError::into_inner));
        slow.join_all().await;
    }

    /// Lets the slow reactions to an event run by themselves.
    fn hand_over(&self, claimed: Claimed, until: DateTime<Utc>) {
        let (hand, turns) = (Arc::clone(&self.hand), Arc::clone(&self.turns));
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        while slow.try_join_next().is_some() {}
        slow.spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            // Another relay could get the event while this one is still at it: rather leave it to come back.
            if hand.clock.now() + SLOWEST > until {
                return;
            }
            let ended = match hand.react(&claimed.event, true).await {
                Ok(()) => hand.complete(&[claimed.event.id]).await,
                Err(error) => hand.postpone(&claimed, &*error).await,
            };
            if let Err(error) = ended {
                tracing::warn!(error = %error, "outbox.unavailable");
            }
        });
    }
}

impl Hand {
    fn reactions(&self, event: &Event) -> impl Iterator<Item = &Arc<dyn Reaction>> {
        self.reactions.get(event.kind.as_ref()).into_iter().flatten()
    }

    fn is_slow(&self, event: &Event) -> bool {
        self.reactions(event).any(|reaction| reaction.is_slow())
    }

    async fn react(&self, event: &Event, slow: bool) -> Result<(), BoxError> {
        for reaction in self.reactions(event).filter(|reaction| reaction.is_slow() == slow) {
            reaction.react(event).await?;
        }
        Ok(())
    }

    async fn complete(&self, done: &[EventId]) -> Result<(), BoxError> {
        if done.is_empty() {
            return Ok(());
        }
        self.store.complete(done).await?;
        outbox::EVENTS.of(Handling::Handled).increment(u64::try_from(done.len()).unwrap_or_default());
        Ok(())
    }

    async fn postpone(
        &self,
        claimed: &Claimed,
        error: &(dyn std::error::Error + Send + Sync + 'static),
    ) -> Result<(), BoxError> {
        let wish = wished(error).and_then(|wait| TimeDelta::from_std(wait).ok());
        let wait = backoff(claimed.attempts).max(wish.unwrap_or_default().min(TimeDelta::hours(1)));
        let due = (claimed.attempts < MAX_ATTEMPTS).then(|| self.clock.now() + wait);
        tracing::error!(
            event.id = %claimed.event.id, event.kind = %claimed.event.kind,
            attempts = claimed.attempts, dead = due.is_none(), %error, "outbox.reaction_failed"
        );
        outbox::EVENTS.of(if due.is_some() { Handling::Postponed } else { Handling::SetAside }).increment(1);
        self.store.postpone(claimed.event.id, due).await
    }
}

/// How long whoever failed asks to be left alone, however deep that is in the causes.
fn wished(error: &(dyn std::error::Error + 'static)) -> Option<Duration> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|error| error.downcast_ref::<NotBefore>()).map(|wish| wish.wait)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use alivio_kernel::{DomainEvent, ManualClock, SequentialIds};
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

    /// Asks someone far away, who answers when told to.
    struct Distant {
        begun: Notify,
        answers: Semaphore,
        wish: Option<Duration>,
    }
    #[async_trait]
    impl Reaction for Distant {
        fn kind(&self) -> &'static str {
            Happened::KIND
        }
        async fn react(&self, _: &Event) -> Result<(), BoxError> {
            self.begun.notify_one();
            self.answers.acquire().await?.forget();
            match self.wish {
                Some(wait) => Err(NotBefore { wait, source: "busy".into() }.into()),
                None => Ok(()),
            }
        }
        fn is_slow(&self) -> bool {
            true
        }
    }

    fn distant_world(
        wish: Option<Duration>,
    ) -> (Arc<Memory>, Arc<ManualClock>, Arc<Flaky>, Arc<Distant>, Relay) {
        let (store, clock, flaky, _) = world(0);
        let distant = Arc::new(Distant { begun: Notify::new(), answers: Semaphore::new(0), wish });
        let reactions: Vec<Arc<dyn Reaction>> = vec![distant.clone(), flaky.clone()];
        let relay = Relay::new(store.clone(), clock.clone(), reactions, Arc::default());
        (store, clock, flaky, distant, relay)
    }

    #[tokio::test]
    async fn nobody_waits_for_a_slow_reaction_and_its_event_is_kept_until_it_is_done() {
        let (store, clock, flaky, distant, relay) = distant_world(None);
        assert_eq!(relay.drain().await.unwrap(), 1);
        distant.begun.notified().await;
        assert_eq!(flaky.calls.load(Ordering::Relaxed), 1, "the prompt one is done");
        let other = Event::new(&SequentialIds::default(), clock.now(), &Happened {});
        let other =
            Event { id: EventId::from(alivio_kernel::ids::Uuid::max()), kind: "tests.other".into(), ..other };
        store.0.lock().unwrap().push((other, Some(clock.now()), 0));
        assert_eq!(relay.drain().await.unwrap(), 1, "others go on");
        assert_eq!(store.0.lock().unwrap().len(), 1, "the slow one is not lost");
        distant.answers.add_permits(1);
        let (_stop, stopped) = watch::channel(true);
        relay.run(stopped).await;
        assert!(store.0.lock().unwrap().is_empty(), "a relay that stops lets it come to its end");
    }

    #[tokio::test]
    async fn who_wants_to_be_left_alone_is() {
        let (store, clock, _, distant, relay) = distant_world(Some(Duration::from_secs(90)));
        relay.drain().await.unwrap();
        distant.answers.add_permits(1);
        let (_stop, stopped) = watch::channel(true);
        let began = clock.now();
        // What has begun is waited for.
        distant.begun.notified().await;
        relay.run(stopped).await;
        assert_eq!(store.0.lock().unwrap()[0].1, Some(began + TimeDelta::seconds(90)));
    }

    #[tokio::test]
    async fn a_slow_reaction_whose_turn_comes_late_leaves_its_event_to_the_next_lease() {
        let (store, clock, _, distant, relay) = distant_world(None);
        let turns = relay.turns.acquire_many(u32::try_from(SLOW_AT_ONCE).unwrap()).await.unwrap();
        relay.drain().await.unwrap();
        clock.advance(LEASE - SLOWEST + TimeDelta::seconds(1));
        drop(turns);
        distant.answers.add_permits(1);
        let slow = std::mem::take(&mut *relay.slow.lock().unwrap());
        slow.join_all().await;
        assert_eq!(distant.answers.available_permits(), 1, "it was not asked");
        assert_eq!(store.0.lock().unwrap().len(), 1);
        clock.advance(SLOWEST);
        relay.drain().await.unwrap();
        let slow = std::mem::take(&mut *relay.slow.lock().unwrap());
        slow.join_all().await;
        assert!(store.0.lock().unwrap().is_empty());
    }

    #[test]
    fn backoff_doubles_up_to_an_hour() {
        assert_eq!(backoff(1), TimeDelta::seconds(1));
        assert_eq!(backoff(4), TimeDelta::seconds(8));
        assert_eq!(backoff(i32::MAX), TimeDelta::hours(1));
    }
}
