use std::collections::HashMap;

use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Appended, NewEntry, NewFlag, StoredMessage};
use crate::{Aftermath, Change, Emoji, Error, Marks, Receipt, Standing};

/// A message that someone can read, and how things are for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The message.
    pub message: StoredMessage,
    /// What they may do.
    pub standing: Standing,
}

/// Other words for a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Which message.
    pub message_id: MessageId,
    /// Who edits.
    pub actor: UserId,
    /// The wording that gives way. The new one is the next.
    pub replaces: u32,
    /// The new words, sealed for their version.
    pub content: Sealed,
    /// When.
    pub at: DateTime<Utc>,
    /// For those who moderate, if something was found in the new words.
    pub flag: Option<NewFlag>,
}

/// A message that is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// Which message.
    pub message_id: MessageId,
    /// Who takes it back.
    pub actor: UserId,
    /// When.
    pub at: DateTime<Utc>,
    /// When its words are to be destroyed, unless they belong to the care of a patient.
    pub purge_at: DateTime<Utc>,
}

/// A message that puts another one right.
#[derive(Debug, Clone, PartialEq)]
pub struct Correction {
    /// The new message, which names the other one.
    pub entry: NewEntry,
    /// Why, sealed.
    pub reason: Option<Sealed>,
    /// What else is left behind, if it is stored.
    pub effects: Effects,
}

/// Someone reacts to a message, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct React {
    /// To which message.
    pub message_id: MessageId,
    /// Who.
    pub actor: UserId,
    /// With what.
    pub emoji: Emoji,
    /// Whether they do, or no longer.
    pub is_set: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// A wording of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWording {
    /// Which, from 1.
    pub version: u32,
    /// The sealed words.
    pub content: Sealed,
    /// When it was written.
    pub written_at: DateTime<Utc>,
}

/// All that a message has ever said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredWordings {
    /// Its former wordings, the oldest first.
    pub former: Vec<StoredWording>,
    /// Why it was corrected, if that was said.
    pub correction_reason: Option<Sealed>,
}

/// Where a message is in its log, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// Its place.
    pub seq: i64,
    /// Who sent it.
    pub sender_id: UserId,
}

/// A message as everyone in its conversation may see it now.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    /// The message.
    pub message: StoredMessage,
    /// The marks of everyone in it, as far as others may see them.
    pub marks: Vec<Marks>,
    /// The membership that may see it.
    pub members_version: i64,
}

/// What becomes of messages after they were sent.
///
/// Every change MUST be stored with the note of it among the changes of the conversation, with its effects, and with a
/// higher revision of the message, or not at all. Every change MUST be refused with [`Error::NotFound`] to whoever is
/// not in the conversation or may not read the message, with [`Error::Closed`] when the conversation is closed, and
/// with [`Error::Blocked`] when a block stands between the two of a direct conversation, as these things are at the
/// moment of the change: nothing commits after a block or a removal.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait MessageChanges: Send + Sync {
    /// The message, if `viewer` can read it.
    async fn find(
        &self,
        viewer: UserId,
        message: MessageId,
        now: DateTime<Utc>,
    ) -> Result<Option<Found>, Error>;

    /// The message as everyone may see it; `None` if there is none. Asks nobody for their rights.
    async fn current(&self, message: MessageId) -> Result<Option<Current>, Error>;

    /// What has gathered around `messages`, of whatever conversations, by their ids; nothing for those without. Says who has
    /// read them as far as that is shown: not where receipts are off (S0-36), nor where a block stands, nor where there
    /// are more than [`NAMED_READERS`](crate::NAMED_READERS) people, nor who has read what they sent themselves.
    async fn aftermath(&self, messages: &[Spot]) -> Result<HashMap<MessageId, Aftermath>, Error>;

    /// Gives a message other words, and keeps the former ones. Of many edits of one wording one MUST win; the others
    /// get [`Error::Stale`]. So does an edit of what is gone or corrected by now. A flag is stored with it, unless one of
    /// the message that says the same is still open.
    async fn edit(&self, edit: &Edit, effects: &Effects) -> Result<(), Error>;

    /// Takes a message back, for good. Whether this call did it: it may have been gone.
    async fn delete(&self, deletion: &Deletion, effects: &Effects) -> Result<bool, Error>;

    /// Appends a message that corrects another of the same conversation and sender, and marks that one as corrected.
    /// Of many corrections of one message one MUST win; the others get [`Error::Stale`], and leave no trace.
    async fn correct(&self, correction: Correction) -> Result<Appended, Error>;

    /// Sets or clears a reaction. Whether this call changed something. [`Error::TooManyReactions`] if it would be
    /// another emoji than the [`MAX_EMOJI`](crate::MAX_EMOJI) that the message has, however many come at once;
    /// [`Error::Gone`] if the message is gone.
    async fn react(&self, react: &React) -> Result<bool, Error>;

    /// All that the message has said, for those who can read it.
    async fn wordings(&self, message: MessageId) -> Result<StoredWordings, Error>;

    /// The receipts of the people the message is for, by their ids after `after`, at most `limit`. What a mark says is
    /// shown from when it first passed the message. Without those who read where receipts are off, and only the
    /// viewer's own where a block stands.
    async fn receipts(
        &self,
        viewer: UserId,
        message: MessageId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<Receipt>, Error>;

    /// The newest of `messages` in each conversation of those that `viewer` can read.
    async fn newest_of_each(
        &self,
        viewer: UserId,
        messages: &[MessageId],
    ) -> Result<Vec<(ConversationId, MessageId)>, Error>;

    /// Takes back at most `limit` messages whose time is over at `now`, each once however many ask at once, with one
    /// event [`MessageDeleted`](crate::MessageDeleted) each. `purge_at` as in [`Deletion`].
    async fn expire(
        &self,
        now: DateTime<Utc>,
        purge_at: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<(ConversationId, MessageId)>, Error>;

    /// Destroys the words, the former wordings and the reactions of at most `limit` messages whose time to be destroyed
    /// has come. How many that were. Words that belong to the care of a patient MUST stay.
    async fn purge(&self, now: DateTime<Utc>, limit: i64) -> Result<usize, Error>;
}

/// What is told of a change to whoever is connected.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageChanged {
    /// What happened.
    pub change: Change,
    /// Who did it; nobody, if its time was over.
    pub actor: Option<UserId>,
    /// When.
    pub at: DateTime<Utc>,
    /// The message as it is now.
    pub message: crate::Message,
    /// What has gathered around it.
    pub aftermath: Aftermath,
    /// The marks of everyone, as far as others may see them.
    pub marks: Vec<Marks>,
    /// The membership that may see it.
    pub members_version: i64,
}
