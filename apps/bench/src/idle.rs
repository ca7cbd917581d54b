//! Many sockets that only listen: how fast they come, and what each costs the server.

use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::Common;
use crate::client::{BenchError, COLLEAGUES, CONNECTING, Clinic, Socket};
use crate::stats::Outcome;

/// Many sockets that only listen.
///
/// Both sides need as many file descriptors: `ulimit -n 65536`. For the memory per socket say which process is the
/// server; that works on Linux only.
#[derive(Debug, Args)]
pub(crate) struct Idle {
    /// Sockets
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sockets: u32,
    /// The server's process id
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Held {
    sockets: u32,
    connects_per_second: f64,
    held_seconds: f64,
    /// Those that the server closed meanwhile.
    closed: u64,
    memory_before_kib: Option<u64>,
    memory_after_kib: Option<u64>,
    kib_per_socket: Option<f64>,
}

impl Outcome for Held {
    fn table(&self) -> String {
        let Self { sockets, connects_per_second, held_seconds, closed, .. } = self;
        let mut table = format!(
            "idle: {sockets} sockets, {connects_per_second:.0} connected per second, held for {held_seconds} s, \
             {closed} closed"
        );
        if let (Some(before), Some(after), Some(each)) =
            (self.memory_before_kib, self.memory_after_kib, self.kib_per_socket)
        {
            // Writing to a String does not fail.
            write!(table, "\nserver: {before} KiB before, {after} KiB with them, {each:.1} KiB per socket")
                .ok();
        }
        table
    }

    fn is_flawless(&self) -> bool {
        self.closed == 0
    }
}

impl Idle {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Held, BenchError> {
        let clinic = Clinic::sign_in(&common.url, &common.password, &COLLEAGUES).await?;
        let memory_before_kib = self.server_pid.map(resident_kib).transpose()?;
        let began = Instant::now();
        let people = clinic.people.iter().cycle().take(self.sockets as usize);
        let sockets: Vec<Socket> = stream::iter(people.map(|person| clinic.open(person)))
            .buffer_unordered(CONNECTING)
            .try_collect()
            .await?;
        let connects_per_second = f64::from(self.sockets) / began.elapsed().as_secs_f64();

        // Reading is what answers the server's pings.
        let until = Instant::now() + common.measured();
        let mut readers = JoinSet::new();
        for mut socket in sockets {
            readers.spawn(async move {
                loop {
                    match timeout_at(until.into(), socket.receive()).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(_)) => return None,
                        Err(_) => return Some(socket),
                    }
                }
            });
        }
        let mut open = Vec::new();
        while let Some(held) = readers.join_next().await {
            open.extend(held.ok().flatten());
        }
        let memory_after_kib = self.server_pid.map(resident_kib).transpose()?;
        let grown =
            |(before, after): (u64, u64)| after.saturating_sub(before) as f64 / f64::from(self.sockets);
        Ok(Held {
            sockets: self.sockets,
            connects_per_second,
            held_seconds: common.seconds,
            closed: u64::from(self.sockets) - open.len() as u64,
            memory_before_kib,
            memory_after_kib,
            kib_per_socket: memory_before_kib.zip(memory_after_kib).map(grown),
        })
    }
}

/// What a process holds in memory.
fn resident_kib(pid: u32) -> Result<u64, BenchError> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    resident_in(&status).ok_or_else(|| BenchError::Refused(format!("process {pid} has no memory of its own")))
}

fn resident_in(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_the_kernel_says() {
        assert_eq!(resident_in("Name:\talivio\nVmRSS:\t   81920 kB\nThreads:\t3\n"), Some(81_920));
        assert_eq!(resident_in("Name:\tkthreadd\n"), None);
    }
}
