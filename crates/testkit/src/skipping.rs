//! Tests that need what a machine may not have.

use std::io::Write;

/// Says that something is not tested here. Past `cargo test`, which shows nobody what tests that pass have printed.
pub fn say(why: &str) {
    // In one piece: other tests write as well. Nothing more can be done if this fails.
    drop(std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()));
}

/// The same where the machine is to have what is needed.
///
/// # Panics
/// If `ALIVIO_TESTS_MUST_NOT_SKIP` is set.
pub fn skip(why: &str) {
    assert!(std::env::var_os("ALIVIO_TESTS_MUST_NOT_SKIP").is_none(), "{why}");
    say(why);
}
