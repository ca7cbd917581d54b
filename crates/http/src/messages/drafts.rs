//! What one has begun to write.

use actix_web::{HttpResponse, delete, get, put, web};
use alivio_kernel::PageSize;
use alivio_kernel::ids::MessageId;
use alivio_messages::{Content, UnsentDraft};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::read::parse_cursor;
use crate::extract::{Body, SignedIn};
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// What you have begun to write in a conversation. Nobody else sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Draft)]
struct DraftBody {
    /// Where.
    conversation_id: Uuid,
    /// The words.
    #[schema(example = "Buenos días, quería preguntarle")]
    content: String,
    /// The message that they answer.
    reply_to: Option<Uuid>,
    /// When they last changed.
    updated_at: DateTime<Utc>,
}

impl From<UnsentDraft> for DraftBody {
    fn from(draft: UnsentDraft) -> Self {
        Self {
            conversation_id: draft.conversation_id.uuid(),
            content: draft.content.as_str().to_owned(),
            reply_to: draft.reply_to.map(|id| id.uuid()),
            updated_at: draft.updated_at,
        }
    }
}

/// A page of what you have begun to write.
#[derive(Serialize, ToSchema)]
struct DraftPage {
    /// What changed last comes first.
    items: Vec<DraftBody>,
    /// Send it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// What to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDraft {
    /// 1 to 5,000 characters, not only white space.
    #[schema(example = "Buenos días, quería preguntarle", min_length = 1, max_length = 5000)]
    content: String,
    /// The message that they answer.
    reply_to: Option<Uuid>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DraftParams {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// Keep a draft
///
/// Instead of the one before. Your other devices are told that it changed. Sending does not throw it away.
#[utoipa::path(
    tag = "Messages",
    operation_id = "putDraft",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = NewDraft,
    responses(
        (status = 200, description = "Kept.", body = DraftBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/conversations/{id}/draft")]
pub(super) async fn put_draft(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewDraft>,
) -> Result<web::Json<DraftBody>> {
    let content = Content::parse(&body.0.content).map_err(invalid)?;
    let reply_to = body.0.reply_to.map(MessageId::from);
    let kept = state.platform.messages.keep_draft(&caller, id.into_inner().into(), content, reply_to).await?;
    Ok(web::Json(DraftBody::from(kept)))
}

/// Read your draft
#[utoipa::path(
    tag = "Messages",
    operation_id = "getDraft",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "What you have begun to write.", body = DraftBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}/draft")]
pub(super) async fn get_draft(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<DraftBody>> {
    let draft = state.platform.messages.draft(&caller, id.into_inner().into()).await?;
    Ok(web::Json(DraftBody::from(draft)))
}

/// Throw your draft away
#[utoipa::path(
    tag = "Messages",
    operation_id = "deleteDraft",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "There is none."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/conversations/{id}/draft")]
pub(super) async fn delete_draft(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.messages.discard_draft(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List your drafts
#[utoipa::path(
    tag = "Messages",
    operation_id = "listDrafts",
    security(("bearer" = [])),
    params(DraftParams),
    responses(
        (status = 200, description = "A page.", body = DraftPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/drafts")]
pub(super) async fn list_drafts(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<DraftParams>,
) -> Result<web::Json<DraftPage>> {
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let after = params.cursor.as_deref().map(parse_cursor).transpose()?;
    let page = state.platform.messages.drafts(&caller, after, size).await?.map(DraftBody::from);
    Ok(web::Json(DraftPage { items: page.items, next_cursor: page.next_cursor }))
}
