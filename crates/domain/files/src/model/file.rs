use std::fmt;
use std::str::FromStr;

use alivio_kernel::ids::{ConsultationId, ConversationId, FileId, MessageId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{FieldError, Rule, Sealed};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

use crate::{DisplayName, Format};

/// What a file is to people (S0-91).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// What a laboratory found.
    LabResult,
    /// What to take.
    Prescription,
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// Anything else to read.
    Document,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::LabResult, Self::Prescription, Self::Image, Self::Audio, Self::Video, Self::Document];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LabResult => "lab_result",
            Self::Prescription => "prescription",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
        }
    }
}

// With the word that a document's upload path has for anything.
impl FromStr for FileKind {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|k| k.as_str() == s).ok_or(FieldError::new("file_type", Rule::Unknown))
    }
}

/// What a file is in a patient's record (C-60): a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentType {
    /// What a laboratory found.
    LabResult,
    /// What to take.
    Prescription,
    /// X-rays, scans, photos of a finding.
    Imaging,
    /// A letter or report by a professional.
    Report,
    /// To another professional.
    Referral,
    /// What a patient has agreed to.
    ConsentForm,
    /// What one was vaccinated against.
    Vaccination,
    /// For whoever pays.
    Insurance,
    /// Who someone is.
    Identification,
    /// Anything else.
    Other,
}

impl DocumentType {
    /// Every type.
    pub const ALL: [Self; 10] = [
        Self::LabResult,
        Self::Prescription,
        Self::Imaging,
        Self::Report,
        Self::Referral,
        Self::ConsentForm,
        Self::Vaccination,
        Self::Insurance,
        Self::Identification,
        Self::Other,
    ];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LabResult => "lab_result",
            Self::Prescription => "prescription",
            Self::Imaging => "imaging",
            Self::Report => "report",
            Self::Referral => "referral",
            Self::ConsentForm => "consent_form",
            Self::Vaccination => "vaccination",
            Self::Insurance => "insurance",
            Self::Identification => "identification",
            Self::Other => "other",
        }
    }

    /// What a file of this kind is unless said otherwise.
    pub const fn of(kind: FileKind) -> Self {
        match kind {
            FileKind::LabResult => Self::LabResult,
            FileKind::Prescription => Self::Prescription,
            _ => Self::Other,
        }
    }
}

/// For how long a file is kept though it was taken away (C-27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetentionClass {
    /// What belongs to the record of a patient.
    Clinical,
    /// What pays for care, and who someone is.
    Administrative,
    /// Anything else: it goes when it is taken away.
    NonClinical,
}

impl RetentionClass {
    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clinical => "clinical",
            Self::Administrative => "administrative",
            Self::NonClinical => "non_clinical",
        }
    }

    /// For how many years it is kept at least.
    pub const fn years(self) -> Option<u32> {
        match self {
            Self::Clinical => Some(7),
            Self::Administrative => Some(2),
            Self::NonClinical => None,
        }
    }

    /// The class of what is `kind` in a record, or belongs to one.
    pub const fn of(kind: Option<DocumentType>, is_medical: bool) -> Self {
        match kind {
            _ if is_medical => Self::Clinical,
            Some(DocumentType::Insurance | DocumentType::Identification) => Self::Administrative,
            _ => Self::NonClinical,
        }
    }
}

impl FromStr for DocumentType {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        let unknown = FieldError::new("document_type", Rule::Unknown);
        Self::ALL.into_iter().find(|kind| kind.as_str() == s).ok_or(unknown)
    }
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits for a verdict. Nothing of it is served.
    Pending,
    /// It was found clean.
    Active,
    /// Something was found in it, or nobody could look. For ever.
    Quarantined,
    /// It is damaged, or no picture that it says it is. For ever.
    Failed,
    /// It was taken away.
    Deleted,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Active, Self::Quarantined, Self::Failed, Self::Deleted];

    /// The name used in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What the scan of a file came to (S0-93).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanStatus {
    /// Nobody has looked yet.
    Pending,
    /// Nothing was found.
    Clean,
    /// Something was.
    Infected,
    /// It could not be looked at, or not at all of it.
    Unscannable,
    /// It could not be read.
    Failed,
}

impl ScanStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Clean, Self::Infected, Self::Unscannable, Self::Failed];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Clean => "clean",
            Self::Infected => "infected",
            Self::Unscannable => "unscannable",
            Self::Failed => "failed",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What a patient says to others seeing a file (S0-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consent {
    /// They are not asked.
    NotNeeded,
    /// They have not answered.
    Asked,
    /// They agree.
    Granted,
    /// They do not.
    Denied,
}

impl Consent {
    /// Every answer.
    pub const ALL: [Self; 4] = [Self::NotNeeded, Self::Asked, Self::Granted, Self::Denied];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::Asked => "asked",
            Self::Granted => "granted",
            Self::Denied => "denied",
        }
    }

    /// The answer of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|consent| consent.as_str() == name)
    }

    /// Whether others may look.
    pub const fn allows(self) -> bool {
        matches!(self, Self::NotNeeded | Self::Granted)
    }
}

/// What whoever uploads a file asks of those who look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// It belongs to the patient's record.
    pub is_medical: bool,
    /// It tells of someone's health.
    pub contains_phi: bool,
    /// The patient must agree before others see it.
    pub requires_consent: bool,
    /// Someone is to sign it.
    pub requires_signature: bool,
    /// It may be sent on elsewhere.
    pub can_forward: bool,
    /// It may be printed; whoever shows it obeys.
    pub can_print: bool,
    /// Whoever looks at it is drawn into their copy.
    pub watermark: bool,
    /// How long it is kept though it was taken away.
    pub retention_years: Option<u32>,
}

/// A rendition that is stored: how many bytes its one segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// Whether it is a JPEG, or else a PNG.
    pub is_jpeg: bool,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// What was made of a file, and seen in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    /// Its small picture.
    pub thumbnail: Option<Stored>,
    /// Its large picture.
    pub preview: Option<Stored>,
    /// Pages of a document.
    pub pages: Option<u32>,
    /// How long a recording takes.
    pub duration_ms: Option<u64>,
    /// Its loudness in equal stretches.
    pub waveform: Vec<u8>,
    /// What a camera added was taken out (FI-12).
    pub is_stripped: bool,
}

/// All there is to know of a file but its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its id.
    pub id: FileId,
    /// Its number among all files, for [`Header::reference`].
    pub number: i64,
    /// Where it was uploaded.
    pub conversation_id: ConversationId,
    /// By whom.
    pub uploader_id: UserId,
    /// The message that holds it, if one that the viewer can read does.
    pub message_id: Option<MessageId>,
    /// Whom it is about.
    pub patient_id: Option<UserId>,
    /// The consultation that it belongs to.
    pub related_appointment: Option<ConsultationId>,
    /// What it is to people.
    pub kind: FileKind,
    /// What it is in a record.
    pub document_type: DocumentType,
    /// What its bytes are.
    pub format: Format,
    /// Bytes.
    pub size: u64,
    /// Of its bytes; not known yet of what came in pieces and nobody has read.
    pub sha256: Option<[u8; 32]>,
    /// How far it has come.
    pub state: State,
    /// What the scan came to.
    pub scan: ScanStatus,
    /// What is asked of those who look at it.
    pub terms: Terms,
    /// What the patient says.
    pub consent: Consent,
    /// How often it may be downloaded.
    pub max_downloads: Option<u32>,
    /// How often it was.
    pub download_count: u32,
    /// When others can look at it no more.
    pub access_expires_at: DateTime<Utc>,
    /// What was made of it.
    pub made: Made,
    /// When it came.
    pub created_at: DateTime<Utc>,
    /// When anything about it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Header {
    /// The number people quote to support: `FILE-2026-003001`. It authorises nothing (C-1).
    pub fn reference(&self) -> String {
        format!("FILE-{}-{:06}", self.created_at.year(), self.number)
    }

    /// Its media type.
    pub fn mime(&self) -> &'static str {
        self.format.mime(self.kind == FileKind::Audio)
    }

    /// Its name in storage (S0-90): tells nothing.
    pub fn stored_name(&self) -> String {
        format!("encrypted_file_{}.enc", self.id)
    }

    /// For how long it is kept though it was taken away.
    pub const fn retention_class(&self) -> RetentionClass {
        RetentionClass::of(Some(self.document_type), self.terms.is_medical)
    }

    /// Whether what a camera adds is taken out of it: chat photos; what belongs to the record stays as it is (FI-12).
    pub fn is_to_be_stripped(&self) -> bool {
        self.kind == FileKind::Image && self.format.has_camera_data() && !self.terms.is_medical
    }

    /// Whether it may still tell where and by what it was taken.
    pub fn may_have_camera_data(&self) -> bool {
        self.format.has_camera_data() && !self.made.is_stripped
    }
}

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// All but its words.
    pub header: Header,
    /// What it is called.
    pub name: DisplayName,
    /// What it is about.
    pub description: Option<String>,
}

impl std::ops::Deref for File {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.header
    }
}

// Its words stay out of it.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}, {})", self.header.id, self.header.state.as_str())
    }
}

/// A file as stored: with sealed words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// All but its words.
    pub header: Header,
    /// What it is called, sealed.
    pub name: Sealed,
    /// What it is about, sealed.
    pub description: Option<Sealed>,
}

/// A stretch of a file, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRow {
    /// Which of its blobs.
    pub number: u32,
    /// Bytes of the file in it.
    pub size: u64,
}

/// The place where `column` of a file is sealed.
pub(crate) const fn context(file: FileId, column: &'static str) -> SealContext {
    SealContext { table: "files", column, row: file.uuid(), scope: Scope::File(file), version: 1 }
}
