//! What every [`BlockStore`] MUST do, one case each. Run them all with
//! [`block_store_conformance!`](crate::block_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::BTreeSet;

use alivio_kernel::ids::{ContactRequestId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{DomainEvent, Effects, Event, PageSize, Role, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::Acquaintance;
use crate::{After, AskEffects, Block, Direction, NewContactRequest, StoredInvitee, UserBlocked, Window};

/// Tests your [`BlockStore`]: one `#[tokio::test]` for every case in the module of that name.
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Acquaintance` that gives each case empty, isolated
/// stores.
///
/// [`BlockStore`]: crate::BlockStore
#[macro_export]
macro_rules! block_store_conformance {
    ($fresh:expr) => {
        mod block_store_conformance {
            use super::*;
            $crate::block_store_conformance! { @cases $fresh;
                of_many_parallel_blocks_one_is_stored
                a_block_stands_between_two_until_it_is_lifted
                a_block_ends_the_requests_between_the_two
                a_block_does_not_tell_whose_address_was_asked
                a_request_never_survives_a_block
                every_pair_that_a_block_parts_is_named_once
                a_block_silences_the_direct_conversation_only
                blocks_are_listed_page_by_page
                only_blocks_of_care_are_listed_for_the_clinic
                people_have_to_do_with_each_other
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::block_store::$case($fresh().await).await;
            }
        )*
    };
}

// Blocking

/// One that stands stays as it is, and its event is stored once, however many raise it.
pub async fn of_many_parallel_blocks_one_is_stored(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let raised = together((0..20).map(|n| scene.block(scene.ana, scene.eva, n))).await;
    assert_eq!(raised.iter().filter(|(_, new)| *new).count(), 1);
    let (first, _) = raised[0];
    assert!(raised.iter().all(|(block, _)| *block == first), "{raised:?}");
    assert_eq!(scene.events().await, 1);
}

/// From both sides, and until it is lifted; lifting what is not there changes nothing.
pub async fn a_block_stands_between_two_until_it_is_lifted(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let other = scene.stores.world.user(Role::Doctor).await;
    scene.block(scene.ana, scene.eva, 0).await;
    let everyone = [scene.ana, scene.eva, other];
    assert_eq!(scene.between(scene.ana, &everyone).await, BTreeSet::from([scene.eva]));
    assert_eq!(scene.between(scene.eva, &everyone).await, BTreeSet::from([scene.ana]));
    assert_eq!(scene.between(other, &everyone).await, BTreeSet::new());
    let unblock = async |blocker, blocked| {
        scene.stores.blocks.unblock(blocker, blocked, &Effects::default()).await.unwrap();
    };
    unblock(scene.eva, scene.ana).await;
    assert_eq!(scene.between(scene.ana, &everyone).await.len(), 1, "not hers to lift");
    unblock(scene.ana, scene.eva).await;
    assert_eq!(scene.between(scene.ana, &everyone).await, BTreeSet::new());
}

/// The blocker's are gone; that of the blocked reaches nobody, and looks to them as it did.
pub async fn a_block_ends_the_requests_between_the_two(stores: Acquaintance) {
    for asker_is_blocked in [true, false] {
        // Another pair each time.
        let world = &stores.world;
        let (ana, eva) = (world.user(Role::Doctor).await, world.user(Role::Doctor).await);
        let (from, to) = if asker_is_blocked { (eva, ana) } else { (ana, eva) };
        let new = NewContactRequest {
            id: ContactRequestId::generate(&SystemIds),
            from,
            reaches: Some(to),
            named: StoredInvitee::User(to),
            nickname: None,
            created_at: at(0),
        };
        stores.contacts.ask(&new, 100, &AskEffects::default()).await.unwrap();
        let block = Block { blocker: ana, blocked: eva, created_at: at(1) };
        stores.blocks.block(&block, false, &Effects::default()).await.unwrap();
        let window = Window { after: None, offset: 0, size: size(9) };
        let requests =
            async |user, direction| stores.contacts.requests(user, direction, &window).await.unwrap().len();
        assert_eq!(requests(to, Direction::Incoming).await, 0);
        assert_eq!(requests(from, Direction::Outgoing).await, usize::from(asker_is_blocked));
        assert!(!stores.contacts.accept(to, new.id, at(2), &Effects::default()).await.unwrap());
    }
}

/// The blocker's own request by address looks to them as it did, whoever it reached; it no longer reaches anybody.
pub async fn a_block_does_not_tell_whose_address_was_asked(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let owner = scene.stores.world.user_with_address(Role::Doctor, [9; 16]).await;
    let new = NewContactRequest {
        id: ContactRequestId::generate(&SystemIds),
        from: scene.ana,
        reaches: Some(owner),
        named: StoredInvitee::Email { index: [9; 16], sealed: Sealed::from_bytes(vec![3]) },
        nickname: None,
        created_at: at(0),
    };
    scene.stores.contacts.ask(&new, 100, &AskEffects::default()).await.unwrap();
    let window = Window { after: None, offset: 0, size: size(9) };
    let requests =
        async |user, direction| scene.stores.contacts.requests(user, direction, &window).await.unwrap();
    let before = requests(scene.ana, Direction::Outgoing).await;
    assert_eq!((before.len(), requests(owner, Direction::Incoming).await.len()), (1, 1));
    scene.block(scene.ana, owner, 1).await;
    assert_eq!(requests(scene.ana, Direction::Outgoing).await, before);
    assert_eq!(requests(owner, Direction::Incoming).await, []);
    assert!(!scene.stores.contacts.accept(owner, new.id, at(2), &Effects::default()).await.unwrap());
}

/// In whatever order a block and a request come, no request is left that reaches anybody.
pub async fn a_request_never_survives_a_block(stores: Acquaintance) {
    for _ in 0..10 {
        let world = &stores.world;
        let (ana, eva) = (world.user(Role::Doctor).await, world.user(Role::Doctor).await);
        let mut tasks: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
        for n in 0..10 {
            let stores = &stores;
            tasks.push(Box::pin(async move {
                let new = NewContactRequest {
                    id: ContactRequestId::generate(&SystemIds),
                    from: eva,
                    reaches: Some(ana),
                    named: StoredInvitee::User(ana),
                    nickname: None,
                    created_at: at(0),
                };
                stores.contacts.ask(&new, 100, &AskEffects::default()).await.unwrap();
            }));
            if n == 4 {
                tasks.push(Box::pin(async move {
                    let block = Block { blocker: ana, blocked: eva, created_at: at(1) };
                    stores.blocks.block(&block, false, &Effects::default()).await.unwrap();
                }));
            }
        }
        together(tasks).await;
        let window = Window { after: None, offset: 0, size: size(9) };
        let left = stores.contacts.requests(ana, Direction::Incoming, &window).await.unwrap();
        assert_eq!(left, []);
    }
}

// Asking about blocks

/// Direct ones of the two, and no others.
pub async fn a_block_silences_the_direct_conversation_only(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let world = &scene.stores.world;
    let third = world.user(Role::Doctor).await;
    let direct = world.direct(scene.ana, scene.eva).await;
    let spared = [world.direct(scene.ana, third).await, world.group(&[scene.ana, scene.eva]).await];
    let silences = async |id| scene.stores.blocks.silences(id).await.unwrap();
    assert!(!silences(direct).await);
    scene.block(scene.eva, scene.ana, 0).await;
    assert!(silences(direct).await);
    for other in spared {
        assert!(!silences(other).await);
    }
}

/// Whoever raised it, and both at once count once; those who are not asked about do not count.
pub async fn every_pair_that_a_block_parts_is_named_once(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let world = &scene.stores.world;
    let (third, fourth) = (world.user(Role::Doctor).await, world.user(Role::Doctor).await);
    for (blocker, blocked) in [(scene.ana, scene.eva), (scene.eva, scene.ana), (third, scene.eva)] {
        scene.block(blocker, blocked, 0).await;
    }
    let among = async |people: &[UserId]| {
        let pairs = scene.stores.blocks.among(people).await.unwrap();
        let mut pairs: Vec<_> = pairs.into_iter().map(|(one, other)| BTreeSet::from([one, other])).collect();
        pairs.sort_unstable();
        pairs
    };
    let mut all = vec![BTreeSet::from([scene.ana, scene.eva]), BTreeSet::from([scene.eva, third])];
    all.sort_unstable();
    assert_eq!(among(&[scene.ana, scene.eva, third, fourth]).await, all);
    assert_eq!(among(&[fourth, third, scene.ana]).await, []);
    assert_eq!(among(&[scene.eva, third]).await, [BTreeSet::from([scene.eva, third])]);
    assert_eq!(among(&[]).await, []);
}

/// Newest first, page by page.
pub async fn blocks_are_listed_page_by_page(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let mut expected = Vec::new();
    for n in 0..4 {
        let user = scene.stores.world.user(Role::Doctor).await;
        scene.block(scene.ana, user, n).await;
        expected.insert(0, (at(n), user));
    }
    scene.block(scene.eva, scene.ana, 9).await;
    let read = async |after, offset| {
        let window = Window { after, offset, size: size(2) };
        let blocks = scene.stores.blocks.blocks(scene.ana, &window).await.unwrap();
        blocks.iter().map(|block| (block.created_at, block.blocked)).collect::<Vec<_>>()
    };
    assert_eq!(read(None, 0).await, expected[..3], "and one more");
    let (at, id) = expected[1];
    assert_eq!(read(Some(After { at, id }), 0).await, expected[2..]);
    assert_eq!(read(None, 2).await, expected[2..]);
}

/// The others are nobody's business.
pub async fn only_blocks_of_care_are_listed_for_the_clinic(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let patient = scene.stores.world.user(Role::Patient).await;
    scene.block(scene.ana, scene.eva, 0).await;
    let block = Block { blocker: patient, blocked: scene.ana, created_at: at(1) };
    scene.stores.blocks.block(&block, true, &Effects::default()).await.unwrap();
    let window = Window { after: None, offset: 0, size: size(9) };
    let care = async |window| scene.stores.blocks.care_blocks(&window).await.unwrap();
    assert_eq!(care(window).await, [block]);
    let after = Some(After { at: at(1), id: (patient, scene.ana) });
    assert_eq!(care(Window { after, ..window }).await, []);
}

/// By a contact, a conversation, or being asked.
pub async fn people_have_to_do_with_each_other(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let acquainted = async |one, other| scene.stores.blocks.acquainted(one, other).await.unwrap();
    assert!(!acquainted(scene.ana, scene.eva).await);
    let new = NewContactRequest {
        id: ContactRequestId::generate(&SystemIds),
        from: scene.ana,
        reaches: Some(scene.eva),
        named: StoredInvitee::User(scene.eva),
        nickname: None,
        created_at: at(0),
    };
    scene.stores.contacts.ask(&new, 100, &AskEffects::default()).await.unwrap();
    assert!(!acquainted(scene.ana, scene.eva).await, "asking tells nothing about the other");
    assert!(acquainted(scene.eva, scene.ana).await);
    let third = scene.stores.world.user(Role::Doctor).await;
    scene.stores.world.group(&[scene.ana, third]).await;
    assert!(acquainted(scene.ana, third).await && acquainted(third, scene.ana).await);
}

// What the cases are written in

struct Scene {
    stores: Acquaintance,
    ana: UserId,
    eva: UserId,
}

impl Scene {
    async fn of(stores: Acquaintance) -> Self {
        let (ana, eva) = (stores.world.user(Role::Doctor).await, stores.world.user(Role::Doctor).await);
        Self { stores, ana, eva }
    }

    async fn block(&self, blocker: UserId, blocked: UserId, minute: i64) -> (Block, bool) {
        let block = Block { blocker, blocked, created_at: at(minute) };
        let event = Event::new(&SystemIds, at(minute), &UserBlocked { blocker, blocked });
        self.stores.blocks.block(&block, false, &Effects::default().event(event)).await.unwrap()
    }

    async fn between(&self, user: UserId, others: &[UserId]) -> BTreeSet<UserId> {
        self.stores.blocks.between(user, others).await.unwrap().into_iter().collect()
    }

    async fn events(&self) -> usize {
        let events = self.stores.world.events().await;
        events.iter().filter(|event| event.kind == UserBlocked::KIND).count()
    }
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 1).unwrap()
}
