use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alivio_accounts::ChosenPresence;
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{Caller, FieldError, PageSize, Rule};
use alivio_messages::{Anchor, Changed, Content, Draft, Emoji, Error, Mark, Moved, Position, Rooms, Sent};

use super::hub::Socket;
use super::nodes::Hint;
use super::{Frame, Happening, Inbox};
use crate::Platform;

/// What to do with an event that the hub brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Deliver,
    /// It was sent before, or is not for this device.
    Drop,
    /// Something is missing before it, or membership has changed: [`LiveSession::catch_up`].
    Behind(ConversationId),
    /// Membership has changed: [`LiveSession::catch_up`], and judge it again.
    Unsure(ConversationId),
}

/// How far a device has come in a conversation.
struct Subscription {
    /// It may read from here on.
    joined_seq: i64,
    /// It has everything up to here.
    cursor: i64,
    /// Membership was last checked at this version.
    members_version: i64,
}

/// One device's view of what happens: nothing missed, nothing twice, in order, nothing it may not see.
pub struct LiveSession {
    caller: Caller,
    platform: Platform,
    socket: Arc<Socket>,
    subscriptions: HashMap<ConversationId, Subscription>,
    /// Where the hub knows the socket: also where it has not been admitted yet.
    topics: HashSet<ConversationId>,
}

impl LiveSession {
    /// Connects a device of the caller.
    pub fn connect(platform: Platform, caller: Caller) -> (Self, Inbox) {
        let (socket, inbox) = platform.hub.connect(&caller);
        platform.presence.arrived(caller.user_id);
        (Self { caller, platform, socket, subscriptions: HashMap::new(), topics: HashSet::new() }, inbox)
    }

    /// Who is connected.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Notes that the device does something: [`Platform::touch`].
    ///
    /// # Errors
    /// [`alivio_accounts::Error::SessionEnded`].
    pub async fn touch(&self) -> Result<(), alivio_accounts::Error> {
        self.platform.touch(&self.caller).await
    }

    /// Whether the session goes on, to be asked now and then: [`alivio_accounts::Accounts::still_lives`].
    pub fn check(&self) -> impl Future<Output = Result<bool, alivio_accounts::Error>> + use<> {
        let (accounts, caller) = (self.platform.accounts.clone(), self.caller);
        async move { accounts.still_lives(&caller).await }
    }

    /// Listens to `conversations` from now on: all of them or, if one is not theirs, none.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn subscribe(
        &mut self,
        conversations: &[ConversationId],
    ) -> Result<Vec<(ConversationId, Position)>, Error> {
        let mut positions = Vec::with_capacity(conversations.len());
        let mut news = Vec::new();
        for &conversation in conversations {
            let known = self.subscriptions.contains_key(&conversation);
            match self.listen(conversation).await {
                Ok(position) => {
                    if !known {
                        self.admit(conversation, position.last_seq, &position);
                        news.push(conversation);
                    }
                    positions.push((conversation, position));
                }
                Err(error) => {
                    self.unsubscribe(&news);
                    return Err(error);
                }
            }
        }
        Ok(positions)
    }

    /// Stops listening to `conversations`.
    pub fn unsubscribe(&mut self, conversations: &[ConversationId]) {
        for conversation in conversations {
            self.subscriptions.remove(conversation);
            self.topics.remove(conversation);
            self.platform.hub.leave(*conversation, &self.socket);
        }
    }

    /// Listens to `conversation` for a device that has everything up to `last_seq`. What it missed is then
    /// to be fetched by [`LiveSession::missed`].
    ///
    /// # Errors
    /// [`Error::NotFound`]; a field error if the log has not come that far.
    pub async fn resume(&mut self, conversation: ConversationId, last_seq: i64) -> Result<Position, Error> {
        let position = self.listen(conversation).await?;
        if !(0..=position.last_seq).contains(&last_seq) {
            if !self.subscriptions.contains_key(&conversation) {
                self.unsubscribe(&[conversation]);
            }
            return Err(
                FieldError::new("last_seq", Rule::OutOfRange { min: 0, max: position.last_seq }).into()
            );
        }
        self.admit(conversation, last_seq, &position);
        Ok(position)
    }

    /// The next events that the device does not have; none when it has them all.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the device no longer listens or may not.
    pub async fn missed(&mut self, conversation: ConversationId) -> Result<Vec<Arc<Frame>>, Error> {
        let subscription = self.subscriptions.get(&conversation).ok_or(Error::NotFound)?;
        let (cursor, members_version) = (subscription.cursor, subscription.members_version);
        let size = PageSize::parse(None, 100)?;
        let missed = match self.platform.messages.replay(&self.caller, conversation, cursor, size).await {
            Err(Error::NotFound) => {
                self.unsubscribe(&[conversation]);
                return Err(Error::NotFound);
            }
            missed => missed?,
        };
        let page = self.platform.screens.shown(missed).await;
        let page = page.map_err(|e| Error::Unavailable(Box::new(e)))?;
        let mut frames = Vec::with_capacity(page.items.len());
        for view in page.items {
            let (seq, at) = (view.message.seq, view.message.created_at);
            let what = Happening::MessageCreated { view: Arc::new(view), members_version };
            frames.push(self.platform.hub.frame(conversation, at, what));
            if let Some(subscription) = self.subscriptions.get_mut(&conversation) {
                subscription.cursor = seq;
            }
        }
        Ok(frames)
    }

    /// Judges an event that the hub brought, and takes note of it.
    pub fn accept(&mut self, frame: &Frame) -> Verdict {
        let me = self.caller.user_id;
        let Some(conversation) = frame.conversation_id else {
            // Of a person, to those who may know.
            return Verdict::Deliver;
        };
        let subscription = self.subscriptions.get_mut(&conversation);
        match (&frame.what, subscription) {
            (Happening::MessageCreated { view, members_version }, Some(subscription)) => {
                let seq = view.message.seq;
                if seq <= subscription.cursor {
                    Verdict::Drop
                } else if seq > subscription.cursor + 1 || *members_version > subscription.members_version {
                    Verdict::Behind(conversation)
                } else {
                    subscription.cursor = seq;
                    Verdict::Deliver
                }
            }
            (Happening::MessageChanged { view, members_version, .. }, Some(subscription)) => {
                let seq = view.message.seq;
                if *members_version > subscription.members_version {
                    Verdict::Unsure(conversation)
                } else if seq < subscription.joined_seq {
                    Verdict::Drop
                } else if seq > subscription.cursor {
                    // It reads the message from the log, as it is now.
                    Verdict::Behind(conversation)
                } else {
                    Verdict::Deliver
                }
            }
            (Happening::Typing { person, .. }, Some(_)) if person.id != me => Verdict::Deliver,
            (Happening::MarksMoved(_), Some(_)) => Verdict::Deliver,
            (Happening::ParticipantRemoved { person, .. }, subscription) => {
                let listens = subscription.is_some();
                if person.id == me {
                    self.unsubscribe(&[conversation]);
                    return Verdict::Deliver;
                }
                if listens { Verdict::Deliver } else { Verdict::Drop }
            }
            // The one who came is told on every device; with two ways to hear it, once is enough.
            (Happening::ParticipantJoined { person, .. }, subscription) => {
                if subscription.is_some() != (person.id == me) { Verdict::Deliver } else { Verdict::Drop }
            }
            (
                Happening::ConversationCreated { .. }
                | Happening::ConversationUpdated { .. }
                | Happening::BreakGlass { .. }
                | Happening::EmergencyPaged { .. }
                | Happening::EmergencyAcknowledged { .. }
                | Happening::EmergencyResolved { .. },
                _,
            ) => Verdict::Deliver,
            _ => Verdict::Drop,
        }
    }

    /// Checks membership anew, before what is missing is fetched by [`LiveSession::missed`].
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller is no longer in it; the device then no longer listens.
    pub async fn catch_up(&mut self, conversation: ConversationId) -> Result<(), Error> {
        match self.platform.messages.position(&self.caller, conversation).await {
            Ok(position) => {
                if let Some(subscription) = self.subscriptions.get_mut(&conversation) {
                    subscription.members_version = position.members_version;
                    subscription.joined_seq = position.joined_seq;
                    // Someone who was away and came back reads from where they came back.
                    subscription.cursor = subscription.cursor.max(position.joined_seq - 1);
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::NotFound) {
                    self.unsubscribe(&[conversation]);
                }
                Err(error)
            }
        }
    }

    /// What the device can do while it listens.
    pub fn desk(&self) -> Desk {
        Desk { caller: self.caller, platform: self.platform.clone(), socket: Arc::clone(&self.socket) }
    }

    /// Those of the people in `positions` whom the caller sees online. None, if that cannot be told now.
    pub async fn online(&self, positions: &[(ConversationId, Position)]) -> HashSet<UserId> {
        let people: HashSet<_> =
            positions.iter().flat_map(|(_, position)| position.marks.iter().map(|m| m.user_id)).collect();
        let people: Vec<_> = people.into_iter().collect();
        match self.platform.presence.online(&self.caller, &people).await {
            Ok(online) => online.into_iter().collect(),
            Err(error) => {
                tracing::warn!(error = %error, "live.presence_not_shown");
                HashSet::new()
            }
        }
    }

    /// Listens first and asks where the log is second: what comes in between is in the queue.
    async fn listen(&mut self, conversation: ConversationId) -> Result<Position, Error> {
        let known = self.subscriptions.contains_key(&conversation);
        self.topics.insert(conversation);
        self.platform.hub.join(conversation, &self.socket);
        match self.position(conversation).await {
            Ok(position) => Ok(position),
            Err(error) => {
                if !known {
                    self.unsubscribe(&[conversation]);
                }
                Err(error)
            }
        }
    }

    /// Where the caller stands in it, with the marks that they may see.
    async fn position(&self, conversation: ConversationId) -> Result<Position, Error> {
        let mut position = self.platform.messages.position(&self.caller, conversation).await?;
        let hushed = self.platform.silence.hush(&self.caller, conversation, &mut position.marks).await;
        hushed.map_err(|e| Error::Unavailable(Box::new(e)))?;
        Ok(position)
    }

    fn admit(&mut self, conversation: ConversationId, last_seq: i64, position: &Position) {
        let cursor = last_seq.max(position.joined_seq - 1);
        let members_version = position.members_version;
        let joined_seq = position.joined_seq;
        self.subscriptions.insert(conversation, Subscription { joined_seq, cursor, members_version });
    }
}

/// What a device does without regard to how far it has come: it goes on receiving meanwhile.
pub struct Desk {
    caller: Caller,
    platform: Platform,
    socket: Arc<Socket>,
}

impl Desk {
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

impl Drop for LiveSession {
    fn drop(&mut self) {
        let topics = std::mem::take(&mut self.topics).into_iter();
        self.platform.hub.disconnect(&self.socket, topics);
        self.platform.presence.departed(self.caller.user_id);
    }
}
