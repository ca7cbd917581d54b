use alivio_kernel::DomainEvent;
use alivio_kernel::ids::{AnnotationId, ConversationId, FileId, UserId};
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

/// There is a new version of what is drawn over a file, or a layer was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAnnotated {
    /// The file.
    pub file_id: FileId,
    /// Where it was uploaded.
    pub conversation_id: ConversationId,
    /// The layer.
    pub annotation_id: AnnotationId,
    /// Its newest version.
    pub version: u32,
    /// Who did it.
    pub author_id: UserId,
    /// It was taken away.
    pub is_removed: bool,
}

impl DomainEvent for FileAnnotated {
    const KIND: &'static str = "files.file_annotated";
}

/// What is known of a file, or what others may do with it, has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChanged {
    /// The file.
    pub file_id: FileId,
    /// Where it was uploaded.
    pub conversation_id: ConversationId,
    /// By whom.
    pub changed_by: UserId,
}

impl DomainEvent for FileChanged {
    const KIND: &'static str = "files.file_changed";
}

/// A file was taken back from someone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileWithdrawn {
    /// The file.
    pub file_id: FileId,
    /// Where it was uploaded.
    pub conversation_id: ConversationId,
    /// From whom.
    pub user_id: UserId,
    /// By whom.
    pub withdrawn_by: UserId,
}

impl DomainEvent for FileWithdrawn {
    const KIND: &'static str = "files.file_withdrawn";
}

/// The content of a file was destroyed, and its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDestroyed {
    /// The file.
    pub file_id: FileId,
}

impl DomainEvent for FileDestroyed {
    const KIND: &'static str = "files.file_destroyed";
}

/// Someone has downloaded many files in a short time (S0-234).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManyDownloaded {
    /// Who.
    pub user_id: UserId,
}

impl DomainEvent for ManyDownloaded {
    const KIND: &'static str = "files.many_downloaded";
}
