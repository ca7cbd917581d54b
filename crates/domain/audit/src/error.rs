use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, Denied, DomainError, ErrorKind, FieldError};
use serde_json::Value;

/// How the trail and access in an emergency can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such conversation or grant, or none that the caller may use now.
    #[error("not found")]
    NotFound,
    /// The caller is in the conversation and needs no glass to break.
    #[error("the caller is in the conversation")]
    AlreadyParticipant,
    /// The caller holds a grant to this conversation that has not ended.
    #[error("a grant is open")]
    GrantOpen,
    /// The members changed meanwhile.
    #[error("the members changed at the same time")]
    Stale,
    /// The caller's role forbids it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A field breaks a rule.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The outside world does not answer.
    #[error("the audit trail is unavailable")]
    Unavailable(#[source] BoxError),
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::AlreadyParticipant | Self::GrantOpen | Self::Stale => ErrorKind::Conflict,
            Self::Denied(_) => ErrorKind::Forbidden,
            Self::Field(_) => ErrorKind::Invalid,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyParticipant => "already_participant",
            Self::GrantOpen => "break_glass_open",
            Self::Stale => "stale",
            Self::Denied(_) => "forbidden",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Field(field) => Some(field.details()),
            Self::Denied(denied) => Some(denied.details()),
            _ => None,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
