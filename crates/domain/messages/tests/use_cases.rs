//! What one can do with messages: state, events and announcements, against mocks and a clock that stands
//! still.
#![cfg(test)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use alivio_kernel::ids::{ConversationId, Uuid};
use alivio_kernel::sealing::{PlainSealer, SealContext};
use alivio_kernel::{Caller, Clock, DomainError, ErrorKind, ManualClock, PageSize, Role, Sealed, Sealer};
use alivio_messages::testing::mocked;
use alivio_messages::{
    Anchor, Appended, Appointment, Attachment, Automation, ClientMessageId, Digest, Draft, Error, Filter,
    HistoryQuery, LogPage, LogQuery, Mark, Marks, MarksMoved, Message, MessageType, Messages, MessagesPorts,
    MockAttachments, MockCorrespondents, MockLiveFeed, MockMessageChanges, MockMessageLog, MockMessageReader,
    MockRooms, MockScheduledStore, Moved, Outcome, Payload, Position, Priority, ReadableMessage, Room,
    ScheduledState, StoredScheduled, SystemEvent,
};

mod common;

use common::{ROOM, STORED, answers, caller, conversation, draft, listens, message, other, place, stored};

/// Everything around the service, and what it was told.
#[derive(Default)]
struct Desk {
    log: MockMessageLog,
    live: MockLiveFeed,
    reader: MockMessageReader,
    scheduled: MockScheduledStore,
    attachments: MockAttachments,
    correspondents: MockCorrespondents,
    changes: MockMessageChanges,
    rooms: MockRooms,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

impl Desk {
    fn open(mut self) -> Messages {
        // For those who have not said what room it is.
        self.rooms.expect_room().returning(|_| Ok(Some(ROOM)));
        Messages::new(MessagesPorts {
            log: Arc::new(self.log),
            changes: Arc::new(self.changes),
            live: Arc::new(self.live),
            reader: Arc::new(self.reader),
            scheduled: Arc::new(self.scheduled),
            attachments: Arc::new(self.attachments),
            correspondents: Arc::new(self.correspondents),
            rooms: Arc::new(self.rooms),
            sealer: self.sealer,
            clock: self.clock,
            ..mocked()
        })
    }
}

fn marks(delivered_up_to: i64, read_up_to: i64) -> Marks {
    Marks { user_id: caller().user_id, delivered_up_to, read_up_to }
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 1).unwrap()
}

#[tokio::test]
async fn a_sent_message_is_sealed_stored_and_announced_once() {
    let mut desk = Desk::default();
    let (entries, told) = (answers(&mut desk.log, STORED), listens(&mut desk.live));
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
    let sealed = entry.content.as_ref().unwrap();
    assert!(!contains(sealed, "Tome"), "the log sees no plain text");
    let opened = sealer.open_many(&[(place(entry.id), sealed)]).await.unwrap();
    assert_eq!(opened, [b"Tome 5 mg"]);
    assert_eq!(entry.event, None, "whoever is to see each message follows the log");
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
    let stored = stored(&desk.sealer, &desk.clock, 4, "as it was sent first").await;
    answers(&mut desk.log, Appended::Repeat(stored.clone()));
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
        answers(&mut desk.log, answer);
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
    let (entries, _told) = (answers(&mut desk.log, STORED), listens(&mut desk.live));
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
    let (entries, _told) = (answers(&mut desk.log, STORED), listens(&mut desk.live));
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
    // Their other devices learn what is left.
    desk.live
        .expect_unread_changed()
        .withf(|user, place, unread| (*user, *place, *unread) == (caller().user_id, conversation(), 2))
        .times(1)
        .return_const(());
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
            rows.push(stored(&desk.sealer, &desk.clock, n, &format!("words {n}")).await);
        }
        let query = log_query(size(2));
        let asked = query.clone();
        desk.reader
            .expect_browse()
            .withf(move |user, place, query, _| {
                (*user, *place, query) == (caller().user_id, conversation(), &asked)
            })
            .returning(move |_, _, _, _| Ok(Some(LogPage { messages: rows.clone(), edge: None })));
        desk.log.expect_position().returning(|_, _| {
            Ok(Some(Position {
                joined_seq: 1,
                last_seq: 9,
                last_revision: 0,
                members_version: 1,
                marks: vec![marks(9, 8)],
            }))
        });
        desk.changes.expect_aftermath().returning(|_| Ok(HashMap::new()));
        let history = desk.open().history(&caller(), conversation(), &query).await.unwrap();
        let seen: Vec<_> = history.page.items.iter().map(words).collect();
        assert_eq!(seen, (1..=shown).map(|n| format!("words {n}")).collect::<Vec<_>>());
        assert_eq!(history.page.next_cursor, cursor);
        assert_eq!(history.marks, [marks(9, 8)]);
    }
}

#[tokio::test]
async fn a_replay_starts_after_what_the_client_has() {
    let mut desk = Desk::default();
    let row = stored(&desk.sealer, &desk.clock, 8, "missed").await;
    desk.log
        .expect_history()
        .withf(|_, _, query| *query == HistoryQuery::After(Anchor::Seq(7), size(50)))
        .returning(move |_, _, _| Ok(Some(vec![row.clone()])));
    desk.changes.expect_aftermath().returning(|_| Ok(HashMap::new()));
    let page = desk.open().replay(&caller(), conversation(), 7, size(50)).await.unwrap();
    assert_eq!(page.page.items.iter().map(|m| m.seq).collect::<Vec<_>>(), [8]);
    assert_eq!(page.page.next_cursor, None);
}

#[tokio::test]
async fn strangers_find_nothing() {
    let mut desk = Desk::default();
    desk.log.expect_history().returning(|_, _, _| Ok(None));
    desk.log.expect_position().returning(|_, _| Ok(None));
    desk.reader.expect_browse().returning(|_, _, _, _| Ok(None));
    desk.reader.expect_readable().returning(|_, _| Ok(Vec::new()));
    let messages = desk.open();
    let query = log_query(size(2));
    let errors = [
        messages.history(&caller(), conversation(), &query).await.unwrap_err(),
        messages.replay(&caller(), conversation(), 0, size(2)).await.unwrap_err(),
        messages.position(&caller(), conversation()).await.unwrap_err(),
        messages.message(&caller(), message(1)).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.code() == "not_found"), "{errors:?}");
}

#[tokio::test]
async fn words_moved_to_another_message_do_not_open() {
    let mut desk = Desk::default();
    let (mut row, another) = (
        stored(&desk.sealer, &desk.clock, 1, "mine").await,
        stored(&desk.sealer, &desk.clock, 2, "another's").await,
    );
    row.content = another.content;
    desk.log.expect_history().returning(move |_, _, _| Ok(Some(vec![row.clone()])));
    let error = desk.open().replay(&caller(), conversation(), 0, size(2)).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
}

#[tokio::test]
async fn each_digest_gets_its_own_last_message() {
    let mut desk = Desk::default();
    let places: Vec<ConversationId> = (1..=3).map(|n| Uuid::from_u128(n).into()).collect();
    let (first, last) = (
        stored(&desk.sealer, &desk.clock, 1, "first").await,
        stored(&desk.sealer, &desk.clock, 3, "last").await,
    );
    let digests: Vec<_> = places
        .iter()
        .zip([Some(first), None, Some(last)])
        .map(|(id, last)| Digest { conversation_id: *id, unread: 4, last, marks: vec![marks(1, 0)] })
        .collect();
    desk.log.expect_digests().returning(move |_, _| Ok(digests.clone()));
    let digests = desk.open().digests(&caller(), &places).await.unwrap();
    let seen: Vec<_> =
        digests.iter().map(|d| (d.conversation_id, d.unread, d.last.as_ref().map(words))).collect();
    let expected = [
        (places[0], 4, Some("first".to_owned())),
        (places[1], 4, None),
        (places[2], 4, Some("last".to_owned())),
    ];
    assert_eq!(seen, expected);
    assert!(digests.iter().all(|d| d.marks == [marks(1, 0)]));
}

fn words(message: &Message) -> String {
    message.content.as_ref().unwrap().as_str().to_owned()
}

fn log_query(size: PageSize) -> LogQuery {
    LogQuery { before: None, after: None, ascending: false, filter: Filter::default(), offset: 0, size }
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

fn here() -> Option<Position> {
    Some(Position { joined_seq: 1, last_seq: 9, last_revision: 0, members_version: 1, marks: Vec::new() })
}

fn file(n: u128, kind: &str) -> Attachment {
    Attachment {
        file_id: Uuid::from_u128(n).into(),
        kind: kind.to_owned(),
        filename: format!("{n}.bin"),
        original_filename: "radiografía.png".to_owned(),
        size: 12,
        mime_type: "image/png".to_owned(),
        url: format!("/files/{n}"),
        thumbnail_url: None,
        uploaded_at: ManualClock::default().now(),
        uploaded_by: caller().user_id,
        is_medical_document: true,
        requires_signature: false,
        scan_status: "clean".to_owned(),
    }
}

#[tokio::test]
async fn files_are_asked_for_and_kept_in_the_order_asked() {
    let mut desk = Desk::default();
    let (entries, _told) = (answers(&mut desk.log, STORED), listens(&mut desk.live));
    desk.log.expect_position().returning(|_, _| Ok(here()));
    desk.rooms.expect_room().returning(|_| Ok(Some(ROOM)));
    desk.attachments.expect_attachable().returning(|_, _, _| Ok(vec![file(2, "image"), file(1, "image")]));
    let messages = desk.open();
    let ids = |n: &[u128]| n.iter().map(|n| Uuid::from_u128(*n).into()).collect();
    let picture = Draft { attachments: ids(&[1, 2]), ..Draft::empty(MessageType::Image) };
    let sent = messages.send(&caller(), conversation(), picture.clone()).await.unwrap();
    let held: Vec<_> =
        sent.message.payload.iter().flat_map(Payload::attachments).map(|f| f.file_id).collect();
    assert_eq!(held, picture.attachments);
    assert_eq!(sent.message.content, None, "a picture needs no words");
    let entry = entries.lock().unwrap()[0].clone();
    assert!(entry.content.is_none() && !contains(entry.payload.as_ref().unwrap(), "radiograf"));

    let more = Draft { attachments: ids(&[1, 3]), ..picture.clone() };
    let error = messages.send(&caller(), conversation(), more).await.unwrap_err();
    assert_eq!(error.code(), "attachment_not_found");
    assert_eq!(error.details().unwrap()["file_ids"][0], Uuid::from_u128(3).to_string());
    let video = Draft { attachments: ids(&[1, 2]), ..Draft::empty(MessageType::Video) };
    let error = messages.send(&caller(), conversation(), video).await.unwrap_err();
    assert_eq!(error.code(), "validation_failed", "a picture is no video");
    assert_eq!(entries.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_file_was_called_is_not_shown_once_it_was_taken_away() {
    let mut desk = Desk::default();
    let files = [file(1, "image"), file(2, "image")];
    let plain = serde_json::to_vec(&Payload::Attachments(files.to_vec())).unwrap();
    let mut row = stored(&desk.sealer, &desk.clock, 1, "hola").await;
    let place = SealContext { column: "payload", ..place(message(1)) };
    row.payload = Some(desk.sealer.seal(&place, &plain).await.unwrap());
    desk.log.expect_history().returning(move |_, _, _| Ok(Some(vec![row.clone()])));
    desk.changes.expect_aftermath().returning(|_| Ok(HashMap::new()));
    desk.attachments.expect_removed().returning(|ids| Ok(vec![ids[1]]));
    let page = desk.open().replay(&caller(), conversation(), 0, size(2)).await.unwrap();
    let shown: Vec<_> = page.page.items[0].payload.iter().flat_map(Payload::attachments).cloned().collect();
    let withheld = Attachment { original_filename: "2.bin".to_owned(), ..files[1].clone() };
    assert!(shown == [files[0].clone(), withheld]);
}

/// What was taken back since, of the right to send it, of its files or of its time, was there when it was sent.
#[tokio::test]
async fn what_was_stored_is_answered_again_whatever_has_changed_since() {
    let named =
        |kind| Draft { client_message_id: Some(ClientMessageId::parse("n").unwrap()), ..Draft::empty(kind) };
    let picture = Draft { attachments: vec![Uuid::from_u128(1).into()], ..named(MessageType::Image) };
    let appointment = Appointment::parse(ManualClock::default().now(), 30, None, None).unwrap();
    let visit = Draft { payload: Some(Payload::Appointment(appointment)), ..named(MessageType::Appointment) };
    let brief = Draft { expires_at: Some(ManualClock::default().now()), ..draft("hola") };
    let brief = Draft { client_message_id: picture.client_message_id.clone(), ..brief };
    let patient = Caller { role: Role::Patient, ..caller() };
    for (asked, room, code) in [
        (&picture, Room { file_sharing: false, ..ROOM }, "file_sharing_disabled"),
        (&picture, ROOM, "attachment_not_found"),
        (&visit, ROOM, "clinicians_only"),
        (&brief, ROOM, "validation_failed"),
    ] {
        for (was, expected) in [("stored", None), ("not", Some(code)), ("left", Some("not_found"))] {
            let mut desk = Desk::default();
            let _told = listens(&mut desk.live);
            desk.rooms.expect_room().returning(move |_| Ok(Some(room)));
            desk.attachments.expect_attachable().returning(|_, _, _| Ok(Vec::new()));
            let stored = stored(&desk.sealer, &desk.clock, 1, "hola").await;
            let is_in = was != "left";
            desk.log.expect_position().returning(move |_, _| Ok(here().filter(|_| is_in)));
            desk.log.expect_earlier().returning(move |_, _, _, _| {
                Ok(match was {
                    "stored" => Some(Appended::Repeat(stored.clone())),
                    "left" => Some(Appended::NotAMember),
                    _ => None,
                })
            });
            let answer = desk.open().send(&patient, conversation(), asked.clone()).await;
            match expected {
                None => assert_eq!(
                    answer.map(|sent| (sent.message.id, sent.created)).unwrap(),
                    (message(1), false)
                ),
                Some(expected) => assert_eq!(answer.unwrap_err().code(), expected, "{code}: {was}"),
            }
        }
    }
}

#[tokio::test]
async fn nobody_passes_for_the_server_and_what_it_says_is_labelled() {
    let mut desk = Desk::default();
    let (entries, told) = (answers(&mut desk.log, STORED), listens(&mut desk.live));
    desk.log.expect_position().returning(|_, _| Ok(here()));
    desk.correspondents.expect_role().returning(|_| Ok(Some(Role::Doctor)));
    let messages = desk.open();
    let event = SystemEvent::new("emergency_opened");
    let system = Draft { payload: Some(Payload::System(event)), ..Draft::empty(MessageType::System) };
    let automated = Draft { automation: Some(Automation { confidence: Some(0.5) }), ..draft("hola") };
    for disguised in [system.clone(), automated.clone()] {
        let error = messages.send(&caller(), conversation(), disguised).await.unwrap_err();
        assert_eq!(error.code(), "validation_failed");
    }
    assert!(entries.lock().unwrap().is_empty());
    messages.send_automated(other(), conversation(), system).await.unwrap();
    messages.send_automated(other(), conversation(), automated).await.unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told[0].0.automation, Some(Automation { confidence: None }));
    assert_eq!(told[1].0.automation, Some(Automation { confidence: Some(0.5) }));
    assert!(told.iter().all(|(message, _)| message.sender_id == other()));
}

#[tokio::test]
async fn what_an_answer_quotes_is_told_only_as_far_as_everyone_may_know() {
    for everyone in [true, false] {
        let mut desk = Desk::default();
        let (_entries, told) = (answers(&mut desk.log, STORED), listens(&mut desk.live));
        let original = stored(&desk.sealer, &desk.clock, 1, &"ñ".repeat(150)).await;
        desk.reader.expect_readable().times(1).returning(move |_, _| {
            Ok(vec![ReadableMessage { message: original.clone(), by_everyone: everyone }])
        });
        let answer = Draft { reply_to: Some(message(1)), ..draft("sí") };
        let sent = desk.open().send(&caller(), conversation(), answer).await.unwrap();
        let quote = sent.message.quote.unwrap();
        assert_eq!(quote.preview.unwrap().as_str(), "ñ".repeat(100));
        assert_eq!(told.lock().unwrap()[0].0.quote.is_some(), everyone);
    }
}

#[tokio::test]
async fn what_is_due_is_checked_again_and_refused_for_good() {
    let mut desk = Desk::default();
    let sealer = Arc::clone(&desk.sealer);
    let id = Uuid::from_u128(0x5C).into();
    let place = SealContext { table: "scheduled_messages", column: "draft", ..place(message(0)) };
    let place = SealContext { row: Uuid::from_u128(0x5C), ..place };
    let kept = br#"{"message_type":"text","priority":"low","content":"hola","payload":null,"attachments":[],
        "reply_to":null,"client_sent_at":null,"source":"api"}"#;
    let now = desk.clock.now();
    let stored = StoredScheduled {
        id,
        conversation_id: conversation(),
        sender_id: other(),
        due_at: now,
        state: ScheduledState::Sending,
        message_id: None,
        reason: None,
        created_at: now,
        updated_at: now,
        version: 1,
        draft: sealer.seal(&place, kept).await.unwrap(),
    };
    desk.scheduled.expect_claim().times(2).returning(move |_, _| Ok(Some(stored.clone())));
    let mut roles = [None, Some(Role::Patient)].into_iter();
    desk.correspondents.expect_role().returning(move |_| Ok(roles.next().unwrap()));
    answers(&mut desk.log, Appended::Blocked);
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&outcomes);
    desk.scheduled.expect_settle().returning(move |_, outcome, _| {
        seen.lock().unwrap().push(outcome.clone());
        Ok(true)
    });
    desk.live
        .expect_scheduled_changed()
        .withf(|sender, _, state| *sender == other() && *state == ScheduledState::Refused)
        .times(2)
        .returning(|_, _, _| ());
    let messages = desk.open();
    messages.dispatch(id).await.unwrap();
    messages.dispatch(id).await.unwrap();
    let expected = [Outcome::Refused("not_found"), Outcome::Refused("direct_chat_blocked")];
    assert_eq!(*outcomes.lock().unwrap(), expected);
}
