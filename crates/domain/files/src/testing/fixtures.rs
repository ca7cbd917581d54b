//! Files to try things on.

use alivio_kernel::ids::Uuid;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{Consent, DocumentType, FileKind, Format, Header, Made, ScanStatus, State, Terms};

/// A document that came at `at` and that nothing is asked for.
#[must_use]
pub fn header(at: DateTime<Utc>) -> Header {
    Header {
        id: Uuid::from_u128(0xf11e).into(),
        number: 3001,
        conversation_id: Uuid::from_u128(0xc0).into(),
        uploader_id: Uuid::from_u128(1).into(),
        message_id: None,
        patient_id: None,
        related_appointment: None,
        kind: FileKind::Document,
        document_type: DocumentType::Other,
        format: Format::Pdf,
        size: 1,
        sha256: Some([7; 32]),
        state: State::Pending,
        scan: ScanStatus::Pending,
        terms: Terms {
            is_medical: false,
            contains_phi: false,
            requires_consent: false,
            requires_signature: false,
            can_forward: true,
            can_print: true,
            watermark: false,
            retention_years: None,
        },
        consent: Consent::NotNeeded,
        max_downloads: None,
        download_count: 0,
        access_expires_at: at + TimeDelta::days(365),
        made: Made::default(),
        created_at: at,
        updated_at: at,
    }
}
