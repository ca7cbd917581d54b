use alivio_kernel::ids::{ConversationId, MessageId, ScheduledMessageId};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{Caller, DomainError, ErrorKind, Event, Page, PageSize};
use chrono::{DateTime, Utc};

use super::Messages;
use crate::model::{KeptDraft, check_time};
use crate::{
    ClientMessageId, Content, Draft, Earlier, Error, NewScheduled, Outcome, Priority, Scheduled,
    ScheduledChange, ScheduledMessage, ScheduledMessageDue, ScheduledState, Step, StoredDraft,
    StoredScheduled, UnsentDraft,
};

/// Another wording, priority or time; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewrite {
    /// The words.
    pub content: Option<Content>,
    /// How urgent.
    pub priority: Option<Priority>,
    /// When to send it.
    pub scheduled_for: Option<DateTime<Utc>>,
}

impl Messages {
    /// Puts a message off until `draft.scheduled_for` (S0-64). All rules are looked at now and again then, but for the
    /// pace: it counts as sent now. Returns whether this call made it. Who repeats one that was made gets it, whatever
    /// has changed since.
    ///
    /// # Errors
    /// As [`Messages::send`], as far as that can be told now; a field error for a time that is not within a year.
    pub async fn schedule(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<(ScheduledMessage, bool), Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let due_at = draft.scheduled_for.unwrap_or(now);
        self.position(caller, conversation).await?;
        self.refuse_disguise(&draft)?;
        let fingerprint = self.scheduled_fingerprint(conversation, &draft, due_at)?;
        let step = match self.admit_scheduled(caller, conversation, &draft, due_at, now).await {
            Ok(step) => step,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(refusal) => {
                let Some(name) = &draft.client_message_id else { return Err(refusal) };
                let earlier = p.scheduled.earlier(caller.user_id, conversation, name, fingerprint).await?;
                return self.scheduled_before(caller, earlier.ok_or(refusal)?).await;
            }
        };
        let made = self.put_off(caller, conversation, &draft, fingerprint, due_at, now).await;
        if !matches!(made, Ok((_, true))) {
            self.give_back(Some(&step)).await?;
        }
        made
    }

    /// Admits a message that is to be sent at `due_at`, as far as that can be told now, and counts it.
    async fn admit_scheduled(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        draft: &Draft,
        due_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Step, Error> {
        check_time(due_at, now)?;
        self.payload_of(caller.user_id, caller.role, conversation, draft).await?;
        let room = self.ports.rooms.room(conversation).await?.ok_or(Error::NotFound)?;
        Ok(self.keep_pace(caller.user_id, &room, draft, now).await?.0)
    }

    async fn put_off(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        draft: &Draft,
        fingerprint: [u8; 16],
        due_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(ScheduledMessage, bool), Error> {
        let p = &self.ports;
        let id = ScheduledMessageId::generate(&*p.ids);
        let new = NewScheduled {
            id,
            conversation_id: conversation,
            sender_id: caller.user_id,
            client_message_id: match draft.client_message_id.clone() {
                Some(name) => name,
                None => ClientMessageId::parse(&id.to_string())?,
            },
            fingerprint,
            draft: self.seal_draft(id, conversation, 1, draft).await?,
            due_at,
            created_at: now,
            timer: self.timer(id, now, due_at),
        };
        match p.scheduled.create(&new).await? {
            Scheduled::New => {
                p.live.scheduled_changed(caller.user_id, id, ScheduledState::Pending).await;
                Ok((self.scheduled_message(caller, id).await?, true))
            }
            Scheduled::Earlier(earlier) => self.scheduled_before(caller, earlier).await,
            Scheduled::NotAMember => Err(Error::NotFound),
        }
    }

    /// What was made under a name before.
    async fn scheduled_before(
        &self,
        caller: &Caller,
        earlier: Earlier,
    ) -> Result<(ScheduledMessage, bool), Error> {
        match earlier {
            Earlier::Same(id) => Ok((self.scheduled_message(caller, id).await?, false)),
            Earlier::Other => Err(Error::ClientMessageIdReused),
        }
    }

    /// One of the caller's.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn scheduled_message(
        &self,
        caller: &Caller,
        id: ScheduledMessageId,
    ) -> Result<ScheduledMessage, Error> {
        let stored = self.ports.scheduled.find(caller.user_id, id).await?.ok_or(Error::NotFound)?;
        self.open_scheduled(vec![stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// The caller's, the latest due first. The cursor is `<microseconds>.<id>` of the last.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn scheduled_messages(
        &self,
        caller: &Caller,
        state: Option<ScheduledState>,
        after: Option<(DateTime<Utc>, ScheduledMessageId)>,
        size: PageSize,
    ) -> Result<Page<ScheduledMessage>, Error> {
        let rows = self.ports.scheduled.list(caller.user_id, state, after, size).await?;
        let (rows, more) = size.cut(rows);
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|last| format!("{}.{}", last.due_at.timestamp_micros(), last.id));
        Ok(Page { items: self.open_scheduled(rows).await?, next_cursor })
    }

    /// Changes what is to be sent, or when.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ScheduledSettled`] once its time has come; [`Error::Stale`].
    pub async fn reschedule(
        &self,
        caller: &Caller,
        id: ScheduledMessageId,
        rewrite: Rewrite,
    ) -> Result<ScheduledMessage, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let stored = p.scheduled.find(caller.user_id, id).await?.ok_or(Error::NotFound)?;
        if stored.state != ScheduledState::Pending {
            return Err(Error::ScheduledSettled);
        }
        // Who is no longer there changes nothing there; they can still take it back.
        self.position(caller, stored.conversation_id).await?;
        let (conversation, version, due_at) = (stored.conversation_id, stored.version, stored.due_at);
        let before = self.open_scheduled(vec![stored]).await?.pop().ok_or(Error::NotFound)?.draft;
        let due_at = match rewrite.scheduled_for {
            Some(at) => check_time(at, now).map(|()| at)?,
            None => due_at,
        };
        let draft = Draft {
            content: rewrite.content.or(before.content.clone()),
            priority: rewrite.priority.unwrap_or(before.priority),
            ..before
        };
        let change = ScheduledChange {
            id,
            sender_id: caller.user_id,
            version,
            draft: self.seal_draft(id, conversation, version + 1, &draft).await?,
            due_at,
            now,
            timer: self.timer(id, now, due_at),
        };
        if !p.scheduled.change(&change).await? {
            let present = p.scheduled.find(caller.user_id, id).await?.ok_or(Error::NotFound)?;
            let pending = present.state == ScheduledState::Pending;
            return Err(if pending { Error::Stale } else { Error::ScheduledSettled });
        }
        p.live.scheduled_changed(caller.user_id, id, ScheduledState::Pending).await;
        self.scheduled_message(caller, id).await
    }

    /// Takes it back. Idempotent.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ScheduledSettled`] once its time has come.
    pub async fn cancel_scheduled(&self, caller: &Caller, id: ScheduledMessageId) -> Result<(), Error> {
        let p = &self.ports;
        if p.scheduled.cancel(caller.user_id, id, p.clock.now()).await? {
            p.live.scheduled_changed(caller.user_id, id, ScheduledState::Cancelled).await;
            return Ok(());
        }
        match p.scheduled.find(caller.user_id, id).await?.ok_or(Error::NotFound)?.state {
            ScheduledState::Cancelled => Ok(()),
            _ => Err(Error::ScheduledSettled),
        }
    }

    /// Sends what is due, once, however often this is called. What its sender may no longer send is refused for good,
    /// and they are told.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`]: to be called again.
    pub async fn dispatch(&self, id: ScheduledMessageId) -> Result<(), Error> {
        let p = &self.ports;
        let Some(stored) = p.scheduled.claim(id, p.clock.now()).await? else { return Ok(()) };
        let (sender, conversation) = (stored.sender_id, stored.conversation_id);
        let scheduled = self.open_scheduled(vec![stored]).await?.pop().ok_or(Error::NotFound)?;
        let sent = match p.correspondents.role(sender).await? {
            Some(role) => {
                let name = ClientMessageId::parse(&format!("scheduled-{id}"))?;
                let draft = Draft {
                    client_message_id: Some(name),
                    scheduled_for: Some(scheduled.due_at),
                    ..scheduled.draft
                };
                self.send_as(sender, role, conversation, draft).await
            }
            None => Err(Error::NotFound),
        };
        let outcome = match sent {
            Ok(sent) => Outcome::Sent(sent.message.id),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => Outcome::Refused(error.code()),
        };
        if p.scheduled.settle(id, &outcome, p.clock.now()).await? {
            let state = match outcome {
                Outcome::Sent(_) => ScheduledState::Sent,
                Outcome::Refused(_) => ScheduledState::Refused,
            };
            p.live.scheduled_changed(sender, id, state).await;
        }
        Ok(())
    }

    fn timer(&self, id: ScheduledMessageId, now: DateTime<Utc>, due_at: DateTime<Utc>) -> Event {
        Event::new(&*self.ports.ids, now, &ScheduledMessageDue { id }).due(due_at)
    }

    fn scheduled_fingerprint(
        &self,
        conversation: ConversationId,
        draft: &Draft,
        due_at: DateTime<Utc>,
    ) -> Result<[u8; 16], Error> {
        let asked = [self.fingerprint(conversation, draft)?.to_vec(), due_at.to_rfc3339().into_bytes()];
        Ok(self.ports.sealer.fingerprint(Scope::Conversation(conversation), &asked.concat()))
    }

    async fn seal_draft(
        &self,
        id: ScheduledMessageId,
        conversation: ConversationId,
        version: u32,
        draft: &Draft,
    ) -> Result<alivio_kernel::Sealed, Error> {
        let plain = serde_json::to_vec(&KeptDraft::of(draft)).map_err(|e| Error::Unavailable(e.into()))?;
        let place = ScheduledMessage::context(id, conversation, version);
        Ok(self.ports.sealer.seal(&place, &plain).await?)
    }

    async fn open_scheduled(&self, rows: Vec<StoredScheduled>) -> Result<Vec<ScheduledMessage>, Error> {
        let place =
            |row: &StoredScheduled| ScheduledMessage::context(row.id, row.conversation_id, row.version);
        let sealed: Vec<_> = rows.iter().map(|row| (place(row), &row.draft)).collect();
        let opened = self.ports.sealer.open_many(&sealed).await?;
        rows.into_iter()
            .zip(opened)
            .map(|(row, plain)| {
                let kept: KeptDraft =
                    serde_json::from_slice(&plain).map_err(|e| Error::Unavailable(e.into()))?;
                Ok(ScheduledMessage {
                    id: row.id,
                    conversation_id: row.conversation_id,
                    sender_id: row.sender_id,
                    due_at: row.due_at,
                    state: row.state,
                    message_id: row.message_id,
                    reason: row.reason,
                    created_at: row.created_at,
                    updated_at: row.updated_at,
                    draft: kept.restore()?,
                })
            })
            .collect()
    }

    /// Keeps what the caller has begun to write, instead of what they began before. Their other devices are told
    /// that it changed.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn keep_draft(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        content: Content,
        reply_to: Option<MessageId>,
    ) -> Result<UnsentDraft, Error> {
        let p = &self.ports;
        self.position(caller, conversation).await?;
        let place = UnsentDraft::context(caller.user_id, conversation);
        let sealed = p.sealer.seal(&place, content.as_str().as_bytes()).await?;
        let updated_at = p.clock.now();
        let stored = StoredDraft { conversation_id: conversation, content: sealed, reply_to, updated_at };
        if !p.drafts.put(caller.user_id, &stored).await? {
            return Err(Error::NotFound);
        }
        p.live.draft_changed(caller.user_id, conversation).await;
        Ok(UnsentDraft { conversation_id: conversation, content, reply_to, updated_at })
    }

    /// What the caller has begun to write there.
    ///
    /// # Errors
    /// [`Error::NotFound`], also if there is nothing.
    pub async fn draft(&self, caller: &Caller, conversation: ConversationId) -> Result<UnsentDraft, Error> {
        let stored = self.ports.drafts.get(caller.user_id, conversation).await?.ok_or(Error::NotFound)?;
        self.open_drafts(caller, vec![stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// Throws away what the caller has begun to write there. Idempotent.
    ///
    /// # Errors
    /// [`Error::NotFound`] if they are not in the conversation.
    pub async fn discard_draft(&self, caller: &Caller, conversation: ConversationId) -> Result<(), Error> {
        self.position(caller, conversation).await?;
        if self.ports.drafts.remove(caller.user_id, conversation).await? {
            self.ports.live.draft_changed(caller.user_id, conversation).await;
        }
        Ok(())
    }

    /// All that the caller has begun to write, what changed last first. The cursor is `<microseconds>.<id>` of the
    /// last.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn drafts(
        &self,
        caller: &Caller,
        after: Option<(DateTime<Utc>, ConversationId)>,
        size: PageSize,
    ) -> Result<Page<UnsentDraft>, Error> {
        let rows = self.ports.drafts.list(caller.user_id, after, size).await?;
        let (rows, more) = size.cut(rows);
        let last = rows.last().filter(|_| more);
        let cursor = |d: &StoredDraft| format!("{}.{}", d.updated_at.timestamp_micros(), d.conversation_id);
        let next_cursor = last.map(cursor);
        Ok(Page { items: self.open_drafts(caller, rows).await?, next_cursor })
    }

    async fn open_drafts(&self, caller: &Caller, rows: Vec<StoredDraft>) -> Result<Vec<UnsentDraft>, Error> {
        let place = |row: &StoredDraft| UnsentDraft::context(caller.user_id, row.conversation_id);
        let sealed: Vec<_> = rows.iter().map(|row| (place(row), &row.content)).collect();
        let opened = self.ports.sealer.open_many(&sealed).await?;
        rows.into_iter()
            .zip(opened)
            .map(|(row, plain)| {
                let text = String::from_utf8(plain).map_err(|e| Error::Unavailable(e.into()))?;
                Ok(UnsentDraft {
                    conversation_id: row.conversation_id,
                    content: Content::restored(text),
                    reply_to: row.reply_to,
                    updated_at: row.updated_at,
                })
            })
            .collect()
    }
}
