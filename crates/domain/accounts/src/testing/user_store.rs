//! What every [`UserStore`] MUST do, one case each. Run them all with
//! [`user_store_conformance!`](crate::user_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::BTreeSet;

use alivio_kernel::ids::UserId;
use alivio_kernel::{Language, Role, Sealed, Sensitive, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use alivio_kernel::testing::together;

use super::Fixture;
use crate::{CredentialEpoch, Credentials, Error, StoredUser, UserStore};

/// Tests your [`UserStore`]: one `#[tokio::test]` for every case in [`testing::user_store`].
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Fixture<dyn UserStore>` that gives each case
/// an empty, isolated instance.
///
/// [`UserStore`]: crate::UserStore
/// [`testing::user_store`]: crate::testing::user_store
#[macro_export]
macro_rules! user_store_conformance {
    ($fresh:expr) => {
        mod user_store_conformance {
            use super::*;
            $crate::user_store_conformance! { @cases $fresh;
                what_was_inserted_reads_back_unchanged
                unknown_addresses_and_ids_are_left_out
                a_deactivated_user_is_still_found
                a_taken_address_adds_nothing_and_leaves_the_first_untouched
                of_many_parallel_inserts_of_one_address_one_wins
                last_seen_never_goes_back
                last_seen_ends_at_the_latest_of_many_parallel_reports
                a_care_relationship_is_seen_from_both_sides
                relating_again_changes_nothing
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::user_store::$case($fresh().await).await;
            }
        )*
    };
}

/// Every field survives, the sealed identity byte for byte.
pub async fn what_was_inserted_reads_back_unchanged(
    Fixture { store, world: _world }: Fixture<dyn UserStore>,
) {
    let mut all = Vec::new();
    for (n, role) in (0..).zip(Role::ALL) {
        let user = StoredUser {
            identity: Sealed::from_bytes((0..=u8::MAX).rev().collect()),
            role,
            professional_title: (role == Role::Doctor).then(|| "Cardióloga".to_owned()),
            language: if role == Role::Student { Language::English } else { Language::Spanish },
            is_active: role != Role::Student,
            last_seen_at: (role == Role::Patient).then(|| at(9)),
            ..user()
        };
        store.insert(&user, [n; 16], &hash(n)).await.unwrap();
        let credentials = credentials(user.clone(), n);
        assert_eq!(store.credentials([n; 16]).await.unwrap(), Some(credentials));
        all.push(user);
    }
    let mut found = store.by_ids(&all.iter().map(|u| u.id).collect::<Vec<_>>()).await.unwrap();
    found.sort_by_key(|u| u.id);
    all.sort_by_key(|u| u.id);
    assert_eq!(found, all);
}

/// Not an error.
pub async fn unknown_addresses_and_ids_are_left_out(
    Fixture { store, world: _world }: Fixture<dyn UserStore>,
) {
    let known = user();
    store.insert(&known, [1; 16], &hash(1)).await.unwrap();
    assert_eq!(store.credentials([2; 16]).await.unwrap(), None);
    let nobody = UserId::generate(&SystemIds);
    assert_eq!(store.by_ids(&[nobody, known.id]).await.unwrap(), [known]);
    assert_eq!(store.by_ids(&[nobody]).await.unwrap(), []);
    assert_eq!(store.by_ids(&[]).await.unwrap(), []);
}

/// The user with this address, active or not.
pub async fn a_deactivated_user_is_still_found(Fixture { store, world }: Fixture<dyn UserStore>) {
    let user = user();
    store.insert(&user, [1; 16], &hash(1)).await.unwrap();
    world.deactivate(user.id).await;
    let inactive = StoredUser { is_active: false, ..user };
    assert_eq!(store.by_ids(&[inactive.id]).await.unwrap(), std::slice::from_ref(&inactive));
    let credentials = credentials(inactive, 1);
    assert_eq!(store.credentials([1; 16]).await.unwrap(), Some(credentials));
}

/// MUST answer [`Error::EmailTaken`], and add nothing.
pub async fn a_taken_address_adds_nothing_and_leaves_the_first_untouched(
    Fixture { store, world: _world }: Fixture<dyn UserStore>,
) {
    let (first, second) = (user(), StoredUser { role: Role::ItAdmin, ..user() });
    store.insert(&first, [1; 16], &hash(1)).await.unwrap();
    assert!(matches!(store.insert(&second, [1; 16], &hash(2)).await, Err(Error::EmailTaken)));
    assert_eq!(store.by_ids(&[first.id, second.id]).await.unwrap(), std::slice::from_ref(&first));
    let untouched = credentials(first, 1);
    assert_eq!(store.credentials([1; 16]).await.unwrap(), Some(untouched));
}

/// An address has one account, however many ask for it at once.
pub async fn of_many_parallel_inserts_of_one_address_one_wins(
    Fixture { store, world: _world }: Fixture<dyn UserStore>,
) {
    let users: Vec<_> = (0..50).map(|_| user()).collect();
    let inserts = (0..).zip(&users).map(|(n, user)| {
        let store = &store;
        async move { store.insert(user, [1; 16], &hash(n)).await }
    });
    let outcomes = together(inserts).await;
    let winners: Vec<_> = outcomes.iter().enumerate().filter(|(_, o)| o.is_ok()).map(|(n, _)| n).collect();
    let [winner] = *winners else { panic!("{} were inserted", winners.len()) };
    assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(Error::EmailTaken))), "{outcomes:?}");

    let expected = credentials(users[winner].clone(), u8::try_from(winner).unwrap());
    assert_eq!(store.credentials([1; 16]).await.unwrap(), Some(expected));
    let ids: Vec<_> = users.iter().map(|u| u.id).collect();
    assert_eq!(store.by_ids(&ids).await.unwrap(), [users[winner].clone()]);
}

/// MUST NOT go back in time.
pub async fn last_seen_never_goes_back(Fixture { store, world: _world }: Fixture<dyn UserStore>) {
    let [user, other] = [user(), user()];
    store.insert(&user, [1; 16], &hash(1)).await.unwrap();
    store.insert(&other, [2; 16], &hash(2)).await.unwrap();
    for (reported, expected) in [(5, 5), (3, 5), (5, 5), (8, 8)] {
        store.record_seen(user.id, at(reported)).await.unwrap();
        assert_eq!(last_seen(&*store, user.id).await, Some(at(expected)));
    }
    assert_eq!(last_seen(&*store, other.id).await, None);
}

/// MUST NOT go back in time, in whatever order the reports arrive.
pub async fn last_seen_ends_at_the_latest_of_many_parallel_reports(
    Fixture { store, world: _world }: Fixture<dyn UserStore>,
) {
    let user = user();
    store.insert(&user, [1; 16], &hash(1)).await.unwrap();
    // 37 and 50 have no common factor: every minute is reported once, in no order.
    let reports = together((0..50).map(|n| store.record_seen(user.id, at(n * 37 % 50)))).await;
    reports.into_iter().for_each(Result::unwrap);
    assert_eq!(last_seen(&*store, user.id).await, Some(at(49)));
}

/// Those of the people asked about, on either side, and nobody else.
pub async fn a_care_relationship_is_seen_from_both_sides(Fixture { store, world }: Fixture<dyn UserStore>) {
    let [patient, other_patient] = [world.user(Role::Patient).await, world.user(Role::Patient).await];
    let [doctor, other_doctor] = [world.user(Role::Doctor).await, world.user(Role::Doctor).await];
    let everyone = [patient, other_patient, doctor, other_doctor];
    store.relate(patient, doctor, at(0)).await.unwrap();
    store.relate(other_patient, doctor, at(0)).await.unwrap();
    for (user, expected) in [
        (patient, vec![doctor]),
        (other_patient, vec![doctor]),
        (doctor, vec![patient, other_patient]),
        (other_doctor, vec![]),
    ] {
        let expected: BTreeSet<_> = expected.into_iter().collect();
        assert_eq!(related(&*store, user, &everyone).await, expected);
    }
    assert_eq!(
        related(&*store, doctor, &[patient]).await,
        BTreeSet::from([patient]),
        "only those asked about"
    );
    assert_eq!(
        related(&*store, doctor, &[other_doctor, UserId::generate(&SystemIds)]).await,
        BTreeSet::new()
    );
    assert_eq!(related(&*store, doctor, &[]).await, BTreeSet::new());
}

/// Repeating it changes nothing, also when both sides do it at once.
pub async fn relating_again_changes_nothing(Fixture { store, world }: Fixture<dyn UserStore>) {
    let (patient, doctor) = (world.user(Role::Patient).await, world.user(Role::Doctor).await);
    let repeats = together((0..20).map(|n| store.relate(patient, doctor, at(n)))).await;
    repeats.into_iter().for_each(Result::unwrap);
    store.relate(patient, doctor, at(99)).await.unwrap();
    assert_eq!(store.related(doctor, &[patient]).await.unwrap(), [patient], "named once");
    assert_eq!(store.related(patient, &[doctor]).await.unwrap(), [doctor], "named once");
}

// What the cases are written in

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
        + TimeDelta::days(20_000)
        + TimeDelta::minutes(minutes)
        + TimeDelta::microseconds(123_456)
}

fn user() -> StoredUser {
    StoredUser {
        id: UserId::generate(&SystemIds),
        identity: Sealed::from_bytes(vec![7; 40]),
        role: Role::Doctor,
        professional_title: None,
        language: Language::Spanish,
        is_active: true,
        last_seen_at: None,
        created_at: at(0),
    }
}

fn credentials(user: StoredUser, n: u8) -> Credentials {
    Credentials { user, password_hash: Some(hash(n)), must_change_password: false, epoch: CredentialEpoch(0) }
}

fn hash(n: u8) -> Sensitive<String> {
    Sensitive::new(format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${n}"))
}

async fn last_seen(store: &dyn UserStore, user: UserId) -> Option<DateTime<Utc>> {
    store.by_ids(&[user]).await.unwrap().pop().expect("a user").last_seen_at
}

async fn related(store: &dyn UserStore, user: UserId, others: &[UserId]) -> BTreeSet<UserId> {
    store.related(user, others).await.unwrap().into_iter().collect()
}
