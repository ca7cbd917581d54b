//! What every [`GuardStore`] MUST do, one case each. Run them all with
//! [`guard_store_conformance!`](crate::guard_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use alivio_kernel::testing::together;
use chrono::{DateTime, TimeDelta, Utc};

use super::Fixture;
use crate::{FORGET, Guard, GuardKey, GuardStore, MAX_TRIES, TryResult, WINDOW};

/// Tests your [`GuardStore`]: one `#[tokio::test]` for every case in [`testing::guard_store`].
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Fixture<dyn GuardStore>` that gives each case
/// an empty, isolated instance.
///
/// [`GuardStore`]: crate::GuardStore
/// [`testing::guard_store`]: crate::testing::guard_store
#[macro_export]
macro_rules! guard_store_conformance {
    ($fresh:expr) => {
        mod guard_store_conformance {
            use super::*;
            $crate::guard_store_conformance! { @cases $fresh;
                the_store_follows_the_rules_of_the_guard
                of_many_tries_at_once_ten_are_admitted
                wrong_ones_at_once_count_each
                keys_do_not_concern_each_other
                everything_is_forgotten_in_time
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::guard_store::$case($fresh().await).await;
            }
        )*
    };
}

/// Whatever happens in whatever order, the store admits what [`Guard`] admits.
pub async fn the_store_follows_the_rules_of_the_guard(
    Fixture { store, world: _world }: Fixture<dyn GuardStore>,
) {
    let mut guard = Guard::default();
    let (mut random, mut seconds) = (0x2545_f491_4f6c_dd1d_u64, 0);
    let (mut admitted, mut refused) = (0, 0);
    for step in 0..300 {
        // Xorshift: the same every time, and no order that a rule could hide in.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        seconds += [0, 0, 1, 2, 5, 30, 400, 3599, 3600][usize::try_from(random % 9).unwrap()];
        let now = at(seconds);
        let expected = guard.admit(now);
        assert_eq!(store.admit(KEY, now).await.unwrap(), expected, "step {step}: {guard:?}");
        let result = match (expected, random >> 32 & 15) {
            (false, _) => TryResult::Refused,
            (true, 0) => TryResult::Right,
            (true, 1..=3) => TryResult::Withdrawn,
            (true, _) => TryResult::Wrong,
        };
        if expected {
            admitted += 1
        } else {
            refused += 1
        }
        guard.settle(result, now);
        store.settle(KEY, result, now, &[]).await.unwrap();
    }
    assert!(admitted > 50 && refused > 50, "{admitted} {refused}");
}

/// MUST count each one that it admits.
pub async fn of_many_tries_at_once_ten_are_admitted(
    Fixture { store, world: _world }: Fixture<dyn GuardStore>,
) {
    let admitted = together((0..40).map(|_| store.admit(KEY, at(0)))).await;
    assert_eq!(admitted.into_iter().filter(|admitted| *admitted.as_ref().unwrap()).count(), MAX_TRIES);
    assert!(!store.admit(KEY, at(WINDOW.num_seconds() - 1)).await.unwrap());
    assert!(store.admit(KEY, at(WINDOW.num_seconds())).await.unwrap());
}

/// However many at once, none is lost: five lock for sixteen seconds.
pub async fn wrong_ones_at_once_count_each(Fixture { store, world: _world }: Fixture<dyn GuardStore>) {
    for _ in 0..5 {
        assert!(store.admit(KEY, at(0)).await.unwrap());
    }
    let settled = together((0..5).map(|_| store.settle(KEY, TryResult::Wrong, at(0), &[]))).await;
    settled.into_iter().for_each(Result::unwrap);
    assert!(!store.admit(KEY, at(15)).await.unwrap());
    assert!(store.admit(KEY, at(16)).await.unwrap());
}

/// Each is counted by itself.
pub async fn keys_do_not_concern_each_other(Fixture { store, world: _world }: Fixture<dyn GuardStore>) {
    let other = GuardKey([8; 16]);
    assert!(store.admit(KEY, at(0)).await.unwrap());
    store.settle(KEY, TryResult::Wrong, at(0), &[]).await.unwrap();
    assert!(store.admit(other, at(0)).await.unwrap());
    store.settle(other, TryResult::Right, at(0), &[]).await.unwrap();
    assert!(!store.admit(KEY, at(0)).await.unwrap());
}

/// A day without a try: the next wrong password locks for a second again.
pub async fn everything_is_forgotten_in_time(Fixture { store, world: _world }: Fixture<dyn GuardStore>) {
    for n in 0..4 {
        assert!(store.admit(KEY, at(n * 60)).await.unwrap());
        store.settle(KEY, TryResult::Wrong, at(n * 60), &[]).await.unwrap();
    }
    let later = 180 + FORGET.num_seconds();
    // Someone else's try may sweep what is forgotten; it must not matter.
    assert!(store.admit(GuardKey([9; 16]), at(later)).await.unwrap());
    assert!(store.admit(KEY, at(later)).await.unwrap());
    store.settle(KEY, TryResult::Wrong, at(later), &[]).await.unwrap();
    assert!(store.admit(KEY, at(later + 1)).await.unwrap());
}

const KEY: GuardKey = GuardKey([7; 16]);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}
