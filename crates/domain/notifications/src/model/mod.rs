mod words;

use alivio_kernel::ids::EventId;
use alivio_kernel::{FieldError, Language, Role, Rule, Sensitive};

pub use words::render;

/// What is to be said.
#[derive(Debug, Clone)]
pub enum Letter {
    /// Prove that this address is yours.
    ConfirmEmail {
        /// Confirms it, once.
        token: Sensitive<String>,
    },
    /// Someone signed up with an address that has an account: told here, and not to them.
    AlreadyRegistered,
    /// Come and open an account.
    Invitation {
        /// Opens it, once.
        token: Sensitive<String>,
        /// What the account is for.
        role: Role,
    },
    /// A password that works once (C-33).
    TemporaryPassword {
        /// The password.
        password: Sensitive<String>,
    },
    /// Choose another password.
    PasswordReset {
        /// Sets it, once.
        token: Sensitive<String>,
    },
    /// The password is another now.
    PasswordChanged,
    /// Signed in from where they have not been seen before.
    UnusualSignIn,
    /// Signed in on one device too many: the oldest sign-in has ended.
    SessionEvicted,
    /// A token that had been used was shown again: the sign-in it belonged to has ended.
    TokenReused,
    /// From now on a sign-in needs a code of an authenticator app.
    SecondFactorOn,
    /// From now on a sign-in needs no code.
    SecondFactorOff,
    /// The account was switched off.
    AccountDeactivated,
    /// The professional's credentials are genuine.
    CredentialsVerified,
    /// The professional's credentials were not accepted.
    CredentialsRejected,
    /// Someone asks to become a contact.
    ContactRequested,
    /// To the other administrators: one of them reads a conversation in an emergency (C-59).
    BreakGlassUsed,
    /// To the patient: an administrator has read one of their conversations in an emergency (C-59).
    ConversationOpenedByAdmin,
    /// To the clinic's administrators: a patient and someone who attends them are parted by a block (C-42).
    CareBlockRaised,
    /// To the clinic's administrators: someone has downloaded many files in a short time.
    ManyDownloaded,
    /// To those on call: a patient asks for urgent help.
    EmergencyPaged,
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
            Self::UnusualSignIn => "unusual_sign_in",
            Self::SessionEvicted => "session_evicted",
            Self::TokenReused => "token_reused",
            Self::SecondFactorOn => "second_factor_on",
            Self::SecondFactorOff => "second_factor_off",
            Self::AccountDeactivated => "account_deactivated",
            Self::CredentialsVerified => "credentials_verified",
            Self::CredentialsRejected => "credentials_rejected",
            Self::ContactRequested => "contact_requested",
            Self::BreakGlassUsed => "break_glass_used",
            Self::ConversationOpenedByAdmin => "conversation_opened_by_admin",
            Self::CareBlockRaised => "care_block_raised",
            Self::ManyDownloaded => "many_downloaded",
            Self::EmergencyPaged => "emergency_paged",
        }
    }
}

/// A letter to someone.
#[derive(Debug, Clone)]
pub struct OutgoingMail {
    /// That of the event it follows from: the same whenever this mail is tried again.
    pub id: EventId,
    /// The address.
    pub to: Sensitive<String>,
    /// The language they read.
    pub language: Language,
    /// What is to be said.
    pub letter: Letter,
}

/// A letter in words. These may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedMail {
    /// As [`OutgoingMail::id`].
    pub id: EventId,
    /// The address.
    pub to: Sensitive<String>,
    /// The language of the words.
    pub language: Language,
    /// [`Letter::kind`].
    pub kind: &'static str,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: Sensitive<String>,
    /// The same as HTML that loads nothing from anywhere.
    pub html: Sensitive<String>,
}

/// Where the pages are that letters link to: `https://app.clinic.example`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicOrigin(String);

impl PublicOrigin {
    /// Takes a scheme, a host and perhaps a port; nothing more.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let malformed = FieldError::new("public_origin", Rule::Malformed);
        let (scheme, rest) = raw.split_once("://").ok_or(malformed)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let starts_well = authority.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
        if !matches!(scheme, "http" | "https") || !starts_well || !authority.chars().all(plain) {
            return Err(malformed);
        }
        Ok(Self(format!("{scheme}://{authority}")))
    }

    /// Whether what travels there can be read on the way.
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// The origin.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for good in ["https://app.clinic.example", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert_eq!(PublicOrigin::parse(good).unwrap().as_str(), good);
        }
        let with_slash = PublicOrigin::parse("https://app.clinic.example/").unwrap();
        assert_eq!(with_slash.as_str(), "https://app.clinic.example");
        for bad in [
            "",
            "app.clinic.example",
            "https://",
            "https:///",
            "ftp://app.clinic.example",
            "javascript://x",
            "https://app.clinic.example/path",
            "https://app.clinic.example?x",
            "https://app.clinic.example#x",
            "https://user:password@app.clinic.example",
            "https://app.clinic.example\r\nBcc: x",
            "https://app clinic",
            "https://a\"b",
        ] {
            assert!(PublicOrigin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_secret_shows_in_a_log() {
        let mail = OutgoingMail {
            id: EventId::from(alivio_kernel::ids::Uuid::nil()),
            to: Sensitive::new("ana@clinic.example".to_owned()),
            language: Language::Spanish,
            letter: Letter::PasswordReset { token: Sensitive::new("alp_secret".to_owned()) },
        };
        let rendered = render(&mail, &PublicOrigin::parse("https://app.example").unwrap());
        let shown = format!("{mail:?} {rendered:?}");
        assert!(!shown.contains("alp_secret") && !shown.contains("clinic.example"), "{shown}");
    }
}
