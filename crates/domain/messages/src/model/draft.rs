use std::collections::HashSet;

use alivio_kernel::ids::{FileId, MessageId};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Automation, ClientMessageId, Content, LONGEST_LIFE, MAX_ATTACHMENTS, MessageType, Payload, Priority,
    SHORTEST_LIFE, Source,
};

/// A message that someone wants to send, checked for form.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What it is.
    pub message_type: MessageType,
    /// How urgent.
    pub priority: Priority,
    /// The words. Only a text needs them.
    pub content: Option<Content>,
    /// What it holds besides, if that is no file.
    pub payload: Option<Payload>,
    /// The files it holds.
    pub attachments: Vec<FileId>,
    /// The sender's name for it. Without one, every request makes a new message.
    pub client_message_id: Option<ClientMessageId>,
    /// The message that it answers, in the same conversation.
    pub reply_to: Option<MessageId>,
    /// The message that it repeats elsewhere.
    pub forwarded_from: Option<MessageId>,
    /// The message that it puts right (C-26).
    pub corrects: Option<MessageId>,
    /// When it was to be sent, if that was decided before.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// When it is to disappear.
    pub expires_at: Option<DateTime<Utc>>,
    /// How long it is to last from when it is sent; not with `expires_at`.
    pub expires_in: Option<TimeDelta>,
    /// When the client says it was written (C-51).
    pub client_sent_at: Option<DateTime<Utc>>,
    /// What it was written with.
    pub source: Source,
    /// By which machine, unless a person wrote it.
    pub automation: Option<Automation>,
}

impl Draft {
    /// Words of a person, and nothing else.
    pub fn text(content: Content) -> Self {
        Self { content: Some(content), ..Self::empty(MessageType::Text) }
    }

    /// A message of `message_type` that holds nothing yet.
    pub fn empty(message_type: MessageType) -> Self {
        Self {
            message_type,
            priority: Priority::Normal,
            content: None,
            payload: None,
            attachments: Vec::new(),
            client_message_id: None,
            reply_to: None,
            forwarded_from: None,
            corrects: None,
            scheduled_for: None,
            expires_at: None,
            expires_in: None,
            client_sent_at: None,
            source: Source::default(),
            automation: None,
        }
    }

    /// When it is to disappear if it is sent at `now`.
    ///
    /// # Errors
    /// It is less than [`SHORTEST_LIFE`] or more than [`LONGEST_LIFE`] away, or told twice.
    pub fn expiry(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, FieldError> {
        let (field, life) = match (self.expires_at, self.expires_in) {
            (None, None) => return Ok(None),
            (Some(at), None) => ("expires_at", at - now),
            (None, Some(life)) => ("expires_in_seconds", life),
            (Some(_), Some(_)) => return Err(FieldError::new("expires_in_seconds", Rule::Malformed)),
        };
        if (SHORTEST_LIFE..=LONGEST_LIFE).contains(&life) {
            return Ok(Some(now + life));
        }
        let rule = Rule::OutOfRange { min: SHORTEST_LIFE.num_seconds(), max: LONGEST_LIFE.num_seconds() };
        Err(FieldError::new(field, rule))
    }

    /// Whether it holds what its type needs, and nothing else.
    ///
    /// # Errors
    /// The field that is missing or too much.
    pub fn check(&self) -> Result<(), FieldError> {
        let kind = self.message_type;
        if kind == MessageType::Text && self.content.is_none() {
            return Err(FieldError::new("content", Rule::Missing));
        }
        let files = self.attachments.len();
        if kind.has_attachments() && files == 0 {
            return Err(FieldError::new("attachments", Rule::TooFew { min: 1 }));
        }
        let most = if kind.has_attachments() { MAX_ATTACHMENTS } else { 0 };
        if files > most {
            return Err(FieldError::new("attachments", Rule::TooMany { max: most }));
        }
        if self.attachments.iter().collect::<HashSet<_>>().len() != files {
            return Err(FieldError::new("attachments", Rule::Malformed));
        }
        let needs_payload = kind.is_clinical() || kind == MessageType::System;
        match &self.payload {
            None if needs_payload => Err(FieldError::new("payload", Rule::Missing)),
            Some(payload) if !needs_payload || payload.belongs_to() != Some(kind) => {
                Err(FieldError::new("payload", Rule::Malformed))
            }
            _ => Ok(()),
        }
    }
}

/// A draft as it is sealed, to be sent later.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptDraft {
    message_type: String,
    priority: String,
    content: Option<String>,
    payload: Option<Payload>,
    attachments: Vec<FileId>,
    reply_to: Option<MessageId>,
    client_sent_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    expires_in_seconds: Option<i64>,
    source: String,
}

impl KeptDraft {
    pub(crate) fn of(draft: &Draft) -> Self {
        Self {
            message_type: draft.message_type.as_str().to_owned(),
            priority: draft.priority.as_str().to_owned(),
            content: draft.content.as_ref().map(|content| content.as_str().to_owned()),
            payload: draft.payload.clone(),
            attachments: draft.attachments.clone(),
            reply_to: draft.reply_to,
            client_sent_at: draft.client_sent_at,
            expires_at: draft.expires_at,
            expires_in_seconds: draft.expires_in.map(|life| life.num_seconds()),
            source: draft.source.as_str().to_owned(),
        }
    }

    pub(crate) fn restore(self) -> Result<Draft, FieldError> {
        Ok(Draft {
            priority: self.priority.parse()?,
            content: self.content.map(Content::restored),
            payload: self.payload,
            attachments: self.attachments,
            reply_to: self.reply_to,
            client_sent_at: self.client_sent_at,
            expires_at: self.expires_at,
            expires_in: self.expires_in_seconds.and_then(TimeDelta::try_seconds),
            source: Source::parse(&self.source)?,
            ..Draft::empty(self.message_type.parse()?)
        })
    }
}
