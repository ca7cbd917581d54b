//! Passwords that someone chooses, and secrets that go out by mail.

use alivio_kernel::{FieldError, Rule, Sensitive};
use chrono::TimeDelta;

use crate::{Email, Password};

/// How long a token that confirms an address is good for.
pub const CONFIRMATION_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// So often may one try to confirm an address; then it takes another registration.
pub const CONFIRMATION_TRIES: usize = 5;
/// How long an invitation is good for.
pub const INVITATION_LIFETIME: TimeDelta = TimeDelta::days(7);
/// How long a temporary password is good for (C-33).
pub const TEMPORARY_PASSWORD_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// How long a token that resets a password is good for (C-33).
pub const RESET_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// How long one letter that resets a password keeps the next from being sent, unless it is used.
pub const RESET_PAUSE: TimeDelta = TimeDelta::minutes(10);
/// How long a device stays known after it signed in.
pub const DEVICE_LIFETIME: TimeDelta = TimeDelta::days(180);

/// How the tokens begin, so that scanners find leaked ones; also what they are derived for.
pub(crate) const CONFIRMATION_PREFIX: &str = "alc_";
pub(crate) const INVITATION_PREFIX: &str = "ali_";
pub(crate) const RESET_PREFIX: &str = "alp_";

/// A password that someone wants to have from now on. Those that exist are not judged again.
#[derive(Debug, Clone)]
pub struct NewPassword(Password);

impl NewPassword {
    /// NIST SP 800-63B §5.1.1.2.
    const MIN: usize = 8;
    /// The most common ones of eight characters and more in public leaks, without case.
    const COMMONEST: &str = include_str!("commonest_passwords.txt");

    /// Checks what was typed into `field`, byte for byte as [`Password::parse`] takes it: at least eight characters,
    /// at most 1,024 bytes, and not one of the commonest. Composed and decomposed forms of the same text are two
    /// passwords; a NUL is a character as any other.
    pub fn parse(field: &'static str, raw: String) -> Result<Self, FieldError> {
        let password = Password::parse(raw).map_err(|error| FieldError::new(field, error.rule))?;
        let text = password.expose();
        if text.chars().count() < Self::MIN {
            return Err(FieldError::new(field, Rule::TooShort { min: Self::MIN }));
        }
        let lower = text.to_lowercase();
        let first = lower.chars().next();
        let common =
            Self::COMMONEST.lines().any(|common| common == lower) || lower.chars().all(|c| Some(c) == first);
        if common { Err(FieldError::new(field, Rule::TooCommon)) } else { Ok(Self(password)) }
    }

    /// Refuses it if it is `email`, or the part before the `@`.
    pub fn apart_from(&self, field: &'static str, email: &Email) -> Result<(), FieldError> {
        let lower = self.0.expose().to_lowercase();
        let local = email.as_str().split('@').next();
        if lower == email.as_str() || Some(lower.as_str()) == local {
            return Err(FieldError::new(field, Rule::TooCommon));
        }
        Ok(())
    }

    /// The password.
    pub const fn password(&self) -> &Password {
        &self.0
    }
}

/// A password of 100 bits that one can read from a letter and type: `7K2MA-9QXWF-…`.
pub(crate) fn readable(bits: &[u8; 32]) -> Sensitive<String> {
    /// Without 0, 1, I and O, which look like one another.
    const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    const CHARACTERS: usize = 20;
    const GROUP: usize = 5;
    let mut text = String::with_capacity(CHARACTERS + CHARACTERS / GROUP);
    for (n, byte) in bits.iter().take(CHARACTERS).enumerate() {
        if n > 0 && n % GROUP == 0 {
            text.push('-');
        }
        // 32 letters: five bits of each byte, no letter more likely than another.
        text.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Sensitive::new(text)
}

/// A temporary password as typed, in the form that it was made in: capitals, without spaces at the ends.
pub(crate) fn as_printed(typed: &str) -> Sensitive<String> {
    Sensitive::new(typed.trim().to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(raw: &str) -> Option<Rule> {
        NewPassword::parse("new_password", raw.into()).err().map(|error| error.rule)
    }

    #[test]
    fn new_passwords_are_long_enough_and_not_common() {
        assert_eq!(rule("corta12"), Some(Rule::TooShort { min: 8 }));
        assert_eq!(rule("ñandúes"), Some(Rule::TooShort { min: 8 }), "characters, not bytes");
        assert_eq!(rule(""), Some(Rule::Empty));
        assert_eq!(rule(&"x1".repeat(513)), Some(Rule::TooLong { max: 1024 }));
        for common in ["password", "PassWord1", "12345678", "contraseña", "aaaaaaaaaaaa"] {
            assert_eq!(rule(common), Some(Rule::TooCommon), "{common}");
        }
        for good in ["ñandúes!", "correct horse battery", "with\0nul-inside", " spaces kept "] {
            assert_eq!(rule(good), None, "{good:?}");
        }
        assert_eq!(rule(&"x1".repeat(512)), None);
    }

    #[test]
    fn the_address_is_no_password() {
        let email = Email::parse("maria.martinez@clinic.example").unwrap();
        for (raw, refused) in
            [("Maria.Martinez@clinic.example", true), ("maria.martinez", true), ("maria.martinez!", false)]
        {
            let new = NewPassword::parse("password", raw.into()).unwrap();
            assert_eq!(new.apart_from("password", &email).is_err(), refused, "{raw}");
        }
    }

    #[test]
    fn a_temporary_password_is_readable_and_typed_without_care() {
        let mut bits = [0; 32];
        bits.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        let printed = readable(&bits);
        assert_eq!(printed.expose(), "23456-789AB-CDEFG-HJKLM");
        assert_eq!(as_printed(" 23456-789ab-cdefg-hjklm\n"), printed);
    }

    #[test]
    fn hashes_are_compared_whole() {
        let hash = crate::SecretHash([7; 32]);
        let mut other = hash;
        assert!(hash.matches(&other));
        other.0[31] = 8;
        assert!(!hash.matches(&other));
    }
}
