//! What every [`ProfileStore`] and [`DirectoryStore`] MUST do, one case each. Run them all with
//! [`profile_store_conformance!`](crate::profile_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use alivio_kernel::ids::{IdSource, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{Effects, Event, Language, PageSize, Role, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::Fixture;
use crate::{
    CredentialStatus, DirectoryAfter, DirectoryQuery, DirectoryStore, Entry, EntryKeys, Error, ImageForm,
    ProfileChange, ProfileChanged, ProfileStore, PublishedEntry, RejectionReason, Sight, StepKind,
    StoredStep, Viewer, fold_key, fold_words,
};

/// Both ports on the same data: what one stores, the other finds.
pub trait Profiles: ProfileStore + DirectoryStore {}

impl<T: ProfileStore + DirectoryStore> Profiles for T {}

/// Tests your [`ProfileStore`] and [`DirectoryStore`]: one `#[tokio::test]` for every case in
/// [`testing::profile_store`].
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Fixture<dyn profile_store::Profiles>` that gives each case
/// an empty, isolated instance.
///
/// [`ProfileStore`]: crate::ProfileStore
/// [`DirectoryStore`]: crate::DirectoryStore
/// [`testing::profile_store`]: crate::testing::profile_store
#[macro_export]
macro_rules! profile_store_conformance {
    ($fresh:expr) => {
        mod profile_store_conformance {
            use super::*;
            $crate::profile_store_conformance! { @cases $fresh;
                a_new_user_has_an_empty_profile
                what_was_saved_reads_back_unchanged
                a_change_of_an_earlier_version_is_stale_and_stores_nothing
                a_change_of_another_identity_is_stale
                of_many_parallel_changes_one_is_stored_with_its_effects
                a_change_without_an_entry_leaves_none
                the_unpublished_are_professionals_without_an_entry
                steps_are_kept_in_their_order
                a_picture_replaces_another_and_its_version_grows
                removing_no_picture_stores_nothing
                entries_are_found_by_the_beginnings_of_their_words
                pages_go_by_folded_name
                filters_narrow
                everyone_sees_as_far_as_their_sight_goes
                the_deactivated_are_seen_by_nobody
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::profile_store::$case($fresh().await).await;
            }
        )*
    };
}

// Profiles

/// Version 0, and nothing else.
pub async fn a_new_user_has_an_empty_profile(Fixture { store, world }: Fixture<dyn Profiles>) {
    let user = world.user(Role::Doctor).await;
    let stored = store.load(user).await.unwrap().unwrap();
    assert_eq!((stored.user.id, stored.version), (user, 0));
    assert_eq!((stored.phone, stored.entry, stored.license_number), (None, None, None));
    assert_eq!(stored.avatar_version, None);
    assert!(store.load(UserId::generate(&SystemIds)).await.unwrap().is_none());
}

/// Every field.
pub async fn what_was_saved_reads_back_unchanged(Fixture { store, world }: Fixture<dyn Profiles>) {
    let user = world.user(Role::Doctor).await;
    let mut entry = named("María Martínez");
    entry.bio = Some("Dos\nlíneas".into());
    entry.listed = false;
    entry.credential_status = CredentialStatus::Verified;
    let published = published(entry.clone(), Some("Cardióloga"));
    let license_number = Some(Sealed::from_bytes(vec![7, 0, 7]));
    let change = ProfileChange {
        identity: Sealed::from_bytes(vec![2, 0, 2]),
        language: Language::English,
        phone: Some(Sealed::from_bytes(vec![3])),
        professional_title: Some("Cardióloga".into()),
        entry: Some(PublishedEntry { license_number: license_number.clone(), ..published }),
        ..change(&*store, user).await
    };
    store.save(&change, Effects::default()).await.unwrap();
    let stored = store.load(user).await.unwrap().unwrap();
    assert_eq!(
        (stored.version, &stored.user.identity, stored.user.language),
        (1, &change.identity, Language::English)
    );
    assert_eq!((stored.phone, stored.license_number), (change.phone, license_number));
    assert_eq!((stored.entry, stored.user.professional_title), (Some(entry), change.professional_title));
}

/// MUST answer [`Error::Stale`].
pub async fn a_change_of_an_earlier_version_is_stale_and_stores_nothing(
    Fixture { store, world }: Fixture<dyn Profiles>,
) {
    let user = world.user(Role::Doctor).await;
    let first = change(&*store, user).await;
    store.save(&first, Effects::default()).await.unwrap();
    let before = store.load(user).await.unwrap();
    let late = ProfileChange {
        professional_title: Some("x".into()),
        entry: Some(published(named("Otra"), None)),
        step: Some(step(user, StepKind::Submitted, 1)),
        ..first
    };
    let effects = Effects::default().event(event(user));
    assert!(matches!(store.save(&late, effects).await, Err(Error::Stale)));
    assert_eq!(store.load(user).await.unwrap(), before);
    assert!(store.credential_steps(&[user]).await.unwrap().is_empty() && world.events().await.is_empty());
}

/// Whoever changed it did not count: an address was confirmed, say.
pub async fn a_change_of_another_identity_is_stale(Fixture { store, world }: Fixture<dyn Profiles>) {
    let user = world.user(Role::Patient).await;
    let change = ProfileChange { read_identity: Sealed::from_bytes(vec![9]), ..change(&*store, user).await };
    assert!(matches!(store.save(&change, Effects::default()).await, Err(Error::Stale)));
    assert_eq!(store.load(user).await.unwrap().unwrap().version, 0);
}

/// Of any number of changes of what was read once, one is stored.
pub async fn of_many_parallel_changes_one_is_stored_with_its_effects(
    Fixture { store, world }: Fixture<dyn Profiles>,
) {
    let user = world.user(Role::Doctor).await;
    let read = change(&*store, user).await;
    let results = together((0..20).map(|n| {
        let (store, read) = (store.clone(), read.clone());
        async move {
            let entry = Some(published(named(&format!("Nombre {n}")), None));
            let step = Some(step(user, StepKind::Submitted, 1));
            let change = ProfileChange { entry, step, ..read };
            store.save(&change, Effects::default().event(event(user))).await
        }
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(Error::Stale))));
    assert_eq!(store.credential_steps(&[user]).await.unwrap().len(), 1);
    assert_eq!(world.events().await.len(), 1);
}

/// Theirs is not to be found any more.
pub async fn a_change_without_an_entry_leaves_none(Fixture { store, world }: Fixture<dyn Profiles>) {
    let user = publish(&*store, &*world, "Ana", Role::Doctor).await;
    store.save(&change(&*store, user).await, Effects::default()).await.unwrap();
    assert_eq!(store.load(user).await.unwrap().unwrap().entry, None);
    assert!(names(&*store, Sight::All, user, &all()).await.is_empty());
}

/// By id, after the one named.
pub async fn the_unpublished_are_professionals_without_an_entry(
    Fixture { store, world }: Fixture<dyn Profiles>,
) {
    publish(&*store, &*world, "Ana", Role::Doctor).await;
    let mut missing = Vec::new();
    for role in Role::ALL {
        let user = world.user(role).await;
        if crate::has_entry(role) {
            missing.push(user);
        }
    }
    missing.sort_unstable();
    let ids = async |after, limit| {
        let found = store.unpublished(after, limit).await.unwrap();
        found.into_iter().map(|profile| profile.user.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 10).await, missing);
    assert_eq!(ids(None, 2).await, missing[..2]);
    assert_eq!(ids(Some(missing[0]), 10).await, missing[1..]);
}

/// With all that was said.
pub async fn steps_are_kept_in_their_order(Fixture { store, world }: Fixture<dyn Profiles>) {
    let user = world.user(Role::Doctor).await;
    let other = world.user(Role::Doctor).await;
    let rejected = StoredStep {
        reason: Some(RejectionReason::Expired),
        note: Some(Sealed::from_bytes(vec![4])),
        ..step(other, StepKind::Rejected, 2)
    };
    let steps = [step(user, StepKind::Submitted, 1), rejected, step(user, StepKind::Withdrawn, 3)];
    for step in &steps {
        let change = ProfileChange { step: Some(step.clone()), ..change(&*store, user).await };
        store.save(&change, Effects::default()).await.unwrap();
    }
    let kept = store.credential_steps(&[user, other]).await.unwrap();
    assert_eq!(kept, steps.map(|step| (user, step)));
    assert!(store.credential_steps(&[other]).await.unwrap().is_empty());
}

// Pictures

/// At least the version asked for, and higher than before.
pub async fn a_picture_replaces_another_and_its_version_grows(
    Fixture { store, world }: Fixture<dyn Profiles>,
) {
    let (user, other) = (world.user(Role::Patient).await, world.user(Role::Patient).await);
    let mut last = 0;
    for (version, form) in
        [(100, ImageForm::Png), (100, ImageForm::Jpeg), (50, ImageForm::Png), (900, ImageForm::Png)]
    {
        let image = Sealed::from_bytes(vec![u8::try_from(version % 251).unwrap(), 1]);
        let effects = Effects::default().event(event(user));
        store.put_avatar(user, image.clone(), form, version, at(0), effects).await.unwrap();
        let (kept, kept_form, kept_version) = store.avatar(user).await.unwrap().unwrap();
        assert_eq!((kept, kept_form), (image, form));
        assert!(kept_version > last && kept_version >= version, "{kept_version} after {last}");
        last = kept_version;
    }
    assert_eq!(world.events().await.len(), 4);
    assert_eq!(store.avatar_versions(&[user, other]).await.unwrap(), [(user, last)]);
    assert_eq!(store.load(user).await.unwrap().unwrap().avatar_version, Some(last));
    store.remove_avatar(user, Effects::default().event(event(user))).await.unwrap();
    assert_eq!(store.avatar(user).await.unwrap(), None);
    assert_eq!(world.events().await.len(), 5);
}

/// Nothing happened, so there is nothing to tell.
pub async fn removing_no_picture_stores_nothing(Fixture { store, world }: Fixture<dyn Profiles>) {
    let user = world.user(Role::Patient).await;
    store.remove_avatar(user, Effects::default().event(event(user))).await.unwrap();
    assert!(world.events().await.is_empty());
}

// The directory

/// All of them must be there; nothing in them is special.
pub async fn entries_are_found_by_the_beginnings_of_their_words(
    Fixture { store, world }: Fixture<dyn Profiles>,
) {
    let viewer = publish(&*store, &*world, "María Martínez-O’Neill 3º", Role::Doctor).await;
    publish(&*store, &*world, "Martín de la Vega", Role::Student).await;
    publish(&*store, &*world, "李小龍", Role::Doctor).await;
    let find = async |text: &str| {
        let query = DirectoryQuery { words: fold_words(text), ..all() };
        names(&*store, Sight::All, viewer, &query).await
    };
    let maria = "María Martínez-O’Neill 3º";
    assert_eq!(find("martinez").await, [maria]);
    assert_eq!(find("MART").await, [maria, "Martín de la Vega"]);
    assert_eq!(find("neill mar 3").await, [maria]);
    assert_eq!(find("mart vega").await, ["Martín de la Vega"]);
    assert_eq!(find("李小").await, ["李小龍"]);
    for nothing in ["artinez", "martinez vega", "tsquery"] {
        assert!(find(nothing).await.is_empty(), "{nothing}");
    }
}

/// Then by id, and by no other order; one more than asked for tells that more follow.
pub async fn pages_go_by_folded_name(Fixture { store, world }: Fixture<dyn Profiles>) {
    let mut users = Vec::new();
    for name in ["Zoë", "ángel", "Ana", "Ángel", "Óscar B", "oscar a"] {
        users.push((fold_key(name), publish(&*store, &*world, name, Role::Doctor).await));
    }
    users.sort_unstable();
    let viewer = Viewer { user_id: users[0].1, sight: Sight::All };
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let query = DirectoryQuery { after: after.clone(), ..DirectoryQuery::new(size(2)) };
        let found = store.search(&viewer, &query).await.unwrap();
        let (found, more) = size(2).cut(found);
        seen.extend(found.iter().map(|p| (fold_key(&p.entry.as_ref().unwrap().full_name), p.user.id)));
        let (name_key, user_id) = seen.last().unwrap().clone();
        after = Some(DirectoryAfter { name_key, user_id });
        if !more {
            break;
        }
    }
    assert_eq!(seen, users);
    let offset = DirectoryQuery { offset: 4, ..DirectoryQuery::new(size(2)) };
    let found = store.search(&viewer, &offset).await.unwrap();
    assert_eq!(found.iter().map(|p| p.user.id).collect::<Vec<_>>(), [users[4].1, users[5].1]);
}

/// Role, title, specialty, institution and credentials, each by itself and together.
pub async fn filters_narrow(Fixture { store, world }: Fixture<dyn Profiles>) {
    let viewer = publish(&*store, &*world, "Ana", Role::Student).await;
    let user = world.user(Role::Doctor).await;
    let entry = Entry {
        specialty: Some("Cardiología".into()),
        institution: Some("Clínica X".into()),
        credential_status: CredentialStatus::Submitted,
        ..named("Eva")
    };
    let title = Some("Jefa");
    let change = ProfileChange {
        professional_title: title.map(str::to_owned),
        entry: Some(published(entry, title)),
        ..change(&*store, user).await
    };
    store.save(&change, Effects::default()).await.unwrap();
    let key = |text: &str| Some(fold_key(text));
    let fitting = DirectoryQuery {
        role: Some(Role::Doctor),
        title: key("JEFA"),
        specialty: key("cardiologia"),
        institution: key("clinica x"),
        credential_status: Some(CredentialStatus::Submitted),
        words: vec!["car".into()],
        ..all()
    };
    assert_eq!(names(&*store, Sight::All, viewer, &fitting).await, ["Eva"]);
    for other in [
        DirectoryQuery { role: Some(Role::Student), ..fitting.clone() },
        DirectoryQuery { title: key("jef"), ..fitting.clone() },
        DirectoryQuery { specialty: key("cardio"), ..fitting.clone() },
        DirectoryQuery { institution: key("clinica"), ..fitting.clone() },
        DirectoryQuery { credential_status: Some(CredentialStatus::Verified), ..fitting.clone() },
        DirectoryQuery { is_active: Some(false), ..fitting },
    ] {
        assert!(names(&*store, Sight::All, viewer, &other).await.is_empty(), "{other:?}");
    }
}

/// Themselves and those they are related to always, listed or not.
pub async fn everyone_sees_as_far_as_their_sight_goes(Fixture { store, world }: Fixture<dyn Profiles>) {
    let mut people = Vec::new();
    let (yes, no) = (CredentialStatus::Verified, CredentialStatus::Submitted);
    for (name, institution, listed, credential_status) in [
        ("A", "X", true, yes),
        ("B", "X", true, no),
        ("C", "X", false, yes),
        ("D", "Y", true, yes),
        ("E", "Y", false, no),
    ] {
        let user = world.user(Role::Doctor).await;
        let entry = Entry { institution: Some(institution.into()), listed, credential_status, ..named(name) };
        let change = ProfileChange { entry: Some(published(entry, None)), ..change(&*store, user).await };
        store.save(&change, Effects::default()).await.unwrap();
        people.push(user);
    }
    let patient = world.user(Role::Patient).await;
    world.relate(patient, people[4]).await;
    let (a, b, c) = (people[0], people[1], people[2]);
    for (viewer, sight, expected) in [
        (a, Sight::All, "A B C D E"),
        (a, Sight::Listed, "A B D"),
        (a, Sight::Institution, "A B"),
        (a, Sight::Related, "A"),
        (c, Sight::Institution, "A B C"),
        // Anyone can say that they work at X.
        (b, Sight::Institution, "B"),
        (patient, Sight::Related, "E"),
        (patient, Sight::Institution, "E"),
        (patient, Sight::Listed, "A B D E"),
    ] {
        let found = names(&*store, sight, viewer, &all()).await;
        assert_eq!(found.join(" "), expected, "{sight:?}");
        let as_seen = Viewer { user_id: viewer, sight };
        for (person, name) in people.iter().zip(["A", "B", "C", "D", "E"]) {
            let sees = store.sees(&as_seen, *person).await.unwrap();
            assert_eq!(sees, expected.contains(name), "{sight:?} {name}");
        }
        let counted = store.institutions(&as_seen, 0, 10).await.unwrap();
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<i64>(), i64::try_from(found.len()).unwrap());
    }
    // Those without an entry are seen by those they are related to, and by themselves.
    let sees = async |user_id, sight| store.sees(&Viewer { user_id, sight }, patient).await.unwrap();
    assert!(sees(people[4], Sight::Institution).await && sees(patient, Sight::Related).await);
    assert!(!sees(a, Sight::All).await && !sees(a, Sight::Listed).await);
    assert!(
        !store.sees(&Viewer { user_id: a, sight: Sight::All }, UserId::generate(&SystemIds)).await.unwrap()
    );
}

/// But a search may ask for them.
pub async fn the_deactivated_are_seen_by_nobody(Fixture { store, world }: Fixture<dyn Profiles>) {
    let viewer = publish(&*store, &*world, "Ana", Role::Doctor).await;
    let gone = publish(&*store, &*world, "Eva", Role::Doctor).await;
    world.deactivate(gone).await;
    assert_eq!(names(&*store, Sight::All, viewer, &all()).await, ["Ana"]);
    assert!(!store.sees(&Viewer { user_id: viewer, sight: Sight::All }, gone).await.unwrap());
    let any = DirectoryQuery { is_active: None, ..all() };
    assert_eq!(names(&*store, Sight::All, viewer, &any).await, ["Ana", "Eva"]);
    let inactive = DirectoryQuery { is_active: Some(false), ..all() };
    assert_eq!(names(&*store, Sight::All, viewer, &inactive).await, ["Eva"]);
    // Nor is someone whose role has no entry any more.
    world.set_role(viewer, Role::Patient).await;
    assert!(names(&*store, Sight::All, gone, &all()).await.is_empty());
}

// Helpers

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 20).unwrap()
}

fn all() -> DirectoryQuery {
    DirectoryQuery::new(size(50))
}

fn event(user_id: UserId) -> Event {
    Event::new(&SystemIds, at(0), &ProfileChanged { user_id })
}

fn step(by: UserId, kind: StepKind, minutes: i64) -> StoredStep {
    StoredStep { id: SystemIds.uuid(), kind, by, at: at(minutes), reason: None, note: None }
}

fn named(name: &str) -> Entry {
    Entry {
        full_name: name.to_owned(),
        display_name: name.to_owned(),
        specialty: None,
        institution: None,
        bio: None,
        listed: true,
        credential_status: CredentialStatus::Unverified,
        updated_at: at(0),
    }
}

fn published(entry: Entry, title: Option<&str>) -> PublishedEntry {
    PublishedEntry { keys: EntryKeys::of(&entry, title), entry, license_number: None }
}

/// A change of what is stored now, to no entry.
async fn change(store: &dyn Profiles, user: UserId) -> ProfileChange {
    let stored = store.load(user).await.unwrap().unwrap();
    ProfileChange {
        user_id: user,
        read_version: stored.version,
        read_identity: stored.user.identity.clone(),
        identity: stored.user.identity,
        language: stored.user.language,
        phone: None,
        professional_title: None,
        entry: None,
        step: None,
    }
}

async fn publish(store: &dyn Profiles, world: &dyn super::World, name: &str, role: Role) -> UserId {
    let user = world.user(role).await;
    let change = ProfileChange { entry: Some(published(named(name), None)), ..change(store, user).await };
    store.save(&change, Effects::default()).await.unwrap();
    user
}

async fn names(store: &dyn Profiles, sight: Sight, user_id: UserId, query: &DirectoryQuery) -> Vec<String> {
    let found = store.search(&Viewer { user_id, sight }, query).await.unwrap();
    found.into_iter().map(|profile| profile.entry.unwrap().full_name).collect()
}
