//! The real binary, started on a free port.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::actor::{Actor, Request};

/// The password of everyone in the demo clinic.
pub const PASSWORD: &str = "Alivio-demo-1";
/// Doctor, attends Ana.
pub const MARIA: &str = "maria.martinez@clinic.example";
/// Patient of María.
pub const ANA: &str = "ana.lopez@clinic.example";
/// Doctor without a relation to Ana.
pub const CARLOS: &str = "carlos.ruiz@clinic.example";
/// Patient whom nobody of these attends.
pub const LUIS: &str = "luis.soto@clinic.example";
/// Clinic administrator.
pub const ADMIN: &str = "admin@clinic.example";
/// IT administrator.
pub const IT: &str = "it@clinic.example";
/// Student.
pub const AISHA: &str = "aisha.rehman@clinic.example";

/// A debug build that migrates and hashes seven passwords on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Draining sockets is part of an orderly stop.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at again.
pub const POLL: Duration = Duration::from_millis(5);
/// What passes for the answer being lost, on a machine that may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at `condition` until it holds.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A running `alivio`, with its demo clinic, a data directory of its own and a port that nobody else has.
///
/// It keeps both over [`restart`](Self::restart), which gives it another port. Dropping it kills the process.
#[derive(Debug)]
pub struct TestServer {
    binary: String,
    environment: Vec<(String, String)>,
    process: Mutex<Option<Child>>,
    address: watch::Sender<Option<String>>,
    logs: Arc<Mutex<String>>,
    banner: Arc<Mutex<String>>,
    data_dir: TempDir,
}

impl TestServer {
    /// Starts `binary` on `database_url` and waits until it listens. `extra_env` wins over what is set here.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(binary: &str, database_url: &str, extra_env: &[(&str, &str)]) -> Self {
        let data_dir = tempfile::Builder::new().prefix("alivio-test-").tempdir().expect("a data directory");
        let mut environment: Vec<_> = ["PATH", "HOME", "TMPDIR"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect();
        let directory = data_dir.path().display().to_string();
        let fixed = [
            ("ALIVIO_BIND", "127.0.0.1:0"),
            ("ALIVIO_DEMO", "true"),
            // Tests ask faster than people do, all from one address.
            ("ALIVIO_RATE_CREDENTIALS_PER_MINUTE", "1000000"),
            ("ALIVIO_RATE_WRITES_PER_MINUTE", "1000000"),
            ("ALIVIO_RATE_READS_PER_MINUTE", "1000000"),
            ("ALIVIO_RATE_MESSAGES_PER_MINUTE", "1000000"),
            ("ALIVIO_RATE_EMERGENCY_MESSAGES_PER_MINUTE", "1000000"),
            ("ALIVIO_RATE_FILES_PER_HOUR", "1000000"),
            // The same few people are on many devices.
            ("ALIVIO_SOCKETS_PER_PERSON", "1000000"),
            ("ALIVIO_DATA_DIR", &directory),
            ("DATABASE_URL", database_url),
            // Tests run at any hour.
            ("ALIVIO_CHAT_HOURS", "00:00-24:00"),
            // Journeys wait for conditions, not for time.
            ("ALIVIO_PRESENCE_GRACE_SECONDS", "0"),
        ];
        for (name, value) in fixed.iter().chain(extra_env) {
            environment.retain(|(known, _)| known != name);
            environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        let server = Self {
            binary: binary.to_owned(),
            environment,
            process: Mutex::new(None),
            address: watch::Sender::new(None),
            logs: Arc::default(),
            banner: Arc::default(),
            data_dir,
        };
        server.launch().await;
        server
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    ///
    /// # Panics
    /// If the server does not run.
    #[must_use]
    pub fn url(&self) -> String {
        self.address.borrow().clone().expect("the server does not run")
    }

    /// The address, and what becomes of it: `None` while the server does not run.
    #[must_use]
    pub fn address(&self) -> watch::Receiver<Option<String>> {
        self.address.subscribe()
    }

    /// The directory that it keeps its keys in.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        self.data_dir.path()
    }

    /// What it has logged since the first start.
    #[must_use]
    pub fn logs(&self) -> String {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has printed since the first start.
    #[must_use]
    pub fn banner(&self) -> String {
        self.banner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Someone who has not signed in.
    #[must_use]
    pub fn anonymous(&self) -> Actor {
        Actor::new(self.address())
    }

    /// Signs in someone of the demo clinic.
    ///
    /// # Panics
    /// If that fails.
    pub async fn sign_in(&self, email: &str) -> Actor {
        let body = json!({"email": email, "password": PASSWORD});
        let anonymous = self.anonymous();
        let began = Instant::now();
        loop {
            let answer = anonymous.request(Request::new(Method::POST, "/auth/login").json(&body)).await;
            // Passwords are hashed in a bounded pool, and sign-ins from one address are counted.
            if matches!(answer.status, 429 | 503) && began.elapsed() < PATIENCE {
                tokio::time::sleep(POLL).await;
                continue;
            }
            return anonymous.with_sign_in(&answer.expect(200));
        }
    }

    /// Signs in each of `emails`, in this order.
    ///
    /// # Panics
    /// If one fails.
    pub async fn sign_in_all<const N: usize>(&self, emails: [&str; N]) -> [Actor; N] {
        let actors = futures_util::future::join_all(emails.map(|email| self.sign_in(email))).await;
        actors.try_into().expect("as many actors as addresses")
    }

    /// SIGKILL: no goodbye, no flush. Returns when the process is gone.
    pub fn kill(&self) {
        self.address.send_replace(None);
        if let Some(mut child) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// SIGTERM, and waits for the end of the process.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn terminate(&self) -> ExitStatus {
        let mut child = self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .expect("the server does not run");
        signal("TERM", child.id());
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("the server's status") {
                self.address.send_replace(None);
                return status;
            }
            if began.elapsed() > STOP_PATIENCE {
                child.kill().ok();
                child.wait().ok();
                panic!("the server ignored SIGTERM for {STOP_PATIENCE:?}\n{}", self.logs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGSTOP: it stands still, with all its connections, until it is [woken](Self::wake).
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn wake(&self) {
        self.signal("CONT");
    }

    /// How much memory it has, in bytes.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let resident = self.status("VmRSS");
        let kibibytes = resident.and_then(|size| size.strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes.expect("its resident memory") * 1024
    }

    /// What the kernel says of the process under `name`.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<String> {
        let status = std::fs::read_to_string(self.process_file("status")).expect("the process's status");
        let said = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        said.map(|said| said.trim().to_owned())
    }

    /// How many files and connections it has open.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(self.process_file("fd")).expect("the process's files").count()
    }

    fn process_file(&self, name: &str) -> PathBuf {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let id = process.as_ref().expect("the server does not run").id();
        PathBuf::from(format!("/proc/{id}/{name}"))
    }

    fn signal(&self, name: &str) {
        if let Some(child) = &*self.process.lock().unwrap_or_else(PoisonError::into_inner) {
            signal(name, child.id());
        }
    }

    /// Starts it again, after killing it if it runs: same database, same data directory, another port.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn restart(&self) {
        self.kill();
        self.launch().await;
    }

    async fn launch(&self) {
        let mut child = Command::new(&self.binary)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.data_dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.binary));
        let (stdout, stderr) = (child.stdout.take().expect("stdout"), child.stderr.take().expect("stderr"));
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);

        // Threads rather than tasks: they outlive the test's runtime and keep the pipes from filling up.
        let (found, listening) = tokio::sync::oneshot::channel();
        let mut found = Some(found);
        copy_lines(stdout, &self.banner, move |line| {
            if let Some(address) = address_in(line)
                && let Some(found) = found.take()
            {
                found.send(address).ok();
            }
        });
        copy_lines(stderr, &self.logs, |_| ());

        match tokio::time::timeout(START_PATIENCE, listening).await {
            Ok(Ok(address)) => {
                self.address.send_replace(Some(address));
            }
            failed => {
                let why = if failed.is_err() { "did not listen in time" } else { "ended" };
                self.kill();
                panic!("the server {why}\n--- stdout\n{}\n--- stderr\n{}", self.banner(), self.logs());
            }
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // What a failed test needs most. `eprint!` goes to the test's captured output.
            #[expect(clippy::print_stderr, reason = "shown only with a failed test")]
            {
                eprintln!("--- the server's log, last lines\n{}", last_lines(&self.logs(), 40));
            }
        }
    }
}

/// Sends a signal to a process.
///
/// # Panics
/// If that is not possible.
pub fn signal(name: &str, process: u32) {
    // The shell's own `kill`, because a safe way to signal is not worth a dependency.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot signal process {process}");
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Appends each line of `source` to `target` until its end.
fn copy_lines(
    source: impl Read + Send + 'static,
    target: &Arc<Mutex<String>>,
    mut see: impl FnMut(&str) + Send + 'static,
) {
    let target = Arc::clone(target);
    std::thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
            target.push_str(&line);
            target.push('\n');
            drop(target);
            see(&line);
        }
    });
}

/// The first `http://127.0.0.1:<port>` in `line`.
fn address_in(line: &str) -> Option<String> {
    const SCHEME: &str = "http://127.0.0.1:";
    let rest = &line[line.find(SCHEME)? + SCHEME.len()..];
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    port.parse::<u16>().ok().filter(|port| *port != 0).map(|port| format!("{SCHEME}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_wherever_it_stands() {
        let expected = Some("http://127.0.0.1:4711".to_owned());
        assert_eq!(address_in("  API docs   http://127.0.0.1:4711/docs/"), expected);
        assert_eq!(address_in("listening on http://127.0.0.1:4711"), expected);
        assert_eq!(address_in("http://127.0.0.1:0"), None);
        assert_eq!(address_in("bind 127.0.0.1:4711"), None);
    }

    #[test]
    fn the_last_lines_are_the_last() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}
