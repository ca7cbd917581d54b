//! Thousands of broken files: no child takes longer than it may, and the caller lives.
#![cfg(test)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use alivio_files::{Stamp, Workshop, WorkshopError};
use alivio_media::{ChildWorkshop, WorkshopOptions};
use bytes::Bytes;
use common::pdf::{A4, FLAG, document};
use common::sound::{TONES, mp3};
use common::{JPEG, Numbers, PDF, PNG, camera_jpeg, camera_png, jpeg, options, png};
use tokio::task::JoinSet;

/// Longer than any child may work by its own limits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes changed, cut out, doubled, moved and cut off.
fn broken(whole: &Bytes, numbers: &mut Numbers) -> Bytes {
    let mut bytes = whole.to_vec();
    for _ in 0..=numbers.below(12) {
        let (at, other) = (numbers.below(bytes.len()), numbers.below(bytes.len()));
        let (start, end) = (at.min(other), at.max(other).min(at.min(other) + 64));
        match numbers.below(7) {
            0..=2 if !bytes.is_empty() => {
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'9', b'<', b'['][numbers.below(8)]
            }
            3 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
            4 => drop(bytes.drain(start..end)),
            5 => {
                let piece = bytes[start..end].to_vec();
                let into = numbers.below(bytes.len() + 1);
                bytes.splice(into..into, piece);
            }
            _ if numbers.below(8) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_files_break_nothing() {
    let rounds: u64 = std::env::var("MEDIA_FUZZ_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap());
    let workshop =
        Arc::new(ChildWorkshop::new(WorkshopOptions { patience: PATIENCE, ..options("workshop") }));
    let text = "BT /F 40 Tf 20 400 Td (text) Tj ET ";
    let font = "/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>";
    let whole = [
        (JPEG, camera_jpeg(&jpeg(40, 30), 6)),
        (PNG, camera_png(&png(40, 30), 6)),
        (PDF, document(2, &format!("{FLAG} {text}"), font, A4)),
        ("audio/mpeg", mp3(20)),
    ]
    .into_iter()
    .chain(TONES.map(|(_, mime, content)| (mime, content)))
    .collect::<Vec<_>>();
    let mut asked = JoinSet::new();
    for seed in 1..=rounds {
        for (mime, whole) in &whole {
            let content = broken(whole, &mut Numbers::from_seed(seed));
            let (workshop, mime) = (Arc::clone(&workshop), *mime);
            asked.spawn(async move { (seed, mime, all(&workshop, mime, content).await) });
            if asked.len() >= 16 {
                judge(asked.join_next().await.unwrap().unwrap());
            }
        }
    }
    while let Some(result) = asked.join_next().await {
        judge(result.unwrap());
    }
}

/// All that can be done with it, how each ended, and how long it took.
async fn all(workshop: &ChildWorkshop, mime: &str, content: Bytes) -> Vec<(Option<WorkshopError>, Duration)> {
    let mut ends = Vec::new();
    let mut note = |started: Instant, end: Option<WorkshopError>| ends.push((end, started.elapsed()));
    let stamp = Stamp { lines: vec!["x".to_owned()] };
    if mime.starts_with("audio/") {
        let started = Instant::now();
        note(started, workshop.listen(mime, content).await.err());
    } else {
        let started = Instant::now();
        note(started, workshop.look(mime, content.clone()).await.err());
        let started = Instant::now();
        note(started, workshop.strip(mime, content.clone()).await.err());
        let started = Instant::now();
        note(started, workshop.stamp(mime, content, &stamp).await.err());
    }
    ends
}

fn judge((seed, mime, ends): (u64, &str, Vec<(Option<WorkshopError>, Duration)>)) {
    for (end, took) in ends {
        let is_known = matches!(end, None | Some(WorkshopError::Unfit | WorkshopError::Unsupported));
        assert!(is_known && took < PATIENCE, "seed {seed}, {mime}: {end:?} after {took:?}");
    }
}
