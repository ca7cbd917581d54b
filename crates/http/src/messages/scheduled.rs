//! Messages that wait for their time.

use actix_web::{HttpResponse, delete, get, patch, web};
use alivio_kernel::PageSize;
use alivio_messages::{Content, Rewrite, ScheduledMessage, ScheduledState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::PriorityBody;
use super::payload::PayloadBody;
use super::read::parse_cursor;
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// A message that is to be sent later.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduledMessage)]
pub(crate) struct ScheduledBody {
    /// Its id. The message that it becomes has another.
    id: Uuid,
    /// Where to.
    conversation_id: Uuid,
    /// `pending`, `sending`, `sent`, `cancelled` or `refused`.
    #[schema(example = "pending")]
    state: &'static str,
    /// When.
    scheduled_for: DateTime<Utc>,
    /// What it is.
    #[schema(example = "text")]
    message_type: &'static str,
    /// The words.
    #[schema(example = "Recuerde su cita de mañana.")]
    content: Option<String>,
    /// What an `appointment` or a `prescription` holds.
    payload: Option<PayloadBody>,
    /// The files that it is to hold.
    attachments: Vec<Uuid>,
    /// The message that it answers.
    reply_to: Option<Uuid>,
    /// How urgent it is.
    #[schema(example = "normal")]
    priority: &'static str,
    /// The message that it became.
    message_id: Option<Uuid>,
    /// Why it was refused: a code, as sending would have answered.
    #[schema(example = "conversation_closed")]
    reason: Option<String>,
    /// When it was written.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<ScheduledMessage> for ScheduledBody {
    fn from(it: ScheduledMessage) -> Self {
        Self {
            id: it.id.uuid(),
            conversation_id: it.conversation_id.uuid(),
            state: it.state.as_str(),
            scheduled_for: it.due_at,
            message_type: it.draft.message_type.as_str(),
            content: it.draft.content.as_ref().map(|content| content.as_str().to_owned()),
            payload: it.draft.payload.as_ref().and_then(PayloadBody::of),
            attachments: it.draft.attachments.iter().map(|file| file.uuid()).collect(),
            reply_to: it.draft.reply_to.map(|id| id.uuid()),
            priority: it.draft.priority.as_str(),
            message_id: it.message_id.map(|id| id.uuid()),
            reason: it.reason,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// A page of messages that wait, or have waited.
#[derive(Serialize, ToSchema)]
struct ScheduledPage {
    /// The latest due first.
    items: Vec<ScheduledBody>,
    /// Send it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// Another wording or another time. What is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScheduledChanges {
    /// The words.
    #[schema(example = "Recuerde su cita de mañana a las 9.", min_length = 1, max_length = 5000)]
    content: Option<String>,
    /// How urgent it is.
    priority: Option<PriorityBody>,
    /// When to send it, within a year.
    scheduled_for: Option<DateTime<Utc>>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ScheduledParams {
    /// Only in this state: `pending`, `sending`, `sent`, `cancelled` or `refused`.
    #[param(example = "pending")]
    state: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// List your scheduled messages
///
/// Also those that were sent, taken back or refused.
#[utoipa::path(
    tag = "Messages",
    operation_id = "listScheduledMessages",
    security(("bearer" = [])),
    params(ScheduledParams),
    responses(
        (status = 200, description = "A page.", body = ScheduledPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/messages/scheduled")]
pub(super) async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<ScheduledParams>,
) -> Result<web::Json<ScheduledPage>> {
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let only: Option<ScheduledState> =
        params.state.as_deref().map(str::parse).transpose().map_err(invalid)?;
    let after = params.cursor.as_deref().map(parse_cursor).transpose()?;
    let page = state
        .platform
        .messages
        .scheduled_messages(&caller, only, after, size)
        .await?
        .map(ScheduledBody::from);
    Ok(web::Json(ScheduledPage { items: page.items, next_cursor: page.next_cursor }))
}

/// Read a scheduled message
#[utoipa::path(
    tag = "Messages",
    operation_id = "getScheduledMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The scheduled message.")),
    responses(
        (status = 200, description = "The scheduled message.", body = ScheduledBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/messages/scheduled/{id}")]
pub(super) async fn find(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<ScheduledBody>> {
    let found = state.platform.messages.scheduled_message(&caller, id.into_inner().into()).await?;
    Ok(web::Json(ScheduledBody::from(found)))
}

/// Change a scheduled message
#[utoipa::path(
    tag = "Messages",
    operation_id = "updateScheduledMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The scheduled message.")),
    request_body = ScheduledChanges,
    responses(
        (status = 200, description = "As it is now.", body = ScheduledBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 409, description = "`scheduled_message_settled`: its time has come, or it was taken back; `stale`: it was changed at the same time.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/messages/scheduled/{id}")]
pub(super) async fn change(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<ScheduledChanges>,
) -> Result<web::Json<ScheduledBody>> {
    let rewrite = Rewrite {
        content: body.0.content.as_deref().map(Content::parse).transpose().map_err(invalid)?,
        priority: body.0.priority.map(Into::into),
        scheduled_for: body.0.scheduled_for,
    };
    let changed = state.platform.messages.reschedule(&caller, id.into_inner().into(), rewrite).await?;
    Ok(web::Json(ScheduledBody::from(changed)))
}

/// Take a scheduled message back
#[utoipa::path(
    tag = "Messages",
    operation_id = "cancelScheduledMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The scheduled message.")),
    responses(
        (status = 204, description = "It will not be sent."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 409, description = "`scheduled_message_settled`: its time has come.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/messages/scheduled/{id}")]
pub(super) async fn cancel(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.messages.cancel_scheduled(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}
