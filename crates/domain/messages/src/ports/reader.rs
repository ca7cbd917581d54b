use alivio_kernel::PageSize;
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoredMessage;
use crate::{Error, MessageType};

/// So many entries of one log are looked at for one page, whatever is looked for: an answer costs no more than that.
pub const WINDOW: i64 = 10_000;

/// Where a part of the log begins or ends. What stands there is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// A sequence number.
    Seq(i64),
    /// A message.
    Message(MessageId),
    /// An instant, by when messages were stored.
    Time(DateTime<Utc>),
}

/// Which messages to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only of these types; of any if `None`.
    pub types: Option<Vec<MessageType>>,
    /// Only by this person.
    pub sender: Option<UserId>,
    /// Those that were taken back or have expired, too, without their words (S0-146).
    pub include_gone: bool,
}

/// Which part of one log to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// Only what came before.
    pub before: Option<Edge>,
    /// Only what came after.
    pub after: Option<Edge>,
    /// Oldest first, from `after` on; otherwise newest first, from `before` on.
    pub ascending: bool,
    /// Which messages.
    pub filter: Filter,
    /// How many of them to skip.
    pub offset: i64,
    /// How many to show.
    pub size: PageSize,
}

/// A page of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// The messages, and one more if there is one in the window.
    pub messages: Vec<StoredMessage>,
    /// Where to go on if the window ended before the log did: a sequence number that was not looked at yet lies just
    /// behind it, in the direction of reading.
    pub edge: Option<i64>,
}

/// Which messages of all someone's logs to show, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnQuery {
    /// Only of this conversation.
    pub conversation: Option<ConversationId>,
    /// Only what was stored before this instant, or at this instant with a smaller id.
    pub before: Option<(DateTime<Utc>, MessageId)>,
    /// Only what was stored after this instant.
    pub after: Option<DateTime<Utc>>,
    /// Which messages.
    pub filter: Filter,
    /// How many to show.
    pub size: PageSize,
}

/// A page of all someone's logs.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnPage {
    /// The messages, and one more if there is one.
    pub messages: Vec<StoredMessage>,
    /// If a window ended before its log did: nothing is missing from the page that is newer than this.
    pub complete_down_to: Option<DateTime<Utc>>,
}

/// A message that someone can read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadableMessage {
    /// The message.
    pub message: StoredMessage,
    /// Whether everyone who is in its conversation now can read it, too.
    pub by_everyone: bool,
}

/// Logs, for those who look for something in them.
///
/// As with the log itself, membership is checked in the statement that reads: nobody sees what they are not in, nor
/// anything from before they joined.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait MessageReader: Send + Sync {
    /// One page of what matches, and one entry more if there is one. `None` if `viewer` is not in the conversation,
    /// or an edge is a message outside its readable part.
    ///
    /// MUST look at no more than [`WINDOW`] entries, and tell where to go on. An edge in time MUST be exact as long
    /// as the clocks of those who store disagree over no more than some hundred entries.
    async fn browse(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        query: &LogQuery,
        now: DateTime<Utc>,
    ) -> Result<Option<LogPage>, Error>;

    /// Those of `messages` that `viewer` can read now, in any order.
    async fn readable(&self, viewer: UserId, messages: &[MessageId]) -> Result<Vec<ReadableMessage>, Error>;

    /// What matches in the conversations of `viewer` that changed last, newest first; with one entry more if there
    /// is one.
    async fn across(&self, viewer: UserId, query: &OwnQuery, now: DateTime<Utc>) -> Result<OwnPage, Error>;
}
