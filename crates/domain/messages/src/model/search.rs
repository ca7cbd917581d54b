use std::ops::Range;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::terms::Pattern;
use alivio_kernel::{FieldError, PageSize, Rule};
use chrono::{DateTime, Utc};

use super::{Message, MessageType};

/// The most conversations that a search can name (RL-03).
pub const MAX_CONVERSATIONS: usize = 100;
/// How much of a message is shown around what was found, in characters.
const SNIPPET: usize = 160;
/// How much of that is before the first place.
const BEFORE: usize = 40;

/// In which order messages are found (S0-156).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    /// The newest first.
    #[default]
    Newest,
    /// The most telling first, of the 500 newest.
    Relevance,
}

/// What someone looks for.
#[derive(Debug)]
pub struct SearchQuery {
    /// The words.
    pub pattern: Pattern,
    /// Only in these conversations; in all, if there are none.
    pub in_conversations: Vec<ConversationId>,
    /// Only these types; all, if there are none.
    pub message_types: Vec<MessageType>,
    /// Only by this person.
    pub from_user: Option<UserId>,
    /// Stored at this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Stored before this moment.
    pub until: Option<DateTime<Utc>>,
    /// Only with files of one of these types; any, if there are none.
    pub file_types: Vec<String>,
    /// Only with medical terms, or only without.
    pub has_medical_terms: Option<bool>,
    /// In which order.
    pub ordering: Ordering,
    /// In front of this place, if one conversation is searched.
    pub before_seq: Option<i64>,
    /// Where the page starts.
    pub cursor: Option<SearchCursor>,
    /// How many to skip.
    pub offset: i64,
    /// How many to find.
    pub size: PageSize,
}

impl SearchQuery {
    /// Looks for `pattern` everywhere.
    pub fn new(pattern: Pattern, size: PageSize) -> Self {
        Self {
            pattern,
            in_conversations: Vec::new(),
            message_types: Vec::new(),
            from_user: None,
            from: None,
            until: None,
            file_types: Vec::new(),
            has_medical_terms: None,
            ordering: Ordering::Newest,
            before_seq: None,
            cursor: None,
            offset: 0,
            size,
        }
    }

    /// Only in `conversations`, at most 100.
    ///
    /// # Errors
    /// If there are more.
    pub fn within(mut self, conversations: Vec<ConversationId>) -> Result<Self, FieldError> {
        if conversations.len() > MAX_CONVERSATIONS {
            let rule = Rule::TooMany { max: MAX_CONVERSATIONS };
            return Err(FieldError::new("in_conversations", rule));
        }
        self.in_conversations = conversations;
        Ok(self)
    }
}

/// Where the next page of a search starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchCursor {
    /// Behind a message, from the newest back.
    After(crate::FoundAfter),
    /// Behind so many of the most telling ones.
    Skip(u16),
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundMessage {
    /// The message.
    pub message: Message,
    /// Where what was looked for stands in its words, in characters.
    pub highlights: Vec<Range<usize>>,
    /// The words around the first place.
    pub snippet: Snippet,
    /// The higher, the more it is about what was looked for.
    pub score: f32,
}

/// A part of a text, in pieces.
#[derive(Clone, PartialEq, Eq)]
pub struct Snippet {
    /// Pieces in order; `true` for what was looked for.
    pub pieces: Vec<(String, bool)>,
    /// Whether something stands before.
    pub cut_before: bool,
    /// Whether something stands after.
    pub cut_after: bool,
}

impl std::fmt::Debug for Snippet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snippet({} pieces)", self.pieces.len())
    }
}

impl Snippet {
    /// The part of `text` around the first of `highlights`, which are in bytes.
    pub(crate) fn of(text: &str, highlights: &[Range<usize>]) -> Self {
        let first = highlights.first().map_or(0, |range| range.start);
        let before = text.get(..first).unwrap_or_default();
        let start = before.char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| {
            // Not in the middle of a word, if there is a gap.
            let tail = text.get(at..first).unwrap_or_default();
            tail.find(char::is_whitespace).map_or(at, |gap| at + gap + 1)
        });
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.char_indices().nth(SNIPPET).map_or(text.len(), |(at, _)| {
            let head = rest.get(..at).unwrap_or_default();
            start + head.rfind(char::is_whitespace).filter(|gap| start + gap > first).unwrap_or(at)
        });
        let mut pieces = Vec::new();
        let mut at = start;
        let mut push = |range: Range<usize>, found| match text.get(range) {
            Some(piece) if !piece.is_empty() => pieces.push((piece.to_owned(), found)),
            _ => {}
        };
        for range in highlights.iter().filter(|range| range.start >= start && range.start < end) {
            push(at..range.start, false);
            push(range.start..range.end.min(end), true);
            at = range.end.min(end);
        }
        push(at..end, false);
        Self { pieces, cut_before: start > 0, cut_after: end < text.len() }
    }
}

/// `ranges` of bytes of `text` as ranges of characters.
pub(crate) fn in_characters(text: &str, ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let count = |at: usize| text.get(..at).map_or(0, |before| before.chars().count());
    ranges.iter().map(|range| count(range.start)..count(range.end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, raw: &str) -> Vec<Range<usize>> {
        Pattern::parse("query", raw).unwrap().find(text).unwrap().highlights
    }

    #[test]
    fn a_snippet_shows_what_stands_around_the_first_place() {
        let text = format!("{} tiene dolor ¿<b>? {}", "antes ".repeat(50), "después ".repeat(50));
        let snippet = Snippet::of(&text, &found(&text, "dolor"));
        assert!(snippet.cut_before && snippet.cut_after);
        let shown: String = snippet.pieces.iter().map(|(piece, _)| piece.as_str()).collect();
        assert!(text.contains(&shown) && shown.chars().count() <= SNIPPET, "{shown}");
        assert!(shown.starts_with("antes"));
        assert_eq!(snippet.pieces.iter().filter(|(_, found)| *found).count(), 1);
        assert!(snippet.pieces.contains(&("dolor".to_owned(), true)));
        let whole = Snippet::of("dolor", &found("dolor", "dolor"));
        assert_eq!(whole.pieces, [("dolor".to_owned(), true)]);
        assert!(!whole.cut_before && !whole.cut_after);
        for length in 1..400 {
            let text = format!("{}dolor{}", "ñ".repeat(length), "🤒".repeat(length));
            let _ = Snippet::of(&text, std::slice::from_ref(&(length * 2..length * 2 + 5)));
        }
    }

    #[test]
    fn places_are_told_in_characters() {
        let text = "🤒 niño con dolor";
        assert_eq!(in_characters(text, &found(text, "dolor")), vec![11..16]);
    }

    #[test]
    fn more_than_a_hundred_conversations_are_refused() {
        let query = |n: u128| {
            let ids = (0..n).map(|id| alivio_kernel::ids::Uuid::from_u128(id).into()).collect();
            let size = PageSize::parse(None, 20).unwrap();
            SearchQuery::new(Pattern::parse("query", "dolor").unwrap(), size).within(ids)
        };
        assert!(query(100).is_ok());
        assert!(query(101).is_err());
    }
}
