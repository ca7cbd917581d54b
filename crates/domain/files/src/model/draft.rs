use alivio_kernel::ids::{ConsultationId, ConversationId, UserId};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{DocumentType, FileKind, RetentionClass, Terms};

const MAX_DESCRIPTION: usize = 1000;
pub(super) const MAX_DOWNLOADS: i64 = 1000;
const MAX_YEARS: i64 = 100;
/// Access ends after a year unless said otherwise (C-23).
const ACCESS: TimeDelta = TimeDelta::days(365);

/// What someone says of a file that they upload (S0-161), as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Where.
    pub conversation_id: Option<ConversationId>,
    /// What it is called.
    pub filename: Option<String>,
    /// Which type it has, by its sender's word.
    pub mime: Option<String>,
    /// `image`, `prescription` …; seen from the content if not said.
    pub kind: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Whom it is about.
    pub patient_id: Option<UserId>,
    /// The consultation that it belongs to.
    pub related_appointment: Option<ConsultationId>,
    /// What it is in a record.
    pub document_type: Option<String>,
    /// Whether it belongs to the patient's record.
    pub is_medical: Option<bool>,
    /// Whether it tells of someone's health.
    pub contains_phi: Option<bool>,
    /// Whether the patient must agree before others see it.
    pub requires_consent: Option<bool>,
    /// Whether someone is to sign it.
    pub requires_signature: Option<bool>,
    /// Whether it may be sent on elsewhere.
    pub can_forward: Option<bool>,
    /// Whether it may be printed.
    pub can_print: Option<bool>,
    /// Whether whoever looks at it is drawn into their copy.
    pub watermark: Option<bool>,
    /// How often it may be downloaded.
    pub max_downloads: Option<i64>,
    /// When others can look at it no more.
    pub access_expires_at: Option<DateTime<Utc>>,
    /// How long it is kept.
    pub retention_years: Option<i64>,
}

/// A file about to come, checked for form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Where.
    pub conversation_id: ConversationId,
    pub(crate) filename: String,
    pub(crate) mime: Option<String>,
    pub(crate) kind: Option<FileKind>,
    pub(crate) description: Option<String>,
    pub(crate) patient_id: Option<UserId>,
    pub(crate) related_appointment: Option<ConsultationId>,
    pub(crate) document_type: Option<DocumentType>,
    pub(crate) terms: Terms,
    pub(crate) access_expires_at: DateTime<Utc>,
    pub(crate) max_downloads: Option<u32>,
}

// Its words stay out of it.
impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({})", self.conversation_id)
    }
}

impl Draft {
    /// Checks the form of what someone says at `now`.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn parse(said: Said, now: DateTime<Utc>) -> Result<Self, FieldError> {
        let within = |field, value: i64, min: i64, max: i64| match u32::try_from(value) {
            Ok(value) if (min..=max).contains(&i64::from(value)) => Ok(value),
            _ => Err(FieldError::new(field, Rule::OutOfRange { min, max })),
        };
        let description = said.description.as_deref().filter(|words| !words.trim().is_empty());
        let access_expires_at = said.access_expires_at.unwrap_or(now + ACCESS);
        if access_expires_at <= now {
            return Err(FieldError::new("access_expires_at", Rule::Malformed));
        }
        let kind = said.kind.as_deref().map(str::parse).transpose()?;
        let document_type = said.document_type.as_deref().map(str::parse).transpose()?;
        let is_of_a_record = |kind| RetentionClass::of(Some(kind), false) == RetentionClass::NonClinical;
        let is_medical = said.is_medical.unwrap_or(document_type.is_some_and(is_of_a_record));
        // Longer than its class asks for, never shorter (S0-98, C-27).
        let least = RetentionClass::of(document_type, is_medical).years();
        let retention_years = match said.retention_years {
            Some(years) => {
                let least = least.unwrap_or(1).into();
                Some(within("retention_period_years", years, least, MAX_YEARS)?)
            }
            None => least,
        };
        Ok(Self {
            conversation_id: said.conversation_id.ok_or(FieldError::new("conversation_id", Rule::Missing))?,
            filename: said.filename.unwrap_or_default(),
            mime: said.mime,
            kind,
            description: description
                .map(|words| text::parse("description", words, MAX_DESCRIPTION, Lines::Many))
                .transpose()?,
            patient_id: said.patient_id,
            related_appointment: said.related_appointment,
            document_type,
            terms: Terms {
                is_medical,
                contains_phi: said.contains_phi.unwrap_or(is_medical),
                requires_consent: said.requires_consent.unwrap_or(false),
                requires_signature: said.requires_signature.unwrap_or(false),
                can_forward: said.can_forward.unwrap_or(!is_medical && document_type.is_none()),
                can_print: said.can_print.unwrap_or(true),
                watermark: said.watermark.unwrap_or(false),
                retention_years,
            },
            access_expires_at,
            max_downloads: said
                .max_downloads
                .map(|most| within("max_downloads", most, 1, MAX_DOWNLOADS))
                .transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::{Clock, ManualClock};

    use super::*;

    fn said() -> Said {
        Said { conversation_id: Some(alivio_kernel::ids::Uuid::nil().into()), ..Said::default() }
    }

    #[test]
    fn what_belongs_to_the_record_is_kept_and_stays() {
        let now = ManualClock::default().now();
        let plain = Draft::parse(said(), now).unwrap();
        assert_eq!((plain.terms.retention_years, plain.terms.can_forward), (None, true));
        assert_eq!(plain.access_expires_at, now + ACCESS);
        let record = Draft::parse(Said { document_type: Some("imaging".into()), ..said() }, now).unwrap();
        assert!(record.terms.is_medical && record.terms.contains_phi && !record.terms.can_forward);
        assert_eq!(record.terms.retention_years, Some(7));
    }

    #[test]
    fn what_is_kept_is_kept_as_long_as_its_class_asks_for() {
        let now = ManualClock::default().now();
        let parse = |kind: Option<&str>, is_medical, retention_years| {
            let document_type = kind.map(str::to_owned);
            Draft::parse(Said { document_type, is_medical, retention_years, ..said() }, now)
        };
        let years = |kind, is_medical, asked| parse(kind, is_medical, asked).unwrap().terms.retention_years;
        assert_eq!(years(Some("lab_result"), None, None), Some(7));
        assert_eq!(years(Some("insurance"), None, None), Some(2));
        assert!(!parse(Some("insurance"), None, None).unwrap().terms.is_medical);
        assert_eq!(years(Some("insurance"), Some(true), None), Some(7));
        assert_eq!(years(None, Some(true), Some(30)), Some(30));
        assert_eq!((years(None, None, Some(1)), years(None, None, None)), (Some(1), None));
        for (kind, is_medical, asked) in [
            (Some("lab_result"), None, 6),
            (None, Some(true), 1),
            (Some("identification"), None, 1),
            (None, None, 0),
        ] {
            let refused = parse(kind, is_medical, Some(asked)).unwrap_err();
            assert_eq!(refused.field, "retention_period_years", "{kind:?} {asked}");
        }
    }

    #[test]
    fn a_broken_field_is_named() {
        let now = ManualClock::default().now();
        for (said, field) in [
            (Said { conversation_id: None, ..said() }, "conversation_id"),
            (Said { kind: Some("exe".into()), ..said() }, "file_type"),
            (Said { document_type: Some("diary".into()), ..said() }, "document_type"),
            (Said { description: Some("a\0".into()), ..said() }, "description"),
            (Said { max_downloads: Some(0), ..said() }, "max_downloads"),
            (Said { max_downloads: Some(1001), ..said() }, "max_downloads"),
            (Said { retention_years: Some(101), ..said() }, "retention_period_years"),
            (Said { access_expires_at: Some(now), ..said() }, "access_expires_at"),
        ] {
            assert_eq!(Draft::parse(said, now).unwrap_err().field, field);
        }
    }
}
