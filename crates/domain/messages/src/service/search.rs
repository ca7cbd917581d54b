use std::collections::BTreeSet;
use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, MessageId, Uuid};
use alivio_kernel::sealing::{Scope, Tokeniser};
use alivio_kernel::{Caller, Clock, Page, Sealed, Sealer, terms};

use crate::model::in_characters;
use crate::{
    AskedToken, Content, Error, FoundAfter, FoundMessage, Header, IndexEntry, IndexFilter, Lexicon, Message,
    MessageType, Ordering, SearchCursor, SearchIndex, SearchQuery, Snippet, StoredMessage, Turn,
};
use chrono::TimeDelta;

/// So many of the newest messages that may match are looked at, and no more (RL-03).
const CANDIDATES: i64 = 500;
/// A person who is in more conversations searches those that changed last.
const CONVERSATIONS: i64 = 1_000;
/// The number of tokens of a message is filled up to a multiple of this, so that it tells little.
const TOKENS: usize = 8;
/// How many messages are put into the index at once.
const BATCH: i64 = 200;
/// After so long without a sign of it another node follows in its place. A batch takes a fraction of it.
const TURN: TimeDelta = TimeDelta::seconds(5);
const MEDICAL: &str = "m:";

/// What [`Search`] needs.
#[derive(Clone)]
pub struct SearchPorts {
    /// The index.
    pub index: Arc<dyn SearchIndex>,
    /// What texts are found by.
    pub tokeniser: Arc<dyn Tokeniser>,
    /// Medical words.
    pub lexicon: Arc<dyn Lexicon>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// What came of following what changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    /// Whether there may be more to follow.
    pub may_be_more: bool,
    /// Messages that could not be indexed.
    pub left_out: Vec<MessageId>,
}

/// Finds what was said, without anybody who reads the database learning what it was.
///
/// The index holds keyed digests of the words, under a key of each conversation. It brings messages that may match;
/// they are opened and compared before they count, so that what is found is what was looked for.
#[derive(Clone)]
pub struct Search {
    ports: SearchPorts,
}

impl Search {
    /// Search over `ports`.
    pub const fn new(ports: SearchPorts) -> Self {
        Self { ports }
    }

    /// Finds messages in conversations that the caller is in.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`]; what the caller may not see is not found.
    pub async fn find(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        cursor: impl Fn(SearchCursor) -> String,
    ) -> Result<Page<FoundMessage>, Error> {
        let conversations =
            self.ports.index.searchable(caller.user_id, &query.in_conversations, CONVERSATIONS).await?;
        let asked = self.asked(query, &conversations);
        if asked.is_empty() {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        }
        match query.ordering {
            Ordering::Newest => self.newest(caller, query, &asked, cursor).await,
            Ordering::Relevance => self.most_telling(caller, query, &asked, cursor).await,
        }
    }

    async fn newest(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        asked: &[AskedToken],
        cursor: impl Fn(SearchCursor) -> String,
    ) -> Result<Page<FoundMessage>, Error> {
        let size = query.size.get();
        let mut after = match query.cursor {
            Some(SearchCursor::After(after)) => Some(after),
            Some(SearchCursor::Skip(_)) | None => None,
        };
        let wanted = usize::try_from(query.offset + size).unwrap_or(usize::MAX);
        let (mut found, mut examined) = (Vec::new(), 0);
        let mut more = true;
        // The words of a phrase are often there, but apart.
        let mut share = if query.pattern.has_phrases() { CANDIDATES } else { 2 };
        // One more than the page holds tells whether another page follows.
        while more && found.len() <= wanted && examined < CANDIDATES {
            let limit = (share * size + 1 + query.offset).min(CANDIDATES - examined);
            share *= 4;
            let rows = self.candidates(caller, query, asked, after, limit).await?;
            let count = i64::try_from(rows.len()).unwrap_or(limit);
            (more, examined) = (count == limit, examined + count);
            after = rows.last().map(|row| place(&row.header)).or(after);
            found.extend(self.matching(query, rows).await?);
        }
        let more = more || found.len() > wanted;
        let skipped = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let whole = found.len() > wanted;
        let items: Vec<_> =
            found.into_iter().skip(skipped).take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
        // After the last one shown, or, if all that was looked at is shown, after that.
        let last = if whole { items.last().map(|found| place(&found.message.header)) } else { after };
        let next_cursor = last.filter(|_| more).map(|last| cursor(SearchCursor::After(last)));
        Ok(Page { items, next_cursor })
    }

    async fn most_telling(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        asked: &[AskedToken],
        cursor: impl Fn(SearchCursor) -> String,
    ) -> Result<Page<FoundMessage>, Error> {
        let rows = self.candidates(caller, query, asked, None, CANDIDATES).await?;
        let mut found = self.matching(query, rows).await?;
        // Stable: of two that tell as much, the newer comes first.
        found.sort_by(|one, other| other.score.total_cmp(&one.score));
        let offset = match query.cursor {
            Some(SearchCursor::Skip(skip)) => i64::from(skip),
            Some(SearchCursor::After(_)) | None => query.offset,
        };
        let end = offset + query.size.get();
        let more = found.len() > usize::try_from(end).unwrap_or(usize::MAX);
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let size = usize::try_from(query.size.get()).unwrap_or(usize::MAX);
        let items = found.into_iter().skip(skipped).take(size).collect();
        let next_cursor = u16::try_from(end).ok().filter(|_| more).map(|end| cursor(SearchCursor::Skip(end)));
        Ok(Page { items, next_cursor })
    }

    /// Every term of every word, as the tokens of each conversation.
    fn asked(&self, query: &SearchQuery, conversations: &[ConversationId]) -> Vec<AskedToken> {
        let mut required = query.pattern.required();
        if query.has_medical_terms == Some(true) {
            required.push(vec![MEDICAL.to_owned()]);
        }
        if !query.file_types.is_empty() {
            required.push(query.file_types.iter().map(|kind| file(kind)).collect());
        }
        let terms: Vec<&str> = required.iter().flatten().map(String::as_str).collect();
        let words = (0_i32..).zip(&required).flat_map(|(word, terms)| terms.iter().map(move |_| word));
        let words: Vec<i32> = words.collect();
        conversations
            .iter()
            .flat_map(|&conversation_id| {
                let tokens = self.ports.tokeniser.tokens(Scope::Conversation(conversation_id), &terms);
                let asked = move |(word, token)| AskedToken { conversation_id, word, token };
                words.clone().into_iter().zip(tokens).map(asked)
            })
            .collect()
    }

    async fn candidates(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        asked: &[AskedToken],
        after: Option<FoundAfter>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error> {
        let filter = IndexFilter {
            message_types: query.message_types.clone(),
            from_user: query.from_user,
            from: query.from,
            until: query.until,
            before_seq: query.before_seq,
            after,
        };
        let now = self.ports.clock.now();
        self.ports.index.find(caller.user_id, asked, &filter, now, limit).await
    }

    /// Those of `rows` that are what was looked for, in their order.
    async fn matching(
        &self,
        query: &SearchQuery,
        rows: Vec<StoredMessage>,
    ) -> Result<Vec<FoundMessage>, Error> {
        let opened = self.open(rows).await?;
        Ok(opened.into_iter().filter_map(|message| self.judge(query, message)).collect())
    }

    fn judge(&self, query: &SearchQuery, message: Message) -> Option<FoundMessage> {
        let text = message.content.as_ref()?.as_str();
        let found = query.pattern.find(text)?;
        let kinds = file_types(message.message_type);
        if !query.file_types.is_empty() && !kinds.iter().any(|kind| query.file_types.contains(kind)) {
            return None;
        }
        if query.has_medical_terms.is_some_and(|wanted| self.ports.lexicon.is_medical(text) != wanted) {
            return None;
        }
        let snippet = Snippet::of(text, &found.highlights);
        let highlights = in_characters(text, &found.highlights);
        Some(FoundMessage { highlights, snippet, score: found.score, message })
    }

    /// Messages with their words; those that are withheld, or whose keys were destroyed, are left out.
    async fn open(&self, rows: Vec<StoredMessage>) -> Result<Vec<Message>, Error> {
        let now = self.ports.clock.now();
        let rows: Vec<_> =
            rows.into_iter().filter(|row| !row.is_gone(now) && row.content.is_some()).collect();
        let sealed: Vec<_> =
            rows.iter().filter_map(|row| Some((Content::context(row), row.content.as_ref()?))).collect();
        let opened = self.ports.sealer.open_remaining(&sealed).await?;
        let mut messages = Vec::with_capacity(rows.len());
        for (row, plain) in rows.into_iter().zip(opened) {
            let Some(plain) = plain else { continue };
            let text = String::from_utf8(plain).map_err(|error| Error::Unavailable(error.into()))?;
            let key_id = row.content.as_ref().and_then(Sealed::key_id);
            let header = Header { key_id, ..row.header };
            messages.push(Message::new(header, Some(Content::restored(text)), None));
        }
        Ok(messages)
    }

    /// Brings the index up to date with the next messages that changed, if it is the turn of the node `of`. `carefully`: what
    /// cannot be indexed is left out, and does not hold up the others; [`complete_index`](Self::complete_index) tries it again.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`]; then nothing is passed over.
    pub async fn follow(&self, of: Uuid, carefully: bool) -> Result<Followed, Error> {
        let now = self.ports.clock.now();
        let changes = self.ports.index.unfollowed(&Turn { of, now, until: now + TURN }, BATCH).await?;
        let Some(last) = changes.last() else { return Ok(Followed::default()) };
        let messages: BTreeSet<_> = changes.iter().filter_map(|change| change.message_id).collect();
        let messages: Vec<_> = messages.into_iter().collect();
        let at_once = if carefully { 1 } else { messages.len().max(1) };
        let mut left_out = Vec::new();
        for part in messages.chunks(at_once) {
            match self.index(part).await {
                Err(_) if carefully => left_out.extend(part),
                indexed => indexed?,
            }
        }
        self.ports.index.followed(of, last.place).await?;
        let may_be_more = i64::try_from(changes.len()).is_ok_and(|count| count == BATCH);
        Ok(Followed { may_be_more, left_out })
    }

    /// Puts `messages` in as they are now, and takes out what is withheld.
    async fn index(&self, messages: &[MessageId]) -> Result<(), Error> {
        let rows = self.ports.index.to_index(messages).await?;
        let entries = self.entries(rows).await?;
        let kept: BTreeSet<_> = entries.iter().map(|entry| entry.message_id).collect();
        let gone: Vec<_> = messages.iter().copied().filter(|id| !kept.contains(id)).collect();
        if !gone.is_empty() {
            self.ports.index.remove(&gone).await?;
        }
        if !entries.is_empty() {
            self.ports.index.put(terms::VERSION, &entries).await?;
        }
        Ok(())
    }

    /// Takes a conversation out of the index whose content was destroyed.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn forget(&self, conversation: ConversationId) -> Result<(), Error> {
        self.ports.index.remove_all(conversation).await
    }

    /// Puts what has come into the index into order, so that the next search need not read it all.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn tidy_index(&self) -> Result<(), Error> {
        self.ports.index.tidy().await
    }

    /// Puts what is missing, or was put in by another version, into the index, and tells how much it was. May be
    /// broken off and begun again.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn complete_index(&self) -> Result<usize, Error> {
        let (mut done, mut after) = (0, None);
        loop {
            let now = self.ports.clock.now();
            let rows = self.ports.index.not_indexed(terms::VERSION, after, now, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(done) };
            after = Some(last.id);
            let entries = self.entries(rows).await?;
            if !entries.is_empty() {
                self.ports.index.put(terms::VERSION, &entries).await?;
            }
            done += entries.len();
        }
    }

    async fn entries(&self, rows: Vec<StoredMessage>) -> Result<Vec<IndexEntry>, Error> {
        let messages = self.open(rows).await?;
        Ok(messages.iter().filter_map(|message| self.entry(message)).collect())
    }

    fn entry(&self, message: &Message) -> Option<IndexEntry> {
        let text = message.content.as_ref()?.as_str();
        let mut found_by = terms::terms_of(text);
        if self.ports.lexicon.is_medical(text) {
            found_by.insert(MEDICAL.to_owned());
        }
        found_by.extend(file_types(message.message_type).iter().map(|kind| file(kind)));
        let found_by: Vec<&str> = found_by.iter().map(String::as_str).collect();
        let scope = Scope::Conversation(message.conversation_id);
        let mut tokens = self.ports.tokeniser.tokens(scope, &found_by);
        let noise = tokens.len().next_multiple_of(TOKENS).max(TOKENS) - tokens.len();
        tokens.extend(self.ports.tokeniser.noise(noise));
        // In an order that does not tell the order of the words.
        tokens.sort_unstable();
        tokens.dedup();
        Some(IndexEntry {
            message_id: message.id,
            conversation_id: message.conversation_id,
            seq: message.seq,
            version: message.version,
            tokens,
        })
    }
}

const fn place(header: &Header) -> FoundAfter {
    FoundAfter { created_at: header.created_at, message_id: header.id }
}

fn file(kind: &str) -> String {
    format!("f:{kind}")
}

/// What kinds of file a message of this type brings.
fn file_types(kind: MessageType) -> Vec<String> {
    match kind.as_str() {
        "text" | "system" => Vec::new(),
        name => vec![name.to_owned()],
    }
}
