//! Load generator: what a running Alivio does per second, how fast, and whether anything is lost.
//!
//! ```text
//! ALIVIO_CHAT_HOURS=00:00-24:00 ALIVIO_SOCKET_COMMANDS_PER_SECOND=1000000 ALIVIO_RATE_WRITES_PER_MINUTE=1000000 cargo run --release
//! cargo run --release -p alivio-bench -- room --members 10
//! cargo run --release -p alivio-bench -- direct --pairs 100
//! cargo run --release -p alivio-bench -- directory --professionals 50000 --database-url postgres://…
//! cargo run --release -p alivio-bench -- inbox --conversations 1000 --messages 1000000
//! cargo run --release -p alivio-bench -- search --messages 1000000 --mine 300 --database-url postgres://…
//! cargo run --release -p alivio-bench -- timing --pairs 400
//! ```
//!
//! Every load is a closed loop: a sender has `--in-flight` messages on their way and sends the next one when one
//! of them is done. Every receiver checks the `seq` of what it gets, so loss and repetition show; with `--history` the
//! checker says more.

mod client;
mod direct;
mod directory;
mod inbox;
mod member;
mod record;
mod room;
mod search;
mod stats;
mod timing;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::client::BenchError;
use crate::stats::Report;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a running Alivio with its demo clinic.
///
/// Start the server so that it does not take the load for a flood:
/// ALIVIO_CHAT_HOURS=00:00-24:00 ALIVIO_SOCKET_COMMANDS_PER_SECOND=1000000 ALIVIO_RATE_WRITES_PER_MINUTE=1000000
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    load: Load,
}

/// What all loads have in common.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Where the server is
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Password of the demo clinic's people
    #[arg(
        long,
        global = true,
        default_value = "Alivio-demo-1",
        env = "ALIVIO_BENCH_PASSWORD",
        hide_env_values = true
    )]
    password: String,
    /// How long to measure
    #[arg(long, global = true, default_value_t = 10.0, value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// How long to run before measuring
    #[arg(long, global = true, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    warmup: f64,
    /// Messages that each sender has on their way at a time
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: u16,
    /// Characters per message
    #[arg(long, global = true, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=5000))]
    size: u16,
    /// Threads of this program
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Write down what `room` and `direct` do and see, one JSON line each, and check it when they are done. Takes
    /// memory for every line
    #[arg(long, global = true, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
}

impl Common {
    fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

#[derive(Debug, Subcommand)]
enum Load {
    /// One conversation with many sockets in it
    Room(room::Room),
    /// Many conversations of two
    Direct(direct::Direct),
    /// Search in a large directory
    Directory(directory::Directory),
    /// The inbox of someone with many conversations, and the history of a long one
    Inbox(inbox::Inbox),
    /// Search over many conversations
    Search(search::Search),
    /// Whether the time of an answer tells which addresses have an account
    Timing(timing::Timing),
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, at most a day".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match measure(&cli) {
        Ok((text, is_flawless)) => {
            // Nobody reads it any more if that fails.
            writeln!(std::io::stdout(), "{text}").ok();
            if is_flawless { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::from(2)
        }
    }
}

/// What to print, and whether all went well.
fn measure(cli: &Cli) -> Result<(String, bool), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(cli.common.threads))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sent = |report: Report| {
            let text = if cli.common.json { report.json() } else { report.table() };
            (text, report.is_flawless())
        };
        match &cli.load {
            Load::Room(room) => room.run(&cli.common).await.map(sent),
            Load::Direct(direct) => direct.run(&cli.common).await.map(sent),
            Load::Directory(directory) => {
                let found = directory.run(&cli.common).await?;
                Ok((if cli.common.json { found.json() } else { found.table() }, true))
            }
            Load::Inbox(inbox) => {
                let seen = inbox.run(&cli.common).await?;
                Ok((if cli.common.json { seen.json() } else { seen.table() }, true))
            }
            Load::Search(search) => {
                let found = search.run(&cli.common).await?;
                Ok((if cli.common.json { found.json() } else { found.table() }, true))
            }
            Load::Timing(timing) => timing.run(&cli.common).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_are_taken_before_and_after_the_load() {
        let cli =
            Cli::try_parse_from(["bench", "--json", "room", "--members", "3", "--seconds", "2.5"]).unwrap();
        assert!(cli.common.json);
        assert_eq!(cli.common.measured(), Duration::from_millis(2500));
        assert!(Cli::try_parse_from(["bench", "room", "--seconds", "-1"]).is_err());
    }
}
