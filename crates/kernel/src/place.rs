use std::collections::BTreeSet;

/// A place in a row of things that many transactions write at once: the transaction that made a thing, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The transaction.
    pub transaction: u64,
    /// The number; within a transaction it counts up.
    pub number: i64,
}

impl Place {
    /// Behind all that transactions before `horizon` have made.
    pub const fn before(horizon: u64) -> Self {
        Self { transaction: horizon.saturating_sub(1), number: i64::MAX }
    }
}

/// Follows such a row for one who does not want to wait for transactions that are still at work.
///
/// Transactions end in another order than they begin in. Whoever reads only below the horizon (the oldest one still at
/// work) misses nothing, but waits for the slowest of all. This one reads everything that can be seen, and remembers of
/// what lies beyond the horizon what it was: each thing is new once, and nothing that is committed late is missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    horizon: u64,
    beyond: BTreeSet<Place>,
}

impl Follower {
    /// From here on: what transactions before `horizon` have made is known.
    pub const fn from(horizon: u64) -> Self {
        Self { horizon, beyond: BTreeSet::new() }
    }

    /// Where to read from.
    pub const fn start(&self) -> Place {
        Place::before(self.horizon)
    }

    /// Whether the thing at `place` has been met.
    pub fn knows(&self, place: Place) -> bool {
        self.beyond.contains(&place)
    }

    /// Meets the thing at `place`. Whether it is new.
    pub fn meet(&mut self, place: Place) -> bool {
        self.beyond.insert(place)
    }

    /// Everything behind [`Follower::start`] was met; transactions before `horizon` were over when that was read.
    pub fn pass(&mut self, horizon: u64) {
        self.horizon = horizon;
        self.beyond = self.beyond.split_off(&Place { transaction: horizon, number: i64::MIN });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(transaction: u64, number: i64) -> Place {
        Place { transaction, number }
    }

    #[test]
    fn what_is_committed_late_is_met_and_nothing_twice() {
        let mut follower = Follower::from(10);
        assert!(follower.start() < place(10, i64::MIN) && follower.start() > place(9, 7));
        // 10 is still at work while 11 can be seen.
        assert!(follower.meet(place(11, 1)));
        follower.pass(10);
        assert!(!follower.meet(place(11, 1)) && follower.meet(place(10, 2)));
        follower.pass(12);
        assert_eq!(follower, Follower::from(12), "nothing is remembered for ever");
    }
}
