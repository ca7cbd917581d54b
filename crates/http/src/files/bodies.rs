//! What is told of a file.

use std::fmt::Write as _;

use actix_web::http::header::DispositionType;
use alivio_files::{File, Signature};
use alivio_kernel::{Clock, SystemClock};
use alivio_platform::FileView;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Who handed over a file.
#[derive(Serialize, ToSchema)]
struct Uploader {
    /// Their id.
    id: Uuid,
    /// What they are called.
    #[schema(example = "Dra. María Martínez")]
    name: String,
    /// What they are.
    #[schema(example = "doctor")]
    user_type: &'static str,
}

/// What it is.
#[derive(Serialize, ToSchema)]
struct FileInfo {
    /// What it was called, without what no name should hold.
    #[schema(example = "Receta_Ana_Lopez.pdf")]
    original_filename: String,
    /// What it is called in storage.
    #[schema(example = "encrypted_file_0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e.enc")]
    stored_filename: String,
    /// Bytes.
    #[schema(example = 524_288)]
    size_bytes: u64,
    /// Its type, by its content.
    #[schema(example = "application/pdf")]
    mime_type: &'static str,
    /// `lab_result`, `prescription`, `image`, `audio`, `video`, `document`.
    #[schema(example = "prescription")]
    file_type: &'static str,
    /// The digest of its bytes; `null` while what came in pieces has not been read.
    #[schema(example = "SHA256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    checksum: Option<String>,
    /// `pending`, `clean`, `infected`, `unscannable`, `failed`.
    #[schema(example = "clean")]
    virus_scan_result: &'static str,
    /// It rests encrypted.
    #[schema(example = true)]
    is_encrypted: bool,
    /// It may tell where and by what it was taken: medical pictures stay as they are.
    #[schema(example = false)]
    may_have_camera_data: bool,
    /// Pages of a document; 1 for a picture.
    #[schema(example = 2)]
    pages: Option<u32>,
    /// How long a recording takes, in milliseconds.
    #[schema(example = 4200)]
    duration_ms: Option<u64>,
    /// Its loudness in equal stretches, 0 to 255.
    #[schema(example = json!([0, 120, 255, 80]))]
    waveform: Vec<u8>,
}

/// How to get at it.
#[derive(Serialize, ToSchema)]
struct AccessInfo {
    /// Its bytes.
    #[schema(example = "/api/v1/files/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/content")]
    download_url: String,
    /// Its large picture, if it has one.
    #[schema(example = "/api/v1/files/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/preview")]
    preview_url: Option<String>,
    /// Its small picture, if it has one.
    #[schema(example = "/api/v1/files/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/thumbnail")]
    thumbnail_url: Option<String>,
    /// All of them want a sign-in, or a link of `POST /files/{id}/link`.
    #[schema(example = true)]
    access_token_required: bool,
    /// When others than its uploader can look at it no more.
    expires_at: DateTime<Utc>,
    /// How often it was downloaded.
    #[schema(example = 2)]
    download_count: u32,
    /// How often it may be.
    #[schema(example = 10)]
    max_downloads: Option<u32>,
}

/// What it is in a record.
#[derive(Serialize, ToSchema)]
struct MedicalMetadata {
    /// It belongs to the patient's record.
    #[schema(example = true)]
    is_medical_document: bool,
    /// `lab_result`, `prescription`, `imaging`, `report`, `referral`, `consent_form`, `vaccination`, `insurance`,
    /// `identification`, `other`.
    #[schema(example = "prescription")]
    document_type: &'static str,
    /// Whom it is about.
    patient_id: Option<Uuid>,
    /// The consultation that it belongs to.
    related_appointment: Option<Uuid>,
    /// It tells of someone's health.
    #[schema(example = true)]
    contains_phi: bool,
    /// The patient must agree before others see it.
    #[schema(example = true)]
    requires_patient_consent: bool,
    /// `not_needed`, `asked`, `granted`, `denied`.
    #[schema(example = "granted")]
    consent: &'static str,
    /// Someone is to sign it: `POST /files/{id}/signatures`.
    #[schema(example = false)]
    requires_signature: bool,
    /// `clinical`: what belongs to a record; `administrative`: what pays for care, and who someone is; `non_clinical`.
    #[schema(example = "clinical")]
    retention_class: &'static str,
    /// How long it is kept though it is deleted.
    #[schema(example = 7)]
    retention_period_years: Option<u32>,
}

/// What may be done with it.
#[derive(Serialize, ToSchema)]
struct FilePermissions {
    /// Who may download it.
    #[schema(example = json!(["conversation_participants"]))]
    can_download: [&'static str; 1],
    /// It may be sent on elsewhere.
    #[schema(example = false)]
    can_forward: bool,
    /// It may be printed: whoever shows it obeys.
    #[schema(example = true)]
    can_print: bool,
    /// Whoever looks at it is drawn into their copy.
    #[schema(example = true)]
    watermark_required: bool,
}

/// How it came. From where is in the audit trail only.
#[derive(Serialize, ToSchema)]
struct UploadInfo {
    /// When.
    uploaded_at: DateTime<Utc>,
}

/// A file.
#[derive(Serialize, ToSchema)]
#[schema(as = File)]
pub(crate) struct FileBody {
    /// Its id.
    pub(super) id: Uuid,
    /// Its number, for people.
    #[schema(example = "FILE-2026-003001")]
    r#ref: String,
    /// Where it was uploaded.
    conversation_id: Uuid,
    /// A message that holds it, if one that you can read does.
    message_id: Option<Uuid>,
    /// By whom.
    uploader: Uploader,
    /// What it is about.
    #[schema(example = "Receta para la hipertensión")]
    description: Option<String>,
    /// What it is.
    file_info: FileInfo,
    /// How to get at it.
    access_info: AccessInfo,
    /// What it is in a record.
    medical_metadata: MedicalMetadata,
    /// What may be done with it.
    permissions: FilePermissions,
    /// How it came.
    upload_info: UploadInfo,
    /// `pending` while it waits for a verdict, `active`, `expired`, `quarantined`, `failed`.
    #[schema(example = "active")]
    status: &'static str,
    /// When it came.
    created_at: DateTime<Utc>,
    /// When anything about it last changed.
    updated_at: DateTime<Utc>,
}

pub(super) fn address(file: &File, of: &str) -> String {
    format!("/api/v1/files/{}/{of}", file.id)
}

/// `SHA256:…`, as checksums are told and taken.
pub(super) fn checksum(digest: &[u8; 32]) -> String {
    digest.iter().fold("SHA256:".to_owned(), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl From<&FileView> for FileBody {
    fn from(view: &FileView) -> Self {
        let FileView { file, uploader } = view;
        let terms = file.terms;
        Self {
            id: file.id.uuid(),
            r#ref: file.reference(),
            conversation_id: file.conversation_id.uuid(),
            message_id: file.message_id.map(Uuid::from),
            uploader: Uploader {
                id: uploader.id.uuid(),
                name: uploader.display_name.expose().clone(),
                user_type: uploader.role.as_str(),
            },
            description: file.description.clone(),
            file_info: FileInfo {
                original_filename: file.name.as_str().to_owned(),
                stored_filename: file.stored_name(),
                size_bytes: file.size,
                mime_type: file.mime(),
                file_type: file.kind.as_str(),
                checksum: file.sha256.as_ref().map(checksum),
                virus_scan_result: file.scan.as_str(),
                is_encrypted: true,
                may_have_camera_data: file.may_have_camera_data(),
                pages: file.made.pages,
                duration_ms: file.made.duration_ms,
                waveform: file.made.waveform.clone(),
            },
            access_info: AccessInfo {
                download_url: address(file, "content"),
                preview_url: file.made.preview.map(|_| address(file, "preview")),
                thumbnail_url: file.made.thumbnail.map(|_| address(file, "thumbnail")),
                access_token_required: true,
                expires_at: file.access_expires_at,
                download_count: file.download_count,
                max_downloads: file.max_downloads,
            },
            medical_metadata: MedicalMetadata {
                is_medical_document: terms.is_medical,
                document_type: file.document_type.as_str(),
                patient_id: file.patient_id.map(Uuid::from),
                related_appointment: file.related_appointment.map(Uuid::from),
                contains_phi: terms.contains_phi,
                requires_patient_consent: terms.requires_consent,
                consent: file.consent.as_str(),
                requires_signature: terms.requires_signature,
                retention_class: file.retention_class().as_str(),
                retention_period_years: terms.retention_years,
            },
            permissions: FilePermissions {
                can_download: ["conversation_participants"],
                can_forward: terms.can_forward,
                can_print: terms.can_print,
                watermark_required: terms.watermark,
            },
            upload_info: UploadInfo { uploaded_at: file.created_at },
            status: file.status(SystemClock.now()),
            created_at: file.created_at,
            updated_at: file.updated_at,
        }
    }
}

/// Someone's signature.
#[derive(Serialize, ToSchema)]
#[schema(as = FileSignature)]
pub(super) struct SignatureBody {
    /// Who signed.
    user_id: Uuid,
    /// The digest of what they signed.
    #[schema(example = "SHA256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    checksum: String,
    /// When.
    signed_at: DateTime<Utc>,
}

impl From<Signature> for SignatureBody {
    fn from(signature: Signature) -> Self {
        Self {
            user_id: signature.user_id.uuid(),
            checksum: checksum(&signature.sha256),
            signed_at: signature.signed_at,
        }
    }
}

/// How a file is given: to be kept, or to be shown, under a name that no header is broken by (RFC 6266, RFC 8187).
pub(super) fn disposition(kind: DispositionType, name: &str) -> String {
    let kind = if kind == DispositionType::Inline { "inline" } else { "attachment" };
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || " ._-()".contains(c) { c } else { '_' })
        .collect();
    let encoded = name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(byte.into());
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    });
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_a_header() {
        let attached = |name| disposition(DispositionType::Attachment, name);
        assert_eq!(
            attached("Radiografía de Ana.pdf"),
            "attachment; filename=\"Radiograf_a de Ana.pdf\"; filename*=UTF-8''Radiograf%C3%ADa%20de%20Ana.pdf"
        );
        for name in ["a\"; filename=\"b.exe", "a\r\nSet-Cookie: x", "../../x", "a;b", "x\\\"y", "100%.pdf"] {
            let header = attached(name);
            assert_eq!(header.matches('"').count(), 2, "{header}");
            assert!(header.is_ascii() && !header.contains(['\r', '\n', '\\', '/']), "{header}");
        }
    }
}
