//! What every [`Broadcasts`] MUST do, one case each. Run them all with
//! [`broadcasts_conformance!`](crate::broadcasts_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;

use alivio_kernel::{DomainEvent, Event, Follower, Place, SystemIds};
use alivio_outbox::Broadcasts;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Tests your [`Broadcasts`]: one `#[tokio::test]` for every case in [`conformance::broadcasts`].
///
/// `$fresh` names an `async fn() -> alivio_testkit::conformance::broadcasts::Fixture` that gives each case an empty,
/// isolated instance.
///
/// [`Broadcasts`]: alivio_outbox::Broadcasts
/// [`conformance::broadcasts`]: crate::conformance::broadcasts
#[macro_export]
macro_rules! broadcasts_conformance {
    ($fresh:expr) => {
        mod broadcasts_conformance {
            use super::*;
            $crate::broadcasts_conformance! { @cases $fresh;
                what_is_put_is_heard_once_and_unchanged
                pages_follow_each_other
                whoever_begins_earlier_and_commits_later_is_not_missed
                only_what_is_old_is_forgotten
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::conformance::broadcasts::$case($fresh().await).await;
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, without events.
    pub broadcasts: Arc<dyn Broadcasts>,
    /// What lies around it.
    pub world: Arc<dyn World>,
}

/// What lies around broadcasts. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// Puts `event` in a transaction that it holds open until it is told to commit.
    async fn begin(&self, event: &Event) -> Box<dyn Pending>;
    /// Makes everything that was put two hours older.
    async fn age(&self);
}

/// A transaction at work.
#[async_trait]
pub trait Pending: Send {
    /// Makes it true.
    async fn commit(self: Box<Self>);
}

#[derive(Serialize, Deserialize)]
struct Happened {
    n: i64,
}

impl DomainEvent for Happened {
    const KIND: &'static str = "tests.happened";
}

fn event(n: i64) -> Event {
    let at: DateTime<Utc> = DateTime::UNIX_EPOCH + TimeDelta::microseconds(n);
    Event::new(&SystemIds, at, &Happened { n })
}

impl Fixture {
    async fn follower(&self) -> Follower {
        let (horizon, none) = self.broadcasts.after(Place::before(u64::MAX), 0).await.unwrap();
        assert_eq!(none, []);
        Follower::from(horizon)
    }

    /// What is new to whoever has followed so far, read in small pages.
    async fn heard(&self, follower: &mut Follower) -> Vec<Event> {
        let (mut heard, mut after, mut first) = (Vec::new(), follower.start(), None);
        loop {
            let (horizon, page) = self.broadcasts.after(after, 2).await.unwrap();
            first.get_or_insert(horizon);
            let Some((last, _)) = page.last() else { break };
            after = *last;
            heard.extend(page.into_iter().filter(|(place, _)| follower.meet(*place)).map(|(_, event)| event));
        }
        follower.pass(first.unwrap());
        heard
    }
}

/// However often it is put.
pub async fn what_is_put_is_heard_once_and_unchanged(fixture: Fixture) {
    let mut follower = fixture.follower().await;
    let (one, two) = (event(1), event(2));
    for event in [&one, &two, &one] {
        fixture.broadcasts.put(event).await.unwrap();
    }
    assert_eq!(fixture.heard(&mut follower).await, [one.clone(), two]);
    fixture.broadcasts.put(&one).await.unwrap();
    assert_eq!(fixture.heard(&mut follower).await, []);
}

/// Without a gap.
pub async fn pages_follow_each_other(fixture: Fixture) {
    let mut follower = fixture.follower().await;
    let events: Vec<_> = (0..7).map(event).collect();
    for event in &events {
        fixture.broadcasts.put(event).await.unwrap();
    }
    assert_eq!(fixture.heard(&mut follower).await, events);
}

/// And holds up nobody meanwhile.
pub async fn whoever_begins_earlier_and_commits_later_is_not_missed(fixture: Fixture) {
    let mut follower = fixture.follower().await;
    let (early, late) = (event(1), event(2));
    let pending = fixture.world.begin(&early).await;
    fixture.broadcasts.put(&late).await.unwrap();
    assert_eq!(fixture.heard(&mut follower).await, [late]);
    pending.commit().await;
    assert_eq!(fixture.heard(&mut follower).await, [early]);
}

/// A node that was away for a moment still hears.
pub async fn only_what_is_old_is_forgotten(fixture: Fixture) {
    let follower = fixture.follower().await;
    let (old, new) = (event(1), event(2));
    fixture.broadcasts.put(&old).await.unwrap();
    fixture.world.age().await;
    fixture.broadcasts.put(&new).await.unwrap();
    fixture.broadcasts.forget().await.unwrap();
    assert_eq!(fixture.heard(&mut follower.clone()).await, [new]);
}
