//! What the canonical socket tells: every event and its data. The writer and the document are made from this table.

use alivio_kernel::ids::UserId;
use alivio_messages::{Change, Mark, MarksMoved};
use alivio_platform::live::{Frame, Happening, TYPING_LIFETIME};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::canonical::VERSION;
use super::document::{Described, described};
use crate::files::FileBody;
use crate::messages::MessageBody;

macro_rules! events {
    ($($name:literal $kind:ident($data:ty), $summary:literal;)*) => {
        /// What an event tells.
        #[derive(Serialize)]
        #[serde(untagged)]
        pub(super) enum Told { $($kind($data)),* }

        impl Told {
            const fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $name),* }
            }
        }

        /// Every event.
        pub(super) fn events() -> Vec<Described> {
            vec![$(described::<$data>($name, $summary)),*]
        }
    };
}

events! {
    "message.created" MessageCreated(MessageBody), "A message was sent.";
    "message.updated" MessageUpdated(MessageBody), "A message has other words.";
    "message.deleted" MessageDeleted(MessageBody), "A message was taken back; without `actor`, it has expired.";
    "message.corrected" MessageCorrected(MessageBody), "A message was put right by another.";
    "message.reacted" MessageReacted(MessageBody), "Someone reacts to a message, or does no more.";
    "typing" Typing(TypingData), "Someone types, or has stopped.";
    "receipt.delivered" Delivered(ReceiptData), "A device of someone has more messages.";
    "receipt.read" Read(ReceiptData), "Someone has read more messages.";
    "receipts" Receipts(ReceiptsData), "Several people have received or read more; each once for each of the two.";
    "unread.changed" UnreadChanged(UnreadData), "You have read on, on one of your devices.";
    "sync.gap" Gap(GapData), "You have more than there is. Read the conversation anew, and go on from here.";
    "session.revoked" SessionRevoked(RevokedData), "Your session has ended. The last word before the socket closes.";
    "presence.changed" PresenceChanged(PresenceData), "Someone came, went, or shows otherwise. Not of a conversation.";
    "conversation.created" ConversationCreated(ConversationData), "You are in a new conversation.";
    "conversation.updated" ConversationUpdated(ConversationData),
        "What a conversation is or allows has changed, or what you keep of it for yourself.";
    "participant.joined" ParticipantJoined(PersonData), "Someone came into the conversation.";
    "participant.removed" ParticipantRemoved(PersonData), "Someone left the conversation, or was removed.";
    "access.break_glass" BreakGlass(BreakGlassData),
        "An administrator may read the conversation in an emergency: see `GET /me/access-log`.";
    "scheduled_message.changed" ScheduledChanged(ScheduledData), "A message that you put off has come further.";
    "draft.changed" DraftChanged(ConversationData), "You have begun to write something on another device.";
    "file.ready" FileReady(FileReadyData), "A file that you may see was found clean, and can be opened.";
    "file.quarantined" FileQuarantined(FileQuarantinedData), "A file that you uploaded will never be opened.";
    "emergency.paged" EmergencyPaged(PagedData), "You are called to an emergency.";
    "emergency.acknowledged" EmergencyAcknowledged(AcknowledgedData), "Someone takes care of an emergency.";
    "emergency.resolved" EmergencyResolved(ResolvedData), "An emergency is over, and its conversation closed.";
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = EventFrame)]
pub(super) struct Event {
    /// The version of the envelope.
    #[schema(example = 1)]
    v: u8,
    /// Its id; that of the message, if it was sent.
    id: Uuid,
    /// What happened.
    r#type: &'static str,
    /// The place of the message that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 15)]
    seq: Option<i64>,
    /// The number of the change of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 4)]
    revision: Option<i64>,
    /// Where; nowhere, if it concerns a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<Uuid>,
    /// When.
    at: DateTime<Utc>,
    /// Who did it; nobody, when a time was over or several did.
    actor: Option<Uuid>,
    /// The rest.
    #[schema(value_type = Object)]
    data: Told,
}

impl From<&Frame> for Event {
    fn from(frame: &Frame) -> Self {
        let (actor, data) = told(frame);
        let (id, seq, revision) = match &frame.what {
            Happening::MessageCreated { view, .. } => (view.message.id.uuid(), Some(view.message.seq), None),
            Happening::MessageChanged { view, revision, .. } => {
                (frame.id, Some(view.message.seq), Some(*revision))
            }
            _ => (frame.id, None, None),
        };
        let conversation_id = frame.conversation_id.map(Uuid::from);
        let (at, actor) = (frame.at, actor.map(Uuid::from));
        Self { v: VERSION, id, r#type: data.name(), seq, revision, conversation_id, at, actor, data }
    }
}

/// Who did it, and what it was.
fn told(frame: &Frame) -> (Option<UserId>, Told) {
    let conversation_id = frame.conversation_id.map(Uuid::from);
    let (actor, told) = match &frame.what {
        Happening::MessageCreated { view, .. } => {
            (view.message.sender_id, Told::MessageCreated(MessageBody::from(&**view)))
        }
        Happening::MessageChanged { change, actor, view, .. } => {
            let told = match change {
                Change::Edited => Told::MessageUpdated,
                Change::Deleted => Told::MessageDeleted,
                Change::Corrected => Told::MessageCorrected,
                Change::Reacted => Told::MessageReacted,
            };
            return (*actor, told(MessageBody::from(&**view)));
        }
        Happening::Typing { person, is_typing } => (
            person.id,
            Told::Typing(TypingData {
                user_id: person.id.uuid(),
                is_typing: *is_typing,
                expires_in_ms: TYPING_LIFETIME.as_millis(),
            }),
        ),
        Happening::MarksMoved(moved) => {
            let told = match moved.mark {
                Mark::Delivered => Told::Delivered,
                Mark::Read => Told::Read,
            };
            (moved.marks.user_id, told(ReceiptData::from(moved)))
        }
        Happening::Gathered(each) => {
            let receipts = each.iter().filter_map(|frame| match &frame.what {
                Happening::MarksMoved(moved) => Some(OneReceipt::from(moved)),
                _ => None,
            });
            return (None, Told::Receipts(ReceiptsData { receipts: receipts.collect() }));
        }
        Happening::UnreadChanged { user_id, unread } => {
            (*user_id, Told::UnreadChanged(UnreadData { conversation_id, unread_count: *unread }))
        }
        Happening::Gap { last_seq, last_revision } => {
            let data = GapData { last_seq: *last_seq, last_revision: *last_revision };
            return (None, Told::Gap(data));
        }
        Happening::SessionRevoked { reason } => {
            return (None, Told::SessionRevoked(RevokedData { reason }));
        }
        Happening::PresenceChanged { user_id, presence, last_seen_at, .. } => (
            *user_id,
            Told::PresenceChanged(PresenceData {
                user_id: user_id.uuid(),
                presence: presence.as_str(),
                is_online: presence.is_online(),
                last_seen_at: *last_seen_at,
            }),
        ),
        Happening::ConversationCreated { created_by } => {
            (*created_by, Told::ConversationCreated(ConversationData { conversation_id }))
        }
        Happening::ConversationUpdated { updated_by } => {
            (*updated_by, Told::ConversationUpdated(ConversationData { conversation_id }))
        }
        Happening::ParticipantJoined { person, added_by } => {
            (*added_by, Told::ParticipantJoined(PersonData { user_id: person.id.uuid() }))
        }
        Happening::ParticipantRemoved { person, removed_by } => {
            (*removed_by, Told::ParticipantRemoved(PersonData { user_id: person.id.uuid() }))
        }
        Happening::BreakGlass { grant_id, admin_id } => {
            let (grant_id, reader) = (grant_id.uuid(), admin_id.uuid());
            (*admin_id, Told::BreakGlass(BreakGlassData { conversation_id, grant_id, admin_id: reader }))
        }
        Happening::ScheduledChanged { sender_id, id, state } => {
            let data = ScheduledData { scheduled_message_id: id.uuid(), state: state.as_str() };
            (*sender_id, Told::ScheduledChanged(data))
        }
        Happening::DraftChanged { user_id, conversation_id } => {
            let conversation_id = Some(conversation_id.uuid());
            (*user_id, Told::DraftChanged(ConversationData { conversation_id }))
        }
        Happening::FileReady { view } => {
            let data = FileReadyData {
                conversation_id: view.file.conversation_id.uuid(),
                file: FileBody::from(&**view),
            };
            (view.uploader.id, Told::FileReady(data))
        }
        Happening::FileQuarantined { file_id, conversation_id, uploader_id, state } => {
            let data = FileQuarantinedData {
                conversation_id: conversation_id.uuid(),
                file_id: file_id.uuid(),
                status: state.to_string(),
            };
            (*uploader_id, Told::FileQuarantined(data))
        }
        Happening::EmergencyPaged { emergency_id, opened_by, level } => {
            let (emergency_id, level) = (emergency_id.uuid(), *level);
            (*opened_by, Told::EmergencyPaged(PagedData { emergency_id, conversation_id, level }))
        }
        Happening::EmergencyAcknowledged { emergency_id, acknowledged_by: by } => {
            let data = AcknowledgedData { emergency_id: emergency_id.uuid(), acknowledged_by: by.uuid() };
            (*by, Told::EmergencyAcknowledged(data))
        }
        Happening::EmergencyResolved { emergency_id, resolved_by: by } => {
            let data = ResolvedData { emergency_id: emergency_id.uuid(), resolved_by: by.uuid() };
            (*by, Told::EmergencyResolved(data))
        }
    };
    (Some(actor), told)
}

/// Whether someone types.
#[derive(Serialize, ToSchema)]
pub(super) struct TypingData {
    /// Who.
    user_id: Uuid,
    /// Whether they do.
    is_typing: bool,
    /// Unless they say so again, they have stopped by then.
    #[schema(example = 6000)]
    expires_in_ms: u128,
}

/// How far someone has come.
#[derive(Serialize, ToSchema)]
pub(super) struct ReceiptData {
    /// Who.
    user_id: Uuid,
    /// The newest message that it is about.
    message_id: Uuid,
    /// A device of theirs has all messages up to this `seq`.
    #[schema(example = 15)]
    delivered_up_to: i64,
    /// They have read all messages up to this `seq`.
    #[schema(example = 15)]
    read_up_to: i64,
}

impl From<&MarksMoved> for ReceiptData {
    fn from(MarksMoved { marks, message_id, .. }: &MarksMoved) -> Self {
        Self {
            user_id: marks.user_id.uuid(),
            message_id: message_id.uuid(),
            delivered_up_to: marks.delivered_up_to,
            read_up_to: marks.read_up_to,
        }
    }
}

/// How far several people have come.
#[derive(Serialize, ToSchema)]
pub(super) struct ReceiptsData {
    /// In the order in which it happened.
    receipts: Vec<OneReceipt>,
}

/// How far one of them has come.
#[derive(Serialize, ToSchema)]
struct OneReceipt {
    /// `delivered` or `read`.
    #[schema(example = "read")]
    mark: &'static str,
    /// When.
    at: DateTime<Utc>,
    #[serde(flatten)]
    receipt: ReceiptData,
}

impl From<&MarksMoved> for OneReceipt {
    fn from(moved: &MarksMoved) -> Self {
        Self { mark: moved.mark.as_str(), at: moved.at, receipt: ReceiptData::from(moved) }
    }
}

/// How much is left to read.
#[derive(Serialize, ToSchema)]
pub(super) struct UnreadData {
    /// Where.
    conversation_id: Option<Uuid>,
    /// How many messages of others you have not read there.
    #[schema(example = 3)]
    unread_count: i64,
}

/// From where it goes on.
#[derive(Serialize, ToSchema)]
pub(super) struct GapData {
    /// The newest message.
    #[schema(example = 12)]
    last_seq: i64,
    /// The newest change.
    #[schema(example = 2)]
    last_revision: i64,
}

/// Why a session has ended.
#[derive(Serialize, ToSchema)]
pub(super) struct RevokedData {
    /// As the closing frame says it: `session_ended` or `session_evicted`.
    #[schema(example = "session_ended")]
    reason: &'static str,
}

/// How someone is.
#[derive(Serialize, ToSchema)]
pub(super) struct PresenceData {
    /// Who.
    user_id: Uuid,
    /// `online`, `away`, `busy` or `offline`.
    #[schema(example = "online")]
    presence: &'static str,
    /// Whether a device of theirs is connected.
    is_online: bool,
    /// When the last of their devices went, if they have just gone and show it.
    last_seen_at: Option<DateTime<Utc>>,
}

/// A conversation.
#[derive(Serialize, ToSchema)]
pub(super) struct ConversationData {
    /// Which.
    conversation_id: Option<Uuid>,
}

/// A person.
#[derive(Serialize, ToSchema)]
pub(super) struct PersonData {
    /// Who.
    user_id: Uuid,
}

/// Who may read, and by which grant.
#[derive(Serialize, ToSchema)]
pub(super) struct BreakGlassData {
    /// What.
    conversation_id: Option<Uuid>,
    /// By which grant.
    grant_id: Uuid,
    /// Who.
    admin_id: Uuid,
}

/// How far a message has come that was put off.
#[derive(Serialize, ToSchema)]
pub(super) struct ScheduledData {
    /// Which.
    scheduled_message_id: Uuid,
    /// `pending`, `sending`, `sent`, `cancelled` or `refused`.
    #[schema(example = "sent")]
    state: &'static str,
}

/// A file that can be opened.
#[derive(Serialize, ToSchema)]
pub(super) struct FileReadyData {
    /// Where it was uploaded.
    conversation_id: Uuid,
    /// What is known of it.
    file: FileBody,
}

/// A file that cannot.
#[derive(Serialize, ToSchema)]
pub(super) struct FileQuarantinedData {
    /// Where it was uploaded.
    conversation_id: Uuid,
    /// Which.
    file_id: Uuid,
    /// `quarantined`: something was found in it, or it could not be looked at; `failed`: it is damaged.
    #[schema(example = "quarantined")]
    status: String,
}

/// A call to an emergency.
#[derive(Serialize, ToSchema)]
pub(super) struct PagedData {
    /// Which.
    emergency_id: Uuid,
    /// Where it is talked about.
    conversation_id: Option<Uuid>,
    /// At which level you are.
    #[schema(example = 1)]
    level: i32,
}

/// Who takes care of an emergency.
#[derive(Serialize, ToSchema)]
pub(super) struct AcknowledgedData {
    /// Which.
    emergency_id: Uuid,
    /// Who.
    acknowledged_by: Uuid,
}

/// Who said that an emergency is over.
#[derive(Serialize, ToSchema)]
pub(super) struct ResolvedData {
    /// Which.
    emergency_id: Uuid,
    /// Who.
    resolved_by: Uuid,
}
