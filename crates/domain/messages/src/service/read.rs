use std::collections::HashMap;

use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{Caller, Page, Sealed};

use super::{History, Messages};
use crate::{Content, Error, LogQuery, Message, OwnQuery, Payload, Quote, StoredMessage};

/// The messages that others answer or repeat: as the reader sees them, and whether everyone there does.
pub(super) type Known = HashMap<MessageId, (Message, bool)>;

impl Messages {
    /// Reads a part of a log.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn history(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        query: &LogQuery,
    ) -> Result<History, Error> {
        let p = &self.ports;
        let found = p.reader.browse(caller.user_id, conversation, query, p.clock.now()).await?;
        let found = found.ok_or(Error::NotFound)?;
        let (rows, more) = query.size.cut(found.messages);
        let next = if more { rows.last().map(|last| last.seq) } else { found.edge };
        let items = self.known_to(caller.user_id, self.unseal(rows).await?).await?;
        let marks = self.position(caller, conversation).await?.marks;
        let aftermath = self.aftermath(&items).await?;
        Ok(History { page: Page { items, next_cursor: next.map(|seq| seq.to_string()) }, marks, aftermath })
    }

    /// One message, whatever conversation it is in.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn message(&self, caller: &Caller, id: MessageId) -> Result<Message, Error> {
        let rows = self.ports.reader.readable(caller.user_id, &[id]).await?;
        let rows = rows.into_iter().map(|row| row.message).collect();
        let opened = self.known_to(caller.user_id, self.unseal(rows).await?).await?;
        opened.into_iter().next().ok_or(Error::NotFound)
    }

    /// The messages of all the caller's conversations, newest first (S2-33). The cursor is `<microseconds>.<id>`.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn own(&self, caller: &Caller, query: &OwnQuery) -> Result<Page<Message>, Error> {
        let p = &self.ports;
        let found = p.reader.across(caller.user_id, query, p.clock.now()).await?;
        let (mut rows, mut more) = query.size.cut(found.messages);
        let mut next = rows.last().filter(|_| more).map(|last| (last.created_at, last.id));
        if let Some(edge) = found.complete_down_to {
            let kept = rows.len();
            rows.retain(|row| row.created_at >= edge);
            if rows.len() < kept || !more {
                more = true;
                next = Some((edge, MessageId::from(alivio_kernel::ids::Uuid::nil())));
            }
        }
        let next = next.filter(|_| more);
        let next_cursor = next.map(|(at, id)| format!("{}.{id}", at.timestamp_micros()));
        Ok(Page { items: self.known_to(caller.user_id, self.unseal(rows).await?).await?, next_cursor })
    }

    /// Adds to `messages` what `viewer` may see of those that they answer or repeat, by one question.
    pub(super) async fn known_to(
        &self,
        viewer: UserId,
        mut messages: Vec<Message>,
    ) -> Result<Vec<Message>, Error> {
        let known = self.known(viewer, messages.iter()).await?;
        messages.iter_mut().for_each(|message| acquaint(message, &known, false));
        Ok(messages)
    }

    pub(super) async fn known(
        &self,
        viewer: UserId,
        messages: impl Iterator<Item = &Message>,
    ) -> Result<Known, Error> {
        let shown = messages.filter(|m| m.deleted_at.is_none());
        let ids: Vec<_> = shown.flat_map(|m| m.reply_to.into_iter().chain(m.forwarded_from)).collect();
        if ids.is_empty() {
            return Ok(Known::new());
        }
        let found = self.ports.reader.readable(viewer, &ids).await?;
        let (rows, everyone): (Vec<_>, Vec<_>) =
            found.into_iter().map(|row| (row.message, row.by_everyone)).unzip();
        let opened = self.unseal(rows).await?.into_iter().zip(everyone);
        Ok(opened.map(|(message, everyone)| (message.id, (message, everyone))).collect())
    }

    /// Opens the words of all `rows` at once; those that are withheld stay closed.
    pub(super) async fn unseal(&self, rows: Vec<StoredMessage>) -> Result<Vec<Message>, Error> {
        let now = self.ports.clock.now();
        let places = |row: &StoredMessage| {
            let shown = !row.is_gone(now);
            (shown && row.content.is_some(), shown && row.payload.is_some())
        };
        let mut sealed = Vec::with_capacity(rows.len());
        for row in &rows {
            let (content, payload) = places(row);
            sealed.extend(row.content.as_ref().filter(|_| content).map(|it| (Content::context(row), it)));
            sealed.extend(row.payload.as_ref().filter(|_| payload).map(|it| (Payload::context(row), it)));
        }
        let mut opened = self.ports.sealer.open_remaining(&sealed).await?.into_iter();
        let messages: Result<Vec<_>, Error> = rows
            .into_iter()
            .map(|mut row| {
                let (content, payload) = places(&row);
                // Its time is over, though nobody may have noted it yet.
                if row.is_gone(now) {
                    row.header.deleted_at = row.deleted_at.or(row.expires_at);
                }
                let mut take = |there: bool| if there { opened.next().flatten() } else { None };
                let plain = take(content);
                let sealed = row.content.as_ref().or(row.payload.as_ref());
                row.header.key_id = sealed.and_then(Sealed::key_id);
                row.header.is_destroyed = content && plain.is_none();
                let text = plain.map(String::from_utf8).transpose();
                let payload = take(payload).map(|plain| serde_json::from_slice(&plain)).transpose();
                let text = text.map_err(|e| Error::Unavailable(e.into()))?;
                let payload = payload.map_err(|e| Error::Unavailable(e.into()))?;
                Ok(Message::new(row.header, text.map(Content::restored), payload))
            })
            .collect();
        self.without_removed(messages?).await
    }

    /// Withholds what files were called that are not there any more.
    async fn without_removed(&self, mut messages: Vec<Message>) -> Result<Vec<Message>, Error> {
        let payloads = messages.iter().filter_map(|message| message.payload.as_ref());
        let files: Vec<_> = payloads.flat_map(Payload::attachments).map(|file| file.file_id).collect();
        if files.is_empty() {
            return Ok(messages);
        }
        let removed = self.ports.attachments.removed(&files).await?;
        let payloads = messages.iter_mut().filter_map(|message| message.payload.as_mut());
        payloads.for_each(|payload| payload.withhold_names(&removed));
        Ok(messages)
    }
}

/// Adds to `message` what is known of those that it answers or repeats; with `in_public`, only what all who are in
/// its conversation may see.
pub(super) fn acquaint(message: &mut Message, known: &Known, in_public: bool) {
    let conversation = message.conversation_id;
    let shown = |id: Option<MessageId>| {
        let (other, everyone) = known.get(&id?)?;
        let public = *everyone && other.conversation_id == conversation;
        (public || !in_public).then_some(other)
    };
    let quote = shown(message.reply_to).filter(|other| other.conversation_id == conversation);
    let (quote, source) = (quote.map(Quote::of), shown(message.forwarded_from).map(|other| other.id));
    message.quote = quote;
    message.known_source = source;
}
