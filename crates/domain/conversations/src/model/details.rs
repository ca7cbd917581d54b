use alivio_kernel::ids::UserId;
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};

use super::{
    Conversation, Facts, Kind, MAX_DESCRIPTION, MAX_TITLE, Metadata, MetadataPatch, Purpose, Settings,
    SettingsPatch,
};
use crate::Error;

/// What can be changed of a conversation besides who is in it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Its title, if it has one.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// What it allows.
    pub settings: Settings,
    /// What it refers to.
    pub metadata: Metadata,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Changes of [`Details`]: what is not there stays as it is, and an inner `None` takes it away.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DetailsPatch {
    /// Its title.
    pub title: Option<Option<String>>,
    /// What it is about.
    pub description: Option<Option<String>>,
    /// What it allows.
    pub settings: SettingsPatch,
    /// What it refers to.
    pub metadata: MetadataPatch,
    /// When it ends by itself.
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// Whether the caller, and nobody else, is told of what happens in it (S0-34).
    pub notifications_enabled: Option<bool>,
}

impl DetailsPatch {
    /// The details after these changes, of a conversation of this kind and purpose.
    ///
    /// # Errors
    /// A field error, or [`Error::NotForThisPurpose`].
    pub fn apply(
        &self,
        before: &Details,
        kind: Kind,
        purpose: Purpose,
        now: DateTime<Utc>,
    ) -> Result<Details, Error> {
        let text = |field, max, lines, given: &Option<Option<String>>, before: &Option<String>| match given {
            None => Ok(before.clone()),
            Some(given) => given.as_ref().map(|t| text::parse(field, t, max, lines)).transpose(),
        };
        let after = Details {
            title: text("title", MAX_TITLE, Lines::Single, &self.title, &before.title)?,
            description: text(
                "description",
                MAX_DESCRIPTION,
                Lines::Many,
                &self.description,
                &before.description,
            )?,
            settings: self.settings.apply(before.settings)?,
            metadata: self.metadata.apply(&before.metadata)?,
            expires_at: self.expires_at.unwrap_or(before.expires_at),
        };
        if self.expires_at.flatten().is_some_and(|at| at <= now) {
            return Err(FieldError::new("expires_at", Rule::Malformed).into());
        }
        after.check(kind, purpose)?;
        Ok(after)
    }
}

impl Details {
    /// What belongs to the care of a patient stays, and lets nobody in by themselves; where nobody is to be recognised,
    /// no patient is named.
    fn check(&self, kind: Kind, purpose: Purpose) -> Result<(), Error> {
        let is_care = Facts { kind, purpose, settings: self.settings }.is_care();
        if is_care && self.expires_at.is_some() {
            return Err(Error::NotForThisPurpose { field: "expires_at" });
        }
        if self.settings.joinable && (is_care || kind != Kind::Group) {
            return Err(Error::NotForThisPurpose { field: "settings.joinable" });
        }
        if purpose.is_anonymous() && self.metadata.related_patient_id.is_some() {
            return Err(Error::NotForThisPurpose { field: "metadata.related_patient_id" });
        }
        if purpose.is_anonymous() && self.metadata.medical_record_access {
            return Err(Error::NotForThisPurpose { field: "metadata.medical_record_access" });
        }
        Ok(())
    }
}

impl Conversation {
    /// What can be changed of it.
    pub fn details(&self) -> Details {
        Details {
            title: self.title.clone(),
            description: self.description.clone(),
            settings: self.settings,
            metadata: self.metadata.clone(),
            expires_at: self.expires_at,
        }
    }

    /// The details after `patch`, and whether that changes any.
    ///
    /// # Errors
    /// [`Error::NotFound`]; of changes that not only concern themselves also [`Error::NotAModerator`],
    /// [`Error::Closed`], a field error, [`Error::NotForThisPurpose`].
    pub fn amended(
        &self,
        by: UserId,
        patch: &DetailsPatch,
        now: DateTime<Utc>,
    ) -> Result<(Details, bool), Error> {
        let before = self.details();
        self.participant(by).ok_or(Error::NotFound)?;
        let nothing =
            DetailsPatch { notifications_enabled: patch.notifications_enabled, ..DetailsPatch::default() };
        if *patch == nothing {
            return Ok((before, false));
        }
        let after = patch.apply(&before, self.kind, self.purpose, now)?;
        if after == before {
            return Ok((before, false));
        }
        self.check_moderator(by)?;
        self.check_open(now)?;
        Ok((after, true))
    }
}
