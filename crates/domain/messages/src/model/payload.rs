use std::collections::BTreeMap;
use std::fmt;

use alivio_kernel::ids::{FileId, UserId, Uuid};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Header, MessageType};

/// The most files that one message carries.
pub const MAX_ATTACHMENTS: usize = 10;
const MAX_ITEMS: usize = 20;

/// What a message holds besides its words. Sealed as a whole; never changes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Files, as they were when the message was sent. Of those that were taken away since, the names that they were
    /// uploaded under are not shown any more; they stay in storage, sealed, as long as the message does.
    Attachments(Vec<Attachment>),
    /// A time to meet.
    Appointment(Appointment),
    /// Medication.
    Prescription(Prescription),
    /// What happened, from the server.
    System(SystemEvent),
}

impl Payload {
    /// The place where the payload of a message is sealed.
    pub(crate) const fn context(header: &Header) -> SealContext {
        SealContext {
            table: "messages",
            column: "payload",
            row: header.id.uuid(),
            scope: Scope::Conversation(header.conversation_id),
            version: 1,
        }
    }

    /// The type of message that holds it; `None` for files, which several types hold.
    pub const fn belongs_to(&self) -> Option<MessageType> {
        match self {
            Self::Attachments(_) => None,
            Self::Appointment(_) => Some(MessageType::Appointment),
            Self::Prescription(_) => Some(MessageType::Prescription),
            Self::System(_) => Some(MessageType::System),
        }
    }

    /// Takes away what its files were called when they were sent, of those that `removed` names.
    pub(crate) fn withhold_names(&mut self, removed: &[FileId]) {
        let Self::Attachments(files) = self else { return };
        for file in files.iter_mut().filter(|file| removed.contains(&file.file_id)) {
            file.original_filename.clone_from(&file.filename);
        }
    }

    /// Its files.
    pub fn attachments(&self) -> &[Attachment] {
        match self {
            Self::Attachments(files) => files,
            _ => &[],
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Attachments(_) => "attachments",
            Self::Appointment(_) => "appointment",
            Self::Prescription(_) => "prescription",
            Self::System(_) => "system",
        };
        write!(f, "Payload({name})")
    }
}

/// A file in a message (S0-56).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which file.
    pub file_id: FileId,
    /// What it is: `image`, `audio`, `video`, `document` …
    pub kind: String,
    /// Its name in storage.
    pub filename: String,
    /// The name it was uploaded under; its name in storage once it was taken away.
    pub original_filename: String,
    /// Bytes.
    pub size: i64,
    /// Its media type.
    pub mime_type: String,
    /// Where it can be fetched, with a sign-in.
    pub url: String,
    /// Where a small picture of it can be.
    pub thumbnail_url: Option<String>,
    /// When it was uploaded.
    pub uploaded_at: DateTime<Utc>,
    /// By whom.
    pub uploaded_by: UserId,
    /// Whether it belongs to a patient's record.
    pub is_medical_document: bool,
    /// Whether someone is to sign it.
    pub requires_signature: bool,
    /// What the virus scan found: `clean` …
    pub scan_status: String,
}

impl Attachment {
    /// Whether a message of `kind` can hold it: a picture message holds pictures, a file message anything.
    pub fn suits(&self, kind: MessageType) -> bool {
        kind == MessageType::File || self.kind == kind.as_str()
    }
}

/// A time to meet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// How long it takes.
    pub duration_minutes: u16,
    /// What it is about.
    pub title: Option<String>,
    /// Where.
    pub location: Option<String>,
}

impl Appointment {
    /// Checks what someone asked for: 5 minutes to a day.
    pub fn parse(
        starts_at: DateTime<Utc>,
        duration_minutes: i64,
        title: Option<&str>,
        location: Option<&str>,
    ) -> Result<Self, FieldError> {
        let range = FieldError::new("payload.duration_minutes", Rule::OutOfRange { min: 5, max: 1440 });
        let duration_minutes =
            u16::try_from(duration_minutes).ok().filter(|n| (5..=1440).contains(n)).ok_or(range)?;
        Ok(Self {
            starts_at,
            duration_minutes,
            title: line("payload.title", title, 200)?,
            location: line("payload.location", location, 200)?,
        })
    }
}

/// Medication.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prescription {
    /// What to take.
    items: Vec<PrescriptionItem>,
    /// What else to know.
    notes: Option<String>,
}

impl Prescription {
    /// Takes 1 to 20 items, and at most 1,000 characters of notes.
    pub fn parse(items: Vec<PrescriptionItem>, notes: Option<&str>) -> Result<Self, FieldError> {
        match items.len() {
            0 => Err(FieldError::new("payload.items", Rule::TooFew { min: 1 })),
            1..=MAX_ITEMS => Ok(Self { items, notes: lines("payload.notes", notes, 1000)? }),
            _ => Err(FieldError::new("payload.items", Rule::TooMany { max: MAX_ITEMS })),
        }
    }

    /// What to take.
    pub fn items(&self) -> &[PrescriptionItem] {
        &self.items
    }

    /// What else to know.
    pub fn notes(&self) -> Option<&str> {
        self.notes.as_deref()
    }
}

/// One medication.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrescriptionItem {
    /// Its name.
    pub medication: String,
    /// How much.
    pub dose: String,
    /// How often.
    pub frequency: String,
    /// For how long.
    pub duration: Option<String>,
    /// How.
    pub instructions: Option<String>,
}

impl PrescriptionItem {
    /// Checks what someone wrote.
    pub fn parse(
        medication: &str,
        dose: &str,
        frequency: &str,
        duration: Option<&str>,
        instructions: Option<&str>,
    ) -> Result<Self, FieldError> {
        Ok(Self {
            medication: text::parse("payload.items.medication", medication, 200, Lines::Single)?,
            dose: text::parse("payload.items.dose", dose, 100, Lines::Single)?,
            frequency: text::parse("payload.items.frequency", frequency, 100, Lines::Single)?,
            duration: line("payload.items.duration", duration, 100)?,
            instructions: lines("payload.items.instructions", instructions, 500)?,
        })
    }
}

/// What happened, from the server: a name, and ids of what it is about.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemEvent {
    /// `what_happened`.
    pub event: String,
    /// Ids only.
    pub data: BTreeMap<String, Uuid>,
}

impl SystemEvent {
    /// `event` happened.
    pub fn new(event: &str) -> Self {
        Self { event: event.to_owned(), data: BTreeMap::new() }
    }

    /// To what.
    #[must_use]
    pub fn with(mut self, name: &str, id: impl Into<Uuid>) -> Self {
        self.data.insert(name.to_owned(), id.into());
        self
    }
}

fn line(field: &'static str, raw: Option<&str>, max: usize) -> Result<Option<String>, FieldError> {
    raw.map(|raw| text::parse(field, raw, max, Lines::Single)).transpose()
}

fn lines(field: &'static str, raw: Option<&str>, max: usize) -> Result<Option<String>, FieldError> {
    raw.map(|raw| text::parse(field, raw, max, Lines::Many)).transpose()
}
