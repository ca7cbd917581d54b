//! How a professional's credentials come to be verified (S4-157).

use alivio_kernel::ids::{IdSource, UserId, Uuid};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule, Sensitive};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What is known of a professional's credentials.
///
/// ```text
/// unverified ──submit──▶ submitted ──decide──▶ verified | rejected
///      ▲                     ▲                      │
///      └── another number ───┴── submit, or another name of who is verified
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialStatus {
    /// Nobody has been asked to look at them.
    #[default]
    Unverified,
    /// They wait for a decision.
    Submitted,
    /// Someone has found them genuine.
    Verified,
    /// Someone has not.
    Rejected,
}

impl CredentialStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Unverified, Self::Submitted, Self::Verified, Self::Rejected];

    /// Its name in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Submitted => "submitted",
            Self::Verified => "verified",
            Self::Rejected => "rejected",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// After a licence number was submitted, which is (`same`) or is not the one on record.
    ///
    /// # Errors
    /// [`Error::AlreadyVerified`]: there is nothing left to prove of that number.
    pub const fn submit(self, same: bool) -> Result<Self, Error> {
        match self {
            Self::Verified if same => Err(Error::AlreadyVerified),
            _ => Ok(Self::Submitted),
        }
    }

    /// After a decision.
    ///
    /// # Errors
    /// [`Error::NothingToDecide`]: only what was submitted is decided, and only once.
    pub const fn decide(self, decision: Decision) -> Result<Self, Error> {
        match (self, decision) {
            (Self::Submitted, Decision::Verify) => Ok(Self::Verified),
            (Self::Submitted, Decision::Reject(_)) => Ok(Self::Rejected),
            _ => Err(Error::NothingToDecide),
        }
    }

    /// After name, title, specialty or institution were changed: what was verified of one is to be looked at again.
    #[must_use]
    pub const fn with_another_name(self) -> Self {
        match self {
            Self::Verified => Self::Submitted,
            other => other,
        }
    }

    /// After the licence number on record was changed without submitting it: what was said of the old number says
    /// nothing of the new one.
    #[must_use]
    pub const fn with_another_license(self) -> Self {
        Self::Unverified
    }
}

/// Why credentials were rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionReason {
    /// The register does not know the number.
    LicenseNotFound,
    /// The number belongs to someone else.
    NameMismatch,
    /// The licence is no longer valid.
    Expired,
    /// Something is missing.
    Incomplete,
    /// As the note says.
    Other,
}

impl RejectionReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::LicenseNotFound, Self::NameMismatch, Self::Expired, Self::Incomplete, Self::Other];

    /// Its name in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LicenseNotFound => "license_not_found",
            Self::NameMismatch => "name_mismatch",
            Self::Expired => "expired",
            Self::Incomplete => "incomplete",
            Self::Other => "other",
        }
    }

    /// The reason of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// What someone decides about credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They are genuine.
    Verify,
    /// They are not, or cannot be told to be.
    Reject(RejectionReason),
}

impl Decision {
    /// Checks `decision` (`verify`, `reject`) and the reason, which a rejection needs and nothing else has.
    ///
    /// # Errors
    /// The field that does not fit.
    pub fn parse(decision: &str, reason: Option<&str>) -> Result<Self, FieldError> {
        let code = |rule| FieldError::new("reason_code", rule);
        match (decision, reason) {
            ("verify", None) => Ok(Self::Verify),
            ("verify", Some(_)) => Err(code(Rule::Unknown)),
            ("reject", None) => Err(code(Rule::Empty)),
            ("reject", Some(reason)) => {
                RejectionReason::parse(reason).map(Self::Reject).ok_or(code(Rule::Unknown))
            }
            _ => Err(FieldError::new("decision", Rule::Unknown)),
        }
    }

    /// Why, if it is a rejection.
    pub const fn reason(self) -> Option<RejectionReason> {
        match self {
            Self::Verify => None,
            Self::Reject(reason) => Some(reason),
        }
    }
}

/// One step in the history of someone's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// A licence number was submitted.
    Submitted,
    /// It was found genuine.
    Verified,
    /// It was not.
    Rejected,
    /// The number on record was changed or taken away, and with it what had been said of it.
    Withdrawn,
}

impl StepKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Submitted, Self::Verified, Self::Rejected, Self::Withdrawn];

    /// Its name in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Verified => "verified",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A step of the history, readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialStep {
    /// Its id.
    pub id: Uuid,
    /// What happened.
    pub kind: StepKind,
    /// Who did it.
    pub by: UserId,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, if it is a rejection.
    pub reason: Option<RejectionReason>,
    /// What they had to say.
    pub note: Option<Sensitive<String>>,
}

impl CredentialStep {
    /// A new step.
    pub fn new(
        ids: &dyn IdSource,
        kind: StepKind,
        by: UserId,
        at: DateTime<Utc>,
        reason: Option<RejectionReason>,
        note: Option<String>,
    ) -> Self {
        Self { id: ids.uuid(), kind, by, at, reason, note: note.map(Sensitive::new) }
    }

    /// The place where the note of step `id` of `user`'s history is sealed.
    pub(crate) const fn note_context(user: UserId, id: Uuid) -> SealContext {
        SealContext {
            table: "credential_steps",
            column: "note",
            row: id,
            scope: Scope::User(user),
            version: 1,
        }
    }

    /// Checks a note: at most 500 characters.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn parse_note(raw: &str) -> Result<String, FieldError> {
        text::parse("note", raw, 500, Lines::Many)
    }
}

/// The number of a licence to practise: 3 to 40 letters, digits and `-./ `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseNumber(Sensitive<String>);

impl LicenseNumber {
    /// Checks what someone typed; letters become capitals.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let number = text::parse("license_number", raw, 40, Lines::Single)?.to_uppercase();
        let plain = number.chars().all(|c| c.is_ascii_alphanumeric() || "-./ ".contains(c));
        if !plain || number.chars().filter(char::is_ascii_alphanumeric).count() < 3 {
            return Err(FieldError::new("license_number", Rule::Malformed));
        }
        Ok(Self(Sensitive::new(number)))
    }

    /// A number that was checked when it was stored.
    pub(crate) const fn restored(number: String) -> Self {
        Self(Sensitive::new(number))
    }

    /// The number.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The place where `user`'s number is sealed.
    pub(crate) const fn context(user: UserId) -> SealContext {
        SealContext {
            table: "professional_profiles",
            column: "license_number",
            row: user.uuid(),
            scope: Scope::User(user),
            version: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Move {
        Submit { same: bool },
        Decide(Decision),
        Change,
        Rename,
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            any::<bool>().prop_map(|same| Move::Submit { same }),
            Just(Move::Decide(Decision::Verify)),
            Just(Move::Decide(Decision::Reject(RejectionReason::Expired))),
            Just(Move::Change),
            Just(Move::Rename),
        ];
        proptest::collection::vec(one, 0..40)
    }

    proptest! {
        /// Only a decision on a submission verifies, and no other number inherits it.
        #[test]
        fn nobody_is_verified_but_by_a_decision_on_what_they_submitted(moves in moves()) {
            let mut status = CredentialStatus::default();
            for step in moves {
                let before = status;
                let next = match step {
                    Move::Submit { same } => before.submit(same),
                    Move::Decide(decision) => before.decide(decision),
                    Move::Change => Ok(before.with_another_license()),
                    Move::Rename => Ok(before.with_another_name()),
                };
                if let Ok(next) = next {
                    status = next;
                }
                let decided = matches!(step, Move::Decide(_)) && before == CredentialStatus::Submitted;
                if status == CredentialStatus::Verified && before != CredentialStatus::Verified {
                    prop_assert!(matches!(step, Move::Decide(Decision::Verify)) && decided);
                }
                if status == CredentialStatus::Rejected && before != CredentialStatus::Rejected {
                    prop_assert!(decided);
                }
                if matches!(step, Move::Change | Move::Rename | Move::Submit { same: false }) {
                    prop_assert!(status != CredentialStatus::Verified);
                }
            }
        }
    }

    #[test]
    fn a_rejection_has_a_reason_and_nothing_else_has() {
        assert_eq!(Decision::parse("verify", None), Ok(Decision::Verify));
        assert_eq!(
            Decision::parse("reject", Some("expired")),
            Ok(Decision::Reject(RejectionReason::Expired))
        );
        for (decision, reason) in
            [("reject", None), ("reject", Some("")), ("verify", Some("expired")), ("", None)]
        {
            assert!(Decision::parse(decision, reason).is_err(), "{decision} {reason:?}");
        }
    }

    #[test]
    fn licence_numbers_are_short_and_plain() {
        assert_eq!(LicenseNumber::parse(" cmp-12345/a ").unwrap().expose(), "CMP-12345/A");
        for bad in ["", "--", "12", "<b>123</b>", "١٢٣٤", &"1".repeat(41)] {
            assert!(LicenseNumber::parse(bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", LicenseNumber::parse("CMP-12345")).contains("123"));
    }

    #[test]
    fn names_read_back() {
        for status in CredentialStatus::ALL {
            assert_eq!(CredentialStatus::parse(status.as_str()), Some(status));
        }
        for reason in RejectionReason::ALL {
            assert_eq!(RejectionReason::parse(reason.as_str()), Some(reason));
        }
        for kind in StepKind::ALL {
            assert_eq!(StepKind::parse(kind.as_str()), Some(kind));
        }
    }
}
