use alivio_kernel::ids::UserId;
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{FieldError, Role, Rule, Sensitive};
use chrono::TimeDelta;

/// Wrong codes in a row before codes are refused for a while.
pub const MAX_FAILURES: u32 = 5;
/// How many recovery codes are given at once.
pub const RECOVERY_CODES: usize = 10;
/// How long codes are refused after [`MAX_FAILURES`]; each further wrong one doubles it.
const FIRST_LOCK: TimeDelta = TimeDelta::seconds(30);
/// The longest that codes are refused.
const LONGEST_LOCK: TimeDelta = TimeDelta::hours(1);

/// What the clinic asks of those who sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInPolicy {
    /// How many full sessions a user may have at once (S0-231).
    pub max_sessions: usize,
    /// The roles that need a second factor.
    pub second_factor_roles: Vec<Role>,
}

impl Default for SignInPolicy {
    fn default() -> Self {
        Self { max_sessions: super::MAX_SESSIONS, second_factor_roles: Vec::new() }
    }
}

impl SignInPolicy {
    /// Whether this role needs a second factor.
    pub fn needs_second_factor(&self, role: Role) -> bool {
        self.second_factor_roles.contains(&role)
    }
}

/// For how long codes are refused after so many wrong ones in a row; not at all below [`MAX_FAILURES`].
pub fn lock_after(failures: u32) -> Option<TimeDelta> {
    let doublings = failures.checked_sub(MAX_FAILURES)?;
    Some((FIRST_LOCK * (1 << doublings.min(16))).min(LONGEST_LOCK))
}

/// Where the secret of `user`'s second factor is sealed.
pub(crate) const fn secret_context(user: UserId) -> SealContext {
    SealContext {
        table: "second_factors",
        column: "secret",
        row: user.uuid(),
        scope: Scope::User(user),
        version: 1,
    }
}

/// A code of an authenticator app: six digits.
#[derive(Debug, Clone)]
pub struct OneTimeCode(Sensitive<String>);

impl OneTimeCode {
    /// Takes six digits, spaces between them or not.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let code: String = raw.chars().filter(|c| *c != ' ').collect();
        let is_code = code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit());
        if is_code { Ok(Self(Sensitive::new(code))) } else { Err(FieldError::new("code", Rule::Malformed)) }
    }

    /// The digits.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A code for the day the phone is lost: 80 random bits, good once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryCode(Sensitive<String>);

impl RecoveryCode {
    /// Base 32 (RFC 4648) of 80 bits.
    const LENGTH: usize = 16;

    /// Takes 16 letters and digits, in either case, with dashes and spaces or without.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let code: String =
            raw.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_ascii_uppercase()).collect();
        let is_code =
            code.len() == Self::LENGTH && code.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'));
        if is_code {
            Ok(Self(Sensitive::new(code)))
        } else {
            Err(FieldError::new("recovery_code", Rule::Malformed))
        }
    }

    /// The bare letters and digits.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// As people read it: in groups of four.
    pub fn written(&self) -> Sensitive<String> {
        let mut text = String::with_capacity(Self::LENGTH + 3);
        for (n, c) in self.0.expose().chars().enumerate() {
            if n > 0 && n % 4 == 0 {
                text.push('-');
            }
            text.push(c);
        }
        Sensitive::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_code_after_the_fifth_doubles_the_wait() {
        let seconds: Vec<_> = (3..14).map(|n| lock_after(n).map(|lock| lock.num_seconds())).collect();
        let expected = [None, None, Some(30), Some(60), Some(120), Some(240), Some(480), Some(960)];
        assert_eq!(seconds[..8], expected);
        assert_eq!(lock_after(u32::MAX), Some(TimeDelta::hours(1)));
    }

    #[test]
    fn codes_are_six_digits() {
        assert_eq!(OneTimeCode::parse(" 123 456").unwrap().expose(), "123456");
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６", "-12345"] {
            assert!(OneTimeCode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn recovery_codes_are_read_as_people_write_them() {
        let code = RecoveryCode::parse("abcd-efgh 2345-6722").unwrap();
        assert_eq!(code.expose(), "ABCDEFGH23456722");
        assert_eq!(code.written().expose(), "ABCD-EFGH-2345-6722");
        for bad in ["", "ABCD-EFGH-2345-672", "ABCD-EFGH-2345-6721", "ABCD-EFGH-2345-67222"] {
            assert!(RecoveryCode::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(format!("{code:?}"), "RecoveryCode([REDACTED])");
    }
}
