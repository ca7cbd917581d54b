use std::sync::Arc;

use alivio_accounts::ChosenPresence;
use alivio_kernel::Caller;
use alivio_kernel::ids::{ConversationId, MessageId};
use alivio_messages::{Anchor, Changed, Content, Draft, Emoji, Error, Mark, Moved, Rooms, Sent};

use super::Happening;
use super::hub::Socket;
use super::nodes::Hint;
use crate::Platform;

/// What a device does without regard to how far it has come: it goes on receiving meanwhile.
pub struct Desk {
    caller: Caller,
    platform: Arc<Platform>,
    socket: Arc<Socket>,
}

impl Desk {
    pub(super) const fn new(caller: Caller, platform: Arc<Platform>, socket: Arc<Socket>) -> Self {
        Self { caller, platform, socket }
    }

    /// Notes that the device does something: [`Platform::touch`].
    ///
    /// # Errors
    /// [`alivio_accounts::Error::SessionEnded`].
    pub async fn touch(&self) -> Result<(), alivio_accounts::Error> {
        self.platform.touch(&self.caller).await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As [`alivio_messages::Messages::send`].
    pub async fn send(&self, conversation: ConversationId, draft: Draft) -> Result<Sent, Error> {
        self.platform.send(&self.caller, conversation, draft).await
    }

    /// Gives a message other words.
    ///
    /// # Errors
    /// As [`alivio_messages::Messages::edit`].
    pub async fn edit(
        &self,
        message: MessageId,
        content: Content,
        version: Option<u32>,
    ) -> Result<Changed, Error> {
        self.platform.edit(&self.caller, message, content, version).await
    }

    /// Takes a message back.
    ///
    /// # Errors
    /// As [`alivio_messages::Messages::delete`].
    pub async fn delete(&self, message: MessageId) -> Result<(), Error> {
        self.platform.delete(&self.caller, message).await
    }

    /// Sets or clears a reaction.
    ///
    /// # Errors
    /// As [`alivio_messages::Messages::react`].
    pub async fn react(&self, message: MessageId, emoji: Emoji, is_set: bool) -> Result<Changed, Error> {
        self.platform.react(&self.caller, message, emoji, is_set).await
    }

    /// Moves a mark.
    ///
    /// # Errors
    /// As [`alivio_messages::Messages::advance`].
    pub async fn advance(
        &self,
        conversation: ConversationId,
        mark: Mark,
        target: Anchor,
    ) -> Result<Moved, Error> {
        self.platform.advance(&self.caller, conversation, mark, target).await
    }

    /// Marks everything up to the newest of `messages` as read.
    ///
    /// # Errors
    /// [`Error::NotFound`] if none of them is in the conversation.
    pub async fn read_newest_of(
        &self,
        conversation: ConversationId,
        messages: &[MessageId],
    ) -> Result<Moved, Error> {
        let newest = self.platform.messages.newest_of(&self.caller, conversation, messages).await?;
        self.advance(conversation, Mark::Read, Anchor::Message(newest)).await
    }

    /// Shows the caller as `chosen` while they are connected.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn show_as(&self, chosen: ChosenPresence) -> Result<(), Error> {
        let shown = self.platform.choose_presence(&self.caller, chosen).await;
        shown.map_err(|e| Error::Unavailable(Box::new(e)))
    }

    /// Tells the others that the caller types, or has stopped. Nobody hears it while a block stands between the two
    /// of a direct conversation, or where it is not shown who types (S0-35).
    ///
    /// # Errors
    /// [`Error::NotFound`] unless the device listens to the conversation.
    pub async fn type_in(&self, conversation: ConversationId, is_typing: bool) -> Result<(), Error> {
        if !self.platform.hub.hears(conversation, &self.socket) {
            return Err(Error::NotFound);
        }
        let room = self.platform.rooms.room(conversation).await?.ok_or(Error::NotFound)?;
        let silenced = self.platform.silence.holds(conversation).await;
        if silenced.map_err(|e| Error::Unavailable(Box::new(e)))? || !room.typing_indicators {
            return Ok(());
        }
        let person = self.platform.people.summary(self.caller.user_id).await;
        let person = person.map_err(|e| Error::Unavailable(Box::new(e)))?;
        let what = Happening::Typing { person, is_typing };
        if self.platform.hub.tell_from(conversation, &self.socket, what) {
            let typing = Hint::Typing { conversation, user: self.caller.user_id, is_typing };
            self.platform.nodes.say(conversation.uuid(), typing);
            Ok(())
        } else {
            Err(Error::NotFound)
        }
    }
}
