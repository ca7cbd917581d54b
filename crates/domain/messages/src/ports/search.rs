use alivio_kernel::ids::{ConversationId, DataKeyId, MessageId, UserId, Uuid};
use alivio_kernel::{Effects, Place};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoredMessage;
use crate::{Error, MessageType};

/// What a message can be found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Which message.
    pub message_id: MessageId,
    /// Where it was said.
    pub conversation_id: ConversationId,
    /// Its place there.
    pub seq: i64,
    /// Which wording of it.
    pub version: u32,
    /// Keyed digests, sorted, each once.
    pub tokens: Vec<i64>,
}

/// A token and where it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedToken {
    /// In which conversation: each has tokens of its own.
    pub conversation_id: ConversationId,
    /// What it stands for: of all tokens of one word, one must be there.
    pub word: i32,
    /// The token.
    pub token: i64,
}

/// Where the next messages start, from the newest back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundAfter {
    /// When the last one was stored.
    pub created_at: DateTime<Utc>,
    /// Which it was.
    pub message_id: MessageId,
}

/// What is asked of the index besides tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexFilter {
    /// One of these types; any, if there are none.
    pub message_types: Vec<MessageType>,
    /// By this person.
    pub from_user: Option<UserId>,
    /// Stored at this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Stored before this moment.
    pub until: Option<DateTime<Utc>>,
    /// In front of this place in its conversation.
    pub before_seq: Option<i64>,
    /// Behind this one in the order of the answer.
    pub after: Option<FoundAfter>,
}

/// The right to follow what changes, which one node has at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which node asks for it, or goes on.
    pub of: Uuid,
    /// When.
    pub now: DateTime<Utc>,
    /// How long it lasts, unless it is asked for again.
    pub until: DateTime<Utc>,
}

/// A change that the index may not show yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfollowed {
    /// Where it stands in the row of changes.
    pub place: Place,
    /// The message that was sent, reworded or taken back; `None` if it is none of that.
    pub message_id: Option<MessageId>,
}

/// An index of what was said, that tells nothing to who has not the keys.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SearchIndex: Send + Sync {
    /// The conversations that `viewer` is in, of `among` if that names any; at most `limit`, the most recently
    /// changed first.
    async fn searchable(
        &self,
        viewer: UserId,
        among: &[ConversationId],
        limit: i64,
    ) -> Result<Vec<ConversationId>, Error>;

    /// Messages that have a token of each word and pass the `filter`, newest first, at most `limit`. Word 0 is looked
    /// for first.
    ///
    /// The statement that finds them MUST check that `viewer` is in the conversation and had joined before the
    /// message. What is withheld at `now` MUST NOT be among them. MUST end within two seconds.
    async fn find(
        &self,
        viewer: UserId,
        asked: &[AskedToken],
        filter: &IndexFilter,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error>;

    /// The next changes behind the one that was last [followed](Self::followed), in their order, at most `limit`; none
    /// while it is another's turn. Nothing is passed over that is committed late.
    async fn unfollowed(&self, turn: &Turn, limit: i64) -> Result<Vec<Unfollowed>, Error>;

    /// The index shows what changed up to `place`. Nothing happens if it is not the turn of `of`.
    async fn followed(&self, of: Uuid, place: Place) -> Result<(), Error>;

    /// These messages, for the index. Unknown ones are left out.
    async fn to_index(&self, messages: &[MessageId]) -> Result<Vec<StoredMessage>, Error>;

    /// At most `limit` messages that are not withheld, and not in the index or by another version of it, in the order
    /// of their ids, after `after`.
    async fn not_indexed(
        &self,
        index_version: i16,
        after: Option<MessageId>,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error>;

    /// Puts `entries` into the index, in place of earlier ones. Left out is what is no longer the wording of its
    /// message, or was taken back or destroyed meanwhile. May be lost in a crash, but then so is what comes later.
    async fn put(&self, index_version: i16, entries: &[IndexEntry]) -> Result<(), Error>;

    /// Takes messages out of the index.
    async fn remove(&self, messages: &[MessageId]) -> Result<(), Error>;

    /// Puts what has come since the last time into order, where that is left for later: a search may have to read it all.
    async fn tidy(&self) -> Result<(), Error>;

    /// Takes all messages of a conversation out of the index.
    async fn remove_all(&self, conversation: ConversationId) -> Result<(), Error>;
}

/// A question to whoever knows medical words.
pub trait Lexicon: Send + Sync {
    /// Whether there is a medical term in `text`.
    fn is_medical(&self, text: &str) -> bool;
}

impl<F: Fn(&str) -> bool + Send + Sync> Lexicon for F {
    fn is_medical(&self, text: &str) -> bool {
        self(text)
    }
}

/// What is asked of whoever destroys what was said in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Shredding {
    /// Which conversation.
    pub conversation_id: ConversationId,
    /// For the key that shows that there are none, where there never was one.
    pub tombstone: DataKeyId,
    /// Whether it may be about care.
    pub care_too: bool,
    /// When.
    pub now: DateTime<Utc>,
    /// What it leaves behind.
    pub effects: Effects,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shredded {
    /// Nobody can read it any more.
    Done,
    /// It had been done before; nothing was changed.
    Already,
    /// It is about the care of a patient, and that was not asked for.
    IsCare,
    /// There is no such conversation.
    Unknown,
}

/// Destroys what was said in a conversation.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Shredder: Send + Sync {
    /// Destroys the data keys of the conversation, takes its messages out of the index, closes it, and stores the
    /// effects, together or not at all. Who was told that a message is stored finds it in the log afterwards, without
    /// its words.
    async fn shred(&self, shredding: &Shredding) -> Result<Shredded, Error>;
}
