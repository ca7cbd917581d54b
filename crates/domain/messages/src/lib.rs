//! What was said.
//!
//! | word | meaning |
//! |---|---|
//! | log | the messages of a conversation, numbered 1, 2, 3 … by `seq`, without gaps, for ever |
//! | client message id | the sender's own name for a message; sending it twice makes one message |
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
pub use event::{ContentDestroyed, MessageSent};
pub use model::{
    Automation, ClientMessageId, Content, DeliveryStatus, Draft, Header, MAX_CONTENT, Mark, Marks,
    MarksMoved, Message, MessageType, Priority, Source, delivery_status,
};
pub use model::{FoundMessage, MAX_CONVERSATIONS, Ordering, SearchCursor, SearchQuery, Snippet};
pub use ports::{
    Anchor, Appended, Digest, GrantedLog, GrantedPage, HistoryQuery, LiveFeed, MessageLog, Moved, NewEntry,
    Pass, Position, Room, Rooms, StoredMessage,
};
pub use ports::{
    AskedToken, FoundAfter, IndexEntry, IndexFilter, Lexicon, SearchIndex, Shredded, Shredder, Shredding,
};
#[cfg(feature = "testing")]
pub use ports::{MockGrantedLog, MockLiveFeed, MockMessageLog, MockRooms};
#[cfg(feature = "testing")]
pub use ports::{MockSearchIndex, MockShredder};
pub use service::{ConversationDigest, History, Messages, MessagesPorts, Sent};
pub use service::{Retention, RetentionPorts, Search, SearchPorts};
