//! Whatever happens in a child, the caller lives, waits no longer than it wants to, and leaves nothing behind (FI-06).
#![cfg(test)]

mod common;

use std::time::{Duration, Instant};

use alivio_files::{Workshop, WorkshopError};
use alivio_media::{ChildWorkshop, WorkshopOptions};
use bytes::Bytes;
use common::{JPEG, PNG, jpeg, options, png, workshop};

fn with_patience(word: &str, patience: Duration) -> ChildWorkshop {
    ChildWorkshop::new(WorkshopOptions { patience, ..options(word) })
}

#[tokio::test]
async fn one_that_dies_or_lies_is_unfit() {
    for word in ["eat", "dive", "panic", "flood", "lie"] {
        let looks = workshop_of(word).look(PNG, png(9, 9)).await;
        assert!(matches!(looks, Err(WorkshopError::Unfit)), "{word}: {looks:?}");
    }
    // An answer to another question.
    let sound = workshop_of("pry").listen(PNG, png(9, 9)).await;
    assert!(matches!(sound, Err(WorkshopError::Unfit)), "{sound:?}");
}

fn workshop_of(word: &str) -> ChildWorkshop {
    ChildWorkshop::new(options(word))
}

#[tokio::test]
async fn one_that_never_ends_is_ended() {
    for word in ["spin", "sleep"] {
        let started = Instant::now();
        let looks = with_patience(word, Duration::from_millis(300)).look(PNG, png(9, 9)).await;
        assert!(matches!(looks, Err(WorkshopError::Unfit)), "{word}: {looks:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{word}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn one_that_is_not_there_or_is_another_program_is_seen() {
    let nowhere = WorkshopOptions { program: "/nowhere/alivio".into(), ..options("workshop") };
    let looks = ChildWorkshop::new(nowhere).look(PNG, png(9, 9)).await;
    assert!(matches!(looks, Err(WorkshopError::Unavailable(_))), "{looks:?}");
    let looks = workshop_of("no such word").look(PNG, png(9, 9)).await;
    assert!(matches!(looks, Err(WorkshopError::Unfit)), "{looks:?}");
}

#[tokio::test]
async fn one_can_do_nothing_but_work() {
    let done = workshop_of("pry").strip(PNG, png(9, 9)).await.unwrap();
    assert_eq!(done, "", "it still {}", done.escape_ascii());
}

#[tokio::test]
async fn those_who_would_wait_for_long_are_told_so() {
    let workshop = ChildWorkshop::new(WorkshopOptions {
        concurrency: 1,
        queue: 1,
        patience: Duration::from_millis(500),
        ..options("sleep")
    });
    let ask = || workshop.look(PNG, png(9, 9));
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    assert!(matches!(first, Err(WorkshopError::Unfit)) && matches!(second, Err(WorkshopError::Unfit)));
    assert!(matches!(third, Err(WorkshopError::Busy)), "{third:?}");
}

#[tokio::test]
async fn what_is_too_long_starts_no_child() {
    let nowhere = WorkshopOptions { program: "/nowhere/alivio".into(), ..options("workshop") };
    let looks = ChildWorkshop::new(nowhere).look(PNG, Bytes::from(vec![0; (128 << 20) + 1])).await;
    assert!(matches!(looks, Err(WorkshopError::Unfit)), "{looks:?}");
}

#[tokio::test]
async fn after_all_that_it_works_on() {
    let workshop = workshop();
    let content = jpeg(30, 30);
    assert!(matches!(workshop.look(JPEG, content.slice(..20)).await, Err(WorkshopError::Unfit)));
    assert_eq!(workshop.strip(JPEG, content.clone()).await.unwrap(), content);
}
