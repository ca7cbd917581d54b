//! Sending while it is closed: against mocks and a clock that stands still.
#![cfg(test)]

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{DomainError, ErrorKind, ManualClock, Role};
use alivio_messages::testing::mocked;
use alivio_messages::{
    Admission, Appended, ClientMessageId, ClosedHours, Content, Error, Hours, MessageOutsideHours,
    MessageType, Messages, MessagesPorts, MockCorrespondents, MockLiveFeed, MockMessageLog, MockRooms,
    Position, Quiet, SystemEvent,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

mod common;

use common::{ROOM, STORED, answers, caller, conversation, draft, listens, other, stored};

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
}

/// Rooms of care.
fn rooms() -> MockRooms {
    let mut rooms = MockRooms::new();
    rooms.expect_room().returning(|_| Ok(Some(ROOM)));
    rooms
}

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
    let stored = stored(&desk.sealer, &desk.clock, 7, "a tiempo").await;
    desk.log.expect_earlier().returning(move |_, _, name, _| {
        assert_eq!(name.as_str(), "mine-1");
        Ok(Some(Appended::Repeat(stored.clone())))
    });
    listens(&mut desk.live);
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
        let entries = answers(&mut desk.log, STORED);
        desk.log.expect_position().returning(|_, _| {
            Ok(Some(Position {
                joined_seq: 1,
                last_seq: 9,
                last_revision: 0,
                members_version: 1,
                marks: Vec::new(),
            }))
        });
        listens(&mut desk.live);
        desk.open().send(&caller(), conversation(), draft("Hola")).await.unwrap();
        let entries = entries.lock().unwrap();
        let entry = &entries[0];
        let event = entry.event.as_ref().unwrap();
        let (conversation_id, message_id, sender_id) = (entry.conversation_id, entry.id, entry.sender_id);
        assert_eq!(
            event.read::<MessageOutsideHours>().unwrap(),
            MessageOutsideHours { conversation_id, message_id, sender_id, quiet }
        );
        assert_eq!(event.at, entry.created_at);
    }
}

#[tokio::test]
async fn what_we_say_ourselves_is_automated_and_goes_at_any_hour() {
    let mut desk = Desk { hours: Admits(Some(Admission::Refused(closed()))), ..Desk::default() };
    let entries = answers(&mut desk.log, STORED);
    desk.log.expect_position().returning(|_, _| {
        Ok(Some(Position {
            joined_seq: 1,
            last_seq: 9,
            last_revision: 0,
            members_version: 1,
            marks: Vec::new(),
        }))
    });
    listens(&mut desk.live);
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
