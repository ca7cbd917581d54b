//! What someone looked for, with the people who said it and the conversations it was said in.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use alivio_conversations::Titled;
use alivio_kernel::Caller;
use alivio_kernel::ids::ConversationId;
use alivio_messages::{FoundMessage, SearchCursor, SearchQuery, Snippet, delivery_status};

use crate::screens::named;
use crate::{Error, MessageView, Platform};

/// So many conversations are found by what they are called.
const CONVERSATIONS: usize = 20;

/// A message that was found.
#[derive(Debug, Clone)]
pub struct FoundView {
    /// The message with its sender.
    pub view: MessageView,
    /// The conversation it was said in.
    pub conversation: Titled,
    /// Where what was looked for stands in its words, in characters.
    pub highlights: Vec<Range<usize>>,
    /// The words around the first place.
    pub snippet: Snippet,
    /// The higher, the more it is about what was looked for.
    pub score: f32,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct SearchView {
    /// Messages.
    pub items: Vec<FoundView>,
    /// Where the next page of messages starts.
    pub next_cursor: Option<String>,
    /// Conversations that are called so; on the first page only.
    pub conversations: Vec<Titled>,
}

impl Platform {
    /// Finds messages, and conversations by what they are called, among those that the caller is in.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn find(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        cursor: impl Fn(SearchCursor) -> String,
    ) -> Result<SearchView, Error> {
        let page = self.search.find(caller, query, cursor).await?;
        let is_first = query.cursor.is_none() && query.offset == 0;
        let conversations = if is_first {
            self.titles.find(caller, &query.pattern, &query.in_conversations, CONVERSATIONS).await?
        } else {
            Vec::new()
        };
        let next_cursor = page.next_cursor;
        Ok(SearchView { items: self.found(caller, page.items).await?, next_cursor, conversations })
    }

    /// Finds messages in one conversation.
    ///
    /// # Errors
    /// Not found, if the caller is not in it.
    pub async fn find_in(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        mut query: SearchQuery,
    ) -> Result<(Vec<MessageView>, Option<i64>), Error> {
        self.messages.position(caller, conversation).await?;
        query.in_conversations = vec![conversation];
        let page = self.search.find(caller, &query, |_| String::new()).await?;
        let more = page.next_cursor.is_some();
        let last = page.items.last().map(|found| found.message.seq);
        let found = self.found(caller, page.items).await?;
        Ok((found.into_iter().map(|found| found.view).collect(), last.filter(|_| more)))
    }

    async fn found(&self, caller: &Caller, items: Vec<FoundMessage>) -> Result<Vec<FoundView>, Error> {
        let places: HashSet<ConversationId> =
            items.iter().map(|found| found.message.conversation_id).collect();
        let places: Vec<_> = places.into_iter().collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let messages: Vec<_> = items.iter().map(|found| found.message.clone()).collect();
        let people = self.people.summaries(named(&messages)).await?;
        let titles = self.titles.of(caller, &places).await?;
        let titles: HashMap<_, _> = titles.into_iter().map(|titled| (titled.id, titled)).collect();
        let mut marks = HashMap::new();
        for digest in self.messages.digests(caller, &places).await? {
            let (id, mut theirs) = (digest.conversation_id, digest.marks);
            self.silence.hush(caller, id, &mut theirs).await?;
            marks.insert(id, theirs);
        }
        let mut shown = Vec::with_capacity(items.len());
        for found in items {
            let FoundMessage { message, highlights, snippet, score } = found;
            // Who has left meanwhile is shown nothing.
            let places = (titles.get(&message.conversation_id), marks.get(&message.conversation_id));
            let (Some(conversation), Some(marks)) = places else { continue };
            let status = delivery_status(message.seq, message.sender_id, marks);
            let Some(view) = MessageView::of(message, &people, status) else { continue };
            shown.push(FoundView { view, conversation: conversation.clone(), highlights, snippet, score });
        }
        self.mentions.name(shown.iter_mut().map(|found| &mut found.view)).await?;
        Ok(shown)
    }
}
