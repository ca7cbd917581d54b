use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alivio_accounts::{
    Accounts, ChosenPresence, Error, Presence, PresencePreferences, PresencePrivacy, PresenceQuery,
    PresenceView, Presences, UserSummary,
};
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Caller, Clock, Page};
use chrono::{DateTime, Utc};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Mutex;

use super::nodes::{Elsewhere, Hint, Nodes, print};
use super::{Happening, Hub};
use crate::people::PeopleDirectory;

/// How many announcements may be on their way at once.
const STRIPES: usize = 64;

/// What one person sees of another's presence (C-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Of whom.
    pub user_id: UserId,
    /// Whether they can be reached.
    pub presence: Presence,
    /// When the last of their devices went away.
    pub last_seen_at: Option<DateTime<Utc>>,
}

/// One's own presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnPresence {
    /// As those who may see it do.
    pub seen: Seen,
    /// What one has chosen to show while connected.
    pub chosen: ChosenPresence,
}

/// The devices of a person.
#[derive(Debug, Default)]
struct Devices {
    connected: usize,
    /// Counts the times that the last of them went, so that only the newest wait ends in being offline.
    departures: u64,
}

/// Who is connected, to this node or another.
#[derive(Debug, Default)]
pub(super) struct Connected {
    people: DashMap<UserId, Devices>,
    elsewhere: Elsewhere,
}

impl Connected {
    /// A device came. Whether the person was not here before, and how many devices are here now.
    fn arrive(&self, user: UserId) -> (bool, usize) {
        match self.people.entry(user) {
            Entry::Occupied(mut present) => {
                let devices = present.get_mut();
                devices.connected += 1;
                (false, devices.connected)
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Devices { connected: 1, departures: 0 });
                (true, 1)
            }
        }
    }

    /// A device went. How many are left, and the number of this departure, for [`Connected::give_up`] if that is none.
    fn depart(&self, user: UserId) -> Option<(usize, u64)> {
        let mut devices = self.people.get_mut(&user)?;
        devices.connected = devices.connected.saturating_sub(1);
        devices.departures += 1;
        Some((devices.connected, devices.departures))
    }

    /// Nobody waits any longer for a device after that departure. Whether the person has gone now.
    fn give_up(&self, user: UserId, departure: u64) -> bool {
        let gone = |devices: &Devices| devices.connected == 0 && devices.departures == departure;
        self.people.remove_if(&user, |_, devices| gone(devices)).is_some()
    }

    /// Whether a device is connected, or was just now.
    pub(super) fn holds(&self, user: UserId) -> bool {
        self.people.contains_key(&user) || self.elsewhere.holds(user)
    }

    /// Everyone who is here, on this node, and with how many devices.
    fn here(&self) -> Vec<(UserId, usize)> {
        self.people.iter().map(|person| (*person.key(), person.connected)).collect()
    }
}

/// Who is here, who hears of it, and what each sees.
///
/// Coming and going is kept in memory; only when someone has gone for good (for longer than the grace period) is it
/// written down when they were last seen. Whoever may hear of a change is asked for once per change.
pub struct PresenceBoard {
    connected: Connected,
    hub: Arc<Hub>,
    nodes: Nodes,
    presences: Presences,
    accounts: Accounts,
    people: PeopleDirectory,
    clock: Arc<dyn Clock>,
    /// How long after the last device went its owner is still here: a reconnect does not flicker.
    grace: Duration,
    stopping: AtomicBool,
    /// What was told last of each, that they have gone included: word of their leaving may come from two nodes at once. One
    /// lock per stripe of people: what is told of one person is told in order.
    told: [Mutex<HashMap<UserId, Presence>>; STRIPES],
    hasher: RandomState,
}

impl PresenceBoard {
    pub(crate) fn new(
        (hub, nodes): (Arc<Hub>, Nodes),
        presences: Presences,
        accounts: Accounts,
        people: PeopleDirectory,
        clock: Arc<dyn Clock>,
        grace: Duration,
    ) -> Self {
        Self {
            connected: Connected::default(),
            hub,
            nodes,
            presences,
            accounts,
            people,
            clock,
            grace,
            stopping: AtomicBool::new(false),
            told: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// The caller's own presence.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`], unless the account has just gone.
    pub async fn own(&self, caller: &Caller) -> Result<OwnPresence, Error> {
        let chosen = self.presences.preferences(caller).await?.chosen;
        let last_seen_at = self.accounts.me(caller).await?.last_seen_at;
        let presence = chosen.while_connected(self.connected.holds(caller.user_id));
        Ok(OwnPresence { seen: Seen { user_id: caller.user_id, presence, last_seen_at }, chosen })
    }

    /// The caller among others, where what they have chosen does not show.
    pub(crate) fn own_in_passing(&self, caller: &Caller, people: &HashMap<UserId, Arc<UserSummary>>) -> Seen {
        let presence = ChosenPresence::Online.while_connected(self.connected.holds(caller.user_id));
        let last_seen_at = people.get(&caller.user_id).and_then(|person| person.last_seen_at);
        Seen { user_id: caller.user_id, presence, last_seen_at }
    }

    /// Chooses what to show while a device is connected, and tells those who see it.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn choose(&self, caller: &Caller, chosen: ChosenPresence) -> Result<(), Error> {
        self.presences.choose(caller, chosen).await?;
        self.nodes.say_of(caller.user_id, Hint::Presence { user: caller.user_id });
        self.announce(caller.user_id, None, false).await
    }

    /// To whom the caller shows themselves.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn privacy(&self, caller: &Caller) -> Result<PresencePrivacy, Error> {
        let PresencePreferences { privacy, .. } = self.presences.preferences(caller).await?;
        Ok(privacy)
    }

    /// Chooses to whom. It holds for what is asked and told from now on; to those who saw the caller and no longer do
    /// they go offline.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn set_privacy(&self, caller: &Caller, privacy: PresencePrivacy) -> Result<(), Error> {
        let before = self.watchers(caller.user_id).await?;
        self.presences.set_privacy(caller, privacy).await?;
        self.hide(caller.user_id, &before).await
    }

    /// Who sees the presence of `user`.
    pub(crate) async fn watchers(&self, user: UserId) -> Result<Vec<UserId>, Error> {
        let watchers = self.presences.audience(user).await?.watchers;
        Ok(watchers.into_iter().map(|(watcher, _)| watcher).collect())
    }

    /// Tells those of `before`, who saw `user`, that they are offline, unless they still see them.
    pub(crate) async fn hide(&self, user: UserId, before: &[UserId]) -> Result<(), Error> {
        let lost = self.hide_here(user, before).await?;
        if !lost.is_empty() {
            self.nodes.say_of(user, Hint::Hidden { user, from: lost });
        }
        Ok(())
    }

    /// The same, for those who are connected to this node. Who was told.
    async fn hide_here(&self, user: UserId, before: &[UserId]) -> Result<Vec<UserId>, Error> {
        // What is being told to those who still saw them comes first.
        let _told = self.told[self.stripe(user)].lock().await;
        let audience = self.presences.audience(user).await?;
        if !audience.chosen.while_connected(self.connected.holds(user)).is_online() {
            return Ok(Vec::new());
        }
        let sees = |watcher: &UserId| audience.watchers.iter().any(|(still, _)| still == watcher);
        let lost: Vec<_> = before.iter().copied().filter(|watcher| !sees(watcher)).collect();
        let what = Happening::PresenceChanged {
            user_id: user,
            presence: Presence::Offline,
            last_seen_at: None,
            conversations: audience.conversations.into(),
        };
        self.hub.tell_people(&lost, &self.hub.frame(None, self.clock.now(), what));
        Ok(lost)
    }

    /// Another node has hidden `user` from those.
    pub(super) async fn tell_hidden(&self, user: UserId, from: &[UserId]) {
        if let Err(error) = self.hide_here(user, from).await {
            tracing::warn!(error = %error, "live.presence_not_announced");
        }
    }

    /// Who is on the other nodes.
    pub(super) const fn elsewhere(&self) -> &Elsewhere {
        &self.connected.elsewhere
    }

    /// Everyone who is connected to this node, and with how many devices.
    pub(super) fn here(&self) -> Vec<(UserId, usize)> {
        self.connected.here()
    }

    /// What the others need to see whether they know everyone who is connected to this node, and with how many devices.
    pub(super) fn print(&self) -> (usize, u128) {
        print(self.connected.people.iter().map(|person| (*person.key(), person.connected)))
    }

    /// These people are on another node now, or show themselves in another way there.
    pub(super) fn come_elsewhere(self: &Arc<Self>, people: Vec<UserId>) {
        self.announce_all(people, None, false);
    }

    /// These people were on another node, and are no longer.
    pub(super) fn gone_elsewhere(self: &Arc<Self>, people: Vec<UserId>, at: DateTime<Utc>) {
        self.announce_all(people, Some(at), true);
    }

    /// One after the other: a whole node may have come or gone.
    fn announce_all(
        self: &Arc<Self>,
        people: Vec<UserId>,
        last_seen_at: Option<DateTime<Utc>>,
        was_here: bool,
    ) {
        if people.is_empty() {
            return;
        }
        let board = Arc::clone(self);
        tokio::spawn(async move {
            for user in people {
                if board.hub.is_empty() {
                    // Nobody is told, so that what was told before says nothing any more.
                    board.told[board.stripe(user)].lock().await.remove(&user);
                } else {
                    board.try_announce(user, last_seen_at, was_here).await;
                }
            }
        });
    }

    /// What the caller sees of `user`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if that is nothing: they do not know each other, or it is not shown to the caller.
    pub async fn one(&self, caller: &Caller, user: UserId) -> Result<Seen, Error> {
        if user == caller.user_id {
            return Ok(self.own(caller).await?.seen);
        }
        self.seen(caller, &[user]).await?.remove(&user).ok_or(Error::NotFound)
    }

    /// What the caller sees of those of `others` who show them something.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn seen(&self, caller: &Caller, others: &[UserId]) -> Result<HashMap<UserId, Seen>, Error> {
        let views = self.presences.views(caller, others).await?;
        Ok(views.iter().map(|view| (view.user_id, self.show(view))).collect())
    }

    /// Those of `others` whom the caller sees online, themselves included.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn online(&self, caller: &Caller, others: &[UserId]) -> Result<Vec<UserId>, Error> {
        let here = |user: &UserId| *user != caller.user_id && self.connected.holds(*user);
        let candidates: Vec<_> = others.iter().copied().filter(here).collect();
        let seen = self.seen(caller, &candidates).await?;
        let online = |user: &UserId| {
            *user == caller.user_id || seen.get(user).is_some_and(|seen| seen.presence.is_online())
        };
        Ok(others.iter().copied().filter(online).collect())
    }

    /// What the caller sees of everyone they know, in the order of their ids. The cursor of the next page is the
    /// last id.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn everyone(&self, caller: &Caller, query: &PresenceQuery) -> Result<Page<Seen>, Error> {
        let (views, more) = self.presences.all_views(caller, query).await?;
        let items: Vec<_> = views.iter().map(|view| self.show(view)).collect();
        let next_cursor = if more { items.last().map(|seen| seen.user_id.to_string()) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// From now on nobody waits for a device to come back: the server goes away.
    pub fn stop_waiting(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// A device of `user` has connected.
    pub(super) fn arrived(self: &Arc<Self>, user: UserId) {
        let (is_news, devices) = self.connected.arrive(user);
        self.nodes.say_of(user, Hint::Came { user, devices });
        if is_news {
            let board = Arc::clone(self);
            tokio::spawn(async move { board.try_announce(user, None, false).await });
        }
    }

    /// A device of `user` has gone.
    pub(super) fn departed(self: &Arc<Self>, user: UserId) {
        let Some((devices, departure)) = self.connected.depart(user) else { return };
        self.nodes.say_of(user, Hint::Came { user, devices });
        if devices > 0 {
            return;
        }
        let at = self.clock.now();
        // Dropped with the runtime itself, there is nobody left to tell.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let board = Arc::clone(self);
        runtime.spawn(async move {
            if !board.stopping.load(Ordering::Relaxed) {
                tokio::time::sleep(board.grace).await;
            }
            if board.connected.give_up(user, departure) {
                board.nodes.say_of(user, Hint::Went { user, at });
                match board.accounts.record_seen_at(user, at).await {
                    Ok(()) => board.people.forget(user).await,
                    Err(error) => tracing::warn!(error = %error, "live.last_seen_not_recorded"),
                }
                board.try_announce(user, Some(at), false).await;
            }
        });
    }

    async fn try_announce(&self, user: UserId, last_seen_at: Option<DateTime<Utc>>, was_here: bool) {
        if let Err(error) = self.announce(user, last_seen_at, was_here).await {
            tracing::warn!(error = %error, "live.presence_not_announced");
        }
    }

    /// Tells those who see it how `user` is now, unless they know. `was_here` says what they have seen until now of
    /// whom nothing was told here: this node may have learnt of them when it asked who is where.
    async fn announce(
        &self,
        user: UserId,
        last_seen_at: Option<DateTime<Utc>>,
        was_here: bool,
    ) -> Result<(), Error> {
        let mut told = self.told[self.stripe(user)].lock().await;
        let audience = self.presences.audience(user).await?;
        // Looked at last: whoever comes or goes after this is announced by their own turn.
        let presence = audience.chosen.while_connected(self.connected.holds(user));
        let before = told.get(&user).copied();
        if before.unwrap_or_else(|| audience.chosen.while_connected(was_here)) == presence {
            return Ok(());
        }
        let conversations: Arc<[ConversationId]> = audience.conversations.into();
        let now = self.clock.now();
        // Word of a device that came may be acted on only when it has gone again.
        let has_gone = !presence.is_online() && audience.chosen.while_connected(true).is_online();
        let last_seen_at = if has_gone { last_seen_at.or(Some(now)) } else { last_seen_at };
        let frame = |last_seen_at| {
            let conversations = Arc::clone(&conversations);
            let what = Happening::PresenceChanged { user_id: user, presence, last_seen_at, conversations };
            self.hub.frame(None, now, what)
        };
        let (with_time, without) = (frame(last_seen_at), frame(None));
        for (watcher, shows_last_seen) in audience.watchers {
            self.hub.tell_people(&[watcher], if shows_last_seen { &with_time } else { &without });
        }
        told.insert(user, presence);
        Ok(())
    }

    fn stripe(&self, user: UserId) -> usize {
        usize::try_from(self.hasher.hash_one(user) % STRIPES as u64).unwrap_or_default()
    }

    fn show(&self, view: &PresenceView) -> Seen {
        let connected = self.connected.holds(view.user_id);
        let presence = view.chosen.map_or(Presence::Offline, |chosen| chosen.while_connected(connected));
        Seen { user_id: view.user_id, presence, last_seen_at: view.last_seen_at }
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;

    use super::*;

    fn user() -> UserId {
        UserId::from(Uuid::from_u128(1))
    }

    #[test]
    fn one_is_here_from_the_first_device_to_the_end_of_the_wait_for_the_last() {
        let connected = Connected::default();
        assert_eq!((connected.arrive(user()), connected.arrive(user())), ((true, 1), (false, 2)));
        assert_eq!(connected.here(), [(user(), 2)]);
        assert_eq!(connected.depart(user()), Some((1, 1)), "the other device is still there");
        let (_, departure) = connected.depart(user()).unwrap();
        assert!(connected.holds(user()), "she may come back");
        assert!(connected.give_up(user(), departure) && !connected.holds(user()));
    }

    #[test]
    fn whoever_comes_back_in_time_was_never_gone() {
        let connected = Connected::default();
        connected.arrive(user());
        let (_, first) = connected.depart(user()).unwrap();
        assert_eq!(connected.arrive(user()), (false, 1), "no news");
        assert!(!connected.give_up(user(), first));
        // A new wait begins with the next departure; that of the first one ends without effect.
        let (_, second) = connected.depart(user()).unwrap();
        assert!(!connected.give_up(user(), first) && connected.holds(user()));
        assert!(connected.give_up(user(), second));
    }
}
