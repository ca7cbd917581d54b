//! `/api/v1/admin/break-glass`: reading a conversation in an emergency (C-59).

use actix_web::{HttpResponse, delete, get, post, web};
use alivio_audit::{Grant, Reason};
use alivio_kernel::{Clock, Page, SystemClock};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::audit::window;
use crate::extract::{Body, SignedIn};
use crate::messages::{HistoryParams, MessageBody, MessagePage};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// What to read, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBreakGlass {
    /// The conversation.
    conversation_id: Uuid,
    /// Why it must be read, in 10 to 500 characters. Other administrators see it.
    #[schema(
        example = "Paciente ilocalizable tras un aviso de riesgo vital",
        min_length = 10,
        max_length = 500
    )]
    reason: String,
}

/// A permission to read one conversation.
#[derive(Serialize, ToSchema)]
struct BreakGlassGrant {
    /// Its id.
    id: Uuid,
    /// Who may read.
    admin_id: Uuid,
    /// What.
    conversation_id: Uuid,
    /// Why.
    #[schema(example = "Paciente ilocalizable tras un aviso de riesgo vital")]
    reason: String,
    /// From when on.
    opened_at: DateTime<Utc>,
    /// Until when at the latest: one hour after it was opened.
    expires_at: DateTime<Utc>,
    /// When it was ended early.
    ended_at: Option<DateTime<Utc>>,
    /// By whom.
    ended_by: Option<Uuid>,
    /// Whether one may read by it now.
    is_open: bool,
}

impl From<Grant> for BreakGlassGrant {
    fn from(grant: Grant) -> Self {
        Self {
            is_open: grant.is_open(SystemClock.now()),
            id: grant.id.uuid(),
            admin_id: grant.admin_id.uuid(),
            conversation_id: grant.conversation_id.uuid(),
            reason: grant.reason.into_exposed(),
            opened_at: grant.opened_at,
            expires_at: grant.expires_at,
            ended_at: grant.ended_at,
            ended_by: grant.ended_by.map(Uuid::from),
        }
    }
}

/// A page of grants.
#[derive(Serialize, ToSchema)]
struct BreakGlassPage {
    /// Newest first.
    items: Vec<BreakGlassGrant>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GrantParams {
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many grants a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// Break the glass
///
/// Scope `break_glass:use`. Lets you read one conversation that you are not in, for an hour. Those in it find that in
/// their access log; they and all other administrators are told at once by `access.break_glass`.
#[utoipa::path(
    tag = "Administration",
    operation_id = "openBreakGlass",
    security(("bearer" = [])),
    request_body = NewBreakGlass,
    responses(
        (status = 201, description = "You may read it now.", body = BreakGlassGrant),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`already_participant`: you are in it; `break_glass_open`: you hold a grant to it; `stale`: its members just changed, try again.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/admin/break-glass")]
async fn open(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<NewBreakGlass>,
) -> Result<HttpResponse> {
    let reason = Reason::parse(&body.0.reason).map_err(invalid)?;
    let grant = state.platform.break_glass.open(&caller, body.0.conversation_id.into(), &reason).await?;
    Ok(HttpResponse::Created().json(BreakGlassGrant::from(grant)))
}

/// See who broke the glass
///
/// Scope `break_glass:use`: administrators see each other's grants.
#[utoipa::path(
    tag = "Administration",
    operation_id = "listBreakGlass",
    security(("bearer" = [])),
    params(GrantParams),
    responses(
        (status = 200, description = "A page.", body = BreakGlassPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/break-glass")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<GrantParams>,
) -> Result<web::Json<BreakGlassPage>> {
    let (after, size) = window(params.cursor.as_deref(), params.page_size)?;
    let page = state.platform.break_glass.list(&caller, after, size).await?;
    let Page { items, next_cursor } = page.map(BreakGlassGrant::from);
    Ok(web::Json(BreakGlassPage { items, next_cursor }))
}

/// End a grant early
///
/// Scope `break_glass:use`. Your own, or another administrator's.
#[utoipa::path(
    tag = "Administration",
    operation_id = "endBreakGlass",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The grant.")),
    responses(
        (status = 204, description = "It is over."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/admin/break-glass/{id}")]
async fn end(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.break_glass.end(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Read a conversation by a grant
///
/// Scope `break_glass:use`. Only by your own grant, and only while it lasts. Every page is recorded before it is
/// shown, and those in the conversation find it in their access log.
#[utoipa::path(
    tag = "Administration",
    operation_id = "readByBreakGlass",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The grant."), HistoryParams),
    responses(
        (status = 200, description = "A page.", body = MessagePage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/break-glass/{id}/messages")]
async fn messages(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    params: web::Query<HistoryParams>,
) -> Result<web::Json<MessagePage>> {
    let page = state.platform.read_by_grant(&caller, id.into_inner().into(), &params.parse()?).await?;
    let items = page.items.iter().map(MessageBody::from).collect();
    Ok(web::Json(MessagePage { items, next_cursor: page.next_cursor }))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(open).service(list).service(end).service(messages);
}
