use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, Denied, DomainError, ErrorKind, FieldError};
use serde_json::{Value, json};

use crate::SessionStage;

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
    /// The session is not a full one yet: one step must come first.
    #[error("a step of the sign-in is missing")]
    StepRequired(SessionStage),
    /// The caller's role or the policy forbids it, and they may know why.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The secret that came by mail is wrong, expired, was used before, or is for another address:
    /// deliberately one answer.
    #[error("invalid secret")]
    InvalidSecret,
    /// People cannot sign up by themselves here.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The address already has an account.
    #[error("the address is taken")]
    EmailTaken,
    /// The last active administrator of the installation must stay one.
    #[error("the last administrator must stay")]
    LastAdministrator,
    /// There is an active administrator of the installation already.
    #[error("there is an administrator already")]
    AdministratorExists,
    /// A patient never becomes staff, and staff never a patient.
    #[error("the account cannot have this role")]
    RoleNotAssignable,
    /// No such user, or none that the caller may see.
    #[error("not found")]
    NotFound,
    /// Someone changed the same thing at the same time.
    #[error("changed at the same time")]
    Stale,
    /// That licence number is verified already.
    #[error("already verified")]
    AlreadyVerified,
    /// Nothing was submitted, or it was decided before.
    #[error("nothing to decide")]
    NothingToDecide,
    /// Not a picture that we can take.
    #[error("not a usable picture")]
    UnsupportedImage,
    /// So many requests to become contacts are open that no further one is taken.
    #[error("too many open contact requests")]
    TooManyContactRequests,
    /// Nobody blocks those who run the clinic (S0-110).
    #[error("administrators cannot be blocked")]
    CannotBlockAdmin,
    /// So many sign-ins at once that another would only queue.
    #[error("too many sign-ins at once")]
    Busy,
    /// The code of the second factor is wrong or was used before.
    #[error("invalid code")]
    InvalidCode,
    /// Too many wrong codes in a row.
    #[error("codes are refused for a while")]
    CodesLocked {
        /// For how many seconds more.
        seconds: i64,
    },
    /// There is a second factor already.
    #[error("the second factor is on")]
    SecondFactorOn,
    /// There is no second factor.
    #[error("the second factor is off")]
    SecondFactorOff,
    /// The clinic demands a second factor of this role.
    #[error("the second factor is required")]
    SecondFactorRequired,
    /// The sign-in does not wait for a second factor.
    #[error("no step of the sign-in is pending")]
    NoStepPending,
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
            | Self::InvalidSecret
            | Self::SessionEnded => ErrorKind::Unauthenticated,
            Self::StepRequired(_)
            | Self::Denied(_)
            | Self::InvalidCode
            | Self::SecondFactorRequired
            | Self::RegistrationClosed => ErrorKind::Forbidden,
            Self::CodesLocked { .. } => ErrorKind::RateLimited,
            Self::EmailTaken
            | Self::Stale
            | Self::AlreadyVerified
            | Self::NothingToDecide
            | Self::TooManyContactRequests
            | Self::CannotBlockAdmin
            | Self::LastAdministrator
            | Self::AdministratorExists
            | Self::RoleNotAssignable
            | Self::SecondFactorOn
            | Self::SecondFactorOff
            | Self::NoStepPending => ErrorKind::Conflict,
            Self::NotFound => ErrorKind::NotFound,
            Self::Field(_) | Self::UnsupportedImage => ErrorKind::Invalid,
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
            Self::StepRequired(_) => "step_required",
            Self::Denied(_) => "forbidden",
            Self::InvalidSecret => "invalid_secret",
            Self::RegistrationClosed => "registration_closed",
            Self::EmailTaken => "email_taken",
            Self::LastAdministrator => "last_administrator",
            Self::AdministratorExists => "administrator_exists",
            Self::RoleNotAssignable => "role_not_assignable",
            Self::NotFound => "not_found",
            Self::Stale => "stale",
            Self::AlreadyVerified => "already_verified",
            Self::NothingToDecide => "nothing_to_decide",
            Self::UnsupportedImage => "unsupported_image",
            Self::TooManyContactRequests => "too_many_contact_requests",
            Self::CannotBlockAdmin => "cannot_block_admin",
            Self::Busy => "busy",
            Self::InvalidCode => "invalid_code",
            Self::CodesLocked { .. } => "codes_locked",
            Self::SecondFactorOn => "second_factor_on",
            Self::SecondFactorOff => "second_factor_off",
            Self::SecondFactorRequired => "second_factor_required",
            Self::NoStepPending => "no_step_pending",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Field(field) => Some(field.details()),
            Self::StepRequired(stage) => Some(json!({"stage": stage.as_str()})),
            Self::Denied(denied) => Some(denied.details()),
            Self::CodesLocked { seconds } => Some(json!({"retry_after": seconds})),
            _ => None,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
