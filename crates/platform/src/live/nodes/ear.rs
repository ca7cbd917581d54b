use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{Clock, Heard};
use alivio_messages::ScheduledState;
use tokio::sync::watch;

use super::hint::Call;
use super::{Hint, Nodes, SharedPace};
use crate::PeopleDirectory;
use crate::live::{Happening, Hub, PresenceBoard, Silence};

/// How often a node says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// So many people are named in one call.
const LIST: usize = 1000;

/// What it takes to understand the other nodes.
pub(crate) struct EarPorts {
    pub(crate) nodes: Nodes,
    pub(crate) hub: Arc<Hub>,
    pub(crate) people: PeopleDirectory,
    pub(crate) presence: Arc<PresenceBoard>,
    pub(crate) silence: Arc<Silence>,
    pub(crate) pace: Arc<SharedPace>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Hears what other nodes say, and says that this one is there.
pub(super) struct Ear(EarPorts);

impl Ear {
    pub(super) const fn new(ports: EarPorts) -> Self {
        Self(ports)
    }

    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*stop.borrow() {
            tokio::select! {
                heard = self.0.nodes.bus.heard() => self.hear(heard).await,
                _ = beat.tick() => self.beat(),
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    fn beat(&self) {
        let EarPorts { nodes, presence, clock, .. } = &self.0;
        let (people, print) = presence.print();
        nodes.say(nodes.own, Hint::Beat { people, print });
        let gone = presence.elsewhere().forget_silent();
        if !gone.is_empty() {
            tracing::info!(nodes.people = gone.len(), "nodes.silent");
            presence.gone_elsewhere(gone, clock.now());
        }
    }

    async fn hear(&self, heard: Heard) {
        match heard {
            // What was called meanwhile is lost, so it is time to look.
            Heard::Back => self.0.nodes.look(),
            Heard::Hint(bytes) => {
                if let Some(Call { node, hint }) = Call::read(&bytes)
                    && node != self.0.nodes.own
                {
                    self.act(node, hint).await;
                }
            }
        }
    }

    async fn act(&self, node: Uuid, hint: Hint) {
        let EarPorts { nodes, hub, presence, silence, pace, clock, .. } = &self.0;
        match hint {
            Hint::Changed(conversation) if hub.has_audience(conversation) => nodes.look(),
            Hint::Changed(_) => {}
            Hint::Broadcast => nodes.look(),
            Hint::Typing { conversation, user, is_typing } => {
                if hub.has_audience(conversation)
                    && let Ok(person) = self.0.people.summary(user).await
                {
                    let what = Happening::Typing { person, is_typing };
                    hub.tell_topic(conversation, &hub.frame(conversation, clock.now(), what));
                }
            }
            Hint::Scheduled { sender, id, state } => {
                let state = ScheduledState::ALL.into_iter().find(|known| known.as_str() == state);
                if let Some(state) = state {
                    hub.tell_person(sender, Happening::ScheduledChanged { sender_id: sender, id, state });
                }
            }
            Hint::Draft { user, conversation } => {
                let what = Happening::DraftChanged { user_id: user, conversation_id: conversation };
                hub.tell_person(user, what);
            }
            Hint::Unread { user, conversation, unread } => hub.tell_unread(user, conversation, unread),
            Hint::Blocks => silence.changed(),
            Hint::Came { user, devices } => {
                if presence.elsewhere().came(node, user, devices) {
                    presence.come_elsewhere(vec![user]);
                }
            }
            Hint::Went { user, at } => {
                if presence.elsewhere().went(node, user) {
                    presence.gone_elsewhere(vec![user], at);
                }
            }
            Hint::Presence { user } => presence.come_elsewhere(vec![user]),
            Hint::Hidden { user, from } => presence.tell_hidden(user, &from).await,
            Hint::Beat { people, print } => {
                if !presence.elsewhere().beat(node, people, print) {
                    nodes.say(nodes.own, Hint::Who { node });
                }
            }
            Hint::Who { node } if node == nodes.own => self.list(),
            Hint::Who { .. } => {}
            Hint::Here { people, devices, is_first, is_last } => {
                let devices = devices.into_iter().chain(std::iter::repeat(1));
                let people = people.into_iter().zip(devices).collect();
                let (came, gone) = presence.elsewhere().here(node, people, is_first, is_last);
                presence.come_elsewhere(came);
                presence.gone_elsewhere(gone, clock.now());
            }
            Hint::Sent { sent } => pace.heard(sent, clock.now()).await,
        }
    }

    /// Names everyone who is here.
    fn list(&self) {
        let EarPorts { nodes, presence, .. } = &self.0;
        let people: Vec<(UserId, usize)> = presence.here();
        let parts = people.len().div_ceil(LIST).max(1);
        for part in 0..parts {
            let (people, devices) = people.iter().skip(part * LIST).take(LIST).copied().unzip();
            let (is_first, is_last) = (part == 0, part + 1 == parts);
            nodes.say(nodes.own, Hint::Here { people, devices, is_first, is_last });
        }
    }
}
