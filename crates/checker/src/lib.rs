//! Whether what clients did and saw agrees with what is stored.
//!
//! Clients write down what they do: when they ask for something, what came of it, and every message that reaches
//! them ([`Recorder`], [`Line`]). In the end the log is read once more ([`End`]). [`check`] holds the two against
//! [fourteen rules](Rule), which together say: no acknowledged message is lost, doubled or reordered, and nobody
//! receives what they were not entitled to at its place. The idea is that of `jepsen.tests.kafka`.
//!
//! | word | meaning |
//! |---|---|
//! | line | one entry of a history; its number is its place, and its place is the order of time |
//! | process | one who does one thing after the other: a device, a writer |
//! | `invoke` | asked for |
//! | `ok`, `fail`, `info` | it happened; it did not and never will; nobody knows, so once or not at all |
//! | end | what is stored when all is quiet |
//!
//! What was said is never in a history, only a [`Digest`] of it.

mod case;
mod end;
mod history;
mod rules;

pub use end::{
    AuditRow, ConversationEnd, End, Indexed, MarksEnd, Membership, Message, Note, Reaction, Reader, Wording,
};
pub use history::{
    Action, Digest, Line, Mark, MarksNow, Phase, Recorder, Seen, Stored, Ticket, Who, read, write,
};
pub use rules::{Rule, Violation, check};
