//! `POST /api/chat/block-user` (S0-22): who is to be blocked stands in the body.

use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::problem::Result;
use crate::state::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockUserRequest {
    user_id: Uuid,
}

#[post("/api/chat/block-user")]
pub(super) async fn block_user(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<BlockUserRequest>,
) -> Result<HttpResponse> {
    let (block, created) = state.platform.block(&caller, body.0.user_id.into()).await?;
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(json!({"user_id": block.blocked, "is_blocked": true, "created_at": block.created_at})))
}
