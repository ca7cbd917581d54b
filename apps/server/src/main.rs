//! The alivio server: configuration → adapters → platform → HTTP.

mod assembly;
mod config;
mod create_admin;
mod doctor;
mod erase;
mod files;
mod keys;
mod metrics;
mod serve;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use alivio_crypto::KeyRing;
use alivio_kernel::BoxError;
use alivio_postgres::{Database, DatabaseOptions};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use assembly::Storage;
use config::{Config, Environment};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Secure conversations between patients and professionals. Configured by environment: see the README.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Bring the database to the present schema
    Migrate,
    /// Print the OpenAPI document
    Openapi {
        /// Print that of the documented dialects instead
        #[arg(long)]
        dialects: bool,
        /// Print the AsyncAPI document of the WebSocket instead
        #[arg(long, conflicts_with = "dialects")]
        asyncapi: bool,
    },
    /// Check the configuration and every dependency
    Doctor,
    /// Make the first administrator of the installation (role it_admin)
    CreateAdmin(create_admin::Options),
    /// Give the key ring a new key-encryption key and wrap all data keys by it, while the server runs
    RotateKeys(keys::Rotate),
    /// Destroy what was said in a conversation, for ever
    ShredConversation(keys::Shred),
    /// Destroy the files of a patient, and withhold those that must be kept
    EraseFiles(erase::Erase),
    /// Put messages into the search index that are missing there, or were put in by another version
    Reindex,
    /// Have all devices read everything anew, after the database's files were put back as they had been
    NewEpoch,
    /// Make the file of keys that production needs (ALIVIO_KEYS_FILE)
    Keygen,
}

fn main() -> ExitCode {
    // Before anything else: a child that works on untrusted content has neither threads nor memory to spare.
    alivio_media::run_if_child().unwrap_or_else(|| {
        keep_to_small_pages();
        start()
    })
}

/// A socket's buffers are mostly empty. In pages of 2 MiB, which the allocator asks for, the empty part takes memory too:
/// measured with 10,000 idle sockets, 26 KiB for each instead of 18. Where it cannot be had nothing but that is lost.
fn keep_to_small_pages() {
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).ok();
}

#[tokio::main]
async fn start() -> ExitCode {
    match run(Arguments::parse().command.unwrap_or(Command::Serve)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing more can be done if even this fails.
            drop(writeln!(std::io::stderr(), "alivio: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), BoxError> {
    if let Command::Openapi { dialects, asyncapi } = command {
        return print_openapi(dialects, asyncapi);
    }
    let config = Config::from_environment()?;
    start_logging(&config)?;
    match command {
        Command::Serve => serve::serve(config).await,
        Command::Migrate => {
            Storage::with(&config, async |storage| Ok(alivio_postgres::migrate(&storage.url).await?)).await
        }
        Command::NewEpoch => {
            let renew = async |storage: &Storage| {
                alivio_postgres::migrate(&storage.url).await?;
                Database::new(&storage.url, DatabaseOptions::default())?.renew_epoch().await?;
                Ok(())
            };
            Storage::with(&config, renew).await
        }
        Command::CreateAdmin(options) => create_admin::create_admin(&config, options).await,
        Command::RotateKeys(options) => keys::rotate(&config, options).await,
        Command::ShredConversation(options) => keys::shred(&config, options).await,
        Command::EraseFiles(options) => erase::erase(&config, options).await,
        Command::Reindex => keys::reindex(&config).await,
        Command::Doctor => doctor::doctor(&config).await,
        Command::Keygen if config.keys_file.exists() => {
            Err(format!("{} exists; what it protects is lost without it", config.keys_file.display()).into())
        }
        Command::Keygen => {
            KeyRing::load_or_create(&config.keys_file)?;
            let file = config.keys_file.display();
            Ok(writeln!(std::io::stdout(), "{file}: keep a copy of it, apart from the database's backups")?)
        }
        Command::Openapi { .. } => Ok(()),
    }
}

fn print_openapi(dialects: bool, asyncapi: bool) -> Result<(), BoxError> {
    let document = if dialects {
        serde_json::to_string_pretty(&alivio_http::dialects())?
    } else if asyncapi {
        serde_json::to_string_pretty(&alivio_http::asyncapi())?
    } else {
        alivio_http::openapi().to_pretty_json()?
    };
    Ok(writeln!(std::io::stdout(), "{document}")?)
}

/// Logs go to the error output: text for people, JSON in production.
fn start_logging(config: &Config) -> Result<(), BoxError> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| format!("ALIVIO_LOG: {error}"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.environment {
        Environment::Development => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        Environment::Production => logs.json().flatten_event(true).init(),
    }
    Ok(())
}
