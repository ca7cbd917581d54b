use std::str::FromStr;

use alivio_kernel::{FieldError, Rule};
use serde::{Deserialize, Serialize};

use super::Kind;

/// What people talk about in a conversation (C-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Purpose {
    /// The care of a patient: its words belong to the record.
    #[default]
    Care,
    /// The work of a team.
    Team,
    /// Learning together.
    StudyGroup,
    /// A case that nobody may recognise.
    CaseDiscussion,
    /// Help with the product or the clinic.
    Support,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] =
        [Self::Care, Self::Team, Self::StudyGroup, Self::CaseDiscussion, Self::Support];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Care => "care",
            Self::Team => "team",
            Self::StudyGroup => "study_group",
            Self::CaseDiscussion => "case_discussion",
            Self::Support => "support",
        }
    }
}

impl FromStr for Purpose {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|p| p.as_str() == s).ok_or(FieldError::new("purpose", Rule::Unknown))
    }
}

/// What a conversation allows (S0-30 … S0-38).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Messages disappear after so many days.
    pub auto_delete_days: Option<i32>,
    /// Files may be shared.
    pub file_sharing_enabled: bool,
    /// Video calls may be started.
    pub video_calls_enabled: bool,
    /// Others see that someone types.
    pub typing_indicators: bool,
    /// Others see what someone has read.
    pub read_receipts: bool,
    /// Words may be changed.
    pub message_editing: bool,
    /// Messages may be taken back.
    pub message_deletion: bool,
    /// People of the clinic may come in by themselves (C-54).
    pub joinable: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auto_delete_days: None,
            file_sharing_enabled: true,
            video_calls_enabled: true,
            typing_indicators: true,
            read_receipts: true,
            message_editing: true,
            message_deletion: true,
            joinable: false,
        }
    }
}

/// What others need to know of a conversation to obey it. Says nothing about who is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its kind.
    pub kind: Kind,
    /// Its purpose.
    pub purpose: Purpose,
    /// What it allows.
    pub settings: Settings,
}

impl Facts {
    /// Whether its words belong to a patient's record: they are kept, whatever its settings say (C-25).
    pub fn is_care(&self) -> bool {
        self.purpose == Purpose::Care || matches!(self.kind, Kind::Consultation | Kind::Emergency)
    }
}
