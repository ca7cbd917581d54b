//! What every [`UserAdministration`] MUST do, one case each. Run them all with
//! [`user_administration_conformance!`](crate::user_administration_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use alivio_kernel::ids::{IdSource, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{Effects, Event, Language, PageSize, Role, Sealed, Sensitive, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::Fixture;
use crate::{
    AccountChange, Changed, Error, RevocationReason, SessionsRevoked, StoredUser, UserAdministration,
    UserFilter,
};

/// Tests your [`UserAdministration`]: one `#[tokio::test]` for every case in [`testing::user_administration`].
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Fixture<dyn UserAdministration>` that gives each case
/// an empty, isolated instance.
///
/// [`UserAdministration`]: crate::UserAdministration
/// [`testing::user_administration`]: crate::testing::user_administration
#[macro_export]
macro_rules! user_administration_conformance {
    ($fresh:expr) => {
        mod user_administration_conformance {
            use super::*;
            $crate::user_administration_conformance! { @cases $fresh;
                accounts_are_listed_newest_first_page_by_page
                everything_that_is_asked_for_must_hold
                a_change_is_stored_once_with_its_effects
                unknown_users_are_told_apart_and_nothing_is_stored
                what_ends_sessions_begins_another_epoch
                the_last_active_administrator_stays
                of_administrators_that_remove_each_other_at_once_one_stays
                the_first_administrator_is_made_once_unless_forced
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::user_administration::$case($fresh().await).await;
            }
        )*
    };
}

type Administrated = Fixture<dyn UserAdministration>;

const REASON: RevocationReason = RevocationReason::Administrator;

fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn filter(size: i64) -> UserFilter {
    UserFilter {
        role: None,
        is_active: None,
        email_index: None,
        after: None,
        offset: 0,
        size: PageSize::parse(Some(size), 50).unwrap(),
    }
}

fn effects(user_id: UserId) -> Effects {
    let revoked = SessionsRevoked { user_id, except: None, reason: REASON };
    Effects::default().event(Event::new(&SystemIds, at(), &revoked))
}

async fn list(store: &dyn UserAdministration, filter: UserFilter) -> Vec<UserId> {
    store.list(&filter).await.unwrap().iter().map(|user| user.id).collect()
}

async fn one(store: &dyn UserAdministration, user: UserId) -> StoredUser {
    store.list(&filter(100)).await.unwrap().into_iter().find(|found| found.id == user).unwrap()
}

/// Nothing missed and nothing twice.
pub async fn accounts_are_listed_newest_first_page_by_page(Fixture { store, world }: Administrated) {
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(world.user(Role::Doctor).await);
    }
    all.sort_unstable();
    all.reverse();
    assert_eq!(list(&*store, filter(2)).await, all[..3], "one more than asked for");
    assert_eq!(list(&*store, UserFilter { after: Some(all[1]), ..filter(2) }).await, all[2..]);
    assert_eq!(list(&*store, UserFilter { offset: 4, ..filter(2) }).await, all[4..]);
}

/// Each filter alone, and together.
pub async fn everything_that_is_asked_for_must_hold(Fixture { store, world }: Administrated) {
    let (doctor, patient, gone) =
        (world.user(Role::Doctor).await, world.user(Role::Patient).await, world.user(Role::Doctor).await);
    world.deactivate(gone).await;
    assert_eq!(list(&*store, UserFilter { role: Some(Role::Patient), ..filter(9) }).await, [patient]);
    assert_eq!(list(&*store, UserFilter { is_active: Some(false), ..filter(9) }).await, [gone]);
    let both = UserFilter { role: Some(Role::Doctor), is_active: Some(true), ..filter(9) };
    assert_eq!(list(&*store, both).await, [doctor]);
    assert_eq!(list(&*store, UserFilter { email_index: Some([0; 16]), ..filter(9) }).await, []);
    assert_eq!(store.with_role(Role::Doctor).await.unwrap(), [doctor]);
    let admin = user();
    store
        .insert_administrator(
            &admin,
            [7; 16],
            &Sensitive::new(String::new()),
            true,
            false,
            Effects::default(),
        )
        .await
        .unwrap();
    assert_eq!(list(&*store, UserFilter { email_index: Some([7; 16]), ..filter(9) }).await, [admin.id]);
}

/// Doing it again changes and stores nothing.
pub async fn a_change_is_stored_once_with_its_effects(Fixture { store, world }: Administrated) {
    let user = world.user(Role::Doctor).await;
    for (change, is_active, role) in [
        (AccountChange::Deactivate, false, Role::Doctor),
        (AccountChange::Activate, true, Role::Doctor),
        (AccountChange::Role(Role::MedicalAdmin), true, Role::MedicalAdmin),
    ] {
        let effects = effects(user);
        let events = world.events().await.len();
        assert_eq!(store.change(user, change, REASON, at(), effects.clone()).await.unwrap(), Changed::Done);
        assert_eq!(
            store.change(user, change, REASON, at(), effects.clone()).await.unwrap(),
            Changed::Already
        );
        let found = one(&*store, user).await;
        assert_eq!((found.is_active, found.role), (is_active, role), "{change:?}");
        let after = world.events().await;
        assert!(after.len() == events + 1 && after.contains(&effects.events[0]), "{change:?}");
    }
    let end = store.change(user, AccountChange::EndSessions, REASON, at(), effects(user)).await.unwrap();
    assert_eq!(end, Changed::Done);
}

/// Not an error.
pub async fn unknown_users_are_told_apart_and_nothing_is_stored(Fixture { store, world }: Administrated) {
    let nobody = UserId::generate(&SystemIds);
    let changes = [
        AccountChange::Deactivate,
        AccountChange::Activate,
        AccountChange::Role(Role::Doctor),
        AccountChange::EndSessions,
    ];
    for change in changes {
        let changed = store.change(nobody, change, REASON, at(), effects(nobody)).await.unwrap();
        assert_eq!(changed, Changed::NoSuchUser, "{change:?}");
    }
    assert_eq!(world.events().await, []);
}

/// AU-10: so that no sign-in under way survives it; what was so already begins none.
pub async fn what_ends_sessions_begins_another_epoch(Fixture { store, world }: Administrated) {
    let user = world.user(Role::Doctor).await;
    for (change, begins) in [
        (AccountChange::Deactivate, true),
        (AccountChange::Deactivate, false),
        (AccountChange::Activate, false),
        (AccountChange::Role(Role::MedicalAdmin), true),
        (AccountChange::Role(Role::MedicalAdmin), false),
        (AccountChange::EndSessions, true),
    ] {
        world.open_session(user).await;
        let before = world.epoch(user).await;
        store.change(user, change, REASON, at(), effects(user)).await.unwrap();
        assert_eq!(world.epoch(user).await != before, begins, "{change:?}");
        assert_eq!(world.revocations(user).await.iter().all(Option::is_some), begins, "{change:?}");
    }
}

/// MUST answer [`Changed::LastAdministrator`] and store nothing. One who is not active does not count.
pub async fn the_last_active_administrator_stays(Fixture { store, world }: Administrated) {
    let (last, gone) = (world.user(Role::ItAdmin).await, world.user(Role::ItAdmin).await);
    world.deactivate(gone).await;
    for change in [AccountChange::Deactivate, AccountChange::Role(Role::Doctor)] {
        let changed = store.change(last, change, REASON, at(), effects(last)).await.unwrap();
        assert_eq!(changed, Changed::LastAdministrator, "{change:?}");
    }
    assert_eq!(world.events().await, []);
    let found = one(&*store, last).await;
    assert!(found.is_active && found.role == Role::ItAdmin);
    // Ending their sessions leaves them who they are; so does losing one who was not active.
    let changed = store.change(last, AccountChange::EndSessions, REASON, at(), effects(last)).await.unwrap();
    assert_eq!(changed, Changed::Done);
    let changed =
        store.change(gone, AccountChange::Role(Role::Doctor), REASON, at(), effects(gone)).await.unwrap();
    assert_eq!(changed, Changed::Done);
}

/// However they come.
pub async fn of_administrators_that_remove_each_other_at_once_one_stays(
    Fixture { store, world }: Administrated,
) {
    for change in [AccountChange::Deactivate, AccountChange::Role(Role::Doctor)] {
        let mut all = store.with_role(Role::ItAdmin).await.unwrap();
        while all.len() < 5 {
            all.push(world.user(Role::ItAdmin).await);
        }
        let removals = all.iter().map(|user| store.change(*user, change, REASON, at(), Effects::default()));
        let outcomes: Vec<_> = together(removals).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Changed::Done).count(), 4, "{outcomes:?}");
        assert_eq!(store.with_role(Role::ItAdmin).await.unwrap().len(), 1);
    }
}

/// MUST answer [`Error::AdministratorExists`], also when several are made at once.
pub async fn the_first_administrator_is_made_once_unless_forced(
    Fixture { store, world: _world }: Administrated,
) {
    let hash = Sensitive::new(String::new());
    let insert = |force| {
        let (store, hash) = (&store, &hash);
        async move {
            let index = SystemIds.uuid().into_bytes();
            store.insert_administrator(&user(), index, hash, true, force, Effects::default()).await
        }
    };
    let outcomes = together((0..10).map(|_| insert(false))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Error::AdministratorExists))));
    insert(true).await.unwrap();
    assert_eq!(store.with_role(Role::ItAdmin).await.unwrap().len(), 2);
    let taken = [7; 16];
    store.insert_administrator(&user(), taken, &hash, true, true, Effects::default()).await.unwrap();
    let again = store.insert_administrator(&user(), taken, &hash, true, true, Effects::default()).await;
    assert!(matches!(again, Err(Error::EmailTaken)), "{again:?}");
}

fn user() -> StoredUser {
    StoredUser {
        id: UserId::generate(&SystemIds),
        identity: Sealed::from_bytes(vec![1]),
        role: Role::ItAdmin,
        professional_title: None,
        language: Language::Spanish,
        is_active: true,
        last_seen_at: None,
        created_at: at(),
    }
}
