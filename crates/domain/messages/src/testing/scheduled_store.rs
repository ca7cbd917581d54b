//! What every [`ScheduledStore`] and [`DraftStore`] MUST do, one case each. Run them all with
//! [`scheduled_store_conformance!`](crate::scheduled_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::pin::Pin;
use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, MessageId, ScheduledMessageId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{DomainEvent, Event, PageSize, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::World;
use crate::{
    ClientMessageId, DraftStore, Earlier, NewScheduled, Outcome, Scheduled, ScheduledChange,
    ScheduledMessageDue, ScheduledState, ScheduledStore, StoredDraft,
};

/// Tests your [`ScheduledStore`] and [`DraftStore`]: one `#[tokio::test]` for every case.
///
/// `$fresh` names an `async fn() -> Stores` that gives each case empty, isolated ones.
///
/// [`ScheduledStore`]: crate::ScheduledStore
/// [`DraftStore`]: crate::DraftStore
#[macro_export]
macro_rules! scheduled_store_conformance {
    ($fresh:expr) => {
        mod scheduled_store_conformance {
            use super::*;
            $crate::scheduled_store_conformance! { @cases $fresh;
                one_name_makes_one_message_with_one_timer
                strangers_put_nothing_off
                of_taking_back_and_sending_one_wins
                only_what_is_due_is_claimed_and_again_until_it_is_settled
                a_change_needs_its_version_and_comes_before_the_time
                the_latest_due_comes_first
                a_draft_is_its_owners_alone_and_only_where_they_are
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::scheduled_store::$case($fresh().await).await;
            }
        )*
    };
}

/// What a case is given.
pub struct Stores {
    /// On trial.
    pub scheduled: Arc<dyn ScheduledStore>,
    /// On trial.
    pub drafts: Arc<dyn DraftStore>,
    /// What lies around them.
    pub world: Arc<dyn World>,
}

/// One `(conversation, sender, client_message_id)` MUST make one, with its timer.
pub async fn one_name_makes_one_message_with_one_timer(stores: Stores) {
    let (user, conversation) = stores.room().await;
    let first = new(conversation, user, "s-1");
    let attempts =
        (0..50).map(|_| NewScheduled { client_message_id: name("s-1"), ..new(conversation, user, "x") });
    let store = &stores.scheduled;
    let outcomes = together(attempts.map(|new| {
        let store = Arc::clone(store);
        async move { (new.id, store.create(&new).await.unwrap(), new.fingerprint) }
    }))
    .await;
    let made: Vec<_> = outcomes.iter().filter(|(_, outcome, _)| *outcome == Scheduled::New).collect();
    let [(id, ..)] = &*made else { panic!("{} made", made.len()) };
    assert_eq!(outcomes.iter().filter(|(_, o, _)| *o == Scheduled::Earlier(Earlier::Same(*id))).count(), 49);
    let other = NewScheduled { fingerprint: [9; 16], ..first };
    assert_eq!(store.create(&other).await.unwrap(), Scheduled::Earlier(Earlier::Other));
    assert_eq!(stores.timers().await, 1);
    let stranger = stores.world.user().await;
    for (sender, said, fingerprint, expected) in [
        (user, "s-1", made[0].2, Some(Earlier::Same(*id))),
        (user, "s-1", [9; 16], Some(Earlier::Other)),
        (user, "s-2", made[0].2, None),
        (stranger, "s-1", made[0].2, None),
    ] {
        let earlier = store.earlier(sender, conversation, &name(said), fingerprint).await.unwrap();
        assert_eq!(earlier, expected, "{said}");
    }
}

/// [`Scheduled::NotAMember`], and nothing is stored.
pub async fn strangers_put_nothing_off(stores: Stores) {
    let (_, conversation) = stores.room().await;
    let stranger = stores.world.user().await;
    let outcome = stores.scheduled.create(&new(conversation, stranger, "s")).await.unwrap();
    assert_eq!((outcome, stores.timers().await), (Scheduled::NotAMember, 0));
}

/// Of taking back and claiming, one MUST win.
pub async fn of_taking_back_and_sending_one_wins(stores: Stores) {
    let (user, conversation) = stores.room().await;
    for n in 0..200 {
        let id = stores.make(conversation, user, &format!("s-{n}")).await;
        let store = &stores.scheduled;
        let attempts: [Pin<Box<dyn Future<Output = bool> + Send>>; 2] = [
            Box::pin(async { store.cancel(user, id, at()).await.unwrap() }),
            Box::pin(async { store.claim(id, at()).await.unwrap().is_some() }),
        ];
        let won = together(attempts).await;
        assert_ne!(won[0], won[1], "attempt {n}");
    }
}

/// What is not due, taken back or settled MUST NOT be claimed.
pub async fn only_what_is_due_is_claimed_and_again_until_it_is_settled(stores: Stores) {
    let (user, conversation) = stores.room().await;
    let id = stores.make(conversation, user, "s").await;
    let store = &stores.scheduled;
    assert!(store.claim(id, at() - TimeDelta::seconds(1)).await.unwrap().is_none());
    for _ in 0..2 {
        assert_eq!(store.claim(id, at()).await.unwrap().unwrap().state, ScheduledState::Sending);
    }
    let message = MessageId::generate(&SystemIds);
    assert!(store.settle(id, &Outcome::Sent(message), at()).await.unwrap());
    assert!(!store.settle(id, &Outcome::Refused("not_found"), at()).await.unwrap());
    assert!(store.claim(id, at()).await.unwrap().is_none());
    let settled = store.find(user, id).await.unwrap().unwrap();
    assert_eq!((settled.state, settled.message_id), (ScheduledState::Sent, Some(message)));
    assert!(store.find(stores.world.user().await, id).await.unwrap().is_none());
}

/// `false`, and nothing changes, unless it is pending and of that version.
pub async fn a_change_needs_its_version_and_comes_before_the_time(stores: Stores) {
    let (user, conversation) = stores.room().await;
    let id = stores.make(conversation, user, "s").await;
    let later = at() + TimeDelta::hours(1);
    let change = |version| ScheduledChange {
        id,
        sender_id: user,
        version,
        draft: Sealed::from_bytes(vec![2]),
        due_at: later,
        now: at(),
        timer: timer(id, later),
    };
    assert!(!stores.scheduled.change(&change(2)).await.unwrap());
    assert!(stores.scheduled.change(&change(1)).await.unwrap());
    assert!(!stores.scheduled.change(&change(1)).await.unwrap());
    let changed = stores.scheduled.find(user, id).await.unwrap().unwrap();
    assert_eq!((changed.version, changed.due_at, changed.draft), (2, later, Sealed::from_bytes(vec![2])));
    assert_eq!(stores.timers().await, 2);
    assert!(stores.scheduled.claim(id, at()).await.unwrap().is_none(), "it was put off again");
    assert!(stores.scheduled.claim(id, later).await.unwrap().is_some());
    assert!(!stores.scheduled.change(&change(2)).await.unwrap());
}

/// A page, and one more.
pub async fn the_latest_due_comes_first(stores: Stores) {
    let (user, conversation) = stores.room().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let due_at = at() + TimeDelta::minutes(n);
        let one = NewScheduled { due_at, ..new(conversation, user, &format!("s-{n}")) };
        stores.scheduled.create(&one).await.unwrap();
        ids.insert(0, (due_at, one.id));
    }
    let size = PageSize::parse(Some(1), 1).unwrap();
    let list = async |state, after| {
        let rows = stores.scheduled.list(user, state, after, size).await.unwrap();
        rows.into_iter().map(|row| (row.due_at, row.id)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None).await, ids[..2]);
    assert_eq!(list(Some(ScheduledState::Pending), Some(ids[1])).await, ids[2..]);
    assert_eq!(list(Some(ScheduledState::Sent), None).await, []);
}

/// Someone who is not in the conversation has no draft there.
pub async fn a_draft_is_its_owners_alone_and_only_where_they_are(stores: Stores) {
    let (user, conversation) = stores.room().await;
    let other = stores.world.user().await;
    let draft = |byte| StoredDraft {
        conversation_id: conversation,
        content: Sealed::from_bytes(vec![byte]),
        reply_to: Some(MessageId::generate(&SystemIds)),
        updated_at: at(),
    };
    let (drafts, second) = (&stores.drafts, draft(2));
    assert!(drafts.put(user, &draft(1)).await.unwrap());
    assert!(drafts.put(user, &second).await.unwrap());
    assert!(!drafts.put(other, &draft(3)).await.unwrap());
    assert_eq!(drafts.get(user, conversation).await.unwrap(), Some(second.clone()));
    assert_eq!(drafts.get(other, conversation).await.unwrap(), None);
    let size = PageSize::parse(Some(1), 1).unwrap();
    assert_eq!(drafts.list(user, None, size).await.unwrap(), [second]);
    assert_eq!(drafts.list(user, Some((at(), conversation)), size).await.unwrap(), []);
    stores.world.remove(conversation, user).await;
    assert_eq!(drafts.get(user, conversation).await.unwrap(), None);
    assert_eq!(drafts.list(user, None, size).await.unwrap(), []);
    stores.world.add(conversation, user).await;
    assert!(drafts.remove(user, conversation).await.unwrap());
    assert!(!drafts.remove(user, conversation).await.unwrap());
}

impl Stores {
    async fn room(&self) -> (UserId, ConversationId) {
        let (user, other) = (self.world.user().await, self.world.user().await);
        (user, self.world.conversation(&[user, other]).await)
    }

    async fn make(&self, conversation: ConversationId, user: UserId, words: &str) -> ScheduledMessageId {
        let new = new(conversation, user, words);
        assert_eq!(self.scheduled.create(&new).await.unwrap(), Scheduled::New);
        new.id
    }

    async fn timers(&self) -> usize {
        let events = self.world.events().await;
        events.iter().filter(|event| event.kind == ScheduledMessageDue::KIND).count()
    }
}

fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn name(words: &str) -> ClientMessageId {
    ClientMessageId::parse(words).unwrap()
}

fn timer(id: ScheduledMessageId, due_at: DateTime<Utc>) -> Event {
    Event::new(&SystemIds, at(), &ScheduledMessageDue { id }).due(due_at)
}

fn new(conversation_id: ConversationId, sender_id: UserId, words: &str) -> NewScheduled {
    let id = ScheduledMessageId::generate(&SystemIds);
    NewScheduled {
        id,
        conversation_id,
        sender_id,
        client_message_id: name(words),
        fingerprint: [7; 16],
        draft: Sealed::from_bytes(vec![1]),
        due_at: at(),
        created_at: at() - TimeDelta::hours(1),
        timer: timer(id, at()),
    }
}
