//! `POST /api/chat/report-message` (S0-23): the message that is reported stands in the body.

use actix_web::{HttpResponse, post, web};
use alivio_messages::ReportReason;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::moderation::remark;
use crate::problem::{Result, invalid};
use crate::state::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportMessageRequest {
    message_id: Uuid,
    reason: String,
    description: Option<String>,
}

#[post("/api/chat/report-message")]
pub(super) async fn report_message(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<ReportMessageRequest>,
) -> Result<HttpResponse> {
    let ReportMessageRequest { message_id, reason, description } = body.0;
    let reason: ReportReason = reason.parse().map_err(invalid)?;
    let comment = remark("description", description.as_deref())?;
    let moderation = &state.platform.moderation;
    let (report, created) = moderation.report(&caller, message_id.into(), reason, comment.as_ref()).await?;
    let header = report.header;
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(json!({
        "report_id": header.id, "message_id": header.message_id, "reason": header.reason.map(ReportReason::as_str),
        "status": header.status.as_str(), "created_at": header.created_at,
    })))
}
