use std::ops::Deref;

use alivio_kernel::ids::{ConversationId, DataKeyId, MessageId, UserId};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Datelike, Utc};

use super::change::TakenBackBy;
use super::{ClientMessageId, Content, MessageType, Payload, Priority};

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
    /// The message that puts it right.
    pub corrected_by: Option<MessageId>,
    /// When it was to be sent, if that was decided before (S0-64).
    pub scheduled_for: Option<DateTime<Utc>>,
    /// When it disappears (S0-65).
    pub expires_at: Option<DateTime<Utc>>,
    /// When the client said it was written (C-51).
    pub client_sent_at: Option<DateTime<Utc>>,
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
    /// By whom it was taken back; by nobody, if it had expired.
    pub deleted_by: Option<UserId>,
    /// The number of its last change among those of all messages of its conversation; 0 if it never changed. Of two ways
    /// to show it, the one with the higher revision is the later.
    pub revision: i64,
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
            corrected_by: None,
            scheduled_for: None,
            expires_at: None,
            client_sent_at: None,
            source: Source::default(),
            automation: None,
            version: 1,
            edited_at: None,
            deleted_at: None,
            deleted_by: None,
            revision: 0,
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

    /// Who took it back, if someone did or its time was over.
    pub fn taken_back_by(&self) -> Option<TakenBackBy> {
        self.deleted_at?;
        Some(match self.deleted_by {
            Some(user) if user == self.sender_id => TakenBackBy::Sender,
            Some(_) => TakenBackBy::Moderator,
            None => TakenBackBy::System,
        })
    }
}

/// A message in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What is known of it besides its words.
    pub header: Header,
    /// The words; `None` once they are withheld, and if there are none.
    pub content: Option<Content>,
    /// What it holds besides; `None` once that is withheld.
    pub payload: Option<Payload>,
    /// What it answers, as far as the reader may see that.
    pub quote: Option<Quote>,
    /// The message that it repeats, if the reader can read that one.
    pub known_source: Option<MessageId>,
}

impl Message {
    /// A message that answers and repeats nothing that is known.
    pub const fn new(header: Header, content: Option<Content>, payload: Option<Payload>) -> Self {
        Self { header, content, payload, quote: None, known_source: None }
    }
}

/// The most characters of the words of a message that are shown beside an answer to it (S0-57).
pub const PREVIEW: usize = 100;

/// A message, beside an answer to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Quote {
    /// Who said it.
    pub sender_id: UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// How its words begin; `None` if they are withheld or there are none.
    pub preview: Option<Content>,
}

impl Quote {
    pub(crate) fn of(message: &Message) -> Self {
        let words = message.content.as_ref().map(|content| content.as_str().chars().take(PREVIEW).collect());
        Self {
            sender_id: message.sender_id,
            created_at: message.created_at,
            preview: words.map(Content::restored),
        }
    }
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
