use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{Caller, FieldError, Page, PageSize, Rule};
use alivio_messages::{Change, Error, History, Position, Revised, RevisedQuery};
use futures_util::future::try_join_all;

use super::hub::Socket;
use super::{ComeBack, Desk, Entry, Frame, Happening, Inbox};
use crate::Platform;

/// What to do with an event that the hub brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Deliver,
    /// It was sent before, or is not for this device.
    Drop,
    /// Something is missing before it, or membership has changed: [`LiveSession::catch_up`], and what was missed.
    Behind(ConversationId),
    /// Membership has changed: [`LiveSession::catch_up`], and judge it again.
    Unsure(ConversationId),
}

/// How far a device has come in a conversation.
struct Subscription {
    /// It may read from here on.
    joined_seq: i64,
    /// It has every message up to here.
    cursor: i64,
    /// There are messages up to here at least. What came after was brought by the hub, or will be.
    last_seq: i64,
    /// It has every change up to here.
    revision: i64,
    /// There are changes up to here at least.
    last_revision: i64,
    /// Membership was last checked at this version.
    members_version: i64,
}

/// How a device goes on in a conversation.
pub struct Resumed {
    /// Where the conversation stands.
    pub position: Position,
    /// To be told first: the device knows more than there is, and goes on from the newest entry.
    pub gap: Option<Arc<Frame>>,
}

/// One device's view of what happens: nothing missed, nothing twice, in order, nothing it may not see.
///
/// Messages and changes of messages are numbered apart, and the device comes from one to the next in both rows. What the
/// hub did not bring is read from the log, **changes first, then messages**. A change is told of a message that the device
/// has; later messages are read after that, and thus with all changes that were read. Were it the other way round, a message
/// could come in between: the hub shows it as it was sent, and its change has been passed over.
pub struct LiveSession {
    caller: Caller,
    platform: Arc<Platform>,
    socket: Arc<Socket>,
    subscriptions: HashMap<ConversationId, Subscription>,
    /// Where the hub knows the socket: also where it has not been admitted yet.
    topics: HashSet<ConversationId>,
}

impl LiveSession {
    /// Connects a device of the caller, unless they have as many as `most` (WS-09).
    ///
    /// Of those on other nodes this one knows what they told: on each node there are never more, and on all of them
    /// together only if several connect to different ones in the same moment, or nodes do not hear each other.
    pub fn connect(platform: Arc<Platform>, caller: Caller, most: NonZeroUsize) -> Option<(Self, Inbox)> {
        let most = most.get().saturating_sub(platform.presence.elsewhere().devices(caller.user_id));
        let (socket, inbox) = platform.hub.connect(&caller, most)?;
        platform.presence.arrived(caller.user_id);
        let session =
            Self { caller, platform, socket, subscriptions: HashMap::new(), topics: HashSet::new() };
        Some((session, inbox))
    }

    /// Who is connected.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Which history of the installation this is.
    pub fn epoch(&self) -> Uuid {
        self.platform.epoch
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

    /// Waits to be let in, before [`LiveSession::subscribe`] and [`LiveSession::resume`].
    pub fn enter(&self) -> impl Future<Output = Result<Entry, ComeBack>> + use<> {
        let door = Arc::clone(&self.platform.door);
        async move { door.enter().await }
    }

    /// When a device that cannot be served now is to come back.
    pub fn later(&self) -> ComeBack {
        self.platform.door.later()
    }

    /// Listens to `conversations` from now on: all of them or, if one is not theirs, none.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn subscribe(
        &mut self,
        conversations: &[ConversationId],
    ) -> Result<Vec<(ConversationId, Position)>, Error> {
        let is_new = |id: &ConversationId| !self.subscriptions.contains_key(id);
        let news: Vec<_> = conversations.iter().copied().filter(is_new).collect();
        conversations.iter().for_each(|conversation| self.hear(*conversation));
        let asked = conversations.iter().map(|conversation| self.position(*conversation));
        let positions = match try_join_all(asked).await {
            Ok(positions) => positions,
            Err(error) => {
                self.unsubscribe(&news);
                return Err(error);
            }
        };
        let mut standings = Vec::with_capacity(conversations.len());
        for (&conversation, mut position) in conversations.iter().zip(positions) {
            if !self.subscriptions.contains_key(&conversation) {
                self.admit(conversation, (position.last_seq, position.last_revision), &position);
            }
            self.note_reached(conversation, &mut position);
            standings.push((conversation, position));
        }
        Ok(standings)
    }

    /// What is told when the session has ended, before the socket closes.
    pub fn revoked(&self, reason: &'static str) -> Arc<Frame> {
        let hub = &self.platform.hub;
        hub.frame(None, hub.now(), Happening::SessionRevoked { reason })
    }

    /// Stops listening to `conversations`.
    pub fn unsubscribe(&mut self, conversations: &[ConversationId]) {
        for conversation in conversations {
            self.subscriptions.remove(conversation);
            self.topics.remove(conversation);
            self.platform.hub.leave(*conversation, &self.socket);
        }
    }

    /// Listens to `conversation` for a device that has all messages up to `last_seq`, and all changes of them up to
    /// `last_revision`; what changed before is not told to one that does not say so. What it missed is then to be fetched
    /// by [`LiveSession::missed_changes`] and, after that, by [`LiveSession::missed`].
    ///
    /// A device that claims to have what there is not, or knows another epoch, has it from a log that was lost, before a
    /// backup was restored.
    ///
    /// # Errors
    /// [`Error::NotFound`]; a field error for what no device can have.
    pub async fn resume(
        &mut self,
        conversation: ConversationId,
        last_seq: i64,
        last_revision: Option<i64>,
        epoch: Option<Uuid>,
    ) -> Result<Resumed, Error> {
        for (field, number) in [("last_seq", Some(last_seq)), ("last_revision", last_revision)] {
            if number.is_some_and(|number| number < 0) {
                return Err(FieldError::new(field, Rule::OutOfRange { min: 0, max: i64::MAX }).into());
            }
        }
        let position = self.listen(conversation).await?;
        let end = (position.last_seq, position.last_revision);
        // Of a device that listens already there may be changes in the queue.
        let known = self.subscriptions.get(&conversation).map_or(end.1, |listening| listening.revision);
        let reached = (last_seq, last_revision.unwrap_or(known));
        let is_of_another = epoch.is_some_and(|epoch| epoch != self.platform.epoch);
        let is_lost = is_of_another || reached.0 > end.0 || reached.1 > end.1;
        self.admit(conversation, if is_lost { end } else { reached }, &position);
        let what = Happening::Gap { last_seq: end.0, last_revision: end.1 };
        let gap = is_lost.then(|| self.platform.hub.frame(conversation, self.platform.hub.now(), what));
        Ok(Resumed { position, gap })
    }

    /// Says in `position` how far the device has come.
    pub fn note_reached(&self, conversation: ConversationId, position: &mut Position) {
        if let Some(subscription) = self.subscriptions.get(&conversation) {
            position.last_seq = subscription.cursor;
            position.last_revision = subscription.revision;
        }
    }

    /// The next changes that the device does not have, of the messages that it has, each message as it is now; `None` when
    /// it has them all.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the device no longer listens or may not.
    pub async fn missed_changes(
        &mut self,
        conversation: ConversationId,
    ) -> Result<Option<Vec<Arc<Frame>>>, Error> {
        let subscription = self.subscriptions.get(&conversation).ok_or(Error::NotFound)?;
        if subscription.revision >= subscription.last_revision {
            return Ok(None);
        }
        let members_version = subscription.members_version;
        let query = RevisedQuery {
            after: subscription.revision,
            up_to_seq: subscription.cursor,
            size: PageSize::parse(None, 100)?,
        };
        let revised = match self.platform.messages.revised(&self.caller, conversation, &query).await {
            Err(Error::NotFound) => {
                self.unsubscribe(&[conversation]);
                return Err(Error::NotFound);
            }
            revised => revised?,
        };
        let Revised { messages, aftermath, reached, last_revision } = revised;
        let marks = if messages.is_empty() { Vec::new() } else { self.position(conversation).await?.marks };
        let page = Page { items: messages, next_cursor: None };
        let page = self.platform.screens.shown(History { page, marks, aftermath }).await;
        let page = page.map_err(|e| Error::Unavailable(Box::new(e)))?;
        let (hub, now) = (&self.platform.hub, self.platform.hub.now());
        let frames = page.items.into_iter().map(|view| {
            let (revision, gone_at) = (view.message.revision, view.message.deleted_at);
            let change = if gone_at.is_some() { Change::Deleted } else { Change::Edited };
            let (actor, view) = (view.message.deleted_by, Arc::new(view));
            let what = Happening::MessageChanged { change, revision, actor, view, members_version };
            hub.frame(conversation, gone_at.unwrap_or(now), what)
        });
        let frames = frames.collect();
        if let Some(subscription) = self.subscriptions.get_mut(&conversation) {
            subscription.revision = reached;
            subscription.last_revision = last_revision;
        }
        Ok(Some(frames))
    }

    /// The next messages that the device does not have; none when it has them all.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the device no longer listens or may not.
    pub async fn missed(&mut self, conversation: ConversationId) -> Result<Vec<Arc<Frame>>, Error> {
        let subscription = self.subscriptions.get(&conversation).ok_or(Error::NotFound)?;
        let (cursor, members_version) = (subscription.cursor, subscription.members_version);
        if cursor >= subscription.last_seq {
            return Ok(Vec::new());
        }
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
            (Happening::MessageChanged { view, revision, members_version, .. }, Some(subscription)) => {
                let seq = view.message.seq;
                if *revision <= subscription.revision {
                    Verdict::Drop
                } else if *members_version > subscription.members_version {
                    Verdict::Unsure(conversation)
                } else if *revision > subscription.revision + 1 || seq > subscription.cursor {
                    Verdict::Behind(conversation)
                } else {
                    subscription.revision = *revision;
                    if seq < subscription.joined_seq { Verdict::Drop } else { Verdict::Deliver }
                }
            }
            (Happening::Typing { person, .. }, Some(_)) if person.id != me => Verdict::Deliver,
            (Happening::MarksMoved(_) | Happening::Gathered(_), Some(_)) => Verdict::Deliver,
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
                Happening::UnreadChanged { .. }
                | Happening::ConversationCreated { .. }
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

    /// Checks membership anew, before what is missing is fetched by [`LiveSession::missed_changes`] and
    /// [`LiveSession::missed`].
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller is no longer in it; the device then no longer listens.
    pub async fn catch_up(&mut self, conversation: ConversationId) -> Result<(), Error> {
        match self.platform.messages.position(&self.caller, conversation).await {
            Ok(position) => {
                if let Some(subscription) = self.subscriptions.get_mut(&conversation) {
                    subscription.members_version = position.members_version;
                    subscription.joined_seq = position.joined_seq;
                    subscription.last_revision = position.last_revision;
                    subscription.last_seq = position.last_seq;
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
        Desk::new(self.caller, Arc::clone(&self.platform), Arc::clone(&self.socket))
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
        self.hear(conversation);
        let position = self.position(conversation).await;
        if position.is_err() && !known {
            self.unsubscribe(&[conversation]);
        }
        position
    }

    fn hear(&mut self, conversation: ConversationId) {
        self.topics.insert(conversation);
        self.platform.hub.join(conversation, &self.socket);
    }

    /// Where the caller stands in it, with the marks that they may see.
    async fn position(&self, conversation: ConversationId) -> Result<Position, Error> {
        self.platform.messages.position(&self.caller, conversation).await
    }

    /// Lets a device listen that has messages and changes up to `reached`.
    fn admit(&mut self, conversation: ConversationId, reached: (i64, i64), position: &Position) {
        let subscription = Subscription {
            joined_seq: position.joined_seq,
            cursor: reached.0.max(position.joined_seq - 1),
            last_seq: position.last_seq,
            revision: reached.1,
            last_revision: position.last_revision,
            members_version: position.members_version,
        };
        self.subscriptions.insert(conversation, subscription);
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        let topics = std::mem::take(&mut self.topics).into_iter();
        self.platform.hub.disconnect(&self.socket, topics);
        self.platform.presence.departed(self.caller.user_id);
    }
}
