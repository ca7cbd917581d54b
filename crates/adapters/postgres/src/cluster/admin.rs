//! The few statements the cluster needs itself.

use super::error::ClusterError;
use super::initialise::USER;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::{Client, Config, Error, NoTls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn connect(socket: &Path, database: &str) -> Result<Client, Error> {
    let (client, connection) = Config::new()
        .host_path(socket)
        .user(USER)
        .dbname(database)
        .connect_timeout(CONNECT_TIMEOUT)
        .connect(NoTls)
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "maintenance connection ended");
        }
    });
    Ok(client)
}

/// Connects as libpq and tokio-postgres understand it.
pub(crate) fn url(socket: &Path, database: &str) -> String {
    format!("postgres:///{}?host={}&user={USER}", encode(database), socket.display())
}

pub(crate) async fn ensure_database(socket: &Path, name: &str) -> Result<(), ClusterError> {
    let failed = || ClusterError::database(format!("create database {name}"));
    let client = connect(socket, "postgres").await.map_err(failed())?;
    let known =
        client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await.map_err(failed())?;
    if known.is_some() {
        return Ok(());
    }
    client.batch_execute(&format!("CREATE DATABASE {}", quote(name))).await.map_err(failed())
}

pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
