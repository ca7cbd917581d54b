//! The chaos run: people write, read, change what they said, come and go, at two servers with one Redis and one PostgreSQL,
//! while all of these and the ways between them are killed, frozen, cut, slowed down and filled up by a plan that a seed
//! decides. In the end the checker finds nothing.
//!
//! `CHAOS_SECONDS`, `CHAOS_MESSAGES`, `CHAOS_FAULTS` and `CHAOS_SEED` change how much is to happen at least, and what:
//! `just soak`. People sign in once, so a run must be over before their tokens are. The history of a run in which the
//! checker finds something is kept; its path is told.
#![cfg(test)]

mod chance;
mod faults;
mod people;
mod stage;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alivio_checker::{End, Line, check, write};
use alivio_testkit::stopwatch::Stopwatch;

use faults::{Fault, Planned, plan};
use people::Cast;
use stage::Stage;

/// So many kinds of faults are the least that proves something.
const KINDS: usize = 10;
/// A run that has not seen enough by then has failed, unless it was to last longer.
const LONGEST: Duration = Duration::from_secs(230);
/// After each fault, messages are acknowledged again at both servers within this time.
const RECOVERY: Duration = Duration::from_secs(15);

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

/// What is to happen at least.
struct Goal {
    lasts: Duration,
    messages: u64,
    faults: usize,
}

impl Goal {
    fn is_reached(&self, cast: &Cast, faults: usize, elapsed: Duration) -> bool {
        elapsed >= self.lasts && cast.acknowledged() >= self.messages && faults >= self.faults
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_shown_to_the_wrong_ones() {
    let seed = setting("CHAOS_SEED", u64::from(std::process::id()));
    println!("CHAOS_SEED={seed}");
    let goal = Goal {
        lasts: Duration::from_secs(setting("CHAOS_SECONDS", 0)),
        messages: setting("CHAOS_MESSAGES", 20_000),
        faults: setting("CHAOS_FAULTS", Fault::ALL.len() as u64) as usize,
    };
    let Some(mut stage) = Stage::open().await else { return };
    let cast = Cast::begin(&stage, seed).await;

    let began = Instant::now();
    let mut kinds: BTreeMap<Fault, usize> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for planned in plan(seed) {
        let faults = kinds.values().sum();
        if goal.is_reached(&cast, faults, began.elapsed()) || began.elapsed() > LONGEST.max(goal.lasts) {
            break;
        }
        tokio::time::sleep(planned.quiet).await;
        let recovery = befall(planned, &mut stage, &cast).await;
        slowest = slowest.max(recovery);
        println!(
            "{:>6.1} s: {:?} at {}, over after {:.1} s more; {} acknowledged",
            began.elapsed().as_secs_f64(),
            planned.fault,
            planned.node,
            recovery.as_secs_f64(),
            cast.acknowledged()
        );
        *kinds.entry(planned.fault).or_default() += 1;
    }
    let (acknowledged, lasted) = (cast.acknowledged(), began.elapsed());
    let (lines, conversations) = cast.end(&stage).await;
    let end = End { conversations };
    let found = check(&lines, &end);
    let faults: usize = kinds.values().sum();
    println!(
        "CHAOS_SEED={seed}: {acknowledged} messages acknowledged in {lasted:?}, {faults} faults of {} kinds, the slowest \
         recovery {slowest:?}, {} lines, {} violations; {:?} in all: {kinds:?}",
        kinds.len(),
        lines.len(),
        found.len(),
        began.elapsed()
    );
    if !found.is_empty() {
        let kept = keep(seed, &lines, &end);
        let shown: String = found.iter().take(50).map(|violation| format!("{violation}\n")).collect();
        panic!("CHAOS_SEED={seed}, its history is kept in {}:\n{shown}", kept.display());
    }
    assert!(faults >= goal.faults && kinds.len() >= KINDS.min(goal.faults), "too little happened");
    assert!(acknowledged >= goal.messages, "too little was said");
    assert!(!stage.logs().contains("panicked"), "{}", stage.logs());
}

/// Lets a fault happen, and says how long after its end messages were acknowledged again at both servers.
async fn befall(planned: Planned, stage: &mut Stage, cast: &Cast) -> Duration {
    planned.happen(stage).await;
    let (over, before) = (Stopwatch::start(), cast.acknowledged_at());
    loop {
        let now = cast.acknowledged_at();
        if now.iter().zip(before).all(|(now, before)| *now > before) {
            return over.elapsed();
        }
        assert!(
            over.elapsed() < RECOVERY,
            "{:?} at {}: not all is well again after {RECOVERY:?}\n{}",
            planned.fault,
            planned.node,
            stage.logs()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes a history to where builds put such things.
fn keep(seed: u64, lines: &[Line], end: &End) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}.jsonl"));
    let file = File::create(&path).expect("a file");
    write(lines, end, BufWriter::new(file)).expect("room for the history");
    path
}
