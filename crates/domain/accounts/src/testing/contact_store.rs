//! What every [`ContactStore`] MUST do, one case each. Run them all with
//! [`contact_store_conformance!`](crate::contact_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use alivio_kernel::ids::{ContactRequestId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{DomainEvent, Effects, Event, PageSize, Role, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::Acquaintance;
use crate::{
    After, AskEffects, Asked, Block, ContactAccepted, ContactQuery, ContactRequested, Direction,
    NewContactRequest, REFUSAL_HOLDS, StoredContact, StoredContactRequest, StoredInvitee, TOLD_ONCE_IN,
    Window,
};

/// Tests your [`ContactStore`]: one `#[tokio::test]` for every case in the module of that name.
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Acquaintance` that gives each case empty, isolated
/// stores.
///
/// [`ContactStore`]: crate::ContactStore
#[macro_export]
macro_rules! contact_store_conformance {
    ($fresh:expr) => {
        mod contact_store_conformance {
            use super::*;
            $crate::contact_store_conformance! { @cases $fresh;
                a_request_reaches_the_one_who_is_asked
                a_request_that_reaches_nobody_looks_the_same_to_the_asker
                of_many_parallel_requests_one_is_stored
                two_who_ask_each_other_at_once_become_contacts
                nicknames_given_with_requests_are_kept_by_their_owners
                a_request_by_address_never_tells_whose_it_is
                no_more_than_so_many_are_open
                a_request_is_answered_once
                a_declined_request_stays_as_it_was_for_the_asker
                a_refusal_holds_for_requests_made_anew
                people_are_told_of_the_same_asker_once_a_day
                a_request_is_taken_back
                requests_are_listed_page_by_page
                favourites_come_first
                each_side_keeps_its_own
                a_contact_is_removed_on_both_sides
                the_deactivated_are_not_shown
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::contact_store::$case($fresh().await).await;
            }
        )*
    };
}

// Asking

/// It shows on both sides, with the event, and the asker sees it as they made it.
pub async fn a_request_reaches_the_one_who_is_asked(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let new = scene.request(scene.ana, Some(scene.eva));
    assert_eq!(scene.ask(&new).await, Asked::Open(stored(&new)));
    assert_eq!(scene.requests(scene.eva, Direction::Incoming).await, [stored(&new)]);
    assert_eq!(scene.requests(scene.ana, Direction::Outgoing).await, [stored(&new)]);
    assert_eq!(scene.requests(scene.ana, Direction::Incoming).await, []);
    assert_eq!(scene.requests(scene.eva, Direction::Outgoing).await, []);
    assert_eq!(scene.stores.contacts.incoming(scene.eva, new.id).await.unwrap(), Some(stored(&new)));
    assert_eq!(scene.stores.contacts.incoming(scene.ana, new.id).await.unwrap(), None, "only the one asked");
    assert_eq!(scene.events().await, [ContactRequested::KIND]);
}

/// The same answer as a request that reaches someone, and no event.
pub async fn a_request_that_reaches_nobody_looks_the_same_to_the_asker(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let nobody = UserId::generate(&SystemIds);
    let mut unreached =
        vec![NewContactRequest { named: StoredInvitee::User(nobody), ..scene.request(scene.ana, None) }];
    scene.stores.world.deactivate(scene.eva).await;
    unreached.push(scene.request(scene.ana, Some(scene.eva)));
    let other = scene.stores.world.user(Role::Doctor).await;
    scene.block(other, scene.ana).await;
    unreached.push(scene.request(scene.ana, Some(other)));
    for new in &unreached {
        assert_eq!(scene.ask(new).await, Asked::Open(stored(new)));
    }
    assert_eq!(scene.requests(scene.ana, Direction::Outgoing).await.len(), unreached.len());
    for user in [scene.eva, other] {
        assert_eq!(scene.requests(user, Direction::Incoming).await, []);
    }
    assert_eq!(scene.events().await, [""; 0]);
}

/// Asking again answers the request that is open, however many ask at once.
pub async fn of_many_parallel_requests_one_is_stored(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let requests: Vec<_> = (0..20).map(|_| scene.request(scene.ana, Some(scene.eva))).collect();
    let answers = together(requests.iter().map(|new| scene.ask(new))).await;
    let first = scene.requests(scene.eva, Direction::Incoming).await;
    assert_eq!(first.len(), 1);
    assert!(answers.iter().all(|answer| *answer == Asked::Open(first[0].clone())), "{answers:?}");
    assert_eq!(scene.events().await, [ContactRequested::KIND]);
}

/// Contacts of each other, once, and no request is left.
pub async fn two_who_ask_each_other_at_once_become_contacts(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let requests: Vec<_> = (0..20)
        .map(|n| match n % 2 {
            0 => scene.request(scene.ana, Some(scene.eva)),
            _ => scene.request(scene.eva, Some(scene.ana)),
        })
        .collect();
    let answers = together(requests.iter().map(|new| scene.ask(new))).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Asked::NowContacts).count(), 1, "{answers:?}");
    for (owner, contact) in [(scene.ana, scene.eva), (scene.eva, scene.ana)] {
        assert_eq!(scene.contact_ids(owner).await, [contact]);
        assert_eq!(scene.requests(owner, Direction::Incoming).await, []);
        assert_eq!(scene.requests(owner, Direction::Outgoing).await, []);
    }
    let accepted = scene.events().await.into_iter().filter(|kind| kind == ContactAccepted::KIND).count();
    assert_eq!(accepted, 1);
    let again = scene.request(scene.ana, Some(scene.eva));
    assert_eq!(scene.ask(&again).await, Asked::AlreadyContacts);
}

/// Each keeps the name they gave when they asked.
pub async fn nicknames_given_with_requests_are_kept_by_their_owners(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let by_ana = scene.named(scene.request(scene.ana, Some(scene.eva)), 1);
    let by_eva = scene.named(scene.request(scene.eva, Some(scene.ana)), 2);
    scene.ask(&by_ana).await;
    assert_eq!(scene.ask(&by_eva).await, Asked::NowContacts);
    assert_eq!(scene.contact(scene.ana, scene.eva).await.unwrap().nickname, by_ana.nickname);
    assert_eq!(scene.contact(scene.eva, scene.ana).await.unwrap().nickname, by_eva.nickname);
}

/// By address the answer is one and the same for strangers, contacts, and those who have asked.
pub async fn a_request_by_address_never_tells_whose_it_is(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let eva = scene.stores.world.user_with_address(Role::Doctor, [7; 16]).await;
    let by_id = scene.request(scene.ana, Some(eva));
    scene.ask(&by_id).await;
    let by_address = |reaches| NewContactRequest {
        named: StoredInvitee::Email { index: [7; 16], sealed: Sealed::from_bytes(vec![3]) },
        ..scene.request(scene.ana, reaches)
    };
    let second = by_address(Some(eva));
    assert_eq!(scene.ask(&second).await, Asked::Open(stored(&second)), "a request of its own");
    assert_eq!(scene.requests(eva, Direction::Incoming).await, [stored(&by_id)], "of which she hears once");
    assert!(scene.accept(eva, by_id.id).await);
    assert_eq!(scene.requests(scene.ana, Direction::Outgoing).await, [], "both are answered");
    let third = by_address(Some(eva));
    assert_eq!(scene.ask(&third).await, Asked::Open(stored(&third)), "though they are contacts");
    assert_eq!(scene.requests(eva, Direction::Incoming).await, []);
}

/// However many ask at once.
pub async fn no_more_than_so_many_are_open(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let requests: Vec<_> = (0..40)
        .map(|_| NewContactRequest {
            named: StoredInvitee::User(UserId::generate(&SystemIds)),
            ..scene.request(scene.ana, None)
        })
        .collect();
    let ask = async |new| scene.stores.contacts.ask(new, 10, &AskEffects::default()).await.unwrap();
    let answers = together(requests.iter().map(ask)).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Asked::TooMany).count(), 30);
    assert_eq!(scene.requests(scene.ana, Direction::Outgoing).await.len(), 10);
    let first = scene.requests(scene.ana, Direction::Outgoing).await.remove(0);
    assert!(scene.stores.contacts.withdraw(scene.ana, first.id, &Effects::default()).await.unwrap());
    let one_more = scene.request(scene.ana, Some(scene.eva));
    assert_eq!(ask(&one_more).await, Asked::Open(stored(&one_more)));
}

// Answering

/// Two rows, one event, and the request is gone: of many that accept or decline, one succeeds.
pub async fn a_request_is_answered_once(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let new = scene.named(scene.request(scene.ana, Some(scene.eva)), 1);
    scene.ask(&new).await;
    assert!(!scene.accept(scene.ana, new.id).await, "only the one asked");
    let contacts = &scene.stores.contacts;
    let answers = together((0..20).map(|n| {
        let new = &new;
        let scene = &scene;
        async move {
            if n % 2 == 0 {
                scene.accept(scene.eva, new.id).await
            } else {
                contacts.decline(scene.eva, new.id, at(1), &Effects::default()).await.unwrap()
            }
        }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| **answer).count(), 1);
    let accepted = answers.iter().position(|answer| *answer).unwrap() % 2 == 0;
    assert_eq!(scene.contact_ids(scene.ana).await.len(), usize::from(accepted));
    assert_eq!(scene.contact_ids(scene.eva).await.len(), usize::from(accepted));
    assert_eq!(scene.requests(scene.eva, Direction::Incoming).await, []);
}

/// Whoever asked sees no difference, and asking again reaches nobody.
pub async fn a_declined_request_stays_as_it_was_for_the_asker(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let new = scene.request(scene.ana, Some(scene.eva));
    scene.ask(&new).await;
    assert!(scene.decline(scene.eva, &new, at(0)).await && !scene.decline(scene.eva, &new, at(0)).await);
    assert_eq!(scene.requests(scene.ana, Direction::Outgoing).await, [stored(&new)]);
    let again = scene.request(scene.ana, Some(scene.eva));
    assert_eq!(scene.ask(&again).await, Asked::Open(stored(&new)));
    assert_eq!(scene.requests(scene.eva, Direction::Incoming).await, []);
    assert_eq!(scene.contact_ids(scene.eva).await, []);
}

/// Nor is it undone by taking the request back and making it anew, by id or by address, for as long as it holds. The
/// asker sees no difference, and whoever declined may still ask.
pub async fn a_refusal_holds_for_requests_made_anew(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let eva = scene.stores.world.user_with_address(Role::Doctor, [8; 16]).await;
    let by_id = |at| NewContactRequest { created_at: at, ..scene.request(scene.ana, Some(eva)) };
    let by_address = |at| NewContactRequest {
        named: StoredInvitee::Email { index: [8; 16], sealed: Sealed::from_bytes(vec![3]) },
        ..by_id(at)
    };
    let first = by_id(at(0));
    scene.ask(&first).await;
    assert!(scene.decline(eva, &first, at(1)).await);
    assert!(scene.withdraw(&first).await);
    let almost = at(1) + REFUSAL_HOLDS - TimeDelta::minutes(1);
    for again in [by_id(at(2)), by_address(at(3)), by_id(almost), by_address(almost)] {
        assert_eq!(scene.ask(&again).await, Asked::Open(stored(&again)));
        assert_eq!(scene.requests(scene.ana, Direction::Outgoing).await, [stored(&again)]);
        assert_eq!(scene.requests(eva, Direction::Incoming).await, []);
        assert!(scene.withdraw(&again).await);
    }
    assert_eq!(scene.events().await, [ContactRequested::KIND], "of the first");
    let later = by_id(at(1) + REFUSAL_HOLDS);
    scene.ask(&later).await;
    assert_eq!(scene.requests(eva, Direction::Incoming).await, [stored(&later)]);

    // She who declined asks herself: he who asks back accepts.
    assert!(scene.decline(eva, &later, later.created_at).await);
    let hers = NewContactRequest { created_at: later.created_at, ..scene.request(eva, Some(scene.ana)) };
    assert_eq!(scene.ask(&hers).await, Asked::Open(stored(&hers)));
    assert_eq!(scene.ask(&by_id(later.created_at)).await, Asked::NowContacts);
}

/// However often it is taken back and made anew: what comes soon after another is shown, and leaves no event.
pub async fn people_are_told_of_the_same_asker_once_a_day(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    for (at, told) in [(at(0), 1), (at(5), 1), (at(0) + TOLD_ONCE_IN, 2), (at(1) + TOLD_ONCE_IN, 2)] {
        let new = NewContactRequest { created_at: at, ..scene.request(scene.ana, Some(scene.eva)) };
        assert_eq!(scene.ask(&new).await, Asked::Open(stored(&new)));
        assert_eq!(scene.requests(scene.eva, Direction::Incoming).await, [stored(&new)]);
        assert_eq!(scene.events().await.len(), told);
        assert!(scene.withdraw(&new).await);
    }
    let other = scene.stores.world.user(Role::Doctor).await;
    scene.ask(&scene.request(other, Some(scene.eva))).await;
    assert_eq!(scene.events().await.len(), 3, "of others she hears");
}

/// By its asker only.
pub async fn a_request_is_taken_back(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let new = scene.request(scene.ana, Some(scene.eva));
    scene.ask(&new).await;
    let withdraw =
        async |user| scene.stores.contacts.withdraw(user, new.id, &Effects::default()).await.unwrap();
    assert!(!withdraw(scene.eva).await);
    assert!(withdraw(scene.ana).await && !withdraw(scene.ana).await);
    assert_eq!(scene.requests(scene.eva, Direction::Incoming).await, []);
    assert!(!scene.accept(scene.eva, new.id).await);
}

/// Newest first, one more than asked for, and from where the last page ended.
pub async fn requests_are_listed_page_by_page(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let asker = scene.stores.world.user(Role::Doctor).await;
        let new = NewContactRequest { created_at: at(n / 2), ..scene.request(asker, Some(scene.eva)) };
        scene.ask(&new).await;
        ids.push((new.created_at, new.id));
    }
    ids.sort_unstable();
    ids.reverse();
    let window = Window { after: None, offset: 0, size: size(2) };
    let read =
        async |window| scene.stores.contacts.requests(scene.eva, Direction::Incoming, &window).await.unwrap();
    let page = read(window).await;
    assert_eq!(page.iter().map(|r| (r.created_at, r.id)).collect::<Vec<_>>(), ids[..3]);
    let after = Some(After { at: ids[1].0, id: ids[1].1 });
    let page = read(Window { after, ..window }).await;
    assert_eq!(page.iter().map(|r| (r.created_at, r.id)).collect::<Vec<_>>(), ids[2..]);
    let page = read(Window { offset: 4, ..window }).await;
    assert_eq!(page.iter().map(|r| (r.created_at, r.id)).collect::<Vec<_>>(), ids[4..]);
}

// Keeping

/// Favourites first, then those who were added last; pages and filters keep to it.
pub async fn favourites_come_first(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    let mut friends = Vec::new();
    for n in 0..5 {
        let friend = scene.stores.world.user(Role::Doctor).await;
        scene.befriend(scene.ana, friend, at(n)).await;
        friends.push(friend);
    }
    let contacts = &scene.stores.contacts;
    for favourite in [friends[0], friends[2]] {
        assert!(contacts.change(scene.ana, favourite, None, Some(true)).await.unwrap());
    }
    let expected = [friends[2], friends[0], friends[4], friends[3], friends[1]];
    assert_eq!(scene.contact_ids(scene.ana).await, expected);
    let query = ContactQuery { favorite: None, after: None, offset: 0, size: size(2) };
    let after = Some((true, After { at: at(0), id: friends[0] }));
    let page = contacts.contacts(scene.ana, &ContactQuery { after, ..query }).await.unwrap();
    assert_eq!(ids(&page), expected[2..]);
    for (favorite, expected) in [(true, &expected[..2]), (false, &expected[2..])] {
        let query = ContactQuery { favorite: Some(favorite), size: size(9), ..query };
        assert_eq!(ids(&contacts.contacts(scene.ana, &query).await.unwrap()), expected);
    }
    assert!(!scene.contact(friends[0], scene.ana).await.unwrap().is_favorite, "the other's own");
}

/// What the other keeps stays, and what is not given too.
pub async fn each_side_keeps_its_own(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    scene.befriend(scene.ana, scene.eva, at(0)).await;
    let contacts = &scene.stores.contacts;
    let name = Some(Sealed::from_bytes(vec![9; 30]));
    assert!(contacts.change(scene.ana, scene.eva, Some(name.clone()), Some(true)).await.unwrap());
    assert!(contacts.change(scene.ana, scene.eva, None, Some(false)).await.unwrap());
    let kept = scene.contact(scene.ana, scene.eva).await.unwrap();
    assert_eq!((kept.nickname, kept.is_favorite), (name, false));
    assert_eq!(scene.contact(scene.eva, scene.ana).await.unwrap().nickname, None);
    assert!(contacts.change(scene.ana, scene.eva, Some(None), None).await.unwrap());
    assert_eq!(scene.contact(scene.ana, scene.eva).await.unwrap().nickname, None);
    let stranger = scene.stores.world.user(Role::Doctor).await;
    assert!(!contacts.change(scene.ana, stranger, None, Some(true)).await.unwrap());
}

/// For both, and they can ask each other again.
pub async fn a_contact_is_removed_on_both_sides(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    scene.befriend(scene.ana, scene.eva, at(0)).await;
    let remove =
        async |owner, user| scene.stores.contacts.remove(owner, user, &Effects::default()).await.unwrap();
    assert!(remove(scene.eva, scene.ana).await && !remove(scene.ana, scene.eva).await);
    assert_eq!((scene.contact_ids(scene.ana).await, scene.contact_ids(scene.eva).await), (vec![], vec![]));
    let again = scene.request(scene.ana, Some(scene.eva));
    assert_eq!(scene.ask(&again).await, Asked::Open(stored(&again)));
}

/// Nor are their requests.
pub async fn the_deactivated_are_not_shown(stores: Acquaintance) {
    let scene = Scene::of(stores).await;
    scene.befriend(scene.ana, scene.eva, at(0)).await;
    let asker = scene.stores.world.user(Role::Doctor).await;
    let new = scene.request(asker, Some(scene.ana));
    scene.ask(&new).await;
    for user in [asker, scene.eva] {
        scene.stores.world.deactivate(user).await;
    }
    assert_eq!(scene.contact_ids(scene.ana).await, []);
    assert_eq!(scene.contact(scene.ana, scene.eva).await, None);
    assert_eq!(scene.requests(scene.ana, Direction::Incoming).await, []);
    assert!(!scene.accept(scene.ana, new.id).await);
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

    fn request(&self, from: UserId, reaches: Option<UserId>) -> NewContactRequest {
        NewContactRequest {
            id: ContactRequestId::generate(&SystemIds),
            from,
            reaches,
            named: StoredInvitee::User(reaches.unwrap_or(self.eva)),
            nickname: None,
            created_at: at(0),
        }
    }

    fn named(&self, request: NewContactRequest, name: u8) -> NewContactRequest {
        NewContactRequest { nickname: Some(Sealed::from_bytes(vec![name; 30])), ..request }
    }

    async fn ask(&self, new: &NewContactRequest) -> Asked {
        let (from, to) = (new.from, new.reaches.unwrap_or(self.eva));
        let requested = ContactRequested { request_id: new.id, from, to: Some(to) };
        let effects = AskEffects {
            reached: Effects::default().event(Event::new(&SystemIds, at(0), &requested)),
            repeated: Effects::default(),
            unreached: Effects::default(),
            accepted: accepted(to, from),
        };
        self.stores.contacts.ask(new, 100, &effects).await.unwrap()
    }

    async fn decline(&self, user: UserId, request: &NewContactRequest, at: DateTime<Utc>) -> bool {
        self.stores.contacts.decline(user, request.id, at, &Effects::default()).await.unwrap()
    }

    async fn withdraw(&self, request: &NewContactRequest) -> bool {
        self.stores.contacts.withdraw(request.from, request.id, &Effects::default()).await.unwrap()
    }

    async fn accept(&self, user: UserId, id: ContactRequestId) -> bool {
        self.stores.contacts.accept(user, id, at(1), &accepted(self.ana, user)).await.unwrap()
    }

    async fn befriend(&self, one: UserId, other: UserId, at: DateTime<Utc>) {
        let new = NewContactRequest { created_at: at, ..self.request(one, Some(other)) };
        self.ask(&new).await;
        assert!(self.stores.contacts.accept(other, new.id, at, &Effects::default()).await.unwrap());
    }

    async fn block(&self, blocker: UserId, blocked: UserId) {
        let block = Block { blocker, blocked, created_at: at(0) };
        self.stores.blocks.block(&block, false, &Effects::default()).await.unwrap();
    }

    async fn requests(&self, user: UserId, direction: Direction) -> Vec<StoredContactRequest> {
        let window = Window { after: None, offset: 0, size: size(100) };
        self.stores.contacts.requests(user, direction, &window).await.unwrap()
    }

    async fn contact(&self, owner: UserId, user: UserId) -> Option<StoredContact> {
        self.stores.contacts.contact(owner, user).await.unwrap()
    }

    async fn contact_ids(&self, owner: UserId) -> Vec<UserId> {
        let query = ContactQuery { favorite: None, after: None, offset: 0, size: size(100) };
        ids(&self.stores.contacts.contacts(owner, &query).await.unwrap())
    }

    async fn events(&self) -> Vec<String> {
        let mut kinds: Vec<_> =
            self.stores.world.events().await.into_iter().map(|event| event.kind.into_owned()).collect();
        kinds.retain(|kind| kind.starts_with("accounts.contact"));
        kinds
    }
}

fn accepted(from: UserId, to: UserId) -> Effects {
    Effects::default().event(Event::new(&SystemIds, at(0), &ContactAccepted { from, to }))
}

fn stored(new: &NewContactRequest) -> StoredContactRequest {
    StoredContactRequest {
        id: new.id,
        from: new.from,
        named: new.named.clone(),
        nickname: new.nickname.clone(),
        created_at: new.created_at,
    }
}

fn ids(contacts: &[StoredContact]) -> Vec<UserId> {
    contacts.iter().map(|contact| contact.user_id).collect()
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 1).unwrap()
}
