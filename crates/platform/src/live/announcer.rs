use std::sync::Arc;

use alivio_messages::{DeliveryStatus, LiveFeed, Mark, MarksMoved, Message, Rooms};
use async_trait::async_trait;

use super::{Happening, Hub, Silence};
use crate::people::PeopleDirectory;
use crate::{Error, MessageView};

/// Tells the hub what the messages domain has made true.
pub(crate) struct LiveAnnouncer {
    hub: Arc<Hub>,
    people: PeopleDirectory,
    silence: Arc<Silence>,
    rooms: Arc<dyn Rooms>,
}

impl LiveAnnouncer {
    pub(crate) const fn new(
        hub: Arc<Hub>,
        people: PeopleDirectory,
        silence: Arc<Silence>,
        rooms: Arc<dyn Rooms>,
    ) -> Self {
        Self { hub, people, silence, rooms }
    }
}

impl LiveAnnouncer {
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
        match self.people.summary(message.sender_id).await {
            Ok(sender) => {
                let view = MessageView { message: message.clone(), sender, status: DeliveryStatus::Sent };
                let what = Happening::MessageCreated { view, members_version };
                let frame = self.hub.frame(message.conversation_id, message.created_at, what);
                self.hub.publish(message.conversation_id, message.seq, frame);
            }
            // The message is safe; sockets see the gap at the next one and read both from the log.
            Err(error) => tracing::warn!(error = %error, "live.message_not_announced"),
        }
    }

    async fn marks_moved(&self, moved: &MarksMoved) {
        let conversation = moved.conversation_id;
        if !self.hub.has_audience(conversation) {
            return;
        }
        let frame = self.hub.frame(conversation, moved.at, Happening::MarksMoved(*moved));
        match self.is_kept_back(moved).await {
            Ok(false) => self.hub.tell_topic(conversation, &frame),
            // Their own devices may know.
            Ok(true) => self.hub.tell_own(conversation, moved.marks.user_id, &frame),
            Err(error) => {
                tracing::warn!(error = %error, "live.receipt_not_announced");
                self.hub.tell_own(conversation, moved.marks.user_id, &frame);
            }
        }
    }
}
