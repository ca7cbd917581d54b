use alivio_kernel::ids::{ContactRequestId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Role, Sensitive};
use chrono::{DateTime, TimeDelta, Utc};

use crate::Email;

/// So many requests may be open at once for one person.
pub const MAX_OPEN_REQUESTS: i64 = 100;

/// What someone calls a contact: one line, at most 100 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nickname(Sensitive<String>);

impl Nickname {
    const MAX: usize = 100;

    /// Checks what was typed.
    ///
    /// # Errors
    /// Names the rule.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        text::parse("nickname", raw, Self::MAX, Lines::Single).map(|name| Self(Sensitive::new(name)))
    }

    /// The name.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The place where `owner`'s name for `contact` is sealed.
    pub(crate) const fn context(owner: UserId, contact: UserId) -> SealContext {
        SealContext {
            table: "contacts",
            column: "nickname",
            row: contact.uuid(),
            scope: Scope::User(owner),
            version: 1,
        }
    }

    pub(crate) fn restored(text: String) -> Self {
        Self(Sensitive::new(text))
    }
}

/// How long a refusal holds: what the same person asks for meanwhile does not reach the one who declined.
pub const REFUSAL_HOLDS: TimeDelta = TimeDelta::days(30);

/// People are told of requests by the same person once in this time.
pub const TOLD_ONCE_IN: TimeDelta = TimeDelta::days(1);

/// Whom someone asks to become a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invitee {
    /// By their id.
    User(UserId),
    /// By their address.
    Email(Email),
}

/// On which side of a request one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Asked by others.
    Incoming,
    /// Asked by oneself.
    Outgoing,
}

/// An open request, as one of its two sides sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRequest {
    /// Its id.
    pub id: ContactRequestId,
    /// Who asks.
    pub from: UserId,
    /// Whom they named. To the one who is asked, that is always their own id.
    pub named: Invitee,
    /// Since when it is open.
    pub created_at: DateTime<Utc>,
}

/// A contact, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub user_id: UserId,
    /// What the owner calls them.
    pub nickname: Option<Nickname>,
    /// Whether they come first in the list.
    pub is_favorite: bool,
    /// Whether the owner has blocked them.
    pub is_blocked: bool,
    /// Since when they are contacts.
    pub created_at: DateTime<Utc>,
}

/// Who may become contacts: staff and students among themselves; a patient and a doctor who attends them.
pub const fn may_be_contacts(one: Role, other: Role, related: bool) -> bool {
    match (one, other) {
        (Role::Patient, Role::Doctor) | (Role::Doctor, Role::Patient) => related,
        (Role::Patient, _) | (_, Role::Patient) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_know_only_doctors_who_attend_them() {
        for role in Role::ALL {
            for related in [false, true] {
                let expected = role == Role::Doctor && related;
                assert_eq!(may_be_contacts(Role::Patient, role, related), expected, "{role}");
                assert_eq!(may_be_contacts(role, Role::Patient, related), expected, "{role}");
            }
        }
    }

    #[test]
    fn staff_and_students_know_whom_they_like() {
        for one in Role::ALL.into_iter().filter(|role| *role != Role::Patient) {
            for other in Role::ALL.into_iter().filter(|role| *role != Role::Patient) {
                assert!(may_be_contacts(one, other, false), "{one} {other}");
            }
        }
    }

    #[test]
    fn nicknames_are_one_short_line() {
        assert_eq!(Nickname::parse("  Mamá ").unwrap().expose(), "Mamá");
        for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(Nickname::parse(bad).is_err(), "{bad:?}");
        }
        assert!(!format!("{:?}", Nickname::parse("Mamá")).contains("Mamá"));
    }
}
