//! What every [`DataKeyStore`] MUST do, one case each. Run them all with
//! [`data_key_store_conformance!`](crate::data_key_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::any::Any;
use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, DataKeyId, UserId};
use alivio_kernel::sealing::{DataKeyStore, KeyState, Rewrapped, Scope, WrappedKey};
use alivio_kernel::{IdSource, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

/// Tests your [`DataKeyStore`]: one `#[tokio::test]` for every case in [`conformance::data_key_store`].
///
/// `$fresh` names an `async fn() -> alivio_testkit::conformance::data_key_store::Fixture` that gives each
/// case an empty, isolated instance.
///
/// [`DataKeyStore`]: alivio_kernel::sealing::DataKeyStore
/// [`conformance::data_key_store`]: crate::conformance::data_key_store
#[macro_export]
macro_rules! data_key_store_conformance {
    ($fresh:expr) => {
        mod data_key_store_conformance {
            use super::*;
            $crate::data_key_store_conformance! { @cases $fresh;
                what_was_inserted_reads_back_unchanged
                unknown_scopes_and_ids_have_no_keys
                the_newest_key_is_the_one_with_the_highest_version
                scopes_have_keys_of_their_own
                a_version_that_exists_is_kept_and_answered
                of_many_that_race_for_a_version_the_first_is_what_all_get
                some_stored_key_is_the_sample
                keys_are_wrapped_anew_page_by_page
                a_key_is_wrapped_anew_only_as_it_was_read
                retired_keys_open_and_are_followed_by_newer_ones
                seals_are_counted_up_to_the_cap
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::conformance::data_key_store::$case($fresh().await).await;
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, without keys.
    pub store: Arc<dyn DataKeyStore>,
    /// Whatever must live as long as the case does, such as the test's database.
    pub world: Box<dyn Any + Send + Sync>,
}

/// Every field survives, the wrapped key byte for byte.
pub async fn what_was_inserted_reads_back_unchanged(Fixture { store, world: _world }: Fixture) {
    for scope in [conversation(), user()] {
        let key = WrappedKey { wrapped: (0..=u8::MAX).collect(), ..key(scope, 1) };
        assert_eq!(store.insert(key.clone()).await.unwrap(), key);
        assert_eq!(store.newest(scope).await.unwrap(), Some(key.clone()));
        assert_eq!(store.by_ids(&[key.id]).await.unwrap(), [key]);
    }
}

/// Not an error.
pub async fn unknown_scopes_and_ids_have_no_keys(Fixture { store, world: _world }: Fixture) {
    let known = store.insert(key(user(), 1)).await.unwrap();
    assert_eq!(store.newest(user()).await.unwrap(), None);
    let unknown = DataKeyId::generate(&SystemIds);
    assert_eq!(store.by_ids(&[unknown, known.id]).await.unwrap(), [known]);
    assert_eq!(store.by_ids(&[unknown]).await.unwrap(), []);
    assert_eq!(store.by_ids(&[]).await.unwrap(), []);
}

/// Those that it replaces still open what they sealed.
pub async fn the_newest_key_is_the_one_with_the_highest_version(Fixture { store, world: _world }: Fixture) {
    let scope = conversation();
    let mut keys = Vec::new();
    for version in 1..=3 {
        keys.push(store.insert(key(scope, version)).await.unwrap());
        assert_eq!(store.newest(scope).await.unwrap().as_ref(), keys.last());
    }
    let mut found = store.by_ids(&keys.iter().map(|k| k.id).collect::<Vec<_>>()).await.unwrap();
    found.sort_by_key(|k| k.version);
    assert_eq!(found, keys);
}

/// A conversation and a user may even have the same id.
pub async fn scopes_have_keys_of_their_own(Fixture { store, world: _world }: Fixture) {
    let id = SystemIds.uuid();
    let scopes = [
        Scope::Conversation(id.into()),
        Scope::User(id.into()),
        Scope::File(id.into()),
        conversation(),
        user(),
    ];
    let mut keys = Vec::new();
    for scope in scopes {
        keys.push(store.insert(key(scope, 1)).await.unwrap());
    }
    for (scope, key) in scopes.into_iter().zip(keys) {
        assert_eq!(store.newest(scope).await.unwrap(), Some(key));
    }
}

/// What was sealed under the first key MUST NOT be lost to a second one.
pub async fn a_version_that_exists_is_kept_and_answered(Fixture { store, world: _world }: Fixture) {
    let scope = user();
    let first = store.insert(key(scope, 1)).await.unwrap();
    let late = key(scope, 1);
    assert_eq!(store.insert(late.clone()).await.unwrap(), first);
    assert_eq!(store.newest(scope).await.unwrap(), Some(first));
    assert_eq!(store.by_ids(&[late.id]).await.unwrap(), [], "the second one is not stored");
}

/// When nodes race, the first one wins and MUST be what all get.
pub async fn of_many_that_race_for_a_version_the_first_is_what_all_get(
    Fixture { store, world: _world }: Fixture,
) {
    let scope = conversation();
    let offered: Vec<_> = (0..50).map(|_| key(scope, 1)).collect();
    let got: Vec<_> = join_all(offered.iter().map(|key| store.insert(key.clone())))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let winner = store.newest(scope).await.unwrap().expect("a key");
    assert!(offered.contains(&winner));
    assert!(got.iter().all(|key| *key == winner), "two nodes seal with different keys");
    let ids: Vec<_> = offered.iter().map(|key| key.id).collect();
    assert_eq!(store.by_ids(&ids).await.unwrap(), [winner]);
}

/// Any one, or none while there is none.
pub async fn some_stored_key_is_the_sample(Fixture { store, world: _world }: Fixture) {
    assert_eq!(store.sample().await.unwrap(), None);
    let mut stored = Vec::new();
    for scope in [user(), conversation(), user()] {
        stored.push(store.insert(key(scope, 1)).await.unwrap());
        let sample = store.sample().await.unwrap().expect("a key");
        assert!(stored.contains(&sample));
    }
}

/// Each once, in the order of their ids, whatever is wrapped anew meanwhile.
pub async fn keys_are_wrapped_anew_page_by_page(Fixture { store, world: _world }: Fixture) {
    let mut stored = Vec::new();
    for _ in 0..7 {
        stored.push(store.insert(key(conversation(), 1)).await.unwrap());
    }
    assert_eq!(store.not_wrapped_by(3, None, 10).await.unwrap(), [], "they are wrapped by 3");
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.not_wrapped_by(4, after, 3).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        store.rewrap(&page.iter().map(|key| anew(key, 4)).collect::<Vec<_>>()).await.unwrap();
        found.extend(page);
    }
    stored.sort_by_key(|key| key.id);
    assert_eq!(found, stored);
    for key in stored {
        let now = store.by_ids(&[key.id]).await.unwrap();
        assert_eq!(now, [WrappedKey { kek_version: 4, wrapped: b"anew".to_vec(), ..key }]);
    }
    assert_eq!(store.not_wrapped_by(4, None, 10).await.unwrap(), []);
    store.rewrap(&[]).await.unwrap();
}

/// What another has wrapped anew meanwhile MUST stay, or it would name a key that did not wrap it.
pub async fn a_key_is_wrapped_anew_only_as_it_was_read(Fixture { store, world: _world }: Fixture) {
    let key = store.insert(key(conversation(), 1)).await.unwrap();
    let stale = Rewrapped { from: 2, ..anew(&key, 4) };
    store.rewrap(&[stale]).await.unwrap();
    assert_eq!(store.by_ids(&[key.id]).await.unwrap(), [key]);
}

/// Once, oldest first, and no newer ones.
pub async fn retired_keys_open_and_are_followed_by_newer_ones(Fixture { store, world: _world }: Fixture) {
    let scope = conversation();
    let old = store.insert(key(scope, 1)).await.unwrap();
    let other = store.insert(key(user(), 1)).await.unwrap();
    let later = at() + TimeDelta::hours(1);
    let newer = store.insert(WrappedKey { created_at: later, ..key(user(), 1) }).await.unwrap();
    assert_eq!(store.retire(at(), 10).await.unwrap(), 0);
    assert_eq!(store.retire(later, 1).await.unwrap(), 1);
    assert_eq!(store.retire(later, 10).await.unwrap(), 1);
    assert_eq!(store.retire(later, 10).await.unwrap(), 0);
    for key in [&old, &other] {
        let now = store.by_ids(&[key.id]).await.unwrap();
        assert_eq!(now, [WrappedKey { state: KeyState::DecryptOnly, ..key.clone() }]);
    }
    assert_eq!(store.by_ids(&[newer.id]).await.unwrap(), [newer]);
    let next = store.insert(WrappedKey { created_at: later, ..key(scope, 2) }).await.unwrap();
    assert_eq!(store.newest(scope).await.unwrap(), Some(next));
}

/// Whoever counts it up to the cap is told so, and so is everyone after.
pub async fn seals_are_counted_up_to_the_cap(Fixture { store, world: _world }: Fixture) {
    let key = store.insert(key(conversation(), 1)).await.unwrap();
    let counted = join_all((0..9).map(|_| store.count_seals(key.id, 10, 100))).await;
    assert!(counted.into_iter().all(|state| state.unwrap() == KeyState::Active));
    assert_eq!(store.count_seals(key.id, 10, 100).await.unwrap(), KeyState::DecryptOnly);
    assert_eq!(store.count_seals(key.id, 1, 100).await.unwrap(), KeyState::DecryptOnly);
    assert_eq!(store.by_ids(&[key.id]).await.unwrap()[0].state, KeyState::DecryptOnly);
}

// What the cases are written in

fn anew(key: &WrappedKey, to: i32) -> Rewrapped {
    Rewrapped { id: key.id, from: key.kek_version, to, wrapped: b"anew".to_vec() }
}

fn conversation() -> Scope {
    Scope::Conversation(ConversationId::generate(&SystemIds))
}

fn user() -> Scope {
    Scope::User(UserId::generate(&SystemIds))
}

fn key(scope: Scope, version: i32) -> WrappedKey {
    let id = DataKeyId::generate(&SystemIds);
    WrappedKey {
        id,
        scope_kind: scope.kind().to_owned(),
        scope_id: scope.id(),
        version,
        state: KeyState::Active,
        kek_version: 3,
        wrapped: id.uuid().as_bytes().to_vec(),
        created_at: at(),
    }
}

fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::microseconds(123_456)
}
