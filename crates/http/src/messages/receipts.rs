//! Who has received and read a message.

use std::sync::Arc;

use actix_web::{get, put, web};
use alivio_accounts::UserSummary;
use alivio_kernel::ids::UserId;
use alivio_kernel::{FieldError, PageSize, Rule};
use alivio_messages::{Receipt, parse_status};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ReadMarkerBody;
use crate::conversations::UserSummaryBody;
use crate::extract::{Body, SignedIn};
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// How far a message has come to someone.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
struct ReceiptBody {
    /// To whom.
    user: UserSummaryBody,
    /// `sent`, `delivered` or `read`. (`failed` is what a client shows of a message that it could not send.)
    #[schema(example = "read")]
    delivery_status: &'static str,
    /// When a device of theirs had it.
    delivered_at: Option<DateTime<Utc>>,
    /// When they had read it.
    read_at: Option<DateTime<Utc>>,
}

impl From<&(Receipt, Arc<UserSummary>)> for ReceiptBody {
    fn from((receipt, person): &(Receipt, Arc<UserSummary>)) -> Self {
        Self {
            user: UserSummaryBody::from(&**person),
            delivery_status: receipt.status().as_str(),
            delivered_at: receipt.delivered_at,
            read_at: receipt.read_at,
        }
    }
}

/// A page of receipts.
#[derive(Serialize, ToSchema)]
struct ReceiptPage {
    /// One for each person in the conversation that the message is for.
    items: Vec<ReceiptBody>,
    /// Send it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReceiptParams {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many people a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// How far a message has come to you.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    /// `delivered` or `read`. It never goes back.
    #[schema(example = "read")]
    status: String,
}

/// List who has received and read a message
///
/// Where it is not shown who has read what, others are `delivered` at most; while a block stands between the two of a
/// direct conversation, you see nothing of the other.
#[utoipa::path(
    tag = "Messages",
    operation_id = "listReceipts",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message."), ReceiptParams),
    responses(
        (status = 200, description = "A page.", body = ReceiptPage),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/messages/{id}/receipts")]
pub(super) async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    params: web::Query<ReceiptParams>,
) -> Result<web::Json<ReceiptPage>> {
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let malformed = |_| invalid(FieldError::new("cursor", Rule::Malformed));
    let after: Option<UserId> = params.cursor.as_deref().map(str::parse).transpose().map_err(malformed)?;
    let page = state.platform.screens.receipts(&caller, id.into_inner().into(), after, size).await?;
    let items = page.items.iter().map(ReceiptBody::from).collect();
    Ok(web::Json(ReceiptPage { items, next_cursor: page.next_cursor }))
}

/// Say that a message has come to you
///
/// Everything before it counts likewise. Nobody says so for anyone else.
#[utoipa::path(
    tag = "Messages",
    operation_id = "setReceipt",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message.")),
    request_body = NewStatus,
    responses(
        (status = 200, description = "Where your marker is now.", body = ReadMarkerBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/messages/{id}/receipts/me")]
pub(super) async fn set(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewStatus>,
) -> Result<web::Json<ReadMarkerBody>> {
    let mark = parse_status(&body.0.status).map_err(invalid)?;
    let (conversation, moved) = state.platform.advance_to(&caller, id.into_inner().into(), mark).await?;
    Ok(web::Json(ReadMarkerBody::new(conversation, &moved)))
}
