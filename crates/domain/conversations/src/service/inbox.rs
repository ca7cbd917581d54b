//! The conversations of a person, as a list shows them.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Caller, FieldError, Page, PageSize, Rule, Sealer, text};
use chrono::DateTime;

use super::texts::{tag_digest, unseal};
use crate::model::context;
use crate::{
    Conversation, Error, Inbox, InboxAfter, InboxFilter, InboxPage, Names, Ordering, Progress, StoredLine,
    StoredTitle, Unread,
};

/// Of so many conversations, those that changed last, titles are looked at. Titles are sealed, so finding and ordering by
/// them opens them; that many take a few milliseconds.
const MOST_TITLES: i64 = 5_000;
const MAX_SEARCH: usize = 100;

/// In which order the inbox is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboxOrder {
    /// As stored.
    Stored(Ordering),
    /// By title, or by the people where there is none.
    Title {
        /// From the end.
        descending: bool,
    },
}

impl Default for InboxOrder {
    fn default() -> Self {
        Self::Stored(Ordering::default())
    }
}

impl InboxOrder {
    const ALL: [Self; 6] = [
        Self::Stored(Ordering::PinnedThenUpdated),
        Self::Stored(Ordering::Updated),
        Self::Stored(Ordering::CreatedDescending),
        Self::Stored(Ordering::Created),
        Self::Title { descending: false },
        Self::Title { descending: true },
    ];

    /// The name used in JSON; `-` stands before what descends.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored(Ordering::PinnedThenUpdated) => "-updated_at",
            Self::Stored(Ordering::Updated) => "updated_at",
            Self::Stored(Ordering::CreatedDescending) => "-created_at",
            Self::Stored(Ordering::Created) => "created_at",
            Self::Title { descending: false } => "title",
            Self::Title { descending: true } => "-title",
        }
    }
}

impl FromStr for InboxOrder {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|o| o.as_str() == s).ok_or(FieldError::new("ordering", Rule::Unknown))
    }
}

/// What of the inbox is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct InboxQuery {
    /// Which conversations.
    pub filter: InboxFilter,
    /// Only with all of these tags.
    pub tags: Vec<String>,
    /// Only with all of these words in the title, or in the names of the people where there is none.
    pub search: Option<String>,
    /// In which order.
    pub order: InboxOrder,
    /// Where the page starts: what the page before said.
    pub cursor: Option<String>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

/// A line of the inbox. `M` is a stored message, which is not looked into here.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxLine<M> {
    /// The conversation.
    pub conversation: Conversation,
    /// Messages by others that the caller has not read.
    pub unread: i64,
    /// How far everyone in it has come.
    pub progress: Vec<Progress>,
    /// The newest message that the caller may read.
    pub last: Option<M>,
}

/// What one can do with an inbox.
#[derive(Clone)]
pub struct Inboxes<M> {
    inbox: Arc<dyn Inbox<M>>,
    names: Arc<dyn Names>,
    sealer: Arc<dyn Sealer>,
}

impl<M: Send + Sync> Inboxes<M> {
    /// Inboxes over these ports.
    pub fn new(inbox: Arc<dyn Inbox<M>>, names: Arc<dyn Names>, sealer: Arc<dyn Sealer>) -> Self {
        Self { inbox, names, sealer }
    }

    /// One page: one query, and one more if titles matter.
    ///
    /// # Errors
    /// A field error of the cursor or the search.
    pub async fn page(&self, caller: &Caller, query: &InboxQuery) -> Result<Page<InboxLine<M>>, Error> {
        let mut filter = query.filter.clone();
        filter.tags = query.tags.iter().map(|tag| tag_digest(&*self.sealer, tag)).collect();
        let words = words(query.search.as_deref())?;
        match query.order {
            InboxOrder::Stored(ordering) => {
                let after = query.cursor.as_deref().map(|cursor| parse(query.order, cursor)).transpose()?;
                if !words.is_empty() {
                    let found = self.titles(caller, &filter, &words).await?;
                    filter.among = Some(found.into_iter().map(|(_, id)| id).collect());
                }
                let (offset, size) = (query.offset, query.size);
                let page = InboxPage { filter, ordering, after, offset, size };
                let (lines, more) = size.cut(self.lines(caller, &page).await?);
                let cursor = |line: &InboxLine<M>| write(query.order, ordering, line);
                let next_cursor = if more { lines.last().map(cursor) } else { None };
                Ok(Page { items: lines, next_cursor })
            }
            InboxOrder::Title { descending } => {
                let mut titles = self.titles(caller, &filter, &words).await?;
                titles.sort_unstable();
                if descending {
                    titles.reverse();
                }
                let ids: Vec<_> = titles.into_iter().map(|(_, id)| id).collect();
                self.by_title(caller, filter, query, &ids).await
            }
        }
    }

    /// One conversation that the caller is in.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn one(&self, caller: &Caller, id: ConversationId) -> Result<InboxLine<M>, Error> {
        let filter = InboxFilter { among: Some(vec![id]), include_archived: true, ..InboxFilter::default() };
        let size = PageSize::parse(Some(1), 1)?;
        let page = InboxPage { filter, ordering: Ordering::default(), after: None, offset: 0, size };
        self.lines(caller, &page).await?.pop().ok_or(Error::NotFound)
    }

    /// Those of `ids` that the caller is in, in any order.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn some(&self, caller: &Caller, ids: &[ConversationId]) -> Result<Vec<InboxLine<M>>, Error> {
        let size = PageSize::parse(Some(100), 100)?;
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(100) {
            let filter =
                InboxFilter { among: Some(ids.to_vec()), include_archived: true, ..InboxFilter::default() };
            let page = InboxPage { filter, ordering: Ordering::default(), after: None, offset: 0, size };
            found.extend(self.lines(caller, &page).await?);
        }
        Ok(found)
    }

    /// All that the caller has not read everything of, what changed last first.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn unread(&self, caller: &Caller) -> Result<Vec<Unread>, Error> {
        self.inbox.unread(caller.user_id).await
    }

    async fn lines(&self, caller: &Caller, page: &InboxPage) -> Result<Vec<InboxLine<M>>, Error> {
        if page.filter.among.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let stored = self.inbox.page(caller.user_id, page).await?;
        let conversations = unseal(&*self.sealer, stored.iter().map(|line| &line.stored)).await?;
        let line = |(StoredLine { unread, progress, last, .. }, conversation)| InboxLine {
            conversation,
            unread,
            progress,
            last,
        };
        Ok(stored.into_iter().zip(conversations).map(line).collect())
    }

    /// The conversations that have all `words`, each with what it is ordered by.
    async fn titles(
        &self,
        caller: &Caller,
        filter: &InboxFilter,
        words: &[String],
    ) -> Result<Vec<(String, ConversationId)>, Error> {
        let titles = self.inbox.titles(caller.user_id, filter, MOST_TITLES).await?;
        let sealed: Vec<_> =
            titles.iter().filter_map(|t| Some((context(t.id, "title"), t.title.as_ref()?))).collect();
        let mut opened = self.sealer.open_many(&sealed).await?.into_iter();
        let untitled = titles.iter().filter(|t| t.title.is_none());
        let mut people: Vec<UserId> = untitled.flat_map(|t| t.others.iter().copied()).collect();
        people.sort_unstable();
        people.dedup();
        let names = if people.is_empty() { HashMap::new() } else { self.names.names(&people).await? };
        let mut found = Vec::new();
        for StoredTitle { id, title, others } in &titles {
            let shown = if title.is_some() {
                String::from_utf8(opened.next().unwrap_or_default())
                    .map_err(|e| Error::Unavailable(e.into()))?
            } else {
                others.iter().filter_map(|user| names.get(user)).cloned().collect::<Vec<_>>().join(", ")
            };
            let shown = text::fold(&shown);
            if words.iter().all(|word| shown.contains(word)) {
                found.push((shown, *id));
            }
        }
        Ok(found)
    }

    /// The page of `ids`, which are all, in their order.
    async fn by_title(
        &self,
        caller: &Caller,
        filter: InboxFilter,
        query: &InboxQuery,
        ids: &[ConversationId],
    ) -> Result<Page<InboxLine<M>>, Error> {
        let start = match &query.cursor {
            Some(cursor) => {
                let (place, id) = parse_place(query.order, cursor)?;
                // Where it is now; it may have moved, or gone.
                ids.iter().position(|other| *other == id).map_or(place, |place| place + 1)
            }
            None => 0,
        };
        let start = start.saturating_add(usize::try_from(query.offset).unwrap_or(usize::MAX));
        let size = usize::try_from(query.size.get()).unwrap_or(usize::MAX);
        let shown: Vec<_> = ids.iter().skip(start).take(size).copied().collect();
        let more = ids.len() > start.saturating_add(size);
        let places: HashMap<_, _> = shown.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let next_cursor = shown
            .last()
            .filter(|_| more)
            .map(|last| format!("{}.{}.{last}", query.order.as_str(), start.saturating_add(shown.len()) - 1));
        let page = InboxPage {
            filter: InboxFilter { among: Some(shown), ..filter },
            ordering: Ordering::default(),
            after: None,
            offset: 0,
            size: query.size,
        };
        let mut items = self.lines(caller, &page).await?;
        items.sort_by_key(|line| places.get(&line.conversation.id).copied());
        Ok(Page { items, next_cursor })
    }
}

fn words(search: Option<&str>) -> Result<Vec<String>, FieldError> {
    let Some(search) = search else { return Ok(Vec::new()) };
    let search = text::parse("search", search, MAX_SEARCH, text::Lines::Single)?;
    Ok(text::fold(&search).split_whitespace().map(str::to_owned).collect())
}

fn malformed() -> FieldError {
    FieldError::new("cursor", Rule::Malformed)
}

/// Where a page of that order starts. A cursor of another order is refused: it would repeat and skip.
fn parse(order: InboxOrder, cursor: &str) -> Result<InboxAfter, FieldError> {
    let rest =
        cursor.strip_prefix(order.as_str()).and_then(|rest| rest.strip_prefix('.')).ok_or_else(malformed)?;
    let parts: Vec<_> = rest.split('.').collect();
    let [pinned, micros, id] = *parts else { return Err(malformed()) };
    let is_pinned = match pinned {
        "0" => false,
        "1" => true,
        _ => return Err(malformed()),
    };
    let at = micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or_else(malformed)?;
    Ok(InboxAfter { is_pinned, at, id: id.parse().map_err(|_| malformed())? })
}

fn write<M>(order: InboxOrder, ordering: Ordering, line: &InboxLine<M>) -> String {
    let Conversation { id, created_at, updated_at, mine, .. } = &line.conversation;
    let at = match ordering {
        Ordering::PinnedThenUpdated | Ordering::Updated => updated_at,
        Ordering::CreatedDescending | Ordering::Created => created_at,
    };
    let is_pinned = u8::from(mine.pinned_at.is_some());
    format!("{}.{is_pinned}.{}.{id}", order.as_str(), at.timestamp_micros())
}

/// The place of the last entry of the page before, and which it was.
fn parse_place(order: InboxOrder, cursor: &str) -> Result<(usize, ConversationId), FieldError> {
    let rest =
        cursor.strip_prefix(order.as_str()).and_then(|rest| rest.strip_prefix('.')).ok_or_else(malformed)?;
    let (place, id) = rest.split_once('.').ok_or_else(malformed)?;
    Ok((place.parse().map_err(|_| malformed())?, id.parse().map_err(|_| malformed())?))
}
