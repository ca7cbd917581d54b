//! Links that let people into a conversation.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, post, web};
use alivio_conversations::{InvitationLink, LinkTerms};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ConversationBody, show};
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// How far a new link reaches.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewInvitationLink {
    /// For how long it is good (72 hours unless said otherwise).
    #[schema(example = 72, minimum = 1, maximum = 720)]
    expires_in_hours: Option<i64>,
    /// How many people it lets in (any number unless said otherwise).
    #[schema(example = 5, minimum = 1, maximum = 1000)]
    max_uses: Option<i32>,
}

/// A link that lets people in.
#[derive(Serialize, ToSchema)]
#[schema(as = InvitationLink)]
struct LinkBody {
    /// Its id.
    id: Uuid,
    /// Where it leads.
    conversation_id: Uuid,
    /// Who made it. It is good while they moderate.
    created_by: Uuid,
    /// When.
    created_at: DateTime<Utc>,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
    /// How many people it lets in; any number if `null`.
    #[schema(example = 5)]
    max_uses: Option<i32>,
    /// How many it has let in.
    #[schema(example = 1)]
    uses: i32,
    /// When it was withdrawn.
    revoked_at: Option<DateTime<Utc>>,
}

/// A new link with its secret.
#[derive(Serialize, ToSchema)]
struct IssuedInvitationLink {
    /// What lets its holders in. Shown this once.
    #[schema(example = "alj_pAx0vJ3sM1m8QyQ9w2cVb7nT4kZr6uLdEeHhGgJjKkM")]
    token: String,
    /// The link.
    #[serde(flatten)]
    link: LinkBody,
}

/// The links of a conversation.
#[derive(Serialize, ToSchema)]
struct InvitationLinkList {
    /// The newest first.
    items: Vec<LinkBody>,
}

/// The secret of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkToken {
    /// As it was shown when the link was made.
    #[schema(example = "alj_pAx0vJ3sM1m8QyQ9w2cVb7nT4kZr6uLdEeHhGgJjKkM")]
    token: String,
}

impl From<InvitationLink> for LinkBody {
    fn from(link: InvitationLink) -> Self {
        Self {
            id: link.id.uuid(),
            conversation_id: link.conversation_id.uuid(),
            created_by: link.created_by.uuid(),
            created_at: link.created_at,
            expires_at: link.expires_at,
            max_uses: link.max_uses,
            uses: link.uses,
            revoked_at: link.revoked_at,
        }
    }
}

/// Make a link that lets people into a conversation
///
/// For moderators. Who comes by it is let in as if you added them then: the same rules hold.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "createInvitationLink",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = NewInvitationLink,
    responses(
        (status = 201, description = "Made.", body = IssuedInvitationLink),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`direct_conversation_fixed`, `conversation_closed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/invitation-links")]
pub(super) async fn issue(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewInvitationLink>,
) -> Result<HttpResponse> {
    let terms = LinkTerms::parse(body.0.expires_in_hours, body.0.max_uses).map_err(invalid)?;
    let issued = state.platform.invitation_links.issue(&caller, id.into_inner().into(), terms).await?;
    let token = issued.secret.into_exposed();
    Ok(HttpResponse::Created().json(IssuedInvitationLink { token, link: issued.link.into() }))
}

/// List the links into a conversation
///
/// For moderators.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "listInvitationLinks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "All that were made, also those that are good no longer.", body = InvitationLinkList),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}/invitation-links")]
pub(super) async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    let links = state.platform.invitation_links.list(&caller, id.into_inner().into()).await?;
    let items = links.into_iter().map(LinkBody::from).collect();
    Ok(HttpResponse::Ok().json(InvitationLinkList { items }))
}

/// Withdraw a link
///
/// For moderators. Who came in by it stays.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "revokeInvitationLink",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation."), ("link_id" = Uuid, Path, description = "The link.")),
    responses(
        (status = 204, description = "It lets nobody in any more."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_a_moderator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/conversations/{id}/invitation-links/{link_id}")]
pub(super) async fn revoke(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    path: web::Path<(Uuid, Uuid)>,
) -> Result<HttpResponse> {
    let (id, link) = path.into_inner();
    state.platform.invitation_links.revoke(&caller, id.into(), link.into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Come into a conversation by a link
///
/// A link that is used up, over, withdrawn or unknown is not found. Who is in it already uses nothing up.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "joinByInvitationLink",
    security(("bearer" = [])),
    request_body = LinkToken,
    responses(
        (status = 200, description = "You are in it.", body = ConversationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`conversation_not_allowed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`conversation_closed`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/join")]
pub(super) async fn enter(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<LinkToken>,
) -> Result<HttpResponse> {
    let conversation = state.platform.invitation_links.enter(&caller, &body.0.token).await?;
    show(&state, &caller, StatusCode::OK, conversation.id).await
}
