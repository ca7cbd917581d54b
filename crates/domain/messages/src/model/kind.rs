use std::str::FromStr;

use alivio_kernel::{FieldError, Rule};

/// What a message is (C-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// Words.
    Text,
    /// Files of any kind.
    File,
    /// Pictures.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// What the server has to say; nobody else can.
    System,
    /// A time to meet, from a clinician.
    Appointment,
    /// Medication, from a clinician.
    Prescription,
}

impl MessageType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::File,
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::System,
        Self::Appointment,
        Self::Prescription,
    ];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::File => "file",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::System => "system",
            Self::Appointment => "appointment",
            Self::Prescription => "prescription",
        }
    }

    /// Whether it consists of files.
    pub const fn has_attachments(self) -> bool {
        matches!(self, Self::File | Self::Image | Self::Audio | Self::Video)
    }

    /// Whether only a clinician may send it.
    pub const fn is_clinical(self) -> bool {
        matches!(self, Self::Appointment | Self::Prescription)
    }
}

impl FromStr for MessageType {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == s)
            .ok_or(FieldError::new("message_type", Rule::Unknown))
    }
}
