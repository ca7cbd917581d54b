use alivio_kernel::ids::{ConversationId, MessageId};
use alivio_kernel::{Caller, FieldError, Rule};

use super::{Messages, Sent};
use crate::{ClientMessageId, Draft, Error, Message, MessageType, Payload};

/// The most conversations that one message is forwarded to at once.
pub const MAX_TARGETS: usize = 20;

/// What came of forwarding a message to one conversation.
#[derive(Debug)]
pub struct Forwarded {
    /// Which.
    pub conversation_id: ConversationId,
    /// The message there, or why there is none.
    pub outcome: Result<Sent, Error>,
}

impl Messages {
    /// Repeats a message in other conversations (S0-69, S4-154), each of which answers for itself. With a client
    /// message id this can be asked again.
    ///
    /// What was said about a patient goes only to those who were there, and to clinicians; what was said about a case
    /// stays there.
    ///
    /// # Errors
    /// [`Error::NotFound`] unless the caller can read it now; [`Error::ForwardingNotAllowed`] if it goes nowhere.
    pub async fn forward(
        &self,
        caller: &Caller,
        message: MessageId,
        targets: &[ConversationId],
        name: Option<&ClientMessageId>,
    ) -> Result<Vec<Forwarded>, Error> {
        let rule = match targets.len() {
            0 => Some(Rule::TooFew { min: 1 }),
            1..=MAX_TARGETS => None,
            _ => Some(Rule::TooMany { max: MAX_TARGETS }),
        };
        if let Some(rule) = rule {
            return Err(FieldError::new("conversation_ids", rule).into());
        }
        let source = self.message(caller, message).await?;
        if source.is_gone(self.ports.clock.now()) {
            return Err(Error::NotFound);
        }
        let from = self.ports.rooms.room(source.conversation_id).await?.ok_or(Error::NotFound)?;
        if from.is_case_discussion || source.message_type == MessageType::System {
            return Err(Error::ForwardingNotAllowed);
        }
        let mut done: Vec<Forwarded> = Vec::with_capacity(targets.len());
        for &to in targets {
            if done.iter().all(|forwarded| forwarded.conversation_id != to) {
                let outcome = self.forward_to(caller, &source, from.is_care, to, name).await;
                done.push(Forwarded { conversation_id: to, outcome });
            }
        }
        Ok(done)
    }

    async fn forward_to(
        &self,
        caller: &Caller,
        source: &Message,
        is_care: bool,
        to: ConversationId,
        name: Option<&ClientMessageId>,
    ) -> Result<Sent, Error> {
        self.position(caller, to).await?;
        let files = source.payload.iter().flat_map(Payload::attachments).map(|file| file.file_id);
        let payload = source.payload.clone().filter(|payload| payload.belongs_to().is_some());
        let draft = Draft {
            priority: source.priority,
            content: source.content.clone(),
            payload,
            attachments: files.collect(),
            client_message_id: name.cloned(),
            forwarded_from: Some(source.id),
            ..Draft::empty(source.message_type)
        };
        let stays = to == source.conversation_id || !is_care;
        if !stays && !self.ports.correspondents.may_know(source.conversation_id, to).await? {
            return self.sent_before(caller.user_id, to, &draft, Error::ForwardingNotAllowed).await;
        }
        self.send(caller, to, draft).await
    }
}
