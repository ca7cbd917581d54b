//! What every [`SessionStore`] MUST do, one case each. Run them all with
//! [`session_store_conformance!`](crate::session_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;

use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::{Caller, DomainEvent, Event, IdSource, Role, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use alivio_kernel::testing::together;

use super::{Fixture, World};
use crate::{LiveSession, NewSession, RevocationReason, Rotation, SecretHash, SessionRevoked, SessionStore};

/// Tests your [`SessionStore`]: one `#[tokio::test]` for every case in [`testing::session_store`].
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Fixture<dyn SessionStore>` that gives each
/// case an empty, isolated instance.
///
/// [`SessionStore`]: crate::SessionStore
/// [`testing::session_store`]: crate::testing::session_store
#[macro_export]
macro_rules! session_store_conformance {
    ($fresh:expr) => {
        mod session_store_conformance {
            use super::*;
            $crate::session_store_conformance! { @cases $fresh;
                an_opened_session_is_live
                a_session_past_its_end_is_not_live
                an_unknown_session_is_not_live
                the_role_of_a_live_session_is_the_one_they_have_now
                the_session_of_a_deactivated_user_is_not_live
                a_refresh_token_is_replaced_and_the_next_one_works
                a_used_refresh_token_is_told_and_changes_nothing
                of_many_that_present_one_refresh_token_one_succeeds
                unknown_and_expired_refresh_tokens_are_refused
                the_next_refresh_token_expires_as_told
                a_session_past_its_end_is_not_extended
                a_revoked_session_is_not_extended
                the_session_of_a_deactivated_user_is_not_extended
                a_revoked_session_is_not_live_and_its_event_is_stored
                revoking_again_stores_nothing
                of_many_parallel_revocations_one_stores_its_event
                revoking_one_session_leaves_the_others_alone
                a_ticket_is_taken_once
                of_many_that_take_one_ticket_one_gets_it
                expired_and_unknown_tickets_are_refused
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::session_store::$case($fresh().await).await;
            }
        )*
    };
}

// Living

/// With its owner, their role, and its end.
pub async fn an_opened_session_is_live(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    assert_eq!(scene.live(&session, 0).await, Some(scene.as_live(&session, Role::Doctor)));
}

/// Neither ended nor expired.
pub async fn a_session_past_its_end_is_not_live(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    assert!(scene.live(&session, END - 1).await.is_some());
    assert_eq!(scene.live(&session, END + 1).await, None);
}

/// Not an error.
pub async fn an_unknown_session_is_not_live(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    scene.open().await;
    assert_eq!(scene.store.live(SessionId::generate(&SystemIds), at(0)).await.unwrap(), None);
}

/// Not the one they had when they signed in.
pub async fn the_role_of_a_live_session_is_the_one_they_have_now(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    for role in [Role::MedicalAdmin, Role::Student] {
        scene.world.set_role(scene.user, role).await;
        assert_eq!(scene.live(&session, 0).await, Some(scene.as_live(&session, role)));
    }
    let rotated = scene.rotate(session.refresh, secret(), 1).await;
    assert_eq!(rotated, Rotation::Rotated(scene.as_live(&session, Role::Student)));
}

/// Its user MUST be active, at every use.
pub async fn the_session_of_a_deactivated_user_is_not_live(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    scene.world.deactivate(scene.user).await;
    assert_eq!(scene.live(&session, 0).await, None);
}

// Refreshing

/// Every token of the chain works once, and the session's end stays where it is.
pub async fn a_refresh_token_is_replaced_and_the_next_one_works(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let mut presented = session.refresh;
    for minutes in 1..5 {
        let next = secret();
        let rotated = scene.rotate(presented, next, minutes).await;
        assert_eq!(rotated, Rotation::Rotated(scene.as_live(&session, Role::Doctor)));
        presented = next;
    }
    assert_eq!(scene.live(&session, 5).await, Some(scene.as_live(&session, Role::Doctor)));
}

/// Nothing has changed yet: whether to end the session is for the caller to say.
pub async fn a_used_refresh_token_is_told_and_changes_nothing(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let (next, attempt) = (secret(), secret());
    scene.rotate(session.refresh, next, 1).await;
    for _ in 0..2 {
        assert_eq!(scene.rotate(session.refresh, attempt, 2).await, scene.reused(&session));
    }
    assert_eq!(scene.rotate(attempt, secret(), 3).await, Rotation::Refused, "no token was made");
    assert!(scene.live(&session, 3).await.is_some());
    assert_eq!(scene.events().await, []);
    assert!(matches!(scene.rotate(next, secret(), 3).await, Rotation::Rotated(_)));
}

/// Of many that present the same token, MUST let exactly one succeed, and tell the others that it was used.
pub async fn of_many_that_present_one_refresh_token_one_succeeds(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let nexts: Vec<_> = (0..20).map(|_| secret()).collect();
    let outcomes = together(nexts.iter().map(|next| scene.rotate(session.refresh, *next, 1))).await;
    let rotated = Rotation::Rotated(scene.as_live(&session, Role::Doctor));
    assert_eq!(outcomes.iter().filter(|o| **o == rotated).count(), 1);
    assert_eq!(outcomes.iter().filter(|o| **o == scene.reused(&session)).count(), 19);
    for (next, outcome) in nexts.into_iter().zip(outcomes) {
        let again = scene.rotate(next, secret(), 2).await;
        assert_eq!(again, if outcome == rotated { rotated } else { Rotation::Refused });
    }
}

/// A token that never was, and one whose time is over.
pub async fn unknown_and_expired_refresh_tokens_are_refused(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let next = secret();
    assert_eq!(scene.rotate(secret(), next, 0).await, Rotation::Refused);
    assert_eq!(scene.rotate(session.refresh, next, IDLE + 1).await, Rotation::Refused);
    assert_eq!(scene.rotate(next, secret(), 0).await, Rotation::Refused, "no token was made");
}

/// Each token has its own end.
pub async fn the_next_refresh_token_expires_as_told(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let [second, third] = [secret(), secret()];
    scene.rotate(session.refresh, second, 20).await;
    assert!(matches!(scene.rotate(second, third, 20 + IDLE - 1).await, Rotation::Rotated(_)));
    assert_eq!(scene.rotate(third, secret(), 20 + 2 * IDLE).await, Rotation::Refused);
}

/// MUST NOT extend a session past its end, even if the token's own time is not over.
pub async fn a_session_past_its_end_is_not_extended(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = NewSession { refresh_expires_at: at(END + 60), ..scene.draft() };
    scene.store.open(&session).await.unwrap();
    assert_eq!(scene.rotate(session.refresh, secret(), END + 1).await, Rotation::Refused);
}

/// MUST NOT extend a revoked session.
pub async fn a_revoked_session_is_not_extended(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let next = secret();
    scene.rotate(session.refresh, next, 1).await;
    scene.revoke(&session).await;
    assert_eq!(scene.rotate(next, secret(), 2).await, Rotation::Refused);
    assert!(!matches!(scene.rotate(session.refresh, secret(), 2).await, Rotation::Rotated(_)));
}

/// A rotation answers a session that may act; theirs may not.
pub async fn the_session_of_a_deactivated_user_is_not_extended(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    scene.world.deactivate(scene.user).await;
    assert_eq!(scene.rotate(session.refresh, secret(), 1).await, Rotation::Refused);
}

// Ending

/// State and event together.
pub async fn a_revoked_session_is_not_live_and_its_event_is_stored(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let event = scene.revoke(&session).await;
    assert_eq!(scene.live(&session, 1).await, None);
    assert_eq!(scene.events().await, [event]);
}

/// Repeating it changes nothing and stores nothing.
pub async fn revoking_again_stores_nothing(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let first = scene.revoke(&session).await;
    scene.revoke(&session).await;
    assert_eq!(scene.live(&session, 1).await, None);
    assert_eq!(scene.events().await, [first]);
}

/// One end, one event.
pub async fn of_many_parallel_revocations_one_stores_its_event(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    together((0..20).map(|_| scene.revoke(&session))).await;
    assert_eq!(scene.events().await.len(), 1);
}

/// Signing out on one device is not signing out on all.
pub async fn revoking_one_session_leaves_the_others_alone(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let [ended, other] = [scene.open().await, scene.open().await];
    scene.revoke(&ended).await;
    assert!(scene.live(&other, 1).await.is_some());
    assert!(matches!(scene.rotate(other.refresh, secret(), 1).await, Rotation::Rotated(_)));
}

// Tickets

/// MUST succeed at most once.
pub async fn a_ticket_is_taken_once(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let [one, other] = [scene.open().await, scene.open().await];
    let tickets = [secret(), secret(), secret()];
    for (ticket, session) in tickets.iter().zip([&one, &one, &other]) {
        scene.store.put_ticket(*ticket, session.id, at(0), at(1)).await.unwrap();
    }
    for (ticket, session) in tickets.iter().zip([&one, &one, &other]) {
        assert_eq!(scene.take(*ticket, 0).await, Some(session.id));
        assert_eq!(scene.take(*ticket, 0).await, None);
    }
}

/// MUST succeed at most once, however many try at once.
pub async fn of_many_that_take_one_ticket_one_gets_it(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let ticket = secret();
    scene.store.put_ticket(ticket, session.id, at(0), at(1)).await.unwrap();
    let taken = together((0..50).map(|_| scene.take(ticket, 0))).await;
    assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), [session.id]);
}

/// If it was still good.
pub async fn expired_and_unknown_tickets_are_refused(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let ticket = secret();
    scene.store.put_ticket(ticket, session.id, at(0), at(1)).await.unwrap();
    assert_eq!(scene.take(secret(), 0).await, None);
    assert_eq!(scene.take(ticket, 2).await, None);
}

// What the cases are written in

/// Minutes after which the cases' refresh tokens expire.
const IDLE: i64 = 30;
/// The minute in which the cases' sessions end.
const END: i64 = 12 * 60;

/// A store under test and one user.
struct Scene {
    store: Arc<dyn SessionStore>,
    world: Arc<dyn World>,
    user: UserId,
}

impl Scene {
    async fn of(Fixture { store, world }: Fixture<dyn SessionStore>) -> Self {
        let user = world.user(Role::Doctor).await;
        Self { store, world, user }
    }

    fn draft(&self) -> NewSession {
        NewSession {
            id: SessionId::generate(&SystemIds),
            user_id: self.user,
            created_at: at(0),
            expires_at: at(END),
            refresh: secret(),
            refresh_expires_at: at(IDLE),
        }
    }

    async fn open(&self) -> NewSession {
        let session = self.draft();
        self.store.open(&session).await.unwrap();
        session
    }

    async fn live(&self, session: &NewSession, minutes: i64) -> Option<LiveSession> {
        self.store.live(session.id, at(minutes)).await.unwrap()
    }

    async fn rotate(&self, presented: SecretHash, next: SecretHash, minutes: i64) -> Rotation {
        self.store.rotate(presented, next, at(minutes), at(minutes + IDLE)).await.unwrap()
    }

    /// The event that was offered with it.
    async fn revoke(&self, session: &NewSession) -> Event {
        let reason = RevocationReason::Logout;
        let revoked = SessionRevoked { session_id: session.id, user_id: session.user_id, reason };
        let event = Event::new(&SystemIds, at(1), &revoked);
        self.store.revoke(session.id, reason.as_str(), at(1), event.clone()).await.unwrap();
        event
    }

    async fn take(&self, ticket: SecretHash, minutes: i64) -> Option<SessionId> {
        self.store.take_ticket(ticket, at(minutes)).await.unwrap()
    }

    async fn events(&self) -> Vec<Event> {
        let mut events = self.world.events().await;
        events.retain(|event| event.kind == SessionRevoked::KIND);
        events
    }

    fn as_live(&self, session: &NewSession, role: Role) -> LiveSession {
        let caller = Caller { user_id: self.user, role, session_id: session.id };
        LiveSession { caller, expires_at: session.expires_at }
    }

    fn reused(&self, session: &NewSession) -> Rotation {
        Rotation::Reused { session_id: session.id, user_id: self.user }
    }
}

/// In the next century, so that an adapter may forget by its own clock what has long expired.
fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
        + TimeDelta::days(50_000)
        + TimeDelta::minutes(minutes)
        + TimeDelta::microseconds(123_456)
}

/// The hash of a secret of its own.
fn secret() -> SecretHash {
    let (a, b) = (SystemIds.uuid().into_bytes(), SystemIds.uuid().into_bytes());
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&a);
    hash[16..].copy_from_slice(&b);
    SecretHash(hash)
}
