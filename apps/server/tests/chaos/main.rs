//! The chaos run: people write, read, change what they said, come and go, while servers, connections and PostgreSQL
//! are killed, frozen and cut by a schedule that a seed decides. In the end the checker finds nothing.
//!
//! `CHAOS_SECONDS`, `CHAOS_MESSAGES` and `CHAOS_SEED` change how long it lasts and what happens: `just soak`. People sign
//! in once, so a run must be over before their tokens are.
#![cfg(test)]

mod faults;
mod people;
mod stage;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alivio_checker::{End, check};

use faults::Fault;
use people::Cast;
use stage::Stage;

/// So many faults of so many kinds are the least that proves something.
const FAULTS: usize = 25;
const KINDS: usize = 5;
/// Between two faults people get so long to do something.
const QUIET: Duration = Duration::from_millis(900);

/// A small generator of random numbers: what matters is that the choices differ.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_shown_to_the_wrong_ones() {
    let seed = setting("CHAOS_SEED", u64::from(std::process::id()));
    println!("CHAOS_SEED={seed}");
    let (lasts, enough) =
        (Duration::from_secs(setting("CHAOS_SECONDS", 100)), setting("CHAOS_MESSAGES", 20_000));
    let mut chance = Chance::new(seed);
    let mut stage = Stage::open().await;
    let cast = Cast::begin(&stage, seed).await;

    let began = Instant::now();
    let mut kinds: BTreeMap<Fault, usize> = BTreeMap::new();
    loop {
        let total: usize = kinds.values().sum();
        if total >= FAULTS && (began.elapsed() >= lasts || cast.acknowledged() >= enough) {
            break;
        }
        tokio::time::sleep(QUIET.mul_f64(0.5) + Duration::from_millis(chance.below(900))).await;
        // Each kind comes up, whatever the seed.
        let fault = Fault::ALL[if total < Fault::ALL.len() {
            total
        } else {
            usize::try_from(chance.below(Fault::ALL.len() as u64)).expect("few")
        }];
        fault.happen(&mut stage, &mut chance).await;
        *kinds.entry(fault).or_default() += 1;
    }
    let acknowledged = cast.acknowledged();
    let (lines, conversations) = cast.end(&stage).await;
    let found = check(&lines, &End { conversations });
    let faults: usize = kinds.values().sum();
    println!(
        "CHAOS_SEED={seed}: {acknowledged} messages acknowledged in {:?}, {} lines, {faults} faults of {} kinds: {kinds:?}, \
         {} violations",
        began.elapsed(),
        lines.len(),
        kinds.len(),
        found.len()
    );
    assert!(found.is_empty(), "{}", found.iter().take(50).map(|v| format!("{v}\n")).collect::<String>());
    assert!(faults >= FAULTS && kinds.len() >= KINDS, "too little happened");
    assert!(acknowledged >= 200, "too little was said");
    assert!(!stage.logs().contains("panicked"), "{}", stage.logs());
}
