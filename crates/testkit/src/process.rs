//! A service of one's own: to be killed, paused and started again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::skipping::skip;

/// The process of a service, while it runs. Dropping it kills the process.
#[derive(Debug, Default)]
pub(crate) struct Process(Mutex<Option<Child>>);

impl Process {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `command` instead of what runs now.
    pub(crate) fn start(&self, command: &mut Command) {
        self.kill();
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *self.child() = Some(command.spawn().expect("the service starts"));
    }

    /// SIGKILL. Returns when the process is gone.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Whether it runs, paused or not.
    pub(crate) fn is_running(&self) -> bool {
        self.child().is_some()
    }

    /// SIGSTOP: it takes connections and does not answer.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let child = self.child();
        let id = child.as_ref().expect("the service runs").id();
        // The shell's own `kill`, because a safe way to signal is not worth a dependency.
        let asked = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(asked.is_ok_and(|status| status.success()), "cannot signal the service");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether `program` is on this machine. If not, it is said loudly.
///
/// # Panics
/// If there is none, and `ALIVIO_TESTS_MUST_NOT_SKIP` is set.
pub(crate) fn is_there(program: &str) -> bool {
    if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok() {
        return true;
    }
    skip(&format!("there is no {program} on this machine"));
    false
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
