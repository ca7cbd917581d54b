use std::ops::Deref;

use alivio_kernel::ids::{ConversationId, FileId, GrantId, MessageId, ScheduledMessageId, UserId};
use alivio_kernel::{AuditEntry, Event, PageSize, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{ClientMessageId, Error, Header, Mark, Marks, MarksMoved, Message, ScheduledState};

mod changes;
mod feed;
mod hours;
mod moderation;
mod questions;
mod reader;
mod rooms;
mod scheduled;
mod search;

pub use changes::*;
pub use feed::*;
pub use hours::*;
pub use moderation::*;
pub use questions::*;
pub use reader::*;
pub use rooms::*;
pub use scheduled::*;
pub use search::*;

/// A message about to enter the log.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry {
    /// What is known of it. The store gives it its `seq` and `number`, and an earlier `expires_at` where the
    /// conversation forgets by itself.
    pub header: Header,
    /// The sealed words, if there are any.
    pub content: Option<Sealed>,
    /// What it holds besides, sealed.
    pub payload: Option<Sealed>,
    /// Keyed digest of all that the client sent, to tell a retry from another message.
    pub fingerprint: [u8; 16],
    /// [`MessageOutsideHours`](crate::MessageOutsideHours), if it is: stored together with the message, or not at all.
    pub event: Option<Event>,
    /// For those who moderate, if something was found in it.
    pub flag: Option<NewFlag>,
    /// The files that it holds: whoever can read it can read them.
    pub files: Vec<FileId>,
}

impl Deref for NewEntry {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.header
    }
}

/// A message as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMessage {
    /// What is known of it.
    pub header: Header,
    /// The sealed words, unless they were destroyed or there are none.
    pub content: Option<Sealed>,
    /// What it holds besides, sealed, unless that was destroyed.
    pub payload: Option<Sealed>,
}

impl Deref for StoredMessage {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.header
    }
}

/// What came of appending.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "it is looked at where it comes from, and kept nowhere")]
pub enum Appended {
    /// It is in the log, for good.
    Stored {
        /// Its place.
        seq: i64,
        /// Its number among all messages.
        number: i64,
        /// The version of the membership that may receive it.
        members_version: i64,
        /// When it disappears.
        expires_at: Option<DateTime<Utc>>,
    },
    /// The very same message was in the log already.
    Repeat(StoredMessage),
    /// The client message id belongs to another message.
    Reused,
    /// The sender is not in the conversation, or there is none.
    NotAMember,
    /// The conversation is closed.
    Closed,
    /// One of the two of a direct conversation has blocked the other.
    Blocked,
    /// The message that it answers is not in the conversation, or the sender may not read it.
    NoReplyTarget,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// A sequence number.
    Seq(i64),
    /// A message.
    Message(MessageId),
}

/// Which part of the log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryQuery {
    /// The newest, backwards, skipping so many.
    Newest {
        /// How many to skip.
        offset: i64,
        /// How many to read.
        size: PageSize,
    },
    /// What came before, backwards.
    Before(Anchor, PageSize),
    /// What came after, forwards.
    After(Anchor, PageSize),
}

impl HistoryQuery {
    /// How many messages to read.
    pub const fn size(&self) -> PageSize {
        match self {
            Self::Newest { size, .. } | Self::Before(_, size) | Self::After(_, size) => *size,
        }
    }
}

/// Where a participant stands in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// They read from here on.
    pub joined_seq: i64,
    /// The newest entry.
    pub last_seq: i64,
    /// The number of the newest change of an entry.
    pub last_revision: i64,
    /// The version of the membership that says so.
    pub members_version: i64,
    /// The marks of everyone who is in it now, theirs included, as far as others' may be seen.
    pub marks: Vec<Marks>,
}

/// What came of moving a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Where the marks are now.
    pub marks: Marks,
    /// Whether this call moved one.
    pub moved: bool,
    /// The message that was asked for.
    pub message_id: MessageId,
    /// Messages by others after `read_up_to`.
    pub unread: i64,
}

/// The state of one conversation for the list of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// Which.
    pub conversation_id: ConversationId,
    /// Messages by others that the viewer has not read.
    pub unread: i64,
    /// The newest message the viewer may read.
    pub last: Option<StoredMessage>,
    /// The marks of everyone who is in it now.
    pub marks: Vec<Marks>,
}

/// The log of every conversation, and the marks in it.
///
/// Membership is checked in the statement that reads or writes: someone who is not in a conversation at
/// that moment sees nothing of it, and nobody sees an entry from before they joined.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait MessageLog: Send + Sync {
    /// Appends an entry, advances the conversation and stores the event, together and durably, or
    /// nothing.
    ///
    /// Sequence numbers of a conversation MUST be 1, 2, 3 … in commit order, without gaps. One
    /// `(conversation, sender, client_message_id)` MUST enter the log once, however many append it at
    /// once; the others get [`Appended::Repeat`], or [`Appended::Reused`] if the fingerprint differs.
    ///
    /// Between two people of whom one has blocked the other, a direct conversation takes nothing: nothing that
    /// commits after a block. Other conversations MUST go on.
    ///
    /// Who is not a member gets [`Appended::NotAMember`] before all else; who repeats a message after the
    /// conversation was closed, or its other person blocked, still gets [`Appended::Repeat`].
    ///
    /// The flag of what is stored MUST be stored with it, and no other.
    async fn append(&self, entry: NewEntry) -> Result<Appended, Error>;

    /// What [`append`](Self::append) would answer, of these alone: [`Appended::NotAMember`], [`Appended::Repeat`] or
    /// [`Appended::Reused`]; `None` for what would be a new message. MUST store nothing.
    async fn earlier(
        &self,
        sender: UserId,
        conversation: ConversationId,
        client_message_id: &ClientMessageId,
        fingerprint: [u8; 16],
    ) -> Result<Option<Appended>, Error>;

    /// One page, and one entry more if there is one. `None` if `viewer` is not in the conversation, or
    /// the anchor is a message outside its readable part. A sequence number is an anchor wherever the log
    /// begins and ends: a client that has nothing resumes from 0.
    async fn history(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        query: &HistoryQuery,
    ) -> Result<Option<Vec<StoredMessage>>, Error>;

    /// Where `viewer` stands. `None` if they are not in the conversation. Behind a block between the two of a direct
    /// conversation there are no marks but their own, and where receipts are off nobody else has read anything.
    async fn position(&self, viewer: UserId, conversation: ConversationId)
    -> Result<Option<Position>, Error>;

    /// Moves a mark of `viewer` forward and logs the move; reading moves both marks. A target behind the
    /// mark changes nothing. `None` if they are not in the conversation, or the target is not in its readable
    /// part.
    async fn advance(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        mark: Mark,
        target: &Anchor,
        now: DateTime<Utc>,
    ) -> Result<Option<Moved>, Error>;

    /// The newest of `messages` that is in the conversation and readable by `viewer`.
    async fn newest_of(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        messages: &[MessageId],
    ) -> Result<Option<MessageId>, Error>;

    /// The state of each of `conversations` that `viewer` is in, in any order.
    async fn digests(&self, viewer: UserId, conversations: &[ConversationId]) -> Result<Vec<Digest>, Error>;
}

/// Whoever is connected now. Only hints: who misses one finds the truth in the log.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait LiveFeed: Send + Sync {
    /// A message is in the log. `members_version` names the membership that may receive it.
    async fn message_created(&self, message: &Message, members_version: i64);
    /// Whether anyone listens to the conversation.
    fn has_audience(&self, conversation: ConversationId) -> bool;
    /// Whether anyone listens to where this happened, and was not told of it yet.
    fn awaits(&self, change: &NotedChange) -> bool;
    /// A message has changed.
    async fn message_changed(&self, changed: MessageChanged);
    /// Someone's marks have moved.
    async fn marks_moved(&self, moved: &MarksMoved);
    /// `user` has read on, and has so many messages by others left there. Nobody else is to know.
    async fn unread_changed(&self, user: UserId, conversation: ConversationId, unread: i64);
    /// A message that `sender` had put off has changed its state. Nobody else is to know.
    async fn scheduled_changed(&self, sender: UserId, id: ScheduledMessageId, state: ScheduledState);
    /// `user` has changed their draft there. Nobody else is to know.
    async fn draft_changed(&self, user: UserId, conversation: ConversationId);
}

/// By what someone reads a conversation that they are not in (C-59).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The grant.
    pub grant_id: GrantId,
    /// To whom it was given.
    pub holder: UserId,
    /// What it opens.
    pub conversation_id: ConversationId,
    /// What is recorded with every page that is read.
    pub audit: Vec<AuditEntry>,
}

/// A part of the log with everyone's marks, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantedPage {
    /// The messages.
    pub messages: Vec<StoredMessage>,
    /// The marks of everyone who is in the conversation now.
    pub marks: Vec<Marks>,
}

/// The log, for those who hold a grant to it.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait GrantedLog: Send + Sync {
    /// One page from any place of the log, and one entry more if there is one.
    ///
    /// The statement that reads MUST check that the grant exists, was given to the holder for this conversation, has
    /// not been ended and has not expired at `now`; `None` otherwise, and for an anchor that is not in the
    /// conversation. The pass's entries MUST be stored with the page: if that fails, nothing is read; if nothing is
    /// read, nothing is stored.
    async fn granted_history(
        &self,
        pass: &Pass,
        query: &HistoryQuery,
        now: DateTime<Utc>,
    ) -> Result<Option<GrantedPage>, Error>;
}
