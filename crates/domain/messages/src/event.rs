use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{ConversationId, MessageId, ReportId, ScheduledMessageId, UserId};
use serde::{Deserialize, Serialize};

/// A message was sent while it was closed: it disturbs nobody.
///
/// Of other messages there is no event: whoever is to see each of them follows the changes of the log, as the index of
/// words does, which costs a message nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageOutsideHours {
    /// Where.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// By whom.
    pub sender_id: UserId,
    /// What becomes of it.
    pub quiet: Quiet,
}

/// What becomes of a message that was taken while it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// It waits until someone looks.
    Waits,
    /// A machine answers that it waits, once in each closed period.
    Answered,
}

impl DomainEvent for MessageOutsideHours {
    const KIND: &'static str = "messages.message_outside_hours";
}

/// The time has come to send a message that was put off. A timer: it is stored when the message is put off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledMessageDue {
    /// Which.
    pub id: ScheduledMessageId,
}

impl DomainEvent for ScheduledMessageDue {
    const KIND: &'static str = "messages.scheduled_message_due";
}

/// The words of a message were changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEdited {
    /// Where.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// Which wording it has now, from 2.
    pub version: u32,
}

impl DomainEvent for MessageEdited {
    const KIND: &'static str = "messages.message_edited";
}

/// A message was taken back, or has expired. Its words are withheld from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDeleted {
    /// Where.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// By whom; by nobody, if it had expired.
    pub deleted_by: Option<UserId>,
}

impl DomainEvent for MessageDeleted {
    const KIND: &'static str = "messages.message_deleted";
}

/// Someone has reported a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReported {
    /// The report.
    pub report_id: ReportId,
    /// Where the message is.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
}

impl DomainEvent for MessageReported {
    const KIND: &'static str = "messages.message_reported";
}

/// A report, or what the rules have found, has been taken on or decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportDecided {
    /// The report.
    pub report_id: ReportId,
    /// The message.
    pub message_id: MessageId,
    /// Who said it.
    pub sender_id: UserId,
    /// How far it has come: `resolved`.
    pub status: String,
    /// What was done: `warned`.
    pub resolution: Option<String>,
}

impl DomainEvent for ReportDecided {
    const KIND: &'static str = "messages.report_decided";
}

/// What was said in a conversation was destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentDestroyed {
    /// Where.
    pub conversation_id: ConversationId,
}

impl DomainEvent for ContentDestroyed {
    const KIND: &'static str = "messages.content_destroyed";
}
