//! The domains put together. The only crate that knows them all.
//!
//! Domains meet in four ways: by ids; by questions, which the asker's port states and `bridges` answers;
//! by consequences, one file each in `reactions`; and on `screens`, which show several at once.
//! [`live`] carries what happens to whoever is connected.

mod assembly;
pub mod automated;
mod bridges;
mod chores;
mod correspondence;
mod deliver;
mod error;
mod feed;
mod found;
mod housekeeping;
pub mod live;
mod mentions;
mod opening_hours;
mod people;
#[cfg(feature = "planted-bugs")]
mod planted;
mod ports;
mod reactions;
mod screens;
mod session_cache;
mod uninterrupted;
mod viewers;

use std::sync::Arc;

use alivio_accounts::{
    Accounts, Administration, Block, Blocks, ChosenPresence, Contacts, Directory, Invitations, Passwords,
    PresencePrivacy, Profiles, Registrations, SecondFactor,
};
use alivio_audit::{BreakGlass, Reading, Trail};
use alivio_conversations::{
    Called, Conversations, DetailsPatch, Emergencies, Hours, Inboxes, InvitationLinks, Titles,
};
use alivio_files::Files;
use alivio_kernel::ids::{ConversationId, GrantId, MessageId, ReportId, SessionId, UserId, Uuid};
use alivio_kernel::{Caller, Limiter, Page};
use alivio_messages::{
    Anchor, Changed, ClientMessageId, Content, CorrectionReason, Draft, Emoji, Forwarded, HistoryQuery, Mark,
    Marks, Messages, Moderation, Moved, Pass, Remark, ReportHeader, Retention, ReviewStep, Search, Sent,
    StoredMessage,
};
use alivio_notifications::{Mailbox, Notifications};
use alivio_outbox::Relay;
use moka::future::Cache;

pub use deliver::deliver;
pub use error::Error;
pub use feed::{ChangeView, ChangedState, FeedView};
pub use found::{FoundView, SearchView};
pub use housekeeping::{Chore, Housekeeping};
pub use people::PeopleDirectory;
pub use ports::{Dependency, Ports};
pub use screens::{
    ConversationView, FileView, HearingView, LastMessage, MessageView, ParticipantView, ReactionView, Screens,
};

use bridges::RoomsFromConversations;
use live::{Door, Fate, Fellowship, Hub, Nodes, PresenceBoard, Silence};
use mentions::Mentions;
use uninterrupted::uninterrupted;

/// The product: everything one can do, over the ports it was given.
#[derive(Clone)]
pub struct Platform {
    /// Who people are.
    pub accounts: Accounts,
    /// The second factor of a sign-in.
    pub second_factor: SecondFactor,
    /// How people sign up by themselves.
    pub registrations: Registrations,
    /// How those get accounts who may not.
    pub invitations: Invitations,
    /// How passwords are replaced.
    pub passwords: Passwords,
    /// Accounts, for those who manage them.
    pub administration: Administration,
    /// What people say of themselves.
    pub profiles: Profiles,
    /// Who finds whom.
    pub directory: Directory,
    /// Whom people know.
    pub contacts: Contacts,
    /// Whom people want nothing of. Raised and lifted by [`Platform::block`] and [`Platform::unblock`].
    pub blocks: Blocks,
    /// Who is here.
    pub presence: Arc<PresenceBoard>,
    /// Who did what to whose data.
    pub trail: Trail,
    /// Reading in an emergency.
    pub break_glass: BreakGlass,
    /// Who may talk to whom. What a conversation allows is changed by [`Platform::update_conversation`].
    pub conversations: Conversations,
    /// Links that let people into conversations.
    pub invitation_links: InvitationLinks,
    /// What people have not read. The inbox itself is on the [screens](Screens::inbox).
    pub inboxes: Inboxes<StoredMessage>,
    /// When patients may write.
    pub hours: Hours,
    /// Urgent help.
    pub emergencies: Emergencies,
    /// What was said.
    pub messages: Messages,
    /// What people hand each other.
    pub files: Files,
    /// What was reported of it, or flagged. Decided by [`Platform::decide`].
    pub moderation: Moderation,
    /// What conversations are called.
    pub titles: Titles,
    /// Finding what was said.
    pub search: Search,
    /// How long what was said is kept.
    pub retention: Retention,
    /// What several domains show together.
    pub screens: Screens,
    /// Whoever is connected.
    pub hub: Arc<Hub>,
    /// What to tell people by mail. Reactions do so by [`deliver`].
    pub notifications: Notifications,
    /// How often one may ask.
    pub limiter: Arc<dyn Limiter>,
    /// Where that mail can be read, if it goes nowhere.
    pub mailbox: Option<Arc<dyn Mailbox>>,
    /// Names of people, for events.
    pub people: PeopleDirectory,
    /// Which history of the installation this is. A device that knows another one begins anew.
    pub epoch: Uuid,
    /// Where devices wait that come back.
    door: Arc<Door>,
    /// The other nodes.
    nodes: Nodes,
    /// Who is named in messages.
    mentions: Mentions,
    /// What we depend on, for health checks.
    pub dependencies: Arc<[Arc<dyn Dependency>]>,
    /// The direct conversations in which one side wants nothing of the other.
    silence: Arc<Silence>,
    /// What conversations allow.
    rooms: Arc<RoomsFromConversations>,
    /// The sessions whose activity was noted a moment ago.
    touched: Cache<SessionId, ()>,
}

impl Platform {
    /// Puts the product together. The relay, the housekeeping and the fellowship with other nodes are to be run by the
    /// caller.
    pub fn new(ports: Ports) -> (Self, Relay, Housekeeping, Fellowship) {
        assembly::assemble(ports)
    }

    /// Notes that a socket of the caller does something, at most once in
    /// [`ACTIVITY_GRAIN`](alivio_accounts::ACTIVITY_GRAIN). Their sockets close if the session is over.
    ///
    /// # Errors
    /// [`alivio_accounts::Error::SessionEnded`].
    pub async fn touch(&self, caller: &Caller) -> Result<(), alivio_accounts::Error> {
        if self.touched.contains_key(&caller.session_id) {
            return Ok(());
        }
        let touched = self.accounts.touch(caller).await;
        match &touched {
            Ok(()) => self.touched.insert(caller.session_id, ()).await,
            Err(alivio_accounts::Error::SessionEnded) => {
                self.hub.close_session(caller.user_id, caller.session_id, Fate::SessionEnded);
            }
            Err(_) => {}
        }
        touched
    }

    /// Blocks someone: from when this returns, nothing they do in the direct conversation reaches the caller.
    ///
    /// # Errors
    /// As [`Blocks::block`].
    pub async fn block(
        &self,
        caller: &Caller,
        user: UserId,
    ) -> Result<(Block, bool), alivio_accounts::Error> {
        let (platform, caller) = (self.clone(), *caller);
        let work = async move {
            let watched = platform.watching_each_other(caller.user_id, user).await;
            let blocked = platform.blocks.block(&caller, user).await;
            platform.silence.changed();
            platform.nodes.blocks_changed();
            if matches!(blocked, Ok((_, true))) {
                platform.part(&watched).await;
            }
            blocked
        };
        uninterrupted(work, alivio_accounts::Error::Unavailable).await
    }

    /// Which of the two sees the other's presence: who is seen, by whom.
    async fn watching_each_other(&self, one: UserId, other: UserId) -> Vec<(UserId, UserId)> {
        let mut watched = Vec::new();
        for (seen, watcher) in [(one, other), (other, one)] {
            match self.presence.watchers(seen).await {
                Ok(watchers) if watchers.contains(&watcher) => watched.push((seen, watcher)),
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "live.watchers_not_known"),
            }
        }
        watched
    }

    /// Lets those who no longer see each other see each other go.
    async fn part(&self, watched: &[(UserId, UserId)]) {
        for (seen, watcher) in watched {
            if let Err(error) = self.presence.hide(*seen, &[*watcher]).await {
                tracing::warn!(error = %error, "live.presence_not_announced");
            }
        }
    }

    /// Lifts a block.
    ///
    /// # Errors
    /// As [`Blocks::unblock`].
    pub async fn unblock(&self, caller: &Caller, user: UserId) -> Result<(), alivio_accounts::Error> {
        let (platform, caller) = (self.clone(), *caller);
        let work = async move {
            let unblocked = platform.blocks.unblock(&caller, user).await;
            platform.silence.changed();
            platform.nodes.blocks_changed();
            unblocked
        };
        uninterrupted(work, alivio_accounts::Error::Unavailable).await
    }

    /// Chooses what the caller shows while connected, and tells those who see it, even if the caller does not wait.
    ///
    /// # Errors
    /// As [`PresenceBoard::choose`].
    pub async fn choose_presence(
        &self,
        caller: &Caller,
        chosen: ChosenPresence,
    ) -> Result<(), alivio_accounts::Error> {
        let (presence, caller) = (Arc::clone(&self.presence), *caller);
        let work = async move { presence.choose(&caller, chosen).await };
        uninterrupted(work, alivio_accounts::Error::Unavailable).await
    }

    /// Chooses to whom the caller shows themselves, and tells those who no longer see them, even if the caller does not
    /// wait.
    ///
    /// # Errors
    /// As [`PresenceBoard::set_privacy`].
    pub async fn set_presence_privacy(
        &self,
        caller: &Caller,
        privacy: PresencePrivacy,
    ) -> Result<(), alivio_accounts::Error> {
        let (presence, caller) = (Arc::clone(&self.presence), *caller);
        let work = async move { presence.set_privacy(&caller, privacy).await };
        uninterrupted(work, alivio_accounts::Error::Unavailable).await
    }

    /// Sends a message and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::send`].
    pub async fn send(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<Sent, alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.send(&caller, conversation, draft).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Repeats a message elsewhere and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::forward`].
    pub async fn forward(
        &self,
        caller: &Caller,
        message: MessageId,
        targets: Vec<ConversationId>,
        name: Option<ClientMessageId>,
    ) -> Result<Vec<Forwarded>, alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.forward(&caller, message, &targets, name.as_ref()).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Marks a conversation as read and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::read_everything`].
    pub async fn read_everything(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(Marks, i64), alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.read_everything(&caller, conversation).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Moves a mark to a message and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::advance_to`].
    pub async fn advance_to(
        &self,
        caller: &Caller,
        message: MessageId,
        mark: Mark,
    ) -> Result<(ConversationId, Moved), alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.advance_to(&caller, message, mark).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Marks messages as read and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::read_all_of`].
    pub async fn read_all_of(
        &self,
        caller: &Caller,
        read: Vec<MessageId>,
    ) -> Result<Vec<(ConversationId, Moved)>, alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.read_all_of(&caller, &read).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Gives a message other words and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::edit`].
    pub async fn edit(
        &self,
        caller: &Caller,
        message: MessageId,
        content: Content,
        version: Option<u32>,
    ) -> Result<Changed, alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.edit(&caller, message, content, version).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Takes a message back and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::delete`].
    pub async fn delete(&self, caller: &Caller, message: MessageId) -> Result<(), alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.delete(&caller, message).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Puts a message right by another and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::correct`].
    pub async fn correct(
        &self,
        caller: &Caller,
        message: MessageId,
        draft: Draft,
        reason: Option<CorrectionReason>,
    ) -> Result<Sent, alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.correct(&caller, message, draft, reason).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Sets or clears a reaction and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::react`].
    pub async fn react(
        &self,
        caller: &Caller,
        message: MessageId,
        emoji: Emoji,
        is_set: bool,
    ) -> Result<Changed, alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.react(&caller, message, emoji, is_set).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Reads a page of a conversation by a grant, once it is recorded that it was read.
    ///
    /// # Errors
    /// As [`BreakGlass::reading`].
    pub async fn read_by_grant(
        &self,
        caller: &Caller,
        grant: GrantId,
        query: &HistoryQuery,
    ) -> Result<Page<MessageView>, Error> {
        let Reading { grant_id, conversation_id, audit } = self.break_glass.reading(caller, grant).await?;
        let pass = Pass { grant_id, holder: caller.user_id, conversation_id, audit };
        self.screens.shown(self.messages.granted_history(&pass, query).await?).await
    }

    /// Takes a step of moderation and tells those who are connected if a message is taken away, even if the caller does
    /// not wait for it.
    ///
    /// # Errors
    /// As [`Moderation::decide`].
    pub async fn decide(
        &self,
        caller: &Caller,
        report: ReportId,
        version: u32,
        step: ReviewStep,
        note: Option<Remark>,
    ) -> Result<ReportHeader, alivio_messages::Error> {
        let (moderation, caller) = (self.moderation.clone(), *caller);
        let work = async move { moderation.decide(&caller, report, version, step, note.as_ref()).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Changes what a conversation is and allows: from when this returns, it is obeyed here.
    ///
    /// # Errors
    /// As [`Conversations::update`].
    pub async fn update_conversation(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        patch: DetailsPatch,
    ) -> Result<(), alivio_conversations::Error> {
        let (conversations, rooms, caller) = (self.conversations.clone(), Arc::clone(&self.rooms), *caller);
        let work = async move {
            let updated = conversations.update(&caller, conversation, &patch).await;
            rooms.forget(conversation).await;
            updated
        };
        uninterrupted(work, alivio_conversations::Error::Unavailable).await
    }

    /// Moves a mark and tells those who are connected, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Messages::advance`].
    pub async fn advance(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        mark: Mark,
        target: Anchor,
    ) -> Result<Moved, alivio_messages::Error> {
        let (messages, caller) = (self.messages.clone(), *caller);
        let work = async move { messages.advance(&caller, conversation, mark, &target).await };
        uninterrupted(work, alivio_messages::Error::Unavailable).await
    }

    /// Calls for help, and says `words` there, even if the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Emergencies::call`] and [`Messages::send`].
    pub async fn call_for_help(
        &self,
        caller: &Caller,
        patient: Option<UserId>,
        words: Option<Draft>,
    ) -> Result<Called, Error> {
        let (platform, caller) = (self.clone(), *caller);
        let work = async move {
            let called = platform.emergencies.call(&caller, patient).await?;
            if let Some(draft) = words {
                platform.messages.send(&caller, called.emergency.conversation_id, draft).await?;
            }
            Ok(called)
        };
        let unavailable = |error| alivio_conversations::Error::Unavailable(error).into();
        uninterrupted(work, unavailable).await
    }
}
