use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, DomainError, ErrorKind, FieldError};
use serde_json::Value;

/// How accounts can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown address, wrong password, deactivated account: deliberately one answer.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// The access token is not ours, not for us, or expired.
    #[error("invalid access token")]
    InvalidToken,
    /// The refresh token is unknown, expired, or was used before.
    #[error("invalid refresh token")]
    InvalidRefreshToken,
    /// The ticket is unknown, expired, or was used before.
    #[error("invalid ticket")]
    InvalidTicket,
    /// The session was ended or has expired.
    #[error("the session has ended")]
    SessionEnded,
    /// The address already has an account.
    #[error("the address is taken")]
    EmailTaken,
    /// No such user, or none that the caller may see.
    #[error("not found")]
    NotFound,
    /// So many sign-ins at once that another would only queue.
    #[error("too many sign-ins at once")]
    Busy,
    /// A field breaks a rule.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The outside world does not answer.
    #[error("accounts are unavailable")]
    Unavailable(#[source] BoxError),
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidCredentials
            | Self::InvalidToken
            | Self::InvalidRefreshToken
            | Self::InvalidTicket
            | Self::SessionEnded => ErrorKind::Unauthenticated,
            Self::EmailTaken => ErrorKind::Conflict,
            Self::NotFound => ErrorKind::NotFound,
            Self::Field(_) => ErrorKind::Invalid,
            Self::Busy | Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidToken => "invalid_token",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::InvalidTicket => "invalid_ticket",
            Self::SessionEnded => "session_ended",
            Self::EmailTaken => "email_taken",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
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
        Self::Unavailable(Box::new(error))
    }
}
