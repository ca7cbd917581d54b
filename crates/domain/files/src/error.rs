use alivio_kernel::sealing::SealError;
use alivio_kernel::{BoxError, Denied, DomainError, ErrorKind, FieldError};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{BlobError, Format, QUOTA_WINDOW, State};

/// Why content is refused though its type is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// There is none.
    Empty,
    /// It is also something else (FI-02).
    Polyglot,
    /// It would unpack to far more than it is, holds too much, or archives within (FI-05).
    Bomb,
    /// It breaks off, or is put together wrongly.
    Broken,
    /// It cannot be opened without a password, so nobody could look for malware in it (FI-04).
    Encrypted,
    /// It brings programs of its own.
    Macros,
    /// What is asked cannot be drawn into such a file.
    NoWatermark,
}

impl Unfit {
    /// Its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Polyglot => "polyglot",
            Self::Bomb => "bomb",
            Self::Broken => "broken",
            Self::Encrypted => "encrypted",
            Self::Macros => "macros",
            Self::NoWatermark => "no_watermark",
        }
    }
}

/// How files can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file, upload or conversation, or none that the caller may see.
    #[error("not found")]
    NotFound,
    /// The conversation is closed.
    #[error("the conversation is closed")]
    Closed,
    /// One of the two of this direct conversation has blocked the other (C-42).
    #[error("the direct chat is blocked")]
    Blocked,
    /// Files are not shared in this conversation (S0-32).
    #[error("files are not shared here")]
    FileSharingDisabled,
    /// Patients hand over what concerns themselves only (C-60).
    #[error("the conversation is not about the patient")]
    NotTheSubject,
    /// So many were uploaded in the last hour (S0-182).
    #[error("too many files")]
    TooMany {
        /// How many may be.
        limit: u32,
        /// When the next one may come.
        wait: TimeDelta,
    },
    /// More bytes than allowed (S0-170).
    #[error("too large")]
    TooLarge {
        /// How many there are, if that is known.
        size: Option<u64>,
        /// How many may be.
        max: u64,
    },
    /// Nothing that is taken here, or not what it is called (S0-171).
    #[error("the type is not allowed")]
    TypeNotAllowed {
        /// What it looks like.
        found: &'static str,
    },
    /// The content is of an allowed type, and refused for another reason.
    #[error("the content is refused: {}", .0.as_str())]
    Unfit(Unfit),
    /// Another number of bytes came than was said.
    #[error("the content is incomplete")]
    Incomplete,
    /// The upload goes on elsewhere.
    #[error("the upload goes on at {offset}")]
    WrongOffset {
        /// Where.
        offset: u64,
    },
    /// The file cannot be opened, and may later be or not: by its state.
    #[error("the file is {}", .0.as_str())]
    NotActive(State),
    /// The time to look at it is over.
    #[error("access has expired")]
    Expired,
    /// The patient has not agreed (S0-98).
    #[error("the patient has not agreed")]
    ConsentRequired,
    /// It was downloaded as often as it may be (S0-97).
    #[error("no downloads are left")]
    DownloadsExhausted,
    /// Only whoever uploaded it may do this, or a clinician who refuses it.
    #[error("not the uploader")]
    NotTheUploader,
    /// Only those who care for patients draw over what is about them.
    #[error("clinicians only")]
    CliniciansOnly,
    /// So much was drawn over this file already.
    #[error("too many annotations")]
    TooManyAnnotations,
    /// A link that is over, was withdrawn, or leads elsewhere.
    #[error("the link is not valid")]
    LinkInvalid,
    /// Nobody asks for this file to be signed.
    #[error("no signature is asked for")]
    SignatureNotAsked,
    /// What was to be signed is not what is there.
    #[error("the checksum is another")]
    ChecksumMismatch,
    /// Someone else has changed it at the same time.
    #[error("changed meanwhile")]
    Stale,
    /// There is no room left.
    #[error("the store is full")]
    Full,
    /// The caller's role does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A field breaks a rule.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The outside world does not answer.
    #[error("files are unavailable")]
    Unavailable(#[source] BoxError),
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Blocked
            | Self::FileSharingDisabled
            | Self::NotTheSubject
            | Self::ConsentRequired
            | Self::DownloadsExhausted
            | Self::NotTheUploader
            | Self::CliniciansOnly
            | Self::LinkInvalid
            | Self::Expired
            | Self::NotActive(State::Quarantined)
            | Self::Denied(_) => ErrorKind::Forbidden,
            Self::Closed
            | Self::WrongOffset { .. }
            | Self::NotActive(_)
            | Self::SignatureNotAsked
            | Self::ChecksumMismatch
            | Self::TooManyAnnotations
            | Self::Stale => ErrorKind::Conflict,
            Self::TooMany { .. } => ErrorKind::RateLimited,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::TypeNotAllowed { .. } => ErrorKind::UnsupportedType,
            Self::Incomplete => ErrorKind::NotNow,
            Self::Unfit(_) | Self::Field(_) => ErrorKind::Invalid,
            Self::Full => ErrorKind::Full,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Closed => "conversation_closed",
            Self::Blocked => "direct_chat_blocked",
            Self::FileSharingDisabled => "file_sharing_disabled",
            Self::NotTheSubject => "not_the_patient",
            Self::TooMany { .. } => "rate_limited",
            Self::TooLarge { .. } => "file_too_large",
            Self::TypeNotAllowed { .. } => "file_type_not_allowed",
            Self::Unfit(_) => "file_refused",
            Self::Incomplete => "upload_incomplete",
            Self::WrongOffset { .. } => "upload_offset_mismatch",
            Self::NotActive(State::Quarantined) => "file_quarantined",
            Self::NotActive(State::Failed) => "file_failed",
            Self::NotActive(_) => "file_pending",
            Self::Expired => "file_expired",
            Self::ConsentRequired => "consent_required",
            Self::DownloadsExhausted => "downloads_exhausted",
            Self::NotTheUploader => "not_the_uploader",
            Self::CliniciansOnly => "clinicians_only",
            Self::TooManyAnnotations => "too_many_annotations",
            Self::LinkInvalid => "link_invalid",
            Self::SignatureNotAsked => "signature_not_asked",
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::Stale => "stale",
            Self::Full => "storage_full",
            Self::Denied(_) => "forbidden",
            Self::Field(_) => "validation_failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::TooMany { limit, wait } => Some(json!({
                "limit": limit,
                "window_seconds": QUOTA_WINDOW.num_seconds(),
                // Rounded up: who comes back then is let in.
                "retry_after": (wait.num_milliseconds() + 999) / 1000,
            })),
            Self::TooLarge { size, max } => {
                let mut details = json!({"max_size": max, "suggested_compression": true});
                if let Some(size) = size {
                    details["file_size"] = json!(size);
                }
                Some(details)
            }
            Self::TypeNotAllowed { found } => Some(json!({
                "file_type": found,
                "allowed_types": Format::extensions(),
                "security_reason": "potential_malware_risk",
            })),
            Self::Unfit(why) => Some(json!({"reason": why.as_str()})),
            Self::WrongOffset { offset } => Some(json!({"offset": offset})),
            Self::Denied(denied) => Some(denied.details()),
            Self::Field(field) => Some(field.details()),
            _ => None,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Destroyed => Self::NotFound,
            error => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full => Self::Full,
            error => Self::Unavailable(Box::new(error)),
        }
    }
}
