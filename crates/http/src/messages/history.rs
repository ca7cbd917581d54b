//! Reading the log.

use actix_web::{get, web};
use alivio_kernel::ids::{MessageId, UserId};
use alivio_kernel::terms::Pattern;
use alivio_kernel::{FieldError, PageSize, Rule};
use alivio_messages::{Anchor, Edge, Filter, HistoryQuery, LogQuery, MessageType, SearchQuery};
use chrono::DateTime;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{MessageBody, MessagePage};
use crate::extract::SignedIn;
use crate::paging;
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// Messages before this one, newest first: a message id, or `next_cursor`.
    before: Option<String>,
    /// Messages after this one, oldest first: a message id, or `next_cursor`.
    after: Option<String>,
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
        match (&self.before, &self.after, self.page) {
            (None, None, _) => Ok(HistoryQuery::Newest { offset, size }),
            (Some(before), None, None) => Ok(HistoryQuery::Before(anchor("before", before)?, size)),
            (None, Some(after), None) => Ok(HistoryQuery::After(anchor("after", after)?, size)),
            _ => Err(invalid(FieldError::new("before", Rule::Malformed))),
        }
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

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogParams {
    /// Messages before this one: a message id, `next_cursor`, or an instant (RFC 3339) by when they were stored.
    before: Option<String>,
    /// Messages after this one: a message id, `next_cursor`, or an instant (RFC 3339) by when they were stored.
    after: Option<String>,
    /// Only messages that hold all of these words, newest first, as with `GET /search`. `next_cursor` goes on by
    /// `before`; not with `after`, nor the oldest first.
    #[param(example = "dolor", min_length = 1, max_length = 200)]
    search: Option<String>,
    /// Only of these types, separated by commas.
    #[param(example = "text,image")]
    message_type: Option<String>,
    /// Only by this person.
    sender: Option<Uuid>,
    /// Only with files, or only without.
    has_attachments: Option<bool>,
    /// Those that were taken back or have expired, too, without their words.
    include_deleted: Option<bool>,
    /// `-timestamp`: newest first, as usual. `timestamp`: oldest first, as usual with `after` alone.
    #[param(inline)]
    ordering: Option<Ordering>,
    /// The page's number from 1, for clients that do not use cursors. Not with `before` or `after`. Only the newest
    /// 10,000 entries are reached by numbers.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many messages a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// In which order.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
enum Ordering {
    #[serde(rename = "-timestamp")]
    NewestFirst,
    #[serde(rename = "timestamp")]
    OldestFirst,
}

impl LogParams {
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
        if self.ordering == Some(Ordering::OldestFirst) {
            return Err(invalid(FieldError::new("ordering", Rule::Malformed)));
        }
        let message_types = types(self.message_type.as_deref(), self.has_attachments)?.unwrap_or_default();
        let from_user = self.sender.map(UserId::from);
        let query = SearchQuery::new(pattern, size);
        Ok(Some(SearchQuery { before_seq, offset, message_types, from_user, ..query }))
    }

    fn parse(&self) -> Result<LogQuery> {
        let size = PageSize::parse(self.page_size, 50).map_err(invalid)?;
        let before = self.before.as_deref().map(|raw| edge("before", raw)).transpose()?;
        let after = self.after.as_deref().map(|raw| edge("after", raw)).transpose()?;
        if self.page.is_some() && (before.is_some() || after.is_some()) {
            return Err(invalid(FieldError::new("page", Rule::Malformed)));
        }
        let ascending = match self.ordering {
            Some(ordering) => ordering == Ordering::OldestFirst,
            None => after.is_some() && before.is_none(),
        };
        let filter = Filter {
            types: types(self.message_type.as_deref(), self.has_attachments)?,
            sender: self.sender.map(UserId::from),
            include_gone: self.include_deleted.unwrap_or(false),
        };
        Ok(LogQuery { before, after, ascending, filter, offset: paging::offset(self.page, size)?, size })
    }
}

fn edge(field: &'static str, raw: &str) -> Result<Edge> {
    // A plus sign in a query is a space, unless it is written as %2B.
    match DateTime::parse_from_rfc3339(&raw.replace(' ', "+")) {
        Ok(at) => Ok(Edge::Time(at.to_utc())),
        Err(_) => Ok(match anchor(field, raw)? {
            Anchor::Seq(seq) => Edge::Seq(seq),
            Anchor::Message(id) => Edge::Message(id),
        }),
    }
}

/// The types that are both named and, if that is asked for, made of files or not.
pub(super) fn types(names: Option<&str>, has_attachments: Option<bool>) -> Result<Option<Vec<MessageType>>> {
    if names.is_none() && has_attachments.is_none() {
        return Ok(None);
    }
    let named = match names {
        Some(names) => {
            names.split(',').map(str::parse).collect::<std::result::Result<_, _>>().map_err(invalid)?
        }
        None => MessageType::ALL.to_vec(),
    };
    let fits = |kind: &MessageType| has_attachments.is_none_or(|has| has == kind.has_attachments());
    Ok(Some(named.into_iter().filter(fits).collect()))
}

/// Read messages
///
/// What was taken back or has expired is left out unless you ask for it. A page may hold fewer messages than you asked
/// for though there are more: go on as long as there is a `next_cursor`.
#[utoipa::path(
    tag = "Messages",
    operation_id = "listMessages",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation."), LogParams),
    responses(
        (status = 200, description = "A page.", body = MessagePage),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}/messages")]
pub(super) async fn history(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    params: web::Query<LogParams>,
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
