//! What one can do with messages that were sent.

use std::collections::HashMap;

use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{AuditEntry, Caller, DomainError, Effects, ErrorKind, Event, Page, PageSize, Sealed};
use chrono::{DateTime, Utc};

use super::read::acquaint;
use super::sending::Admitted;
use super::{Messages, Sent};
use crate::screening::{Verdict, screen};
use crate::{
    Aftermath, Anchor, Change, Content, Correction, CorrectionReason, Deletion, Draft, Edit, Emoji, Error,
    Expired, Found, Header, Mark, Marks, Message, MessageChanged, MessageDeleted, MessageEdited, Moved,
    NewEntry, PURGE_GRACE, React, Receipt, RevisedPage, RevisedQuery, Room, Spot, StoredMessage, TakenBackBy,
};

/// Messages that are taken back or destroyed at once.
const BATCH: i64 = 200;

/// A message as everyone in its conversation may see it now.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The message.
    pub message: Message,
    /// What has gathered around it.
    pub aftermath: Aftermath,
    /// Everyone's marks, as far as others may see them.
    pub marks: Vec<Marks>,
}

/// A part of what has changed in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Revised {
    /// The messages as they are now, in the order of their revisions.
    pub messages: Vec<Message>,
    /// What has gathered around them; nothing around those that are not named.
    pub aftermath: HashMap<MessageId, Aftermath>,
    /// All changes up to this number are told by then.
    pub reached: i64,
    /// The number of the newest change.
    pub last_revision: i64,
}

/// The words of a message at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Wording {
    /// Which wording, from 1.
    pub version: u32,
    /// The words.
    pub content: Content,
    /// When it was written.
    pub written_at: DateTime<Utc>,
}

/// All that a message has said.
#[derive(Debug, Clone, PartialEq)]
pub struct Wordings {
    /// The oldest first, the current one last; none once the message is gone.
    pub wordings: Vec<Wording>,
    /// The message that puts it right.
    pub corrected_by: Option<MessageId>,
    /// Why it was put right, if that was said.
    pub correction_reason: Option<CorrectionReason>,
}

impl Messages {
    /// Gives a message of the caller other words, if the one they saw, `version`, is still the current one.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`Standing::edit`](crate::Standing::edit).
    pub async fn edit(
        &self,
        caller: &Caller,
        message: MessageId,
        content: Content,
        version: Option<u32>,
    ) -> Result<Changed, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let Found { message: found, standing } = self.find(caller, message, now).await?;
        let room = self.room(&found).await?;
        standing.edit(&found, caller.user_id, &room, &p.policy, version, now)?;
        // What may not be said there is not said by an edit either.
        let flag = match p.screening.judge(&room, screen(content.as_str(), 1)) {
            Verdict::Sent { flags, .. } => self.flag(flags),
            Verdict::Refused(findings) => return Err(Error::NotAllowed(findings)),
        };
        let mut next = found.header.clone();
        next.version += 1;
        let sealed = p.sealer.seal(&Content::context(&next), content.as_str().as_bytes()).await?;
        let edited = MessageEdited {
            conversation_id: found.conversation_id,
            message_id: message,
            version: next.version,
        };
        let edit = Edit {
            message_id: message,
            actor: caller.user_id,
            replaces: found.version,
            content: sealed,
            at: now,
            flag,
        };
        let effects = Effects::default().event(Event::new(&*p.ids, now, &edited));
        let revision = p.changes.edit(&edit, &effects).await?;
        self.tell(message, (Change::Edited, revision), Some(caller.user_id), now).await
    }

    /// Takes a message back: one of the caller's, or another's in a group that they moderate. Does nothing if it is
    /// gone already.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`Standing::take_back`](crate::Standing::take_back).
    pub async fn delete(&self, caller: &Caller, message: MessageId) -> Result<(), Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let Found { message: found, standing } = self.find(caller, message, now).await?;
        let room = self.room(&found).await?;
        let Some(by) = standing.take_back(&found, caller.user_id, &room, now)? else { return Ok(()) };
        let deleted = MessageDeleted {
            conversation_id: found.conversation_id,
            message_id: message,
            deleted_by: Some(caller.user_id),
        };
        let mut effects = Effects::default().event(Event::new(&*p.ids, now, &deleted));
        if by == TakenBackBy::Moderator {
            let entry = AuditEntry::by(&*p.ids, now, caller, "message.removed");
            effects = effects.audit(entry.about(found.sender_id).on("message", message));
        }
        let deletion =
            Deletion { message_id: message, actor: caller.user_id, at: now, purge_at: now + PURGE_GRACE };
        if let Some(revision) = p.changes.delete(&deletion, &effects).await? {
            self.tell(message, (Change::Deleted, revision), Some(caller.user_id), now).await?;
        }
        Ok(())
    }

    /// Sends a message that puts one of the caller's right, which is shown as corrected from then on. It can be sent
    /// again under its client message id, like any other.
    ///
    /// # Errors
    /// [`Error::NotFound`], those of [`Standing::correct`](crate::Standing::correct) and of [`Messages::send`], and
    /// [`Error::Stale`] if another correction was first.
    pub async fn correct(
        &self,
        caller: &Caller,
        message: MessageId,
        draft: Draft,
        reason: Option<CorrectionReason>,
    ) -> Result<Sent, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let Found { message: found, standing } = self.find(caller, message, now).await?;
        let conversation = found.conversation_id;
        let draft = Draft { corrects: Some(message), ..draft };
        draft.check()?;
        let admitted = match standing.correct(&found, caller.user_id, now) {
            Ok(()) => self.admit((caller.user_id, caller.role), conversation, &draft, now).await,
            Err(refusal) => Err(refusal),
        };
        let admitted = match admitted {
            // It may be the very same one, sent again: the log knows.
            Err(refusal) if draft.client_message_id.is_some() && refusal.kind() != ErrorKind::Unavailable => {
                return self.sent_before(caller.user_id, conversation, &draft, refusal).await;
            }
            admitted => admitted?,
        };
        let step = admitted.step;
        let appended = self.append_correction(caller, &found, draft, reason, admitted, now).await;
        if !matches!(&appended, Ok((sent, _)) if sent.created) {
            self.give_back(step.as_ref()).await?;
        }
        let (sent, revision) = appended?;
        if let Some(revision) = revision {
            self.tell(message, (Change::Corrected, revision), Some(caller.user_id), now).await?;
        }
        Ok(sent)
    }

    /// The correction, and the number of the change of what it corrects.
    async fn append_correction(
        &self,
        caller: &Caller,
        found: &StoredMessage,
        draft: Draft,
        reason: Option<CorrectionReason>,
        admitted: Admitted,
        now: DateTime<Utc>,
    ) -> Result<(Sent, Option<i64>), Error> {
        let p = &self.ports;
        let (message, conversation) = (found.id, found.conversation_id);
        let Admitted { quiet, warnings, flag, .. } = admitted;
        let header = self.header(caller.user_id, conversation, &draft, now)?;
        let content = self.seal_words(&header, draft.content.as_ref()).await?;
        let header = Header { key_id: content.as_ref().and_then(Sealed::key_id), ..header };
        let reason = match &reason {
            Some(reason) => {
                let place = CorrectionReason::context(message, conversation);
                Some(p.sealer.seal(&place, reason.as_str().as_bytes()).await?)
            }
            None => None,
        };
        let entry = AuditEntry::by(&*p.ids, now, caller, "message.corrected");
        let correction = Correction {
            entry: NewEntry {
                header: header.clone(),
                content,
                payload: None,
                fingerprint: self.fingerprint(conversation, &draft)?,
                event: self.outside_hours(&header, quiet),
                flag,
                files: Vec::new(),
            },
            reason,
            effects: Effects::default().audit(entry.on("message", message)),
        };
        let (appended, revision) = match p.changes.correct(correction).await {
            Err(Error::Stale) => match found.corrected_by {
                Some(by) => Err(Error::AlreadyCorrected { by }),
                None => Err(Error::Stale),
            },
            appended => appended,
        }?;
        let sent = self.appended(caller.user_id, appended, header, (draft.content, None), warnings).await?;
        Ok((sent, revision))
    }

    /// Sets or clears a reaction of the caller. Idempotent.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooManyReactions`], and those of [`Standing::react`](crate::Standing::react).
    pub async fn react(
        &self,
        caller: &Caller,
        message: MessageId,
        emoji: Emoji,
        is_set: bool,
    ) -> Result<Changed, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let Found { message: found, standing } = self.find(caller, message, now).await?;
        standing.react(&found, now)?;
        let react = React { message_id: message, actor: caller.user_id, emoji, is_set, at: now };
        match p.changes.react(&react).await? {
            Some(revision) => {
                self.tell(message, (Change::Reacted, revision), Some(caller.user_id), now).await
            }
            None => self.current(message).await.map(|(changed, _)| changed),
        }
    }

    /// What has changed after a number, for a device that has everything else: a part of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revised(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        query: &RevisedQuery,
    ) -> Result<Revised, Error> {
        let page = self.ports.changes.revised(caller.user_id, conversation, query).await?;
        let RevisedPage { messages, reached, last_revision } = page.ok_or(Error::NotFound)?;
        let messages = self.unseal(messages).await?;
        let aftermath = self.aftermath(&messages).await?;
        let messages = self.known_to(caller.user_id, messages).await?;
        Ok(Revised { messages, aftermath, reached, last_revision })
    }

    /// All that a message has said.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn wordings(&self, caller: &Caller, message: MessageId) -> Result<Wordings, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let found = self.find(caller, message, now).await?.message;
        let corrected_by = found.corrected_by;
        if found.is_gone(now) {
            return Ok(Wordings { wordings: Vec::new(), corrected_by, correction_reason: None });
        }
        let stored = p.changes.wordings(message).await?;
        let places = stored.former.iter().map(|wording| {
            let header = Header { version: wording.version, ..found.header.clone() };
            (Content::context(&header), &wording.content)
        });
        let mut sealed: Vec<_> = places.collect();
        // The current one may have become a former one since it was found.
        let is_former = stored.former.iter().any(|wording| wording.version == found.version);
        if let Some(content) = found.content.as_ref().filter(|_| !is_former) {
            sealed.push((Content::context(&found), content));
        }
        let wordings = sealed.len();
        if let Some(reason) = &stored.correction_reason {
            sealed.push((CorrectionReason::context(message, found.conversation_id), reason));
        }
        let opened = p.sealer.open_many(&sealed).await?.into_iter();
        let texts = opened.map(|bytes| String::from_utf8(bytes).map_err(|e| Error::Unavailable(e.into())));
        let mut texts = texts.collect::<Result<Vec<_>, _>>()?;
        let correction_reason = texts.split_off(wordings).pop().map(CorrectionReason::restored);
        let current = (found.version, found.edited_at.unwrap_or(found.created_at));
        let dates = stored.former.iter().map(|w| (w.version, w.written_at)).chain([current]);
        let wordings = dates.zip(texts).map(|((version, written_at), text)| Wording {
            version,
            content: Content::restored(text),
            written_at,
        });
        Ok(Wordings { wordings: wordings.collect(), corrected_by, correction_reason })
    }

    /// Who has received and read a message, ordered by their ids.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn receipts(
        &self,
        caller: &Caller,
        message: MessageId,
        after: Option<UserId>,
        size: PageSize,
    ) -> Result<Page<Receipt>, Error> {
        let p = &self.ports;
        self.find(caller, message, p.clock.now()).await?;
        let found = p.changes.receipts(caller.user_id, message, after, size.get() + 1).await?;
        let (items, more) = size.cut(found);
        let next_cursor = if more { items.last().map(|receipt| receipt.user_id.to_string()) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// Moves a mark of the caller to a message, wherever it was said.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn advance_to(
        &self,
        caller: &Caller,
        message: MessageId,
        mark: Mark,
    ) -> Result<(ConversationId, Moved), Error> {
        let found = self.find(caller, message, self.ports.clock.now()).await?.message;
        let conversation = found.conversation_id;
        Ok((conversation, self.advance(caller, conversation, mark, &Anchor::Message(message)).await?))
    }

    /// Marks everything up to the newest of `messages` in each of their conversations as read.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller can read none of them.
    pub async fn read_all_of(
        &self,
        caller: &Caller,
        messages: &[MessageId],
    ) -> Result<Vec<(ConversationId, Moved)>, Error> {
        let newest = self.ports.changes.newest_of_each(caller.user_id, messages).await?;
        if newest.is_empty() {
            return Err(Error::NotFound);
        }
        let mut moved = Vec::with_capacity(newest.len());
        for (conversation, message) in newest {
            let target = Anchor::Message(message);
            moved.push((conversation, self.advance(caller, conversation, Mark::Read, &target).await?));
        }
        Ok(moved)
    }

    /// Marks a whole conversation as read: the marks of the caller, and what they have not read since.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_everything(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(Marks, i64), Error> {
        let position = self.position(caller, conversation).await?;
        if position.last_seq < position.joined_seq {
            // There is nothing in it for them.
            let own = position.marks.into_iter().find(|marks| marks.user_id == caller.user_id);
            return own.map(|marks| (marks, 0)).ok_or(Error::NotFound);
        }
        let target = Anchor::Seq(position.last_seq);
        let moved = self.advance(caller, conversation, Mark::Read, &target).await?;
        Ok((moved.marks, moved.unread))
    }

    /// What has become of a message that the caller has sent again.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn seen(&self, caller: &Caller, message: Message) -> Result<Changed, Error> {
        let conversation = message.conversation_id;
        let marks = self.position(caller, conversation).await?.marks;
        let mut aftermath = self.aftermath(std::slice::from_ref(&message)).await?;
        let aftermath = aftermath.remove(&message.id).unwrap_or_default();
        Ok(Changed { message, aftermath, marks })
    }

    /// Takes back a batch of messages whose time is over, and tells those who are connected. Whether there may be more.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn expire(&self) -> Result<bool, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let expired = p.changes.expire(now, now + PURGE_GRACE, BATCH).await?;
        let more = i64::try_from(expired.len()).is_ok_and(|n| n >= BATCH);
        let mut failed = None;
        for Expired { conversation_id, message_id, revision } in expired {
            if p.live.has_audience(conversation_id) {
                // The others are told all the same.
                let told = self.tell(message_id, (Change::Deleted, revision), None, now).await;
                failed = told.err().or(failed);
            }
        }
        failed.map_or(Ok(more), Err)
    }

    /// Destroys a batch of words whose time has come. Whether there may be more.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn purge(&self) -> Result<bool, Error> {
        let p = &self.ports;
        let purged = p.changes.purge(p.clock.now(), BATCH).await?;
        Ok(i64::try_from(purged).is_ok_and(|n| n >= BATCH))
    }

    async fn find(&self, caller: &Caller, message: MessageId, now: DateTime<Utc>) -> Result<Found, Error> {
        self.ports.changes.find(caller.user_id, message, now).await?.ok_or(Error::NotFound)
    }

    async fn room(&self, message: &StoredMessage) -> Result<Room, Error> {
        self.ports.rooms.room(message.conversation_id).await?.ok_or(Error::NotFound)
    }

    /// The message as it is now, and the membership that may see it.
    async fn current(&self, id: MessageId) -> Result<(Changed, i64), Error> {
        let p = &self.ports;
        let current = p.changes.current(id).await?.ok_or(Error::NotFound)?;
        let message = self.unseal(vec![current.message]).await?.pop().ok_or(Error::NotFound)?;
        let mut aftermath = self.aftermath(std::slice::from_ref(&message)).await?;
        let aftermath = aftermath.remove(&id).unwrap_or_default();
        Ok((Changed { message, aftermath, marks: current.marks }, current.members_version))
    }

    pub(super) async fn tell(
        &self,
        id: MessageId,
        (change, revision): (Change, i64),
        actor: Option<UserId>,
        at: DateTime<Utc>,
    ) -> Result<Changed, Error> {
        let (mut changed, members_version) = self.current(id).await?;
        let viewer = actor.unwrap_or(changed.message.sender_id);
        // The change is made. What the message answers can be read later.
        let known = self.known(viewer, std::iter::once(&changed.message)).await.unwrap_or_default();
        acquaint(&mut changed.message, &known, true);
        let Changed { message, aftermath, marks } = changed.clone();
        let told = MessageChanged { change, revision, actor, at, message, aftermath, marks, members_version };
        self.ports.live.message_changed(told).await;
        acquaint(&mut changed.message, &known, false);
        Ok(changed)
    }

    /// What has gathered around `messages`. Around those that are gone, only who has read them. Authorises nothing.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn aftermath(&self, messages: &[Message]) -> Result<HashMap<MessageId, Aftermath>, Error> {
        if messages.is_empty() {
            return Ok(HashMap::new());
        }
        let p = &self.ports;
        let places: Vec<_> = messages
            .iter()
            .map(|message| Spot {
                conversation_id: message.conversation_id,
                message_id: message.id,
                seq: message.seq,
                sender_id: message.sender_id,
            })
            .collect();
        let mut found = p.changes.aftermath(&places).await?;
        for gone in messages.iter().filter(|message| message.deleted_at.is_some()) {
            if let Some(aftermath) = found.get_mut(&gone.id) {
                aftermath.rewordings.clear();
                aftermath.reactions.clear();
            }
        }
        Ok(found)
    }
}
