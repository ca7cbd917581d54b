//! `/api/v1/conversations/{id}/messages` and the read marker.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, put, web};
use alivio_kernel::ids::{ConversationId, MessageId};
use alivio_kernel::terms::Pattern;
use alivio_kernel::{FieldError, PageSize, Rule};
use alivio_messages::{
    Anchor, ClientMessageId, Content, Draft, HistoryQuery, Mark, MessageType, Moved, Priority, SearchQuery,
    Source,
};
use alivio_platform::MessageView;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::conversations::UserSummaryBody;
use crate::encryption::EncryptionBody;
use crate::extract::{Body, SignedIn};
use crate::paging;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
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

/// What a message is.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MessageType)]
pub(crate) enum MessageTypeBody {
    #[default]
    Text,
}

impl From<MessageTypeBody> for MessageType {
    fn from(kind: MessageTypeBody) -> Self {
        match kind {
            MessageTypeBody::Text => Self::Text,
        }
    }
}

/// How urgent a message is.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Priority)]
pub(crate) enum PriorityBody {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

impl From<PriorityBody> for Priority {
    fn from(priority: PriorityBody) -> Self {
        match priority {
            PriorityBody::Low => Self::Low,
            PriorityBody::Normal => Self::Normal,
            PriorityBody::High => Self::High,
            PriorityBody::Urgent => Self::Urgent,
        }
    }
}

/// A message.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageBody {
    /// Its id.
    id: Uuid,
    /// A number to quote to support.
    #[schema(example = "MSG-2026-005001")]
    r#ref: String,
    /// Where it was said.
    conversation_id: Uuid,
    /// Its place in the conversation: 1, 2, 3 … without gaps.
    #[schema(example = 15)]
    seq: i64,
    /// Who said it.
    sender: UserSummaryBody,
    /// What it is.
    #[schema(example = "text")]
    message_type: &'static str,
    /// The words; `null` once they are withheld, because the message was taken back or has expired.
    #[schema(example = "¿Cómo se ha sentido con la nueva medicación?")]
    content: Option<String>,
    /// How urgent it is.
    #[schema(example = "normal")]
    priority: &'static str,
    /// How far it has come: `sent`, `delivered` to a device of every recipient, `read` by every recipient.
    #[schema(example = "delivered")]
    delivery_status: &'static str,
    /// The sender's name for it.
    #[schema(example = "client_msg_12345")]
    client_message_id: String,
    /// How its words rest in storage.
    encryption: EncryptionBody,
    /// When it was stored.
    created_at: DateTime<Utc>,
}

impl From<&MessageView> for MessageBody {
    fn from(view: &MessageView) -> Self {
        let message = &view.message;
        Self {
            id: message.id.uuid(),
            r#ref: message.reference(),
            conversation_id: message.conversation_id.uuid(),
            seq: message.seq,
            sender: UserSummaryBody::from(&*view.sender),
            message_type: message.message_type.as_str(),
            content: message.content.as_ref().map(|c| c.as_str().to_owned()),
            priority: message.priority.as_str(),
            delivery_status: view.status.as_str(),
            client_message_id: message.client_message_id.as_str().to_owned(),
            encryption: EncryptionBody::from(&message.header),
            created_at: message.created_at,
        }
    }
}

/// A page of messages.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessagePage {
    /// Newest first; with `after`, oldest first.
    pub(crate) items: Vec<MessageBody>,
    /// Send it as `before` (or as `after`, if you came by `after`) to go on; `null` at the end.
    #[schema(example = "15")]
    pub(crate) next_cursor: Option<String>,
}

/// How far you have come in a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = ReadMarker)]
pub(crate) struct ReadMarkerBody {
    /// Where.
    conversation_id: Uuid,
    /// You have read all messages up to this `seq`.
    #[schema(example = 15)]
    read_up_to: i64,
    /// A device of yours has all messages up to this `seq`.
    #[schema(example = 15)]
    delivered_up_to: i64,
    /// Messages by others after `read_up_to`.
    #[schema(example = 0)]
    unread_count: i64,
}

impl ReadMarkerBody {
    pub(crate) fn new(conversation: ConversationId, moved: &Moved) -> Self {
        Self {
            conversation_id: conversation.uuid(),
            read_up_to: moved.marks.read_up_to,
            delivered_up_to: moved.marks.delivered_up_to,
            unread_count: moved.unread,
        }
    }
}

/// Up to where you have read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReadMarker {
    /// The newest message that you have read.
    message_id: Uuid,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// Messages before this one, newest first: a message id, or `next_cursor`.
    before: Option<String>,
    /// Messages after this one, oldest first: a message id, or `next_cursor`.
    after: Option<String>,
    /// Only messages that hold all of these words, newest first, as with `GET /search`. `next_cursor` goes on by
    /// `before`; not with `after`.
    #[param(example = "dolor", min_length = 1, max_length = 200)]
    search: Option<String>,
    /// The page's number from 1, for clients that do not use cursors. Not with `before` or `after`.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many messages a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

impl HistoryParams {
    pub(crate) fn parse(&self) -> Result<HistoryQuery> {
        let size = PageSize::parse(self.page_size, 50).map_err(invalid)?;
        let offset = paging::offset(self.page, size)?;
        if self.search.is_some() {
            return Err(invalid(FieldError::new("search", Rule::Unknown)));
        }
        match (&self.before, &self.after, self.page) {
            (None, None, _) => Ok(HistoryQuery::Newest { offset, size }),
            (Some(before), None, None) => Ok(HistoryQuery::Before(anchor("before", before)?, size)),
            (None, Some(after), None) => Ok(HistoryQuery::After(anchor("after", after)?, size)),
            _ => Err(invalid(FieldError::new("before", Rule::Malformed))),
        }
    }
}

impl HistoryParams {
    /// What is searched for, if anything is.
    fn parse_search(&self) -> Result<Option<SearchQuery>> {
        let Some(search) = &self.search else { return Ok(None) };
        let pattern = Pattern::parse("search", search).map_err(invalid)?;
        let size = PageSize::parse(self.page_size, 50).map_err(invalid)?;
        let offset = paging::offset(self.page, size)?;
        let before_seq = match (self.before.as_deref(), &self.after, self.page) {
            (None, None, _) => None,
            (Some(before), None, None) => {
                let seq = before.parse::<i64>().ok().filter(|seq| *seq >= 0);
                Some(seq.ok_or_else(|| invalid(FieldError::new("before", Rule::Malformed)))?)
            }
            _ => return Err(invalid(FieldError::new("after", Rule::Malformed))),
        };
        Ok(Some(SearchQuery { before_seq, offset, ..SearchQuery::new(pattern, size) }))
    }
}

fn anchor(field: &'static str, raw: &str) -> Result<Anchor> {
    match raw.parse() {
        Ok(seq @ 0..) => return Ok(Anchor::Seq(seq)),
        Ok(_) => return Err(invalid(FieldError::new(field, Rule::OutOfRange { min: 0, max: i64::MAX }))),
        Err(_) => {}
    }
    let id: MessageId = raw.parse().map_err(|_| invalid(FieldError::new(field, Rule::Malformed)))?;
    Ok(Anchor::Message(id))
}

/// Send a message
///
/// The answer comes once the message is safely stored. If you get none, send it again with the same
/// `client_message_id`: it is stored once.
#[utoipa::path(
    tag = "Messages",
    operation_id = "sendMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = NewMessage,
    responses(
        (status = 200, description = "You had sent it before; this is what was stored then.", body = MessageBody),
        (status = 201, description = "Stored.", body = MessageBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`direct_chat_blocked`: a block stands between the two of this direct conversation.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`client_message_id_reused`, `conversation_closed`, `content_destroyed`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/conversations/{id}/messages")]
async fn send(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewMessage>,
) -> Result<HttpResponse> {
    let draft = body.0.parse().map_err(invalid)?;
    let sent = state.platform.send(&caller, id.into_inner().into(), draft).await?;
    let status = if sent.created { StatusCode::CREATED } else { StatusCode::OK };
    let view = state.platform.screens.message(sent.message, sent.created, &caller).await?;
    Ok(HttpResponse::build(status).json(MessageBody::from(&view)))
}

/// Read messages
#[utoipa::path(
    tag = "Messages",
    operation_id = "listMessages",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation."), HistoryParams),
    responses(
        (status = 200, description = "A page.", body = MessagePage),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}/messages")]
async fn history(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    params: web::Query<HistoryParams>,
) -> Result<web::Json<MessagePage>> {
    let id = id.into_inner().into();
    if let Some(query) = params.parse_search()? {
        let (found, next) = state.platform.find_in(&caller, id, query).await?;
        let items = found.iter().map(MessageBody::from).collect();
        return Ok(web::Json(MessagePage { items, next_cursor: next.map(|seq| seq.to_string()) }));
    }
    let page = state.platform.screens.history(&caller, id, &params.parse()?).await?;
    let items = page.items.iter().map(MessageBody::from).collect();
    Ok(web::Json(MessagePage { items, next_cursor: page.next_cursor }))
}

/// Mark messages as read
///
/// Everything up to the message counts as read. The marker never goes back.
#[utoipa::path(
    tag = "Messages",
    operation_id = "setReadMarker",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    request_body = NewReadMarker,
    responses(
        (status = 200, description = "Where the marker is now.", body = ReadMarkerBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/conversations/{id}/read-marker")]
async fn set_read_marker(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewReadMarker>,
) -> Result<web::Json<ReadMarkerBody>> {
    let conversation = ConversationId::from(id.into_inner());
    let target = Anchor::Message(body.0.message_id.into());
    let moved = state.platform.advance(&caller, conversation, Mark::Read, target).await?;
    Ok(web::Json(ReadMarkerBody::new(conversation, &moved)))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(send).service(history).service(set_read_marker);
}
