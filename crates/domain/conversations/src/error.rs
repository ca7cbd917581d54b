use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, Denied, DomainError, ErrorKind, FieldError};
use serde_json::{Value, json};

/// Why two people may not talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialReason {
    /// The professional does not attend the patient (S0-113). Also the answer for people who do not
    /// exist, so that nobody learns who does.
    NoMedicalRelationship,
}

impl DenialReason {
    /// The reason's stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMedicalRelationship => "no_medical_relationship",
        }
    }
}

/// How conversations can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such conversation, or none that the caller takes part in.
    #[error("not found")]
    NotFound,
    /// The caller may not open a conversation with this person (S0-168).
    #[error("conversation not allowed")]
    NotAllowed {
        /// Whom they asked for.
        target_user_id: UserId,
        /// Why not.
        reason: DenialReason,
    },
    /// Only moderators may do this.
    #[error("not a moderator")]
    NotAModerator,
    /// A consultation or an emergency without a clinician.
    #[error("a clinician is required")]
    ClinicianRequired,
    /// These two already have their direct conversation.
    #[error("the direct conversation exists")]
    DirectExists {
        /// The conversation they have.
        conversation_id: ConversationId,
    },
    /// Direct conversations have exactly their two people, for ever.
    #[error("direct conversations do not change")]
    DirectIsFixed,
    /// The last moderator cannot go.
    #[error("the last moderator cannot leave")]
    LastModerator,
    /// Nobody would moderate it.
    #[error("a moderator is required")]
    ModeratorRequired,
    /// Patients moderate nothing (C-5).
    #[error("patients do not moderate")]
    PatientsDoNotModerate,
    /// It was closed, or has ended.
    #[error("closed")]
    Closed,
    /// A conversation of this type and purpose cannot have that.
    #[error("not for this purpose: {field}")]
    NotForThisPurpose {
        /// What it cannot have.
        field: &'static str,
    },
    /// The idempotency key was used for something else.
    #[error("idempotency key reused")]
    KeyReused,
    /// Emergencies are called, so that people are paged: nobody just opens a conversation for one.
    #[error("an emergency is called")]
    EmergencyIsCalled,
    /// The emergency is over.
    #[error("the emergency is over")]
    EmergencyOver,
    /// The caller's role does not allow it.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// Someone else changed the conversation at the same time.
    #[error("changed meanwhile")]
    Stale,
    /// A field breaks a rule.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The outside world does not answer.
    #[error("conversations are unavailable")]
    Unavailable(#[source] BoxError),
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::NotAllowed { .. } | Self::NotAModerator | Self::Forbidden(_) => ErrorKind::Forbidden,
            Self::DirectExists { .. }
            | Self::DirectIsFixed
            | Self::LastModerator
            | Self::Closed
            | Self::KeyReused
            | Self::EmergencyOver
            | Self::Stale => ErrorKind::Conflict,
            Self::ClinicianRequired
            | Self::ModeratorRequired
            | Self::PatientsDoNotModerate
            | Self::NotForThisPurpose { .. }
            | Self::EmergencyIsCalled
            | Self::Field(_) => ErrorKind::Invalid,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotAllowed { .. } => "conversation_not_allowed",
            Self::NotAModerator => "not_a_moderator",
            Self::ClinicianRequired => "clinician_required",
            Self::DirectExists { .. } => "direct_conversation_exists",
            Self::DirectIsFixed => "direct_conversation_fixed",
            Self::LastModerator => "last_moderator",
            Self::ModeratorRequired => "moderator_required",
            Self::PatientsDoNotModerate => "patients_do_not_moderate",
            Self::Closed => "conversation_closed",
            Self::NotForThisPurpose { .. } => "not_for_this_purpose",
            Self::KeyReused => "idempotency_key_reused",
            Self::EmergencyIsCalled => "emergency_is_called",
            Self::EmergencyOver => "emergency_over",
            Self::Forbidden(_) => "forbidden",
            Self::Stale => "stale",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::NotAllowed { target_user_id, reason } => Some(json!({
                "target_user_id": target_user_id,
                "reason": reason.as_str(),
                "suggestion": "book_an_appointment",
            })),
            Self::DirectExists { conversation_id } => Some(json!({"conversation_id": conversation_id})),
            Self::NotForThisPurpose { field } => Some(json!({"field": field})),
            Self::EmergencyIsCalled => Some(json!({"emergency_channel": "/api/v1/emergencies"})),
            Self::Forbidden(denied) => Some(denied.details()),
            Self::Field(field) => Some(field.details()),
            _ => None,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
