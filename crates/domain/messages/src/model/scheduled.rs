use std::str::FromStr;

use alivio_kernel::ids::{ConversationId, MessageId, ScheduledMessageId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Content, Draft};

/// The furthest that a message can be put off.
const FURTHEST: TimeDelta = TimeDelta::days(366);

/// Whether a message can be sent at `at`: later than now, within a year.
///
/// # Errors
/// The field, with the range in seconds from now.
pub(crate) fn check_time(at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), FieldError> {
    if at > now && at <= now + FURTHEST {
        return Ok(());
    }
    Err(FieldError::new("scheduled_for", Rule::OutOfRange { min: 1, max: FURTHEST.num_seconds() }))
}

/// How far a message that is to be sent later has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScheduledState {
    /// It waits for its time, and can be changed.
    Pending,
    /// Its time has come.
    Sending,
    /// It is in the log.
    Sent,
    /// Its sender took it back in time.
    Cancelled,
    /// It could not be sent.
    Refused,
}

impl ScheduledState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sending, Self::Sent, Self::Cancelled, Self::Refused];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

impl FromStr for ScheduledState {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|state| state.as_str() == s).ok_or(FieldError::new("state", Rule::Unknown))
    }
}

/// What came of sending it when its time had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log.
    Sent(MessageId),
    /// The code of the reason.
    Refused(&'static str),
}

/// A message that is to be sent later.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledMessage {
    /// Its id.
    pub id: ScheduledMessageId,
    /// Where to.
    pub conversation_id: ConversationId,
    /// By whom.
    pub sender_id: UserId,
    /// When.
    pub due_at: DateTime<Utc>,
    /// How far it has come.
    pub state: ScheduledState,
    /// The message that it became.
    pub message_id: Option<MessageId>,
    /// Why it was refused: a stable code.
    pub reason: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// What is to be sent.
    pub draft: Draft,
}

impl ScheduledMessage {
    /// The place where what is to be sent is sealed; each change is another place.
    pub(crate) const fn context(
        id: ScheduledMessageId,
        conversation: ConversationId,
        version: u32,
    ) -> SealContext {
        SealContext {
            table: "scheduled_messages",
            column: "draft",
            row: id.uuid(),
            scope: Scope::Conversation(conversation),
            version,
        }
    }
}

/// Words that someone has begun and not sent.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsentDraft {
    /// Where.
    pub conversation_id: ConversationId,
    /// The words.
    pub content: Content,
    /// What they answer.
    pub reply_to: Option<MessageId>,
    /// When they last changed.
    pub updated_at: DateTime<Utc>,
}

impl UnsentDraft {
    /// The place where the words are sealed.
    pub(crate) const fn context(user: UserId, conversation: ConversationId) -> SealContext {
        SealContext {
            table: "message_drafts",
            column: "content",
            row: user.uuid(),
            scope: Scope::Conversation(conversation),
            version: 1,
        }
    }
}
