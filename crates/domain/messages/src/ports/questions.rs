use alivio_kernel::Role;
use alivio_kernel::ids::{ConversationId, FileId, UserId};
use async_trait::async_trait;

use crate::{Attachment, Error};

/// A question to whoever keeps files.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Attachments: Send + Sync {
    /// Those of `files` that `sender` may attach to a message in `conversation`, and what they are, in any order.
    /// MUST leave out what has not been found clean.
    async fn attachable(
        &self,
        sender: UserId,
        conversation: ConversationId,
        files: &[FileId],
    ) -> Result<Vec<Attachment>, Error>;

    /// Those of `files` that were taken away since, by whoever shared them or because they were erased, in any order.
    async fn removed(&self, files: &[FileId]) -> Result<Vec<FileId>, Error>;
}

/// A question to whoever knows people.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Correspondents: Send + Sync {
    /// What `user` is now; `None` if they no longer have an active account.
    async fn role(&self, user: UserId) -> Result<Option<Role>, Error>;

    /// Whether everyone in `to` may know what is said about a patient in `from`: they are in `from` themselves, or are
    /// clinicians.
    async fn may_know(&self, from: ConversationId, to: ConversationId) -> Result<bool, Error>;
}
