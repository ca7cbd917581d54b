mod changes;
mod feed;
mod forward;
mod moderation;
mod read;
mod relay;
mod retention;
mod scheduled;
mod search;
mod sending;

use std::collections::HashMap;
use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, FileId, IdSource, MessageId, UserId};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{Caller, Clock, Event, FieldError, Page, PageSize, Role, Rule, Sealed, Sealer};
use chrono::{DateTime, Utc};

pub use changes::{Changed, Revised, Wording, Wordings};
pub use forward::{Forwarded, MAX_TARGETS};
use read::acquaint;
pub use scheduled::Rewrite;

use crate::screening::{Finding, ScreeningPolicy};
use crate::{
    Aftermath, Anchor, Appended, Attachments, Automation, ChangeLog, ChangePolicy, ClientMessageId, Content,
    Correspondents, Draft, DraftStore, Error, GrantedLog, Header, HistoryQuery, Hours, LiveFeed, Mark, Marks,
    MarksMoved, Message, MessageChanges, MessageLog, MessageOutsideHours, MessageReader, MessageType, Moved,
    NewEntry, Pace, Pass, Payload, Position, Quiet, Rooms, ScheduledStore, Source, StoredMessage,
    SystemEvent,
};
use sending::{Admitted, is_before_the_log};

pub use moderation::*;
pub use retention::*;
pub use search::*;

pub use feed::{CHANGES_KEPT, Feed, FeedItem};

/// What [`Messages`] needs.
#[derive(Clone)]
pub struct MessagesPorts {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// What becomes of what is in it.
    pub changes: Arc<dyn MessageChanges>,
    /// How free people are to change it.
    pub policy: ChangePolicy,
    /// The log, for those who hold a grant to it.
    pub granted: Arc<dyn GrantedLog>,
    /// What happened, for those who come back.
    pub feed: Arc<dyn ChangeLog>,
    /// The logs, for those who look for something in them.
    pub reader: Arc<dyn MessageReader>,
    /// What is to be sent later.
    pub scheduled: Arc<dyn ScheduledStore>,
    /// What is not sent yet.
    pub drafts: Arc<dyn DraftStore>,
    /// What files there are.
    pub attachments: Arc<dyn Attachments>,
    /// Who people are.
    pub correspondents: Arc<dyn Correspondents>,
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
    /// What has gathered around the messages; nothing around those that are not named.
    pub aftermath: HashMap<MessageId, Aftermath>,
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
    /// are closed wish. Who repeats a message that was stored gets it, whatever has changed since.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooMany`], [`Error::OutsideHours`], [`Error::NotAllowed`], [`Error::Closed`],
    /// [`Error::Blocked`], [`Error::ClientMessageIdReused`], [`Error::CliniciansOnly`],
    /// [`Error::FileSharingDisabled`], [`Error::AttachmentNotFound`]; a field error for what does not fit its type,
    /// and for what only the server may say.
    pub async fn send(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<Sent, Error> {
        self.refuse_disguise(&draft)?;
        self.send_as(caller.user_id, caller.role, conversation, draft).await
    }

    /// Sends what a machine of ours says in the name of `sender`, who is in the conversation: labelled as such
    /// wherever it is shown (S0-70). The only way to send a [`MessageType::System`].
    ///
    /// # Errors
    /// As [`Messages::send`].
    pub async fn send_automated(
        &self,
        sender: UserId,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<Sent, Error> {
        let role = self.ports.correspondents.role(sender).await?.ok_or(Error::NotFound)?;
        let automation = Some(draft.automation.unwrap_or(Automation { confidence: None }));
        self.send_as(sender, role, conversation, Draft { automation, ..draft }).await
    }

    /// People neither pass for the server nor for a machine.
    fn refuse_disguise(&self, draft: &Draft) -> Result<(), Error> {
        if draft.message_type == MessageType::System || draft.automation.is_some() {
            return Err(FieldError::new("message_type", Rule::Unknown).into());
        }
        Ok(draft.check()?)
    }

    async fn send_as(
        &self,
        sender: UserId,
        role: Role,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<Sent, Error> {
        draft.check()?;
        match self.try_send((sender, role), conversation, &draft).await {
            Err(refusal) if is_before_the_log(&refusal) => {
                self.sent_before(sender, conversation, &draft, refusal).await
            }
            sent => sent,
        }
    }

    async fn try_send(
        &self,
        sender: (UserId, Role),
        conversation: ConversationId,
        draft: &Draft,
    ) -> Result<Sent, Error> {
        let now = self.ports.clock.now();
        // What a machine of ours says obeys nobody's pace and no hours.
        if draft.automation.is_some() {
            return self.put(sender, conversation, draft, Admitted::default(), now).await;
        }
        let admitted = self.admit(sender, conversation, draft, now).await?;
        let step = admitted.step;
        let sent = self.put(sender, conversation, draft, admitted, now).await;
        if !matches!(&sent, Ok(sent) if sent.created) {
            self.give_back(step.as_ref()).await?;
        }
        sent
    }

    /// Says in a conversation what happened there, in words of ours, on behalf of `sender`, who is in it and whose doing it
    /// is: shown as automated wherever it is. Saying it again under the same `name` says it once. Not for callers.
    ///
    /// # Errors
    /// [`Error::NotFound`] if they are not in it, [`Error::Closed`], [`Error::Blocked`].
    pub async fn announce(
        &self,
        sender: UserId,
        conversation: ConversationId,
        (event, content): (SystemEvent, Content),
        name: ClientMessageId,
    ) -> Result<Sent, Error> {
        let draft = Draft {
            content: Some(content),
            payload: Some(Payload::System(event)),
            client_message_id: Some(name),
            source: Source::parse("alivio")?,
            ..Draft::empty(MessageType::System)
        };
        self.send_automated(sender, conversation, draft).await
    }

    async fn put(
        &self,
        (sender, role): (UserId, Role),
        conversation: ConversationId,
        draft: &Draft,
        admitted: Admitted,
        now: DateTime<Utc>,
    ) -> Result<Sent, Error> {
        let p = &self.ports;
        let Admitted { quiet, warnings, flag, .. } = admitted;
        let header = self.header(sender, conversation, draft, now)?;
        // A stranger must not make a key for a conversation that is not theirs, or is none.
        if !p.sealer.has_key(Scope::Conversation(conversation)).await? {
            self.position_of(sender, conversation).await?;
        }
        let payload = self.payload_of(sender, role, conversation, draft).await?;
        let fingerprint = self.fingerprint(conversation, draft)?;
        let sealed = self.seal_words(&header, draft.content.as_ref()).await?;
        let sealed_payload = self.seal_payload(&header, payload.as_ref()).await?;
        let key_id = sealed.as_ref().or(sealed_payload.as_ref()).and_then(Sealed::key_id);
        let header = Header { key_id, ..header };
        let entry = NewEntry {
            header: header.clone(),
            content: sealed,
            payload: sealed_payload,
            fingerprint,
            event: self.outside_hours(&header, quiet),
            flag,
            files: draft.attachments.clone(),
        };
        let appended = p.log.append(entry).await?;
        self.appended(sender, appended, header, (draft.content.clone(), payload), warnings).await
    }

    /// What is said of a message that disturbs nobody.
    fn outside_hours(&self, header: &Header, quiet: Option<Quiet>) -> Option<Event> {
        let event = MessageOutsideHours {
            conversation_id: header.conversation_id,
            message_id: header.id,
            sender_id: header.sender_id,
            quiet: quiet?,
        };
        Some(Event::new(&*self.ports.ids, header.created_at, &event))
    }

    /// What is known of a message before it is in the log.
    fn header(
        &self,
        sender: UserId,
        conversation: ConversationId,
        draft: &Draft,
        now: DateTime<Utc>,
    ) -> Result<Header, Error> {
        let id = MessageId::generate(&*self.ports.ids);
        let client_message_id = match draft.client_message_id.clone() {
            Some(id) => id,
            None => ClientMessageId::parse(&id.to_string())?,
        };
        Ok(Header {
            message_type: draft.message_type,
            priority: draft.priority,
            reply_to: draft.reply_to,
            forwarded_from: draft.forwarded_from,
            corrects: draft.corrects,
            scheduled_for: draft.scheduled_for,
            expires_at: draft.expiry(now)?,
            source: draft.source.clone(),
            automation: draft.automation,
            client_sent_at: draft.client_sent_at,
            ..Header::new(id, conversation, sender, client_message_id, now)
        })
    }

    /// What to answer once it was tried to append a message; those connected are told.
    async fn appended(
        &self,
        sender: UserId,
        appended: Appended,
        header: Header,
        (content, payload): (Option<Content>, Option<Payload>),
        warnings: Vec<Finding>,
    ) -> Result<Sent, Error> {
        match appended {
            Appended::Stored { seq, number, members_version, expires_at } => {
                let header = Header { seq, number, expires_at, ..header };
                let message = Message::new(header, content, payload);
                let message = self.tell_sent(sender, message, members_version).await;
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
        let sender = stored.sender_id;
        let message = self.unseal(vec![stored]).await?.pop().ok_or(Error::NotFound)?;
        // Whoever stored it may have been cut off before telling. Those who know it ignore it; the others
        // check their membership, as no version is old enough for this one.
        Ok(Sent { message: self.tell_sent(sender, message, i64::MAX).await, created: false, warnings })
    }

    /// Tells those who are connected, and returns the message as its sender sees it: who joined late may not see
    /// what it answers.
    async fn tell_sent(&self, sender: UserId, mut message: Message, members_version: i64) -> Message {
        // The message is safe. What it answers can be read later; that it was sent must be said now.
        let known = self.known(sender, std::iter::once(&message)).await.unwrap_or_default();
        acquaint(&mut message, &known, true);
        self.ports.live.message_created(&message, members_version).await;
        acquaint(&mut message, &known, false);
        message
    }

    /// What `draft` holds besides its words, once all rules about that are kept.
    async fn payload_of(
        &self,
        sender: UserId,
        role: Role,
        conversation: ConversationId,
        draft: &Draft,
    ) -> Result<Option<Payload>, Error> {
        if draft.message_type == MessageType::Text {
            return Ok(None);
        }
        // Who is not there learns nothing about what is allowed there.
        self.position_of(sender, conversation).await?;
        if draft.message_type.is_clinical() && !role.is_clinician() {
            return Err(Error::CliniciansOnly);
        }
        if draft.attachments.is_empty() {
            return Ok(draft.payload.clone());
        }
        let p = &self.ports;
        if !p.rooms.room(conversation).await?.ok_or(Error::NotFound)?.file_sharing {
            return Err(Error::FileSharingDisabled);
        }
        let mut found = p.attachments.attachable(sender, conversation, &draft.attachments).await?;
        let place = |id: FileId| draft.attachments.iter().position(|file| *file == id);
        found.sort_unstable_by_key(|file| place(file.file_id));
        let missing: Vec<_> = draft
            .attachments
            .iter()
            .filter(|file| found.iter().all(|other| other.file_id != **file))
            .copied()
            .collect();
        if !missing.is_empty() {
            return Err(Error::AttachmentNotFound(missing));
        }
        if !found.iter().all(|file| file.suits(draft.message_type)) {
            return Err(FieldError::new("attachments", Rule::Malformed).into());
        }
        Ok(Some(Payload::Attachments(found)))
    }

    async fn seal_words(&self, header: &Header, words: Option<&Content>) -> Result<Option<Sealed>, Error> {
        let Some(words) = words else { return Ok(None) };
        Ok(Some(self.ports.sealer.seal(&Content::context(header), words.as_str().as_bytes()).await?))
    }

    async fn seal_payload(
        &self,
        header: &Header,
        payload: Option<&Payload>,
    ) -> Result<Option<Sealed>, Error> {
        let Some(payload) = payload else { return Ok(None) };
        let plain = serde_json::to_vec(payload).map_err(|e| Error::Unavailable(e.into()))?;
        Ok(Some(self.ports.sealer.seal(&Payload::context(header), &plain).await?))
    }

    /// Reads a part of the log by a grant. It moves no marks, and is recorded with the page.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when the grant is over or another's.
    pub async fn granted_history(&self, pass: &Pass, query: &HistoryQuery) -> Result<History, Error> {
        let p = &self.ports;
        let found = p.granted.granted_history(pass, query, p.clock.now()).await?.ok_or(Error::NotFound)?;
        let page = self.page(found.messages, query).await?;
        let aftermath = self.aftermath(&page.items).await?;
        Ok(History { page, marks: found.marks, aftermath })
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
    ) -> Result<History, Error> {
        let query = HistoryQuery::After(Anchor::Seq(seq), size);
        let rows = self.ports.log.history(caller.user_id, conversation, &query).await?;
        let page = self.page(rows.ok_or(Error::NotFound)?, &query).await?;
        let aftermath = self.aftermath(&page.items).await?;
        let items = self.known_to(caller.user_id, page.items).await?;
        let page = Page { items, next_cursor: page.next_cursor };
        Ok(History { page, marks: Vec::new(), aftermath })
    }

    /// Where the caller stands in a conversation.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn position(&self, caller: &Caller, conversation: ConversationId) -> Result<Position, Error> {
        self.position_of(caller.user_id, conversation).await
    }

    async fn position_of(&self, user: UserId, conversation: ConversationId) -> Result<Position, Error> {
        self.ports.log.position(user, conversation).await?.ok_or(Error::NotFound)
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
            let Moved { marks, message_id, unread, .. } = moved;
            let moved = MarksMoved { conversation_id: conversation, mark, marks, message_id, at: now };
            p.live.marks_moved(&moved).await;
            if mark == Mark::Read {
                p.live.unread_changed(caller.user_id, conversation, unread).await;
            }
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

    /// Opens the words of messages that were read elsewhere, for someone who may read them.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn opened(&self, messages: Vec<StoredMessage>) -> Result<Vec<Message>, Error> {
        self.unseal(messages).await
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

    async fn page(&self, rows: Vec<StoredMessage>, query: &HistoryQuery) -> Result<Page<Message>, Error> {
        let (rows, more) = query.size().cut(rows);
        let next_cursor = if more { rows.last().map(|m| m.seq.to_string()) } else { None };
        Ok(Page { items: self.unseal(rows).await?, next_cursor })
    }

    /// A digest of all that the client asked for. What is forwarded is told by where it came from: it may have been
    /// reworded between two attempts.
    fn fingerprint(&self, conversation: ConversationId, draft: &Draft) -> Result<[u8; 16], Error> {
        let id = |id: Option<MessageId>| id.map(|id| id.to_string()).unwrap_or_default();
        let asked = if let Some(source) = draft.forwarded_from {
            format!("forwarded\0{source}")
        } else {
            let words = draft.content.as_ref().map_or("", |content| content.as_str());
            let reply_to = id(draft.reply_to);
            let life = match (draft.expires_at, draft.expires_in) {
                (Some(at), _) => at.to_rfc3339(),
                (None, Some(life)) => life.num_seconds().to_string(),
                (None, None) => String::new(),
            };
            let (kind, priority) = (draft.message_type.as_str(), draft.priority.as_str());
            let mut asked = [kind, priority, words, &reply_to, &life, &id(draft.corrects)].join("\0");
            if draft.message_type != MessageType::Text {
                let rest = serde_json::to_string(&(&draft.payload, &draft.attachments));
                asked.push('\0');
                asked.push_str(&rest.map_err(|e| Error::Unavailable(e.into()))?);
            }
            asked
        };
        Ok(self.ports.sealer.fingerprint(Scope::Conversation(conversation), asked.as_bytes()))
    }
}
