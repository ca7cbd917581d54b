//! Reading the log.

use actix_web::{get, web};
use alivio_kernel::ids::MessageId;
use alivio_kernel::terms::Pattern;
use alivio_kernel::{FieldError, PageSize, Rule};
use alivio_messages::{Anchor, HistoryQuery, SearchQuery};
use serde::Deserialize;
use utoipa::IntoParams;
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
pub(super) async fn history(
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
