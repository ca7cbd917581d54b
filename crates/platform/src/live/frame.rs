use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alivio_accounts::UserSummary;
use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_messages::MarksMoved;
use bytestring::ByteString;
use chrono::{DateTime, Utc};

use crate::MessageView;

/// Someone who has not typed for so long has stopped.
pub const TYPING_LIFETIME: Duration = Duration::from_secs(6);

/// The words a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// The canonical events.
    Canonical,
    /// Those of the documented per-conversation socket.
    Documented,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A message is in the log.
    MessageCreated {
        /// The message.
        view: MessageView,
        /// The membership that may receive it.
        members_version: i64,
    },
    /// Someone types, or has stopped.
    Typing {
        /// Who.
        person: Arc<UserSummary>,
        /// Whether they type.
        is_typing: bool,
    },
    /// Someone has received or read more.
    MarksMoved(MarksMoved),
    /// Someone's devices came or went.
    PresenceChanged {
        /// Who.
        user_id: UserId,
        /// Whether a device is connected.
        is_online: bool,
    },
    /// There is a new conversation.
    ConversationCreated {
        /// Who opened it.
        created_by: UserId,
    },
    /// Someone came into the conversation.
    ParticipantJoined {
        /// Who.
        user_id: UserId,
        /// Who added them.
        added_by: UserId,
    },
    /// Someone left the conversation or was removed.
    ParticipantRemoved {
        /// Who.
        user_id: UserId,
        /// Who removed them; themselves if they left.
        removed_by: UserId,
    },
}

/// One event for many sockets: written out once per vocabulary, whatever their number.
#[derive(Debug)]
pub struct Frame {
    /// Its id.
    pub id: Uuid,
    /// Where it happened.
    pub conversation_id: ConversationId,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: Happening,
    rendered: [OnceLock<ByteString>; 2],
}

impl Frame {
    pub(super) const fn new(
        id: Uuid,
        conversation_id: ConversationId,
        at: DateTime<Utc>,
        what: Happening,
    ) -> Self {
        Self { id, conversation_id, at, what, rendered: [OnceLock::new(), OnceLock::new()] }
    }

    /// The event in `vocabulary`; `write` is called for the first socket only.
    pub fn render(&self, vocabulary: Vocabulary, write: impl FnOnce(&Self) -> ByteString) -> ByteString {
        self.rendered[vocabulary as usize].get_or_init(|| write(self)).clone()
    }
}
