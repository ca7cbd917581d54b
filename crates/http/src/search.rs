//! `/api/v1/search`: finding what was said.

use std::fmt::Write;

use actix_web::{get, web};
use alivio_conversations::Titled;
use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::terms::Pattern;
use alivio_kernel::{FieldError, PageSize, Rule};
use alivio_messages::{FoundAfter, MessageType, Ordering, SearchCursor, SearchQuery, Snippet};
use alivio_platform::FoundView;
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::SignedIn;
use crate::messages::MessageBody;
use crate::paging;
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, Unauthenticated, Unavailable};
use crate::state::State;

/// More values than this are no filter.
const MAX_VALUES: usize = 20;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SearchParams {
    /// Words, all of which must be there, in Spanish or English, without regard to case, accents and endings: `dolor`
    /// finds dolores. `"dolor de cabeza"` in quotes finds these words in a row; `#urgente` finds the hashtag. At most
    /// 200 characters and 16 words. Stop words are passed over, and so are numbers of five digits and more, which are
    /// not indexed; if nothing else is left, the answer is 422.
    #[param(example = "\"dolor de cabeza\" fiebre", min_length = 1, max_length = 200)]
    query: String,
    /// Only in these conversations: at most 100 ids, separated by commas. Those you are not in hold nothing for you.
    in_conversations: Option<String>,
    /// Only these types of message, separated by commas.
    #[param(example = "text")]
    message_types: Option<String>,
    /// Only by this person.
    from_user: Option<Uuid>,
    /// Only from this day or instant on.
    #[param(example = "2026-01-01")]
    date_from: Option<String>,
    /// Only until the end of this day (UTC), or before this instant.
    #[param(example = "2026-12-31")]
    date_to: Option<String>,
    /// Only with files of one of these types, separated by commas: types of message that bring files.
    #[param(example = "image,document")]
    file_types: Option<String>,
    /// `true`: only with medical terms; `false`: only without.
    has_medical_terms: Option<bool>,
    /// `-timestamp`, the newest first (the default), or `relevance`, the most telling first of the 500 newest.
    #[param(example = "-timestamp", pattern = "^(-timestamp|relevance)$")]
    ordering: Option<String>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many messages a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

impl SearchParams {
    fn parse(&self) -> Result<SearchQuery> {
        let size = PageSize::parse(self.page_size, 20).map_err(invalid)?;
        let offset = paging::offset(self.page, size)?;
        let parse = || {
            let pattern = Pattern::parse("query", &self.query)?;
            let ordering = match self.ordering.as_deref() {
                None | Some("-timestamp") => Ordering::Newest,
                Some("relevance") => Ordering::Relevance,
                Some(_) => return Err(FieldError::new("ordering", Rule::Unknown)),
            };
            let cursor = self.cursor.as_deref().map(parse_cursor).transpose()?;
            let fits = match (ordering, cursor) {
                (_, None) => true,
                (Ordering::Newest, Some(cursor)) => matches!(cursor, SearchCursor::After(_)),
                (Ordering::Relevance, Some(cursor)) => matches!(cursor, SearchCursor::Skip(_)),
            };
            if !fits {
                return Err(FieldError::new("cursor", Rule::Malformed));
            }
            let malformed = |_| FieldError::new("in_conversations", Rule::Malformed);
            let conversations = values(self.in_conversations.as_deref())
                .map(|id| id.parse::<ConversationId>().map_err(malformed));
            let query = SearchQuery::new(pattern, size)
                .within(conversations.collect::<std::result::Result<_, _>>()?)?;
            let unknown = |_| FieldError::new("message_types", Rule::Unknown);
            let types = values(self.message_types.as_deref())
                .map(|kind| kind.parse::<MessageType>().map_err(unknown));
            let message_types: Vec<_> = types.collect::<std::result::Result<_, _>>()?;
            let file_types: Vec<_> = values(self.file_types.as_deref()).map(str::to_owned).collect();
            for (field, count) in [("message_types", message_types.len()), ("file_types", file_types.len())] {
                if count > MAX_VALUES {
                    return Err(FieldError::new(field, Rule::TooMany { max: MAX_VALUES }));
                }
            }
            if file_types.iter().any(|kind| kind.len() > 64) {
                return Err(FieldError::new("file_types", Rule::Malformed));
            }
            Ok(SearchQuery {
                message_types,
                from_user: self.from_user.map(UserId::from),
                from: self.date_from.as_deref().map(|raw| moment("date_from", raw, 0)).transpose()?,
                until: self.date_to.as_deref().map(|raw| moment("date_to", raw, 1)).transpose()?,
                file_types,
                has_medical_terms: self.has_medical_terms,
                ordering,
                cursor,
                offset: if cursor.is_some() { 0 } else { offset },
                ..query
            })
        };
        parse().map_err(invalid)
    }
}

fn values(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|value| !value.is_empty())
}

/// An instant, or the beginning of a day, so many days later.
fn moment(field: &'static str, raw: &str, days: u64) -> std::result::Result<DateTime<Utc>, FieldError> {
    if let Ok(at) = DateTime::parse_from_rfc3339(raw) {
        return Ok(at.to_utc());
    }
    let day = raw.parse::<NaiveDate>().ok().and_then(|day| day.checked_add_days(Days::new(days)));
    let midnight = day.and_then(|day| day.and_hms_opt(0, 0, 0)).map(|at| at.and_utc());
    midnight.ok_or(FieldError::new(field, Rule::Malformed))
}

fn cursor_of(cursor: SearchCursor) -> String {
    match cursor {
        SearchCursor::After(after) => format!("{}.{}", after.created_at.timestamp_micros(), after.message_id),
        SearchCursor::Skip(skip) => format!("skip-{skip}"),
    }
}

fn parse_cursor(cursor: &str) -> std::result::Result<SearchCursor, FieldError> {
    let parse = || {
        if let Some(skip) = cursor.strip_prefix("skip-") {
            return Some(SearchCursor::Skip(skip.parse().ok()?));
        }
        let (created_at, id) = paging::moment(cursor)?;
        Some(SearchCursor::After(FoundAfter { created_at, message_id: id.parse().ok()? }))
    };
    parse().ok_or(FieldError::new("cursor", Rule::Malformed))
}

/// A conversation, in short.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationSummary)]
struct ConversationSummaryBody {
    /// Which.
    id: Uuid,
    /// A number to quote to support.
    #[schema(example = "CONV-2026-001001")]
    r#ref: String,
    /// `direct`, `group`, `consultation` or `emergency`.
    #[schema(example = "consultation")]
    r#type: &'static str,
    /// Its title.
    #[schema(example = "Seguimiento - Hipertensión Arterial")]
    title: Option<String>,
}

impl From<Titled> for ConversationSummaryBody {
    fn from(titled: Titled) -> Self {
        Self {
            id: titled.id.uuid(),
            r#ref: titled.reference,
            r#type: titled.kind.as_str(),
            title: titled.title,
        }
    }
}

/// Where something stands in the words of a message.
#[derive(Serialize, ToSchema)]
struct Highlight {
    /// Its first character, counted from 0 in Unicode characters.
    #[schema(example = 3)]
    start: usize,
    /// The character after it.
    #[schema(example = 18)]
    end: usize,
}

/// A message that was found.
#[derive(Serialize, ToSchema)]
struct FoundBody {
    /// The message.
    message: MessageBody,
    /// Where it was said.
    conversation: ConversationSummaryBody,
    /// Where what you looked for stands in its words.
    highlights: Vec<Highlight>,
    /// The words around the first place, as HTML: all is escaped but the `<mark>` around what you looked for.
    #[schema(example = "…el <mark>dolor de cabeza</mark> va a más…")]
    snippet: String,
    /// The higher, the more it is about what you looked for. Compare it within one answer only.
    #[schema(example = 1.5)]
    score: f32,
}

impl From<FoundView> for FoundBody {
    fn from(found: FoundView) -> Self {
        let highlight = |range: std::ops::Range<usize>| Highlight { start: range.start, end: range.end };
        Self {
            message: MessageBody::from(&found.view),
            conversation: found.conversation.into(),
            highlights: found.highlights.into_iter().map(highlight).collect(),
            snippet: html(&found.snippet),
            score: found.score,
        }
    }
}

fn html(snippet: &Snippet) -> String {
    let mut html = String::new();
    if snippet.cut_before {
        html.push('…');
    }
    for (piece, found) in &snippet.pieces {
        let mut escaped = String::with_capacity(piece.len());
        for character in piece.chars() {
            match character {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                other => escaped.push(other),
            }
        }
        // Writing to a string does not fail.
        let _ = if *found { write!(html, "<mark>{escaped}</mark>") } else { write!(html, "{escaped}") };
    }
    if snippet.cut_after {
        html.push('…');
    }
    html
}

/// What was found.
#[derive(Serialize, ToSchema)]
struct SearchPage {
    /// Messages, in the order asked for. A page may hold fewer than you asked for although another one follows.
    items: Vec<FoundBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
    /// Conversations of yours whose title has words that begin so, at most 20, the most recently changed first. On the
    /// first page only.
    conversations: Vec<ConversationSummaryBody>,
}

/// Find messages and conversations
///
/// Searches what you can read: the conversations that you are in, from when you joined. What was taken back, has expired
/// or was destroyed is not found. A new message is found within a second of being sent.
#[utoipa::path(
    tag = "Messages",
    operation_id = "search",
    security(("bearer" = [])),
    params(SearchParams),
    responses(
        (status = 200, description = "A page.", body = SearchPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/search")]
async fn search(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<SearchParams>,
) -> Result<web::Json<SearchPage>> {
    let found = state.platform.find(&caller, &params.parse()?, cursor_of).await?;
    Ok(web::Json(SearchPage {
        items: found.items.into_iter().map(FoundBody::from).collect(),
        next_cursor: found.next_cursor,
        conversations: found.conversations.into_iter().map(ConversationSummaryBody::from).collect(),
    }))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(search);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_are_escaped() {
        let pieces = vec![("a<b & \"c\" ".to_owned(), false), ("<i>'x".to_owned(), true)];
        let snippet = Snippet { pieces, cut_before: true, cut_after: false };
        assert_eq!(html(&snippet), "…a&lt;b &amp; &quot;c&quot; <mark>&lt;i&gt;&#39;x</mark>");
    }

    #[test]
    fn cursors_come_back() {
        let id = Uuid::from_u128(7).into();
        let created_at = DateTime::from_timestamp_micros(1_767_225_600_123_456).unwrap();
        for cursor in [SearchCursor::Skip(20), SearchCursor::After(FoundAfter { created_at, message_id: id })]
        {
            assert_eq!(parse_cursor(&cursor_of(cursor)), Ok(cursor));
        }
        for bad in ["", "skip-", "skip--1", "skip-70000", "1.x", "x.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e"] {
            assert!(parse_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_lasts_until_its_end() {
        let at = |raw: &str| raw.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(moment("date_from", "2026-01-31", 0), Ok(at("2026-01-31T00:00:00Z")));
        assert_eq!(moment("date_to", "2026-01-31", 1), Ok(at("2026-02-01T00:00:00Z")));
        assert_eq!(moment("date_to", "2026-01-31T10:00:00+01:00", 1), Ok(at("2026-01-31T09:00:00Z")));
        assert!(moment("date_to", "yesterday", 1).is_err());
    }
}
