use std::fmt;
use std::str::FromStr;

use alivio_kernel::ids::{ConsultationId, UserId};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};

/// The most tags that a conversation carries.
pub const MAX_TAGS: usize = 20;
const MAX_TAG: usize = 50;
const MAX_CONSULTATION_TYPE: usize = 50;

/// How urgent a conversation is (S0-43).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Priority {
    /// Can wait.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Soon.
    High,
    /// Now.
    Urgent,
}

impl Priority {
    /// Every priority.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Urgent];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

impl FromStr for Priority {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        let unknown = FieldError::new("metadata.priority", Rule::Unknown);
        Self::ALL.into_iter().find(|p| p.as_str() == s).ok_or(unknown)
    }
}

/// What a conversation refers to (S0-39 … S0-44).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The consultation that it follows.
    pub related_appointment_id: Option<ConsultationId>,
    /// The patient that it is about.
    pub related_patient_id: Option<UserId>,
    /// Whether the professionals in it may look into that patient's record from here.
    pub medical_record_access: bool,
    /// What kind of consultation it belongs to: `follow_up`.
    pub consultation_type: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// Words to find it by; none twice.
    pub tags: Vec<String>,
}

// The words stay out of it.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} tags)", self.tags.len())
    }
}

/// Changes of [`Metadata`]: what is not there stays as it is, and an inner `None` takes it away.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MetadataPatch {
    /// The consultation that it follows.
    pub related_appointment_id: Option<Option<ConsultationId>>,
    /// The patient that it is about.
    pub related_patient_id: Option<Option<UserId>>,
    /// Whether the professionals in it may look into that patient's record.
    pub medical_record_access: Option<bool>,
    /// What kind of consultation it belongs to.
    pub consultation_type: Option<Option<String>>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// All tags.
    pub tags: Option<Vec<String>>,
}

impl MetadataPatch {
    /// The metadata after these changes.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn apply(&self, before: &Metadata) -> Result<Metadata, FieldError> {
        let consultation_type = match &self.consultation_type {
            None => before.consultation_type.clone(),
            Some(given) => {
                let parse = |t: &String| {
                    text::parse("metadata.consultation_type", t, MAX_CONSULTATION_TYPE, Lines::Single)
                };
                given.as_ref().map(parse).transpose()?
            }
        };
        Ok(Metadata {
            related_appointment_id: self.related_appointment_id.unwrap_or(before.related_appointment_id),
            related_patient_id: self.related_patient_id.unwrap_or(before.related_patient_id),
            medical_record_access: self.medical_record_access.unwrap_or(before.medical_record_access),
            consultation_type,
            priority: self.priority.unwrap_or(before.priority),
            tags: self.tags.as_ref().map_or_else(|| Ok(before.tags.clone()), |tags| parse_tags(tags))?,
        })
    }
}

/// Checks tags; one that says the same as an earlier one is dropped.
fn parse_tags(raw: &[String]) -> Result<Vec<String>, FieldError> {
    const FIELD: &str = "metadata.tags";
    let mut tags: Vec<String> = Vec::new();
    for tag in raw {
        let tag = text::parse(FIELD, tag, MAX_TAG, Lines::Single)?;
        // A comma stands between the tags that one asks for.
        if tag.contains(',') {
            return Err(FieldError::new(FIELD, Rule::Malformed));
        }
        if !tags.iter().any(|other| tag_key(other) == tag_key(&tag)) {
            tags.push(tag);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(FieldError::new(FIELD, Rule::TooMany { max: MAX_TAGS }));
    }
    Ok(tags)
}

/// A tag as it is compared: case and the usual accents do not matter. Not [`text::fold`]: keyed digests of these are
/// stored, and nobody could make them again from what `text::fold` gives.
pub(crate) fn tag_key(tag: &str) -> String {
    let plain = |c: char| match c {
        'á' | 'à' | 'ä' | 'â' => 'a',
        'é' | 'è' | 'ë' | 'ê' => 'e',
        'í' | 'ì' | 'ï' | 'î' => 'i',
        'ó' | 'ò' | 'ö' | 'ô' => 'o',
        'ú' | 'ù' | 'ü' | 'û' => 'u',
        'ñ' => 'n',
        other => other,
    };
    tag.to_lowercase().chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(raw: &[&str]) -> Result<Vec<String>, FieldError> {
        parse_tags(&raw.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn tags_are_trimmed_and_none_is_there_twice() {
        assert_eq!(tags(&[" Hipertensión", "hipertension", "HTA"]).unwrap(), ["Hipertensión", "HTA"]);
    }

    #[test]
    fn tags_are_bounded() {
        let many: Vec<_> = (0..=MAX_TAGS).map(|n| n.to_string()).collect();
        assert!(parse_tags(&many).is_err());
        assert!(parse_tags(&many[1..]).is_ok());
        assert!(tags(&["a,b"]).is_err());
        assert!(tags(&[" "]).is_err());
        assert!(tags(&[&"x".repeat(MAX_TAG + 1)]).is_err());
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_away() {
        let before = Metadata {
            consultation_type: Some("follow_up".to_owned()),
            priority: Priority::High,
            tags: vec!["hta".to_owned()],
            ..Metadata::default()
        };
        assert_eq!(MetadataPatch::default().apply(&before).as_ref(), Ok(&before));
        let patch =
            MetadataPatch { consultation_type: Some(None), tags: Some(vec![]), ..MetadataPatch::default() };
        let after = patch.apply(&before).unwrap();
        assert_eq!((after.consultation_type, after.tags, after.priority), (None, vec![], Priority::High));
    }

    #[test]
    fn debug_shows_no_words() {
        let metadata = Metadata { tags: vec!["depresion".to_owned()], ..Metadata::default() };
        assert!(!format!("{metadata:?}").contains("depresion"));
    }
}
