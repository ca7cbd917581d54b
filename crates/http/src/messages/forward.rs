//! Forwarding.

use actix_web::{post, web};
use alivio_kernel::DomainError;
use alivio_kernel::ids::ConversationId;
use alivio_messages::ClientMessageId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::MessageBody;
use crate::extract::{Body, SignedIn};
use crate::problem::{Problem, ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Where to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewForward {
    /// Up to 20 conversations.
    #[schema(min_items = 1, max_items = 20)]
    conversation_ids: Vec<Uuid>,
    /// Your name for it, in each of them. Under the same name it is forwarded once.
    #[schema(example = "client_msg_12346", min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    client_message_id: Option<String>,
}

/// What came of forwarding.
#[derive(Serialize, ToSchema)]
struct ForwardResults {
    /// In the order asked for.
    items: Vec<ForwardResult>,
}

/// What came of forwarding to one conversation.
#[derive(Serialize, ToSchema)]
struct ForwardResult {
    /// Which.
    conversation_id: Uuid,
    /// The message there, unless it was refused.
    message: Option<MessageBody>,
    /// Why it was refused: `not_found`, `forwarding_not_allowed`, `conversation_closed`, `direct_chat_blocked`,
    /// `clinicians_only`, `file_sharing_disabled`, `attachment_not_found`, `client_message_id_reused`,
    /// `outside_chat_hours`, `rate_limited`, `phi_not_allowed`, `content_not_allowed`, `unavailable`.
    #[schema(example = "forwarding_not_allowed")]
    error: Option<&'static str>,
}

/// Forward a message
///
/// Each conversation is answered for by itself. What was said about a patient goes only to people who are in that
/// conversation too, and to clinicians.
#[utoipa::path(
    tag = "Messages",
    operation_id = "forwardMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message.")),
    request_body = NewForward,
    responses(
        (status = 200, description = "What came of it in each conversation.", body = ForwardResults),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forwarding_not_allowed`: it stays where it is.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/messages/{id}/forward")]
pub(super) async fn forward(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewForward>,
) -> Result<web::Json<ForwardResults>> {
    let NewForward { conversation_ids, client_message_id } = body.0;
    let name = client_message_id.as_deref().map(ClientMessageId::parse).transpose().map_err(invalid)?;
    let targets = conversation_ids.into_iter().map(ConversationId::from).collect();
    let done = state.platform.forward(&caller, id.into_inner().into(), targets, name).await?;
    let mut items = Vec::with_capacity(done.len());
    for forwarded in done {
        let conversation_id = forwarded.conversation_id.uuid();
        let (message, error) = match forwarded.outcome {
            Ok(sent) => {
                let view = state.platform.screens.message(sent.message, sent.created, &caller).await?;
                (Some(MessageBody::from(&view)), None)
            }
            Err(error) => {
                let code = error.code();
                // Logs what is our fault.
                drop(Problem::from(error));
                (None, Some(code))
            }
        };
        items.push(ForwardResult { conversation_id, message, error });
    }
    Ok(web::Json(ForwardResults { items }))
}
