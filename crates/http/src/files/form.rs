//! What is said of a file in the fields of a form, or in the metadata of an upload.

use alivio_files::Said;
use alivio_kernel::{FieldError, Rule};

use crate::extract::invalid_body;
use crate::problem::{Problem, Result, invalid};

/// More than any field needs: a description of 1,000 characters.
pub(super) const MAX_FIELD: usize = 8 * 1024;

/// Takes a field.
///
/// # Errors
/// 422 names a field that is unknown or malformed.
pub(super) fn take(said: &mut Said, name: &str, value: &str) -> Result<()> {
    let malformed = |field| invalid(FieldError::new(field, Rule::Malformed));
    let value = value.trim();
    let text = || Some(value.to_owned());
    let yes = |field| match value {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(malformed(field)),
    };
    let number = |field| value.parse::<i64>().map(Some).map_err(|_| malformed(field));
    let uuid = |field| value.parse::<uuid::Uuid>().map_err(|_| malformed(field));
    match name {
        "conversation_id" => said.conversation_id = Some(uuid("conversation_id")?.into()),
        "file_type" => said.kind = text(),
        "description" => said.description = text(),
        "patient_id" => said.patient_id = Some(uuid("patient_id")?.into()),
        "related_appointment" => said.related_appointment = Some(uuid("related_appointment")?.into()),
        "document_type" => said.document_type = text(),
        "is_medical_document" => said.is_medical = yes("is_medical_document")?,
        "contains_phi" => said.contains_phi = yes("contains_phi")?,
        "requires_patient_consent" => said.requires_consent = yes("requires_patient_consent")?,
        "requires_signature" => said.requires_signature = yes("requires_signature")?,
        "can_forward" => said.can_forward = yes("can_forward")?,
        "can_print" => said.can_print = yes("can_print")?,
        "watermark_required" => said.watermark = yes("watermark_required")?,
        "max_downloads" => said.max_downloads = number("max_downloads")?,
        "retention_period_years" => said.retention_years = number("retention_period_years")?,
        "access_expires_at" => {
            said.access_expires_at = Some(value.parse().map_err(|_| malformed("access_expires_at"))?);
        }
        other => return Err(unknown(other)),
    }
    Ok(())
}

fn unknown(field: &str) -> Problem {
    invalid_body(&field.chars().take(64).collect::<String>(), "unknown_field")
}
