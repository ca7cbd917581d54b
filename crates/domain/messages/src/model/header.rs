use std::ops::Deref;

use alivio_kernel::ids::{ConversationId, DataKeyId, MessageId, UserId};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Datelike, Utc};

use super::{ClientMessageId, Content, MessageType, Priority};

/// All that is known of a message besides its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Its id.
    pub id: MessageId,
    /// Its number among all messages, for [`Header::reference`].
    pub number: i64,
    /// Where it was said.
    pub conversation_id: ConversationId,
    /// Its place in the log, from 1.
    pub seq: i64,
    /// Who said it.
    pub sender_id: UserId,
    /// What it is.
    pub message_type: MessageType,
    /// How urgent.
    pub priority: Priority,
    /// The sender's name for it.
    pub client_message_id: ClientMessageId,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// The message that it answers, in the same conversation.
    pub reply_to: Option<MessageId>,
    /// The message that it repeats here (S0-69).
    pub forwarded_from: Option<MessageId>,
    /// The message that it puts right (C-26).
    pub corrects: Option<MessageId>,
    /// When it was to be sent, if that was decided before (S0-64).
    pub scheduled_for: Option<DateTime<Utc>>,
    /// When it disappears (S0-65).
    pub expires_at: Option<DateTime<Utc>>,
    /// What it was written with (S0-67).
    pub source: Source,
    /// By which machine, unless a person wrote it (S0-70).
    pub automation: Option<Automation>,
    /// Counts its wordings, from 1.
    pub version: u32,
    /// When its words last changed.
    pub edited_at: Option<DateTime<Utc>>,
    /// When it was taken back; its words are withheld since.
    pub deleted_at: Option<DateTime<Utc>>,
    /// By whom it was taken back.
    pub deleted_by: Option<UserId>,
    /// The data key that its words are sealed with. Not stored: the sealed words tell it.
    pub key_id: Option<DataKeyId>,
    /// Whether its words were destroyed with that key. Not stored either.
    pub is_destroyed: bool,
}

impl Header {
    /// A first wording without anything particular, not yet in the log.
    pub fn new(
        id: MessageId,
        conversation_id: ConversationId,
        sender_id: UserId,
        client_message_id: ClientMessageId,
        created_at: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            number: 0,
            conversation_id,
            seq: 0,
            sender_id,
            message_type: MessageType::Text,
            priority: Priority::Normal,
            client_message_id,
            created_at,
            reply_to: None,
            forwarded_from: None,
            corrects: None,
            scheduled_for: None,
            expires_at: None,
            source: Source::default(),
            automation: None,
            version: 1,
            edited_at: None,
            deleted_at: None,
            deleted_by: None,
            key_id: None,
            is_destroyed: false,
        }
    }

    /// The number people quote to support: `MSG-2026-005001`. It authorises nothing (C-1).
    pub fn reference(&self) -> String {
        format!("MSG-{}-{:06}", self.created_at.year(), self.number)
    }

    /// Whether its words are withheld at `now`: taken back, or expired.
    pub fn is_gone(&self, now: DateTime<Utc>) -> bool {
        self.deleted_at.is_some() || self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A message in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What is known of it besides its words.
    pub header: Header,
    /// The words; `None` once they are withheld.
    pub content: Option<Content>,
}

impl Deref for Message {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.header
    }
}

/// What a message was written with: `web_app`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(String);

impl Source {
    const MAX: usize = 32;

    /// Takes 1 to 32 lower-case letters, digits and underscores.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        match raw.len() {
            0 => Err(FieldError::new("source", Rule::Empty)),
            1..=Self::MAX if raw.chars().all(fits) => Ok(Self(raw.to_owned())),
            1..=Self::MAX => Err(FieldError::new("source", Rule::Malformed)),
            _ => Err(FieldError::new("source", Rule::TooLong { max: Self::MAX })),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Source {
    /// A client that does not say what it is.
    fn default() -> Self {
        Self("api".to_owned())
    }
}

/// The machine that wrote a message. Shown wherever the message is: nobody takes it for a person.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Automation {
    /// How sure it is, from 0 to 1, if it says so.
    pub confidence: Option<f32>,
}
