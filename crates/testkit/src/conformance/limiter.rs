//! What every [`Limiter`] MUST do, one case each. Run them all with [`limiter_conformance!`](crate::limiter_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{Asker, Limiter, Precision, Quota, Verdict};
use async_trait::async_trait;
use futures_util::future::join_all;

use crate::server::eventually;

/// Tests your [`Limiter`]: one `#[tokio::test]` for every case in [`conformance::limiter`].
///
/// `$fresh` names an `async fn() -> Option<alivio_testkit::conformance::limiter::Fixture>`; `None` skips the case.
///
/// [`Limiter`]: alivio_kernel::Limiter
/// [`conformance::limiter`]: crate::conformance::limiter
#[macro_export]
macro_rules! limiter_conformance {
    ($fresh:expr) => {
        mod limiter_conformance {
            use super::*;
            $crate::limiter_conformance! { @cases $fresh;
                exactly_the_limit_passes
                exactly_the_limit_passes_whoever_asks_at_the_same_time
                each_asker_has_a_bucket_for_each_quota
                refusals_do_not_count_and_what_trickles_in_passes
                what_passes_on_one_node_counts_on_the_others
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                if let Some(fixture) = $fresh().await {
                    $crate::conformance::limiter::$case(fixture).await;
                }
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial on each node, with no bucket opened yet. A node by itself is enough.
    pub nodes: Vec<Arc<dyn Limiter>>,
    /// What lives as long as they do.
    pub world: Arc<dyn World>,
}

/// What lies between the nodes.
#[async_trait]
pub trait World: Send + Sync {
    /// Waits until they reach each other.
    async fn is_connected(&self);
}

/// A quota of the tests.
#[must_use]
pub fn quota(per_minute: u32, precision: Precision) -> Quota {
    let per_minute = NonZeroU32::new(per_minute).expect("more than none");
    Quota { name: "tests", per_minute, precision }
}

/// Someone who asks from an address.
#[must_use]
pub fn someone() -> Asker {
    Asker::at(Some(IpAddr::from([192, 0, 2, 1])))
}

impl Fixture {
    /// Asks so many times, each time another node.
    async fn ask(&self, times: usize, asker: Asker, quota: &Quota) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for node in self.nodes.iter().cycle().take(times) {
            verdicts.push(node.take(asker, quota).await);
        }
        verdicts
    }
}

fn passed(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| verdict.passes()).count()
}

/// And whoever is told the truth about it knows how many are left, and how long to wait.
pub async fn exactly_the_limit_passes(fixture: Fixture) {
    fixture.world.is_connected().await;
    for limit in [1, 6] {
        let quota = Quota { name: if limit == 1 { "one" } else { "six" }, ..quota(limit, Precision::Exact) };
        let verdicts = fixture.ask(30, someone(), &quota).await;
        for (verdict, left) in verdicts.iter().zip((0..limit).rev()) {
            assert_eq!((verdict.limit, verdict.remaining, verdict.retry_after), (limit, left, None));
        }
        for verdict in &verdicts[limit as usize..] {
            assert_eq!((verdict.limit, verdict.remaining), (limit, 0));
            let wait = verdict.retry_after.expect("refused");
            assert!(wait <= quota.interval() && verdict.reset >= wait, "{verdict:?}");
        }
    }
}

/// From everywhere.
pub async fn exactly_the_limit_passes_whoever_asks_at_the_same_time(fixture: Fixture) {
    fixture.world.is_connected().await;
    let quota = quota(20, Precision::Exact);
    let everywhere = fixture.nodes.iter().cycle().take(100);
    let verdicts =
        join_all(everywhere.map(|node| {
            let node = Arc::clone(node);
            async move {
                tokio::spawn(async move { node.take(someone(), &quota).await }).await.expect("a verdict")
            }
        }))
        .await;
    assert_eq!(passed(&verdicts), 20);
}

/// Nobody empties another's.
pub async fn each_asker_has_a_bucket_for_each_quota(fixture: Fixture) {
    fixture.world.is_connected().await;
    let quota = quota(3, Precision::Exact);
    let account = |n| Asker::Account(UserId::from(Uuid::from_u128(n)));
    let other_quota = Quota { name: "others", ..quota };
    for asker in
        [someone(), account(1), account(2), Asker::Nowhere, Asker::at(Some(IpAddr::from([192, 0, 2, 2])))]
    {
        assert_eq!(passed(&fixture.ask(10, asker, &quota).await), 3, "{asker:?}");
        assert_eq!(passed(&fixture.ask(10, asker, &other_quota).await), 3, "{asker:?}");
    }
}

/// Whoever waits gets one.
pub async fn refusals_do_not_count_and_what_trickles_in_passes(fixture: Fixture) {
    fixture.world.is_connected().await;
    // One each quarter of a second.
    let quota = quota(240, Precision::Exact);
    while fixture.ask(1, someone(), &quota).await[0].passes() {}
    let refused = fixture.ask(20, someone(), &quota).await;
    let wait = refused.last().and_then(|verdict| verdict.retry_after).unwrap_or_default();
    assert!(wait <= quota.interval(), "{wait:?}");
    // Asked again and again, which puts it off no further.
    eventually("one has trickled in", async || fixture.ask(1, someone(), &quota).await[0].passes()).await;
}

/// A moment later, and nobody waits for that.
pub async fn what_passes_on_one_node_counts_on_the_others(fixture: Fixture) {
    fixture.world.is_connected().await;
    // More than the other node passes before it hears of it.
    let quota = quota(600, Precision::Soon);
    let [one, .., other] = fixture.nodes.as_slice() else {
        let verdicts = fixture.ask(601, someone(), &quota).await;
        assert!(passed(&verdicts) >= 600);
        return;
    };
    for _ in 0..500 {
        assert!(one.take(someone(), &quota).await.passes());
    }
    let mut own = 0;
    eventually("the other node has heard of it", async || {
        let verdict = other.take(someone(), &quota).await;
        own += u32::from(verdict.passes());
        // Some have trickled in meanwhile.
        verdict.limit - verdict.remaining >= own + 400
    })
    .await;
    // Both have passed as many as they thought were there: the difference is owed.
    eventually("nothing passes until that is paid", async || {
        one.take(someone(), &quota).await.retry_after.is_some_and(|wait| wait > Duration::ZERO)
    })
    .await;
}
