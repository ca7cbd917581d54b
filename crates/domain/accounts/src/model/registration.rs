//! How accounts come to be: people sign up, or take an invitation.

use alivio_kernel::ids::{InvitationId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{FieldError, Language, Role, Rule};
use chrono::{DateTime, Utc};

use crate::{Email, Identity, parse_name};

/// The role that someone may take without an invitation (C-29).
pub fn open_role(role: &str) -> Result<Role, FieldError> {
    match role.parse() {
        Ok(role @ (Role::Patient | Role::Student)) => Ok(role),
        _ => Err(FieldError::new("role", Rule::Unknown)),
    }
}

/// The role that someone may be invited to.
pub fn invitable_role(role: &str) -> Result<Role, FieldError> {
    match role.parse() {
        Ok(Role::Patient) | Err(_) => Err(FieldError::new("role", Rule::Unknown)),
        Ok(role) => Ok(role),
    }
}

/// Whether `inviter` may invite, or take back an invitation, to `role`: those who run the clinic invite those who
/// work or learn there, those who run the installation invite everyone who is invited at all.
pub const fn may_invite(inviter: Role, role: Role) -> bool {
    match inviter {
        Role::ItAdmin => !matches!(role, Role::Patient),
        Role::MedicalAdmin => matches!(role, Role::Doctor | Role::Student),
        Role::Patient | Role::Doctor | Role::Student => false,
    }
}

/// Checks the names that someone gave; without a name to show, the full name is shown.
pub fn identity(email: Email, full_name: &str, display_name: Option<&str>) -> Result<Identity, FieldError> {
    let full_name = parse_name("full_name", full_name)?;
    let display_name = match display_name {
        Some(name) => parse_name("display_name", name)?,
        None => full_name.clone(),
    };
    Ok(Identity { email, full_name, display_name })
}

/// An invitation that can still be taken, as those who may issue some see it. Never its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInvitation {
    /// Which.
    pub id: InvitationId,
    /// Who is invited.
    pub email: Email,
    /// What their account will be for.
    pub role: Role,
    /// The language to write to them in.
    pub language: Language,
    /// Who invited them.
    pub issued_by: UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it can be taken.
    pub expires_at: DateTime<Utc>,
}

/// The place where the address of an invitation is sealed, for the user that will be.
pub const fn invited_email(invitation: InvitationId, user: UserId) -> SealContext {
    SealContext {
        table: "invitations",
        column: "email",
        row: invitation.uuid(),
        scope: Scope::User(user),
        version: 1,
    }
}

/// The place where the licence number of a professional is sealed.
pub const fn license_number(user: UserId) -> SealContext {
    SealContext {
        table: "professional_registrations",
        column: "license_number",
        row: user.uuid(),
        scope: Scope::User(user),
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patients_and_students_sign_up_by_themselves() {
        for role in Role::ALL {
            let open = matches!(role, Role::Patient | Role::Student);
            assert_eq!(open_role(role.as_str()).is_ok(), open, "{role}");
        }
        for synonym in ["admin", "specialist", "root", ""] {
            assert!(open_role(synonym).is_err(), "{synonym}");
        }
    }

    #[test]
    fn nobody_invites_above_themselves() {
        for role in Role::ALL {
            assert_eq!(may_invite(Role::ItAdmin, role), role != Role::Patient, "{role}");
            assert_eq!(
                may_invite(Role::MedicalAdmin, role),
                matches!(role, Role::Doctor | Role::Student),
                "{role}"
            );
            for inviter in [Role::Patient, Role::Doctor, Role::Student] {
                assert!(!may_invite(inviter, role));
            }
            assert_eq!(invitable_role(role.as_str()).is_ok(), role != Role::Patient);
        }
    }

    #[test]
    fn names_are_checked_and_the_full_one_is_shown_if_there_is_no_other() {
        let email = || Email::parse("ana@clinic.example").unwrap();
        assert_eq!(identity(email(), " Ana López ", None).unwrap().display_name, "Ana López");
        assert_eq!(identity(email(), "Ana López", Some("Ana")).unwrap().display_name, "Ana");
        for (full, display) in [("", None), ("a\nb", None), ("Ana", Some(" "))] {
            assert!(identity(email(), full, display).is_err(), "{full:?} {display:?}");
        }
        assert!(identity(email(), &"x".repeat(201), None).is_err());
    }
}
