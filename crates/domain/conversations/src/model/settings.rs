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

    /// Whether patients stay out of it.
    pub const fn is_among_staff(self) -> bool {
        matches!(self, Self::Team | Self::StudyGroup | Self::CaseDiscussion)
    }

    /// Whether nobody is to be recognised in it, so that it refers to no patient.
    pub const fn is_anonymous(self) -> bool {
        matches!(self, Self::StudyGroup | Self::CaseDiscussion)
    }

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

/// Changes of [`Settings`]: what is not there stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SettingsPatch {
    /// Texts are always encrypted; only `true` is accepted.
    pub is_encrypted: Option<bool>,
    /// Whether messages disappear by themselves.
    pub auto_delete_messages: Option<bool>,
    /// After how many days; inner `None`: never.
    pub auto_delete_days: Option<Option<i32>>,
    /// Files may be shared.
    pub file_sharing_enabled: Option<bool>,
    /// Video calls may be started.
    pub video_calls_enabled: Option<bool>,
    /// Others see that someone types.
    pub typing_indicators: Option<bool>,
    /// Others see what someone has read.
    pub read_receipts: Option<bool>,
    /// Words may be changed.
    pub message_editing: Option<bool>,
    /// Messages may be taken back.
    pub message_deletion: Option<bool>,
    /// People of the clinic may come in by themselves.
    pub joinable: Option<bool>,
}

impl SettingsPatch {
    const MAX_DAYS: i32 = 3650;

    /// The settings after these changes.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn apply(&self, before: Settings) -> Result<Settings, FieldError> {
        if self.is_encrypted == Some(false) {
            return Err(FieldError::new("settings.is_encrypted", Rule::Unknown));
        }
        const DAYS: &str = "settings.auto_delete_days";
        let days = self.auto_delete_days.unwrap_or(before.auto_delete_days);
        if days.is_some_and(|days| !(1..=Self::MAX_DAYS).contains(&days)) {
            return Err(FieldError::new(DAYS, Rule::OutOfRange { min: 1, max: i64::from(Self::MAX_DAYS) }));
        }
        let auto_delete_days = match self.auto_delete_messages {
            Some(false) => None,
            Some(true) if days.is_none() => return Err(FieldError::new(DAYS, Rule::Missing)),
            _ => days,
        };
        Ok(Settings {
            auto_delete_days,
            file_sharing_enabled: self.file_sharing_enabled.unwrap_or(before.file_sharing_enabled),
            video_calls_enabled: self.video_calls_enabled.unwrap_or(before.video_calls_enabled),
            typing_indicators: self.typing_indicators.unwrap_or(before.typing_indicators),
            read_receipts: self.read_receipts.unwrap_or(before.read_receipts),
            message_editing: self.message_editing.unwrap_or(before.message_editing),
            message_deletion: self.message_deletion.unwrap_or(before.message_deletion),
            joinable: self.joinable.unwrap_or(before.joinable),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let before = Settings { joinable: true, auto_delete_days: Some(7), ..Settings::default() };
        assert_eq!(SettingsPatch::default().apply(before), Ok(before));
        let patch = SettingsPatch { read_receipts: Some(false), ..SettingsPatch::default() };
        assert_eq!(patch.apply(before), Ok(Settings { read_receipts: false, ..before }));
    }

    #[test]
    fn disappearing_needs_days_and_turning_it_off_forgets_them() {
        let apply = |on, days, before| {
            let patch = SettingsPatch {
                auto_delete_messages: on,
                auto_delete_days: days,
                ..SettingsPatch::default()
            };
            let before = Settings { auto_delete_days: before, ..Settings::default() };
            patch.apply(before).map(|settings| settings.auto_delete_days)
        };
        assert!(apply(Some(true), None, None).is_err());
        assert_eq!(apply(Some(true), None, Some(7)), Ok(Some(7)));
        assert_eq!(apply(None, Some(Some(30)), None), Ok(Some(30)));
        assert_eq!(apply(Some(false), None, Some(7)), Ok(None));
        assert_eq!(apply(Some(false), Some(None), None), Ok(None));
        assert_eq!(apply(None, Some(None), Some(7)), Ok(None));
        for bad in [0, -1, 3651] {
            assert!(apply(None, Some(Some(bad)), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn encryption_cannot_be_turned_off() {
        let patch = |on| SettingsPatch { is_encrypted: Some(on), ..SettingsPatch::default() };
        assert!(patch(false).apply(Settings::default()).is_err());
        assert!(patch(true).apply(Settings::default()).is_ok());
    }
}
