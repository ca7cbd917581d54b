//! What several domains show together.

use std::collections::HashMap;
use std::sync::Arc;

use alivio_accounts::UserSummary;
use alivio_conversations::{Conversation, InboxLine, InboxQuery, Inboxes, Kind, Participant};
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Caller, Clock, Page};
use alivio_messages::{
    DeliveryStatus, History, HistoryQuery, Marks, Message, Messages, StoredMessage, delivery_status,
};
use chrono::{DateTime, Utc};

use crate::Error;
use crate::live::{PresenceBoard, Seen, Silence, hide_reading};
use crate::people::PeopleDirectory;

/// A message with its sender.
#[derive(Debug, Clone)]
pub struct MessageView {
    /// The message.
    pub message: Message,
    /// Who said it.
    pub sender: Arc<UserSummary>,
    /// How far it has come.
    pub status: DeliveryStatus,
}

/// The newest message of a conversation.
#[derive(Debug, Clone)]
pub struct LastMessage {
    /// The message.
    pub view: MessageView,
    /// Whether the caller has read it, or said it.
    pub is_read: bool,
}

/// A participant with who they are.
#[derive(Debug, Clone)]
pub struct ParticipantView {
    /// Their part in the conversation.
    pub participant: Participant,
    /// Who they are.
    pub person: Arc<UserSummary>,
    /// How far they have come.
    pub marks: Option<Marks>,
    /// Whether a device of theirs is connected.
    pub is_online: bool,
    /// When the last of their devices went away.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Whether they may leave.
    pub can_leave: bool,
}

/// A conversation with its people, as the caller sees it.
#[derive(Debug, Clone)]
pub struct ConversationView {
    /// The conversation.
    pub conversation: Conversation,
    /// Who is in it.
    pub participants: Vec<ParticipantView>,
    /// Messages by others that the caller has not read.
    pub unread: i64,
    /// The newest message the caller may read.
    pub last_message: Option<LastMessage>,
    /// Whether messages can be sent.
    pub is_open: bool,
    /// Whether the caller is told of what happens in it.
    pub notifies: bool,
}

/// Shows conversations and messages with the people in them.
#[derive(Clone)]
pub struct Screens {
    people: PeopleDirectory,
    messages: Messages,
    inboxes: Inboxes<StoredMessage>,
    presence: Arc<PresenceBoard>,
    silence: Arc<Silence>,
    clock: Arc<dyn Clock>,
}

/// A conversation with the newest message and the marks that the caller may see.
struct Entry {
    conversation: Conversation,
    unread: i64,
    last: Option<Message>,
    marks: Vec<Marks>,
}

impl Screens {
    pub(crate) const fn new(
        people: PeopleDirectory,
        messages: Messages,
        inboxes: Inboxes<StoredMessage>,
        presence: Arc<PresenceBoard>,
        silence: Arc<Silence>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { people, messages, inboxes, presence, silence, clock }
    }

    /// Shows a page of the caller's conversations. What is stored of them comes by one query; names and presences are
    /// known by heart.
    ///
    /// # Errors
    /// As [`Inboxes::page`].
    pub async fn inbox(&self, caller: &Caller, query: &InboxQuery) -> Result<Page<ConversationView>, Error> {
        let Page { items, next_cursor } = self.inboxes.page(caller, query).await?;
        Ok(Page { items: self.views(caller, items).await?, next_cursor })
    }

    /// Shows one conversation.
    ///
    /// # Errors
    /// Not found.
    pub async fn conversation(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<ConversationView, Error> {
        let line = self.inboxes.one(caller, conversation).await?;
        let views = self.views(caller, vec![line]).await?;
        views.into_iter().next().ok_or(alivio_conversations::Error::NotFound.into())
    }

    async fn views(
        &self,
        caller: &Caller,
        lines: Vec<InboxLine<StoredMessage>>,
    ) -> Result<Vec<ConversationView>, Error> {
        let mut entries = self.entries(caller, lines).await?;
        self.hush(caller, &mut entries).await?;
        let members = entries.iter().flat_map(|e| e.conversation.participants.iter().map(|p| p.user_id));
        let senders = entries.iter().filter_map(|e| e.last.as_ref().map(|m| m.sender_id));
        let members: std::collections::HashSet<_> = members.collect();
        let everyone = members.iter().copied().chain(senders).collect::<std::collections::HashSet<_>>();
        let people = self.people.summaries(everyone).await?;
        let members: Vec<_> = members.into_iter().collect();
        let mut seen = self.presence.seen(caller, &members).await?;
        seen.insert(caller.user_id, self.presence.own_in_passing(caller, &people));
        let now = self.clock.now();
        Ok(entries.into_iter().map(|entry| Self::view(caller, entry, &people, &seen, now)).collect())
    }

    /// Opens the newest messages of all `lines` at once.
    async fn entries(
        &self,
        caller: &Caller,
        mut lines: Vec<InboxLine<StoredMessage>>,
    ) -> Result<Vec<Entry>, Error> {
        let places: Vec<_> = lines.iter().map(|line| line.last.is_some()).collect();
        let last = lines.iter_mut().filter_map(|line| line.last.take()).collect();
        let mut opened = self.messages.opened(last).await?.into_iter();
        let entry = |(line, has_last): (InboxLine<StoredMessage>, bool)| {
            let marks = line.progress.iter().map(|p| Marks {
                user_id: p.user_id,
                delivered_up_to: p.delivered_up_to,
                read_up_to: p.read_up_to,
            });
            let mut marks: Vec<_> = marks.collect();
            if !line.conversation.settings.read_receipts {
                hide_reading(caller, &mut marks);
            }
            let last = if has_last { opened.next() } else { None };
            Entry { conversation: line.conversation, unread: line.unread, last, marks }
        };
        Ok(lines.into_iter().zip(places).map(entry).collect())
    }

    /// Shows a message that the caller has just sent.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn message(
        &self,
        message: Message,
        created: bool,
        caller: &Caller,
    ) -> Result<MessageView, Error> {
        let sender = self.people.summary(message.sender_id).await?;
        let status = if created {
            DeliveryStatus::Sent
        } else {
            let mut marks = self.messages.position(caller, message.conversation_id).await?.marks;
            self.silence.hush(caller, message.conversation_id, &mut marks).await?;
            delivery_status(message.seq, message.sender_id, &marks)
        };
        Ok(MessageView { message, sender, status })
    }

    /// Shows a part of the log.
    ///
    /// # Errors
    /// Not found.
    pub async fn history(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        query: &HistoryQuery,
    ) -> Result<Page<MessageView>, Error> {
        let mut history = self.messages.history(caller, conversation, query).await?;
        self.silence.hush(caller, conversation, &mut history.marks).await?;
        self.shown(history).await
    }

    /// Takes the marks of the other out of direct conversations in which a block stands.
    async fn hush(&self, caller: &Caller, entries: &mut [Entry]) -> Result<(), Error> {
        let direct = |entry: &&Entry| entry.conversation.kind == Kind::Direct;
        let others: Vec<_> = entries
            .iter()
            .filter(direct)
            .flat_map(|entry| entry.conversation.participants.iter().map(|p| p.user_id))
            .filter(|user| *user != caller.user_id)
            .collect();
        let silent = self.silence.between(caller, &others).await?;
        for entry in entries.iter_mut().filter(|entry| entry.conversation.kind == Kind::Direct) {
            if entry.conversation.participants.iter().any(|p| silent.contains(&p.user_id)) {
                entry.marks.retain(|marks| marks.user_id == caller.user_id);
            }
        }
        Ok(())
    }

    /// Shows what was read of the log.
    pub(crate) async fn shown(&self, history: History) -> Result<Page<MessageView>, Error> {
        let senders: std::collections::HashSet<_> = history.page.items.iter().map(|m| m.sender_id).collect();
        let people = self.people.summaries(senders).await?;
        let Page { items, next_cursor } = history.page;
        let items = items.into_iter().filter_map(|m| show(m, &people, &history.marks)).collect();
        Ok(Page { items, next_cursor })
    }

    fn view(
        caller: &Caller,
        entry: Entry,
        people: &HashMap<UserId, Arc<UserSummary>>,
        seen: &HashMap<UserId, Seen>,
        now: DateTime<Utc>,
    ) -> ConversationView {
        let Entry { conversation, unread, last, marks } = entry;
        let is_clinician = |user| people.get(&user).is_some_and(|person| person.role.is_clinician());
        let participants = conversation
            .participants
            .iter()
            .filter_map(|participant| {
                let user = participant.user_id;
                let person = Arc::clone(people.get(&user)?);
                Some(ParticipantView {
                    participant: *participant,
                    marks: marks.iter().find(|m| m.user_id == user).copied(),
                    is_online: seen.get(&user).is_some_and(|seen| seen.presence.is_online()),
                    last_seen_at: seen.get(&user).and_then(|seen| seen.last_seen_at),
                    can_leave: conversation.can_leave(user, is_clinician),
                    person,
                })
            })
            .collect();
        let read_up_to = marks.iter().find(|m| m.user_id == caller.user_id).map_or(0, |m| m.read_up_to);
        let last_message = last.and_then(|message| {
            let is_read = message.sender_id == caller.user_id || message.seq <= read_up_to;
            Some(LastMessage { view: show(message, people, &marks)?, is_read })
        });
        let (is_open, notifies) = (conversation.is_open(now), conversation.mine.notifies(now));
        ConversationView { conversation, participants, unread, last_message, is_open, notifies }
    }
}

fn show(
    message: Message,
    people: &HashMap<UserId, Arc<UserSummary>>,
    marks: &[Marks],
) -> Option<MessageView> {
    let sender = Arc::clone(people.get(&message.sender_id)?);
    let status = delivery_status(message.seq, message.sender_id, marks);
    Some(MessageView { message, sender, status })
}
