//! What messages hold besides words.

use std::collections::BTreeMap;

use alivio_kernel::{FieldError, Rule};
use alivio_messages::{
    Appointment, Attachment, Message, MessageType, Payload, Prescription, PrescriptionItem,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::parse_json;
use crate::problem::{Result, invalid};

/// A file in a message.
#[derive(Serialize, ToSchema)]
#[schema(as = Attachment)]
pub(crate) struct AttachmentBody {
    /// Which file.
    id: Uuid,
    /// What it is: `image`, `audio`, `video`, `document` …
    #[schema(example = "document")]
    r#type: String,
    /// Its name in storage.
    filename: String,
    /// The name it was uploaded under.
    #[schema(example = "resultados.pdf")]
    original_filename: String,
    /// Bytes.
    #[schema(example = 245_760)]
    size: i64,
    /// Its media type.
    #[schema(example = "application/pdf")]
    mime_type: String,
    /// Where it is. Asks for a sign-in.
    url: String,
    /// Where a small picture of it is.
    thumbnail_url: Option<String>,
    /// When it was uploaded.
    upload_date: DateTime<Utc>,
    /// By whom.
    uploaded_by: Uuid,
    /// Whether it belongs to a patient's record.
    is_medical_document: bool,
    /// Whether someone is to sign it.
    requires_signature: bool,
    /// What the virus scan found.
    #[schema(example = "clean")]
    virus_scan_status: String,
}

impl From<&Attachment> for AttachmentBody {
    fn from(file: &Attachment) -> Self {
        Self {
            id: file.file_id.uuid(),
            r#type: file.kind.clone(),
            filename: file.filename.clone(),
            original_filename: file.original_filename.clone(),
            size: file.size,
            mime_type: file.mime_type.clone(),
            url: file.url.clone(),
            thumbnail_url: file.thumbnail_url.clone(),
            upload_date: file.uploaded_at,
            uploaded_by: file.uploaded_by.uuid(),
            is_medical_document: file.is_medical_document,
            requires_signature: file.requires_signature,
            virus_scan_status: file.scan_status.clone(),
        }
    }
}

/// The files of a message.
pub(crate) fn attachments(message: &Message) -> Vec<AttachmentBody> {
    message.payload.iter().flat_map(Payload::attachments).map(AttachmentBody::from).collect()
}

/// What an `appointment`, a `prescription` or a `system` message holds.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = MessagePayload)]
pub(crate) enum PayloadBody {
    Appointment(AppointmentBody),
    Prescription(PrescriptionBody),
    System(SystemBody),
}

impl PayloadBody {
    pub(crate) fn of(payload: &Payload) -> Option<Self> {
        Some(match payload {
            Payload::Attachments(_) => return None,
            Payload::Appointment(it) => Self::Appointment(AppointmentBody {
                starts_at: it.starts_at,
                duration_minutes: i64::from(it.duration_minutes),
                title: it.title.clone(),
                location: it.location.clone(),
            }),
            Payload::Prescription(it) => Self::Prescription(PrescriptionBody {
                items: it.items().iter().map(PrescriptionItemBody::from).collect(),
                notes: it.notes().map(str::to_owned),
            }),
            Payload::System(it) => {
                Self::System(SystemBody { event: it.event.clone(), data: it.data.clone() })
            }
        })
    }
}

/// A time to meet.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AppointmentPayload)]
pub(crate) struct AppointmentBody {
    /// When it starts.
    starts_at: DateTime<Utc>,
    /// How long it takes.
    #[schema(example = 30, minimum = 5, maximum = 1440)]
    duration_minutes: i64,
    /// What it is about.
    #[schema(example = "Control de tensión", min_length = 1, max_length = 200)]
    title: Option<String>,
    /// Where.
    #[schema(example = "Consultorio 3", min_length = 1, max_length = 200)]
    location: Option<String>,
}

/// Medication.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PrescriptionPayload)]
pub(crate) struct PrescriptionBody {
    /// What to take.
    #[schema(min_items = 1, max_items = 20)]
    items: Vec<PrescriptionItemBody>,
    /// What else to know.
    #[schema(example = "Suspender si aparece tos seca.", min_length = 1, max_length = 1000)]
    notes: Option<String>,
}

/// One medication.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PrescriptionItem)]
struct PrescriptionItemBody {
    /// Its name.
    #[schema(example = "Losartán", min_length = 1, max_length = 200)]
    medication: String,
    /// How much.
    #[schema(example = "50 mg", min_length = 1, max_length = 100)]
    dose: String,
    /// How often.
    #[schema(example = "cada 24 horas", min_length = 1, max_length = 100)]
    frequency: String,
    /// For how long.
    #[schema(example = "30 días", min_length = 1, max_length = 100)]
    duration: Option<String>,
    /// How.
    #[schema(example = "Por la mañana, con agua.", min_length = 1, max_length = 500)]
    instructions: Option<String>,
}

impl From<&PrescriptionItem> for PrescriptionItemBody {
    fn from(item: &PrescriptionItem) -> Self {
        Self {
            medication: item.medication.clone(),
            dose: item.dose.clone(),
            frequency: item.frequency.clone(),
            duration: item.duration.clone(),
            instructions: item.instructions.clone(),
        }
    }
}

/// What happened, from the server.
#[derive(Serialize, ToSchema)]
#[schema(as = SystemPayload)]
pub(crate) struct SystemBody {
    /// Its name.
    #[schema(example = "participant_joined")]
    event: String,
    /// Ids of what it is about.
    data: BTreeMap<String, Uuid>,
}

/// Reads what a message of `kind` is to hold.
pub(super) fn parse(kind: MessageType, payload: Option<Value>) -> Result<Option<Payload>> {
    let Some(payload) = payload else { return Ok(None) };
    let bytes = payload.to_string();
    let parsed = match kind {
        MessageType::Appointment => {
            let it: AppointmentBody = parse_json(bytes.as_bytes())?;
            let (title, location) = (it.title.as_deref(), it.location.as_deref());
            Appointment::parse(it.starts_at, it.duration_minutes, title, location).map(Payload::Appointment)
        }
        MessageType::Prescription => {
            let it: PrescriptionBody = parse_json(bytes.as_bytes())?;
            let item = |item: &PrescriptionItemBody| {
                PrescriptionItem::parse(
                    &item.medication,
                    &item.dose,
                    &item.frequency,
                    item.duration.as_deref(),
                    item.instructions.as_deref(),
                )
            };
            let items: std::result::Result<_, _> = it.items.iter().map(item).collect();
            items.and_then(|items| Prescription::parse(items, it.notes.as_deref())).map(Payload::Prescription)
        }
        MessageType::System => Err(FieldError::new("message_type", Rule::Unknown)),
        _ => Err(FieldError::new("payload", Rule::Malformed)),
    };
    parsed.map(Some).map_err(invalid)
}
