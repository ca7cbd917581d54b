//! What goes wrong, and when: a seed decides.

use std::time::Duration;

use alivio_testkit::history::connect;
use alivio_testkit::server::{TestServer, eventually, signal};
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::chance::Chance;
use crate::stage::{DATABASE, Stage};

/// Between two faults people get so long to do something: half of that, and up to as much again.
const QUIET: Duration = Duration::from_millis(900);
/// So many times as long, once each kind has come up: now much is to be said.
const CALM: u32 = 6;

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident,)*) => {
        /// Something that goes wrong, and comes right again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Fault { $($(#[$doc])* $fault,)* }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$fault),*];
        }
    };
}

faults! {
    /// All connections between people and a server are cut.
    ConnectionsCut,
    /// A server does what it is asked, but its answers get lost.
    RepliesLost,
    /// Connections between people and a server end in the middle of a frame.
    FramesTorn,
    /// The way between people and a server is slow.
    NetworkSlow,
    /// Nothing passes between people and a server, and neither side is told.
    HalfOpen,
    /// SIGKILL to a server, which starts again.
    ServerKilled,
    /// A server stands still for a while.
    ServerFrozen,
    /// SIGTERM to one server after the other, as a new version is brought in.
    RollingRestart,
    /// The connections of the servers to PostgreSQL are ended by PostgreSQL.
    BackendsTerminated,
    /// SIGKILL to one backend of PostgreSQL, which ends all others and recovers.
    BackendKilled,
    /// All statements that run are cancelled.
    StatementsCancelled,
    /// PostgreSQL takes no more connections, and those of the servers have ended.
    ConnectionsExhausted,
    /// PostgreSQL has become one that may only be read, as after a switch to a stand-by.
    DatabaseReadOnly,
    /// Someone holds the rows of all conversations.
    RowsLocked,
    /// Someone changes the table of messages.
    TableLocked,
    /// PostgreSQL commits, but its answers get lost.
    CommitRepliesLost,
    /// Nothing passes between the servers and PostgreSQL, and neither side is told.
    DatabaseHangs,
    /// One of the servers cannot reach PostgreSQL.
    DatabasePartitioned,
    /// The connections between the servers and PostgreSQL are cut.
    DatabaseCut,
    /// SIGKILL to the postmaster; PostgreSQL recovers.
    PostmasterKilled,
    /// PostgreSQL goes at once, as `pg_ctl -m immediate` has it, and recovers.
    DatabaseStoppedAtOnce,
    /// SIGKILL to Redis, which starts again and knows nothing.
    RedisKilled,
    /// Redis stands still for a while.
    RedisFrozen,
    /// Redis forgets everything.
    RedisFlushed,
    /// One of the servers cannot reach Redis.
    RedisPartitioned,
    /// The way to Redis is slow.
    RedisSlow,
    /// SIGKILL to everything at once.
    PowerCut,
}

/// A fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// How long all goes well before it.
    pub(crate) quiet: Duration,
    pub(crate) fault: Fault,
    /// Which of the two servers it is about, if it is about one.
    pub(crate) node: usize,
    /// How long it lasts, more or less.
    moment: Duration,
}

/// The faults of a run, for ever: each kind once, then each kind again in another order.
pub(crate) fn plan(seed: u64) -> impl Iterator<Item = Planned> {
    let mut chance = Chance::new(seed);
    let (mut round, mut planned) = (Vec::new(), 0);
    std::iter::from_fn(move || {
        if round.is_empty() {
            round.extend(Fault::ALL);
            chance.shuffle(&mut round);
        }
        let patience = if planned < Fault::ALL.len() { QUIET } else { QUIET * CALM };
        planned += 1;
        let quiet = patience / 2 + Duration::from_millis(chance.below(patience.as_millis() as u64));
        let (node, moment) = (chance.below(2) as usize, Duration::from_millis(100 + chance.below(400)));
        round.pop().map(|fault| Planned { quiet, fault, node, moment })
    })
}

impl Planned {
    /// Lets it happen, and comes back when it is over.
    pub(crate) async fn happen(self, stage: &mut Stage) {
        let Self { fault, node, moment, .. } = self;
        match fault {
            Fault::ConnectionsCut => stage.to_servers[node].cut(),
            Fault::RepliesLost => {
                stage.to_servers[node].lose_replies();
                sleep(moment).await;
                stage.to_servers[node].mend();
            }
            Fault::FramesTorn => {
                stage.to_servers[node].tear();
                sleep(moment).await;
                stage.to_servers[node].mend();
            }
            Fault::NetworkSlow => {
                stage.to_servers[node].slow_down();
                sleep(moment * 3).await;
                stage.to_servers[node].mend();
            }
            Fault::HalfOpen => {
                stage.to_servers[node].hold();
                sleep(moment * 3).await;
                stage.to_servers[node].mend();
            }
            Fault::ServerKilled => stage.servers[node].restart().await,
            Fault::ServerFrozen => {
                stage.servers[node].freeze();
                sleep(moment * 3).await;
                stage.servers[node].wake();
            }
            Fault::RollingRestart => {
                for server in &stage.servers {
                    let status = server.terminate().await;
                    assert!(status.success(), "{status}: {}", server.logs());
                    server.restart().await;
                }
            }
            Fault::RedisKilled => {
                stage.redis.kill();
                sleep(moment).await;
                stage.redis.restart().await;
            }
            Fault::RedisFrozen => {
                stage.redis.pause();
                // Sometimes for longer than anybody waits for it.
                sleep(moment * 3).await;
                stage.redis.resume();
            }
            Fault::RedisFlushed => stage.redis.flush().await,
            Fault::RedisPartitioned => {
                stage.to_redis[node].refuse();
                sleep(moment * 3).await;
                stage.to_redis[node].mend();
            }
            Fault::RedisSlow => {
                stage.to_redis.iter().for_each(|way| way.slow_down());
                sleep(moment * 3).await;
                stage.to_redis.iter().for_each(|way| way.mend());
            }
            Fault::PowerCut => {
                stage.servers.iter().for_each(TestServer::kill);
                stage.redis.kill();
                signal("KILL", stage.postmaster());
                stage.restart_database().await;
                stage.redis.restart().await;
                stage.restart_servers().await;
            }
            of_database => of_database.befall_database(stage, node, moment).await,
        }
    }
}

impl Fault {
    /// What befalls PostgreSQL and the way to it.
    async fn befall_database(self, stage: &mut Stage, node: usize, moment: Duration) {
        let ways = &stage.to_database;
        match self {
            Self::CommitRepliesLost => {
                ways.iter().for_each(|way| way.lose_replies());
                sleep(moment).await;
                ways.iter().for_each(|way| way.mend());
            }
            Self::DatabaseHangs => {
                ways.iter().for_each(|way| way.hold());
                sleep(moment * 3).await;
                ways.iter().for_each(|way| way.mend());
            }
            Self::DatabasePartitioned => {
                ways[node].refuse();
                sleep(moment * 3).await;
                ways[node].mend();
            }
            Self::DatabaseCut => ways.iter().for_each(|way| way.cut()),
            Self::PostmasterKilled => {
                signal("KILL", stage.postmaster());
                stage.restart_database().await;
            }
            Self::DatabaseStoppedAtOnce => {
                signal("QUIT", stage.postmaster());
                stage.restart_database().await;
            }
            Self::BackendsTerminated => terminate_backends(&client(stage).await).await,
            Self::BackendKilled => kill_a_backend(&client(stage).await).await,
            Self::StatementsCancelled => cancel_statements(&client(stage).await).await,
            Self::ConnectionsExhausted => exhaust_connections(stage, moment).await,
            Self::DatabaseReadOnly => forbid_writing(stage, moment).await,
            Self::RowsLocked => {
                lock(stage, "SELECT 1 FROM conversations FOR UPDATE", moment * 2).await;
            }
            Self::TableLocked => {
                lock(stage, "LOCK TABLE messages IN ACCESS EXCLUSIVE MODE", moment * 2).await;
            }
            other => unreachable!("{other:?} is none of the database"),
        }
    }
}

/// A connection of our own, as soon as PostgreSQL has recovered from what was before.
async fn client(stage: &Stage) -> Client {
    let (url, mut client) = (stage.database_url(), None);
    eventually("PostgreSQL is back", async || {
        client = connect(&url).await.ok();
        client.is_some()
    })
    .await;
    client.expect("a connection")
}

/// The backends that work for the servers.
const BACKENDS: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'chaos'";

async fn terminate_backends(client: &Client) {
    let sql = format!("SELECT pg_terminate_backend(pid) {BACKENDS}");
    client.execute(&sql, &[]).await.expect("the backends end");
}

async fn cancel_statements(client: &Client) {
    let sql = format!("SELECT pg_cancel_backend(pid) {BACKENDS} AND state = 'active'");
    client.execute(&sql, &[]).await.expect("the statements are cancelled");
}

async fn kill_a_backend(client: &Client) {
    let found = client.query_opt(&format!("SELECT pid {BACKENDS} LIMIT 1"), &[]).await.expect("a backend");
    if let Some(row) = found {
        signal("KILL", row.get::<_, i32>(0).unsigned_abs());
        // Until it is our turn.
        let ended = client.batch_execute("SELECT pg_sleep(30)").await;
        assert!(ended.is_err(), "PostgreSQL goes on as if nothing had happened");
    }
}

/// Takes all connections that there are, also those that the servers had.
async fn exhaust_connections(stage: &Stage, moment: Duration) {
    let url = stage.database_url();
    let first = client(stage).await;
    let mut taken = Vec::new();
    for _ in 0..2 {
        while let Ok(client) = connect(&url).await {
            taken.push(client);
        }
        // What they had is taken in the second round.
        terminate_backends(&first).await;
    }
    sleep(moment).await;
}

async fn forbid_writing(stage: &Stage, moment: Duration) {
    let client = client(stage).await;
    let forbid = format!("ALTER DATABASE {DATABASE} SET default_transaction_read_only = on");
    client.execute(&forbid, &[]).await.expect("no more writing");
    terminate_backends(&client).await;
    sleep(moment).await;
    let allow = format!("ALTER DATABASE {DATABASE} RESET default_transaction_read_only");
    client.execute(&allow, &[]).await.expect("writing again");
    terminate_backends(&client).await;
}

/// Holds what `sql` locks.
async fn lock(stage: &Stage, sql: &str, moment: Duration) {
    let client = client(stage).await;
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = '2s'").await.expect("a transaction");
    // Who does not get it has at least stood in the way.
    if client.batch_execute(sql).await.is_ok() {
        sleep(moment).await;
    }
    client.batch_execute("ROLLBACK").await.expect("the end");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_decides_what_happens() {
        let planned = |seed| plan(seed).take(100).collect::<Vec<_>>();
        assert_eq!(planned(7), planned(7));
        assert_ne!(planned(7), planned(8));
    }

    #[test]
    fn each_kind_comes_up_once_a_round() {
        let planned: Vec<_> = plan(7).take(2 * Fault::ALL.len()).map(|planned| planned.fault).collect();
        let (first, second) = planned.split_at(Fault::ALL.len());
        for round in [first, second] {
            assert_eq!(round.iter().copied().collect::<BTreeSet<_>>().len(), Fault::ALL.len());
        }
        assert_ne!(first, second);
    }
}
