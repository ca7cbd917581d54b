use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, MessageId, ScheduledMessageId, UserId};
use alivio_messages::{
    Change, Changed, LiveFeed, MarksMoved, Message, MessageChanged, NotedChange, Rooms, ScheduledState,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::hub::Note;
use super::nodes::{Hint, Nodes};
use super::receipts::Receipts;
use super::{Happening, Hub, Silence};
use crate::MessageView;
use crate::mentions::Mentions;
use crate::people::PeopleDirectory;
use crate::screens::changed_view;

/// Tells the hub what the messages domain has made true.
pub(crate) struct LiveAnnouncer {
    hub: Arc<Hub>,
    people: PeopleDirectory,
    mentions: Mentions,
    receipts: Arc<Receipts>,
}

impl LiveAnnouncer {
    pub(crate) fn new(
        hub: Arc<Hub>,
        people: PeopleDirectory,
        mentions: Mentions,
        silence: Arc<Silence>,
        rooms: Arc<dyn Rooms>,
    ) -> Self {
        let receipts = Arc::new(Receipts::new(Arc::clone(&hub), silence, rooms));
        Self { hub, people, mentions, receipts }
    }
}

#[async_trait]
impl LiveFeed for LiveAnnouncer {
    async fn message_created(&self, message: &Message, members_version: i64) {
        if !self.hub.has_audience(message.conversation_id) {
            return;
        }
        let view = MessageView::just_sent(&self.people, &self.mentions, message.clone()).await;
        match view {
            Ok(view) => {
                let view = Arc::new(view);
                let what = Happening::MessageCreated { view, members_version };
                let frame = self.hub.frame(message.conversation_id, message.created_at, what);
                self.hub.publish(message.conversation_id, message.seq, frame);
            }
            // The message is safe; sockets see the gap at the next one and read both from the log.
            Err(error) => tracing::warn!(error = %error, "live.message_not_announced"),
        }
    }

    async fn scheduled_changed(&self, sender: UserId, id: ScheduledMessageId, state: ScheduledState) {
        let what = Happening::ScheduledChanged { sender_id: sender, id, state };
        self.hub.tell_person(sender, what);
    }

    async fn draft_changed(&self, user: UserId, conversation: ConversationId) {
        let what = Happening::DraftChanged { user_id: user, conversation_id: conversation };
        self.hub.tell_person(user, what);
    }

    fn has_audience(&self, conversation: ConversationId) -> bool {
        self.hub.has_audience(conversation)
    }

    fn awaits(&self, change: &NotedChange) -> bool {
        let NotedChange { kind, conversation_id, message_id, seq, user_id, at, .. } = change;
        if kind == "message.created" {
            return self.hub.lacks(*conversation_id, *seq);
        }
        let note = Note { kind: kind.clone(), message: *message_id, user: *user_id, at: *at };
        self.hub.has_audience(*conversation_id) && !self.hub.has_noted(&note)
    }

    async fn message_changed(&self, changed: MessageChanged) {
        let MessageChanged { change, revision, actor, at, message, aftermath, marks, members_version } =
            changed;
        let conversation = message.conversation_id;
        let is_news = self.hub.note(note_of_change(change, message.id, actor, at));
        if !is_news || !self.hub.has_audience(conversation) {
            return;
        }
        let changed = Changed { message, aftermath, marks };
        match changed_view(&self.people, &self.mentions, changed).await {
            Ok(view) => {
                let what =
                    |view| Happening::MessageChanged { change, revision, actor, view, members_version };
                self.hub.publish_change(conversation, revision, at, what, view);
            }
            // The change is safe; sockets see the gap at the next one and read both from the log.
            Err(error) => tracing::warn!(error = %error, "live.change_not_announced"),
        }
    }

    async fn unread_changed(&self, user: UserId, conversation: ConversationId, unread: i64) {
        self.hub.tell_unread(user, conversation, unread);
    }

    async fn marks_moved(&self, moved: &MarksMoved) {
        let conversation = moved.conversation_id;
        let kind = format!("receipt.{}", moved.mark.as_str());
        let note = Note { kind, message: moved.message_id, user: Some(moved.marks.user_id), at: moved.at };
        if !self.hub.note(note) || !self.hub.has_audience(conversation) {
            return;
        }
        self.receipts.tell(moved).await;
    }
}

fn note_of_change(change: Change, message: MessageId, user: Option<UserId>, at: DateTime<Utc>) -> Note {
    Note { kind: change.kind().to_owned(), message, user, at }
}

/// Tells the hub of what was done here, and the other nodes that there is something to look at.
pub(crate) struct Announcing {
    here: Arc<dyn LiveFeed>,
    nodes: Nodes,
}

impl Announcing {
    pub(crate) const fn new(here: Arc<dyn LiveFeed>, nodes: Nodes) -> Self {
        Self { here, nodes }
    }
}

#[async_trait]
impl LiveFeed for Announcing {
    async fn message_created(&self, message: &Message, members_version: i64) {
        self.nodes.changed(message.conversation_id);
        self.here.message_created(message, members_version).await;
    }

    fn has_audience(&self, conversation: ConversationId) -> bool {
        self.here.has_audience(conversation)
    }

    fn awaits(&self, change: &NotedChange) -> bool {
        self.here.awaits(change)
    }

    async fn message_changed(&self, changed: MessageChanged) {
        self.nodes.changed(changed.message.conversation_id);
        self.here.message_changed(changed).await;
    }

    async fn marks_moved(&self, moved: &MarksMoved) {
        self.nodes.changed(moved.conversation_id);
        self.here.marks_moved(moved).await;
    }

    async fn scheduled_changed(&self, sender: UserId, id: ScheduledMessageId, state: ScheduledState) {
        self.nodes.say_of(sender, Hint::Scheduled { sender, id, state: state.as_str().to_owned() });
        self.here.scheduled_changed(sender, id, state).await;
    }

    async fn unread_changed(&self, user: UserId, conversation: ConversationId, unread: i64) {
        self.nodes.say_of(user, Hint::Unread { user, conversation, unread });
        self.here.unread_changed(user, conversation, unread).await;
    }

    async fn draft_changed(&self, user: UserId, conversation: ConversationId) {
        self.nodes.say_of(user, Hint::Draft { user, conversation });
        self.here.draft_changed(user, conversation).await;
    }
}
