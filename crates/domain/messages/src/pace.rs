//! How often someone may send (S0-181, C-39): a window that slides, exact to the message.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alivio_kernel::ids::UserId;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::Error;

/// What is older than this does not count any more.
pub const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// The same text so long ago is no repetition any more.
const REPETITION: TimeDelta = TimeDelta::minutes(5);
/// Texts that are remembered of each sender.
const REMEMBERED: usize = 20;
/// Senders among whom those who have been silent are looked for.
const SWEEP: usize = 1024;

/// Messages per sender and [`WINDOW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// In ordinary conversations.
    pub ordinary: NonZeroU32,
    /// In emergencies, counted apart.
    pub emergency: NonZeroU32,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self {
            ordinary: const { NonZeroU32::new(20).unwrap() },
            emergency: const { NonZeroU32::new(120).unwrap() },
        }
    }
}

/// A message that someone is about to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Who.
    pub sender: UserId,
    /// Whether it is for an emergency.
    pub emergency: bool,
    /// Keyed digest of what it says, if that is long enough to be a repetition.
    pub text: Option<[u8; 16]>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What someone has sent through another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentElsewhere {
    /// Who.
    pub sender: UserId,
    /// Whether it was for emergencies.
    pub emergency: bool,
    /// How many messages.
    pub count: u32,
    /// When, or when that was heard of.
    pub at: DateTime<Utc>,
}

/// What came of asking to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They may.
    Passed {
        /// How often they have said the same in the last minutes, this time included.
        times: u32,
    },
    /// They may not yet.
    TooMany {
        /// How many they may send per [`WINDOW`].
        limit: u32,
        /// When they may again.
        wait: TimeDelta,
    },
}

/// How often people send.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Pace: Send + Sync {
    /// Counts a message, unless its sender has sent as many as they may.
    ///
    /// Within any [`WINDOW`] MUST pass exactly as many as the limit; what was refused MUST NOT count.
    async fn take(&self, step: &Step) -> Result<Taken, Error>;

    /// Takes back what [`Pace::take`] has counted: nothing was sent.
    async fn give_back(&self, step: &Step) -> Result<(), Error>;

    /// Takes note of what someone has sent through another node.
    ///
    /// MUST count it as if it had been sent here at that time, even beyond the limit.
    async fn note(&self, elsewhere: &SentElsewhere) -> Result<(), Error>;
}

/// The pace of those who send through this process, and of what it was told of the others.
#[derive(Debug, Default)]
pub struct LocalPace {
    limits: PaceLimits,
    senders: Mutex<HashMap<UserId, Sender>>,
}

#[derive(Debug, Default)]
struct Sender {
    ordinary: VecDeque<DateTime<Utc>>,
    emergency: VecDeque<DateTime<Utc>>,
    texts: VecDeque<([u8; 16], DateTime<Utc>)>,
}

impl Sender {
    /// Forgets what has passed: what came first stands first, so only that is looked at. If the clock was set back, what
    /// seems to come counts as of now.
    fn forget(&mut self, now: DateTime<Utc>) {
        for window in [&mut self.ordinary, &mut self.emergency] {
            if window.back().is_some_and(|at| *at > now) {
                window.iter_mut().for_each(|at| *at = now.min(*at));
            }
            while window.pop_front_if(|at| *at <= now - WINDOW).is_some() {}
        }
        self.texts.iter_mut().for_each(|(_, at)| *at = now.min(*at));
        self.texts.retain(|(_, at)| *at > now - REPETITION);
    }

    const fn window(&mut self, emergency: bool) -> &mut VecDeque<DateTime<Utc>> {
        if emergency { &mut self.emergency } else { &mut self.ordinary }
    }

    fn is_silent(&self) -> bool {
        self.ordinary.is_empty() && self.emergency.is_empty() && self.texts.is_empty()
    }
}

impl LocalPace {
    /// Counts by `limits`.
    pub fn new(limits: PaceLimits) -> Self {
        Self { limits, senders: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Sender>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn limit(&self, emergency: bool) -> usize {
        let limit = if emergency { self.limits.emergency } else { self.limits.ordinary };
        limit.get() as usize
    }
}

#[async_trait]
impl Pace for LocalPace {
    async fn take(&self, step: &Step) -> Result<Taken, Error> {
        let mut senders = self.lock();
        // The table doubles before it is swept again, so that this costs each message next to nothing.
        if senders.len() >= SWEEP && senders.len() == senders.capacity() {
            senders.retain(|_, sender| {
                sender.forget(step.at);
                !sender.is_silent()
            });
        }
        let sender = senders.entry(step.sender).or_default();
        sender.forget(step.at);
        let (window, limit) = (sender.window(step.emergency), self.limit(step.emergency));
        // There may be more of them than the limit, from several nodes at once.
        if let Some(excess) = window.len().checked_sub(limit) {
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            return Ok(Taken::TooMany { limit, wait: window[excess] + WINDOW - step.at });
        }
        window.push_back(step.at);
        let Some(text) = step.text else { return Ok(Taken::Passed { times: 1 }) };
        if sender.texts.len() == REMEMBERED {
            sender.texts.pop_front();
        }
        sender.texts.push_back((text, step.at));
        let times = sender.texts.iter().filter(|(known, _)| *known == text).count();
        Ok(Taken::Passed { times: u32::try_from(times).unwrap_or(u32::MAX) })
    }

    async fn give_back(&self, step: &Step) -> Result<(), Error> {
        let mut senders = self.lock();
        let Some(sender) = senders.get_mut(&step.sender) else { return Ok(()) };
        let window = sender.window(step.emergency);
        if let Some(n) = window.iter().rposition(|at| *at == step.at) {
            window.remove(n);
        }
        if let Some(n) = sender.texts.iter().rposition(|text| Some(text.0) == step.text && text.1 == step.at)
        {
            sender.texts.remove(n);
        }
        Ok(())
    }

    async fn note(&self, elsewhere: &SentElsewhere) -> Result<(), Error> {
        let mut senders = self.lock();
        let sender = senders.entry(elsewhere.sender).or_default();
        sender.forget(elsewhere.at);
        let window = sender.window(elsewhere.emergency);
        // However much other nodes say: twice the limit is as good as any more.
        let room = (self.limit(elsewhere.emergency) * 2).saturating_sub(window.len());
        let count = usize::try_from(elsewhere.count).unwrap_or(room).min(room);
        window.extend(std::iter::repeat_n(elsewhere.at, count));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;
    use alivio_kernel::{Clock, ManualClock};
    use proptest::prelude::*;

    use super::*;

    fn step(sender: u128, at: DateTime<Utc>) -> Step {
        Step { sender: Uuid::from_u128(sender).into(), emergency: false, text: None, at }
    }

    async fn passes(pace: &LocalPace, step: &Step) -> bool {
        matches!(pace.take(step).await.unwrap(), Taken::Passed { .. })
    }

    #[tokio::test]
    async fn twenty_pass_and_the_next_waits_until_the_first_is_a_minute_old() {
        let (pace, clock) = (LocalPace::default(), ManualClock::default());
        for _ in 0..20 {
            assert!(passes(&pace, &step(1, clock.now())).await);
            clock.advance(TimeDelta::seconds(1));
        }
        let refused = pace.take(&step(1, clock.now())).await.unwrap();
        assert_eq!(refused, Taken::TooMany { limit: 20, wait: TimeDelta::seconds(40) });
        assert!(passes(&pace, &step(2, clock.now())).await, "each has their own");
        clock.advance(TimeDelta::seconds(40) - TimeDelta::microseconds(1));
        assert!(!passes(&pace, &step(1, clock.now())).await);
        clock.advance(TimeDelta::microseconds(1));
        assert!(passes(&pace, &step(1, clock.now())).await, "to the microsecond");
        assert!(!passes(&pace, &step(1, clock.now())).await, "and only one");
    }

    #[tokio::test]
    async fn emergencies_are_counted_apart_and_generously() {
        let (pace, clock) = (LocalPace::default(), ManualClock::default());
        for _ in 0..20 {
            assert!(passes(&pace, &step(1, clock.now())).await);
        }
        let emergency = Step { emergency: true, ..step(1, clock.now()) };
        for _ in 0..120 {
            assert!(passes(&pace, &emergency).await);
        }
        assert!(!passes(&pace, &emergency).await);
    }

    #[tokio::test]
    async fn what_was_given_back_does_not_count() {
        let (pace, clock) = (LocalPace::default(), ManualClock::default());
        for _ in 0..50 {
            let step = Step { text: Some([1; 16]), ..step(1, clock.now()) };
            assert_eq!(pace.take(&step).await.unwrap(), Taken::Passed { times: 1 });
            pace.give_back(&step).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_sent_through_other_nodes_counts() {
        let (pace, clock) = (LocalPace::default(), ManualClock::default());
        let elsewhere =
            |count, at| SentElsewhere { sender: Uuid::from_u128(1).into(), emergency: false, count, at };
        for _ in 0..8 {
            assert!(passes(&pace, &step(1, clock.now())).await);
        }
        clock.advance(TimeDelta::seconds(10));
        pace.note(&elsewhere(11, clock.now())).await.unwrap();
        assert!(passes(&pace, &step(1, clock.now())).await, "the twentieth");
        assert!(!passes(&pace, &step(1, clock.now())).await);
        assert!(passes(&pace, &step(2, clock.now())).await, "each has their own");
        let emergency = Step { emergency: true, ..step(1, clock.now()) };
        assert!(passes(&pace, &emergency).await);
        // Ten too many, from nodes that had not heard of each other: fewer pass later.
        pace.note(&elsewhere(10, clock.now())).await.unwrap();
        let refused = pace.take(&step(1, clock.now())).await.unwrap();
        assert_eq!(refused, Taken::TooMany { limit: 20, wait: TimeDelta::minutes(1) });
        clock.advance(TimeDelta::seconds(50));
        assert!(
            !passes(&pace, &step(1, clock.now())).await,
            "the first eight are forgotten, and 22 are left"
        );
        clock.advance(TimeDelta::seconds(10));
        assert!(passes(&pace, &step(1, clock.now())).await);
        pace.note(&elsewhere(u32::MAX, clock.now())).await.unwrap();
        clock.advance(WINDOW);
        assert!(passes(&pace, &step(1, clock.now())).await);
    }

    #[tokio::test]
    async fn a_clock_set_back_locks_nobody_out_and_lets_nobody_in() {
        let (pace, clock) = (LocalPace::default(), ManualClock::default());
        for _ in 0..20 {
            assert!(passes(&pace, &step(1, clock.now())).await);
        }
        clock.advance(TimeDelta::hours(-1));
        assert!(!passes(&pace, &step(1, clock.now())).await);
        clock.advance(WINDOW);
        assert!(passes(&pace, &step(1, clock.now())).await);
    }

    #[tokio::test]
    async fn the_same_text_is_counted_for_five_minutes() {
        let (pace, clock) = (LocalPace::default(), ManualClock::default());
        let say = |text: u8| Step { text: Some([text; 16]), ..step(1, clock.now()) };
        assert_eq!(pace.take(&say(1)).await.unwrap(), Taken::Passed { times: 1 });
        assert_eq!(pace.take(&say(2)).await.unwrap(), Taken::Passed { times: 1 });
        assert_eq!(pace.take(&say(1)).await.unwrap(), Taken::Passed { times: 2 });
        clock.advance(REPETITION);
        assert_eq!(pace.take(&say(1)).await.unwrap(), Taken::Passed { times: 1 });
    }

    proptest! {
        /// However they come, in no minute do more pass than the limit, and none is refused while fewer have.
        #[test]
        fn the_window_is_exact(gaps in prop::collection::vec(0..20_i64, 1..120)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (pace, clock) = (LocalPace::default(), ManualClock::default());
            let mut passed: Vec<DateTime<Utc>> = Vec::new();
            for gap in gaps {
                clock.advance(TimeDelta::seconds(gap));
                let now = clock.now();
                let before = passed.iter().filter(|at| **at > now - WINDOW).count();
                let passes = runtime.block_on(passes(&pace, &step(1, now)));
                prop_assert_eq!(passes, before < 20);
                if passes {
                    passed.push(now);
                }
            }
        }
    }
}
