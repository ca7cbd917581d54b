use alivio_kernel::ids::ConversationId;
use async_trait::async_trait;

use crate::Error;

/// What a conversation allows, and how strict it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Between two people.
    pub is_direct: bool,
    /// A call for help.
    pub is_emergency: bool,
    /// About the care of a patient: its words belong to the record.
    pub is_care: bool,
    /// About a case that nobody may recognise.
    pub is_case_discussion: bool,
    /// Files may be shared (S0-32).
    pub file_sharing: bool,
    /// Others see that someone types (S0-35).
    pub typing_indicators: bool,
    /// Others see what someone has read (S0-36).
    pub read_receipts: bool,
    /// Words may be changed (S0-37).
    pub message_editing: bool,
    /// Messages may be taken back (S0-38).
    pub message_deletion: bool,
}

/// A question to whoever knows conversations.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Rooms: Send + Sync {
    /// What `conversation` allows; `None` if there is none. Authorises nothing. May be some seconds old.
    async fn room(&self, conversation: ConversationId) -> Result<Option<Room>, Error>;
}
