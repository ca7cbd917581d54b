//! What every [`PresenceStore`] MUST do, one case each. Run them all with
//! [`presence_store_conformance!`](crate::presence_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::BTreeSet;

use alivio_kernel::ids::{ContactRequestId, UserId};
use alivio_kernel::{Effects, PageSize, Role, SystemIds};
use chrono::DateTime;

use super::Acquaintance;
use crate::{
    AskEffects, Block, ChosenPresence, Circle, NewContactRequest, PresencePreferences, PresencePrivacy,
    PresenceQuery, PresenceView, StoredInvitee,
};

/// Tests your [`PresenceStore`]: one `#[tokio::test]` for every case in the module of that name.
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Acquaintance` that gives each case empty, isolated
/// stores.
///
/// [`PresenceStore`]: crate::PresenceStore
#[macro_export]
macro_rules! presence_store_conformance {
    ($fresh:expr) => {
        mod presence_store_conformance {
            use super::*;
            $crate::presence_store_conformance! { @cases $fresh;
                what_was_chosen_reads_back
                those_who_know_each_other_see_each_other
                privacy_decides_who_sees_what
                a_block_ends_seeing_each_other
                the_deactivated_know_nobody
                all_views_are_those_of_everyone_known
                the_audience_names_the_conversations
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::presence_store::$case($fresh().await).await;
            }
        )*
    };
}

/// The defaults until then; each of the two leaves the other alone.
pub async fn what_was_chosen_reads_back(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let presence = &scene.stores.presence;
    let read = async || presence.preferences(scene.ana).await.unwrap();
    assert_eq!(read().await, PresencePreferences::default());
    presence.choose(scene.ana, ChosenPresence::Busy).await.unwrap();
    let privacy = PresencePrivacy { presence: Circle::Nobody, last_seen: Circle::Contacts };
    presence.set_privacy(scene.ana, privacy, &Effects::default()).await.unwrap();
    assert_eq!(read().await, PresencePreferences { chosen: ChosenPresence::Busy, privacy });
    presence.choose(scene.ana, ChosenPresence::Away).await.unwrap();
    assert_eq!(read().await, PresencePreferences { chosen: ChosenPresence::Away, privacy });
    let other = presence.preferences(scene.friend).await.unwrap();
    assert_eq!(other, PresencePreferences::default(), "nobody else's");
}

/// Contacts, and those in a conversation together; nobody else.
pub async fn those_who_know_each_other_see_each_other(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    scene.stores.presence.choose(scene.ana, ChosenPresence::Busy).await.unwrap();
    for viewer in [scene.friend, scene.colleague] {
        let seen = scene.views(viewer, scene.ana).await;
        let view =
            PresenceView { user_id: scene.ana, chosen: Some(ChosenPresence::Busy), last_seen_at: None };
        assert_eq!(seen, Some(view));
    }
    assert_eq!(scene.views(scene.stranger, scene.ana).await, None);
    assert_eq!(scene.views(scene.ana, scene.stranger).await, None);
    assert_eq!(scene.watchers().await, BTreeSet::from([(scene.friend, true), (scene.colleague, true)]));
}

/// What is not shown is left out, and whoever is shown nothing sees nobody.
pub async fn privacy_decides_who_sees_what(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let shows = |circle: Circle, is_contact| circle.holds(is_contact);
    for presence in Circle::ALL {
        for last_seen in Circle::ALL {
            let privacy = PresencePrivacy { presence, last_seen };
            scene.stores.presence.set_privacy(scene.ana, privacy, &Effects::default()).await.unwrap();
            let mut watchers = BTreeSet::new();
            for (viewer, is_contact) in [(scene.friend, true), (scene.colleague, false)] {
                let seen = scene.views(viewer, scene.ana).await;
                let (sees, sees_time) = (shows(presence, is_contact), shows(last_seen, is_contact));
                assert_eq!(seen.is_some(), sees || sees_time, "{privacy:?} {is_contact}");
                assert_eq!(seen.is_some_and(|view| view.chosen.is_some()), sees, "{privacy:?} {is_contact}");
                if sees {
                    watchers.insert((viewer, sees_time));
                }
            }
            assert_eq!(scene.watchers().await, watchers, "{privacy:?}");
        }
    }
}

/// On either side, whatever they share.
pub async fn a_block_ends_seeing_each_other(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    for (blocker, blocked) in [(scene.ana, scene.friend), (scene.colleague, scene.ana)] {
        let block = Block { blocker, blocked, created_at: DateTime::UNIX_EPOCH };
        scene.stores.blocks.block(&block, false, &Effects::default()).await.unwrap();
        assert_eq!(scene.views(blocker, blocked).await, None);
        assert_eq!(scene.views(blocked, blocker).await, None);
    }
    assert_eq!(scene.watchers().await, BTreeSet::new());
}

/// They neither see nor are seen.
pub async fn the_deactivated_know_nobody(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    scene.stores.world.deactivate(scene.friend).await;
    assert_eq!(scene.views(scene.ana, scene.friend).await, None);
    assert_eq!(scene.watchers().await, BTreeSet::from([(scene.colleague, true)]));
    scene.stores.world.deactivate(scene.ana).await;
    assert_eq!(scene.watchers().await, BTreeSet::new());
}

/// Everyone once, in the order of their ids, page by page.
pub async fn all_views_are_those_of_everyone_known(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    // Known twice over.
    scene.stores.world.group(&[scene.ana, scene.friend, scene.colleague]).await;
    let mut known = [scene.friend, scene.colleague];
    known.sort_unstable();
    let read = async |after, offset, n| {
        let query = PresenceQuery { after, offset, size: PageSize::parse(Some(n), 1).unwrap() };
        let views = scene.stores.presence.all_views(scene.ana, &query).await.unwrap();
        views.iter().map(|view| view.user_id).collect::<Vec<_>>()
    };
    assert_eq!(read(None, 0, 9).await, known);
    assert_eq!(read(None, 0, 1).await, known, "and one more");
    assert_eq!(read(Some(known[0]), 0, 9).await, known[1..]);
    assert_eq!(read(None, 1, 9).await, known[1..]);
}

/// Those the person is in now.
pub async fn the_audience_names_the_conversations(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    scene.stores.presence.choose(scene.ana, ChosenPresence::Away).await.unwrap();
    let audience = scene.stores.presence.audience(scene.ana).await.unwrap();
    assert_eq!((audience.chosen, audience.conversations.len()), (ChosenPresence::Away, 1));
    let audience = scene.stores.presence.audience(scene.stranger).await.unwrap();
    assert_eq!((audience.watchers, audience.conversations), (vec![], vec![]));
}

// What the cases are written in

/// Ana with a contact, someone she shares a conversation with, and a stranger.
struct Scene {
    stores: Acquaintance,
    ana: UserId,
    friend: UserId,
    colleague: UserId,
    stranger: UserId,
}

impl Scene {
    async fn of(stores: Acquaintance) -> Self {
        let world = &stores.world;
        let (ana, friend) = (world.user(Role::Doctor).await, world.user(Role::Doctor).await);
        let (colleague, stranger) = (world.user(Role::Doctor).await, world.user(Role::Student).await);
        let new = NewContactRequest {
            id: ContactRequestId::generate(&SystemIds),
            from: ana,
            reaches: Some(friend),
            named: StoredInvitee::User(friend),
            nickname: None,
            created_at: DateTime::UNIX_EPOCH,
        };
        stores.contacts.ask(&new, 100, &AskEffects::default()).await.unwrap();
        let accepted =
            stores.contacts.accept(friend, new.id, DateTime::UNIX_EPOCH, &Effects::default()).await;
        assert!(accepted.unwrap());
        world.direct(ana, colleague).await;
        Self { stores, ana, friend, colleague, stranger }
    }

    async fn views(&self, viewer: UserId, user: UserId) -> Option<PresenceView> {
        let views = self.stores.presence.views(viewer, &[user]).await.unwrap();
        assert!(views.iter().all(|view| view.user_id == user), "only those asked about: {views:?}");
        views.first().copied()
    }

    async fn watchers(&self) -> BTreeSet<(UserId, bool)> {
        self.stores.presence.audience(self.ana).await.unwrap().watchers.into_iter().collect()
    }
}
