use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, DomainError, ErrorKind, FieldError};
use serde_json::Value;

use crate::ClosedHours;

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
            Self::Blocked => ErrorKind::Forbidden,
            Self::OutsideHours(_) => ErrorKind::NotNow,
            Self::Closed | Self::ClientMessageIdReused => ErrorKind::Conflict,
            Self::Field(_) => ErrorKind::Invalid,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Closed => "conversation_closed",
            Self::Blocked => "direct_chat_blocked",
            Self::OutsideHours(_) => "outside_chat_hours",
            Self::ClientMessageIdReused => "client_message_id_reused",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::OutsideHours(closed) => Some(closed.details()),
            Self::Field(field) => Some(field.details()),
            _ => None,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
