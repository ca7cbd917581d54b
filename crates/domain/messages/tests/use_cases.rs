//! What one can do with messages: state, events and announcements, against mocks and a clock that stands
//! still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_kernel::ids::{ConversationId, MessageId, SessionId, UserId, Uuid};
use alivio_kernel::sealing::{PlainSealer, Scope, SealContext};
use alivio_kernel::{
    Caller, Clock, DomainError, ErrorKind, ManualClock, PageSize, Role, Sealed, Sealer, SequentialIds,
};
use alivio_messages::{
    Anchor, Appended, ClientMessageId, Content, Digest, Draft, Error, Header, HistoryQuery, Mark, Marks,
    MarksMoved, Message, MessageSent, MessageType, Messages, MessagesPorts, MockGrantedLog, MockLiveFeed,
    MockMessageLog, MockRooms, Moved, NewEntry, Position, Priority, StoredMessage,
};

/// Everything around the service, and what it was told.
#[derive(Default)]
struct Desk {
    log: MockMessageLog,
    live: MockLiveFeed,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

impl Desk {
    fn open(self) -> Messages {
        Messages::new(MessagesPorts {
            log: Arc::new(self.log),
            granted: Arc::new(MockGrantedLog::new()),
            live: Arc::new(self.live),
            rooms: Arc::new(MockRooms::new()),
            sealer: self.sealer,
            clock: self.clock,
            ids: Arc::new(SequentialIds::default()),
        })
    }

    /// A log that answers every append with `answer`, and what was appended.
    fn answers(&mut self, answer: Appended) -> Arc<Mutex<Vec<NewEntry>>> {
        let entries = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&entries);
        self.log.expect_append().returning(move |entry| {
            seen.lock().unwrap().push(entry);
            Ok(answer.clone())
        });
        entries
    }

    /// A feed that tells what it was told about messages. Without it, telling it anything is a failure.
    fn listens(&mut self) -> Arc<Mutex<Vec<(Message, i64)>>> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&told);
        self.live.expect_message_created().returning(move |message, version| {
            seen.lock().unwrap().push((message.clone(), version));
        });
        told
    }

    async fn stored(&self, n: u128, words: &str) -> StoredMessage {
        let id = message(n);
        let name = ClientMessageId::parse("stored").unwrap();
        let header = Header {
            number: 5000 + i64::try_from(n).unwrap(),
            seq: i64::try_from(n).unwrap(),
            priority: Priority::High,
            ..Header::new(id, conversation(), other(), name, self.clock.now())
        };
        let content = self.sealer.seal(&place(id), words.as_bytes()).await.unwrap();
        StoredMessage { header, content: Some(content) }
    }
}

fn place(message: MessageId) -> SealContext {
    SealContext {
        table: "messages",
        column: "content",
        row: message.uuid(),
        scope: Scope::Conversation(conversation()),
        version: 1,
    }
}

fn conversation() -> ConversationId {
    Uuid::from_u128(0xC0).into()
}

fn message(n: u128) -> MessageId {
    Uuid::from_u128(0xA000 + n).into()
}

fn other() -> UserId {
    Uuid::from_u128(0xBB).into()
}

fn caller() -> Caller {
    Caller {
        user_id: Uuid::from_u128(0xAA).into(),
        role: Role::Doctor,
        session_id: SessionId::from(Uuid::from_u128(0x55)),
        address: None,
    }
}

fn draft(words: &str) -> Draft {
    Draft {
        priority: Priority::Urgent,
        client_message_id: Some(ClientMessageId::parse("mine-1").unwrap()),
        ..Draft::text(Content::parse(words).unwrap())
    }
}

fn marks(delivered_up_to: i64, read_up_to: i64) -> Marks {
    Marks { user_id: caller().user_id, delivered_up_to, read_up_to }
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 1).unwrap()
}

const STORED: Appended = Appended::Stored { seq: 7, number: 5042, members_version: 3, expires_at: None };

#[tokio::test]
async fn a_sent_message_is_sealed_stored_and_announced_once() {
    let mut desk = Desk::default();
    let (entries, told) = (desk.answers(STORED), desk.listens());
    let (sealer, now) = (Arc::clone(&desk.sealer), desk.clock.now());
    let sent = desk.open().send(&caller(), conversation(), draft("Tome 5 mg")).await.unwrap();

    assert!(sent.created);
    assert_eq!((sent.message.seq, sent.message.number), (7, 5042));
    assert_eq!(sent.message.content.as_ref().unwrap().as_str(), "Tome 5 mg");
    assert_eq!((sent.message.sender_id, sent.message.created_at), (caller().user_id, now));
    assert_eq!(*told.lock().unwrap(), [(sent.message.clone(), 3)]);

    let entries = entries.lock().unwrap().clone();
    let [entry] = &entries[..] else { panic!("not appended once") };
    assert_eq!((entry.id, entry.conversation_id), (sent.message.id, conversation()));
    assert_eq!((entry.sender_id, entry.priority), (caller().user_id, Priority::Urgent));
    assert!(!contains(&entry.content, "Tome"), "the log sees no plain text");
    let opened = sealer.open_many(&[(place(entry.id), &entry.content)]).await.unwrap();
    assert_eq!(opened, [b"Tome 5 mg"]);
    assert_eq!(
        entry.event.read::<MessageSent>().unwrap(),
        MessageSent {
            conversation_id: conversation(),
            message_id: entry.id,
            sender_id: caller().user_id,
            seq: 0,
        }
    );
    assert!(!entry.event.payload.to_string().contains("Tome"), "events hold ids, never bodies");
}

#[tokio::test]
async fn a_message_is_announced_only_after_it_is_safe() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let mut desk = Desk::default();
    let (append, announce) = (Arc::clone(&steps), Arc::clone(&steps));
    desk.log.expect_append().returning(move |_| {
        append.lock().unwrap().push("appended");
        Ok(STORED)
    });
    desk.live.expect_message_created().returning(move |_, _| announce.lock().unwrap().push("announced"));
    desk.open().send(&caller(), conversation(), draft("hola")).await.unwrap();
    assert_eq!(*steps.lock().unwrap(), ["appended", "announced"]);
}

#[tokio::test]
async fn a_repeat_answers_the_stored_message_and_announces_it_to_whoever_missed_it() {
    let mut desk = Desk::default();
    desk.live
        .expect_message_created()
        .withf(|message, members_version| message.seq == 4 && *members_version == i64::MAX)
        .times(1)
        .returning(|_, _| ());
    let stored = desk.stored(4, "as it was sent first").await;
    desk.answers(Appended::Repeat(stored.clone()));
    let sent = desk.open().send(&caller(), conversation(), draft("hola")).await.unwrap();
    assert!(!sent.created);
    assert_eq!((sent.message.id, sent.message.seq, sent.message.number), (stored.id, 4, 5004));
    assert_eq!(sent.message.content.as_ref().unwrap().as_str(), "as it was sent first");
}

#[tokio::test]
async fn what_is_not_stored_is_an_error_and_not_announced() {
    for (answer, code, kind) in [
        (Appended::Reused, "client_message_id_reused", ErrorKind::Conflict),
        (Appended::NotAMember, "not_found", ErrorKind::NotFound),
        (Appended::Closed, "conversation_closed", ErrorKind::Conflict),
    ] {
        let mut desk = Desk::default();
        desk.answers(answer);
        let error = desk.open().send(&caller(), conversation(), draft("hola")).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, kind));
    }
}

#[tokio::test]
async fn a_log_out_of_reach_is_said_without_its_reasons() {
    let mut desk = Desk::default();
    desk.log.expect_append().returning(|_| Err(Error::Unavailable("password=hunter2".into())));
    let error = desk.open().send(&caller(), conversation(), draft("hola")).await.unwrap_err();
    assert_eq!((error.code(), error.kind(), error.details()), ("unavailable", ErrorKind::Unavailable, None));
    assert!(!error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_message_without_a_client_message_id_gets_one_of_its_own() {
    let mut desk = Desk::default();
    let (entries, _told) = (desk.answers(STORED), desk.listens());
    let messages = desk.open();
    let nameless = Draft { client_message_id: None, ..draft("hola") };
    for draft in [nameless.clone(), nameless, draft("hola")] {
        messages.send(&caller(), conversation(), draft).await.unwrap();
    }
    let entries = entries.lock().unwrap();
    for entry in &entries[..2] {
        assert_eq!(entry.client_message_id.as_str(), entry.id.to_string());
    }
    assert_ne!(entries[0].client_message_id, entries[1].client_message_id);
    assert_eq!(entries[2].client_message_id.as_str(), "mine-1");
}

#[tokio::test]
async fn the_fingerprint_tells_a_retry_from_another_message() {
    let mut desk = Desk::default();
    let (entries, _told) = (desk.answers(STORED), desk.listens());
    let messages = desk.open();
    let elsewhere = Uuid::from_u128(0xC1).into();
    for (conversation, draft) in [
        (conversation(), draft("hola")),
        (conversation(), draft("hola")),
        (conversation(), draft("hola!")),
        (conversation(), Draft { priority: Priority::Low, ..draft("hola") }),
        (elsewhere, draft("hola")),
    ] {
        messages.send(&caller(), conversation, draft).await.unwrap();
    }
    let prints: Vec<_> = entries.lock().unwrap().iter().map(|entry| entry.fingerprint).collect();
    assert_eq!(prints[0], prints[1]);
    assert!(prints[2..].iter().all(|print| *print != prints[0]));
    let sealed: Vec<_> = entries.lock().unwrap().iter().map(|entry| entry.content.clone()).collect();
    assert_ne!(sealed[0], sealed[1], "though sealed anew");
}

#[tokio::test]
async fn a_moved_mark_is_announced() {
    let mut desk = Desk::default();
    let now = desk.clock.now();
    let answer = Moved { marks: marks(9, 6), moved: true, message_id: message(6), unread: 2 };
    desk.log
        .expect_advance()
        .withf(move |user, place, mark, target, at| {
            (*user, *place, *mark) == (caller().user_id, conversation(), Mark::Read)
                && (*target, *at) == (Anchor::Seq(6), now)
        })
        .times(1)
        .returning(move |_, _, _, _, _| Ok(Some(answer)));
    let expected = MarksMoved {
        conversation_id: conversation(),
        mark: Mark::Read,
        marks: marks(9, 6),
        message_id: message(6),
        at: now,
    };
    desk.live.expect_marks_moved().withf(move |moved| *moved == expected).times(1).return_const(());
    let moved = desk.open().advance(&caller(), conversation(), Mark::Read, &Anchor::Seq(6)).await.unwrap();
    assert_eq!(moved, answer);
}

#[tokio::test]
async fn a_mark_that_stays_is_answered_and_not_announced() {
    let mut desk = Desk::default();
    let answer = Moved { marks: marks(9, 9), moved: false, message_id: message(6), unread: 0 };
    desk.log.expect_advance().returning(move |_, _, _, _, _| Ok(Some(answer)));
    let target = Anchor::Message(message(6));
    let moved = desk.open().advance(&caller(), conversation(), Mark::Delivered, &target).await.unwrap();
    assert_eq!(moved, answer);
}

#[tokio::test]
async fn a_target_out_of_reach_is_not_found() {
    let mut desk = Desk::default();
    desk.log.expect_advance().returning(|_, _, _, _, _| Ok(None));
    let error =
        desk.open().advance(&caller(), conversation(), Mark::Read, &Anchor::Seq(1)).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
}

#[tokio::test]
async fn the_newest_of_several_messages_is_the_logs_answer() {
    let mut desk = Desk::default();
    desk.log
        .expect_newest_of()
        .withf(|user, place, asked| {
            (*user, *place, asked) == (caller().user_id, conversation(), &[message(3), message(5)])
        })
        .returning(|_, _, _| Ok(Some(message(5))));
    let asked = [message(3), message(5)];
    let newest = desk.open().newest_of(&caller(), conversation(), &asked).await.unwrap();
    assert_eq!(newest, message(5));
}

#[tokio::test]
async fn messages_from_elsewhere_have_no_newest() {
    let mut desk = Desk::default();
    desk.log.expect_newest_of().returning(|_, _, _| Ok(None));
    let error = desk.open().newest_of(&caller(), conversation(), &[message(3)]).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
}

#[tokio::test]
async fn a_page_of_history_is_opened_and_says_where_the_next_one_starts() {
    for (found, shown, cursor) in [(3, 2, Some("2".to_owned())), (2, 2, None), (0, 0, None)] {
        let mut desk = Desk::default();
        let mut rows = Vec::new();
        for n in 1..=found {
            rows.push(desk.stored(n, &format!("words {n}")).await);
        }
        let query = HistoryQuery::Newest { offset: 4, size: size(2) };
        desk.log
            .expect_history()
            .withf(move |user, place, asked| {
                (*user, *place, *asked) == (caller().user_id, conversation(), query)
            })
            .returning(move |_, _, _| Ok(Some(rows.clone())));
        desk.log.expect_position().returning(|_, _| {
            Ok(Some(Position { joined_seq: 1, last_seq: 9, members_version: 1, marks: vec![marks(9, 8)] }))
        });
        let history = desk.open().history(&caller(), conversation(), &query).await.unwrap();
        let words: Vec<_> = history.page.items.iter().map(|m| m.content.as_str().to_owned()).collect();
        assert_eq!(words, (1..=shown).map(|n| format!("words {n}")).collect::<Vec<_>>());
        assert_eq!(history.page.next_cursor, cursor);
        assert_eq!(history.marks, [marks(9, 8)]);
    }
}

#[tokio::test]
async fn a_replay_starts_after_what_the_client_has() {
    let mut desk = Desk::default();
    let row = desk.stored(8, "missed").await;
    desk.log
        .expect_history()
        .withf(|_, _, query| *query == HistoryQuery::After(Anchor::Seq(7), size(50)))
        .returning(move |_, _, _| Ok(Some(vec![row.clone()])));
    let page = desk.open().replay(&caller(), conversation(), 7, size(50)).await.unwrap();
    assert_eq!(page.items.iter().map(|m| m.seq).collect::<Vec<_>>(), [8]);
    assert_eq!(page.next_cursor, None);
}

#[tokio::test]
async fn strangers_find_nothing() {
    let mut desk = Desk::default();
    desk.log.expect_history().returning(|_, _, _| Ok(None));
    desk.log.expect_position().returning(|_, _| Ok(None));
    let messages = desk.open();
    let query = HistoryQuery::Newest { offset: 0, size: size(2) };
    let errors = [
        messages.history(&caller(), conversation(), &query).await.unwrap_err(),
        messages.replay(&caller(), conversation(), 0, size(2)).await.unwrap_err(),
        messages.position(&caller(), conversation()).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.code() == "not_found"), "{errors:?}");
}

#[tokio::test]
async fn words_moved_to_another_message_do_not_open() {
    let mut desk = Desk::default();
    let (mut row, another) = (desk.stored(1, "mine").await, desk.stored(2, "another's").await);
    row.content = another.content;
    desk.log.expect_history().returning(move |_, _, _| Ok(Some(vec![row.clone()])));
    let error = desk.open().replay(&caller(), conversation(), 0, size(2)).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
}

#[tokio::test]
async fn each_digest_gets_its_own_last_message() {
    let mut desk = Desk::default();
    let places: Vec<ConversationId> = (1..=3).map(|n| Uuid::from_u128(n).into()).collect();
    let (first, last) = (desk.stored(1, "first").await, desk.stored(3, "last").await);
    let digests: Vec<_> = places
        .iter()
        .zip([Some(first), None, Some(last)])
        .map(|(id, last)| Digest { conversation_id: *id, unread: 4, last, marks: vec![marks(1, 0)] })
        .collect();
    desk.log.expect_digests().returning(move |_, _| Ok(digests.clone()));
    let digests = desk.open().digests(&caller(), &places).await.unwrap();
    let seen: Vec<_> = digests
        .iter()
        .map(|d| (d.conversation_id, d.unread, d.last.as_ref().map(|m| m.content.as_str())))
        .collect();
    let expected = [(places[0], 4, Some("first")), (places[1], 4, None), (places[2], 4, Some("last"))];
    assert_eq!(seen, expected);
    assert!(digests.iter().all(|d| d.marks == [marks(1, 0)]));
}

fn contains(sealed: &Sealed, words: &str) -> bool {
    sealed.as_bytes().windows(words.len()).any(|window| window == words.as_bytes())
}

#[tokio::test]
async fn a_stranger_to_a_conversation_without_a_key_makes_none() {
    let mut desk = Desk { sealer: Arc::new(PlainSealer::keyless()), ..Desk::default() };
    desk.log.expect_position().returning(|_, _| Ok(None));
    // Nothing was provided for an append.
    let error = desk.open().send(&caller(), conversation(), draft("hola")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound));
}
