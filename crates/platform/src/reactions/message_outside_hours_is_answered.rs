use alivio_conversations::Hours;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_messages::{MessageOutsideHours, Quiet, SystemEvent};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::automated::{Announcements, outside_hours};

/// Answers a message that was written while it was closed, once in each closed period of a conversation.
pub(super) struct React {
    hours: Hours,
    announcements: Announcements,
}

impl React {
    pub(super) const fn new(hours: Hours, announcements: Announcements) -> Self {
        Self { hours, announcements }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        MessageOutsideHours::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let sent: MessageOutsideHours = event.read()?;
        if sent.quiet != Quiet::Answered {
            return Ok(());
        }
        let Some(closed) = self.hours.at(sent.conversation_id, event.at).await? else { return Ok(()) };
        let Some(answers_for) = closed.answers_for.filter(|_| !closed.is_open) else { return Ok(()) };
        // A closed period ends when it opens: that names it.
        let period = closed.next_open_at.map_or_else(|| "never".to_owned(), |at| at.timestamp().to_string());
        let opens = closed.next_open_at.map(|at| closed.zone.wall_moment(at));
        let words = |language| outside_hours(language, opens.as_deref(), closed.zone.as_str());
        let name = format!("closed_until:{period}");
        let (people, happened) = ((answers_for, sent.sender_id), SystemEvent::new("written_outside_hours"));
        self.announcements.say(sent.conversation_id, people, &name, happened, words).await
    }
}
