//! Where the tests of use-cases take place: one conversation, the caller, someone else.
#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::sync::{Arc, Mutex};

use alivio_kernel::ids::{ConversationId, MessageId, SessionId, UserId, Uuid};
use alivio_kernel::sealing::{PlainSealer, Scope, SealContext};
use alivio_kernel::{Caller, Clock, ManualClock, Role, Sealer};
use alivio_messages::{
    Appended, ClientMessageId, Content, Draft, Header, Message, MockLiveFeed, MockMessageLog, NewEntry,
    Priority, Room, StoredMessage,
};

/// What the log answers for the first message that it is given.
pub(crate) const STORED: Appended =
    Appended::Stored { seq: 7, number: 5042, members_version: 3, expires_at: None };

/// A room of care, in which everything is allowed.
pub(crate) const ROOM: Room = Room {
    is_direct: false,
    is_emergency: false,
    is_care: true,
    is_case_discussion: false,
    file_sharing: true,
    typing_indicators: true,
    read_receipts: true,
    message_editing: true,
    message_deletion: true,
};

pub(crate) fn place(message: MessageId) -> SealContext {
    SealContext {
        table: "messages",
        column: "content",
        row: message.uuid(),
        scope: Scope::Conversation(conversation()),
        version: 1,
    }
}

pub(crate) fn conversation() -> ConversationId {
    Uuid::from_u128(0xC0).into()
}

pub(crate) fn message(n: u128) -> MessageId {
    Uuid::from_u128(0xA000 + n).into()
}

pub(crate) fn other() -> UserId {
    Uuid::from_u128(0xBB).into()
}

pub(crate) fn caller() -> Caller {
    Caller {
        user_id: Uuid::from_u128(0xAA).into(),
        role: Role::Doctor,
        session_id: SessionId::from(Uuid::from_u128(0x55)),
        address: None,
    }
}

pub(crate) fn draft(words: &str) -> Draft {
    Draft {
        priority: Priority::Urgent,
        client_message_id: Some(ClientMessageId::parse("mine-1").unwrap()),
        ..Draft::text(Content::parse(words).unwrap())
    }
}

/// The message with this number, of the other person.
pub(crate) async fn stored(sealer: &PlainSealer, clock: &ManualClock, n: u128, words: &str) -> StoredMessage {
    let id = message(n);
    let name = ClientMessageId::parse("stored").unwrap();
    let header = Header {
        number: 5000 + i64::try_from(n).unwrap(),
        seq: i64::try_from(n).unwrap(),
        priority: Priority::High,
        ..Header::new(id, conversation(), other(), name, clock.now())
    };
    let content = sealer.seal(&place(id), words.as_bytes()).await.unwrap();
    StoredMessage { header, content: Some(content), payload: None }
}

/// Has `log` answer every append with `answer`, and tells what was appended.
pub(crate) fn answers(log: &mut MockMessageLog, answer: Appended) -> Arc<Mutex<Vec<NewEntry>>> {
    let entries = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&entries);
    log.expect_append().returning(move |entry| {
        seen.lock().unwrap().push(entry);
        Ok(answer.clone())
    });
    entries
}

/// What `live` was told about messages. Without it, telling it anything is a failure.
pub(crate) fn listens(live: &mut MockLiveFeed) -> Arc<Mutex<Vec<(Message, i64)>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    live.expect_message_created().returning(move |message, version| {
        seen.lock().unwrap().push((message.clone(), version));
    });
    told
}
