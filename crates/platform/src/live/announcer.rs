use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, ScheduledMessageId, UserId};
use alivio_messages::{Changed, LiveFeed, Mark, MarksMoved, Message, MessageChanged, Rooms, ScheduledState};
use async_trait::async_trait;

use super::{Happening, Hub, Silence};
use crate::mentions::Mentions;
use crate::people::PeopleDirectory;
use crate::screens::changed_view;
use crate::{Error, MessageView};

/// Tells the hub what the messages domain has made true.
pub(crate) struct LiveAnnouncer {
    hub: Arc<Hub>,
    people: PeopleDirectory,
    mentions: Mentions,
    silence: Arc<Silence>,
    rooms: Arc<dyn Rooms>,
}

impl LiveAnnouncer {
    pub(crate) const fn new(
        hub: Arc<Hub>,
        people: PeopleDirectory,
        mentions: Mentions,
        silence: Arc<Silence>,
        rooms: Arc<dyn Rooms>,
    ) -> Self {
        Self { hub, people, mentions, silence, rooms }
    }
}

impl LiveAnnouncer {
    /// What others see of it, if that is less: not how far someone has read, where that is not shown.
    async fn shown(&self, moved: &MarksMoved) -> Option<MarksMoved> {
        let is_shown =
            matches!(self.rooms.room(moved.conversation_id).await, Ok(Some(room)) if room.read_receipts);
        let mut shown = *moved;
        shown.marks.read_up_to = 0;
        (!is_shown).then_some(shown)
    }

    /// Whether the others are not to know: a block stands between the two, or it is not shown who has read what (S0-36).
    async fn is_kept_back(&self, moved: &MarksMoved) -> Result<bool, Error> {
        let room = self.rooms.room(moved.conversation_id).await?;
        let shown = room.is_some_and(|room| room.read_receipts) || moved.mark == Mark::Delivered;
        Ok(!shown || self.silence.holds(moved.conversation_id).await?)
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

    async fn message_changed(&self, changed: MessageChanged) {
        let MessageChanged { change, revision, actor, at, message, aftermath, marks, members_version } =
            changed;
        let conversation = message.conversation_id;
        if !self.hub.has_audience(conversation) {
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
        let what = Happening::UnreadChanged { user_id: user, unread };
        let frame = self.hub.frame(conversation, self.hub.now(), what);
        self.hub.tell_people(&[user], &frame);
    }

    async fn marks_moved(&self, moved: &MarksMoved) {
        let conversation = moved.conversation_id;
        if !self.hub.has_audience(conversation) {
            return;
        }
        let frame = self.hub.frame(conversation, moved.at, Happening::MarksMoved(*moved));
        match self.is_kept_back(moved).await {
            Ok(false) => match self.shown(moved).await {
                Some(shown) => {
                    let frame = self.hub.frame(conversation, moved.at, Happening::MarksMoved(shown));
                    self.hub.tell_topic(conversation, &frame);
                }
                None => self.hub.tell_topic(conversation, &frame),
            },
            // Their own devices may know.
            Ok(true) => self.hub.tell_own(conversation, moved.marks.user_id, &frame),
            Err(error) => {
                tracing::warn!(error = %error, "live.receipt_not_announced");
                self.hub.tell_own(conversation, moved.marks.user_id, &frame);
            }
        }
    }
}
