//! Who is in a conversation, and how people come in and go.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, patch, post, web};
use alivio_conversations::ParticipantRole;
use alivio_kernel::ids::{ConversationId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::bodies::ParticipantBody;
use super::{ConversationBody, Person, show};
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Everyone in a conversation.
#[derive(Serialize, ToSchema)]
struct ParticipantList {
    /// Since when they are in it decides the order.
    items: Vec<ParticipantBody>,
}

/// What someone is to be in a conversation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ParticipantChange {
    /// `member` or `moderator`; `participant` and `admin` are understood as well.
    #[schema(example = "moderator")]
    role: String,
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
        (status = 409, description = "`direct_conversation_fixed`, `conversation_closed`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/participants")]
pub(super) async fn add(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<Person>,
) -> Result<HttpResponse> {
    let (id, user) = (ConversationId::from(id.into_inner()), UserId::from(body.0.user_id));
    state.platform.conversations.add(&caller, id, user).await?;
    show(&state, &caller, StatusCode::OK, id).await
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
pub(super) async fn remove(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    path: web::Path<(Uuid, Uuid)>,
) -> Result<HttpResponse> {
    let (id, user) = path.into_inner();
    state.platform.conversations.remove(&caller, id.into(), user.into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the people in a conversation
#[utoipa::path(
    tag = "Conversations",
    operation_id = "listParticipants",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "Everyone in it now.", body = ParticipantList),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}/participants")]
pub(super) async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    let view = state.platform.screens.conversation(&caller, id.into_inner().into()).await?;
    let items = view.participants.into_iter().map(ParticipantBody::from).collect();
    Ok(HttpResponse::Ok().json(ParticipantList { items }))
}

/// Make someone a moderator, or no longer
///
/// For moderators. Patients never moderate; someone always does, and in consultations a clinician.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "changeParticipant",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation."), ("user_id" = Uuid, Path, description = "Who.")),
    request_body = ParticipantChange,
    responses(
        (status = 200, description = "That is what they are.", body = ConversationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`direct_conversation_fixed`, `last_moderator`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, description = "`validation_failed`, `patients_do_not_moderate`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/conversations/{id}/participants/{user_id}")]
pub(super) async fn change(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    path: web::Path<(Uuid, Uuid)>,
    body: Body<ParticipantChange>,
) -> Result<HttpResponse> {
    let (id, user) = path.into_inner();
    let (id, user) = (ConversationId::from(id), UserId::from(user));
    let role: ParticipantRole = body.0.role.parse().map_err(invalid)?;
    state.platform.conversations.set_role(&caller, id, user, role).await?;
    show(&state, &caller, StatusCode::OK, id).await
}

/// Leave a conversation
///
/// Nobody leaves a direct conversation, nor its last moderator any other. Whoever has gone sees nothing of it any more.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "leaveConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "You are gone."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 409, description = "`direct_conversation_fixed`, `last_moderator`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/leave")]
pub(super) async fn leave(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.conversations.remove(&caller, id.into_inner().into(), caller.user_id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Come into a conversation that is open to the clinic
///
/// Groups with `settings.joinable`. Patients do not, and nobody comes into `care` by themselves.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "joinConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "You are in it.", body = ConversationBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`conversation_not_allowed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`conversation_closed`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/join")]
pub(super) async fn join(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    let id = id.into_inner().into();
    state.platform.conversations.join(&caller, id).await?;
    show(&state, &caller, StatusCode::OK, id).await
}
