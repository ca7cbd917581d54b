use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alivio_accounts::{Presence, UserSummary};
use alivio_kernel::ids::{ConversationId, EmergencyId, GrantId, UserId, Uuid};
use alivio_messages::{MarksMoved, Removed};
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
    /// Those who moderate have taken a message away.
    MessageRemoved(Removed),
    /// Someone came, went, or chose another presence.
    PresenceChanged {
        /// Who.
        user_id: UserId,
        /// How they are now.
        presence: Presence,
        /// When the last of their devices went, if they have just gone and show it.
        last_seen_at: Option<DateTime<Utc>>,
        /// Where they are, for sockets of a single conversation. Not to be told.
        conversations: Arc<[ConversationId]>,
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
    /// Someone who is not in the conversation may read it, in an emergency (C-59).
    BreakGlass {
        /// By which grant.
        grant_id: GrantId,
        /// Who.
        admin_id: UserId,
    },
    /// Those who are told are called to an emergency.
    EmergencyPaged {
        /// Which.
        emergency_id: EmergencyId,
        /// Who opened it.
        opened_by: UserId,
        /// At which level they are.
        level: i32,
    },
    /// Someone takes care of an emergency.
    EmergencyAcknowledged {
        /// Which.
        emergency_id: EmergencyId,
        /// Who.
        acknowledged_by: UserId,
    },
    /// An emergency is over, and its conversation closed.
    EmergencyResolved {
        /// Which.
        emergency_id: EmergencyId,
        /// Who said so.
        resolved_by: UserId,
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
    /// Where it happened; nowhere in particular, if it concerns a person.
    pub conversation_id: Option<ConversationId>,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: Happening,
    rendered: [OnceLock<ByteString>; 2],
}

impl Frame {
    pub(super) const fn new(
        id: Uuid,
        conversation_id: Option<ConversationId>,
        at: DateTime<Utc>,
        what: Happening,
    ) -> Self {
        Self { id, conversation_id, at, what, rendered: [OnceLock::new(), OnceLock::new()] }
    }

    /// The event in `vocabulary`; `write` is called for the first socket only. What happens nowhere in particular is
    /// told by documented sockets as if it happened in their own conversation, so each writes it anew.
    pub fn render(&self, vocabulary: Vocabulary, write: impl FnOnce(&Self) -> ByteString) -> ByteString {
        if self.conversation_id.is_none() && vocabulary == Vocabulary::Documented {
            return write(self);
        }
        self.rendered[vocabulary as usize].get_or_init(|| write(self)).clone()
    }
}
