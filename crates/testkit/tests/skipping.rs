//! What tests do on a machine that lacks what they need.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::process::{Command, Output};

use alivio_testkit::clamd::TestClamd;
use alivio_testkit::redis::TestRedis;
use alivio_testkit::s3::TestBucket;

const BARE: &str = "ALIVIO_TESTKIT_FINDS_NO_PROGRAMS";

/// Runs the test of this name once more, in a process that finds no programs.
fn on_a_bare_machine(test: &str, strict: bool) -> Output {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test]).env(BARE, "yes").env("PATH", "");
    if strict {
        again.env("ALIVIO_TESTS_MUST_NOT_SKIP", "1");
    } else {
        again.env_remove("ALIVIO_TESTS_MUST_NOT_SKIP");
    }
    again.output().unwrap()
}

fn check(test: &str, missing: &str) {
    let skipped = on_a_bare_machine(test, false);
    assert!(skipped.status.success());
    let said = String::from_utf8_lossy(&skipped.stderr);
    assert!(said.contains("SKIPPED: ") && said.contains(missing), "{said}");
    assert!(!on_a_bare_machine(test, true).status.success(), "it must not be skipped");
}

#[tokio::test]
async fn without_clamd_it_is_said_loudly_or_fails() {
    match std::env::var_os(BARE) {
        Some(_) => assert!(TestClamd::start().await.is_none()),
        None => check("without_clamd_it_is_said_loudly_or_fails", "there is no clamd"),
    }
}

#[tokio::test]
async fn without_redis_it_is_said_loudly_or_fails() {
    match std::env::var_os(BARE) {
        Some(_) => assert!(TestRedis::start().await.is_none()),
        None => check("without_redis_it_is_said_loudly_or_fails", "there is no redis-server"),
    }
}

#[tokio::test]
async fn without_moto_it_is_said_loudly_or_fails() {
    match std::env::var_os(BARE) {
        Some(_) => assert!(TestBucket::new().await.is_none()),
        None => check("without_moto_it_is_said_loudly_or_fails", "python3 has no moto"),
    }
}
