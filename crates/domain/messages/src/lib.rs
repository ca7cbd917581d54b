//! What was said.
//!
//! | word | meaning |
//! |---|---|
//! | log | the messages of a conversation, numbered 1, 2, 3 … by `seq`, without gaps, for ever |
//! | client message id | the sender's own name for a message; sending it twice makes one message |
//! | marks | how far each participant has received and read the log; they only move forward |
//! | delivered | a device of the recipient has acknowledged it (C-55) |
//! | quote | the beginning of a message, beside an answer to it; withheld from those who may not read that one |
//! | draft | what someone has begun to write; unsent ones are their own affair |
//! | scheduled message | one that waits for its time; every rule is looked at again then |
//! | pass | lets someone outside read the log in an emergency; every page is recorded (C-59) |
//! | live feed | whoever is connected right now; told after the message is safe |

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::Error;
pub use event::{MessageSent, ScheduledMessageDue};
pub use model::{
    Appointment, Attachment, Automation, ClientMessageId, Content, DeliveryStatus, Draft, Header,
    MAX_ATTACHMENTS, MAX_CONTENT, Mark, Marks, MarksMoved, Message, MessageType, Outcome, PREVIEW, Payload,
    Prescription, PrescriptionItem, Priority, Quote, ScheduledMessage, ScheduledState, Source, SystemEvent,
    UnsentDraft, delivery_status,
};
pub use ports::{
    Anchor, Appended, Attachments, Correspondents, Digest, DraftStore, Edge, Filter, GrantedLog, GrantedPage,
    HistoryQuery, LiveFeed, LogPage, LogQuery, MessageLog, MessageReader, Moved, NewEntry, NewScheduled,
    OwnPage, OwnQuery, Pass, Position, ReadableMessage, Room, Rooms, Scheduled, ScheduledChange,
    ScheduledStore, StoredDraft, StoredMessage, StoredScheduled, WINDOW,
};
#[cfg(feature = "testing")]
pub use ports::{
    MockAttachments, MockCorrespondents, MockDraftStore, MockGrantedLog, MockLiveFeed, MockMessageLog,
    MockMessageReader, MockRooms, MockScheduledStore,
};
pub use service::{
    ConversationDigest, Forwarded, History, MAX_TARGETS, Messages, MessagesPorts, Rewrite, Sent,
};
