//! Sending while it is closed: against mocks and a clock that stands still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_kernel::ids::{ConversationId, MessageId, SessionId, UserId, Uuid};
use alivio_kernel::sealing::{PlainSealer, Scope, SealContext};
use alivio_kernel::{Caller, Clock, DomainError, ErrorKind, ManualClock, Role, Sealer};
use alivio_messages::testing::mocked;
use alivio_messages::{
    Admission, Appended, ClientMessageId, ClosedHours, Content, Draft, Error, Header, Hours, Message,
    MessageSent, MessageType, Messages, MessagesPorts, MockCorrespondents, MockLiveFeed, MockMessageLog,
    MockRooms, NewEntry, Position, Priority, Quiet, StoredMessage, SystemEvent,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Admits as it was told to: everyone, if it was not.
#[derive(Default)]
struct Admits(Option<Admission>);

#[async_trait]
impl Hours for Admits {
    async fn admission(
        &self,
        _: (UserId, Role),
        _: ConversationId,
        _: DateTime<Utc>,
    ) -> Result<Admission, Error> {
        Ok(self.0.clone().unwrap_or(Admission::Open))
    }
}

use alivio_messages::Room;

/// Everything around the service, and what it was told.
#[derive(Default)]
struct Desk {
    log: MockMessageLog,
    live: MockLiveFeed,
    hours: Admits,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

impl Desk {
    fn open(self) -> Messages {
        Messages::new(MessagesPorts {
            log: Arc::new(self.log),
            live: Arc::new(self.live),
            correspondents: Arc::new(correspondents()),
            rooms: Arc::new(rooms()),
            hours: Arc::new(self.hours),
            sealer: self.sealer,
            clock: self.clock,
            ..mocked()
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
        StoredMessage { header, content: Some(content), payload: None }
    }
}

/// Rooms of care.
fn rooms() -> MockRooms {
    let mut rooms = MockRooms::new();
    rooms.expect_room().returning(|_| {
        Ok(Some(Room {
            is_direct: false,
            is_emergency: false,
            is_care: true,
            is_case_discussion: false,
            file_sharing: true,
            typing_indicators: true,
            read_receipts: true,
            message_editing: true,
            message_deletion: true,
        }))
    });
    rooms
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

const STORED: Appended = Appended::Stored { seq: 7, number: 5042, members_version: 3, expires_at: None };

// While it is closed

fn closed() -> Box<ClosedHours> {
    Box::new(ClosedHours {
        wall_time: "23:30".to_owned(),
        hours: "08:00-22:00".to_owned(),
        time_zone: "Europe/Madrid",
        next_open_at: Some("2026-01-16T07:00:00Z".parse().unwrap()),
    })
}

#[tokio::test]
async fn what_comes_while_it_is_closed_is_refused_before_anything_is_stored() {
    let mut desk = Desk { hours: Admits(Some(Admission::Refused(closed()))), ..Desk::default() };
    desk.log.expect_earlier().returning(|_, _, _, _| Ok(None));
    // A log that is asked to append panics.
    let error = desk.open().send(&caller(), conversation(), draft("Hola")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotNow, "outside_chat_hours"));
    assert_eq!(
        error.details().unwrap(),
        serde_json::json!({
            "current_time": "23:30",
            "allowed_hours": "08:00-22:00",
            "time_zone": "Europe/Madrid",
            "next_open_at": "2026-01-16T07:00:00Z",
            "emergency_channel": "/api/v1/emergencies",
        })
    );
}

#[tokio::test]
async fn who_repeats_what_was_stored_in_time_gets_it_when_it_is_closed() {
    let mut desk = Desk { hours: Admits(Some(Admission::Refused(closed()))), ..Desk::default() };
    let stored = desk.stored(7, "a tiempo").await;
    desk.log.expect_earlier().returning(move |_, _, name, _| {
        assert_eq!(name.as_str(), "mine-1");
        Ok(Some(Appended::Repeat(stored.clone())))
    });
    desk.listens();
    let sent = desk.open().send(&caller(), conversation(), draft("a tiempo")).await.unwrap();
    assert!(!sent.created);
    assert_eq!(sent.message.content.as_ref().unwrap().as_str(), "a tiempo");
}

#[tokio::test]
async fn a_stranger_does_not_learn_when_it_is_closed() {
    for named in [true, false] {
        let mut desk = Desk { hours: Admits(Some(Admission::Refused(closed()))), ..Desk::default() };
        desk.log.expect_earlier().returning(|_, _, _, _| Ok(Some(Appended::NotAMember)));
        desk.log.expect_position().returning(|_, _| Ok(None));
        let mut draft = draft("Hola");
        draft.client_message_id = draft.client_message_id.filter(|_| named);
        let error = desk.open().send(&caller(), conversation(), draft).await.unwrap_err();
        assert_eq!(error.code(), "not_found");
    }
}

#[tokio::test]
async fn what_is_taken_quietly_says_so_to_those_who_react() {
    for quiet in [Quiet::Waits, Quiet::Answered] {
        let mut desk = Desk { hours: Admits(Some(Admission::Quietly(quiet))), ..Desk::default() };
        let entries = desk.answers(STORED);
        desk.log.expect_position().returning(|_, _| {
            Ok(Some(Position { joined_seq: 1, last_seq: 9, members_version: 1, marks: Vec::new() }))
        });
        desk.listens();
        desk.open().send(&caller(), conversation(), draft("Hola")).await.unwrap();
        let entries = entries.lock().unwrap();
        assert_eq!(entries[0].event.read::<MessageSent>().unwrap().quiet, Some(quiet));
    }
}

#[tokio::test]
async fn what_we_say_ourselves_is_automated_and_goes_at_any_hour() {
    let mut desk = Desk { hours: Admits(Some(Admission::Refused(closed()))), ..Desk::default() };
    let entries = desk.answers(STORED);
    desk.log.expect_position().returning(|_, _| {
        Ok(Some(Position { joined_seq: 1, last_seq: 9, members_version: 1, marks: Vec::new() }))
    });
    desk.listens();
    let name = ClientMessageId::parse("once").unwrap();
    let words = Content::parse("Volvemos a las 8").unwrap();
    let said = (SystemEvent::new("written_outside_hours"), words);
    let sent = desk.open().announce(other(), conversation(), said, name.clone()).await.unwrap();
    assert_eq!((sent.message.sender_id, &sent.message.client_message_id), (other(), &name));
    let entries = entries.lock().unwrap();
    assert_eq!((entries[0].automation.is_some(), entries[0].message_type), (true, MessageType::System));
}

fn correspondents() -> MockCorrespondents {
    let mut correspondents = MockCorrespondents::new();
    correspondents.expect_role().returning(|_| Ok(Some(Role::Doctor)));
    correspondents
}
