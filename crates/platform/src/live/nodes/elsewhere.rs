use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alivio_kernel::ids::{UserId, Uuid};
use dashmap::DashMap;
use tokio::time::Instant;

/// A node that has said nothing for so long has gone, and its people with it.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// Who is connected to the other nodes, as far as these have said.
///
/// Each node says who comes and goes, and every second how many there are; whoever has understood something else asks
/// for all of them. So each knows by itself who is here, without asking anyone when it is shown, and a node that falls
/// silent takes its people with it. Keys that expire in Redis would have to be read with every list of people, would be
/// gone after a flush, and would tell nobody when they expire.
#[derive(Debug, Default)]
pub(in crate::live) struct Elsewhere {
    /// The nodes where each one is.
    people: DashMap<UserId, Vec<Uuid>>,
    nodes: Mutex<HashMap<Uuid, Node>>,
}

#[derive(Debug)]
struct Node {
    /// Who is there, and with how many devices.
    people: HashMap<UserId, usize>,
    /// Of a list that is not complete yet.
    coming: HashMap<UserId, usize>,
    heard: Instant,
}

impl Node {
    fn new() -> Self {
        Self { people: HashMap::new(), coming: HashMap::new(), heard: Instant::now() }
    }
}

/// What is the same for the same people with as many devices, in whatever order.
pub(in crate::live) fn print(people: impl Iterator<Item = (UserId, usize)>) -> (usize, u128) {
    people.fold((0, 0), |(count, print), (user, devices)| {
        let turns = u32::try_from(devices % 128).unwrap_or_default();
        (count + 1, print ^ user.uuid().as_u128().rotate_left(turns))
    })
}

impl Elsewhere {
    /// Whether someone is connected to another node.
    pub(in crate::live) fn holds(&self, user: UserId) -> bool {
        self.people.contains_key(&user)
    }

    /// How many devices of someone are connected to other nodes.
    pub(in crate::live) fn devices(&self, user: UserId) -> usize {
        if !self.holds(user) {
            return 0;
        }
        self.nodes().values().filter_map(|node| node.people.get(&user)).sum()
    }

    /// Someone is connected to `node`, with so many devices. Whether they were on no other node before.
    pub(super) fn came(&self, node: Uuid, user: UserId, devices: usize) -> bool {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_insert_with(Node::new).people.insert(user, devices);
        known.is_none() && self.add(node, user)
    }

    /// Someone has gone from `node`. Whether they are on no other node now.
    pub(super) fn went(&self, node: Uuid, user: UserId) -> bool {
        let mut nodes = self.nodes();
        nodes.get_mut(&node).is_some_and(|node| node.people.remove(&user).is_some())
            && self.remove(node, user)
    }

    /// `node` is there. Whether we know of its people what it says.
    pub(super) fn beat(&self, node: Uuid, people: usize, of_all: u128) -> bool {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_insert_with(Node::new);
        known.heard = Instant::now();
        print(known.people.iter().map(|(user, devices)| (*user, *devices))) == (people, of_all)
    }

    /// A part of all who are on `node`. With the last one: who has come, and who has gone, from where nobody knew.
    pub(super) fn here(
        &self,
        node: Uuid,
        people: Vec<(UserId, usize)>,
        is_first: bool,
        is_last: bool,
    ) -> (Vec<UserId>, Vec<UserId>) {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_insert_with(Node::new);
        if is_first {
            known.coming.clear();
        }
        known.coming.extend(people);
        if !is_last {
            return (Vec::new(), Vec::new());
        }
        let now = std::mem::take(&mut known.coming);
        let before = std::mem::replace(&mut known.people, now.clone());
        let of_one = |some: &HashMap<UserId, usize>, others: &HashMap<UserId, usize>| {
            some.keys().copied().filter(|user| !others.contains_key(user)).collect::<Vec<_>>()
        };
        let came = of_one(&now, &before).into_iter().filter(|user| self.add(node, *user)).collect();
        let gone = of_one(&before, &now).into_iter().filter(|user| self.remove(node, *user)).collect();
        (came, gone)
    }

    /// Forgets the nodes that have fallen silent. Who has gone with them.
    pub(super) fn forget_silent(&self) -> Vec<UserId> {
        let mut nodes = self.nodes();
        let silent: Vec<_> =
            nodes.iter().filter(|(_, node)| node.heard.elapsed() > SILENCE).map(|(id, _)| *id).collect();
        let mut gone = Vec::new();
        for id in silent {
            let people = nodes.remove(&id).map(|node| node.people).unwrap_or_default();
            gone.extend(people.into_keys().filter(|user| self.remove(id, *user)));
        }
        gone
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<Uuid, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, node: Uuid, user: UserId) -> bool {
        let mut places = self.people.entry(user).or_default();
        places.push(node);
        places.len() == 1
    }

    fn remove(&self, node: Uuid, user: UserId) -> bool {
        if let Some(mut places) = self.people.get_mut(&user) {
            places.retain(|place| *place != node);
        }
        self.people.remove_if(&user, |_, places| places.is_empty()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn user(n: u128) -> UserId {
        UserId::from(Uuid::from_u128(n))
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_here_while_any_node_says_so() {
        let elsewhere = Elsewhere::default();
        assert!(elsewhere.came(A, user(1), 1) && !elsewhere.came(A, user(1), 2));
        assert!(!elsewhere.came(B, user(1), 1));
        assert_eq!((elsewhere.devices(user(1)), elsewhere.devices(user(2))), (3, 0));
        assert!(!elsewhere.went(A, user(1)) && elsewhere.holds(user(1)));
        assert_eq!(elsewhere.devices(user(1)), 1);
        assert!(elsewhere.went(B, user(1)) && !elsewhere.holds(user(1)));
        assert!(!elsewhere.went(B, user(1)), "once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_misheard_is_put_right_by_the_list() {
        let elsewhere = Elsewhere::default();
        elsewhere.came(A, user(1), 1);
        let (count, of_all) = print([(user(2), 4), (user(3), 1)].into_iter());
        assert!(!elsewhere.beat(A, count, of_all));
        assert_eq!(elsewhere.here(A, vec![(user(3), 1)], true, false), (vec![], vec![]), "more is to come");
        let (mut came, gone) = elsewhere.here(A, vec![(user(2), 4)], false, true);
        came.sort_unstable();
        assert_eq!((came, gone), (vec![user(2), user(3)], vec![user(1)]));
        assert!(elsewhere.beat(A, count, of_all));
        assert_eq!(elsewhere.devices(user(2)), 4);
        elsewhere.came(A, user(2), 3);
        assert!(!elsewhere.beat(A, count, of_all), "a device that was miscounted is noticed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_takes_its_people_with_it() {
        let elsewhere = Elsewhere::default();
        elsewhere.came(A, user(1), 1);
        elsewhere.came(A, user(2), 1);
        elsewhere.came(B, user(2), 1);
        tokio::time::advance(SILENCE / 2 + Duration::from_secs(1)).await;
        elsewhere.beat(B, 1, 0);
        assert_eq!(elsewhere.forget_silent(), []);
        tokio::time::advance(SILENCE / 2).await;
        assert_eq!(elsewhere.forget_silent(), [user(1)]);
        assert!(elsewhere.holds(user(2)));
    }
}
