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
use alivio_kernel::{Caller, DomainEvent, Effects, Event, IdSource, Origin, Role, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use alivio_kernel::testing::together;

use super::{Fixture, World};
use crate::{
    Admission, CredentialEpoch, Error, LiveSession, NewRefresh, NewSession, RevocationReason, Rotation,
    SecretHash, SessionRecord, SessionRevoked, SessionStage, SessionStore, SessionsRevoked, UnusualSignIn,
};

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
                a_session_goes_idle
                activity_keeps_a_session_alive
                activity_never_goes_back
                what_is_over_is_not_revived
                a_refresh_is_activity
                the_oldest_session_gives_way
                of_many_opened_at_once_no_more_live_than_may
                only_live_sessions_of_the_same_kind_count
                a_step_leads_to_one_session
                a_step_that_is_over_leads_nowhere
                a_deactivated_user_opens_nothing
                what_was_proved_before_all_sessions_ended_opens_nothing
                of_many_sign_ins_under_way_none_outlives_the_end_of_all_sessions
                live_sessions_are_listed_the_newest_first
                a_sign_in_from_elsewhere_is_unusual
                what_was_usual_long_ago_is_unusual
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
                the_session_of_another_is_not_revoked
                all_sessions_end_but_one
                ending_all_again_stores_nothing
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
    scene.keep_alive(&session, END - 1).await;
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
    let rotated = scene.rotate(session.refresh.unwrap().hash, secret(), 1).await;
    assert_eq!(rotated, Rotation::Rotated(scene.as_live_at(&session, Role::Student, 1)));
}

/// Its user MUST be active, at every use.
pub async fn the_session_of_a_deactivated_user_is_not_live(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    scene.world.deactivate(scene.user).await;
    assert_eq!(scene.live(&session, 0).await, None);
}

// Going idle

/// [`IDLE_LIFETIME`](crate::IDLE_LIFETIME) after the last that was done in it, and asking is nothing (AU-09).
pub async fn a_session_goes_idle(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let live = async |seconds| {
        let now = at(0) + TimeDelta::seconds(seconds);
        scene.store.live(session.id, now).await.unwrap().is_some()
    };
    for seconds in [0, 29 * 60, 29 * 60 + 59] {
        assert!(live(seconds).await, "{seconds}");
    }
    assert!(!live(30 * 60 + 1).await);
    assert_eq!(scene.living(IDLE + 1).await, []);
    assert_eq!(scene.rotate(session.refresh.unwrap().hash, secret(), IDLE + 1).await, Rotation::Refused);
}

/// And shows when it was.
pub async fn activity_keeps_a_session_alive(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    for minutes in [29, 58, 87] {
        assert!(scene.touch(&session, at(minutes)).await);
        assert_eq!(
            scene.live(&session, minutes + 29).await,
            Some(scene.as_live_at(&session, Role::Doctor, minutes))
        );
    }
    assert_eq!(scene.live(&session, 87 + 31).await, None);
}

/// MUST NOT go back in time.
pub async fn activity_never_goes_back(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    for (noted, expected) in [(5, 5), (3, 5), (8, 8)] {
        assert!(scene.touch(&session, at(noted)).await);
        assert_eq!(scene.live(&session, 8).await, Some(scene.as_live_at(&session, Role::Doctor, expected)));
    }
}

/// MUST NOT revive a session that is not live.
pub async fn what_is_over_is_not_revived(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let [idle, revoked, alive] = [scene.open().await, scene.open().await, scene.open().await];
    scene.revoke(&revoked).await;
    assert!(!scene.touch(&idle, at(31)).await);
    assert!(!scene.touch(&revoked, at(2)).await);
    assert!(!scene.store.touch(SessionId::generate(&SystemIds), at(0)).await.unwrap());
    scene.keep_alive(&alive, END - 1).await;
    assert!(!scene.touch(&alive, at(END + 1)).await, "past its end");
    assert_eq!(scene.live(&idle, 31).await, None);

    let scene_user = scene.open().await;
    scene.world.deactivate(scene.user).await;
    assert!(!scene.touch(&scene_user, at(1)).await);
}

/// Notes activity.
pub async fn a_refresh_is_activity(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    assert!(matches!(scene.rotate(session.refresh.unwrap().hash, secret(), 29).await, Rotation::Rotated(_)));
    assert!(scene.live(&session, 29 + 29).await.is_some());
    assert_eq!(scene.live(&session, 29 + 31).await, None);
}

// Opening

/// MUST leave no more live sessions than may be, by ending the oldest; each end has its effects.
pub async fn the_oldest_session_gives_way(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let mut opened = Vec::new();
    for minute in 0..5 {
        let session = NewSession { created_at: at(minute), ..scene.draft() };
        let evicted = scene.store.open(&session, &tight(3, scene.user)).await.unwrap();
        opened.insert(0, session.id);
        let oldest = opened.get(3).copied();
        assert_eq!(evicted, Vec::from_iter(oldest), "{minute}");
        opened.truncate(3);
        assert_eq!(scene.living(minute).await, opened);
    }
    let revoked = scene.events_of::<SessionRevoked>().await;
    assert_eq!(revoked.len(), 2);
    assert!(revoked.iter().all(|event| event.reason == RevocationReason::Evicted));
}

/// AU-14: however many are opened at once.
pub async fn of_many_opened_at_once_no_more_live_than_may(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let drafts: Vec<_> = (0..20).map(|_| scene.draft()).collect();
    let admission = tight(5, scene.user);
    let opened = together(drafts.iter().map(|draft| scene.store.open(draft, &admission))).await;
    let evicted: usize = opened.into_iter().map(|evicted| evicted.unwrap().len()).sum();
    assert_eq!((evicted, scene.living(0).await.len()), (15, 5));
    assert_eq!(scene.events_of::<SessionRevoked>().await.len(), 15);
}

/// Of its kind, and live: neither a step nor what is over takes a full session's place.
pub async fn only_live_sessions_of_the_same_kind_count(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let idle = scene.open().await;
    let revoked = NewSession { created_at: at(29), ..scene.draft() };
    scene.admit(&revoked).await;
    scene.revoke(&revoked).await;
    let step =
        NewSession { created_at: at(30), stage: SessionStage::SecondFactor, refresh: None, ..scene.draft() };
    let full = NewSession { created_at: at(31), ..scene.draft() };
    for session in [&step, &full] {
        assert_eq!(scene.store.open(session, &tight(1, scene.user)).await.unwrap(), []);
    }
    assert_eq!(scene.living(31).await, [full.id, step.id]);
    assert_eq!(scene.live(&idle, 31).await, None);
}

/// MUST end the session of the step, and let it lead to one session only, however often it is tried at once.
pub async fn a_step_leads_to_one_session(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let step = NewSession { stage: SessionStage::SecondFactor, refresh: None, ..scene.draft() };
    scene.admit(&step).await;
    let drafts: Vec<_> = (0..20).map(|_| NewSession { replaces: Some(step.id), ..scene.draft() }).collect();
    let admission = roomy();
    let opened = together(drafts.iter().map(|draft| scene.store.open(draft, &admission))).await;
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
    assert!(opened.iter().all(|opened| matches!(opened, Ok(_) | Err(Error::SessionEnded))), "{opened:?}");
    assert_eq!(scene.live(&step, 0).await, None);
    assert_eq!(scene.living(0).await.len(), 1);
}

/// MUST answer [`Error::SessionEnded`] and store nothing.
pub async fn a_step_that_is_over_leads_nowhere(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let step =
        NewSession { stage: SessionStage::SecondFactor, refresh: None, expires_at: at(10), ..scene.draft() };
    scene.admit(&step).await;
    let late = NewSession { replaces: Some(step.id), created_at: at(11), ..scene.draft() };
    let unknown = NewSession { replaces: Some(SessionId::generate(&SystemIds)), ..scene.draft() };
    for session in [late, unknown] {
        let refused = scene.store.open(&session, &roomy()).await;
        assert!(matches!(refused, Err(Error::SessionEnded)), "{refused:?}");
        assert_eq!(scene.live(&session, 0).await, None);
    }
    assert_eq!(scene.living(0).await, [step.id]);
}

/// MUST answer [`Error::InvalidCredentials`] and store nothing.
pub async fn a_deactivated_user_opens_nothing(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    scene.world.deactivate(scene.user).await;
    let draft = scene.draft();
    let refused = scene.store.open(&draft, &roomy()).await;
    assert!(matches!(refused, Err(Error::InvalidCredentials)), "{refused:?}");
    assert_eq!(scene.rotate(draft.refresh.unwrap().hash, secret(), 0).await, Rotation::Refused);
}

/// AU-10: MUST answer [`Error::InvalidCredentials`] and store nothing, even if there was no session to end.
pub async fn what_was_proved_before_all_sessions_ended_opens_nothing(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let before = scene.draft();
    assert_eq!(before.epoch, scene.world.epoch(scene.user).await);
    assert!(!scene.revoke_all(None).await.1, "there was none");
    let epoch = scene.world.epoch(scene.user).await;
    assert_ne!(before.epoch, epoch);
    let refused = scene.store.open(&before, &roomy()).await;
    assert!(matches!(refused, Err(Error::InvalidCredentials)), "{refused:?}");
    assert_eq!(scene.rotate(before.refresh.unwrap().hash, secret(), 0).await, Rotation::Refused);
    scene.admit(&NewSession { epoch, ..scene.draft() }).await;
    assert_eq!(scene.living(0).await.len(), 1);
}

/// AU-10: whichever comes first.
pub async fn of_many_sign_ins_under_way_none_outlives_the_end_of_all_sessions(
    fixture: Fixture<dyn SessionStore>,
) {
    let scene = Scene::of(fixture).await;
    let (scene, admission) = (&scene, &roomy());
    let race = together((0..21).map(|n| async move {
        if n == 10 {
            scene.revoke_all(None).await;
            return Ok(());
        }
        scene.store.open(&scene.draft(), admission).await.map(drop)
    }));
    for opened in race.await {
        assert!(matches!(opened, Ok(()) | Err(Error::InvalidCredentials)), "{opened:?}");
    }
    assert_eq!(scene.living(0).await, []);
}

/// With all that is known of them.
pub async fn live_sessions_are_listed_the_newest_first(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let first = scene.open().await;
    let origin = Origin { address: Some("2001:db8::7".parse().unwrap()), device: None };
    let second = NewSession {
        created_at: at(2),
        origin,
        stage: SessionStage::ChangePassword,
        refresh: None,
        ..scene.draft()
    };
    scene.admit(&second).await;
    let over = scene.open().await;
    scene.revoke(&over).await;
    scene.touch(&first, at(3)).await;
    let record = |session: &NewSession, last_active| SessionRecord {
        id: session.id,
        created_at: session.created_at,
        last_active_at: at(last_active),
        expires_at: session.expires_at,
        stage: session.stage,
        origin: session.origin.clone(),
        is_new_device: false,
    };
    let listed = scene.store.list(scene.user, at(4)).await.unwrap();
    assert_eq!(listed, [record(&second, 2), record(&first, 3)]);
    let other = scene.world.user(Role::Patient).await;
    assert_eq!(scene.store.list(other, at(4)).await.unwrap(), []);
}

/// S0-233: another device or another network than of late; the first sign-in ever is not.
pub async fn a_sign_in_from_elsewhere_is_unusual(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let mut expected = Vec::new();
    for (address, device, is_new) in [
        ("192.0.2.7", "Firefox", false),
        ("192.0.2.200", "Firefox", false),
        ("192.0.3.7", "Firefox", true),
        ("192.0.3.8", "Safari", true),
        ("192.0.2.9", "Safari", false),
        ("2001:db8:1::1", "Safari", true),
        ("2001:db8:1:ffff::1", "Safari", false),
        ("2001:db8:2::1", "Safari", true),
    ] {
        let origin = Origin { address: Some(address.parse().unwrap()), device: Some(device.into()) };
        let session = NewSession { origin, ..scene.draft() };
        let unusual = UnusualSignIn { user_id: scene.user, session_id: session.id };
        let unusual = Effects::default().event(Event::new(&SystemIds, at(0), &unusual));
        scene.store.open(&session, &Admission { unusual, ..roomy() }).await.unwrap();
        let records = scene.store.list(scene.user, at(0)).await.unwrap();
        let record = records.iter().find(|record| record.id == session.id).unwrap();
        assert_eq!(record.is_new_device, is_new, "{address} {device}");
        if is_new {
            expected.push(session.id);
        }
    }
    let mut told: Vec<_> =
        scene.events_of::<UnusualSignIn>().await.into_iter().map(|event| event.session_id).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

/// [`USUAL_FOR`](crate::USUAL_FOR) later.
pub async fn what_was_usual_long_ago_is_unusual(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    scene.open().await;
    for (days, is_new) in [(89, false), (89 + 91, true)] {
        let created_at = at(days * 24 * 60);
        let expires_at = created_at + TimeDelta::hours(12);
        let session = NewSession { created_at, expires_at, refresh: None, ..scene.draft() };
        scene.admit(&session).await;
        let records = scene.store.list(scene.user, created_at).await.unwrap();
        assert_eq!(records[0].is_new_device, is_new, "{days}");
    }
}

// Refreshing

/// Every token of the chain works once, and the session's end stays where it is.
pub async fn a_refresh_token_is_replaced_and_the_next_one_works(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let mut presented = session.refresh.unwrap().hash;
    for minutes in 1..5 {
        let next = secret();
        let rotated = scene.rotate(presented, next, minutes).await;
        assert_eq!(rotated, Rotation::Rotated(scene.as_live_at(&session, Role::Doctor, minutes)));
        presented = next;
    }
    assert_eq!(scene.live(&session, 5).await, Some(scene.as_live_at(&session, Role::Doctor, 4)));
}

/// Nothing has changed yet: whether to end the session is for the caller to say.
pub async fn a_used_refresh_token_is_told_and_changes_nothing(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let (next, attempt) = (secret(), secret());
    scene.rotate(session.refresh.unwrap().hash, next, 1).await;
    for _ in 0..2 {
        assert_eq!(scene.rotate(session.refresh.unwrap().hash, attempt, 2).await, scene.reused(&session));
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
    let outcomes =
        together(nexts.iter().map(|next| scene.rotate(session.refresh.unwrap().hash, *next, 1))).await;
    let rotated = Rotation::Rotated(scene.as_live_at(&session, Role::Doctor, 1));
    assert_eq!(outcomes.iter().filter(|o| **o == rotated).count(), 1);
    assert_eq!(outcomes.iter().filter(|o| **o == scene.reused(&session)).count(), 19);
    for (next, outcome) in nexts.into_iter().zip(outcomes) {
        let again = scene.rotate(next, secret(), 1).await;
        assert_eq!(again, if outcome == rotated { rotated } else { Rotation::Refused });
    }
}

/// A token that never was, and one whose time is over.
pub async fn unknown_and_expired_refresh_tokens_are_refused(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let next = secret();
    assert_eq!(scene.rotate(secret(), next, 0).await, Rotation::Refused);
    assert_eq!(scene.rotate(session.refresh.unwrap().hash, next, IDLE + 1).await, Rotation::Refused);
    assert_eq!(scene.rotate(next, secret(), 0).await, Rotation::Refused, "no token was made");
}

/// Each token has its own end.
pub async fn the_next_refresh_token_expires_as_told(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let [second, third] = [secret(), secret()];
    scene.rotate(session.refresh.unwrap().hash, second, 20).await;
    assert!(matches!(scene.rotate(second, third, 20 + IDLE - 1).await, Rotation::Rotated(_)));
    assert_eq!(scene.rotate(third, secret(), 20 + 2 * IDLE).await, Rotation::Refused);
}

/// MUST NOT extend a session past its end, even if the token's own time is not over.
pub async fn a_session_past_its_end_is_not_extended(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = NewSession {
        refresh: Some(NewRefresh { hash: secret(), expires_at: at(END + 60) }),
        ..scene.draft()
    };
    scene.admit(&session).await;
    scene.keep_alive(&session, END - 1).await;
    assert_eq!(scene.rotate(session.refresh.unwrap().hash, secret(), END + 1).await, Rotation::Refused);
}

/// MUST NOT extend a revoked session.
pub async fn a_revoked_session_is_not_extended(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let next = secret();
    scene.rotate(session.refresh.unwrap().hash, next, 1).await;
    scene.revoke(&session).await;
    assert_eq!(scene.rotate(next, secret(), 2).await, Rotation::Refused);
    assert!(!matches!(scene.rotate(session.refresh.unwrap().hash, secret(), 2).await, Rotation::Rotated(_)));
}

/// A rotation answers a session that may act; theirs may not.
pub async fn the_session_of_a_deactivated_user_is_not_extended(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    scene.world.deactivate(scene.user).await;
    assert_eq!(scene.rotate(session.refresh.unwrap().hash, secret(), 1).await, Rotation::Refused);
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
    assert!(matches!(scene.rotate(other.refresh.unwrap().hash, secret(), 1).await, Rotation::Rotated(_)));
}

/// Naming the session of another MUST change nothing and store nothing.
pub async fn the_session_of_another_is_not_revoked(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let session = scene.open().await;
    let other = scene.world.user(Role::ItAdmin).await;
    assert!(!scene.end(&session, other).await.1);
    assert!(scene.live(&session, 1).await.is_some());
    assert_eq!(scene.events().await, []);
    assert!(scene.end(&session, scene.user).await.1);
    assert!(!scene.end(&session, scene.user).await.1, "it is over");
}

/// State and effects together; the sessions of others go on.
pub async fn all_sessions_end_but_one(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    let [one, other, kept] = [scene.open().await, scene.open().await, scene.open().await];
    let stranger = scene.world.user(Role::Patient).await;
    let strangers = NewSession { user_id: stranger, ..scene.draft() };
    scene.admit(&strangers).await;
    let (_, ended) = scene.revoke_all(Some(kept.id)).await;
    assert!(ended);
    assert_eq!(scene.living(1).await, [kept.id]);
    for session in [&one, &other] {
        assert_eq!(scene.live(session, 1).await, None);
        assert_eq!(scene.rotate(session.refresh.unwrap().hash, secret(), 1).await, Rotation::Refused);
    }
    assert!(scene.revoke_all(None).await.1);
    assert_eq!(scene.living(1).await, []);
    assert!(scene.live(&strangers, 1).await.is_some());
    assert_eq!(scene.events_of::<SessionsRevoked>().await.len(), 2);
}

/// Repeating it MUST store nothing.
pub async fn ending_all_again_stores_nothing(fixture: Fixture<dyn SessionStore>) {
    let scene = Scene::of(fixture).await;
    assert!(!scene.revoke_all(None).await.1, "there is none yet");
    let epoch = scene.world.epoch(scene.user).await;
    scene.admit(&NewSession { epoch, ..scene.draft() }).await;
    let ended = together((0..20).map(|_| scene.revoke_all(None))).await;
    assert_eq!(ended.iter().filter(|(_, ended)| *ended).count(), 1);
    assert_eq!(scene.events_of::<SessionsRevoked>().await.len(), 1);
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
            epoch: CredentialEpoch::default(),
            created_at: at(0),
            expires_at: at(END),
            stage: SessionStage::Full,
            origin: Origin { address: Some([192, 0, 2, 7].into()), device: Some("Firefox".into()) },
            refresh: Some(NewRefresh { hash: secret(), expires_at: at(IDLE) }),
            replaces: None,
        }
    }

    async fn open(&self) -> NewSession {
        let session = self.draft();
        self.admit(&session).await;
        session
    }

    /// With room for many, and nothing else stored with it.
    async fn admit(&self, session: &NewSession) {
        assert_eq!(self.store.open(session, &roomy()).await.unwrap(), []);
    }

    async fn touch(&self, session: &NewSession, at: DateTime<Utc>) -> bool {
        self.store.touch(session.id, at).await.unwrap()
    }

    /// Something is done in it often enough until then.
    async fn keep_alive(&self, session: &NewSession, until: i64) {
        for minutes in (0..=until).step_by(20).chain([until]) {
            assert!(self.touch(session, at(minutes)).await, "{minutes}");
        }
    }

    /// Those that live, the newest first.
    async fn living(&self, minutes: i64) -> Vec<SessionId> {
        let records = self.store.list(self.user, at(minutes)).await.unwrap();
        records.into_iter().map(|record| record.id).collect()
    }

    async fn live(&self, session: &NewSession, minutes: i64) -> Option<LiveSession> {
        self.store.live(session.id, at(minutes)).await.unwrap()
    }

    async fn rotate(&self, presented: SecretHash, next: SecretHash, minutes: i64) -> Rotation {
        self.store.rotate(presented, next, at(minutes), at(minutes + IDLE)).await.unwrap()
    }

    /// The event that was offered with it, and whether it ended now.
    async fn end(&self, session: &NewSession, owner: UserId) -> (Event, bool) {
        let reason = RevocationReason::Logout;
        let revoked = SessionRevoked { session_id: session.id, user_id: session.user_id, reason };
        let event = Event::new(&SystemIds, at(1), &revoked);
        let effects = Effects::default().event(event.clone());
        (event, self.store.revoke(session.id, owner, reason, at(1), effects).await.unwrap())
    }

    async fn revoke(&self, session: &NewSession) -> Event {
        self.end(session, self.user).await.0
    }

    /// The event that was offered with it, and whether any ended.
    async fn revoke_all(&self, except: Option<SessionId>) -> (Event, bool) {
        let reason = RevocationReason::LogoutEverywhere;
        let revoked = SessionsRevoked { user_id: self.user, except, reason };
        let event = Event::new(&SystemIds, at(1), &revoked);
        let effects = Effects::default().event(event.clone());
        (event, self.store.revoke_all(self.user, except, reason, at(1), effects).await.unwrap())
    }

    async fn events_of<E: DomainEvent>(&self) -> Vec<E> {
        let events = self.world.events().await.into_iter().filter(|event| event.kind == E::KIND);
        events.map(|event| event.read().unwrap()).collect()
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
        let caller = Caller { user_id: self.user, role, session_id: session.id, address: None };
        let last_active_at = session.created_at;
        LiveSession { caller, stage: session.stage, expires_at: session.expires_at, last_active_at }
    }

    fn as_live_at(&self, session: &NewSession, role: Role, minutes: i64) -> LiveSession {
        LiveSession { last_active_at: at(minutes), ..self.as_live(session, role) }
    }

    fn reused(&self, session: &NewSession) -> Rotation {
        Rotation::Reused { session_id: session.id, user_id: self.user }
    }
}

/// Room for many, and nothing to store.
pub(super) fn roomy() -> Admission {
    Admission {
        max_live: 1000,
        effects: Effects::default(),
        unusual: Effects::default(),
        evicted: Arc::new(|_| Effects::default()),
    }
}

/// Room for so many of `user`, with an event for each that gives way.
fn tight(max_live: usize, user_id: UserId) -> Admission {
    let evicted = move |session_id| {
        let revoked = SessionRevoked { session_id, user_id, reason: RevocationReason::Evicted };
        Effects::default().event(Event::new(&SystemIds, at(0), &revoked))
    };
    Admission { max_live, evicted: Arc::new(evicted), ..roomy() }
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
