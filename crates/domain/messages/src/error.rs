use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, DomainError, ErrorKind, FieldError};
use serde_json::Value;

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
            Self::Blocked => ErrorKind::Forbidden,
            Self::Closed | Self::ContentDestroyed | Self::ClientMessageIdReused => ErrorKind::Conflict,
            Self::Field(_) => ErrorKind::Invalid,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Closed => "conversation_closed",
            Self::ContentDestroyed => "content_destroyed",
            Self::Blocked => "direct_chat_blocked",
            Self::ClientMessageIdReused => "client_message_id_reused",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Field(field) => Some(field.details()),
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
