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
use alivio_kernel::sealing::{DataKeyStore, Scope, WrappedKey};
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
                the_active_key_is_the_one_with_the_highest_version
                scopes_have_keys_of_their_own
                a_version_that_exists_is_kept_and_answered
                of_many_that_race_for_a_version_the_first_is_what_all_get
                some_stored_key_is_the_sample
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
        assert_eq!(store.active(scope).await.unwrap(), Some(key.clone()));
        assert_eq!(store.by_ids(&[key.id]).await.unwrap(), [key]);
    }
}

/// Not an error.
pub async fn unknown_scopes_and_ids_have_no_keys(Fixture { store, world: _world }: Fixture) {
    let known = store.insert(key(user(), 1)).await.unwrap();
    assert_eq!(store.active(user()).await.unwrap(), None);
    let unknown = DataKeyId::generate(&SystemIds);
    assert_eq!(store.by_ids(&[unknown, known.id]).await.unwrap(), [known]);
    assert_eq!(store.by_ids(&[unknown]).await.unwrap(), []);
    assert_eq!(store.by_ids(&[]).await.unwrap(), []);
}

/// The newest usable key; those it replaces still open what they sealed.
pub async fn the_active_key_is_the_one_with_the_highest_version(Fixture { store, world: _world }: Fixture) {
    let scope = conversation();
    let mut keys = Vec::new();
    for version in 1..=3 {
        keys.push(store.insert(key(scope, version)).await.unwrap());
        assert_eq!(store.active(scope).await.unwrap().as_ref(), keys.last());
    }
    let mut found = store.by_ids(&keys.iter().map(|k| k.id).collect::<Vec<_>>()).await.unwrap();
    found.sort_by_key(|k| k.version);
    assert_eq!(found, keys);
}

/// A conversation and a user may even have the same id.
pub async fn scopes_have_keys_of_their_own(Fixture { store, world: _world }: Fixture) {
    let id = SystemIds.uuid();
    let scopes = [Scope::Conversation(id.into()), Scope::User(id.into()), conversation(), user()];
    let mut keys = Vec::new();
    for scope in scopes {
        keys.push(store.insert(key(scope, 1)).await.unwrap());
    }
    for (scope, key) in scopes.into_iter().zip(keys) {
        assert_eq!(store.active(scope).await.unwrap(), Some(key));
    }
}

/// What was sealed under the first key MUST NOT be lost to a second one.
pub async fn a_version_that_exists_is_kept_and_answered(Fixture { store, world: _world }: Fixture) {
    let scope = user();
    let first = store.insert(key(scope, 1)).await.unwrap();
    let late = key(scope, 1);
    assert_eq!(store.insert(late.clone()).await.unwrap(), first);
    assert_eq!(store.active(scope).await.unwrap(), Some(first));
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
    let winner = store.active(scope).await.unwrap().expect("a key");
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

// What the cases are written in

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
        kek_version: 3,
        wrapped: id.uuid().as_bytes().to_vec(),
        created_at: at(),
    }
}

fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::microseconds(123_456)
}
