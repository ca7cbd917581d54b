use std::sync::Arc;

use alivio_messages::{DeliveryStatus, LiveFeed, MarksMoved, Message};
use async_trait::async_trait;

use super::{Happening, Hub};
use crate::MessageView;
use crate::people::PeopleDirectory;

/// Tells the hub what the messages domain has made true.
pub(crate) struct LiveAnnouncer {
    hub: Arc<Hub>,
    people: PeopleDirectory,
}

impl LiveAnnouncer {
    pub(crate) const fn new(hub: Arc<Hub>, people: PeopleDirectory) -> Self {
        Self { hub, people }
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
        let frame = self.hub.frame(moved.conversation_id, moved.at, Happening::MarksMoved(*moved));
        self.hub.tell_topic(moved.conversation_id, &frame);
    }
}
