use alivio_kernel::ids::{FileId, MessageId};
use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, Denied, DomainError, ErrorKind, FieldError};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::screening::{Finding, FindingKind};
use crate::{ClosedHours, PACE_WINDOW};

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
    /// The professionals are not there now (C-19).
    #[error("outside chat hours")]
    OutsideHours(Box<ClosedHours>),
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
    /// So many were sent in the last minute (S0-181).
    #[error("too many messages")]
    TooMany {
        /// How many may be.
        limit: u32,
        /// When the next one may be sent.
        wait: TimeDelta,
    },
    /// What was found in it may not be sent there.
    #[error("the content is not allowed")]
    NotAllowed(Vec<Finding>),
    /// The caller's role does not allow it, or it is their own matter.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A report that has been decided, or that nobody has taken on yet, cannot go there.
    #[error("the report cannot go there")]
    NotThere,
    /// What was said here was destroyed, and nothing more can be said.
    #[error("the content was destroyed")]
    ContentDestroyed,
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
            | Self::Denied(_)
            | Self::CliniciansOnly
            | Self::FileSharingDisabled
            | Self::ForwardingNotAllowed
            | Self::NotTheSender
            | Self::EditingDisabled
            | Self::DeletionDisabled => ErrorKind::Forbidden,
            Self::Closed
            | Self::ContentDestroyed
            | Self::ClientMessageIdReused
            | Self::ScheduledSettled
            | Self::Gone
            | Self::EditWindowOver
            | Self::AlreadyCorrected { .. }
            | Self::Stale
            | Self::NotThere
            | Self::TooManyReactions => ErrorKind::Conflict,
            Self::TooMany { .. } => ErrorKind::RateLimited,
            Self::Field(_) | Self::AttachmentNotFound(_) | Self::NotAllowed(_) => ErrorKind::Invalid,
            Self::OutsideHours(_) => ErrorKind::NotNow,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Closed => "conversation_closed",
            Self::ContentDestroyed => "content_destroyed",
            Self::Blocked => "direct_chat_blocked",
            Self::OutsideHours(_) => "outside_chat_hours",
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
            Self::TooMany { .. } => "rate_limited",
            Self::NotAllowed(findings) if findings.iter().any(|f| f.kind == FindingKind::Phi) => {
                "phi_not_allowed"
            }
            Self::NotAllowed(_) => "content_not_allowed",
            Self::Denied(_) => "forbidden",
            Self::NotThere => "report_transition_not_allowed",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::OutsideHours(closed) => Some(closed.details()),
            Self::Field(field) => Some(field.details()),
            Self::AttachmentNotFound(files) => Some(json!({"file_ids": files})),
            Self::AlreadyCorrected { by } => Some(json!({"corrected_by": by})),
            Self::EditWindowOver => Some(json!({"use": "corrections"})),
            Self::Denied(denied) => Some(denied.details()),
            Self::TooMany { limit, wait } => Some(json!({
                "limit": limit,
                "window_seconds": PACE_WINDOW.num_seconds(),
                // Rounded up: who comes back then is let in.
                "retry_after": (wait.num_milliseconds() + 999) / 1000,
            })),
            Self::NotAllowed(findings) => {
                let finding = |f: &Finding| json!({"kind": f.kind.as_str(), "rule": f.rule});
                Some(json!({"findings": findings.iter().map(finding).collect::<Vec<_>>()}))
            }
            _ => None,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Destroyed => Self::ContentDestroyed,
            error => Self::Unavailable(Box::new(error)),
        }
    }
}
