//! What several domains show together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alivio_accounts::UserSummary;
use alivio_conversations::{Conversation, Kind, Participant};
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Caller, Page};
use alivio_messages::formatting::mentioned;
use alivio_messages::{
    ConversationDigest, DeliveryStatus, Hearing, History, HistoryQuery, Marks, Message, Messages, Report,
    delivery_status,
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
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Those in the conversation whom it names.
    pub mentioned: Vec<Arc<UserSummary>>,
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
}

/// Shows conversations and messages with the people in them.
#[derive(Clone)]
pub struct Screens {
    people: PeopleDirectory,
    mentions: Mentions,
    messages: Messages,
    presence: Arc<PresenceBoard>,
    silence: Arc<Silence>,
}

impl Screens {
    pub(crate) const fn new(
        people: PeopleDirectory,
        mentions: Mentions,
        messages: Messages,
        presence: Arc<PresenceBoard>,
        silence: Arc<Silence>,
    ) -> Self {
        Self { people, mentions, messages, presence, silence }
    }

    /// Shows `conversations`, which the caller is in, in a few queries however many they are.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn conversations(
        &self,
        caller: &Caller,
        conversations: Vec<Conversation>,
    ) -> Result<Vec<ConversationView>, Error> {
        let ids: Vec<ConversationId> = conversations.iter().map(|c| c.id).collect();
        let digests = self.messages.digests(caller, &ids).await?;
        let mut digests: HashMap<_, _> = digests.into_iter().map(|d| (d.conversation_id, d)).collect();
        self.hush(caller, &conversations, &mut digests).await?;
        let members = conversations.iter().flat_map(|c| c.participants.iter().map(|p| p.user_id));
        let senders = digests.values().filter_map(|d| d.last.as_ref().map(|m| m.sender_id));
        let members: std::collections::HashSet<_> = members.collect();
        let everyone = members.iter().copied().chain(senders).collect::<std::collections::HashSet<_>>();
        let people = self.people.summaries(everyone).await?;
        let members: Vec<_> = members.into_iter().collect();
        let mut seen = self.presence.seen(caller, &members).await?;
        seen.insert(caller.user_id, self.presence.own_in_passing(caller, &people));
        let view = |c: Conversation| Self::view(caller, digests.remove(&c.id), &people, &seen, c);
        Ok(conversations.into_iter().map(view).collect())
    }

    /// Shows one conversation.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn conversation(
        &self,
        caller: &Caller,
        conversation: Conversation,
    ) -> Result<ConversationView, Error> {
        let views = self.conversations(caller, vec![conversation]).await?;
        views.into_iter().next().ok_or(alivio_conversations::Error::NotFound.into())
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
        let mentioned = self.mentions.of(&message).await?;
        Ok(MessageView { message, sender, status, mentioned })
    }

    /// Shows a report with the message in question and those around it, once it is recorded that they were looked at.
    ///
    /// # Errors
    /// As [`alivio_messages::Moderation::look`].
    pub async fn hearing(&self, hearing: Hearing) -> Result<HearingView, Error> {
        let Hearing { report, messages } = hearing;
        let page = Page { items: messages, next_cursor: None };
        let shown = self.shown(History { page, marks: Vec::new() }, None).await?;
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
        query: &HistoryQuery,
    ) -> Result<Page<MessageView>, Error> {
        let mut history = self.messages.history(caller, conversation, query).await?;
        let participants = history.marks.iter().map(|marks| marks.user_id).collect();
        self.silence.hush(caller, conversation, &mut history.marks).await?;
        self.shown(history, Some(participants)).await
    }

    /// Takes the marks of the other out of the `digests` of direct conversations in which a block stands.
    async fn hush(
        &self,
        caller: &Caller,
        conversations: &[Conversation],
        digests: &mut HashMap<ConversationId, ConversationDigest>,
    ) -> Result<(), Error> {
        let direct = conversations.iter().filter(|c| c.kind == Kind::Direct);
        let others = direct.flat_map(|c| c.participants.iter().map(|p| (c.id, p.user_id)));
        let others: Vec<_> = others.filter(|(_, user)| *user != caller.user_id).collect();
        let people: Vec<_> = others.iter().map(|(_, user)| *user).collect();
        let silent = self.silence.between(caller, &people).await?;
        for (conversation, _) in others.iter().filter(|(_, user)| silent.contains(user)) {
            if let Some(digest) = digests.get_mut(conversation) {
                digest.marks.retain(|marks| marks.user_id == caller.user_id);
            }
        }
        Ok(())
    }

    /// Shows what was read of the log of a conversation of `participants`; without them, nobody is named.
    pub(crate) async fn shown(
        &self,
        history: History,
        participants: Option<HashSet<UserId>>,
    ) -> Result<Page<MessageView>, Error> {
        let senders: HashSet<_> = history.page.items.iter().map(|m| m.sender_id).collect();
        let people = self.people.summaries(senders).await?;
        let Page { items, next_cursor } = history.page;
        let participants = participants.unwrap_or_default();
        let mut shown = Vec::with_capacity(items.len());
        for message in items {
            let mentioned = self.mentions.among(&message, &participants).await?;
            shown.extend(show(message, &people, &history.marks, mentioned));
        }
        Ok(Page { items: shown, next_cursor })
    }

    fn view(
        caller: &Caller,
        digest: Option<ConversationDigest>,
        people: &HashMap<UserId, Arc<UserSummary>>,
        seen: &HashMap<UserId, Seen>,
        conversation: Conversation,
    ) -> ConversationView {
        let (unread, last, marks) = digest.map_or((0, None, Vec::new()), |d| (d.unread, d.last, d.marks));
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
                    can_leave: conversation.can_leave(user),
                    person,
                })
            })
            .collect();
        let read_up_to = marks.iter().find(|m| m.user_id == caller.user_id).map_or(0, |m| m.read_up_to);
        let last_message = last.and_then(|message| {
            let is_read = message.sender_id == caller.user_id || message.seq <= read_up_to;
            let named = mentioned(message.content.as_ref().map_or("", |content| content.as_str()));
            let member = |user: &UserId| conversation.participants.iter().any(|p| p.user_id == *user);
            let named = named.iter().filter(|user| member(user)).filter_map(|user| people.get(user).cloned());
            let named = named.collect();
            Some(LastMessage { view: show(message, people, &marks, named)?, is_read })
        });
        ConversationView { conversation, participants, unread, last_message }
    }
}

fn show(
    message: Message,
    people: &HashMap<UserId, Arc<UserSummary>>,
    marks: &[Marks],
    mentioned: Vec<Arc<UserSummary>>,
) -> Option<MessageView> {
    let sender = Arc::clone(people.get(&message.sender_id)?);
    let status = delivery_status(message.seq, message.sender_id, marks);
    Some(MessageView { message, sender, status, mentioned })
}
