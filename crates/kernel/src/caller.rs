use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, UserId};

/// What an account is for. Synonyms of the source documents are accepted when parsing
/// (`admin` → `medical_admin`, `specialist` → `doctor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Someone who is cared for.
    Patient,
    /// A medical professional who cares for patients.
    Doctor,
    /// A medical student: talks to professionals, never to patients.
    Student,
    /// Runs the clinic: people, moderation, policies.
    MedicalAdmin,
    /// Runs the installation: accounts, never content.
    ItAdmin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Patient, Self::Doctor, Self::Student, Self::MedicalAdmin, Self::ItAdmin];

    /// The name used in storage, tokens and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Doctor => "doctor",
            Self::Student => "student",
            Self::MedicalAdmin => "medical_admin",
            Self::ItAdmin => "it_admin",
        }
    }

    /// Whether this role cares for patients, and so may moderate a consultation.
    pub const fn is_clinician(self) -> bool {
        matches!(self, Self::Doctor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown role")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "admin" => Ok(Self::MedicalAdmin),
            "specialist" => Ok(Self::Doctor),
            _ => Self::ALL.into_iter().find(|role| role.as_str() == s).ok_or(UnknownRole),
        }
    }
}

/// Who is asking. Made by authentication, read by every use-case to authorise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The person.
    pub user_id: UserId,
    /// Their role at this moment, read from storage rather than from the token.
    pub role: Role,
    /// The sign-in they act through.
    pub session_id: SessionId,
    /// The network address that this request came from.
    pub address: Option<IpAddr>,
}

/// From where someone asks who is not signed in yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The network address, as far as it can be trusted.
    pub address: Option<IpAddr>,
    /// What the device calls itself (`User-Agent`), cut to 200 characters.
    pub device: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_parses_from_its_own_name() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
    }

    #[test]
    fn documented_synonyms_are_accepted_and_others_refused() {
        assert_eq!("admin".parse(), Ok(Role::MedicalAdmin));
        assert_eq!("specialist".parse(), Ok(Role::Doctor));
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
    }
}
