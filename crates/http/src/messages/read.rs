//! Single messages, and those of all one's conversations.

use actix_web::{get, web};
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{FieldError, PageSize, Rule};
use alivio_messages::{Filter, OwnQuery};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::history::types;
use super::{MessageBody, MessagePage};
use crate::extract::SignedIn;
use crate::paging;
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OwnParams {
    /// Only of this conversation.
    conversation: Option<Uuid>,
    /// Only by this person.
    sender: Option<Uuid>,
    /// Only of these types, separated by commas.
    #[param(example = "text,image")]
    message_type: Option<String>,
    /// Only with files, or only without.
    has_attachments: Option<bool>,
    /// Only what was stored before this instant.
    before: Option<DateTime<Utc>>,
    /// Only what was stored after this instant.
    after: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many messages a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

impl OwnParams {
    fn parse(&self) -> Result<OwnQuery> {
        let cursor = match self.cursor.as_deref() {
            Some(cursor) => Some(parse_cursor(cursor)?),
            None => self.before.map(|at| (at, MessageId::from(Uuid::nil()))),
        };
        Ok(OwnQuery {
            conversation: self.conversation.map(ConversationId::from),
            before: cursor,
            after: self.after,
            filter: Filter {
                types: types(self.message_type.as_deref(), self.has_attachments)?,
                sender: self.sender.map(UserId::from),
                include_gone: false,
            },
            size: PageSize::parse(self.page_size, 50).map_err(invalid)?,
        })
    }
}

/// Takes `<microseconds>.<id>` apart.
pub(super) fn parse_cursor<T: From<Uuid>>(cursor: &str) -> Result<(DateTime<Utc>, T)> {
    let parse = || {
        let (at, id) = paging::moment(cursor)?;
        Some((at, T::from(id.parse().ok()?)))
    };
    parse().ok_or_else(|| invalid(FieldError::new("cursor", Rule::Malformed)))
}

/// List your messages
///
/// What you can read in your conversations, newest first: in the 500 that changed last. A page may hold fewer messages
/// than you asked for though there are more: go on as long as there is a `next_cursor`.
#[utoipa::path(
    tag = "Messages",
    operation_id = "listOwnMessages",
    security(("bearer" = [])),
    params(OwnParams),
    responses(
        (status = 200, description = "A page.", body = MessagePage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/messages")]
pub(super) async fn own(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<OwnParams>,
) -> Result<web::Json<MessagePage>> {
    let page = state.platform.screens.own_messages(&caller, &params.parse()?).await?;
    let items = page.items.iter().map(MessageBody::from).collect();
    Ok(web::Json(MessagePage { items, next_cursor: page.next_cursor }))
}

/// Read a message
#[utoipa::path(
    tag = "Messages",
    operation_id = "getMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message.")),
    responses(
        (status = 200, description = "The message; without its words, if it was taken back or has expired.", body = MessageBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/messages/{id}")]
pub(super) async fn one(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<MessageBody>> {
    let view = state.platform.screens.one(&caller, None, id.into_inner().into()).await?;
    Ok(web::Json(MessageBody::from(&view)))
}

/// Read a message of a conversation
#[utoipa::path(
    tag = "Messages",
    operation_id = "getConversationMessage",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The conversation."),
        ("message_id" = Uuid, Path, description = "The message."),
    ),
    responses(
        (status = 200, description = "The message; without its words, if it was taken back or has expired.", body = MessageBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}/messages/{message_id}")]
pub(super) async fn one_of(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    ids: web::Path<(Uuid, Uuid)>,
) -> Result<web::Json<MessageBody>> {
    let (conversation, id) = ids.into_inner();
    let view = state.platform.screens.one(&caller, Some(conversation.into()), id.into()).await?;
    Ok(web::Json(MessageBody::from(&view)))
}
