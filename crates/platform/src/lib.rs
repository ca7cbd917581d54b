//! The domains put together. The only crate that knows them all.
//!
//! Domains meet in four ways: by ids; by questions, which the asker's port states and `bridges` answers;
//! by consequences, one file each in `reactions`; and on `screens`, which show several at once.
//! [`live`] carries what happens to whoever is connected.

mod bridges;
mod error;
pub mod live;
mod people;
mod ports;
mod reactions;
mod screens;
mod session_cache;
mod uninterrupted;

use std::sync::Arc;

use alivio_accounts::{Accounts, AccountsPorts};
use alivio_conversations::{Conversations, ConversationsPorts};
use alivio_kernel::Caller;
use alivio_kernel::ids::ConversationId;
use alivio_messages::{Anchor, Draft, Mark, Messages, MessagesPorts, Moved, Sent};
use alivio_outbox::Relay;

pub use error::Error;
pub use people::PeopleDirectory;
pub use ports::{Dependency, Ports};
pub use screens::{ConversationView, LastMessage, MessageView, ParticipantView, Screens};

use bridges::StandingsFromAccounts;
use live::{Hub, LiveAnnouncer};
use session_cache::CachedSessions;
use uninterrupted::uninterrupted;

/// The product: everything one can do, over the ports it was given.
#[derive(Clone)]
pub struct Platform {
    /// Who people are.
    pub accounts: Accounts,
    /// Who may talk to whom.
    pub conversations: Conversations,
    /// What was said.
    pub messages: Messages,
    /// What several domains show together.
    pub screens: Screens,
    /// Whoever is connected.
    pub hub: Arc<Hub>,
    /// Names of people, for events.
    pub people: PeopleDirectory,
    /// What we depend on, for health checks.
    pub dependencies: Arc<[Arc<dyn Dependency>]>,
}

impl Platform {
    /// Puts the product together. The relay is to be run by the caller.
    pub fn new(ports: Ports) -> (Self, Relay) {
        let sessions = Arc::new(CachedSessions::new(Arc::clone(&ports.sessions)));
        let accounts = Accounts::new(AccountsPorts {
            users: Arc::clone(&ports.users),
            sessions: Arc::clone(&sessions) as _,
            passwords: ports.passwords,
            tokens: ports.tokens,
            sealer: Arc::clone(&ports.sealer),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
        });
        let conversations = Conversations::new(ConversationsPorts {
            store: ports.conversations,
            people: Arc::new(StandingsFromAccounts::new(ports.users)),
            sealer: Arc::clone(&ports.sealer),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
        });
        let people = PeopleDirectory::new(accounts.clone());
        let hub = Arc::new(Hub::new(Arc::clone(&ports.clock), Arc::clone(&ports.ids)));
        let messages = Messages::new(MessagesPorts {
            log: ports.messages,
            live: Arc::new(LiveAnnouncer::new(Arc::clone(&hub), people.clone())),
            sealer: ports.sealer,
            clock: Arc::clone(&ports.clock),
            ids: ports.ids,
        });
        let screens = Screens::new(people.clone(), messages.clone(), Arc::clone(&hub));
        let reactions = reactions::all(&hub, &sessions);
        let relay = Relay::new(ports.outbox, ports.clock, reactions, ports.outbox_wake);
        let dependencies = ports.dependencies.into();
        (Self { accounts, conversations, messages, screens, hub, people, dependencies }, relay)
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
}
