//! What every [`SecondFactorStore`] MUST do, one case each. Run them all with
//! [`second_factor_store_conformance!`](crate::second_factor_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;

use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{Effects, Event, Role, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Fixture, World};
use crate::{
    Attempt, Confirmation, CredentialEpoch, Error, MAX_FAILURES, RevocationReason, SecondFactorChanged,
    SecondFactorStore, SecretHash, StoredFactor,
};

/// Tests your [`SecondFactorStore`]: one `#[tokio::test]` for every case in [`testing::second_factor_store`].
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Fixture<dyn SecondFactorStore>` that gives each
/// case an empty, isolated instance.
///
/// [`SecondFactorStore`]: crate::SecondFactorStore
/// [`testing::second_factor_store`]: crate::testing::second_factor_store
#[macro_export]
macro_rules! second_factor_store_conformance {
    ($fresh:expr) => {
        mod second_factor_store_conformance {
            use super::*;
            $crate::second_factor_store_conformance! { @cases $fresh;
                a_factor_is_set_up_and_then_on
                one_that_is_on_is_not_replaced
                only_the_secret_being_set_up_is_confirmed
                of_many_confirmations_one_succeeds
                a_step_is_used_once_and_no_earlier_one_afterwards
                of_many_that_use_one_step_one_succeeds
                of_many_that_use_one_recovery_code_one_succeeds
                the_recovery_codes_of_another_are_not_used
                the_fifth_wrong_code_locks_and_each_further_one_for_longer
                of_many_tries_at_once_no_more_than_five_begin
                a_right_code_forgives_the_wrong_ones
                there_is_nothing_to_try_before_it_is_on
                new_recovery_codes_replace_the_old_ones
                what_is_removed_is_gone
                a_reset_ends_all_sessions
                turning_it_on_ends_all_other_sessions
                turning_it_on_or_off_begins_another_epoch
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::second_factor_store::$case($fresh().await).await;
            }
        )*
    };
}

/// With all of its recovery codes.
pub async fn a_factor_is_set_up_and_then_on(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::of(fixture).await;
    assert_eq!(scene.find().await, None);
    scene.begin(1).await.unwrap();
    let pending = StoredFactor { secret: secret(1), confirmed_at: None, recovery_codes_left: 0 };
    assert_eq!(scene.find().await, Some(pending.clone()));
    assert!(scene.confirm(1, 10).await);
    let on = StoredFactor { confirmed_at: Some(at(1)), recovery_codes_left: 3, ..pending };
    assert_eq!(scene.find().await, Some(on));
    assert_eq!(scene.events().await, 2, "each with its effects");
}

/// MUST answer [`Error::SecondFactorOn`] and change nothing; a pending one gives way.
pub async fn one_that_is_on_is_not_replaced(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::of(fixture).await;
    scene.begin(1).await.unwrap();
    scene.begin(2).await.unwrap();
    assert!(scene.confirm(2, 10).await);
    assert!(matches!(scene.begin(3).await, Err(Error::SecondFactorOn)));
    assert_eq!(scene.find().await.unwrap().secret, secret(2));
    assert_eq!(scene.events().await, 3);
}

/// Not one that was replaced meanwhile.
pub async fn only_the_secret_being_set_up_is_confirmed(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::of(fixture).await;
    assert!(!scene.confirm(1, 10).await, "there is none");
    scene.begin(1).await.unwrap();
    scene.begin(2).await.unwrap();
    assert!(!scene.confirm(1, 10).await);
    assert_eq!(scene.find().await.unwrap().confirmed_at, None);
    assert_eq!(scene.events().await, 2);
}

/// Of many at once, MUST let exactly one succeed.
pub async fn of_many_confirmations_one_succeeds(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::of(fixture).await;
    scene.begin(1).await.unwrap();
    let confirmed = together((0..20).map(|_| scene.confirm(1, 10))).await;
    assert_eq!(confirmed.into_iter().filter(|confirmed| *confirmed).count(), 1);
    assert_eq!(scene.find().await.unwrap().recovery_codes_left, 3);
}

/// MUST succeed at most once per step, and for no earlier one afterwards; the step of the confirmation counts.
pub async fn a_step_is_used_once_and_no_earlier_one_afterwards(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    for (step, used) in [(10, false), (11, true), (11, false), (10, false), (13, true), (12, false)] {
        assert_eq!(scene.use_step(step).await, used, "{step}");
    }
}

/// AU-11: however many try at once.
pub async fn of_many_that_use_one_step_one_succeeds(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    let used = together((0..20).map(|_| scene.use_step(11))).await;
    assert_eq!(used.into_iter().filter(|used| *used).count(), 1);
}

/// AU-11: MUST succeed at most once per code, however many try at once.
pub async fn of_many_that_use_one_recovery_code_one_succeeds(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    let used = together((0..20).map(|_| scene.use_recovery_code(1))).await;
    assert_eq!(used.into_iter().filter(|used| *used).count(), 1);
    assert_eq!(scene.find().await.unwrap().recovery_codes_left, 2);
    assert!(!scene.use_recovery_code(9).await, "there is no such code");
    assert!(scene.use_recovery_code(2).await);
}

/// Nor do they tell whose they are.
pub async fn the_recovery_codes_of_another_are_not_used(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    let other = scene.world.user(Role::Doctor).await;
    let effects = Effects::default();
    assert!(!scene.store.use_recovery_code(other, hash(1), at(2), effects).await.unwrap());
    assert!(scene.use_recovery_code(1).await);
}

/// As [`lock_after`](crate::lock_after) says.
pub async fn the_fifth_wrong_code_locks_and_each_further_one_for_longer(
    fixture: Fixture<dyn SecondFactorStore>,
) {
    let scene = Scene::on(fixture).await;
    for _ in 1..MAX_FAILURES {
        assert_eq!(scene.attempt(0).await, Tried::Begun(None));
    }
    let mut now = 0;
    for lock in [30, 60, 120] {
        assert_eq!(scene.attempt(now).await, Tried::Begun(Some(now + lock)));
        assert_eq!(scene.attempt(now + lock - 1).await, Tried::Locked(now + lock));
        now += lock;
    }
}

/// However many come at once.
pub async fn of_many_tries_at_once_no_more_than_five_begin(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    let tries = together((0..20).map(|_| scene.attempt(0))).await;
    let begun = tries.iter().filter(|tried| matches!(tried, Tried::Begun(_))).count();
    assert_eq!(begun, MAX_FAILURES as usize, "{tries:?}");
}

/// So that five slips in a year lock nobody out.
pub async fn a_right_code_forgives_the_wrong_ones(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    for round in 0..2 {
        for _ in 1..MAX_FAILURES {
            assert_eq!(scene.attempt(0).await, Tried::Begun(None), "{round}");
        }
        assert_eq!(scene.attempt(0).await, Tried::Begun(Some(30)));
        if round == 0 {
            assert!(scene.use_step(11).await);
        } else {
            assert!(scene.use_recovery_code(1).await);
        }
    }
    assert_eq!(scene.attempt(0).await, Tried::Begun(None));
}

/// Neither for who has none, nor while it is being set up.
pub async fn there_is_nothing_to_try_before_it_is_on(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::of(fixture).await;
    assert_eq!(scene.attempt(0).await, Tried::Off);
    scene.begin(1).await.unwrap();
    assert_eq!(scene.attempt(0).await, Tried::Off);
    assert!(!scene.use_step(11).await && !scene.use_recovery_code(1).await);
    assert!(!scene.store.remove(scene.user, Effects::default()).await.unwrap());
    assert!(!scene.store.replace_recovery_codes(scene.user, &[hash(1)], Effects::default()).await.unwrap());
}

/// All of them, used or not.
pub async fn new_recovery_codes_replace_the_old_ones(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    assert!(scene.use_recovery_code(1).await);
    let new = [hash(4), hash(5)];
    assert!(scene.store.replace_recovery_codes(scene.user, &new, Effects::default()).await.unwrap());
    assert_eq!(scene.find().await.unwrap().recovery_codes_left, 2);
    assert!(!scene.use_recovery_code(2).await, "an old one");
    assert!(scene.use_recovery_code(4).await);
}

/// And can be set up anew.
pub async fn what_is_removed_is_gone(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    assert!(scene.store.remove(scene.user, scene.effects()).await.unwrap());
    assert!(!scene.store.remove(scene.user, scene.effects()).await.unwrap());
    assert_eq!((scene.find().await, scene.attempt(0).await), (None, Tried::Off));
    assert!(!scene.use_recovery_code(1).await);
    assert_eq!(scene.events().await, 3);
    scene.begin(2).await.unwrap();
    assert!(scene.confirm(2, 10).await);
}

/// In the same transaction; whose factor is not on is left alone.
pub async fn a_reset_ends_all_sessions(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::on(fixture).await;
    let other = scene.world.user(Role::Doctor).await;
    for user in [scene.user, other] {
        scene.world.open_session(user).await;
    }
    assert!(!scene.store.reset(other, at(2), scene.effects()).await.unwrap());
    assert!(scene.store.reset(scene.user, at(2), scene.effects()).await.unwrap());
    assert_eq!(scene.find().await, None);
    let reset = Some(RevocationReason::SecondFactorReset.as_str().to_owned());
    assert_eq!(scene.world.revocations(scene.user).await, [reset]);
    assert_eq!(scene.world.revocations(other).await, [None]);
}

/// But the one it is done in, in the same transaction; a wrong secret ends none.
pub async fn turning_it_on_ends_all_other_sessions(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::of(fixture).await;
    let kept = scene.world.open_session(scene.user).await;
    scene.world.open_session(scene.user).await;
    scene.begin(1).await.unwrap();
    assert_eq!(scene.confirm_in(kept, 2, 10).await, None);
    assert_eq!(scene.world.revocations(scene.user).await, [None, None]);
    assert!(scene.confirm_in(kept, 1, 10).await.is_some());
    let ended = Some(RevocationReason::SecondFactorOn.as_str().to_owned());
    let mut revocations = scene.world.revocations(scene.user).await;
    revocations.sort_unstable();
    assert_eq!(revocations, [None, ended]);
}

/// So that no sign-in under way forgets the factor; what changes nothing begins none.
pub async fn turning_it_on_or_off_begins_another_epoch(fixture: Fixture<dyn SecondFactorStore>) {
    let scene = Scene::of(fixture).await;
    let mut before = scene.world.epoch(scene.user).await;
    for reset in [false, true] {
        scene.begin(1).await.unwrap();
        assert!(!scene.confirm(2, 10).await);
        assert!(!scene.store.remove(scene.user, Effects::default()).await.unwrap());
        assert!(!scene.store.reset(scene.user, at(2), Effects::default()).await.unwrap());
        assert_eq!(scene.world.epoch(scene.user).await, before);
        let on = scene.confirm_in(SessionId::generate(&SystemIds), 1, 10).await.unwrap();
        assert_ne!(on, before);
        assert_eq!(scene.world.epoch(scene.user).await, on);
        assert!(match reset {
            false => scene.store.remove(scene.user, Effects::default()).await.unwrap(),
            true => scene.store.reset(scene.user, at(2), Effects::default()).await.unwrap(),
        });
        before = scene.world.epoch(scene.user).await;
        assert_ne!(before, on);
    }
}

// What the cases are written in

#[derive(Debug, PartialEq, Eq)]
enum Tried {
    Off,
    /// Until this second.
    Locked(i64),
    /// And would lock until this second.
    Begun(Option<i64>),
}

struct Scene {
    store: Arc<dyn SecondFactorStore>,
    world: Arc<dyn World>,
    user: UserId,
}

impl Scene {
    async fn of(Fixture { store, world }: Fixture<dyn SecondFactorStore>) -> Self {
        let user = world.user(Role::Doctor).await;
        Self { store, world, user }
    }

    /// Turned on at step 10, with the recovery codes 1, 2 and 3.
    async fn on(fixture: Fixture<dyn SecondFactorStore>) -> Self {
        let scene = Self::of(fixture).await;
        scene.begin(1).await.unwrap();
        assert!(scene.confirm(1, 10).await);
        scene
    }

    fn effects(&self) -> Effects {
        let changed = SecondFactorChanged { user_id: self.user, is_on: true };
        Effects::default().event(Event::new(&SystemIds, at(0), &changed))
    }

    async fn events(&self) -> usize {
        self.world.events().await.len()
    }

    async fn find(&self) -> Option<StoredFactor> {
        self.store.find(self.user).await.unwrap()
    }

    async fn begin(&self, n: u8) -> Result<(), Error> {
        self.store.begin(self.user, &secret(n), at(0), self.effects()).await
    }

    async fn confirm(&self, n: u8, step: i64) -> bool {
        self.confirm_in(SessionId::generate(&SystemIds), n, step).await.is_some()
    }

    /// The epoch that begins with it.
    async fn confirm_in(&self, session: SessionId, n: u8, step: i64) -> Option<CredentialEpoch> {
        let codes = vec![hash(1), hash(2), hash(3)];
        let (user_id, secret, at) = (self.user, secret(n), at(1));
        let confirmation = Confirmation { user_id, secret, step, codes, session, at };
        self.store.confirm(&confirmation, self.effects()).await.unwrap()
    }

    async fn use_step(&self, step: i64) -> bool {
        self.store.use_step(self.user, step, Effects::default()).await.unwrap()
    }

    async fn use_recovery_code(&self, n: u8) -> bool {
        self.store.use_recovery_code(self.user, hash(n), at(2), Effects::default()).await.unwrap()
    }

    async fn attempt(&self, seconds: i64) -> Tried {
        let second = |instant: DateTime<Utc>| (instant - at(0)).num_seconds();
        let now = at(0) + TimeDelta::seconds(seconds);
        match self.store.begin_attempt(self.user, now).await.unwrap() {
            Attempt::Off => Tried::Off,
            Attempt::Locked { until } => Tried::Locked(second(until)),
            Attempt::Begun { locks_until, .. } => Tried::Begun(locks_until.map(second)),
        }
    }
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
        + TimeDelta::days(20_000)
        + TimeDelta::minutes(minutes)
        + TimeDelta::microseconds(123_456)
}

fn secret(n: u8) -> Sealed {
    Sealed::from_bytes(vec![n; 40])
}

fn hash(n: u8) -> SecretHash {
    SecretHash([n; 32])
}
