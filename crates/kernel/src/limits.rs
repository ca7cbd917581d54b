use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::Clock;
use crate::ids::UserId;

/// Counts how often someone asks, over all nodes of an installation.
///
/// Each bucket is a leaky one (GCRA): a whole minute's worth at once, then one for each that has trickled in.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Takes one from the asker's bucket for `quota`, if there is one.
    ///
    /// MUST let pass exactly as many as the quota says, whoever asks at the same time; on other nodes, too, if it is
    /// [`Precision::Exact`] and the nodes reach each other. A refusal MUST NOT count. MUST answer at once and MUST NOT
    /// fail: a node that reaches no other counts by itself.
    async fn take(&self, asker: Asker, quota: &Quota) -> Verdict;
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    /// Someone who is signed in.
    Account(UserId),
    /// A network address, or the first one of those that one subscriber has.
    Network(IpAddr),
    /// Someone without an address, as over a local socket.
    Nowhere,
}

impl Asker {
    /// Whoever asks from `address`. IPv6 addresses count by /64, of which one subscriber has as many as they like.
    pub fn at(address: Option<IpAddr>) -> Self {
        match address {
            None => Self::Nowhere,
            Some(IpAddr::V4(address)) => Self::Network(address.into()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Network(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }

    /// The same bytes for the same asker, on every node.
    pub fn to_bytes(self) -> [u8; 17] {
        let (kind, bytes) = match self {
            Self::Account(user) => (1, user.uuid().into_bytes()),
            Self::Network(IpAddr::V4(address)) => (2, address.to_ipv6_mapped().octets()),
            Self::Network(IpAddr::V6(address)) => (3, address.octets()),
            Self::Nowhere => (4, [0; 16]),
        };
        let mut all = [kind; 17];
        all[1..].copy_from_slice(&bytes);
        all
    }
}

/// How often one may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What is counted; of each name there is one quota.
    pub name: &'static str,
    /// So many per minute.
    pub per_minute: NonZeroU32,
    /// How exact that is over several nodes.
    pub precision: Precision,
}

/// How exact a quota is over several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Not one more passes anywhere: all nodes are asked each time.
    Exact,
    /// Nodes tell each other a moment later, and nobody waits for that. What passed too much meanwhile is owed: less
    /// passes afterwards.
    Soon,
}

impl Quota {
    /// How long it takes until one has trickled in.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_micros((60_000_000 / u64::from(self.per_minute.get())).max(1))
    }

    /// How long it takes until all have.
    #[must_use]
    pub fn whole(&self) -> Duration {
        self.interval() * self.per_minute.get()
    }

    /// How long one who has left `owed` to trickle in waits for the next; not at all if there is one.
    #[must_use]
    pub fn wait(&self, owed: Duration) -> Option<Duration> {
        (owed + self.interval()).checked_sub(self.whole()).filter(|wait| !wait.is_zero())
    }

    /// The most that anyone owes, however many nodes they have asked at once.
    #[must_use]
    pub fn most_owed(&self) -> Duration {
        self.whole() * 2
    }
}

/// What one who asks is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How many pass at once.
    pub limit: u32,
    /// How many more would pass now.
    pub remaining: u32,
    /// How long it takes until all are there again.
    pub reset: Duration,
    /// How long to wait, if it is refused.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// Of one who has left `owed` to trickle in, and is refused for as long as `retry_after` if that is not `None`.
    #[must_use]
    pub fn new(quota: &Quota, owed: Duration, retry_after: Option<Duration>) -> Self {
        let room = quota.whole().saturating_sub(owed).as_micros() / quota.interval().as_micros();
        let remaining = u32::try_from(room).unwrap_or(u32::MAX).min(quota.per_minute.get());
        Self { limit: quota.per_minute.get(), remaining, reset: owed, retry_after }
    }

    /// Whether it passes.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.retry_after.is_none()
    }
}

/// More are not counted one by one: some 10 MB for each quota.
const MAX_ASKERS: usize = 100_000;
/// Below it is not worth looking for what can be forgotten.
const MIN_SWEPT: usize = 1024;
/// How often that is looked for.
const SWEEP_EVERY: usize = 256;
/// How many buckets a crowd shares.
const CROWD: u64 = 1024;

/// The buckets of this process, and what it knows of those of the others.
pub struct LocalLimiter {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    max_askers: usize,
    buckets: Mutex<HashMap<&'static str, Buckets>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counted {
    One(Asker),
    /// One of a few that everyone shares while there are too many to count each.
    Crowd(u64),
}

/// The buckets of one quota.
#[derive(Default)]
struct Buckets {
    /// When each is full again; those that are full need not be remembered.
    full_at: HashMap<Counted, DateTime<Utc>>,
    asked: usize,
    is_crowded: bool,
}

impl Buckets {
    /// Forgets buckets that are full again, and finds out whether there is room for new ones.
    fn sweep(&mut self, now: DateTime<Utc>, max_askers: usize) {
        if self.full_at.len() >= MIN_SWEPT.min(max_askers) {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        self.is_crowded = self.full_at.len() >= max_askers;
    }

    /// What is left to trickle in. If the clock was set back, that is from now on no more than it ever can be.
    fn owed(&mut self, counted: Counted, now: DateTime<Utc>, quota: &Quota) -> Duration {
        let Some(full_at) = self.full_at.get(&counted) else { return Duration::ZERO };
        let (owed, most) = ((*full_at - now).to_std().unwrap_or_default(), quota.most_owed());
        if owed > most {
            self.set(counted, now, most);
        }
        owed.min(most)
    }

    fn set(&mut self, counted: Counted, now: DateTime<Utc>, owed: Duration) {
        self.full_at.insert(counted, now + TimeDelta::from_std(owed).unwrap_or_default());
    }
}

impl LocalLimiter {
    /// Empty, by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, hasher: RandomState::new(), max_askers: MAX_ASKERS, buckets: Mutex::default() }
    }

    /// [`Limiter::take`], of this process.
    pub fn take_here(&self, asker: Asker, quota: &Quota) -> Verdict {
        self.with(asker, quota, |buckets, counted, now| {
            let owed = buckets.owed(counted, now, quota);
            if let Some(wait) = quota.wait(owed) {
                return Verdict::new(quota, owed, Some(wait));
            }
            let then = owed + quota.interval();
            buckets.set(counted, now, then);
            Verdict::new(quota, then, None)
        })
    }

    /// The refusal that [`LocalLimiter::take_here`] would answer; nothing is taken.
    pub fn refusal(&self, asker: Asker, quota: &Quota) -> Option<Verdict> {
        self.with(asker, quota, |buckets, counted, now| {
            let owed = buckets.owed(counted, now, quota);
            quota.wait(owed).map(|wait| Verdict::new(quota, owed, Some(wait)))
        })
    }

    /// Takes note of what someone owes to all nodes together, if that is more than is known here.
    pub fn learn(&self, asker: Asker, quota: &Quota, owed: Duration) {
        self.with(asker, quota, |buckets, counted, now| {
            if owed > buckets.owed(counted, now, quota) {
                buckets.set(counted, now, owed);
            }
        });
    }

    fn with<T>(
        &self,
        asker: Asker,
        quota: &Quota,
        work: impl FnOnce(&mut Buckets, Counted, DateTime<Utc>) -> T,
    ) -> T {
        let (mut all, now) = (self.lock(), self.clock.now());
        let buckets = all.entry(quota.name).or_default();
        if buckets.asked.is_multiple_of(SWEEP_EVERY) {
            buckets.sweep(now, self.max_askers);
        }
        buckets.asked = buckets.asked.wrapping_add(1);
        let counted = if buckets.is_crowded {
            Counted::Crowd(self.hasher.hash_one(asker) % CROWD)
        } else {
            Counted::One(asker)
        };
        work(buckets, counted, now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Buckets>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Limiter for LocalLimiter {
    async fn take(&self, asker: Asker, quota: &Quota) -> Verdict {
        self.take_here(asker, quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;
    use crate::ids::Uuid;

    const ONE: Asker = Asker::Nowhere;

    fn quota(per_minute: u32) -> Quota {
        let per_minute = NonZeroU32::new(per_minute).unwrap();
        Quota { name: "tests", per_minute, precision: Precision::Soon }
    }

    fn limiter() -> (LocalLimiter, Arc<ManualClock>) {
        let clock = Arc::<ManualClock>::default();
        (LocalLimiter::new(Arc::clone(&clock) as _), clock)
    }

    fn at(address: &str) -> Asker {
        Asker::at(Some(address.parse().unwrap()))
    }

    fn passed(limiter: &LocalLimiter, asker: Asker, quota: &Quota, times: usize) -> usize {
        (0..times).filter(|_| limiter.take_here(asker, quota).passes()).count()
    }

    #[test]
    fn as_many_as_the_limit_pass_and_one_more_does_not() {
        for limit in [1, 7, 20, 30, 1200] {
            let ((limiter, clock), quota) = (limiter(), quota(limit));
            for asked in 1..=limit {
                let verdict = limiter.take_here(ONE, &quota);
                assert!(verdict.passes(), "{asked} of {limit}");
                assert_eq!((verdict.limit, verdict.remaining), (limit, limit - asked));
            }
            assert_eq!(limiter.take_here(ONE, &quota).retry_after, Some(quota.interval()), "{limit}");
            // Who waits as told gets exactly as many as have trickled in; refusals cost nothing.
            assert_eq!(passed(&limiter, ONE, &quota, 5), 0);
            let interval = TimeDelta::from_std(quota.interval()).unwrap();
            clock.advance(interval - TimeDelta::microseconds(1));
            assert_eq!(passed(&limiter, ONE, &quota, 1), 0, "{limit}: a little too early");
            clock.advance(TimeDelta::microseconds(1));
            assert_eq!(passed(&limiter, ONE, &quota, 5), 1, "{limit}");
        }
    }

    #[test]
    fn a_quiet_minute_gives_all_back_and_no_more() {
        let ((limiter, clock), quota) = (limiter(), quota(30));
        assert_eq!(passed(&limiter, ONE, &quota, 100), 30);
        for minutes in [1, 60] {
            clock.advance(TimeDelta::minutes(minutes));
            assert_eq!(passed(&limiter, ONE, &quota, 100), 30);
        }
    }

    #[test]
    fn the_reset_is_when_all_is_there_again() {
        let ((limiter, clock), quota) = (limiter(), quota(30));
        assert_eq!(limiter.take_here(ONE, &quota).reset, Duration::from_secs(2));
        let last = (0..29).map(|_| limiter.take_here(ONE, &quota)).last().unwrap();
        assert_eq!(last.reset, Duration::from_secs(60));
        clock.advance(TimeDelta::from_std(last.reset).unwrap());
        assert_eq!(limiter.take_here(ONE, &quota).remaining, 29);
    }

    #[test]
    fn one_who_asks_too_much_takes_nothing_from_others() {
        let ((limiter, _), quota) = (limiter(), quota(5));
        let account = |n| Asker::Account(UserId::from(Uuid::from_u128(n)));
        passed(&limiter, at("192.0.2.1"), &quota, 100);
        passed(&limiter, account(1), &quota, 100);
        for other in [at("192.0.2.2"), at("2001:db8::1"), account(2), Asker::Nowhere] {
            assert_eq!(limiter.take_here(other, &quota).remaining, 4, "{other:?}");
        }
        let other_quota = Quota { name: "others", ..quota };
        assert_eq!(limiter.take_here(account(1), &other_quota).remaining, 4);
    }

    #[test]
    fn addresses_of_one_subscriber_are_one() {
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        let mapped = Asker::Network("::ffff:192.0.2.1".parse().unwrap());
        assert_ne!(at("192.0.2.1").to_bytes(), mapped.to_bytes());
    }

    #[test]
    fn what_is_owed_to_others_is_paid_here() {
        let ((limiter, clock), quota) = (limiter(), quota(60));
        limiter.take_here(ONE, &quota);
        limiter.learn(ONE, &quota, Duration::from_secs(58));
        assert_eq!(limiter.refusal(ONE, &quota), None);
        assert_eq!(passed(&limiter, ONE, &quota, 10), 2);
        let refused = limiter.refusal(ONE, &quota).unwrap();
        assert_eq!((refused.remaining, refused.retry_after), (0, Some(Duration::from_secs(1))));
        // Less than is known says nothing new.
        limiter.learn(ONE, &quota, Duration::from_secs(3));
        assert_eq!(passed(&limiter, ONE, &quota, 10), 0);
        // What passed too much elsewhere holds up those that come after.
        limiter.learn(ONE, &quota, Duration::from_secs(90));
        assert_eq!(limiter.take_here(ONE, &quota).retry_after, Some(Duration::from_secs(31)));
        clock.advance(TimeDelta::seconds(31));
        assert_eq!(passed(&limiter, ONE, &quota, 10), 1);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_for_long() {
        let ((limiter, clock), quota) = (limiter(), quota(60));
        assert_eq!(passed(&limiter, ONE, &quota, 100), 60);
        clock.advance(TimeDelta::days(-1));
        assert_eq!(passed(&limiter, ONE, &quota, 1), 0);
        clock.advance(TimeDelta::minutes(2));
        assert_eq!(passed(&limiter, ONE, &quota, 100), 60);
    }

    #[test]
    fn however_many_ask_memory_has_an_end() {
        let (limiter, clock) = limiter();
        let (limiter, quota) = (LocalLimiter { max_askers: 2000, ..limiter }, quota(30));
        let known = || limiter.lock()["tests"].full_at.len();
        for n in 0..20_000_u32 {
            limiter.take_here(Asker::at(Some(IpAddr::from(n.to_be_bytes()))), &quota);
        }
        let most = 2000 + SWEEP_EVERY + usize::try_from(CROWD).unwrap();
        assert!(known() <= most, "{}", known());
        // Even a crowd is limited.
        assert!(passed(&limiter, at("203.0.113.9"), &quota, 3000) <= 30);
        // Some quiet time later all is forgotten, and everyone counts by themselves again.
        clock.advance(TimeDelta::minutes(2));
        passed(&limiter, at("192.0.2.1"), &quota, SWEEP_EVERY + 1);
        assert!(known() <= 2, "{}", known());
        assert_eq!(limiter.take_here(at("192.0.2.2"), &quota).remaining, 29);
    }
}
