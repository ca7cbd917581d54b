//! What every [`OutboxStore`] MUST do, one case each. Run them all with
//! [`outbox_store_conformance!`](crate::outbox_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use alivio_kernel::ids::EventId;
use alivio_kernel::{DomainEvent, Event, SystemIds};
use alivio_outbox::{Claimed, OutboxStore};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

/// Tests your [`OutboxStore`]: one `#[tokio::test]` for every case in [`conformance::outbox_store`].
///
/// `$fresh` names an `async fn() -> alivio_testkit::conformance::outbox_store::Fixture` that gives each
/// case an empty, isolated instance.
///
/// [`OutboxStore`]: alivio_outbox::OutboxStore
/// [`conformance::outbox_store`]: crate::conformance::outbox_store
#[macro_export]
macro_rules! outbox_store_conformance {
    ($fresh:expr) => {
        mod outbox_store_conformance {
            use super::*;
            $crate::outbox_store_conformance! { @cases $fresh;
                a_published_event_is_handed_out_unchanged
                an_empty_outbox_hands_out_nothing
                the_oldest_come_first_and_no_more_than_asked_for
                a_claimed_event_is_kept_from_others_while_its_lease_lasts
                parallel_claims_share_no_event_and_miss_none
                an_event_comes_back_when_its_lease_is_over
                a_handled_event_is_gone
                completing_again_changes_nothing
                a_postponed_event_comes_back_when_it_is_due_and_not_before
                an_event_set_aside_never_comes_back
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::conformance::outbox_store::$case($fresh().await).await;
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, without events.
    pub store: Arc<dyn OutboxStore>,
    /// What lies around it. Lives as long as the case does, so it may own the test's database.
    pub world: Arc<dyn World>,
}

/// What lies around an outbox: a store that writes events, or plain SQL. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// Stores `event` as the stores do: due from [`Event::at`] on.
    async fn publish(&self, event: &Event);
}

/// Every field survives; the first claim is the first attempt.
pub async fn a_published_event_is_handed_out_unchanged(Fixture { store, world }: Fixture) {
    let event = publish(&*world, 1, 0).await.remove(0);
    let claimed = store.claim(at(0), at(30), 10).await.unwrap();
    assert_eq!(claimed, [Claimed { event: event.clone(), attempts: 1 }]);
    assert_eq!(claimed[0].event.read::<Happened>().unwrap(), Happened { n: 0, text: "ñ\"'\\".into() });
}

/// Not an error.
pub async fn an_empty_outbox_hands_out_nothing(Fixture { store, world: _world }: Fixture) {
    assert_eq!(store.claim(at(0), at(30), 10).await.unwrap(), []);
    store.complete(&[EventId::generate(&SystemIds)]).await.unwrap();
}

/// Up to `limit`, oldest first.
pub async fn the_oldest_come_first_and_no_more_than_asked_for(Fixture { store, world }: Fixture) {
    let events = publish(&*world, 7, 1).await;
    let events: Vec<_> = events.iter().map(|event| event.id).collect();
    for expected in [&events[..3], &events[3..6], &events[6..], &[]] {
        assert_eq!(ids(&store.claim(at(60), at(90), 3).await.unwrap()), expected);
    }
}

/// MUST NOT hand an event to two relays while its lease lasts.
pub async fn a_claimed_event_is_kept_from_others_while_its_lease_lasts(Fixture { store, world }: Fixture) {
    publish(&*world, 2, 0).await;
    assert_eq!(store.claim(at(0), at(30), 10).await.unwrap().len(), 2);
    for seconds in [0, 1, 29] {
        assert_eq!(store.claim(at(seconds), at(seconds + 30), 10).await.unwrap(), []);
    }
    let other = publish(&*world, 1, 0).await.remove(0);
    let claimed = ids(&store.claim(at(29), at(59), 10).await.unwrap());
    assert_eq!(claimed, [other.id], "others are handed out meanwhile");
}

/// MUST NOT hand an event to two relays, however many ask at once; together they get all.
pub async fn parallel_claims_share_no_event_and_miss_none(Fixture { store, world }: Fixture) {
    let events: BTreeSet<_> = publish(&*world, 200, 0).await.iter().map(|event| event.id).collect();
    let drain = || async {
        let mut mine = Vec::new();
        loop {
            let claimed = ids(&store.claim(at(0), at(30), 7).await.unwrap());
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed);
        }
    };
    let mut claimed: Vec<_> = join_all((0..20).map(|_| drain())).await.into_iter().flatten().collect();
    // Relays that meet at the same rows may all turn away, but then one of them comes again.
    claimed.extend(drain().await);
    assert_eq!(claimed.len(), 200, "an event was handed out twice, or missed");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), events);
}

/// A relay that died is replaced by whoever claims next; the attempts are counted.
pub async fn an_event_comes_back_when_its_lease_is_over(Fixture { store, world }: Fixture) {
    let event = publish(&*world, 1, 0).await.remove(0);
    for attempts in 1..=4 {
        let now = i64::from(attempts) * 60;
        let claimed = store.claim(at(now), at(now + 30), 10).await.unwrap();
        assert_eq!(claimed, [Claimed { event: event.clone(), attempts }]);
    }
}

/// Those that were handled, and no others.
pub async fn a_handled_event_is_gone(Fixture { store, world }: Fixture) {
    let events = publish(&*world, 3, 0).await;
    store.claim(at(0), at(30), 10).await.unwrap();
    store.complete(&[events[0].id, events[2].id]).await.unwrap();
    assert_eq!(ids(&store.claim(at(60), at(90), 10).await.unwrap()), [events[1].id]);
}

/// A relay whose lease ran out may finish after another one did.
pub async fn completing_again_changes_nothing(Fixture { store, world }: Fixture) {
    let events = publish(&*world, 2, 0).await;
    for _ in 0..2 {
        store.complete(&[events[0].id]).await.unwrap();
    }
    store.postpone(events[0].id, Some(at(0))).await.unwrap();
    assert_eq!(ids(&store.claim(at(0), at(30), 10).await.unwrap()), [events[1].id], "and does not revive it");
}

/// Put off until `due`, sooner or later than its lease.
pub async fn a_postponed_event_comes_back_when_it_is_due_and_not_before(Fixture { store, world }: Fixture) {
    let event = publish(&*world, 1, 0).await.remove(0);
    for (attempts, claimed_at, due) in [(1, 0, 10), (2, 10, 600), (3, 600, 601)] {
        let claimed = store.claim(at(claimed_at), at(claimed_at + 30), 10).await.unwrap();
        assert_eq!(claimed, [Claimed { event: event.clone(), attempts }]);
        store.postpone(event.id, Some(at(due))).await.unwrap();
        assert_eq!(store.claim(at(due - 1), at(due + 29), 10).await.unwrap(), []);
    }
    assert_eq!(store.claim(at(601), at(631), 10).await.unwrap().len(), 1);
}

/// Set aside for good: kept for people to look at, never handed out.
pub async fn an_event_set_aside_never_comes_back(Fixture { store, world }: Fixture) {
    let events = publish(&*world, 2, 0).await;
    store.claim(at(0), at(30), 10).await.unwrap();
    store.postpone(events[0].id, None).await.unwrap();
    let years = 60 * 60 * 24 * 365 * 50;
    assert_eq!(ids(&store.claim(at(years), at(years + 30), 10).await.unwrap()), [events[1].id]);
}

// What the cases are written in

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Happened {
    n: i64,
    text: String,
}

impl DomainEvent for Happened {
    const KIND: &'static str = "tests.happened";
}

/// So many events, each `apart` seconds younger than the one before.
async fn publish(world: &dyn World, count: i64, apart: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..count {
        let event = Event::new(&SystemIds, at(n * apart), &Happened { n, text: "ñ\"'\\".into() });
        world.publish(&event).await;
        events.push(event);
    }
    events
}

fn ids(claimed: &[Claimed]) -> Vec<EventId> {
    claimed.iter().map(|claimed| claimed.event.id).collect()
}

/// In the next century, so that no adapter's own clock makes an event wait.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
        + TimeDelta::days(50_000)
        + TimeDelta::seconds(seconds)
        + TimeDelta::microseconds(123_456)
}
