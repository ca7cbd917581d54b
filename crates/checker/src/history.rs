//! What clients did and saw, line by line.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::End;

/// Stands for words, which are in no history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(u64);

impl Digest {
    /// The digest of `words`: FNV-1a, the same in every build.
    #[must_use]
    pub fn of(words: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        Self(words.bytes().fold(0xCBF2_9CE4_8422_2325, step))
    }
}

/// What a line says of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was asked for.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen and never will.
    Fail,
    /// Nobody knows: it happened once, will happen once, or never does.
    Info,
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The process: it asks for one thing after the other, though it need not wait for the answers.
    pub process: u64,
    /// Whose it is.
    pub user: String,
}

/// What was stored for a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its id.
    pub message: String,
    /// Its place.
    pub seq: i64,
    /// Whether it was stored by this attempt, rather than by an earlier one; `None` if that was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_new: Option<bool>,
}

/// A message as it reached someone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its place.
    pub seq: i64,
    /// Its id.
    pub message: String,
    /// Who sent it.
    pub sender: String,
    /// The sender's name for it.
    pub client_id: String,
    /// Which wording.
    pub version: u32,
    /// Its words, unless they were withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Which mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// How far everything has arrived.
    Delivered,
    /// How far everything was read.
    Read,
}

/// Where someone's marks were said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarksNow {
    /// Delivered up to here.
    pub delivered: i64,
    /// Read up to here.
    pub read: i64,
}

/// What was asked for, with what was answered to it on its last line; or what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Action {
    /// A message is sent. Sent again under the same name it is the same message.
    Send {
        /// The sender's name for it.
        client_id: String,
        /// Its words.
        digest: Digest,
        /// The answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stored: Option<Stored>,
    },
    /// A message is put off: it is to be sent by itself before the history ends.
    PutOff {
        /// The sender's name for it now.
        client_id: String,
        /// Its words.
        digest: Digest,
        /// The answer: the name under which it will be in the log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent_as: Option<String>,
    },
    /// A message is given other words.
    Edit {
        /// Which message.
        message: String,
        /// The new words.
        digest: Digest,
        /// The answer: which wording they are now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
    },
    /// A message is taken back.
    Delete {
        /// Which message.
        message: String,
        /// Whether by someone who moderates, which is to be audited.
        by_moderator: bool,
    },
    /// A message is reported to those who moderate, which is to be audited.
    Report {
        /// Which message.
        message: String,
    },
    /// A reaction is set or cleared.
    React {
        /// To which message.
        message: String,
        /// With what.
        emoji: String,
        /// Whether it is set.
        is_set: bool,
    },
    /// A mark is moved forward.
    Advance {
        /// Which.
        mark: Mark,
        /// Up to here.
        up_to: i64,
        /// The answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<MarksNow>,
    },
    /// Someone comes into the conversation.
    Join {
        /// Who.
        member: String,
    },
    /// Someone goes, or is removed.
    Leave {
        /// Who.
        member: String,
    },
    /// From here on the process is to be told everything after `from`, which is how far it has come.
    Listen {
        /// It has everything up to here.
        from: i64,
    },
    /// A message was delivered to a process that listens, as a new one.
    Deliver(Seen),
    /// A message reached the process in another way: as a change, or because it looked.
    Look(Seen),
}

/// An entry of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it says.
    pub phase: Phase,
    /// The line that it is the end of; none for what begins here, or simply happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// Microseconds since the history began. For people: the order of the lines decides.
    pub time: u64,
    /// Where.
    pub conversation: String,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// An operation that has not ended. One that is dropped has an unknown outcome.
#[must_use = "an operation ends by `ok`, `fail` or `info`"]
#[derive(Debug)]
pub struct Ticket {
    line: usize,
    who: Who,
    conversation: String,
    action: Action,
}

impl Ticket {
    /// What was asked for.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }
}

/// Writes a history down. Clones write the same one.
#[derive(Debug, Clone)]
pub struct Recorder {
    lines: Arc<Mutex<Vec<Line>>>,
    began: Instant,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { lines: Arc::default(), began: Instant::now() }
    }
}

impl Recorder {
    /// Something is asked for. MUST be called before it is.
    pub fn invoke(&self, who: &Who, conversation: &str, action: Action) -> Ticket {
        let line = self.push(Phase::Invoke, None, who.clone(), conversation.to_owned(), action.clone());
        Ticket { line, who: who.clone(), conversation: conversation.to_owned(), action }
    }

    /// It happened. MUST be called after the answer came, which `action` contains.
    pub fn ok(&self, ticket: Ticket, action: Action) {
        self.push(Phase::Ok, Some(ticket.line), ticket.who, ticket.conversation, action);
    }

    /// It did not happen and never will.
    pub fn fail(&self, ticket: Ticket) {
        self.push(Phase::Fail, Some(ticket.line), ticket.who, ticket.conversation, ticket.action);
    }

    /// Nobody knows whether it happened.
    pub fn info(&self, ticket: Ticket) {
        self.push(Phase::Info, Some(ticket.line), ticket.who, ticket.conversation, ticket.action);
    }

    /// Something simply happened: [`Action::Listen`], [`Action::Deliver`], [`Action::Look`].
    pub fn happened(&self, who: &Who, conversation: &str, action: Action) {
        self.push(Phase::Ok, None, who.clone(), conversation.to_owned(), action);
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, phase: Phase, of: Option<usize>, who: Who, conversation: String, action: Action) -> usize {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let time = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        lines.push(Line { phase, of, who, time, conversation, action });
        lines.len() - 1
    }
}

/// The last line of a file.
#[derive(Serialize, Deserialize)]
struct Last<E> {
    end: E,
}

/// Writes a history as a file of JSON lines; the last one is the end.
///
/// # Errors
/// Those of `to`.
pub fn write(lines: &[Line], end: &End, mut to: impl Write) -> io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut to, line)?;
        to.write_all(b"\n")?;
    }
    serde_json::to_writer(&mut to, &Last { end })?;
    to.write_all(b"\n")?;
    to.flush()
}

/// Reads what [`write()`] has written.
///
/// # Errors
/// Those of `from`, and of a file that is none of ours.
pub fn read(from: impl BufRead) -> io::Result<(Vec<Line>, End)> {
    let mut lines = Vec::new();
    for text in from.lines() {
        let text = text?;
        if text.starts_with("{\"end\":") {
            let Last { end } = serde_json::from_str(&text)?;
            return Ok((lines, end));
        }
        lines.push(serde_json::from_str(&text)?);
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
