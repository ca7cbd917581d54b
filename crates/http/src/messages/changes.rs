//! Editing, correcting and taking back.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, patch, post, web};
use alivio_messages::{ClientMessageId, Content, CorrectionReason, Draft, Wordings};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::MessageBody;
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{
    Invalid, Malformed, MalformedOrClosed, NotFound, NotJson, PaceExceeded, TooLarge, Unauthenticated,
    Unavailable,
};
use crate::state::State;

/// Other words for a message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWording {
    /// 1 to 5,000 characters, not only white space.
    #[schema(example = "Tome 5 mg por la mañana.", min_length = 1, max_length = 5000)]
    content: String,
    /// The `version` that you saw. If the message has another one by now, nothing is changed.
    #[schema(example = 1, minimum = 1)]
    version: Option<u32>,
}

/// What a message should have said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCorrection {
    /// 1 to 5,000 characters, not only white space.
    #[schema(example = "Son 5 mg, no 50 mg.", min_length = 1, max_length = 5000)]
    content: String,
    /// Why, 1 to 500 characters.
    #[schema(example = "Error al escribir la dosis", min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Your name for the new message, 1 to 128 visible ASCII characters. Sending it again under the same name answers the
    /// first result.
    #[schema(example = "client_msg_12346", min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    client_message_id: Option<String>,
}

/// All that a message has said.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageHistory)]
struct HistoryBody {
    /// The message.
    message_id: Uuid,
    /// Its wordings, the oldest first, the current one last. None once it was taken back or has expired.
    items: Vec<WordingBody>,
    /// The message that puts it right.
    corrected_by: Option<Uuid>,
    /// Why it was put right, if that was said.
    #[schema(example = "Error al escribir la dosis")]
    correction_reason: Option<String>,
}

/// The words of a message at a time.
#[derive(Serialize, ToSchema)]
#[schema(as = Wording)]
struct WordingBody {
    /// Which wording, from 1.
    #[schema(example = 1)]
    version: u32,
    /// The words.
    #[schema(example = "Tome 50 mg por la mañana.")]
    content: String,
    /// When it was written.
    written_at: DateTime<Utc>,
}

impl HistoryBody {
    fn new(message_id: Uuid, wordings: Wordings) -> Self {
        let items = wordings.wordings.into_iter().map(|wording| WordingBody {
            version: wording.version,
            content: wording.content.as_str().to_owned(),
            written_at: wording.written_at,
        });
        Self {
            message_id,
            items: items.collect(),
            corrected_by: wordings.corrected_by.map(Uuid::from),
            correction_reason: wordings.correction_reason.map(|reason| reason.as_str().to_owned()),
        }
    }
}

/// Edit a message
///
/// Only yours, and where the conversation allows it. In conversations about care, within 15 minutes unless the clinic
/// has chosen otherwise; send a correction after that. Every wording is kept: see `GET /messages/{id}/history`.
#[utoipa::path(
    tag = "Messages",
    operation_id = "editMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message.")),
    request_body = NewWording,
    responses(
        (status = 200, description = "As it is now.", body = MessageBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_sender`; `message_editing_disabled`; `direct_chat_blocked`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`edit_window_over`: send a correction; `stale`: it has another version; `already_corrected`; `message_gone`; `conversation_closed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, description = "`validation_failed`: a field breaks a rule; `details` names both. `phi_not_allowed`, `content_not_allowed`: what it says may not be said there (`details.findings`).", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/messages/{id}")]
pub(super) async fn edit(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewWording>,
) -> Result<web::Json<MessageBody>> {
    let NewWording { content, version } = body.0;
    let content = Content::parse(&content).map_err(invalid)?;
    let changed = state.platform.edit(&caller, id.into_inner().into(), content, version).await?;
    let view = state.platform.screens.changed(&caller, changed).await?;
    Ok(web::Json(MessageBody::from(&view)))
}

/// Take a message back
///
/// Yours, where the conversation allows it; or another's, in a group that you moderate. Its place in the conversation
/// stays, its words are withheld from everyone. Words about the care of a patient are kept for as long as the record is;
/// others are destroyed a week later. Doing it again changes nothing; it cannot be undone.
#[utoipa::path(
    tag = "Messages",
    operation_id = "deleteMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message.")),
    responses(
        (status = 204, description = "Taken back."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_sender`; `message_deletion_disabled`; `direct_chat_blocked`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`conversation_closed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/messages/{id}")]
pub(super) async fn take_back(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.delete(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Correct a message
///
/// Sends a new message that puts one of yours right, at any time. The old one stays, and is shown as corrected by the
/// new one; a message is corrected once, and the correction can be corrected in turn.
#[utoipa::path(
    tag = "Messages",
    operation_id = "correctMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message that was wrong.")),
    request_body = NewCorrection,
    responses(
        (status = 200, description = "You had sent it before; this is what was stored then.", body = MessageBody),
        (status = 201, description = "The new message.", body = MessageBody),
        (status = 400, response = MalformedOrClosed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_sender`; `direct_chat_blocked`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`already_corrected`: `details.corrected_by` is the message to correct instead; `stale`; `message_gone`; `client_message_id_reused`; `conversation_closed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 429, response = PaceExceeded),
        (status = 503, response = Unavailable),
    )
)]
#[post("/messages/{id}/corrections")]
pub(super) async fn correct(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewCorrection>,
) -> Result<HttpResponse> {
    let NewCorrection { content, reason, client_message_id } = body.0;
    let name = client_message_id.as_deref().map(ClientMessageId::parse).transpose().map_err(invalid)?;
    let content = Content::parse(&content).map_err(invalid)?;
    let draft = Draft { client_message_id: name, ..Draft::text(content) };
    let reason = reason.as_deref().map(CorrectionReason::parse).transpose().map_err(invalid)?;
    let sent = state.platform.correct(&caller, id.into_inner().into(), draft, reason).await?;
    let status = if sent.created { StatusCode::CREATED } else { StatusCode::OK };
    let view = state.platform.screens.message(sent.message, sent.created, &caller).await?;
    Ok(HttpResponse::build(status).json(MessageBody::from(&view)))
}

/// Read what a message has said
#[utoipa::path(
    tag = "Messages",
    operation_id = "getMessageHistory",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message.")),
    responses(
        (status = 200, description = "Its wordings.", body = HistoryBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/messages/{id}/history")]
pub(super) async fn read_wordings(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<HistoryBody>> {
    let id = id.into_inner();
    let wordings = state.platform.messages.wordings(&caller, id.into()).await?;
    Ok(web::Json(HistoryBody::new(id, wordings)))
}
