//! `alivio doctor`: checks the configuration and every dependency, and names the variable and the fix.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use alivio_files::{Scanner as _, WorkshopError};
use alivio_kernel::BoxError;
use alivio_postgres::cluster::find_programs;
use alivio_postgres::{Database, DatabaseOptions};
use alivio_redis::RedisBus;
use bytes::Bytes;

use crate::config::{Config, Environment, FilesConfig, MailConfig, SETTINGS, ScannerConfig, Setting};
use crate::{assembly, files};

struct Check {
    name: &'static str,
    result: Result<String, String>,
}

/// Prints what it finds; fails if something would keep the server from running.
pub(crate) async fn doctor(config: &Config) -> Result<(), BoxError> {
    let checks = [
        Check { name: "settings", result: Ok(settings(config)) },
        Check { name: "address", result: free(config.bind, "ALIVIO_BIND") },
        Check { name: "metrics", result: metrics(config) },
        Check { name: "database", result: database(config).await },
        Check { name: "redis", result: redis(config).await },
        Check { name: "keys", result: keys(config) },
        Check { name: "files", result: blobs(config).await },
        Check { name: "scanner", result: scanner(config).await },
        Check { name: "mail", result: mail(config).await },
        Check { name: "links", result: links(config) },
        Check { name: "workshop", result: workshop().await },
    ];
    let mut out = std::io::stdout().lock();
    for Check { name, result } in &checks {
        match result {
            Ok(found) => writeln!(out, "ok    {name}: {found}")?,
            Err(fix) => writeln!(out, "FAIL  {name}: {fix}")?,
        }
    }
    let failed = checks.iter().filter(|check| check.result.is_err()).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} checks failed", checks.len()).into()) }
}

fn settings(config: &Config) -> String {
    let demo = if config.demo { ", with the demo clinic" } else { "" };
    let mut text = format!("{:?}{demo}", config.environment);
    for Setting { name, default, meaning } in SETTINGS {
        // A URL may hold a password, so that a variable is set is all that is shown.
        let state = if std::env::var_os(name).is_some() { "set" } else { "not set" };
        text.push_str(&format!("\n        {name} ({state}; default `{default}`): {meaning}"));
    }
    text
}

fn free(address: SocketAddr, variable: &str) -> Result<String, String> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) => Err(format!("cannot listen on {address}: {error}. Set {variable} to a free address")),
    }
}

fn metrics(config: &Config) -> Result<String, String> {
    let Some(address) = config.metrics_bind else { return Ok("nothing is measured".to_owned()) };
    let free = free(address, "ALIVIO_METRICS_BIND")?;
    let reach =
        if address.ip().is_loopback() { "for this machine" } else { "for all who reach it, unsigned" };
    Ok(format!("{free}; numbers {reach}"))
}

async fn database(config: &Config) -> Result<String, String> {
    let Some(url) = &config.database_url else {
        return match find_programs() {
            Ok(programs) => Ok(format!("private, by {programs}, in {}", config.data_dir.display())),
            Err(error) => Err(error.to_string()),
        };
    };
    let fix = |error: alivio_postgres::DatabaseError| {
        format!("{error}. Check DATABASE_URL and that the server runs")
    };
    let database = Database::new(url, DatabaseOptions::default()).map_err(fix)?;
    database.ping().await.map_err(fix)?;
    match database.check_durability().await {
        Err(error) if config.environment == Environment::Production => Err(error.to_string()),
        Err(error) => Ok(format!("answers, but {error}")),
        Ok(()) => Ok("answers, and keeps what it acknowledges".to_owned()),
    }
}

async fn redis(config: &Config) -> Result<String, String> {
    let Some(url) = &config.redis_url else { return Ok("not used, nodes look twice a second".to_owned()) };
    match RedisBus::probe(url).await {
        Ok(()) => Ok("answers".to_owned()),
        Err(error) => Err(format!("{error}. Check REDIS_URL")),
    }
}

fn keys(config: &Config) -> Result<String, String> {
    let file = config.keys_file.display();
    if config.environment == Environment::Development && !config.keys_file.exists() {
        return Ok(format!("will be made at {file} (ALIVIO_KEYS_FILE)"));
    }
    match assembly::keys(config) {
        Ok(_) => Ok(format!("{file}")),
        Err(error) => Err(error.to_string()),
    }
}

async fn blobs(config: &Config) -> Result<String, String> {
    let place = match &config.files {
        FilesConfig::Folder(folder) => format!("in {}", folder.display()),
        FilesConfig::S3(options) => format!("in the bucket {}", options.bucket),
    };
    let blobs = files::blobs(&config.files).map_err(|error| error.to_string())?;
    match blobs.check().await {
        Ok(()) => Ok(place),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Err(format!("{place}: {error}{}. Check ALIVIO_FILES", cause.unwrap_or_default()))
        }
    }
}

/// Lets it look at harmless files of which it must say something.
async fn scanner(config: &Config) -> Result<String, String> {
    let address = match config.scanner().map_err(|error| error.to_string())? {
        ScannerConfig::Sandbox => return Ok("a sandbox, which finds EICAR only (ALIVIO_CLAMD)".to_owned()),
        ScannerConfig::Clamd(address) => address,
    };
    let clamd = files::clamd(address);
    let version = clamd.version().await.map_err(|error| format!("{address}: {error}. Check ALIVIO_CLAMD"))?;
    match clamd.prove().await {
        Ok(()) => Ok(format!("{version} at {address}, and it finds what it must")),
        Err(error) => Err(format!("{version} at {address}: {error}")),
    }
}

/// Asks whoever takes mail away, without sending any.
async fn mail(config: &Config) -> Result<String, String> {
    match config.mail().map_err(|error| error.to_string())? {
        MailConfig::Sandbox => Ok("kept in memory, to be read at /dev/outbox".to_owned()),
        MailConfig::SendGrid { api_key, from } => {
            let sendgrid = assembly::sendgrid(api_key, from).map_err(|error| error.to_string())?;
            match sendgrid.check().await {
                Ok(()) => Ok(format!("by SendGrid, from {from}")),
                Err(error) => Err(format!("{error}. Check SENDGRID_API_KEY")),
            }
        }
        MailConfig::Smtp { url, from } => {
            let smtp = assembly::smtp(url, from).map_err(|error| error.to_string())?;
            match smtp.check().await {
                Ok(()) => Ok(format!("by SMTP, from {from}")),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    Err(format!("{error}{}. Check SMTP_URL", cause.unwrap_or_default()))
                }
            }
        }
    }
}

fn links(config: &Config) -> Result<String, String> {
    let origin = config.public_origin().map_err(|error| error.to_string())?;
    Ok(format!("letters lead to {}", origin.as_str()))
}

/// Has a child confine itself, and one thing done.
async fn workshop() -> Result<String, String> {
    // A JPEG without a picture: refused by whoever looks at it.
    let nothing = Bytes::from_static(b"\xff\xd8\xff\xd9");
    match assembly::workshop().strip("image/jpeg", nothing).await {
        Err(WorkshopError::Unavailable(error)) => Err(format!("{error}. Files need it: is there seccomp?")),
        _ => Ok("files are taken apart in processes of their own".to_owned()),
    }
}
