//! Journeys: the real binary on a free port, a PostgreSQL database of its own for each, people who do things.
//!
//! Nothing here looks inside: what is asserted is what a client can see. A journey waits for events and
//! conditions, never for time.
#![cfg(test)]

mod accounts;
mod administration;
mod asyncapi;
mod audit;
mod bad_input;
mod blocks;
mod break_glass;
mod canaries;
mod changes;

mod chat;
mod contacts;
mod conversation_settings;
mod conversations;
mod credentials;
mod deletion;
mod dialect_socket;
mod dialects;
mod directory;
mod drafts;
mod edits;
mod emergencies;
mod encryption;
mod expiry;
mod files;
mod formatting;
mod forwarding;
mod headers;
mod history_filters;
mod hours;
mod inbox;
mod invitation_links;
mod limits;
mod mail;
mod matrix;
mod message_types;
mod messages;
mod metrics;
mod moderation;
mod my_messages;
mod nodes;
mod outage;
mod partitions;
mod presence;
mod privacy;
mod profiles;
mod reactions;
mod receipts;
mod replies;
mod resume_changes;
mod scheduled;
mod screening;
mod search;
mod second_factor;
mod sessions;
mod shared_limits;
mod side_doors;
mod socket_attacks;
mod sockets;
mod storm;

use std::ops::Deref;

use alivio_kernel::{IdSource, SystemIds};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::server::TestServer;
use serde_json::Value;

/// For journeys that send more at once than people do.
const FAST: [(&str, &str); 1] = [("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "1000000")];

/// A server on a database of its own.
struct World {
    // Before the database: it is stopped before its database is dropped.
    server: TestServer,
    database: TestDatabase,
}

impl World {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(environment: &[(&str, &str)]) -> Self {
        let database = TestDatabase::new().await.expect("a database");
        let server = TestServer::start(env!("CARGO_BIN_EXE_alivio"), database.url(), environment).await;
        Self { server, database }
    }
}

impl Deref for World {
    type Target = TestServer;
    fn deref(&self) -> &TestServer {
        &self.server
    }
}

impl World {
    /// Changes what is stored, for what would take too long to wait for. How many rows changed.
    async fn execute(&self, sql: &str, id: &str) -> u64 {
        let (client, connection) =
            tokio_postgres::connect(self.database.url(), tokio_postgres::NoTls).await.expect("the database");
        let connection = tokio::spawn(connection);
        let id: uuid::Uuid = id.parse().expect("an id");
        let changed = client.execute(sql, &[&id]).await.expect("valid SQL");
        connection.abort();
        changed
    }
}

/// An id that nothing has.
fn unused_id() -> String {
    SystemIds.uuid().to_string()
}

/// The text at `field`.
#[track_caller]
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// The number at `field`.
#[track_caller]
fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// The list at `field`.
#[track_caller]
fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// The seq of each.
#[track_caller]
fn seqs<'a>(messages: impl IntoIterator<Item = &'a Value>) -> Vec<i64> {
    messages.into_iter().map(|message| number(message, "seq")).collect()
}

/// The names of an object's fields, sorted.
#[track_caller]
fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
