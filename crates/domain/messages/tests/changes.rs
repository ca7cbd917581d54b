//! What becomes of messages: against mocks and a clock that stands still.
#![cfg(test)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use alivio_kernel::ids::UserId;
use alivio_kernel::sealing::{PlainSealer, SealContext};
use alivio_kernel::{Clock, DomainError, ManualClock, PageSize, Sealer};
use alivio_messages::testing::mocked;
use alivio_messages::{
    Change, Content, Current, Draft, Found, MessageEdited, Messages, MessagesPorts, MockLiveFeed,
    MockMessageChanges, MockMessageLog, MockRooms, RevisedPage, RevisedQuery, Standing, StoredMessage,
};

mod common;

use common::{ROOM, caller, conversation, other, place, stored};

/// Everything around the service, and what it was told.
#[derive(Default)]
struct Desk {
    log: MockMessageLog,
    live: MockLiveFeed,
    changes: MockMessageChanges,
    rooms: MockRooms,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

impl Desk {
    fn open(self) -> Messages {
        Messages::new(MessagesPorts {
            log: Arc::new(self.log),
            changes: Arc::new(self.changes),
            live: Arc::new(self.live),
            rooms: Arc::new(self.rooms),
            sealer: self.sealer,
            clock: self.clock,
            ..mocked()
        })
    }
}

// What becomes of messages

const STANDING: Standing = Standing { moderates: false, is_open: true, is_blocked: false };

impl Desk {
    /// A message of `sender` that the caller finds, and finds unchanged afterwards.
    async fn finds(&mut self, sender: UserId, standing: Standing) -> StoredMessage {
        let mut stored = stored(&self.sealer, &self.clock, 7, "Tome 50 mg").await;
        stored.header.sender_id = sender;
        let (found, current) = (stored.clone(), stored.clone());
        self.changes
            .expect_find()
            .returning(move |_, _, _| Ok(Some(Found { message: found.clone(), standing })));
        self.changes.expect_current().returning(move |_| {
            Ok(Some(Current { message: current.clone(), marks: vec![], members_version: 3 }))
        });
        self.changes.expect_aftermath().returning(|_| Ok(HashMap::new()));
        self.rooms.expect_room().returning(|_| Ok(Some(ROOM)));
        stored
    }
}

#[tokio::test]
async fn an_edit_is_sealed_for_its_version_stored_and_then_announced() {
    let mut desk = Desk::default();
    let stored = desk.finds(caller().user_id, STANDING).await;
    let steps = Arc::new(Mutex::new(Vec::new()));
    let (store, announce, sealer) = (Arc::clone(&steps), Arc::clone(&steps), Arc::clone(&desk.sealer));
    let edits = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&edits);
    desk.changes.expect_edit().times(1).returning(move |edit, effects| {
        store.lock().unwrap().push("stored");
        seen.lock().unwrap().push((edit.clone(), effects.clone()));
        Ok(41)
    });
    desk.live.expect_message_changed().times(1).returning(move |told| {
        assert_eq!(
            (told.change, told.revision, told.actor, told.members_version),
            (Change::Edited, 41, Some(caller().user_id), 3)
        );
        announce.lock().unwrap().push("announced");
    });
    let words = Content::parse("Tome 5 mg").unwrap();
    desk.open().edit(&caller(), stored.id, words, Some(1)).await.unwrap();
    assert_eq!(*steps.lock().unwrap(), ["stored", "announced"]);
    let (edit, effects) = edits.lock().unwrap().remove(0);
    assert_eq!(edit.replaces, 1);
    let place = SealContext { version: 2, ..place(stored.id) };
    assert_eq!(sealer.open_many(&[(place, &edit.content)]).await.unwrap(), [b"Tome 5 mg"]);
    let [event] = &effects.events[..] else { panic!("one event") };
    assert_eq!(event.read::<MessageEdited>().unwrap().version, 2);
    assert!(!event.payload.to_string().contains("Tome"), "events hold ids, never bodies");
}

#[tokio::test]
async fn what_may_not_be_changed_is_neither_stored_nor_announced() {
    let mut desk = Desk::default();
    let stored = desk.finds(other(), STANDING).await;
    let messages = desk.open();
    let words = Content::parse("x").unwrap();
    let errors = [
        messages.edit(&caller(), stored.id, words.clone(), None).await.unwrap_err(),
        messages.delete(&caller(), stored.id).await.unwrap_err(),
        messages.correct(&caller(), stored.id, Draft::text(words), None).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.code() == "not_the_sender"), "{errors:?}");
}

#[tokio::test]
async fn what_a_moderator_takes_back_is_recorded_and_what_people_take_back_of_their_own_is_not() {
    for (sender, recorded) in [(other(), 1), (caller().user_id, 0)] {
        let mut desk = Desk::default();
        let stored = desk.finds(sender, Standing { moderates: true, ..STANDING }).await;
        desk.changes
            .expect_delete()
            .times(1)
            .withf(move |_, effects| (effects.events.len(), effects.audit.len()) == (1, recorded))
            .returning(|_, _| Ok(Some(5)));
        desk.live.expect_message_changed().times(1).returning(|_| ());
        desk.open().delete(&caller(), stored.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_deletion_that_someone_else_did_first_is_not_announced_again() {
    let mut desk = Desk::default();
    let stored = desk.finds(caller().user_id, STANDING).await;
    desk.changes.expect_delete().returning(|_, _| Ok(None));
    desk.open().delete(&caller(), stored.id).await.unwrap();
}

#[tokio::test]
async fn what_has_changed_is_shown_as_it_is_now_and_tells_how_far_it_reaches() {
    let mut desk = Desk::default();
    let mut gone = stored(&desk.sealer, &desk.clock, 7, "Tome 50 mg").await;
    gone.header.revision = 12;
    gone.header.deleted_at = Some(desk.clock.now());
    let kept = stored(&desk.sealer, &desk.clock, 8, "Tome 5 mg").await;
    let query = RevisedQuery { after: 3, up_to_seq: 9, size: PageSize::parse(None, 2).unwrap() };
    let page = RevisedPage { messages: vec![gone, kept], reached: 20, last_revision: 40 };
    desk.changes
        .expect_revised()
        .withf(move |user, place, asked| (*user, *place, *asked) == (caller().user_id, conversation(), query))
        .returning(move |_, _, _| Ok(Some(page.clone())));
    desk.changes.expect_aftermath().returning(|_| Ok(HashMap::new()));
    let revised = desk.open().revised(&caller(), conversation(), &query).await.unwrap();
    let words: Vec<_> =
        revised.messages.iter().map(|m| m.content.as_ref().map(|words| words.as_str().to_owned())).collect();
    assert_eq!(words, [None, Some("Tome 5 mg".to_owned())], "what is gone keeps its words to itself");
    assert_eq!((revised.reached, revised.last_revision), (20, 40));

    let mut desk = Desk::default();
    desk.changes.expect_revised().returning(|_, _, _| Ok(None));
    let error = desk.open().revised(&caller(), conversation(), &query).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
}
