//! What was said.
//!
//! | word | meaning |
//! |---|---|
//! | log | the messages of a conversation, numbered 1, 2, 3 … by `seq`, without gaps, for ever |
//! | client message id | the sender's own name for a message; sending it twice makes one message |
//! | marks | how far each participant has received and read the log; they only move forward |
//! | delivered | a device of the recipient has acknowledged it (C-55) |
//! | pass | lets someone outside read the log in an emergency; every page is recorded (C-59) |
//! | pace | how often someone may send |
//! | finding | what the rules see in a message; it warns its sender and flags it for those who moderate |
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
pub use pace::{LocalPace, Pace, PaceLimits, Step, Taken, WINDOW as PACE_WINDOW};
pub use ports::*;
pub use service::*;
