//! What is stored when all is quiet.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What is stored in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Each conversation that the history is about.
    pub conversations: Vec<ConversationEnd>,
}

/// What is stored of a conversation. What is `None` was not read, and nothing is said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationEnd {
    /// Which.
    pub id: String,
    /// The log, in its order.
    pub messages: Vec<Message>,
    /// Who was in it from where to where; someone who came back, more than once.
    pub memberships: Vec<Membership>,
    /// The marks of those who are in it.
    #[serde(default)]
    pub marks: Vec<MarksEnd>,
    /// The processes that were connected to the last, and had time to receive everything.
    #[serde(default)]
    pub readers: Vec<Reader>,
    /// What was noted of its messages and members for those who come back.
    #[serde(default)]
    pub notes: Option<Vec<Note>>,
    /// The messages that can be found by their words.
    #[serde(default)]
    pub index: Option<Vec<Indexed>>,
    /// How many events of it wait to be handled, or have been given up.
    #[serde(default)]
    pub unhandled: Option<u64>,
    /// The reactions to its messages.
    #[serde(default)]
    pub reactions: Option<Vec<Reaction>>,
    /// What was audited about its messages.
    #[serde(default)]
    pub audit: Option<Vec<AuditRow>>,
}

/// A message in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its place.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// Who sent it.
    pub sender: String,
    /// The sender's name for it.
    pub client_id: String,
    /// Which wording is the present one.
    pub version: u32,
    /// Whether it was taken back.
    pub is_deleted: bool,
    /// The message that it puts right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<String>,
    /// All wordings, the present one included; `None` if they are withheld or were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wordings: Option<Vec<Wording>>,
}

/// What a message said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    /// Which wording, from 1.
    pub version: u32,
    /// Its words.
    pub digest: Digest,
}

/// Someone was in the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Who.
    pub user: String,
    /// The first message for them.
    pub from: i64,
    /// The first that is not for them any more; none if they are in it still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Whether they were in it from its beginning, rather than let in.
    #[serde(default)]
    pub is_founder: bool,
}

/// Someone's marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarksEnd {
    /// Whose.
    pub user: String,
    /// Delivered up to here.
    pub delivered: i64,
    /// Read up to here.
    pub read: i64,
    /// What they are told that they have not read; `None` if that was not asked.
    #[serde(default)]
    pub unread: Option<i64>,
}

/// A process that was connected to the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Which.
    pub process: u64,
    /// Whose.
    pub user: String,
    /// It was to get everything after this place.
    pub from: i64,
}

/// A change that was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What: `message.created`, `message.updated`, `message.corrected`, `message.deleted`, `participant.joined`, `participant.removed`.
    pub kind: String,
    /// The message or the member.
    pub about: String,
    /// How often.
    pub times: u64,
}

/// A message that can be found by its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indexed {
    /// Which message.
    pub message: String,
    /// By which wording.
    pub version: u32,
}

/// A reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// To which message.
    pub message: String,
    /// With what.
    pub emoji: String,
    /// How many are counted.
    pub count: u64,
    /// Whose they are.
    pub users: Vec<String>,
}

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// By whom.
    pub actor: String,
}
