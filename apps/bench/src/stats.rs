//! What was measured: times in a histogram of fixed size, seqs checked one by one, a report.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// Steps per doubling: times are kept to within 1/64, about 1.6 %.
const STEPS: u64 = 64;
/// Microseconds that are counted one by one.
const EXACT: u64 = 2 * STEPS;
/// Up to 2^40 µs, twelve days.
const BUCKETS: usize = (2 * STEPS + 33 * STEPS) as usize;

/// How often each duration occurred.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max_us: 0 }
    }
}

impl Histogram {
    /// Counts `duration`.
    pub(crate) fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(us)] += 1;
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Counts all that `other` has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many durations were counted.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The least duration that `share` of all do not exceed, in milliseconds. 0 if there are none.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let rank = (share * self.total as f64).ceil().max(1.0);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen as f64 >= rank {
                return (highest_in(index).min(self.max_us)) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The times that are shown.
    pub(crate) fn summary(&self) -> Times {
        Times {
            p50_ms: self.quantile_ms(0.5),
            p99_ms: self.quantile_ms(0.99),
            p999_ms: self.quantile_ms(0.999),
            max_ms: self.max_us as f64 / 1000.0,
        }
    }
}

/// Each doubling above [`EXACT`] has [`STEPS`] buckets of equal width.
fn bucket(us: u64) -> usize {
    let index = if us < EXACT {
        us
    } else {
        let doubling = u64::from(us.ilog2() - EXACT.ilog2());
        EXACT + doubling * STEPS + ((us >> (doubling + 1)) - STEPS)
    };
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The greatest duration that falls into a bucket.
fn highest_in(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let (doubling, step) = ((index - EXACT) / STEPS, (index - EXACT) % STEPS);
    ((STEPS + step + 1) << (doubling + 1)) - 1
}

/// Checks that a receiver gets 1, 2, 3 … .
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    last: u64,
    missing: BTreeSet<u64>,
    late: u64,
    repeated: u64,
}

impl Sequence {
    /// `seq` has arrived.
    pub(crate) fn saw(&mut self, seq: u64) {
        if seq > self.last {
            self.missing.extend(self.last + 1..seq);
            self.last = seq;
        } else if self.missing.remove(&seq) {
            self.late += 1;
        } else {
            self.repeated += 1;
        }
    }

    /// All up to here has arrived.
    pub(crate) fn complete_up_to(&self) -> u64 {
        self.missing.first().map_or(self.last, |missing| missing - 1)
    }

    /// Whether all up to `end` has arrived.
    pub(crate) fn is_complete(&self, end: u64) -> bool {
        self.complete_up_to() >= end
    }

    /// How many came after others that belong behind them.
    pub(crate) const fn late(&self) -> u64 {
        self.late
    }

    /// How many came again.
    pub(crate) const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How many of those up to `end` have not arrived.
    pub(crate) fn lost(&self, end: u64) -> u64 {
        self.missing.len() as u64 + end.saturating_sub(self.last)
    }
}

/// What one socket has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Messages of its own, until they were acknowledged; only those of the measured time.
    pub(crate) acks: Histogram,
    /// Messages, until they were delivered to it, its own included; only those of the measured time.
    pub(crate) deliveries: Histogram,
    /// What it has got, over the whole time.
    pub(crate) sequence: Sequence,
    /// How often it lost its connection, above all because the server found it too slow, and came back.
    pub(crate) reconnects: u64,
    /// How often it cut its connection itself, and came back.
    pub(crate) cuts: u64,
    /// Where its conversation ended.
    pub(crate) end: u64,
}

/// What a load ends in.
pub(crate) trait Outcome: Serialize {
    /// For people.
    fn table(&self) -> String;

    /// Whether all went well.
    fn is_flawless(&self) -> bool {
        true
    }

    /// What to print, for programs or for people, and whether all went well.
    fn told(&self, is_json: bool) -> (String, bool) {
        // Plain numbers and texts always serialise.
        let text =
            if is_json { serde_json::to_string_pretty(self).unwrap_or_default() } else { self.table() };
        (text, self.is_flawless())
    }
}

/// Times, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Times {
    /// The median.
    pub(crate) p50_ms: f64,
    /// What one in a hundred exceeds.
    pub(crate) p99_ms: f64,
    /// What one in a thousand exceeds.
    pub(crate) p999_ms: f64,
    /// The longest.
    pub(crate) max_ms: f64,
}

/// The result.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    load: String,
    conversations: usize,
    sockets: usize,
    senders: usize,
    in_flight: u16,
    characters: u16,
    seconds: f64,
    messages: u64,
    messages_per_second: f64,
    acknowledged: Times,
    deliveries: u64,
    deliveries_per_second: f64,
    delivered: Times,
    lost: u64,
    out_of_order: u64,
    repeated: u64,
    reconnects: u64,
    cuts: u64,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Setting {
    /// In words.
    pub(crate) load: String,
    /// How many conversations.
    pub(crate) conversations: usize,
    /// How many of the sockets send.
    pub(crate) senders: usize,
    /// Messages on their way per sender.
    pub(crate) in_flight: u16,
    /// Characters per message.
    pub(crate) characters: u16,
    /// The measured time.
    pub(crate) measured: Duration,
}

impl Report {
    /// Puts together what all sockets have seen.
    pub(crate) fn new(setting: Setting, seen: &[Seen]) -> Self {
        let (mut acks, mut deliveries) = (Histogram::default(), Histogram::default());
        for one in seen {
            acks.add(&one.acks);
            deliveries.add(&one.deliveries);
        }
        let seconds = setting.measured.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Self {
            load: setting.load,
            conversations: setting.conversations,
            sockets: seen.len(),
            senders: setting.senders,
            in_flight: setting.in_flight,
            characters: setting.characters,
            seconds,
            messages: acks.total(),
            messages_per_second: per_second(acks.total()),
            acknowledged: acks.summary(),
            deliveries: deliveries.total(),
            deliveries_per_second: per_second(deliveries.total()),
            delivered: deliveries.summary(),
            lost: seen.iter().map(|one| one.sequence.lost(one.end)).sum(),
            out_of_order: seen.iter().map(|one| one.sequence.late).sum(),
            repeated: seen.iter().map(|one| one.sequence.repeated).sum(),
            reconnects: seen.iter().map(|one| one.reconnects).sum(),
            cuts: seen.iter().map(|one| one.cuts).sum(),
        }
    }

    /// Messages per second, and how long they took until they were delivered.
    pub(crate) const fn point(&self) -> (f64, Times) {
        (self.messages_per_second, self.delivered)
    }
}

impl Outcome for Report {
    fn table(&self) -> String {
        let Self { load, conversations, sockets, senders, in_flight, characters, seconds, .. } = self;
        let mut table = format!(
            "{load}: {conversations} conversation(s), {sockets} sockets, {senders} senders with {in_flight} in flight, \
             {characters} characters, {seconds} s\n\n\
             {:<14}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}\n",
            "", "total", "per second", "p50 ms", "p99 ms", "p99.9 ms", "max ms"
        );
        let rows = [
            ("acknowledged", self.messages, self.messages_per_second, &self.acknowledged),
            ("delivered", self.deliveries, self.deliveries_per_second, &self.delivered),
        ];
        for (name, total, rate, times) in rows {
            // Writing to a String does not fail.
            writeln!(
                table,
                "{name:<14}{total:>12}{rate:>12.0}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
                times.p50_ms, times.p99_ms, times.p999_ms, times.max_ms
            )
            .ok();
        }
        let Self { lost, out_of_order, repeated, reconnects, cuts, .. } = self;
        write!(table, "\nlost {lost} · out of order {out_of_order} · repeated {repeated}").ok();
        write!(table, " · connections lost and resumed {reconnects} · cut and resumed {cuts}").ok();
        table
    }

    fn is_flawless(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0 && self.repeated == 0
    }
}

/// Mann-Whitney U, two-sided, by the normal approximation with ties: how likely two lists differ so much by chance.
pub(crate) fn rank_test(a: &[Duration], b: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> =
        a.iter().map(|time| (*time, true)).chain(b.iter().map(|time| (*time, false))).collect();
    all.sort_unstable();
    let (mut ranks_of_a, mut ties, mut start) = (0.0, 0.0, 0);
    while start < all.len() {
        let same = all[start..].iter().take_while(|(time, _)| *time == all[start].0).count();
        // Those that are equal share the mean of their ranks.
        let rank = (2 * start + same + 1) as f64 / 2.0;
        ranks_of_a += rank * all[start..start + same].iter().filter(|(_, is_a)| *is_a).count() as f64;
        ties += (same as f64).powi(3) - same as f64;
        start += same;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let total = n + m;
    let u = ranks_of_a - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    both_tails(z)
}

/// The chance of being at least `z` standard deviations away (Abramowitz and Stegun 26.2.17).
fn both_tails(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = series.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    (2.0 * sum * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_a_bucket_that_holds_it() {
        for us in (0..5_000).chain((0..40).map(|n| 1 << n)).chain([u64::MAX]) {
            let index = bucket(us);
            assert!(index < BUCKETS);
            if us < 1 << 39 {
                assert!(highest_in(index) >= us, "{us}");
                assert!(highest_in(index) <= us + us / STEPS, "{us} is counted as {}", highest_in(index));
            }
        }
        assert!((0..5_000).is_sorted_by_key(bucket));
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let mut histogram = Histogram::default();
        assert!(histogram.quantile_ms(0.5).abs() < f64::EPSILON);
        for us in 1..=100_u64 {
            histogram.record(Duration::from_micros(us));
        }
        for (share, expected) in [(0.5, 0.05), (0.99, 0.099), (1.0, 0.1), (0.0, 0.001)] {
            assert!((histogram.quantile_ms(share) - expected).abs() < 1e-9, "{share}");
        }
        let mut twice = histogram.clone();
        twice.add(&histogram);
        assert_eq!(twice.total(), 200);
        assert!((twice.quantile_ms(0.5) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn gaps_repeats_and_late_ones_are_told_apart() {
        let mut sequence = Sequence::default();
        for seq in [1, 2, 5, 3, 3, 5] {
            sequence.saw(seq);
        }
        assert_eq!((sequence.late, sequence.repeated), (1, 2));
        assert_eq!(sequence.lost(7), 3, "4, 6 and 7");
        assert_eq!(sequence.complete_up_to(), 3);
        assert!(!sequence.is_complete(5));
        sequence.saw(4);
        assert!(sequence.is_complete(5));
    }

    #[test]
    fn the_rank_test_tells_shifted_lists_from_equal_ones() {
        let list =
            |from: u64| -> Vec<_> { (0..100).map(|n| Duration::from_micros(from + n * 7 % 100)).collect() };
        assert!(rank_test(&list(0), &list(0)) > 0.9);
        assert!(rank_test(&list(0), &list(30)) < 0.001);
        assert!((both_tails(1.959_964) - 0.05).abs() < 1e-4);
        assert_eq!(rank_test(&[Duration::ZERO; 5], &[Duration::ZERO; 5]), 1.0);
    }
}
