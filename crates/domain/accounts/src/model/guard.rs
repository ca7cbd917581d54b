//! How often passwords may be tried: a short lock after each wrong one, twice as long each time, and never more
//! than ten tries per hour. Whoever waits the lock out is let in; nobody is locked out for good (AU-03).

use chrono::{DateTime, TimeDelta, Utc};

/// Tries that one key may make in any [`WINDOW`].
pub const MAX_TRIES: usize = 10;
/// See [`MAX_TRIES`].
pub const WINDOW: TimeDelta = TimeDelta::hours(1);
/// No lock lasts longer.
pub const LONGEST_LOCK: TimeDelta = TimeDelta::hours(1);
/// Without a try for so long, everything is forgotten.
pub const FORGET: TimeDelta = TimeDelta::hours(24);

/// What guesses are counted by: an address, or an address on a device that has signed in to it before. A keyed
/// digest, so that addresses without an account are counted alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuardKey(pub [u8; 16]);

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryResult {
    /// The password was right.
    Right,
    /// The password was wrong.
    Wrong,
    /// It was not looked at after all, and does not count.
    Withdrawn,
    /// It had not been admitted. Changes nothing, and takes as long as the others.
    Refused,
}

/// What is remembered of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The last tries, oldest first, at most [`MAX_TRIES`].
    tries: Vec<DateTime<Utc>>,
    /// Wrong passwords since the last right one.
    failures: u32,
    locked_until: Option<DateTime<Utc>>,
}

impl Guard {
    /// The lock after wrong password number `failures`, from 1: a second, doubling.
    pub fn lock(failures: u32) -> TimeDelta {
        TimeDelta::seconds(1_i64 << failures.saturating_sub(1).min(12)).min(LONGEST_LOCK)
    }

    /// Asks to try a password. A try that is admitted counts at once, so that many at the same time do not slip
    /// through; its result is to follow by [`Guard::settle`].
    pub fn admit(&mut self, now: DateTime<Utc>) -> bool {
        if self.tries.last().is_some_and(|last| *last + FORGET <= now) {
            *self = Self::default();
        }
        let locked = self.locked_until.is_some_and(|until| now < until);
        let spent = self.tries.len() >= MAX_TRIES && self.tries.first().is_some_and(|at| now < *at + WINDOW);
        if locked || spent {
            return false;
        }
        if self.tries.len() >= MAX_TRIES {
            self.tries.remove(0);
        }
        self.tries.push(now);
        true
    }

    /// Takes note of what came of a try.
    pub fn settle(&mut self, result: TryResult, now: DateTime<Utc>) {
        match result {
            TryResult::Right => *self = Self::default(),
            TryResult::Wrong => {
                self.failures = self.failures.saturating_add(1);
                self.locked_until = self.locked_until.max(Some(now + Self::lock(self.failures)));
            }
            TryResult::Withdrawn => drop(self.tries.pop()),
            TryResult::Refused => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
    }

    #[test]
    fn locks_double_up_to_an_hour() {
        let seconds: Vec<_> = (1..=14).map(|n| Guard::lock(n).num_seconds()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
        assert_eq!(Guard::lock(u32::MAX), LONGEST_LOCK);
    }

    #[test]
    fn a_wrong_password_locks_and_waiting_unlocks() {
        let mut guard = Guard::default();
        assert!(guard.admit(at(0)));
        guard.settle(TryResult::Wrong, at(0));
        assert!(!guard.admit(at(0)));
        assert!(guard.admit(at(1)));
        guard.settle(TryResult::Wrong, at(1));
        assert!(!guard.admit(at(2)));
        assert!(guard.admit(at(3)));
    }

    #[test]
    fn two_wrong_ones_at_once_count_twice() {
        let mut guard = Guard::default();
        assert!(guard.admit(at(0)) && guard.admit(at(0)));
        guard.settle(TryResult::Wrong, at(0));
        guard.settle(TryResult::Wrong, at(0));
        assert!(!guard.admit(at(1)), "the second lock lasts two seconds");
        assert!(guard.admit(at(2)));
    }

    #[test]
    fn a_right_password_resets_and_a_withdrawn_try_does_not_count() {
        let mut guard = Guard::default();
        for second in 0..50 {
            assert!(guard.admit(at(second)));
            guard.settle(TryResult::Right, at(second));
        }
        for _ in 0..50 {
            assert!(guard.admit(at(60)));
            guard.settle(TryResult::Withdrawn, at(60));
        }
    }

    #[test]
    fn more_than_ten_at_once_are_refused() {
        let mut guard = Guard::default();
        assert_eq!((0..50).filter(|_| guard.admit(at(0))).count(), MAX_TRIES);
        assert!(!guard.admit(at(3599)));
        assert!(guard.admit(at(3600)));
    }

    proptest! {
        /// Whatever an attacker does, without the password they get ten tries in any hour.
        #[test]
        fn no_hour_holds_more_than_ten_wrong_tries(waits in prop::collection::vec(0_i64..4000, 1..200)) {
            let (mut guard, mut now, mut tries) = (Guard::default(), 0, Vec::new());
            for wait in waits {
                now += wait;
                if guard.admit(at(now)) {
                    tries.push(now);
                    guard.settle(TryResult::Wrong, at(now));
                } else {
                    guard.settle(TryResult::Refused, at(now));
                }
            }
            for window in tries.windows(MAX_TRIES + 1) {
                prop_assert!(window[MAX_TRIES] - window[0] >= WINDOW.num_seconds(), "{window:?}");
            }
        }

        /// However long it was attacked, after the longest lock one try is admitted.
        #[test]
        fn nobody_is_locked_out_for_good(waits in prop::collection::vec(0_i64..4000, 1..200)) {
            let (mut guard, mut now) = (Guard::default(), 0);
            for wait in waits {
                now += wait;
                if guard.admit(at(now)) {
                    guard.settle(TryResult::Wrong, at(now));
                }
            }
            prop_assert!(guard.admit(at(now) + LONGEST_LOCK));
        }
    }
}
