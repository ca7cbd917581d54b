use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{ConversationId, FileId, UserId};
use serde::{Deserialize, Serialize};

/// A file is stored, and waits to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUploaded {
    /// The file.
    pub file_id: FileId,
    /// Where.
    pub conversation_id: ConversationId,
    /// By whom.
    pub uploader_id: UserId,
}

impl DomainEvent for FileUploaded {
    const KIND: &'static str = "files.file_uploaded";
}

/// A file was found clean: those who may see it can open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReady {
    /// The file.
    pub file_id: FileId,
    /// Where.
    pub conversation_id: ConversationId,
    /// Who uploaded it.
    pub uploader_id: UserId,
}

impl DomainEvent for FileReady {
    const KIND: &'static str = "files.file_ready";
}

/// A file will never be opened: something was found in it, it could not be looked at, or it is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileQuarantined {
    /// The file.
    pub file_id: FileId,
    /// Where.
    pub conversation_id: ConversationId,
    /// Who uploaded it.
    pub uploader_id: UserId,
    /// `quarantined` or `failed`.
    pub state: String,
}

impl DomainEvent for FileQuarantined {
    const KIND: &'static str = "files.file_quarantined";
}

/// A file was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDeleted {
    /// The file.
    pub file_id: FileId,
    /// Where.
    pub conversation_id: ConversationId,
    /// By whom.
    pub deleted_by: UserId,
}

impl DomainEvent for FileDeleted {
    const KIND: &'static str = "files.file_deleted";
}
