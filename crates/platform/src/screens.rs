//! What several domains show together.

use std::collections::HashMap;
use std::sync::Arc;

use alivio_accounts::UserSummary;
use alivio_conversations::{Conversation, Participant};
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Caller, Page};
use alivio_messages::{
    ConversationDigest, DeliveryStatus, HistoryQuery, Marks, Message, Messages, delivery_status,
};
use chrono::{DateTime, Utc};

use crate::Error;
use crate::live::Hub;
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
}

/// Shows conversations and messages with the people in them.
#[derive(Clone)]
pub struct Screens {
    people: PeopleDirectory,
    messages: Messages,
    hub: Arc<Hub>,
}

impl Screens {
    pub(crate) const fn new(people: PeopleDirectory, messages: Messages, hub: Arc<Hub>) -> Self {
        Self { people, messages, hub }
    }

    /// Shows `conversations`, which the caller is in, in two queries however many they are.
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
        let members = conversations.iter().flat_map(|c| c.participants.iter().map(|p| p.user_id));
        let senders = digests.values().filter_map(|d| d.last.as_ref().map(|m| m.sender_id));
        let people =
            self.people.summaries(members.chain(senders).collect::<std::collections::HashSet<_>>()).await?;
        let view = |c: Conversation| self.view(caller, digests.remove(&c.id), &people, c);
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
            let marks = self.messages.position(caller, message.conversation_id).await?.marks;
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
        let history = self.messages.history(caller, conversation, query).await?;
        let senders: std::collections::HashSet<_> = history.page.items.iter().map(|m| m.sender_id).collect();
        let people = self.people.summaries(senders).await?;
        let Page { items, next_cursor } = history.page;
        let items = items.into_iter().filter_map(|m| show(m, &people, &history.marks)).collect();
        Ok(Page { items, next_cursor })
    }

    fn view(
        &self,
        caller: &Caller,
        digest: Option<ConversationDigest>,
        people: &HashMap<UserId, Arc<UserSummary>>,
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
                    is_online: self.hub.is_online(user),
                    last_seen_at: person.last_seen_at,
                    can_leave: conversation.can_leave(user),
                    person,
                })
            })
            .collect();
        let read_up_to = marks.iter().find(|m| m.user_id == caller.user_id).map_or(0, |m| m.read_up_to);
        let last_message = last.and_then(|message| {
            let is_read = message.sender_id == caller.user_id || message.seq <= read_up_to;
            Some(LastMessage { view: show(message, people, &marks)?, is_read })
        });
        ConversationView { conversation, participants, unread, last_message }
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
