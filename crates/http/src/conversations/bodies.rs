//! Conversations and the people in them, as clients see them.

use alivio_accounts::UserSummary;
use alivio_conversations::{Metadata, Settings};
use alivio_platform::{ConversationView, LastMessage, ParticipantView};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::encryption::{self, CapabilitiesBody, ConversationEncryptionBody};
use crate::profiles::avatar_url;

/// A conversation, as you see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Conversation)]
pub(crate) struct ConversationBody {
    /// Its id.
    id: Uuid,
    /// A number to quote to support.
    #[schema(example = "CONV-2026-001001")]
    r#ref: String,
    /// `direct`, `group`, `consultation` or `emergency`.
    #[schema(example = "consultation")]
    r#type: &'static str,
    /// What you talk about: `care`, `team`, `study_group`, `case_discussion` or `support`.
    #[schema(example = "care")]
    purpose: &'static str,
    /// Its title.
    #[schema(example = "Seguimiento - Hipertensión Arterial")]
    title: Option<String>,
    /// What it is about.
    #[schema(example = "Canal para seguimiento post-consulta")]
    description: Option<String>,
    /// Who is in it now.
    participants: Vec<ParticipantBody>,
    /// What it allows.
    settings: SettingsBody,
    /// What it refers to.
    metadata: MetadataBody,
    /// How what is said in it rests in storage.
    encryption: ConversationEncryptionBody,
    /// What the server can do for it, given that.
    capabilities: CapabilitiesBody,
    /// Who opened it.
    created_by: Uuid,
    /// When.
    created_at: DateTime<Utc>,
    /// When it last changed, messages included.
    updated_at: DateTime<Utc>,
    /// Whether messages can be sent.
    is_active: bool,
    /// When it ends by itself. What belongs to the care of a patient never does.
    expires_at: Option<DateTime<Utc>>,
    /// When it was closed.
    closed_at: Option<DateTime<Utc>>,
    /// Who closed it.
    closed_by: Option<Uuid>,
    /// Why, if they said so.
    #[schema(example = "Alta médica")]
    closed_reason: Option<String>,
    /// Whether it is out of your inbox. A new message does not bring it back.
    #[schema(example = false)]
    is_archived: bool,
    /// Whether it stands first in your inbox.
    #[schema(example = false)]
    is_pinned: bool,
    /// Until when you are not told of what happens in it; `null` also while `settings.notifications_enabled` is `false`
    /// without end.
    muted_until: Option<DateTime<Utc>>,
    /// The sequence number of its newest message; 0 while it is empty.
    #[schema(example = 15)]
    last_seq: i64,
    /// The number of the newest change of one of its messages; 0 while none has changed.
    #[schema(example = 3)]
    last_revision: i64,
    /// How many messages it holds.
    #[schema(example = 15)]
    total_messages: i64,
    /// Messages by others that you have not read.
    #[schema(example = 2)]
    unread_count: i64,
    /// The newest message that you can read.
    last_message: Option<LastMessageBody>,
}

/// What a conversation allows.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationSettings)]
struct SettingsBody {
    /// Texts are encrypted at rest, always.
    #[schema(example = true)]
    is_encrypted: bool,
    /// Messages disappear by themselves.
    #[schema(example = false)]
    auto_delete_messages: bool,
    /// After so many days.
    #[schema(example = 30)]
    auto_delete_days: Option<i32>,
    /// Files may be shared.
    #[schema(example = true)]
    file_sharing_enabled: bool,
    /// Video calls may be started.
    #[schema(example = true)]
    video_calls_enabled: bool,
    /// You are told of what happens in it. Everyone has their own.
    #[schema(example = true)]
    notifications_enabled: bool,
    /// Others see that someone types.
    #[schema(example = true)]
    typing_indicators: bool,
    /// Others see what someone has read.
    #[schema(example = true)]
    read_receipts: bool,
    /// Words may be changed.
    #[schema(example = true)]
    message_editing: bool,
    /// Messages may be taken back.
    #[schema(example = true)]
    message_deletion: bool,
    /// People of the clinic may come in by themselves.
    #[schema(example = false)]
    joinable: bool,
}

impl SettingsBody {
    const fn new(settings: &Settings, notifications_enabled: bool) -> Self {
        Self {
            is_encrypted: true,
            auto_delete_messages: settings.auto_delete_days.is_some(),
            auto_delete_days: settings.auto_delete_days,
            file_sharing_enabled: settings.file_sharing_enabled,
            video_calls_enabled: settings.video_calls_enabled,
            notifications_enabled,
            typing_indicators: settings.typing_indicators,
            read_receipts: settings.read_receipts,
            message_editing: settings.message_editing,
            message_deletion: settings.message_deletion,
            joinable: settings.joinable,
        }
    }
}

/// What a conversation refers to.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationMetadata)]
struct MetadataBody {
    /// The consultation that it follows.
    related_appointment_id: Option<Uuid>,
    /// The patient that it is about.
    related_patient_id: Option<Uuid>,
    /// Whether the professionals in it may look into that patient's record from here.
    #[schema(example = false)]
    medical_record_access: bool,
    /// What kind of consultation it belongs to.
    #[schema(example = "follow_up")]
    consultation_type: Option<String>,
    /// `low`, `normal`, `high` or `urgent`.
    #[schema(example = "normal")]
    priority: &'static str,
    /// Words to find it by.
    #[schema(example = json!(["hipertension", "medicacion"]))]
    tags: Vec<String>,
}

impl From<Metadata> for MetadataBody {
    fn from(metadata: Metadata) -> Self {
        Self {
            related_appointment_id: metadata.related_appointment_id.map(Uuid::from),
            related_patient_id: metadata.related_patient_id.map(Uuid::from),
            medical_record_access: metadata.medical_record_access,
            consultation_type: metadata.consultation_type,
            priority: metadata.priority.as_str(),
            tags: metadata.tags,
        }
    }
}

/// Someone in a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = Participant)]
pub(crate) struct ParticipantBody {
    /// Who.
    user_id: Uuid,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez")]
    display_name: String,
    /// The full name.
    #[schema(example = "María Martínez García")]
    full_name: String,
    /// What their account is for.
    #[schema(example = "doctor")]
    user_type: &'static str,
    /// Title among professionals.
    #[schema(example = "Cardiologist")]
    professional_title: Option<String>,
    /// Where their picture is.
    #[schema(example = "/api/v1/users/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/avatar?v=1767225600000000")]
    avatar_url: Option<String>,
    /// `active`: whoever has left is not listed.
    #[schema(example = "active")]
    status: &'static str,
    /// `member`, or `moderator` who also adds and removes people.
    #[schema(example = "moderator")]
    role: &'static str,
    /// Since when they are in it.
    joined_at: DateTime<Utc>,
    /// When the last of their devices went away.
    last_seen: Option<DateTime<Utc>>,
    /// Whether a device of theirs is connected.
    is_online: bool,
    /// Whether they may leave.
    can_leave: bool,
    /// A device of theirs has all messages up to this `seq`.
    #[schema(example = 15)]
    delivered_up_to: i64,
    /// They have read all messages up to this `seq`; of others 0 while `settings.read_receipts` is `false`.
    #[schema(example = 13)]
    read_up_to: i64,
}

/// The newest message of a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = LastMessage)]
struct LastMessageBody {
    /// Its id.
    id: Uuid,
    /// Its place in the conversation.
    #[schema(example = 15)]
    seq: i64,
    /// Who said it.
    sender: UserSummaryBody,
    /// The words; `null` once they are withheld.
    #[schema(example = "¿Cómo se ha sentido con la nueva medicación?")]
    content: Option<String>,
    /// What it is.
    #[schema(example = "text")]
    message_type: &'static str,
    /// When it was stored.
    created_at: DateTime<Utc>,
    /// Whether you have read it, or said it.
    is_read: bool,
}

/// A person, as those they talk to see them.
#[derive(Serialize, ToSchema)]
#[schema(as = UserSummary)]
pub(crate) struct UserSummaryBody {
    /// Who.
    id: Uuid,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez")]
    display_name: String,
    /// The full name.
    #[schema(example = "María Martínez García")]
    full_name: String,
    /// What their account is for.
    #[schema(example = "doctor")]
    role: &'static str,
    /// Title among professionals.
    #[schema(example = "Cardiologist")]
    professional_title: Option<String>,
    /// Where their picture is.
    #[schema(example = "/api/v1/users/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/avatar?v=1767225600000000")]
    avatar_url: Option<String>,
}

impl From<&UserSummary> for UserSummaryBody {
    fn from(person: &UserSummary) -> Self {
        Self {
            id: person.id.uuid(),
            display_name: person.display_name.expose().clone(),
            full_name: person.full_name.expose().clone(),
            role: person.role.as_str(),
            professional_title: person.professional_title.clone(),
            avatar_url: avatar_url(person.id.uuid(), person.avatar_version),
        }
    }
}

impl From<ParticipantView> for ParticipantBody {
    fn from(view: ParticipantView) -> Self {
        Self {
            user_id: view.participant.user_id.uuid(),
            display_name: view.person.display_name.expose().clone(),
            full_name: view.person.full_name.expose().clone(),
            user_type: view.person.role.as_str(),
            professional_title: view.person.professional_title.clone(),
            avatar_url: avatar_url(view.person.id.uuid(), view.person.avatar_version),
            status: "active",
            role: view.participant.role.as_str(),
            joined_at: view.participant.joined_at,
            last_seen: view.last_seen_at,
            is_online: view.is_online,
            can_leave: view.can_leave,
            delivered_up_to: view.marks.map_or(0, |m| m.delivered_up_to),
            read_up_to: view.marks.map_or(0, |m| m.read_up_to),
        }
    }
}

impl From<LastMessage> for LastMessageBody {
    fn from(last: LastMessage) -> Self {
        let LastMessage { view, is_read } = last;
        Self {
            id: view.message.id.uuid(),
            seq: view.message.seq,
            sender: UserSummaryBody::from(&*view.sender),
            content: view.message.content.as_ref().map(|c| c.as_str().to_owned()),
            message_type: view.message.message_type.as_str(),
            created_at: view.message.created_at,
            is_read,
        }
    }
}

impl From<ConversationView> for ConversationBody {
    fn from(view: ConversationView) -> Self {
        let mut conversation = view.conversation;
        let closed = conversation.closed.take();
        let (encryption, capabilities) = encryption::of_server_mode();
        Self {
            encryption,
            capabilities,
            id: conversation.id.uuid(),
            r#ref: conversation.reference(),
            r#type: conversation.kind.as_str(),
            purpose: conversation.purpose.as_str(),
            title: conversation.title,
            description: conversation.description,
            participants: view.participants.into_iter().map(ParticipantBody::from).collect(),
            settings: SettingsBody::new(&conversation.settings, view.notifies),
            metadata: conversation.metadata.into(),
            created_by: conversation.created_by.uuid(),
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
            is_active: view.is_open,
            expires_at: conversation.expires_at,
            closed_at: closed.as_ref().map(|closed| closed.at),
            closed_by: closed.as_ref().map(|closed| closed.by.uuid()),
            closed_reason: closed.and_then(|closed| closed.reason),
            is_archived: conversation.mine.archived_at.is_some(),
            is_pinned: conversation.mine.pinned_at.is_some(),
            muted_until: conversation.mine.mute.filter(|_| !view.notifies).and_then(|mute| mute.until),
            last_seq: conversation.last_seq,
            last_revision: conversation.last_revision,
            total_messages: conversation.message_count,
            unread_count: view.unread,
            last_message: view.last_message.map(LastMessageBody::from),
        }
    }
}
