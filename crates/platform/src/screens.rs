//! What several domains show together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alivio_accounts::UserSummary;
use alivio_conversations::{Conversation, InboxLine, InboxQuery, Inboxes, Kind, Participant};
use alivio_files::File;
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{Caller, Clock, Page, PageSize};
use alivio_messages::{
    Aftermath, Changed, DeliveryStatus, Hearing, History, LogQuery, Marks, Message, Messages, OwnQuery,
    Reacted, Receipt, Report, Rewording, StoredMessage, delivery_status,
};
use chrono::{DateTime, Utc};

use crate::Error;
use crate::live::{PresenceBoard, Seen, Silence};
use crate::mentions::Mentions;
use crate::people::PeopleDirectory;

/// A message with its sender.
#[derive(Debug, Clone)]
pub struct MessageView {
    /// The message.
    pub message: Message,
    /// Who said it.
    pub sender: Arc<UserSummary>,
    /// Who said what it answers, if that may be known.
    pub quoted: Option<Arc<UserSummary>>,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Its former wordings, the oldest first.
    pub rewordings: Vec<Rewording>,
    /// Reactions, in the order in which each emoji came first.
    pub reactions: Vec<ReactionView>,
    /// Those who have read it and when, the first one first.
    pub read_by: Vec<(UserId, DateTime<Utc>)>,
    /// Those in the conversation whom it names.
    pub mentioned: Vec<Arc<UserSummary>>,
}

/// A file with whoever uploaded it.
#[derive(Debug, Clone)]
pub struct FileView {
    /// The file.
    pub file: File,
    /// Who uploaded it.
    pub uploader: Arc<UserSummary>,
}

/// Those who reacted with one emoji.
#[derive(Debug, Clone)]
pub struct ReactionView {
    /// With what.
    pub emoji: String,
    /// How many.
    pub count: i64,
    /// The first of them, and when.
    pub people: Vec<(Arc<UserSummary>, DateTime<Utc>)>,
}

impl MessageView {
    /// `message` among `people`; `None` if its sender is not one of them.
    pub(crate) fn of(
        message: Message,
        people: &HashMap<UserId, Arc<UserSummary>>,
        status: DeliveryStatus,
    ) -> Option<Self> {
        let sender = Arc::clone(people.get(&message.sender_id)?);
        let quoted = message.quote.as_ref().and_then(|quote| people.get(&quote.sender_id)).cloned();
        let (rewordings, reactions, read_by, mentioned) = Default::default();
        Some(Self { message, sender, quoted, status, rewordings, reactions, read_by, mentioned })
    }

    /// `message`, of which nobody has heard yet.
    pub(crate) async fn just_sent(
        people: &PeopleDirectory,
        mentions: &Mentions,
        message: Message,
    ) -> Result<Self, Error> {
        let people = people.summaries(named(std::slice::from_ref(&message))).await?;
        let view = Self::of(message, &people, DeliveryStatus::Sent);
        let mut view = view.ok_or(alivio_accounts::Error::NotFound)?;
        mentions.name([&mut view]).await?;
        Ok(view)
    }
}

/// Those whose names are shown with `messages`.
pub(crate) fn named(messages: &[Message]) -> HashSet<UserId> {
    let quoted = messages.iter().filter_map(|m| m.quote.as_ref().map(|quote| quote.sender_id));
    messages.iter().map(|m| m.sender_id).chain(quoted).collect()
}

/// A report with the message in question and those around it.
#[derive(Debug, Clone)]
pub struct HearingView {
    /// The report.
    pub report: Report,
    /// In the order of the log.
    pub messages: Vec<MessageView>,
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
    mentions: Mentions,
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
        mentions: Mentions,
        messages: Messages,
        inboxes: Inboxes<StoredMessage>,
        presence: Arc<PresenceBoard>,
        silence: Arc<Silence>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { people, mentions, messages, inboxes, presence, silence, clock }
    }

    /// Shows files with those who uploaded them.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn files(&self, files: Vec<File>) -> Result<Vec<FileView>, Error> {
        let people = self.people.summaries(files.iter().map(|file| file.uploader_id)).await?;
        let view = |file: File| {
            let uploader = Arc::clone(people.get(&file.uploader_id)?);
            Some(FileView { file, uploader })
        };
        Ok(files.into_iter().filter_map(view).collect())
    }

    /// Shows one file.
    ///
    /// # Errors
    /// Not found; that something is unavailable.
    pub async fn file(&self, file: File) -> Result<FileView, Error> {
        self.files(vec![file]).await?.pop().ok_or(alivio_files::Error::NotFound.into())
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

    /// Shows those of `conversations` that the caller is in, in any order.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn some(
        &self,
        caller: &Caller,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationView>, Error> {
        let lines = self.inboxes.some(caller, conversations).await?;
        self.views(caller, lines).await
    }

    async fn views(
        &self,
        caller: &Caller,
        lines: Vec<InboxLine<StoredMessage>>,
    ) -> Result<Vec<ConversationView>, Error> {
        let mut entries = self.entries(lines).await?;
        self.hush(caller, &mut entries).await?;
        let members = entries.iter().flat_map(|e| e.conversation.participants.iter().map(|p| p.user_id));
        let senders = entries.iter().filter_map(|e| e.last.as_ref().map(|m| m.sender_id));
        let members: HashSet<_> = members.collect();
        let everyone = members.iter().copied().chain(senders).collect::<HashSet<_>>();
        let people = self.people.summaries(everyone).await?;
        let members: Vec<_> = members.into_iter().collect();
        let mut seen = self.presence.seen(caller, &members).await?;
        seen.insert(caller.user_id, self.presence.own_in_passing(caller, &people));
        let now = self.clock.now();
        Ok(entries.into_iter().map(|entry| Self::view(caller, entry, &people, &seen, now)).collect())
    }

    /// Opens the newest messages of all `lines` at once.
    async fn entries(&self, mut lines: Vec<InboxLine<StoredMessage>>) -> Result<Vec<Entry>, Error> {
        let places: Vec<_> = lines.iter().map(|line| line.last.is_some()).collect();
        let last = lines.iter_mut().filter_map(|line| line.last.take()).collect();
        let mut opened = self.messages.opened(last).await?.into_iter();
        let entry = |(line, has_last): (InboxLine<StoredMessage>, bool)| {
            let marks = line.progress.iter().map(|p| Marks {
                user_id: p.user_id,
                delivered_up_to: p.delivered_up_to,
                read_up_to: p.read_up_to,
            });
            let marks = marks.collect();
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
        if created {
            return MessageView::just_sent(&self.people, &self.mentions, message).await;
        }
        let seen = self.messages.seen(caller, message).await?;
        self.changed(caller, seen).await
    }

    /// Shows one message.
    ///
    /// # Errors
    /// Not found; also if it is not in `conversation`, where one is given.
    pub async fn one(
        &self,
        caller: &Caller,
        conversation: Option<ConversationId>,
        id: MessageId,
    ) -> Result<MessageView, Error> {
        let message = self.messages.message(caller, id).await?;
        if conversation.is_some_and(|conversation| conversation != message.conversation_id) {
            return Err(alivio_messages::Error::NotFound.into());
        }
        let seen = self.messages.seen(caller, message).await?;
        self.changed(caller, seen).await
    }

    /// Shows messages of all the caller's conversations, in a few queries however many they are.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn own_messages(&self, caller: &Caller, query: &OwnQuery) -> Result<Page<MessageView>, Error> {
        let Page { items, next_cursor } = self.messages.own(caller, query).await?;
        let mut aftermath = self.messages.aftermath(&items).await?;
        let everyone = named(&items).into_iter().chain(aftermath.values().flat_map(reactors));
        let people = self.people.summaries(everyone.collect::<HashSet<_>>()).await?;
        let conversations: HashSet<_> = items.iter().map(|message| message.conversation_id).collect();
        let conversations: Vec<_> = conversations.into_iter().collect();
        let digests = self.messages.digests(caller, &conversations).await?;
        let mut marks: HashMap<_, _> = digests.into_iter().map(|d| (d.conversation_id, d.marks)).collect();
        // Only where two are, and one wants nothing of the other, there may be something to hide.
        let other = |marks: &Vec<Marks>| match &**marks {
            [one, other] if one.user_id == caller.user_id => Some(other.user_id),
            [other, one] if one.user_id == caller.user_id => Some(other.user_id),
            _ => None,
        };
        let others: Vec<_> = marks.values().filter_map(other).collect();
        let silent = self.silence.between(caller, &others).await?;
        for (conversation, marks) in &mut marks {
            if other(marks).is_some_and(|other| silent.contains(&other)) {
                self.silence.hush(caller, *conversation, marks).await?;
            }
        }
        let mut show = |message: Message| {
            let aftermath = aftermath.remove(&message.id).unwrap_or_default();
            let marks = marks.get(&message.conversation_id).map_or(&[][..], Vec::as_slice);
            show(message, &people, marks, aftermath)
        };
        let mut items: Vec<_> = items.into_iter().filter_map(&mut show).collect();
        self.mentions.name(&mut items).await?;
        Ok(Page { items, next_cursor })
    }

    /// Shows a message that the caller has just changed.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn changed(&self, caller: &Caller, mut changed: Changed) -> Result<MessageView, Error> {
        self.silence.hush(caller, changed.message.conversation_id, &mut changed.marks).await?;
        changed_view(&self.people, &self.mentions, changed).await
    }

    /// Shows who has received and read a message, each with their name.
    ///
    /// # Errors
    /// Not found.
    pub async fn receipts(
        &self,
        caller: &Caller,
        message: MessageId,
        after: Option<UserId>,
        size: PageSize,
    ) -> Result<Page<(Receipt, Arc<UserSummary>)>, Error> {
        let Page { items, next_cursor } = self.messages.receipts(caller, message, after, size).await?;
        let everyone: HashSet<_> = items.iter().map(|receipt| receipt.user_id).collect();
        let people = self.people.summaries(everyone).await?;
        let named = |receipt: Receipt| Some((receipt, Arc::clone(people.get(&receipt.user_id)?)));
        Ok(Page { items: items.into_iter().filter_map(named).collect(), next_cursor })
    }

    /// Shows a report with the message in question and those around it, once it is recorded that they were looked at.
    ///
    /// # Errors
    /// As [`alivio_messages::Moderation::look`].
    pub async fn hearing(&self, hearing: Hearing) -> Result<HearingView, Error> {
        let Hearing { report, messages } = hearing;
        let page = Page { items: messages, next_cursor: None };
        let shown = self.shown(History { page, marks: Vec::new(), aftermath: HashMap::new() }).await?;
        Ok(HearingView { report, messages: shown.items })
    }

    /// Shows a part of the log.
    ///
    /// # Errors
    /// Not found.
    pub async fn history(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        query: &LogQuery,
    ) -> Result<Page<MessageView>, Error> {
        let mut history = self.messages.history(caller, conversation, query).await?;
        self.silence.hush(caller, conversation, &mut history.marks).await?;
        self.shown(history).await
    }

    /// Leaves of each the marks that the caller may see.
    async fn hush(&self, caller: &Caller, entries: &mut [Entry]) -> Result<(), Error> {
        let direct = |entry: &&Entry| entry.conversation.kind == Kind::Direct;
        let others: Vec<_> = entries
            .iter()
            .filter(direct)
            .flat_map(|entry| entry.conversation.participants.iter().map(|p| p.user_id))
            .filter(|user| *user != caller.user_id)
            .collect();
        let silent = self.silence.between(caller, &others).await?;
        for Entry { conversation, marks, .. } in entries {
            let is_blocked = conversation.kind == Kind::Direct
                && conversation.participants.iter().any(|p| silent.contains(&p.user_id));
            Marks::hide(marks, caller.user_id, is_blocked, conversation.settings.read_receipts);
        }
        Ok(())
    }

    /// Shows what was read of the log.
    pub(crate) async fn shown(&self, history: History) -> Result<Page<MessageView>, Error> {
        let History { page: Page { items, next_cursor }, marks, mut aftermath } = history;
        let senders = named(&items);
        let reactors = aftermath.values().flat_map(reactors);
        let people: HashSet<_> = senders.into_iter().chain(reactors).collect();
        let people = self.people.summaries(people).await?;
        let items = items.into_iter().filter_map(|message| {
            let aftermath = aftermath.remove(&message.id).unwrap_or_default();
            show(message, &people, &marks, aftermath)
        });
        let mut items: Vec<_> = items.collect();
        self.mentions.name(&mut items).await?;
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
            Some(LastMessage { view: show(message, people, &marks, Aftermath::default())?, is_read })
        });
        let (is_open, notifies) = (conversation.is_open(now), conversation.mine.notifies(now));
        ConversationView { conversation, participants, unread, last_message, is_open, notifies }
    }
}

fn show(
    message: Message,
    people: &HashMap<UserId, Arc<UserSummary>>,
    marks: &[Marks],
    aftermath: Aftermath,
) -> Option<MessageView> {
    let status = delivery_status(message.seq, message.sender_id, marks);
    let view = MessageView::of(message, people, status)?;
    let Aftermath { rewordings, reactions, read_by } = aftermath;
    let named = |(user, at)| Some((Arc::clone(people.get(&user)?), at));
    let reactions = reactions.into_iter().map(|Reacted { emoji, count, people }| ReactionView {
        emoji,
        count,
        people: people.into_iter().filter_map(named).collect(),
    });
    Some(MessageView { rewordings, reactions: reactions.collect(), read_by, ..view })
}

fn reactors(aftermath: &Aftermath) -> impl Iterator<Item = UserId> + '_ {
    aftermath.reactions.iter().flat_map(|reacted| reacted.people.iter().map(|(user, _)| *user))
}

/// A message as everyone in its conversation may see it.
pub(crate) async fn changed_view(
    people: &PeopleDirectory,
    mentions: &Mentions,
    changed: Changed,
) -> Result<MessageView, Error> {
    let Changed { message, aftermath, marks } = changed;
    let everyone = named(std::slice::from_ref(&message)).into_iter().chain(reactors(&aftermath));
    let people = people.summaries(everyone.collect::<HashSet<_>>()).await?;
    let mut view = show(message, &people, &marks, aftermath).ok_or(alivio_messages::Error::NotFound)?;
    mentions.name([&mut view]).await?;
    Ok(view)
}
