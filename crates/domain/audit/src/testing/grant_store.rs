//! What every [`GrantStore`] MUST do, one case each. Run them all with
//! [`grant_store_conformance!`](crate::grant_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use alivio_kernel::ids::{ConversationId, GrantId, SessionId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{AuditEntry, Caller, Effects, Event, PageSize, Role, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::Fixture;
use crate::{After, BreakGlassOpened, Ended, Error, GRANT_LIFETIME, GrantStore, NewGrant, StoredGrant};

/// Tests your [`GrantStore`]: one `#[tokio::test]` for every case in [`testing::grant_store`].
///
/// `$fresh` names an `async fn() -> alivio_audit::testing::Fixture<dyn GrantStore>` that gives each case an empty,
/// isolated instance.
///
/// [`GrantStore`]: crate::GrantStore
/// [`testing::grant_store`]: crate::testing::grant_store
#[macro_export]
macro_rules! grant_store_conformance {
    ($fresh:expr) => {
        mod grant_store_conformance {
            use super::*;
            $crate::grant_store_conformance! { @cases $fresh;
                a_grant_is_stored_with_its_effects
                a_second_one_is_refused_while_the_first_is_open
                of_many_parallel_grants_one_is_stored
                a_changed_membership_stores_nothing
                ending_works_once_and_only_while_it_is_open
                grants_are_listed_newest_first
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::grant_store::$case($fresh().await).await;
            }
        )*
    };
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

fn grant(
    admin: UserId,
    (conversation, version): (ConversationId, i64),
    opened_at: DateTime<Utc>,
) -> NewGrant {
    NewGrant {
        id: GrantId::generate(&SystemIds),
        admin_id: admin,
        conversation_id: conversation,
        reason: Sealed::from_bytes((0..=u8::MAX).collect()),
        opened_at,
        expires_at: opened_at + GRANT_LIFETIME,
        members_version: version,
    }
}

/// One event and one entry.
fn effects(grant: &NewGrant) -> Effects {
    let opened = BreakGlassOpened {
        grant_id: grant.id,
        admin_id: grant.admin_id,
        conversation_id: grant.conversation_id,
        participants: vec![],
    };
    let caller = Caller {
        user_id: grant.admin_id,
        role: Role::MedicalAdmin,
        session_id: SessionId::generate(&SystemIds),
        address: None,
    };
    Effects::default().event(Event::new(&SystemIds, grant.opened_at, &opened)).audit(AuditEntry::by(
        &SystemIds,
        grant.opened_at,
        &caller,
        "break_glass.opened",
    ))
}

fn stored(grant: &NewGrant) -> StoredGrant {
    StoredGrant {
        id: grant.id,
        admin_id: grant.admin_id,
        conversation_id: grant.conversation_id,
        reason: grant.reason.clone(),
        opened_at: grant.opened_at,
        expires_at: grant.expires_at,
        ended_at: None,
        ended_by: None,
    }
}

/// Together, and every field survives.
pub async fn a_grant_is_stored_with_its_effects(Fixture { store, world }: Fixture<dyn GrantStore>) {
    let new = grant(world.admin().await, world.conversation().await, at(0));
    let (events, trail) = (world.events().await.len(), world.trail_length().await);
    let effects = effects(&new);
    store.open(&new, effects.clone()).await.unwrap();
    assert_eq!(store.find(new.id).await.unwrap(), Some(stored(&new)));
    assert_eq!(store.find(GrantId::generate(&SystemIds)).await.unwrap(), None);
    assert!(world.events().await.contains(&effects.events[0]));
    assert_eq!((world.events().await.len(), world.trail_length().await), (events + 1, trail + 1));
}

/// MUST answer [`Error::GrantOpen`] and store nothing; others and other conversations are not concerned.
pub async fn a_second_one_is_refused_while_the_first_is_open(
    Fixture { store, world }: Fixture<dyn GrantStore>,
) {
    let (admin, conversation) = (world.admin().await, world.conversation().await);
    let first = grant(admin, conversation, at(0));
    store.open(&first, effects(&first)).await.unwrap();
    let trail = world.trail_length().await;
    for minute in [0, 30, 59] {
        let second = grant(admin, conversation, at(minute));
        assert!(matches!(store.open(&second, effects(&second)).await, Err(Error::GrantOpen)), "{minute}");
        assert_eq!(store.find(second.id).await.unwrap(), None);
    }
    assert_eq!(world.trail_length().await, trail);
    let others = [
        grant(world.admin().await, conversation, at(1)),
        grant(admin, world.conversation().await, at(1)),
        grant(admin, conversation, at(60)),
    ];
    for other in others {
        store.open(&other, effects(&other)).await.unwrap();
    }
}

/// However many ask at once.
pub async fn of_many_parallel_grants_one_is_stored(Fixture { store, world }: Fixture<dyn GrantStore>) {
    let (admin, conversation) = (world.admin().await, world.conversation().await);
    let trail = world.trail_length().await;
    let opens = (0..20).map(|_| {
        let store = &store;
        async move {
            let grant = grant(admin, conversation, at(0));
            store.open(&grant, effects(&grant)).await
        }
    });
    let outcomes = together(opens).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Error::GrantOpen))), "{outcomes:?}");
    assert_eq!(world.trail_length().await, trail + 1);
}

/// MUST answer [`Error::Stale`]: those who would be told are no longer those who are in it.
pub async fn a_changed_membership_stores_nothing(Fixture { store, world }: Fixture<dyn GrantStore>) {
    let (admin, conversation) = (world.admin().await, world.conversation().await);
    world.add_somebody(conversation.0).await;
    let (events, trail) = (world.events().await.len(), world.trail_length().await);
    let late = grant(admin, conversation, at(0));
    assert!(matches!(store.open(&late, effects(&late)).await, Err(Error::Stale)));
    assert_eq!(store.find(late.id).await.unwrap(), None);
    assert_eq!((world.events().await.len(), world.trail_length().await), (events, trail));
}

/// MUST change and store nothing when it is over or unknown.
pub async fn ending_works_once_and_only_while_it_is_open(Fixture { store, world }: Fixture<dyn GrantStore>) {
    let (admin, other) = (world.admin().await, world.admin().await);
    let conversation = world.conversation().await;
    let new = grant(admin, conversation, at(0));
    store.open(&new, effects(&new)).await.unwrap();
    let trail = world.trail_length().await;
    assert_eq!(store.end(new.id, other, at(60), effects(&new)).await.unwrap(), Ended::NotOpen);
    assert_eq!(world.trail_length().await, trail);
    assert_eq!(store.end(new.id, other, at(5), effects(&new)).await.unwrap(), Ended::Ended);
    assert_eq!(world.trail_length().await, trail + 1);
    let over = StoredGrant { ended_at: Some(at(5)), ended_by: Some(other), ..stored(&new) };
    assert_eq!(store.find(new.id).await.unwrap(), Some(over.clone()));
    assert_eq!(store.end(new.id, admin, at(6), effects(&new)).await.unwrap(), Ended::NotOpen);
    assert_eq!(store.find(new.id).await.unwrap(), Some(over));
    let unknown = GrantId::generate(&SystemIds);
    assert_eq!(store.end(unknown, admin, at(6), effects(&new)).await.unwrap(), Ended::NotOpen);
    assert_eq!(world.trail_length().await, trail + 1);
    // What was ended does not stand in the way of a new one.
    let next = grant(admin, conversation, at(7));
    store.open(&next, effects(&next)).await.unwrap();
}

/// Nothing missed and nothing twice.
pub async fn grants_are_listed_newest_first(Fixture { store, world }: Fixture<dyn GrantStore>) {
    let admin = world.admin().await;
    let mut all = Vec::new();
    for minute in 0..5 {
        let new = grant(admin, world.conversation().await, at(minute));
        store.open(&new, effects(&new)).await.unwrap();
        all.insert(0, stored(&new));
    }
    let size = PageSize::parse(Some(3), 50).unwrap();
    assert_eq!(store.list(None, size).await.unwrap(), all[..4], "one more than asked for");
    let after = After { at: all[2].opened_at, id: all[2].id.uuid() };
    assert_eq!(store.list(Some(after), size).await.unwrap(), all[3..]);
}
