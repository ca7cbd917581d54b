//! Several nodes, one conversation.
//!
//! What must reach everyone is in the database, in two rows that each node follows by place ([`Tail`]): `changes`,
//! where every message, edit and receipt is noted in its own transaction, and the broadcasts, where one reaction puts
//! the events that each node has to act upon (someone was removed, a session has ended). A node looks twice a second
//! at the latest, so that it needs nobody to tell it.
//!
//! The bus only shortens the wait: a [`Hint`] says that there is something to look at. Who types and who is here is
//! stored nowhere, and goes by hints alone.

mod ear;
mod elsewhere;
mod hint;
mod pace;
mod tail;

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Event, NodeBus};
use alivio_outbox::{Broadcasts, Reaction};
use async_trait::async_trait;
use tokio::sync::{Notify, watch};

pub(super) use elsewhere::{Elsewhere, print};
pub(super) use hint::Hint;
pub(crate) use pace::SharedPace;

use ear::Ear;
use hint::Call;
use tail::Tail;
pub(crate) use tail::TailPorts;

/// The other nodes, as this one speaks to them.
#[derive(Clone)]
pub(crate) struct Nodes {
    bus: Arc<dyn NodeBus>,
    own: Uuid,
    /// Rung when there is something to look at.
    wake: Arc<Notify>,
}

impl Nodes {
    pub(crate) const fn new(bus: Arc<dyn NodeBus>, own: Uuid, wake: Arc<Notify>) -> Self {
        Self { bus, own, wake }
    }

    /// Says something about a conversation, a person or this node.
    pub(super) fn say(&self, about: Uuid, hint: Hint) {
        self.bus.call(about, Call { node: self.own, hint }.write());
    }

    pub(super) fn say_of(&self, user: UserId, hint: Hint) {
        self.say(user.uuid(), hint);
    }

    /// There is something new in `conversation`.
    pub(super) fn changed(&self, conversation: ConversationId) {
        self.say(conversation.uuid(), Hint::Changed(conversation));
    }

    /// Blocks are not what they were.
    pub(crate) fn blocks_changed(&self) {
        self.say(self.own, Hint::Blocks);
    }

    /// Looks at once, here.
    fn look(&self) {
        self.wake.notify_one();
    }
}

/// Lets every node act upon an event that the relay handed to this one.
pub(crate) struct TellEveryNode {
    pub(crate) kind: &'static str,
    pub(crate) broadcasts: Arc<dyn Broadcasts>,
    pub(crate) nodes: Nodes,
}

#[async_trait]
impl Reaction for TellEveryNode {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        self.broadcasts.put(event).await?;
        self.nodes.look();
        self.nodes.say(self.nodes.own, Hint::Broadcast);
        Ok(())
    }
}

/// What a node does to keep up with the others. To be run by whoever runs the platform.
pub struct Fellowship {
    tail: Tail,
    ear: Ear,
    pace: Arc<SharedPace>,
    nodes: Nodes,
}

impl Fellowship {
    pub(crate) fn new(tail: TailPorts, ear: ear::EarPorts) -> Self {
        let (nodes, pace) = (ear.nodes.clone(), Arc::clone(&ear.pace));
        Self { tail: Tail::new(tail, nodes.clone()), ear: Ear::new(ear), pace, nodes }
    }

    /// Marks where to follow from. To be called before anyone connects: they are told of what happens after.
    ///
    /// # Errors
    /// If the database is not there.
    pub async fn begin(&mut self) -> Result<(), BoxError> {
        self.tail.begin().await
    }

    /// Runs until `stop` turns true.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { tail, ear, pace, nodes } = self;
        tokio::join!(tail.run(stop.clone()), ear.run(stop.clone()), pace.tell(&nodes, stop));
    }
}

pub(crate) use ear::EarPorts;
