//! What goes wrong.

use std::time::Duration;

use alivio_testkit::history::connect;
use alivio_testkit::server::signal;

use crate::Chance;
use crate::stage::Stage;

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
    /// SIGKILL to a server, which starts again.
    ServerKilled,
    /// The connections of the servers to PostgreSQL are ended by PostgreSQL.
    BackendsTerminated,
    /// A server does what it is asked, but its answers get lost.
    RepliesLost,
    /// A server stands still for a while.
    ServerFrozen,
    /// PostgreSQL commits, but its answers get lost.
    CommitRepliesLost,
    /// SIGKILL to the postmaster; PostgreSQL recovers.
    PostmasterKilled,
    /// PostgreSQL goes at once, as `pg_ctl -m immediate` has it, and recovers.
    DatabaseStoppedAtOnce,
    /// The connections between the servers and PostgreSQL are cut.
    DatabaseCut,
}

impl Fault {
    /// Lets it happen, and comes back when it is over.
    pub(crate) async fn happen(self, stage: &mut Stage, chance: &mut Chance) {
        let which = usize::from(chance.one_in(2));
        let moment = Duration::from_millis(100 + chance.below(400));
        match self {
            Self::ConnectionsCut => stage.to_servers[which].cut(),
            Self::ServerKilled => stage.servers[which].restart().await,
            Self::BackendsTerminated => terminate_backends(stage).await,
            Self::RepliesLost => {
                stage.to_servers[which].lose_replies();
                tokio::time::sleep(moment).await;
                stage.to_servers[which].mend();
            }
            Self::ServerFrozen => {
                stage.servers[which].freeze();
                tokio::time::sleep(moment * 3).await;
                stage.servers[which].wake();
            }
            Self::CommitRepliesLost => {
                stage.to_database.lose_replies();
                tokio::time::sleep(moment).await;
                stage.to_database.mend();
            }
            Self::PostmasterKilled => {
                signal("KILL", stage.postmaster());
                stage.restart_database().await;
            }
            Self::DatabaseStoppedAtOnce => {
                signal("QUIT", stage.postmaster());
                stage.restart_database().await;
            }
            Self::DatabaseCut => stage.to_database.cut(),
        }
    }
}

async fn terminate_backends(stage: &Stage) {
    const SQL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let client = connect(&stage.database_url()).await.expect("PostgreSQL");
    client.execute(SQL, &[]).await.expect("the backends end");
}
