//! What each role may do. Scopes decide; roles only bundle them (C-6). Rights that depend on *whose* data it is
//! (a participant, an owner, a care relationship) are decided by the domain that holds the data.

use serde_json::{Value, json};

use crate::{Caller, Role};

/// One thing that a role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessScope {
    /// Look professionals up in the directory.
    DirectoryRead,
    /// Ask people to become contacts, and keep a list of them.
    ContactsManage,
    /// Hold a professional's profile and have its credentials verified.
    ProfessionalProfile,
    /// Invite people who may not sign up by themselves.
    InvitationsIssue,
    /// See and change the professionals of the clinic.
    ProfessionalsManage,
    /// Decide whether a professional's credentials are genuine.
    CredentialsVerify,
    /// Activate, deactivate and reset accounts, and give them roles.
    UsersManage,
    /// Read the audit trail.
    AuditRead,
    /// Decide when patients may write, and who answers emergencies.
    PoliciesManage,
    /// Have hours of one's own in which patients may write.
    ChatHoursOwn,
    /// See and answer emergencies.
    EmergenciesAnswer,
    /// Read a conversation in an emergency, for a stated reason and a short time (C-59).
    BreakGlass,
    /// Judge messages that were reported or flagged.
    ModerationManage,
}

impl AccessScope {
    /// Every scope.
    pub const ALL: [Self; 13] = [
        Self::DirectoryRead,
        Self::ContactsManage,
        Self::ProfessionalProfile,
        Self::InvitationsIssue,
        Self::ProfessionalsManage,
        Self::CredentialsVerify,
        Self::UsersManage,
        Self::AuditRead,
        Self::PoliciesManage,
        Self::ChatHoursOwn,
        Self::EmergenciesAnswer,
        Self::BreakGlass,
        Self::ModerationManage,
    ];

    /// Its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DirectoryRead => "directory:read",
            Self::ContactsManage => "contacts:manage",
            Self::ProfessionalProfile => "professional_profile:own",
            Self::InvitationsIssue => "invitations:issue",
            Self::ProfessionalsManage => "professionals:manage",
            Self::CredentialsVerify => "credentials:verify",
            Self::UsersManage => "users:manage",
            Self::AuditRead => "audit:read",
            Self::PoliciesManage => "policies:manage",
            Self::ChatHoursOwn => "chat_hours:own",
            Self::EmergenciesAnswer => "emergencies:answer",
            Self::BreakGlass => "break_glass:use",
            Self::ModerationManage => "moderation:manage",
        }
    }

    /// The roles that bundle it.
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Doctor, ItAdmin, MedicalAdmin, Patient, Student};
        match self {
            Self::DirectoryRead | Self::ContactsManage => &[Patient, Doctor, Student, MedicalAdmin, ItAdmin],
            Self::ProfessionalProfile => &[Doctor, Student, MedicalAdmin],
            Self::InvitationsIssue | Self::ProfessionalsManage | Self::AuditRead => &[MedicalAdmin, ItAdmin],
            Self::CredentialsVerify | Self::BreakGlass | Self::ModerationManage | Self::PoliciesManage => {
                &[MedicalAdmin]
            }
            Self::ChatHoursOwn => &[Doctor],
            Self::EmergenciesAnswer => &[Doctor, MedicalAdmin],
            Self::UsersManage => &[ItAdmin],
        }
    }
}

impl Role {
    /// What this role may do.
    pub fn scopes(self) -> impl Iterator<Item = AccessScope> {
        AccessScope::ALL.into_iter().filter(move |scope| scope.roles().contains(&self))
    }
}

impl Caller {
    /// Refuses the caller unless their role bundles `scope`.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn require(&self, scope: AccessScope) -> Result<(), Denied> {
        if scope.roles().contains(&self.role) { Ok(()) } else { Err(Denied::MissingScope(scope)) }
    }
}

/// Why something is forbidden to someone who may know that it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("forbidden: {}", self.reason())]
pub enum Denied {
    /// Their role does not bundle this scope.
    MissingScope(AccessScope),
    /// One's own account cannot be the object: nobody raises, judges or locks out themselves.
    OwnAccount,
    /// The other stands too high: their role may only be touched by those who manage users.
    RoleTooHigh,
    /// It is their own matter: nobody judges what they have said or reported.
    Involved,
}

impl Denied {
    /// A stable name.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingScope(_) => "missing_scope",
            Self::OwnAccount => "own_account",
            Self::RoleTooHigh => "role_too_high",
            Self::Involved => "involved",
        }
    }

    /// The `details` of the answer (403 `forbidden`).
    pub fn details(self) -> Value {
        let mut details = json!({"reason": self.reason()});
        if let Self::MissingScope(scope) = self {
            details["required_scope"] = json!(scope.as_str());
        }
        details
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_listed_once_and_has_a_name_of_its_own() {
        let mut names: Vec<_> = AccessScope::ALL.map(AccessScope::as_str).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), AccessScope::ALL.len());
    }

    #[test]
    fn patients_and_students_administer_nothing() {
        for role in [Role::Patient, Role::Student, Role::Doctor] {
            for scope in [
                AccessScope::InvitationsIssue,
                AccessScope::ProfessionalsManage,
                AccessScope::CredentialsVerify,
                AccessScope::UsersManage,
                AccessScope::AuditRead,
                AccessScope::BreakGlass,
                AccessScope::ModerationManage,
            ] {
                assert!(!scope.roles().contains(&role), "{role} {scope:?}");
            }
        }
    }

    #[test]
    fn those_who_run_the_installation_never_reach_content() {
        for scope in [AccessScope::BreakGlass, AccessScope::ModerationManage] {
            assert!(!scope.roles().contains(&Role::ItAdmin));
        }
    }
}
