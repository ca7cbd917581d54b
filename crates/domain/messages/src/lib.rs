//! What was said.
//!
//! | word | meaning |
//! |---|---|
//! | log | the messages of a conversation, numbered 1, 2, 3 … by `seq`, without gaps, for ever |
//! | client message id | the sender's own name for a message; sending it twice makes one message |
//! | wording | the words of a message at a time; each edit makes another, and none is lost before all are |
//! | correction | a message that puts another one right, when it is too late to edit that one |
//! | gone | taken back or expired: the place in the log stays, the words are withheld |
//! | aftermath | what has gathered around a message: wordings, reactions, who has read it |
//! | marks | how far each participant has received and read the log; they only move forward |
//! | delivered | a device of the recipient has acknowledged it (C-55) |
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
pub use event::{MessageDeleted, MessageEdited, MessageSent};
pub use model::{
    Aftermath, Automation, Change, ChangePolicy, ClientMessageId, Content, CorrectionReason, DeliveryStatus,
    Draft, Emoji, Header, LONGEST_LIFE, MAX_CONTENT, MAX_EMOJI, Mark, Marks, MarksMoved, Message,
    MessageType, NAMED_REACTORS, NAMED_READERS, PURGE_GRACE, Priority, Reacted, Receipt, Rewording,
    SHORTEST_LIFE, Source, Standing, TakenBackBy, delivery_status, parse_status,
};
pub use ports::{
    Anchor, Appended, Correction, Current, Deletion, Digest, Edit, Found, GrantedLog, GrantedPage,
    HistoryQuery, LiveFeed, MessageChanged, MessageChanges, MessageLog, Moved, NewEntry, Pass, Position,
    React, Room, Rooms, Spot, StoredMessage, StoredWording, StoredWordings,
};
#[cfg(feature = "testing")]
pub use ports::{MockGrantedLog, MockLiveFeed, MockMessageChanges, MockMessageLog, MockRooms};
pub use service::{Changed, ConversationDigest, History, Messages, MessagesPorts, Sent, Wording, Wordings};
