use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alivio_accounts::{Presence, UserSummary};
use alivio_kernel::ids::{ConversationId, EmergencyId, FileId, GrantId, ScheduledMessageId, UserId, Uuid};
use alivio_messages::{Change, MarksMoved, ScheduledState};
use bytestring::ByteString;
use chrono::{DateTime, Utc};

use crate::{FileView, MessageView};

/// Someone who has not typed for so long has stopped.
pub const TYPING_LIFETIME: Duration = Duration::from_secs(6);

/// The words a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// The canonical events.
    Canonical,
    /// Those of the documented per-conversation socket (S0).
    Documented,
    /// The words of the other document for the same socket (S2).
    DocumentedRooms,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A message is in the log.
    MessageCreated {
        /// The message.
        view: Arc<MessageView>,
        /// The membership that may receive it.
        members_version: i64,
    },
    /// Something became of a message.
    MessageChanged {
        /// What. When it was read from the log, only that it was taken back, or else that it is not what it was.
        change: Change,
        /// The number of the change, or the last one of those that were read together.
        revision: i64,
        /// Who did it; nobody, if its time was over, or if that is not known any more.
        actor: Option<UserId>,
        /// The message as it is now.
        view: Arc<MessageView>,
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
    /// Several have, each as they are told alone.
    Gathered(Arc<[Arc<Frame>]>),
    /// Someone has read on; for them alone.
    UnreadChanged {
        /// Who.
        user_id: UserId,
        /// How many messages by others they have not read there.
        unread: i64,
    },
    /// A device that comes back knows more than there is: what it has is not what was said. For it alone.
    Gap {
        /// From where it goes on: the newest message.
        last_seq: i64,
        /// From where it goes on: the newest change.
        last_revision: i64,
    },
    /// The session has ended; said to its sockets before they close.
    SessionRevoked {
        /// Why, as the closing frame says it.
        reason: &'static str,
    },
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
    /// What the conversation is or allows has changed, or what someone keeps of it for themselves.
    ConversationUpdated {
        /// Who changed it.
        updated_by: UserId,
    },
    /// Someone came into the conversation.
    ParticipantJoined {
        /// Who.
        person: Arc<UserSummary>,
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
    /// A message that was put off has changed its state; for its sender alone.
    ScheduledChanged {
        /// Whose.
        sender_id: UserId,
        /// Which.
        id: ScheduledMessageId,
        /// How far it has come.
        state: ScheduledState,
    },
    /// Someone has changed what they have begun to write; for them alone.
    DraftChanged {
        /// Who.
        user_id: UserId,
        /// Where.
        conversation_id: ConversationId,
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
    /// A file was found clean; for those who may see it.
    FileReady {
        /// The file.
        view: Arc<FileView>,
    },
    /// A file will never be opened; for whoever uploaded it.
    FileQuarantined {
        /// Which.
        file_id: FileId,
        /// Where.
        conversation_id: ConversationId,
        /// Who uploaded it.
        uploader_id: UserId,
        /// What it is now.
        state: Arc<str>,
    },
    /// Someone left the conversation or was removed.
    ParticipantRemoved {
        /// Who.
        person: Arc<UserSummary>,
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
    rendered: [OnceLock<ByteString>; 3],
}

impl Frame {
    pub(super) const fn new(
        id: Uuid,
        conversation_id: Option<ConversationId>,
        at: DateTime<Utc>,
        what: Happening,
    ) -> Self {
        Self { id, conversation_id, at, what, rendered: [const { OnceLock::new() }; 3] }
    }

    /// The event in `vocabulary`; `write` is called for the first socket only. What happens nowhere in particular is
    /// told by documented sockets as if it happened in their own conversation, so each writes it anew.
    pub fn render(&self, vocabulary: Vocabulary, write: impl FnOnce(&Self) -> ByteString) -> ByteString {
        if self.conversation_id.is_none() && vocabulary != Vocabulary::Canonical {
            return write(self);
        }
        self.rendered[vocabulary as usize].get_or_init(|| write(self)).clone()
    }
}
