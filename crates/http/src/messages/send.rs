//! Sending.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use alivio_kernel::ids::{FileId, MessageId};
use alivio_kernel::{FieldError, Rule};
use alivio_messages::{ClientMessageId, Content, Draft, LONGEST_LIFE, MessageType, SHORTEST_LIFE, Source};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::payload::{self, PayloadBody};
use super::scheduled::ScheduledBody;
use super::{MessageBody, MessageTypeBody, PriorityBody, WarningBody};
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{
    MalformedOrClosed, NotFound, NotJson, PaceExceeded, TooLarge, Unauthenticated, Unavailable,
};
use crate::state::State;

/// A message to send.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// What it is.
    #[serde(default)]
    pub(crate) message_type: MessageTypeBody,
    /// 1 to 5,000 characters, not only white space. Only a `text` needs words.
    #[schema(example = "¿Cómo se ha sentido con la nueva medicación?", min_length = 1, max_length = 5000)]
    pub(crate) content: Option<String>,
    /// How urgent it is.
    #[serde(default)]
    pub(crate) priority: PriorityBody,
    /// The files that a `file`, `image`, `audio` or `video` message consists of.
    #[serde(default)]
    #[schema(max_items = 10)]
    pub(crate) attachments: Vec<Uuid>,
    /// What an `appointment` or a `prescription` consists of.
    #[schema(value_type = Option<PayloadBody>)]
    pub(crate) payload: Option<Value>,
    /// The message that it answers, in the same conversation.
    pub(crate) reply_to: Option<Uuid>,
    /// What it was written with: 1 to 32 lower-case letters, digits and underscores.
    #[schema(example = "web_app", min_length = 1, max_length = 32, pattern = "^[a-z0-9_]+$")]
    pub(crate) source: Option<String>,
    /// When it was written, by the clock of the client.
    pub(crate) client_sent_at: Option<DateTime<Utc>>,
    /// When to send it, within a year. Everything is checked again then.
    pub(crate) scheduled_for: Option<DateTime<Utc>>,
    /// How many seconds after it was sent it disappears: from 10 to 31,536,000 (a year).
    #[schema(example = 3600, minimum = 10, maximum = 31_536_000)]
    pub(crate) expires_in_seconds: Option<i64>,
    /// When it disappears, instead of `expires_in_seconds`.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// Your name for it, 1 to 128 visible ASCII characters. Sending it again under the same name answers the
    /// first result; without a name every request makes a new message.
    #[schema(example = "client_msg_12345", min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub(crate) client_message_id: Option<String>,
}

impl NewMessage {
    pub(crate) fn parse(self) -> Result<Draft> {
        let kind = self.message_type.into();
        let payload = payload::parse(kind, self.payload)?;
        let draft = || {
            let draft = Draft {
                priority: self.priority.into(),
                content: self.content.as_deref().map(Content::parse).transpose()?,
                payload,
                attachments: self.attachments.into_iter().map(FileId::from).collect(),
                client_message_id: self
                    .client_message_id
                    .as_deref()
                    .map(ClientMessageId::parse)
                    .transpose()?,
                reply_to: self.reply_to.map(MessageId::from),
                expires_at: self.expires_at,
                expires_in: self.expires_in_seconds.map(lifetime).transpose()?,
                client_sent_at: self.client_sent_at,
                scheduled_for: self.scheduled_for,
                source: self.source.as_deref().map(Source::parse).transpose()?.unwrap_or_default(),
                ..Draft::empty(kind)
            };
            if kind == MessageType::System {
                return Err(FieldError::new("message_type", Rule::Unknown));
            }
            draft.check().map(|()| draft)
        };
        draft().map_err(invalid)
    }
}

fn lifetime(seconds: i64) -> std::result::Result<TimeDelta, FieldError> {
    let rule = Rule::OutOfRange { min: SHORTEST_LIFE.num_seconds(), max: LONGEST_LIFE.num_seconds() };
    TimeDelta::try_seconds(seconds).ok_or(FieldError::new("expires_in_seconds", rule))
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
/// With `scheduled_for` it waits, and the answer (202, or 200 for a repeat) is the scheduled message instead.
/// The answer comes once the message is safely stored. If you get none, send it again with the same
/// `client_message_id`: it is stored once.
///
/// You may send 20 messages a minute; emergencies have a count of their own. What you repeat by its
/// `client_message_id` does not count; what is to wait counts now, not when it is sent. The 21st is answered 429
/// `rate_limited`, with `Retry-After`.
#[utoipa::path(
    tag = "Messages",
    operation_id = "sendMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = NewMessage,
    responses(
        (status = 200, description = "You had sent it before; this is what was stored then.", body = SentMessageBody),
        (status = 201, description = "Stored.", body = SentMessageBody),
        (status = 202, description = "It waits for `scheduled_for`.", body = ScheduledBody),
        (status = 400, response = MalformedOrClosed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`direct_chat_blocked`: a block stands between the two of this direct conversation; `clinicians_only`: only clinicians send appointments and prescriptions; `file_sharing_disabled`: files are not shared here.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`client_message_id_reused`, `conversation_closed`, `content_destroyed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, description = "`phi_not_allowed`, `content_not_allowed`: what it holds may not be said there (`details.findings`). `validation_failed`: a field breaks a rule (`details.field`, `details.rule`); `attachment_not_found`: there are no such files, or none that you may attach (`details.file_ids`).", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, response = PaceExceeded),
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
    let draft = body.0.parse()?;
    if draft.scheduled_for.is_some() {
        let (scheduled, created) =
            state.platform.messages.schedule(&caller, id.into_inner().into(), draft).await?;
        let status = if created { StatusCode::ACCEPTED } else { StatusCode::OK };
        return Ok(HttpResponse::build(status).json(ScheduledBody::from(scheduled)));
    }
    let sent = state.platform.send(&caller, id.into_inner().into(), draft).await?;
    let status = if sent.created { StatusCode::CREATED } else { StatusCode::OK };
    let view = state.platform.screens.message(sent.message, sent.created, &caller).await?;
    let warnings = WarningBody::all(&sent.warnings);
    Ok(HttpResponse::build(status).json(SentMessageBody { message: MessageBody::from(&view), warnings }))
}
