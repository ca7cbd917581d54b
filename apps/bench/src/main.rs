//! Load generator: what a running Alivio does per second, how fast, and whether anything is lost.
//!
//! ```text
//! ALIVIO_CHAT_HOURS=00:00-24:00 ALIVIO_SOCKET_COMMANDS_PER_SECOND=1000000 ALIVIO_SOCKETS_PER_PERSON=1000000 \
//!     ALIVIO_RATE_WRITES_PER_MINUTE=1000000 cargo run --release
//! cargo run --release -p alivio-bench -- rooms --members 10
//! cargo run --release -p alivio-bench -- direct --pairs 100
//! cargo run --release -p alivio-bench -- direct --pairs 100 --rate 1000
//! cargo run --release -p alivio-bench -- sweep --plot latency.svg
//! cargo run --release -p alivio-bench -- rest --in-flight 8
//! cargo run --release -p alivio-bench -- idle --sockets 10000 --server-pid …
//! cargo run --release -p alivio-bench -- storm --sockets 5000
//! cargo run --release -p alivio-bench -- soak --seconds 3600
//! cargo run --release -p alivio-bench -- directory --professionals 50000 --database-url postgres://…
//! cargo run --release -p alivio-bench -- inbox --conversations 1000 --messages 1000000
//! cargo run --release -p alivio-bench -- search --messages 1000000 --mine 300 --database-url postgres://…
//! cargo run --release -p alivio-bench -- timing --pairs 400
//! ```
//!
//! Loads are closed loops: a sender has `--in-flight` messages on their way and sends the next one when one of them is
//! done; with `--rate` and in `storm` and `soak` they are open ones, and times count from when a message was due. Every receiver
//! checks the `seq` of what it gets, so loss and repetition show; with `--history` the checker says more.

mod client;
mod direct;
mod directory;
mod idle;
mod inbox;
mod member;
mod progress;
mod record;
mod rest;
mod room;
mod search;
mod soak;
mod stats;
mod storm;
mod sweep;
mod talk;
mod timing;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::client::BenchError;
use crate::stats::Outcome as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a running Alivio with its demo clinic.
///
/// Start the server so that it does not take the load for a flood:
/// ALIVIO_CHAT_HOURS=00:00-24:00 ALIVIO_SOCKET_COMMANDS_PER_SECOND=1000000 ALIVIO_SOCKETS_PER_PERSON=1000000
/// ALIVIO_RATE_WRITES_PER_MINUTE=1000000
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
    /// Where the server is; of several nodes, each with a comma in between. Sockets are spread over them, and everything else
    /// is asked of the first
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
    #[command(alias = "room")]
    Rooms(room::Room),
    /// Many conversations of two
    Direct(direct::Direct),
    /// Latency against load, drawn
    Sweep(sweep::Sweep),
    /// Requests over REST
    Rest(rest::Rest),
    /// Many sockets that only listen
    Idle(idle::Idle),
    /// Everyone loses the connection at once, and comes back
    Storm(storm::Storm),
    /// A steady load for a long time, over connections that break
    Soak(soak::Soak),
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
    let is_json = cli.common.json;
    runtime.block_on(async {
        Ok(match &cli.load {
            Load::Rooms(room) => room.run(&cli.common).await?.told(is_json),
            Load::Direct(direct) => direct.run(&cli.common).await?.told(is_json),
            Load::Sweep(sweep) => sweep.run(&cli.common).await?.told(is_json),
            Load::Rest(rest) => rest.run(&cli.common).await?.told(is_json),
            Load::Idle(idle) => idle.run(&cli.common).await?.told(is_json),
            Load::Storm(storm) => storm.run(&cli.common).await?.told(is_json),
            Load::Soak(soak) => soak.run(&cli.common).await?.told(is_json),
            Load::Directory(directory) => directory.run(&cli.common).await?.told(is_json),
            Load::Inbox(inbox) => inbox.run(&cli.common).await?.told(is_json),
            Load::Search(search) => search.run(&cli.common).await?.told(is_json),
            Load::Timing(timing) => timing.run(&cli.common).await?,
        })
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
