use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::EventId;
use alivio_kernel::{BoxError, Event, Follower, Place};
use alivio_messages::{LiveFeed, Messages, NotedChange};
use alivio_metrics::messages as metrics;
use alivio_outbox::{Broadcasts, Reaction};
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Nodes;
use crate::live::Hub;

/// How long to wait when nobody says anything. With what it takes to write and to read that is less than a second.
const IDLE: Duration = Duration::from_millis(500);
/// What is called gathers for so long: to look once costs as much as to look for one thing.
const GATHER: Duration = Duration::from_millis(5);
/// So much is read at once.
const PAGE: i64 = 200;
/// What fails so often is given up, so that it does not hold up what comes after it.
const TRIES: u32 = 5;

/// What it takes to follow.
pub(crate) struct TailPorts {
    pub(crate) hub: Arc<Hub>,
    pub(crate) messages: Messages,
    /// Tells this node, and no other.
    pub(crate) live: Arc<dyn LiveFeed>,
    pub(crate) broadcasts: Arc<dyn Broadcasts>,
    /// What each node does, whichever of them was handed the event.
    pub(crate) reactions: Vec<Arc<dyn Reaction>>,
}

/// Follows what is stored, and tells those who are connected here what nobody here has told them.
pub(super) struct Tail {
    hub: Arc<Hub>,
    messages: Messages,
    live: Arc<dyn LiveFeed>,
    broadcasts: Arc<dyn Broadcasts>,
    reactions: HashMap<&'static str, Vec<Arc<dyn Reaction>>>,
    nodes: Nodes,
    heard: Follower,
    told: Follower,
    /// What has failed, and how often.
    stuck: Option<(Stuck, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    Event(EventId),
    Changes(Place),
}

impl Tail {
    pub(super) fn new(ports: TailPorts, nodes: Nodes) -> Self {
        let TailPorts { hub, messages, live, broadcasts, reactions } = ports;
        let mut by_kind: HashMap<_, Vec<_>> = HashMap::new();
        for reaction in reactions {
            by_kind.entry(reaction.kind()).or_default().push(reaction);
        }
        let (heard, told) = (Follower::from(0), Follower::from(0));
        Self { hub, messages, live, broadcasts, reactions: by_kind, nodes, heard, told, stuck: None }
    }

    pub(super) async fn begin(&mut self) -> Result<(), BoxError> {
        let (horizon, _) = self.broadcasts.after(Place::before(u64::MAX), 0).await?;
        (self.heard, self.told) = (Follower::from(horizon), Follower::from(horizon));
        Ok(())
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut is_logged = false;
        while !*stop.borrow() {
            let began = Instant::now();
            match self.follow().await {
                Ok(()) => is_logged = false,
                Err(error) if !is_logged => {
                    tracing::warn!(error = %error, "nodes.tail_failed");
                    is_logged = true;
                }
                Err(_) => {}
            }
            // However much lies beyond the horizon: half of the time is left to others.
            tokio::time::sleep(began.elapsed().clamp(GATHER, IDLE)).await;
            tokio::select! {
                () = self.nodes.wake.notified() => {}
                () = tokio::time::sleep(IDLE) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn follow(&mut self) -> Result<(), BoxError> {
        let horizon = self.hear().await?;
        if self.hub.is_empty() {
            // Whoever connects from now on reads the log as it is by then.
            self.told.pass(horizon);
            return Ok(());
        }
        self.tell().await
    }

    /// Does what the new broadcasts ask for, one after the other.
    async fn hear(&mut self) -> Result<u64, BoxError> {
        let (mut after, mut first) = (self.heard.start(), None);
        loop {
            let (horizon, page) = self.broadcasts.after(after, PAGE).await?;
            let horizon = *first.get_or_insert(horizon);
            let is_last = is_last(page.len());
            for (place, event) in page {
                after = place;
                if self.heard.knows(place) {
                    continue;
                }
                if let Err(error) = self.react(&event).await
                    && self.may_try_again(Stuck::Event(event.id), &*error)
                {
                    return Err(error);
                }
                self.heard.meet(place);
            }
            if is_last {
                self.heard.pass(horizon);
                return Ok(horizon);
            }
        }
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        for reaction in self.reactions.get(event.kind.as_ref()).into_iter().flatten() {
            reaction.react(event).await?;
        }
        Ok(())
    }

    /// Tells of new messages, changes and receipts.
    async fn tell(&mut self) -> Result<(), BoxError> {
        let (mut after, mut first) = (self.told.start(), None);
        loop {
            let (horizon, page) = self.messages.noted(after, PAGE).await?;
            let horizon = *first.get_or_insert(horizon);
            let is_last = is_last(page.len());
            after = page.last().map_or(after, |change| change.place);
            let news: Vec<NotedChange> =
                page.into_iter().filter(|change| !self.told.knows(change.place)).collect();
            let places: Vec<_> = news.iter().map(|change| change.place).collect();
            if let Some(&place) = places.first() {
                match self.messages.relay(news, &*self.live).await {
                    Ok(happened) => self.measure(&happened),
                    Err(error) => {
                        let error = BoxError::from(error);
                        if self.may_try_again(Stuck::Changes(place), &*error) {
                            return Err(error);
                        }
                    }
                }
            }
            for place in places {
                self.told.meet(place);
            }
            if is_last {
                self.told.pass(horizon);
                return Ok(());
            }
        }
    }

    /// How late we were with what happened at these times, mostly at other nodes.
    fn measure(&self, happened: &[DateTime<Utc>]) {
        let now = self.hub.now();
        for at in happened {
            metrics::REMOTE_DELAY.record((now - at).to_std().unwrap_or_default());
        }
    }

    /// Whether what failed is to be tried again.
    fn may_try_again(&mut self, what: Stuck, error: &(dyn std::error::Error + Send + Sync)) -> bool {
        let tries = match self.stuck {
            Some((stuck, tries)) if stuck == what => tries + 1,
            _ => 1,
        };
        self.stuck = (tries < TRIES).then_some((what, tries));
        if tries >= TRIES {
            tracing::error!(error = %error, nodes.what = ?what, "nodes.given_up");
        }
        tries < TRIES
    }
}

fn is_last(page: usize) -> bool {
    i64::try_from(page).is_ok_and(|size| size < PAGE)
}
