//! Bugs of the log.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_messages::{
    Anchor, Appended, ClientMessageId, Digest, Error, HistoryQuery, Mark, MessageLog, Moved, NewEntry,
    Position, StoredMessage,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Bug;

/// Of so many, one goes wrong.
const EVERY: u64 = 5;
/// So many messages at once are more than few.
const FEW: usize = 8;
/// How late a late commit is.
const LATE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Memory {
    appended: u64,
    /// The first of a pair, which waits for the second.
    waiting: HashMap<(ConversationId, UserId), NewEntry>,
    /// Who has read what.
    readers: HashMap<ConversationId, HashSet<UserId>>,
}

/// A log with a bug.
pub(super) struct WithBug {
    inner: Arc<dyn MessageLog>,
    bug: Bug,
    memory: Mutex<Memory>,
}

impl WithBug {
    pub(super) fn new(inner: Arc<dyn MessageLog>, bug: Bug) -> Self {
        Self { inner, bug, memory: Mutex::default() }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the turn of this one.
    fn is_due(&self) -> bool {
        let mut memory = self.memory();
        memory.appended += 1;
        memory.appended.is_multiple_of(EVERY)
    }

    /// What is answered to a message as if it were stored.
    async fn promise(&self, entry: &NewEntry) -> Result<Appended, Error> {
        let position = self.inner.position(entry.sender_id, entry.conversation_id).await?;
        let Some(position) = position else { return Ok(Appended::NotAMember) };
        let (seq, members_version) = (position.last_seq + 1, position.members_version);
        Ok(Appended::Stored { seq, number: 0, members_version, expires_at: None })
    }

    /// Someone who was ever allowed to read, in place of someone who is not.
    fn other_reader(&self, conversation: ConversationId, viewer: UserId) -> Vec<UserId> {
        let memory = self.memory();
        let Some(readers) = memory.readers.get(&conversation) else { return Vec::new() };
        let is_known = readers.contains(&viewer);
        readers.iter().copied().filter(|other| is_known && *other != viewer).collect()
    }

    fn remember(&self, conversation: ConversationId, viewer: UserId) {
        self.memory().readers.entry(conversation).or_default().insert(viewer);
    }
}

#[async_trait]
impl MessageLog for WithBug {
    async fn append(&self, entry: NewEntry) -> Result<Appended, Error> {
        match self.bug {
            Bug::CommitLost if self.is_due() => self.promise(&entry).await,
            Bug::CommitLate if self.is_due() => {
                let promised = self.promise(&entry).await?;
                let inner = Arc::clone(&self.inner);
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    drop(inner.append(entry).await);
                });
                Ok(promised)
            }
            Bug::PairsSwapped => {
                let key = (entry.conversation_id, entry.sender_id);
                let first = self.memory().waiting.remove(&key);
                if let Some(first) = first {
                    let stored = self.inner.append(entry).await;
                    self.inner.append(first).await?;
                    return stored;
                }
                let promised = self.promise(&entry).await?;
                self.memory().waiting.insert(key, entry);
                Ok(promised)
            }
            Bug::RefusedStored if self.is_due() => {
                self.inner.append(entry).await?;
                Ok(Appended::Closed)
            }
            _ => self.inner.append(entry).await,
        }
    }

    async fn earlier(
        &self,
        sender: UserId,
        conversation: ConversationId,
        client_message_id: &ClientMessageId,
        fingerprint: [u8; 16],
    ) -> Result<Option<Appended>, Error> {
        self.inner.earlier(sender, conversation, client_message_id, fingerprint).await
    }

    async fn history(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        query: &HistoryQuery,
    ) -> Result<Option<Vec<StoredMessage>>, Error> {
        let mut query = *query;
        if let HistoryQuery::After(Anchor::Seq(seq), _) = &mut query {
            match self.bug {
                Bug::ResumeSkips => *seq += 1,
                Bug::ResumeRepeats if *seq > 0 => *seq -= 1,
                _ => {}
            }
        }
        let mut found = self.inner.history(viewer, conversation, &query).await?;
        if let HistoryQuery::After(Anchor::Seq(from), _) = query {
            match (self.bug, &mut found) {
                (Bug::ResumeReorders, Some(messages)) if messages.len() < FEW => messages.reverse(),
                (Bug::HintsOnly, Some(messages)) => {
                    messages.retain(|message| !message.seq.unsigned_abs().is_multiple_of(EVERY));
                }
                (Bug::PermissionCached, None) | (Bug::PastShown, _) => {
                    for other in self.other_reader(conversation, viewer) {
                        let theirs = self.inner.history(other, conversation, &query).await?;
                        let reaches = |found: &Option<Vec<StoredMessage>>| {
                            found.as_ref().and_then(|f| f.first()).is_some_and(|first| first.seq == from + 1)
                        };
                        if reaches(&theirs) || found.is_none() {
                            found = theirs;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    async fn position(
        &self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<Position>, Error> {
        let mut found = self.inner.position(viewer, conversation).await?;
        if found.is_some() {
            self.remember(conversation, viewer);
        }
        match (self.bug, &mut found) {
            (Bug::PastShown, Some(position)) => position.joined_seq = 1,
            (Bug::PermissionCached, None) => {
                for other in self.other_reader(conversation, viewer) {
                    if found.is_none() {
                        found = self.inner.position(other, conversation).await?;
                    }
                }
            }
            _ => {}
        }
        Ok(found)
    }

    async fn advance(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        mark: Mark,
        target: &Anchor,
        now: DateTime<Utc>,
    ) -> Result<Option<Moved>, Error> {
        let mut moved = self.inner.advance(viewer, conversation, mark, target, now).await?;
        match (self.bug, &mut moved) {
            (Bug::MarksGoBack, Some(moved)) if !moved.moved => moved.marks.read_up_to -= 1,
            (Bug::UnreadWrong, Some(moved)) => moved.unread += 1,
            _ => {}
        }
        Ok(moved)
    }

    async fn newest_of(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        messages: &[MessageId],
    ) -> Result<Option<MessageId>, Error> {
        self.inner.newest_of(viewer, conversation, messages).await
    }

    async fn digests(&self, viewer: UserId, conversations: &[ConversationId]) -> Result<Vec<Digest>, Error> {
        self.inner.digests(viewer, conversations).await
    }
}
