use alivio_kernel::Effects;
use alivio_kernel::ids::{ConversationId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Attendance, ChatHours, Error};

/// When patients may write.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait HoursStore: Send + Sync {
    /// The hours of a professional, or the clinic's for `None`; `None` if none have been set.
    async fn hours(&self, of: Option<UserId>) -> Result<Option<ChatHours>, Error>;

    /// Sets hours, or takes those of a professional back, with `effects`, or neither.
    async fn set_hours(
        &self,
        of: Option<UserId>,
        hours: Option<ChatHours>,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error>;

    /// Whose hours hold in a conversation: of the active people who are in it now and are no patients, those who have
    /// been in it for longest first. `None` if there is no such conversation.
    async fn attendance(&self, conversation: ConversationId) -> Result<Option<Attendance>, Error>;
}
