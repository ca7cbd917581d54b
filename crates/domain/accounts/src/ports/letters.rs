use alivio_kernel::ids::EventId;
use alivio_kernel::{Language, Role, Sensitive};
use async_trait::async_trait;

use crate::Error;

/// What a letter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter {
    /// Confirm your address.
    ConfirmEmail {
        /// What confirms it.
        token: Sensitive<String>,
    },
    /// Someone wanted to sign up with your address, which has an account.
    AlreadyRegistered,
    /// You are invited.
    Invitation {
        /// What the account is made with.
        token: Sensitive<String>,
        /// What it will be for.
        role: Role,
    },
    /// Sign in with this, once.
    TemporaryPassword {
        /// The password.
        password: Sensitive<String>,
    },
    /// Choose another password.
    PasswordReset {
        /// What allows it.
        token: Sensitive<String>,
    },
    /// Your password was changed.
    PasswordChanged,
}

impl Letter {
    /// A stable name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConfirmEmail { .. } => "confirm_email",
            Self::AlreadyRegistered => "already_registered",
            Self::Invitation { .. } => "invitation",
            Self::TemporaryPassword { .. } => "temporary_password",
            Self::PasswordReset { .. } => "password_reset",
            Self::PasswordChanged => "password_changed",
        }
    }

    /// The secret that it carries.
    pub const fn secret(&self) -> Option<&Sensitive<String>> {
        match self {
            Self::ConfirmEmail { token } | Self::Invitation { token, .. } | Self::PasswordReset { token } => {
                Some(token)
            }
            Self::TemporaryPassword { password } => Some(password),
            Self::AlreadyRegistered | Self::PasswordChanged => None,
        }
    }
}

/// A letter on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingLetter {
    /// The event that it follows: the same one is not sent twice.
    pub id: EventId,
    /// Where it goes.
    pub to: Sensitive<String>,
    /// The language to write in.
    pub language: Language,
    /// What it says.
    pub letter: Letter,
}

/// Takes letters to people.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait LetterBox: Send + Sync {
    /// Takes a letter. MUST NOT send one with the same id twice.
    async fn send(&self, letter: &OutgoingLetter) -> Result<(), Error>;
}
