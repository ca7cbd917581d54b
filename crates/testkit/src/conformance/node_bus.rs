//! What every [`NodeBus`] MUST do that leads anywhere, one case each. Run them all with
//! [`node_bus_conformance!`](crate::node_bus_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::Uuid;
use alivio_kernel::{Heard, NodeBus};
use async_trait::async_trait;
use tokio::time::timeout;

use crate::server::{PATIENCE, eventually};
use crate::stopwatch::Stopwatch;

/// Tests your [`NodeBus`]: one `#[tokio::test]` for every case in [`conformance::node_bus`].
///
/// `$fresh` names an `async fn() -> Option<alivio_testkit::conformance::node_bus::Fixture>`; `None` skips the case.
///
/// [`NodeBus`]: alivio_kernel::NodeBus
/// [`conformance::node_bus`]: crate::conformance::node_bus
#[macro_export]
macro_rules! node_bus_conformance {
    ($fresh:expr) => {
        mod node_bus_conformance {
            use super::*;
            $crate::node_bus_conformance! { @cases $fresh;
                a_call_reaches_the_other_node
                calls_about_one_thing_stay_in_order
                calling_takes_no_time_while_the_line_is_down
                who_gives_up_waiting_loses_nothing
                the_line_comes_back_and_says_so
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                if let Some(fixture) = $fresh().await {
                    $crate::conformance::node_bus::$case(fixture).await;
                }
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, on one node.
    pub one: Arc<dyn NodeBus>,
    /// The same, on another.
    pub other: Arc<dyn NodeBus>,
    /// What lies between them.
    pub world: Arc<dyn World>,
}

/// What lies between two nodes. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// Cuts the line.
    async fn cut(&self);
    /// Leaves the line up, and lets nothing through until it is mended.
    async fn stop(&self);
    /// Undoes both.
    async fn mend(&self);
}

/// So many calls are more than any queue holds.
const FLOOD: u32 = 100_000;

impl Fixture {
    /// The next call that the other node hears.
    async fn hears(&self) -> Vec<u8> {
        loop {
            if let Heard::Hint(hint) = timeout(PATIENCE, self.other.heard()).await.expect("nothing is heard")
            {
                return hint;
            }
        }
    }

    /// Calls until the other node hears it: the line is up, and nothing on its way.
    async fn greet(&self) {
        let mut count = 0_u32;
        eventually("a call is heard", async || {
            count += 1;
            let greeting = [b"hello".as_slice(), &count.to_le_bytes()].concat();
            self.one.call(Uuid::nil(), greeting.clone());
            timeout(Duration::from_millis(50), async { while self.hears().await != greeting {} })
                .await
                .is_ok()
        })
        .await;
    }
}

/// As it was called, whatever it is about.
pub async fn a_call_reaches_the_other_node(fixture: Fixture) {
    fixture.greet().await;
    for about in 0..32 {
        let hint: Vec<u8> = (about..=255).collect();
        fixture.one.call(Uuid::from_u128(about.into()), hint.clone());
        assert_eq!(fixture.hears().await, hint);
    }
}

/// Whatever else is called meanwhile.
pub async fn calls_about_one_thing_stay_in_order(fixture: Fixture) {
    fixture.greet().await;
    for n in 0..1000_u32 {
        fixture.one.call(Uuid::from_u128(u128::from(n % 3)), n.to_le_bytes().to_vec());
    }
    let mut last = [None; 3];
    for _ in 0..1000 {
        let n = u32::from_le_bytes(fixture.hears().await.try_into().unwrap());
        let thing = &mut last[n as usize % 3];
        assert!(*thing < Some(n), "{n} after {thing:?}");
        *thing = Some(n);
    }
}

/// MUST return at once and MUST NOT fail, however much is called.
pub async fn calling_takes_no_time_while_the_line_is_down(fixture: Fixture) {
    fixture.greet().await;
    fixture.world.stop().await;
    let began = Stopwatch::start();
    for n in 0..FLOOD {
        fixture.one.call(Uuid::nil(), n.to_le_bytes().to_vec());
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    fixture.world.mend().await;
    fixture.greet().await;
}

/// MUST be safe to give up waiting for.
pub async fn who_gives_up_waiting_loses_nothing(fixture: Fixture) {
    fixture.greet().await;
    for n in 0..50_u8 {
        fixture.one.call(Uuid::nil(), vec![n]);
        timeout(Duration::from_micros(1), std::future::pending::<()>()).await.unwrap_err();
        let mut next = Box::pin(fixture.hears());
        let heard = match timeout(Duration::from_micros(10), &mut next).await {
            Ok(heard) => heard,
            Err(_) => {
                drop(next);
                fixture.hears().await
            }
        };
        assert_eq!(heard, [n]);
    }
}

/// Who was cut off is told that something may have been lost, and hears again.
pub async fn the_line_comes_back_and_says_so(fixture: Fixture) {
    fixture.greet().await;
    fixture.world.cut().await;
    fixture.one.call(Uuid::nil(), b"lost, perhaps".to_vec());
    fixture.world.mend().await;
    let back = timeout(PATIENCE, async { while fixture.other.heard().await != Heard::Back {} }).await;
    assert!(back.is_ok(), "nobody says that the line is back");
    fixture.greet().await;
}
