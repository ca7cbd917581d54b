//! `/api/v1/conversations`: opening, finding and changing conversations.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, post, web};
use alivio_accounts::UserSummary;
use alivio_conversations::{Conversation, Draft, Kind, ListAfter, ListQuery, Opened};
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Caller, FieldError, PageSize, Rule};
use alivio_platform::{ConversationView, LastMessage, ParticipantView};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::encryption::{self, CapabilitiesBody, ConversationEncryptionBody};
use crate::extract::{Body, IdempotencyKey, SignedIn};
use crate::paging;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::profiles::avatar_url;
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// A conversation to open.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewConversation {
    /// What it is for.
    r#type: ConversationType,
    /// One line, at most 200 characters.
    #[schema(example = "Seguimiento - Hipertensión Arterial", min_length = 1, max_length = 200)]
    title: Option<String>,
    /// At most 1,000 characters.
    #[schema(example = "Canal para seguimiento post-consulta", min_length = 1, max_length = 1000)]
    description: Option<String>,
    /// The others. A direct conversation has exactly one.
    #[schema(min_items = 1, max_items = 999)]
    participants: Vec<Uuid>,
}

/// What a conversation is for: two people, several, follow-up of a patient, or urgent help.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ConversationType {
    Direct,
    Group,
    Consultation,
    Emergency,
}

impl From<ConversationType> for Kind {
    fn from(kind: ConversationType) -> Self {
        match kind {
            ConversationType::Direct => Self::Direct,
            ConversationType::Group => Self::Group,
            ConversationType::Consultation => Self::Consultation,
            ConversationType::Emergency => Self::Emergency,
        }
    }
}

/// With whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Person {
    /// The other person.
    user_id: Uuid,
}

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
    /// Its title.
    #[schema(example = "Seguimiento - Hipertensión Arterial")]
    title: Option<String>,
    /// What it is about.
    #[schema(example = "Canal para seguimiento post-consulta")]
    description: Option<String>,
    /// Who is in it now.
    participants: Vec<ParticipantBody>,
    /// Who opened it.
    created_by: Uuid,
    /// When.
    created_at: DateTime<Utc>,
    /// When it last changed, messages included.
    updated_at: DateTime<Utc>,
    /// Whether messages can be sent.
    is_active: bool,
    /// The sequence number of its newest message; 0 while it is empty.
    #[schema(example = 15)]
    last_seq: i64,
    /// How many messages it holds.
    #[schema(example = 15)]
    total_messages: i64,
    /// Messages by others that you have not read.
    #[schema(example = 2)]
    unread_count: i64,
    /// The newest message that you can read.
    last_message: Option<LastMessageBody>,
    /// How what is said in it rests in storage.
    encryption: ConversationEncryptionBody,
    /// What the server can do for it, given that.
    capabilities: CapabilitiesBody,
}

/// Someone in a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = Participant)]
struct ParticipantBody {
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
    /// They have read all messages up to this `seq`.
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
        let conversation = view.conversation;
        let (encryption, capabilities) = encryption::of_server_mode();
        Self {
            id: conversation.id.uuid(),
            r#ref: conversation.reference(),
            r#type: conversation.kind.as_str(),
            title: conversation.title,
            description: conversation.description,
            participants: view.participants.into_iter().map(ParticipantBody::from).collect(),
            created_by: conversation.created_by.uuid(),
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
            is_active: conversation.is_active,
            last_seq: conversation.last_seq,
            total_messages: conversation.message_count,
            unread_count: view.unread,
            last_message: view.last_message.map(LastMessageBody::from),
            encryption,
            capabilities,
        }
    }
}

/// A page of conversations.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationPage {
    /// Most recently changed first.
    items: Vec<ConversationBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only conversations of this type.
    #[param(inline)]
    r#type: Option<ConversationType>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many conversations a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

fn cursor_of(conversation: &Conversation) -> String {
    format!("{}.{}", conversation.updated_at.timestamp_micros(), conversation.id)
}

fn parse_cursor(cursor: &str) -> Result<ListAfter> {
    let parse = || {
        let (updated_at, id) = paging::moment(cursor)?;
        Some(ListAfter { updated_at, id: id.parse().ok()? })
    };
    parse().ok_or_else(|| invalid(FieldError::new("cursor", Rule::Malformed)))
}

pub(crate) async fn body(
    state: &State,
    caller: &Caller,
    conversation: Conversation,
) -> Result<ConversationBody> {
    Ok(ConversationBody::from(state.platform.screens.conversation(caller, conversation).await?))
}

async fn show(
    state: &State,
    caller: &Caller,
    status: StatusCode,
    conversation: Conversation,
) -> Result<HttpResponse> {
    Ok(HttpResponse::build(status).json(body(state, caller, conversation).await?))
}

async fn show_opened(state: &State, caller: &Caller, opened: Opened) -> Result<HttpResponse> {
    let status = if opened.created { StatusCode::CREATED } else { StatusCode::OK };
    show(state, caller, status, opened.conversation).await
}

/// Open a conversation
///
/// A patient talks with a doctor who attends them; staff and students talk among themselves. Patients never
/// moderate. With an `Idempotency-Key`, repeating the request answers the first result (200) and opens nothing.
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
        (status = 422, description = "`validation_failed`, `clinician_required`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations")]
async fn open(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    key: IdempotencyKey,
    body: Body<NewConversation>,
) -> Result<HttpResponse> {
    let Body(new) = body;
    let participants: Vec<UserId> = new.participants.into_iter().map(UserId::from).collect();
    let draft = Draft::parse(
        caller.user_id,
        new.r#type.into(),
        new.title.as_deref(),
        new.description.as_deref(),
        &participants,
    )
    .map_err(invalid)?;
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
async fn open_direct(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<Person>,
) -> Result<HttpResponse> {
    let opened = state.platform.conversations.open_direct(&caller, body.0.user_id.into()).await?;
    show_opened(&state, &caller, opened).await
}

/// List your conversations
#[utoipa::path(
    tag = "Conversations",
    operation_id = "listConversations",
    security(("bearer" = [])),
    params(ListParams),
    responses(
        (status = 200, description = "A page.", body = ConversationPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<ListParams>,
) -> Result<web::Json<ConversationPage>> {
    let size = PageSize::parse(params.page_size, 20).map_err(invalid)?;
    let query = ListQuery {
        kind: params.r#type.map(Kind::from),
        after: params.cursor.as_deref().map(parse_cursor).transpose()?,
        offset: paging::offset(params.page, size)?,
        size,
    };
    let page = state.platform.conversations.list(&caller, &query, cursor_of).await?;
    let views = state.platform.screens.conversations(&caller, page.items).await?;
    let items = views.into_iter().map(ConversationBody::from).collect();
    Ok(web::Json(ConversationPage { items, next_cursor: page.next_cursor }))
}

/// Look at a conversation
#[utoipa::path(
    tag = "Conversations",
    operation_id = "getConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "The conversation.", body = ConversationBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}")]
async fn get_one(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    let conversation = state.platform.conversations.get(&caller, id.into_inner().into()).await?;
    show(&state, &caller, StatusCode::OK, conversation).await
}

/// Add someone to a conversation
///
/// For moderators. The new participant reads what is said from now on. Adding someone who is in it changes
/// nothing.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "addParticipant",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = Person,
    responses(
        (status = 200, description = "They are in it.", body = ConversationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`, `conversation_not_allowed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`direct_conversation_fixed`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/participants")]
async fn add(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<Person>,
) -> Result<HttpResponse> {
    let (id, user) = (ConversationId::from(id.into_inner()), UserId::from(body.0.user_id));
    let conversation = state.platform.conversations.add(&caller, id, user).await?;
    show(&state, &caller, StatusCode::OK, conversation).await
}

/// Remove someone from a conversation, or leave it
///
/// Moderators remove others; anyone removes themselves. Whoever has gone sees nothing of it any more.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "removeParticipant",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The conversation."),
        ("user_id" = Uuid, Path, description = "Who goes."),
    ),
    responses(
        (status = 204, description = "They are gone."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`direct_conversation_fixed`, `last_moderator`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/conversations/{id}/participants/{user_id}")]
async fn remove(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    path: web::Path<(Uuid, Uuid)>,
) -> Result<HttpResponse> {
    let (id, user) = path.into_inner();
    state.platform.conversations.remove(&caller, id.into(), user.into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(open_direct);
    // Or else `direct` would be taken for an id.
    config.map(|config| config.service(web::resource("/conversations/direct").to(crate::nowhere)));
    config.service(open).service(list).service(get_one).service(add).service(remove);
}
