//! Sending.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use alivio_kernel::FieldError;
use alivio_kernel::ids::MessageId;
use alivio_messages::{ClientMessageId, Content, Draft, Source};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{MessageBody, MessageTypeBody, PriorityBody, WarningBody};
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// A message to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// What it is: `text`.
    #[serde(default)]
    message_type: MessageTypeBody,
    /// 1 to 5,000 characters, not only white space.
    #[schema(example = "¿Cómo se ha sentido con la nueva medicación?", min_length = 1, max_length = 5000)]
    content: String,
    /// How urgent it is.
    #[serde(default)]
    priority: PriorityBody,
    /// The message that it answers, in the same conversation.
    reply_to: Option<Uuid>,
    /// What it was written with: 1 to 32 lower-case letters, digits and underscores.
    #[schema(example = "web_app", min_length = 1, max_length = 32, pattern = "^[a-z0-9_]+$")]
    source: Option<String>,
    /// Your name for it, 1 to 128 visible ASCII characters. Sending it again under the same name answers the
    /// first result; without a name every request makes a new message.
    #[schema(example = "client_msg_12345", min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    client_message_id: Option<String>,
}

impl NewMessage {
    pub(crate) fn parse(self) -> std::result::Result<Draft, FieldError> {
        Ok(Draft {
            message_type: self.message_type.into(),
            priority: self.priority.into(),
            client_message_id: self.client_message_id.as_deref().map(ClientMessageId::parse).transpose()?,
            reply_to: self.reply_to.map(MessageId::from),
            source: self.source.as_deref().map(Source::parse).transpose()?.unwrap_or_default(),
            ..Draft::text(Content::parse(&self.content)?)
        })
    }

    pub(crate) const fn of(
        message_type: MessageTypeBody,
        priority: PriorityBody,
        content: String,
        client_message_id: Option<String>,
    ) -> Self {
        Self { message_type, content, priority, client_message_id, reply_to: None, source: None }
    }
}

/// A message that you have sent.
#[derive(Serialize, ToSchema)]
#[schema(as = SentMessage)]
struct SentMessageBody {
    #[serde(flatten)]
    message: MessageBody,
    /// What was found in it that you may want to know. Some of it is shown to those who moderate.
    warnings: Vec<WarningBody>,
}

/// Send a message
///
/// The answer comes once the message is safely stored. If you get none, send it again with the same
/// `client_message_id`: it is stored once.
///
/// You may send 20 messages a minute; emergencies have a count of their own. What you repeat by its
/// `client_message_id` does not count. The 21st is answered 429 `rate_limited`, with `Retry-After`.
#[utoipa::path(
    tag = "Messages",
    operation_id = "sendMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = NewMessage,
    responses(
        (status = 200, description = "You had sent it before; this is what was stored then.", body = SentMessageBody),
        (status = 201, description = "Stored.", body = SentMessageBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`direct_chat_blocked`: a block stands between the two of this direct conversation.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`client_message_id_reused`, `conversation_closed`, `content_destroyed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, description = "`validation_failed`; `phi_not_allowed`: it tells who a patient is where nobody may; `content_not_allowed`: the rules of the clinic refuse it. `details.findings` names the rules.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/messages")]
pub(super) async fn send(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewMessage>,
) -> Result<HttpResponse> {
    let draft = body.0.parse().map_err(invalid)?;
    let sent = state.platform.send(&caller, id.into_inner().into(), draft).await?;
    let status = if sent.created { StatusCode::CREATED } else { StatusCode::OK };
    let view = state.platform.screens.message(sent.message, sent.created, &caller).await?;
    let warnings = WarningBody::all(&sent.warnings);
    Ok(HttpResponse::build(status).json(SentMessageBody { message: MessageBody::from(&view), warnings }))
}
