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
//! | quote | the beginning of a message, beside an answer to it; withheld from those who may not read that one |
//! | draft | what someone has begun to write; unsent ones are their own affair |
//! | scheduled message | one that waits for its time; every rule is looked at again then |
//! | pass | lets someone outside read the log in an emergency; every page is recorded (C-59) |
//! | change | something that happened, kept 30 days for those who were away; read up to the horizon, behind which no one is still at work |
//! | live feed | whoever is connected right now; told after the message is safe |

mod error;
mod event;
pub mod formatting;
mod model;
mod pace;
mod ports;
pub mod screening;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod words;

pub use error::Error;
pub use event::*;
pub use model::*;
#[cfg(feature = "testing")]
pub use pace::MockPace;
pub use pace::{LocalPace, Pace, PaceLimits, SentElsewhere, Step, Taken, WINDOW as PACE_WINDOW};
pub use ports::*;
pub use service::*;
