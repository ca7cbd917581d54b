use alivio_kernel::ids::{FileId, MessageId};
use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, DomainError, ErrorKind, FieldError};
use serde_json::{Value, json};

/// How messages can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such conversation or message, or none that the caller may see.
    #[error("not found")]
    NotFound,
    /// The conversation is closed.
    #[error("the conversation is closed")]
    Closed,
    /// One of the two of this direct conversation has blocked the other (C-42).
    #[error("the direct chat is blocked")]
    Blocked,
    /// The client message id was used for another message.
    #[error("client message id reused")]
    ClientMessageIdReused,
    /// Only clinicians send what this message holds (C-8).
    #[error("clinicians only")]
    CliniciansOnly,
    /// Files are not shared in this conversation (S0-32).
    #[error("files are not shared here")]
    FileSharingDisabled,
    /// There are no such files, or none that the sender may attach here.
    #[error("attachments not found")]
    AttachmentNotFound(Vec<FileId>),
    /// What was said there must not be repeated, or not here.
    #[error("forwarding is not allowed")]
    ForwardingNotAllowed,
    /// It is too late to change a message that was put off: it was sent, taken back or refused.
    #[error("the scheduled message is settled")]
    ScheduledSettled,
    /// Someone else has changed it at the same time.
    #[error("changed meanwhile")]
    Stale,
    /// Only who sent a message may do this.
    #[error("not the sender")]
    NotTheSender,
    /// The words of the message are gone: it was taken back, or has expired.
    #[error("the message is gone")]
    Gone,
    /// Nobody may change words here (S0-37).
    #[error("editing is disabled")]
    EditingDisabled,
    /// Nobody may take messages back here (S0-38).
    #[error("deletion is disabled")]
    DeletionDisabled,
    /// It is too late to change the words; a correction still can be sent (C-26).
    #[error("the time to edit is over")]
    EditWindowOver,
    /// Another message puts it right already.
    #[error("already corrected")]
    AlreadyCorrected {
        /// Which.
        by: MessageId,
    },
    /// The message has as many different emoji as it can.
    #[error("too many reactions")]
    TooManyReactions,
    /// A field breaks a rule.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The outside world does not answer. Whether a message was stored is unknown: sending it again with
    /// the same client message id is safe.
    #[error("messages are unavailable")]
    Unavailable(#[source] BoxError),
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Blocked
            | Self::CliniciansOnly
            | Self::FileSharingDisabled
            | Self::ForwardingNotAllowed
            | Self::NotTheSender
            | Self::EditingDisabled
            | Self::DeletionDisabled => ErrorKind::Forbidden,
            Self::Closed
            | Self::ClientMessageIdReused
            | Self::ScheduledSettled
            | Self::Gone
            | Self::EditWindowOver
            | Self::AlreadyCorrected { .. }
            | Self::Stale
            | Self::TooManyReactions => ErrorKind::Conflict,
            Self::Field(_) | Self::AttachmentNotFound(_) => ErrorKind::Invalid,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Closed => "conversation_closed",
            Self::Blocked => "direct_chat_blocked",
            Self::ClientMessageIdReused => "client_message_id_reused",
            Self::CliniciansOnly => "clinicians_only",
            Self::FileSharingDisabled => "file_sharing_disabled",
            Self::AttachmentNotFound(_) => "attachment_not_found",
            Self::ForwardingNotAllowed => "forwarding_not_allowed",
            Self::ScheduledSettled => "scheduled_message_settled",
            Self::Stale => "stale",
            Self::NotTheSender => "not_the_sender",
            Self::Gone => "message_gone",
            Self::EditingDisabled => "message_editing_disabled",
            Self::DeletionDisabled => "message_deletion_disabled",
            Self::EditWindowOver => "edit_window_over",
            Self::AlreadyCorrected { .. } => "already_corrected",
            Self::TooManyReactions => "too_many_reactions",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Field(field) => Some(field.details()),
            Self::AttachmentNotFound(files) => Some(json!({"file_ids": files})),
            Self::AlreadyCorrected { by } => Some(json!({"corrected_by": by})),
            Self::EditWindowOver => Some(json!({"use": "corrections"})),
            _ => None,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
