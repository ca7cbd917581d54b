//! `/api/v1/blocks`: people one wants nothing of (C-42).

use actix_web::{HttpResponse, delete, get, post, web};
use alivio_accounts::{After, Block, Window};
use alivio_kernel::ids::UserId;
use alivio_kernel::{FieldError, PageSize, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::SignedIn;
use crate::paging;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Forbidden, Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

/// Someone you block.
#[derive(Serialize, ToSchema)]
#[schema(as = Block)]
struct BlockBody {
    /// Who.
    user_id: Uuid,
    /// Since when.
    created_at: DateTime<Utc>,
}

impl From<Block> for BlockBody {
    fn from(block: Block) -> Self {
        Self { user_id: block.blocked.uuid(), created_at: block.created_at }
    }
}

/// A page of those you block.
#[derive(Serialize, ToSchema)]
struct BlockPage {
    /// Newest first.
    items: Vec<BlockBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// A block between a patient and a professional who attended them when it was raised.
#[derive(Serialize, ToSchema)]
#[schema(as = CareBlock)]
struct CareBlockBody {
    /// Who blocks.
    blocker_id: Uuid,
    /// Whom.
    blocked_id: Uuid,
    /// Since when.
    created_at: DateTime<Utc>,
}

impl From<Block> for CareBlockBody {
    fn from(block: Block) -> Self {
        Self {
            blocker_id: block.blocker.uuid(),
            blocked_id: block.blocked.uuid(),
            created_at: block.created_at,
        }
    }
}

/// A page of blocks for the clinic to look at.
#[derive(Serialize, ToSchema)]
struct CareBlockPage {
    /// Newest first.
    items: Vec<CareBlockBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct BlockParams {
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many entries a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

impl BlockParams {
    fn window<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Window<T>> {
        let size = PageSize::parse(self.page_size, 20).map_err(invalid)?;
        let after = self.cursor.as_deref().map(|cursor| {
            let (at, id) = paging::moment(cursor)?;
            Some(After { at, id: parse(id)? })
        });
        let after = match after {
            Some(None) => return Err(invalid(FieldError::new("cursor", Rule::Malformed))),
            after => after.flatten(),
        };
        Ok(Window { after, offset: paging::offset(self.page, size)?, size })
    }
}

/// Block someone
///
/// They can no longer write to you directly, ask you to be a contact, add you to groups, or see whether you are here,
/// nor you them. Consultations go on; if one of you attends the other, the clinic is told. Blocking again changes
/// nothing.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "blockUser",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Whom.")),
    responses(
        (status = 200, description = "They were blocked before.", body = BlockBody),
        (status = 201, description = "Blocked.", body = BlockBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 409, description = "`cannot_block_admin`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/blocks/{user_id}")]
async fn block_user(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
) -> Result<HttpResponse> {
    let (block, created) = state.platform.block(&caller, user.into_inner().into()).await?;
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(BlockBody::from(block)))
}

/// Lift a block
///
/// Also answers 204 where there was none.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "unblockUser",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Whom.")),
    responses(
        (status = 204, description = "There is no block."),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/blocks/{user_id}")]
async fn unblock_user(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.unblock(&caller, user.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List those you block
#[utoipa::path(
    tag = "Contacts",
    operation_id = "listBlocks",
    security(("bearer" = [])),
    params(BlockParams),
    responses(
        (status = 200, description = "A page.", body = BlockPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/blocks")]
async fn list_blocks(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<BlockParams>,
) -> Result<web::Json<BlockPage>> {
    let window = params.window(|id| id.parse().ok())?;
    let cursor = |block: &Block| format!("{}.{}", block.created_at.timestamp_micros(), block.blocked);
    let page = state.platform.blocks.list(&caller, &window, cursor).await?.map(BlockBody::from);
    Ok(web::Json(BlockPage { items: page.items, next_cursor: page.next_cursor }))
}

/// List blocks between patients and those who attend them
///
/// For those who manage professionals (`professionals:manage`). Ids and times only; reading it is recorded.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "listCareBlocks",
    security(("bearer" = [])),
    params(BlockParams),
    responses(
        (status = 200, description = "A page.", body = CareBlockPage),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/care-blocks")]
async fn list_care_blocks(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<BlockParams>,
) -> Result<web::Json<CareBlockPage>> {
    let window = params.window(|ids| {
        let (blocker, blocked) = ids.split_once('.')?;
        Some((blocker.parse::<UserId>().ok()?, blocked.parse::<UserId>().ok()?))
    })?;
    let cursor = |b: &Block| format!("{}.{}.{}", b.created_at.timestamp_micros(), b.blocker, b.blocked);
    let page = state.platform.blocks.care_blocks(&caller, &window, cursor).await?.map(CareBlockBody::from);
    Ok(web::Json(CareBlockPage { items: page.items, next_cursor: page.next_cursor }))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(block_user).service(unblock_user).service(list_blocks).service(list_care_blocks);
}
