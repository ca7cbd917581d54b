mod administration;
mod contact;
mod credential;
mod directory;
mod folding;
mod guard;
mod presence;
pub(crate) mod profile;
pub(crate) mod registration;
mod second_factor;
pub(crate) mod secrets;

use std::fmt;

use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{FieldError, Language, Role, Rule, Sealer, Sensitive};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

pub use administration::*;
pub use contact::*;
pub use credential::*;
pub use directory::*;
pub use folding::*;
pub use guard::*;
pub use presence::*;
pub use profile::*;
pub use registration::*;
pub use second_factor::*;
pub use secrets::*;

/// How long an access token is good for (C-28).
pub const ACCESS_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// A session in which nothing is done for so long has ended (C-28, S0-230).
pub const IDLE_LIFETIME: TimeDelta = TimeDelta::minutes(30);
/// No session outlives this (C-28).
pub const ABSOLUTE_LIFETIME: TimeDelta = TimeDelta::hours(12);
/// How long a session that is not full lives: long enough for one step.
pub const STEP_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// What is done in a session is noted once in so long. A session may end this much early for it, never late.
pub const ACTIVITY_GRAIN: TimeDelta = TimeDelta::seconds(10);
/// How many full sessions a user has at once, unless the clinic says otherwise (C-28, S0-231).
pub const MAX_SESSIONS: usize = 5;
/// A device or network that an account has not signed in from for so long is unusual (S0-233).
pub const USUAL_FOR: TimeDelta = TimeDelta::days(90);
/// How long a WebSocket ticket is good for (C-11).
pub const TICKET_LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// An e-mail address, trimmed and in lower case.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// RFC 5321 §4.5.3.1.3.
    const MAX: usize = 254;

    /// Checks the form `local@domain`. Whether mail arrives there is for a confirmation to prove.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let malformed = FieldError::new("email", Rule::Malformed);
        let email = raw.trim().to_lowercase();
        let (local, domain) = email.rsplit_once('@').ok_or(malformed)?;
        let plain = email.chars().all(|c| !c.is_control() && !c.is_whitespace());
        if local.is_empty() || domain.is_empty() || email.len() > Self::MAX || !plain {
            return Err(malformed);
        }
        Ok(Self(email))
    }

    /// The keyed digest by which an account is found, the same wherever one is looked for.
    pub(crate) fn index(&self, sealer: &dyn Sealer) -> [u8; 16] {
        sealer.blind_index("users.email", self.0.as_bytes())
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email([REDACTED])")
    }
}

/// A password as typed.
#[derive(Debug, Clone)]
pub struct Password(Sensitive<String>);

impl Password {
    /// More than any person types; bounds the work of hashing.
    const MAX_BYTES: usize = 1024;

    /// Takes what was typed, byte for byte: no trimming, no normalising, no cutting.
    pub fn parse(raw: String) -> Result<Self, FieldError> {
        match raw.len() {
            0 => Err(FieldError::new("password", Rule::Empty)),
            n if n > Self::MAX_BYTES => {
                Err(FieldError::new("password", Rule::TooLong { max: Self::MAX_BYTES }))
            }
            _ => Ok(Self(Sensitive::new(raw))),
        }
    }

    /// The bytes to hash.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// The part of a user that rests encrypted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Where mail goes, and the name to sign in with.
    pub email: Email,
    /// The full name, as on a licence or an identity card.
    pub full_name: String,
    /// The name shown in a chat: `Dra. María Martínez`.
    pub display_name: String,
}

impl Identity {
    /// The place where `user`'s identity is sealed.
    pub const fn context(user: UserId) -> SealContext {
        SealContext {
            table: "users",
            column: "identity",
            row: user.uuid(),
            scope: Scope::User(user),
            version: 1,
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity([REDACTED])")
    }
}

/// What may be done in a session. Only a full one acts; the others lead there by one step each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionStage {
    /// Everything the role allows.
    Full,
    /// The password is temporary: only changing it.
    ChangePassword,
    /// The password was right: only proving the second factor.
    SecondFactor,
    /// The clinic demands a second factor: only setting one up.
    EnrolSecondFactor,
}

impl SessionStage {
    /// Every stage.
    pub const ALL: [Self; 4] =
        [Self::Full, Self::ChangePassword, Self::SecondFactor, Self::EnrolSecondFactor];

    /// Its name in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ChangePassword => "change_password",
            Self::SecondFactor => "second_factor",
            Self::EnrolSecondFactor => "enrol_second_factor",
        }
    }

    /// The stage of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

/// A user, as they see themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// Address and names.
    pub identity: Identity,
    /// What the account is for.
    pub role: Role,
    /// Title among professionals: `Cardiologist`, `MBBS Student`.
    pub professional_title: Option<String>,
    /// The language to write to them in.
    pub language: Language,
    /// Whether they may sign in.
    pub is_active: bool,
    /// When the last of their devices went away.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// A user, as those they talk to see them (C-45).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// Who.
    pub id: UserId,
    /// The name shown in a chat.
    pub display_name: Sensitive<String>,
    /// The full name.
    pub full_name: Sensitive<String>,
    /// What the account is for.
    pub role: Role,
    /// Title among professionals.
    pub professional_title: Option<String>,
    /// Counts their pictures; none if they have none.
    pub avatar_version: Option<i64>,
    /// When the last of their devices went away.
    pub last_seen_at: Option<DateTime<Utc>>,
}

impl UserSummary {
    /// `user`, who has this picture.
    pub fn new(user: User, avatar_version: Option<i64>) -> Self {
        Self {
            avatar_version,
            id: user.id,
            display_name: Sensitive::new(user.identity.display_name),
            full_name: Sensitive::new(user.identity.full_name),
            role: user.role,
            professional_title: user.professional_title,
            last_seen_at: user.last_seen_at,
        }
    }
}

/// Where a client goes after sign-in (S3-37 … S3-39; those without a documented page go to `/`).
pub const fn redirect_to(role: Role) -> &'static str {
    match role {
        Role::ItAdmin => "/it/medical-professionals",
        Role::MedicalAdmin => "/admin",
        Role::Doctor => "/doctor",
        Role::Patient | Role::Student => "/",
    }
}

/// What an access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose token it is.
    pub user_id: UserId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// From when it is good.
    pub issued_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// SHA-256 of a secret of 80 random bits or more: enough, as there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Whether both are the same, found out in a time that does not depend on where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash([REDACTED])")
    }
}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// The user signed out.
    Logout,
    /// A refresh token was used twice: one of the two users is not the owner.
    TokenReuse,
    /// The user signed out on all devices.
    LogoutEverywhere,
    /// The user ended it from another device.
    RevokedByUser,
    /// It was the oldest, and there were too many.
    Evicted,
    /// The password was changed.
    PasswordChanged,
    /// The account was deactivated.
    Deactivated,
    /// The account has another role now.
    RoleChanged,
    /// The step it was for is done.
    StepDone,
    /// Too many wrong codes.
    TooManyTries,
    /// The second factor was reset by an administrator.
    SecondFactorReset,
    /// A second factor was turned on.
    SecondFactorOn,
    /// The password was reset by mail.
    PasswordReset,
    /// An administrator ended it.
    Administrator,
}

impl RevocationReason {
    /// The name used in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::TokenReuse => "token_reuse",
            Self::LogoutEverywhere => "logout_everywhere",
            Self::RevokedByUser => "revoked_by_user",
            Self::Evicted => "evicted",
            Self::PasswordChanged => "password_changed",
            Self::Deactivated => "deactivated",
            Self::RoleChanged => "role_changed",
            Self::StepDone => "step_done",
            Self::TooManyTries => "too_many_tries",
            Self::SecondFactorReset => "second_factor_reset",
            Self::SecondFactorOn => "second_factor_on",
            Self::PasswordReset => "password_reset",
            Self::Administrator => "administrator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_compare_without_case_or_surrounding_space() {
        assert_eq!(Email::parse(" Ana@Clinic.Example ").unwrap().as_str(), "ana@clinic.example");
    }

    #[test]
    fn malformed_addresses_are_refused() {
        let long = format!("{}@x.example", "a".repeat(250));
        for bad in ["", "ana", "@x", "ana@", "a b@x", "a\0@x", long.as_str()] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_bounded_in_bytes_and_otherwise_taken_as_they_are() {
        assert!(Password::parse(String::new()).is_err());
        assert!(Password::parse("x".repeat(1025)).is_err());
        assert_eq!(Password::parse(" p\0 ".into()).unwrap().expose(), " p\0 ");
    }

    #[test]
    fn nothing_personal_shows_in_debug() {
        let identity = Identity {
            email: Email::parse("ana@clinic.example").unwrap(),
            full_name: "Ana López".into(),
            display_name: "Ana".into(),
        };
        let shown = format!("{identity:?} {:?} {:?}", identity.email, Password::parse("hunter2".into()));
        for secret in ["ana", "Ana", "López", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn professionals_land_on_their_documented_pages() {
        assert_eq!(redirect_to(Role::Doctor), "/doctor");
        assert_eq!(redirect_to(Role::MedicalAdmin), "/admin");
        assert_eq!(redirect_to(Role::ItAdmin), "/it/medical-professionals");
    }
}
