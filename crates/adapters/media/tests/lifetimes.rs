//! Children that are killed, forgotten, or many. They are found by their parent, this process, so that everything here
//! is one test.
#![cfg(test)]
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use alivio_files::{Workshop, WorkshopError};
use alivio_media::{ChildWorkshop, WorkshopOptions};
use common::{JPEG, PNG, jpeg, options, png};
use rustix::process::{Pid, Signal, kill_process};

/// What `/proc` says of a child of this process, dead ones that nobody waited for included.
struct Child {
    id: i32,
    /// In KiB.
    memory: u64,
}

fn children() -> Vec<Child> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses = processes.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().trim_end_matches(" kB").to_owned())
    };
    statuses
        .filter(|status| field(status, "PPid").as_ref() == Some(&own))
        .map(|status| Child {
            id: field(&status, "Pid").unwrap().parse().unwrap(),
            memory: field(&status, "VmRSS").map_or(0, |memory| memory.parse().unwrap()),
        })
        .collect()
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_come_and_go() {
    one_that_is_killed_is_unfit().await;
    one_whose_caller_goes_away_is_gone().await;
    many_do_not_fill_the_memory().await;
}

async fn one_that_is_killed_is_unfit() {
    let workshop = Arc::new(ChildWorkshop::new(options("sleep")));
    let asked = tokio::spawn(async move { workshop.look(PNG, png(9, 9)).await });
    eventually("a child", || !children().is_empty()).await;
    kill_process(Pid::from_raw(children()[0].id).unwrap(), Signal::KILL).unwrap();
    assert!(matches!(asked.await.unwrap(), Err(WorkshopError::Unfit)));
    assert!(children().is_empty(), "nothing is left of it");
}

async fn one_whose_caller_goes_away_is_gone() {
    let workshop =
        Arc::new(ChildWorkshop::new(WorkshopOptions { concurrency: 1, queue: 0, ..options("sleep") }));
    let ask = || {
        let workshop = Arc::clone(&workshop);
        tokio::spawn(async move { workshop.look(PNG, png(9, 9)).await })
    };
    let asked = ask();
    eventually("a child", || !children().is_empty()).await;
    asked.abort();
    eventually("no child and no zombie", || children().is_empty()).await;
    // And its place is free.
    let asked = ask();
    eventually("another child", || !children().is_empty()).await;
    asked.abort();
    eventually("no child again", || children().is_empty()).await;
}

async fn many_do_not_fill_the_memory() {
    let workshop = Arc::new(ChildWorkshop::new(options("workshop")));
    let content = jpeg(4000, 3000);
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let (workshop, content) = (Arc::clone(&workshop), content.clone());
            tokio::spawn(async move { workshop.look(JPEG, content).await })
        })
        .collect();
    let (mut most, mut together) = (0, 0);
    while !asked.iter().all(tokio::task::JoinHandle::is_finished) {
        let children = children();
        assert!(children.len() <= 2, "{} at once", children.len());
        most = most.max(children.iter().map(|child| child.memory).max().unwrap_or(0));
        together = together.max(children.iter().map(|child| child.memory).sum());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for asked in asked {
        assert!(asked.await.unwrap().is_ok());
    }
    println!("20 pictures of 12 MP: at most {most} KiB a child, {together} KiB together");
    assert!(most < 512 << 10 && together < 2 * (512 << 10), "{most} KiB, {together} KiB");
    assert!(children().is_empty());
}
