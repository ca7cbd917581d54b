//! Opening conversations, and changing what they are and allow.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, patch, post, web};
use alivio_conversations::{
    DetailsPatch, Draft, Kind, MetadataPatch, Opened, ParticipantRole, Purpose, SettingsPatch,
};
use alivio_kernel::ids::{ConsultationId, UserId};
use alivio_kernel::{Caller, FieldError};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ConversationBody, ConversationType, Person, show};
use crate::extract::{Body, IdempotencyKey, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::profiles::given;
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// A conversation to open.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewConversation {
    /// What it is for. An `emergency` is not opened here but called: `POST /emergencies`.
    r#type: ConversationType,
    /// One line, at most 200 characters.
    #[schema(example = "Seguimiento - Hipertensión Arterial", min_length = 1, max_length = 200)]
    title: Option<String>,
    /// At most 1,000 characters.
    #[schema(example = "Canal para seguimiento post-consulta", min_length = 1, max_length = 1000)]
    description: Option<String>,
    /// What you talk about (`care` unless said otherwise). Patients take part in `care` and `support` only; consultations
    /// and emergencies are `care`.
    #[schema(example = "care")]
    purpose: Option<String>,
    /// The others: an id, or an id with the part they are to have. A direct conversation has exactly one.
    #[schema(min_items = 1, max_items = 999)]
    participants: Vec<Invited>,
    /// What it allows.
    settings: Option<SettingsPatchBody>,
    /// What it refers to.
    metadata: Option<MetadataPatchBody>,
    /// When it ends by itself; not for `care`.
    expires_at: Option<DateTime<Utc>>,
}

/// Someone to be in a conversation.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Invited {
    /// As is usual.
    Id(Uuid),
    /// With a part of their own.
    WithRole(InvitedAs),
}

/// Someone to be in a conversation, with their part.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitedAs {
    /// Who.
    user_id: Uuid,
    /// `member` or `moderator`; `participant` and `admin` are understood as well. Patients never moderate.
    #[schema(example = "moderator")]
    role: Option<String>,
}

/// What a conversation is to allow; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConversationSettingsChange)]
#[serde(deny_unknown_fields)]
struct SettingsPatchBody {
    /// Texts are always encrypted: only `true`.
    #[schema(example = true)]
    is_encrypted: Option<bool>,
    /// Messages disappear by themselves. Needs `auto_delete_days`.
    #[schema(example = false)]
    auto_delete_messages: Option<bool>,
    /// After so many days; `null`: never.
    #[schema(example = 30, minimum = 1, maximum = 3650)]
    #[serde(default, deserialize_with = "given")]
    auto_delete_days: Option<Option<i32>>,
    /// Files may be shared.
    file_sharing_enabled: Option<bool>,
    /// Video calls may be started.
    video_calls_enabled: Option<bool>,
    /// You are told of what happens in it. Anyone changes it for themselves.
    notifications_enabled: Option<bool>,
    /// Others see that someone types.
    typing_indicators: Option<bool>,
    /// Others see what someone has read.
    read_receipts: Option<bool>,
    /// Words may be changed.
    message_editing: Option<bool>,
    /// Messages may be taken back.
    message_deletion: Option<bool>,
    /// People of the clinic may come in by themselves: groups that are not `care`.
    joinable: Option<bool>,
}

/// What a conversation is to refer to; what is left out stays as it is, and `null` takes it away.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConversationMetadataChange)]
#[serde(deny_unknown_fields)]
struct MetadataPatchBody {
    /// The consultation that it follows.
    #[serde(default, deserialize_with = "given")]
    related_appointment_id: Option<Option<Uuid>>,
    /// The patient that it is about: one in the conversation, or attended by you.
    #[serde(default, deserialize_with = "given")]
    related_patient_id: Option<Option<Uuid>>,
    /// Whether the professionals in it may look into that patient's record from here.
    medical_record_access: Option<bool>,
    /// What kind of consultation it belongs to, at most 50 characters.
    #[schema(example = "follow_up", min_length = 1, max_length = 50)]
    #[serde(default, deserialize_with = "given")]
    consultation_type: Option<Option<String>>,
    /// `low`, `normal`, `high` or `urgent`.
    #[schema(example = "normal")]
    priority: Option<String>,
    /// All words to find it by, none with a comma.
    #[schema(example = json!(["hipertension"]), max_items = 20)]
    tags: Option<Vec<String>>,
}

/// What a conversation is to be; what is left out stays as it is, and `null` takes it away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConversationChange {
    /// One line, at most 200 characters.
    #[schema(example = "Seguimiento - Hipertensión Arterial", min_length = 1, max_length = 200)]
    #[serde(default, deserialize_with = "given")]
    title: Option<Option<String>>,
    /// At most 1,000 characters.
    #[schema(example = "Canal para seguimiento post-consulta", min_length = 1, max_length = 1000)]
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    /// What it allows.
    settings: Option<SettingsPatchBody>,
    /// What it refers to.
    metadata: Option<MetadataPatchBody>,
    /// When it ends by itself; not for `care`.
    #[serde(default, deserialize_with = "given")]
    expires_at: Option<Option<DateTime<Utc>>>,
}

/// Why a conversation is closed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Closing {
    /// At most 500 characters.
    #[schema(example = "Alta médica", min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// What both bodies have in common, checked for form.
fn details(
    settings: Option<SettingsPatchBody>,
    metadata: Option<MetadataPatchBody>,
) -> std::result::Result<DetailsPatch, FieldError> {
    let mut patch = DetailsPatch::default();
    if let Some(body) = settings {
        patch.notifications_enabled = body.notifications_enabled;
        patch.settings = SettingsPatch {
            is_encrypted: body.is_encrypted,
            auto_delete_messages: body.auto_delete_messages,
            auto_delete_days: body.auto_delete_days,
            file_sharing_enabled: body.file_sharing_enabled,
            video_calls_enabled: body.video_calls_enabled,
            typing_indicators: body.typing_indicators,
            read_receipts: body.read_receipts,
            message_editing: body.message_editing,
            message_deletion: body.message_deletion,
            joinable: body.joinable,
        };
    }
    if let Some(body) = metadata {
        patch.metadata = MetadataPatch {
            related_appointment_id: body.related_appointment_id.map(|id| id.map(ConsultationId::from)),
            related_patient_id: body.related_patient_id.map(|id| id.map(UserId::from)),
            medical_record_access: body.medical_record_access,
            consultation_type: body.consultation_type,
            priority: body.priority.as_deref().map(str::parse).transpose()?,
            tags: body.tags,
        };
    }
    Ok(patch)
}

async fn show_opened(state: &State, caller: &Caller, opened: Opened) -> Result<HttpResponse> {
    let status = if opened.created { StatusCode::CREATED } else { StatusCode::OK };
    show(state, caller, status, opened.conversation.id).await
}

/// Open a conversation
///
/// A patient talks with a doctor who attends them; staff and students talk among themselves. Patients never
/// moderate. You moderate what you open, unless you are a patient; name further moderators by their `role`. With an `Idempotency-Key`, repeating the request answers the first result (200) and opens nothing.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "openConversation",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Your name for this request: 1 to 255 visible ASCII characters.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body = NewConversation,
    responses(
        (status = 200, description = "This request was made before; this is what it opened.", body = ConversationBody),
        (status = 201, description = "Opened.", body = ConversationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`conversation_not_allowed`: `details.reason` is `no_medical_relationship`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`direct_conversation_exists`: it is `details.conversation_id`. `idempotency_key_reused`: the key belongs to another request.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, description = "`validation_failed`, `clinician_required`, `moderator_required`, `patients_do_not_moderate`, `not_for_this_purpose`; `emergency_is_called`: not opened here but at `details.emergency_channel`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations")]
pub(super) async fn open(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    key: IdempotencyKey,
    body: Body<NewConversation>,
) -> Result<HttpResponse> {
    let Body(new) = body;
    let (mut participants, mut roles) = (Vec::new(), Vec::new());
    for invited in new.participants {
        let (user, role) = match invited {
            Invited::Id(user) => (user, None),
            Invited::WithRole(InvitedAs { user_id, role }) => (user_id, role),
        };
        let user = UserId::from(user);
        participants.push(user);
        if let Some(role) = role {
            roles.push((user, role.parse::<ParticipantRole>().map_err(invalid)?));
        }
    }
    let purpose = new.purpose.as_deref().map(str::parse::<Purpose>).transpose().map_err(invalid)?;
    let mut patch = details(new.settings, new.metadata).map_err(invalid)?;
    patch.expires_at = new.expires_at.map(Some);
    let (title, description) = (new.title.as_deref(), new.description.as_deref());
    let draft = Draft::parse(caller.user_id, Kind::from(new.r#type), title, description, &participants)
        .map_err(invalid)?;
    let draft = draft.with_roles(roles).with_details(purpose.unwrap_or_default(), &patch)?;
    let opened = state.platform.conversations.open(&caller, draft, key.0).await?;
    show_opened(&state, &caller, opened).await
}

/// Find or open the direct conversation with someone
///
/// The same two people always get the same conversation, however often and from whichever side they ask.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "openDirectConversation",
    security(("bearer" = [])),
    request_body = Person,
    responses(
        (status = 200, description = "It was there.", body = ConversationBody),
        (status = 201, description = "Opened.", body = ConversationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`conversation_not_allowed`: `details.reason` is `no_medical_relationship`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/direct")]
pub(super) async fn open_direct(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<Person>,
) -> Result<HttpResponse> {
    let opened = state.platform.conversations.open_direct(&caller, body.0.user_id.into()).await?;
    show_opened(&state, &caller, opened).await
}

/// Change a conversation
///
/// For moderators; `settings.notifications_enabled` anyone changes for themselves. Two changes at the same time do not
/// undo each other: the second is refused (409 `stale`).
#[utoipa::path(
    tag = "Conversations",
    operation_id = "changeConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = ConversationChange,
    responses(
        (status = 200, description = "Changed.", body = ConversationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`conversation_closed`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, description = "`validation_failed`, `not_for_this_purpose`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/conversations/{id}")]
pub(super) async fn change(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<ConversationChange>,
) -> Result<HttpResponse> {
    let (id, Body(change)) = (id.into_inner().into(), body);
    let mut patch = details(change.settings, change.metadata).map_err(invalid)?;
    patch.title = change.title;
    patch.description = change.description;
    patch.expires_at = change.expires_at;
    state.platform.update_conversation(&caller, id, patch).await?;
    show(&state, &caller, StatusCode::OK, id).await
}

/// Close a conversation, or leave it
///
/// Closes it for everyone if you moderate it, and else leaves it.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "deleteConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "It is closed, or you are gone."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 409, description = "`direct_conversation_fixed`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/conversations/{id}")]
pub(super) async fn close_or_leave(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.conversations.close_or_leave(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Close a conversation
///
/// For moderators. Nothing more can be said in it until a moderator reopens it; what was said stays readable.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "closeConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = Closing,
    responses(
        (status = 200, description = "Closed.", body = ConversationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/close")]
pub(super) async fn close(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<Closing>,
) -> Result<HttpResponse> {
    let id = id.into_inner().into();
    state.platform.conversations.close(&caller, id, body.0.reason.as_deref()).await?;
    show(&state, &caller, StatusCode::OK, id).await
}

/// Reopen a closed conversation
///
/// For moderators.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "reopenConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "It goes on.", body = ConversationBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/reopen")]
pub(super) async fn reopen(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    let id = id.into_inner().into();
    state.platform.conversations.reopen(&caller, id).await?;
    show(&state, &caller, StatusCode::OK, id).await
}
