mod moderation;
mod retention;
mod search;
mod sending;

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, IdSource, MessageId, UserId};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{Caller, Clock, Event, FieldError, Page, PageSize, Rule, Sealed, Sealer};
use chrono::{DateTime, Utc};

use crate::screening::{Finding, ScreeningPolicy};
use crate::{
    Anchor, Appended, Automation, ClientMessageId, Content, Draft, Error, GrantedLog, Header,
    HistoryQuery, Hours, LiveFeed, Mark, Marks, MarksMoved, Message, MessageLog, MessageSent, Moved,
    NewEntry, Pace, Pass, Position, Rooms, Source, StoredMessage,
};
use sending::Admitted;

pub use moderation::*;
pub use retention::*;
pub use search::*;

/// What [`Messages`] needs.
#[derive(Clone)]
pub struct MessagesPorts {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// The log, for those who hold a grant to it.
    pub granted: Arc<dyn GrantedLog>,
    /// Whoever is connected.
    pub live: Arc<dyn LiveFeed>,
    /// What conversations allow.
    pub rooms: Arc<dyn Rooms>,
    /// How often people send.
    pub pace: Arc<dyn Pace>,
    /// What follows from what the rules find in a message.
    pub screening: ScreeningPolicy,
    /// When one may write.
    pub hours: Arc<dyn Hours>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// A message that was sent, or had been before.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The message.
    pub message: Message,
    /// Whether this call put it into the log.
    pub created: bool,
    /// What was found in it, for its sender.
    pub warnings: Vec<Finding>,
}

/// A part of the log, and how far everyone has come.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The messages; the cursor is the last one's `seq`.
    pub page: Page<Message>,
    /// Everyone's marks.
    pub marks: Vec<Marks>,
}

/// The state of one conversation for the list of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationDigest {
    /// Which.
    pub conversation_id: ConversationId,
    /// Messages by others that the caller has not read.
    pub unread: i64,
    /// The newest message the caller may read.
    pub last: Option<Message>,
    /// Everyone's marks.
    pub marks: Vec<Marks>,
}

/// What one can do with messages.
#[derive(Clone)]
pub struct Messages {
    ports: MessagesPorts,
}

impl Messages {
    /// Messages over `ports`.
    pub const fn new(ports: MessagesPorts) -> Self {
        Self { ports }
    }

    /// Sends a message. Returns once it is safe; those connected are told before this returns.
    ///
    /// What a patient writes while it is closed is refused before anything is stored, or stored quietly, as those who
    /// are closed wish. Who repeats a message that was stored in time gets it, whatever the hour.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooMany`], [`Error::OutsideHours`], [`Error::NotAllowed`], [`Error::Closed`],
    /// [`Error::Blocked`], [`Error::ClientMessageIdReused`].
    pub async fn send(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<Sent, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let admitted = match self.admit(caller, conversation, &draft, now).await {
            Ok(admitted) => admitted,
            Err(refusal @ (Error::TooMany { .. } | Error::OutsideHours(_) | Error::NotAllowed(_))) => {
                return self.sent_before(caller, conversation, &draft, refusal).await;
            }
            Err(error) => return Err(error),
        };
        let step = admitted.step;
        let sent = self.put(caller.user_id, conversation, draft, admitted, now).await;
        if !matches!(&sent, Ok(sent) if sent.created) {
            self.give_back(step.as_ref()).await?;
        }
        sent
    }

    /// Puts words of ours into a conversation, on behalf of `sender`, who is in it and whose doing they are about: shown
    /// as automated wherever they are. Saying it again under the same `name` says it once. Not for callers.
    ///
    /// # Errors
    /// [`Error::NotFound`] if they are not in it, [`Error::Closed`], [`Error::Blocked`].
    pub async fn announce(
        &self,
        sender: UserId,
        conversation: ConversationId,
        content: Content,
        name: ClientMessageId,
    ) -> Result<Sent, Error> {
        let draft = Draft {
            client_message_id: Some(name),
            source: Source::parse("alivio")?,
            automation: Some(Automation::default()),
            ..Draft::text(content)
        };
        self.put(sender, conversation, draft, Admitted::default(), self.ports.clock.now()).await
    }

    async fn put(
        &self,
        sender: UserId,
        conversation: ConversationId,
        draft: Draft,
        admitted: Admitted,
        now: DateTime<Utc>,
    ) -> Result<Sent, Error> {
        let p = &self.ports;
        let Admitted { quiet, warnings, flag, .. } = admitted;
        let id = MessageId::generate(&*p.ids);
        let sent =
            MessageSent { conversation_id: conversation, message_id: id, sender_id: sender, seq: 0, quiet };
        let client_message_id = match draft.client_message_id.clone() {
            Some(id) => id,
            None => ClientMessageId::parse(&id.to_string())?,
        };
        // A stranger must not make a key for a conversation that is not theirs, or is none.
        if !p.sealer.has_key(Scope::Conversation(conversation)).await? {
            p.log.position(sender, conversation).await?.ok_or(Error::NotFound)?;
        }
        let header = Header {
            message_type: draft.message_type,
            priority: draft.priority,
            reply_to: draft.reply_to,
            forwarded_from: draft.forwarded_from,
            corrects: draft.corrects,
            scheduled_for: draft.scheduled_for,
            expires_at: draft.expires_at,
            source: draft.source.clone(),
            automation: draft.automation,
            ..Header::new(id, conversation, sender, client_message_id, now)
        };
        let content = p.sealer.seal(&Content::context(&header), draft.content.as_str().as_bytes()).await?;
        let key_id = content.key_id();
        let entry = NewEntry {
            header: header.clone(),
            content,
            fingerprint: self.fingerprint(conversation, &draft),
            event: Event::new(&*p.ids, now, &sent),
            flag,
        };
        match p.log.append(entry).await? {
            Appended::Stored { seq, number, members_version, expires_at } => {
                let header = Header { seq, number, expires_at, key_id, ..header };
                let message = Message { header, content: Some(draft.content) };
                p.live.message_created(&message, members_version).await;
                Ok(Sent { message, created: true, warnings })
            }
            Appended::Repeat(stored) => self.repeated(stored, warnings).await,
            Appended::Reused => Err(Error::ClientMessageIdReused),
            Appended::NotAMember => Err(Error::NotFound),
            Appended::Closed => Err(Error::Closed),
            Appended::Blocked => Err(Error::Blocked),
            Appended::NoReplyTarget => Err(FieldError::new("reply_to", Rule::Unknown).into()),
        }
    }

    /// A message that was stored before.
    async fn repeated(&self, stored: StoredMessage, warnings: Vec<Finding>) -> Result<Sent, Error> {
        let message = self.unseal(vec![stored]).await?.pop().ok_or(Error::NotFound)?;
        // Whoever stored it may have been cut off before telling. Those who know it ignore it; the others
        // check their membership, as no version is old enough for this one.
        self.ports.live.message_created(&message, i64::MAX).await;
        Ok(Sent { message, created: false, warnings })
    }

    /// Reads a part of the log.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn history(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        query: &HistoryQuery,
    ) -> Result<History, Error> {
        let page = self.read(caller, conversation, query).await?;
        let marks = self.position(caller, conversation).await?.marks;
        Ok(History { page, marks })
    }

    /// Reads a part of the log by a grant. It moves no marks, and is recorded with the page.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when the grant is over or another's.
    pub async fn granted_history(&self, pass: &Pass, query: &HistoryQuery) -> Result<History, Error> {
        let p = &self.ports;
        let found = p.granted.granted_history(pass, query, p.clock.now()).await?.ok_or(Error::NotFound)?;
        Ok(History { page: self.page(found.messages, query).await?, marks: found.marks })
    }

    /// What came after `seq`, oldest first: at most `size`, with a cursor if there is more.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn replay(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        seq: i64,
        size: PageSize,
    ) -> Result<Page<Message>, Error> {
        self.read(caller, conversation, &HistoryQuery::After(Anchor::Seq(seq), size)).await
    }

    /// Where the caller stands in a conversation.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn position(&self, caller: &Caller, conversation: ConversationId) -> Result<Position, Error> {
        self.ports.log.position(caller.user_id, conversation).await?.ok_or(Error::NotFound)
    }

    /// Marks everything up to `target` as read or delivered. Idempotent, and never goes back.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for a place that the log has not reached.
    pub async fn advance(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        mark: Mark,
        target: &Anchor,
    ) -> Result<Moved, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let moved =
            p.log.advance(caller.user_id, conversation, mark, target, now).await?.ok_or(Error::NotFound)?;
        if moved.moved {
            let Moved { marks, message_id, .. } = moved;
            let moved = MarksMoved { conversation_id: conversation, mark, marks, message_id, at: now };
            p.live.marks_moved(&moved).await;
        }
        Ok(moved)
    }

    /// The newest of `messages` that the caller can read in the conversation.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub async fn newest_of(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        messages: &[MessageId],
    ) -> Result<MessageId, Error> {
        let newest = self.ports.log.newest_of(caller.user_id, conversation, messages).await?;
        newest.ok_or(Error::NotFound)
    }

    /// The state of each of `conversations` that the caller is in, in any order.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn digests(
        &self,
        caller: &Caller,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationDigest>, Error> {
        let digests = self.ports.log.digests(caller.user_id, conversations).await?;
        let last = digests.iter().filter_map(|d| d.last.clone()).collect();
        let mut opened = self.unseal(last).await?.into_iter();
        Ok(digests
            .into_iter()
            .map(|digest| ConversationDigest {
                conversation_id: digest.conversation_id,
                unread: digest.unread,
                last: digest.last.and_then(|_| opened.next()),
                marks: digest.marks,
            })
            .collect())
    }

    async fn read(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        query: &HistoryQuery,
    ) -> Result<Page<Message>, Error> {
        let rows =
            self.ports.log.history(caller.user_id, conversation, query).await?.ok_or(Error::NotFound)?;
        self.page(rows, query).await
    }

    async fn page(&self, rows: Vec<StoredMessage>, query: &HistoryQuery) -> Result<Page<Message>, Error> {
        let (rows, more) = query.size().cut(rows);
        let next_cursor = if more { rows.last().map(|m| m.seq.to_string()) } else { None };
        Ok(Page { items: self.unseal(rows).await?, next_cursor })
    }

    fn fingerprint(&self, conversation: ConversationId, draft: &Draft) -> [u8; 16] {
        let reply_to = draft.reply_to.map(|id| id.to_string()).unwrap_or_default();
        let asked =
            [draft.message_type.as_str(), draft.priority.as_str(), draft.content.as_str(), reply_to.as_str()];
        self.ports.sealer.fingerprint(Scope::Conversation(conversation), asked.join("\0").as_bytes())
    }

    /// Opens the words of all `rows` at once; those that are withheld stay closed.
    async fn unseal(&self, rows: Vec<StoredMessage>) -> Result<Vec<Message>, Error> {
        let now = self.ports.clock.now();
        let readable = |row: &StoredMessage| !row.is_gone(now) && row.content.is_some();
        let sealed: Vec<_> = rows
            .iter()
            .filter(|row| readable(row))
            .filter_map(|row| Some((Content::context(row), row.content.as_ref()?)))
            .collect();
        let mut opened = self.ports.sealer.open_remaining(&sealed).await?.into_iter();
        rows.into_iter()
            .map(|row| {
                let is_readable = readable(&row);
                let plain = if is_readable { opened.next().flatten() } else { None };
                let header = Header {
                    key_id: row.content.as_ref().and_then(Sealed::key_id),
                    is_destroyed: is_readable && plain.is_none(),
                    ..row.header
                };
                let text =
                    plain.map(String::from_utf8).transpose().map_err(|e| Error::Unavailable(e.into()))?;
                Ok(Message { header, content: text.map(Content::restored) })
            })
            .collect()
    }
}
