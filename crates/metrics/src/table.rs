//! The table. What it says is written for those who look after an installation: `README.md` beside this crate has the
//! same rows.

use metrics::{Counter, Gauge, Histogram};

use crate::{
    Appending, Closing, Command, Delivery, Direction, Group, Handling, LookedUp, Measure, Names, Outcome,
    SignInStep, Use,
};

/// From half a millisecond to ten seconds.
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Fewer, as there is a set of them for each route.
const REQUEST_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0];
/// Up to the largest group that is committed at once.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];

/// What requests are told apart by.
pub enum Request {}

impl Names for Request {
    const NAMES: &'static [&'static str] = &["method", "route", "status"];
}

/// What builds are told apart by.
pub enum Build {}

impl Names for Build {
    const NAMES: &'static [&'static str] = &["version", "commit"];
}

macro_rules! or_none {
    () => {
        &[]
    };
    ($buckets:expr) => {
        $buckets
    };
}

macro_rules! groups {
    ($($(#[$doc:meta])* $group:ident $title:literal {
        $($NAME:ident: $type:ty = $name:literal, $help:literal $(, $buckets:expr)?;)*
    })*) => {
        $(
            $(#[$doc])*
            pub mod $group {
                use super::*;

                $(
                    #[doc = $help]
                    pub static $NAME: $type =
                        <$type>::new($name, $help, or_none!($($buckets)?));
                )*

                /// All of them.
                pub static GROUP: Group = Group { title: $title, metrics: &[$(&$NAME),*] };
            }
        )*

        /// The whole table.
        pub static GROUPS: &[&Group] = &[$(&$group::GROUP),*];
    };
}

groups! {
    /// WebSockets of this node.
    sockets "Sockets" {
        OPEN: Measure<Gauge> = "alivio_sockets_open", "WebSockets that are open.";
        QUEUE_DEPTH: Measure<Gauge> = "alivio_socket_queue_depth_max",
            "Events that wait in the longest of their queues; at 1024 a socket is closed as too slow.";
        OPENED: Measure<Counter> = "alivio_sockets_opened_total", "WebSockets that were opened.";
        CLOSED: Measure<Counter, Closing> = "alivio_sockets_closed_total",
            "WebSockets that have ended, by the reason of the closing frame; `gone`: without one.";
        COMMANDS: Measure<Counter, (Command, Outcome)> = "alivio_socket_commands_total",
            "Commands that came by socket, by what came of them; `failed`: by a fault of ours, `unknown`: not understood.";
        DELIVERIES: Measure<Counter, Delivery> = "alivio_deliveries_total",
            "Events sent to sockets, once for each socket; answers to commands are none.";
        ACKNOWLEDGEMENT: Measure<Histogram> = "alivio_acknowledgement_duration_seconds",
            "From when `message.send` was read from a socket to when its acknowledgement was written to it.", SECONDS;
        RESUME_GAPS: Measure<Counter> = "alivio_resume_gaps_total",
            "Devices that came back with more than there is: a backup was restored.";
        RECOVERIES: Measure<Counter> = "alivio_socket_recoveries_total",
            "How often a socket read from the log what it had not been told in time.";
    }

    /// What is written to the log of messages by this node, and heard from others.
    messages "Messages" {
        APPENDED: Measure<Counter, Appending> = "alivio_messages_total",
            "Messages offered to the log, by what came of it; those sent at a set time are not among them.";
        GROUP_SIZE: Measure<Histogram> = "alivio_message_commit_group_size",
            "Messages that shared one commit.", SIZES;
        COMMIT: Measure<Histogram> = "alivio_message_commit_duration_seconds",
            "How long PostgreSQL took for one such commit.", SECONDS;
        REMOTE_DELAY: Measure<Histogram> = "alivio_remote_change_delay_seconds",
            "From when another node did something that someone listens to here, to when it is told here.", SECONDS;
    }

    /// Consequences that wait. The gauges are of the installation: all nodes show the same.
    outbox "Outbox" {
        DUE: Measure<Gauge> = "alivio_outbox_events_due",
            "Events whose time has come and that are not done yet, 100,000 at most; of the whole installation.";
        OLDEST_DUE: Measure<Gauge> = "alivio_outbox_oldest_due_age_seconds",
            "How long the oldest of them has been due; of the whole installation.";
        DEAD_LETTERS: Measure<Gauge> = "alivio_outbox_dead_letters",
            "Events that have failed so often that they were set aside; of the whole installation.";
        EVENTS: Measure<Counter, Handling> = "alivio_outbox_events_total",
            "Events that this node has taken from the outbox, by what became of them.";
    }

    /// The index of words.
    search "Search" {
        OLDEST_UNINDEXED: Measure<Gauge> = "alivio_search_oldest_unindexed_age_seconds",
            "How long ago that happened which the index of words shows next; of the whole installation.";
    }

    /// Bytes of files on their way.
    files "Files" {
        RECEIVED: Measure<Counter> = "alivio_files_received_bytes_total",
            "Bytes of uploads that came, of those that were refused, too.";
        SENT: Measure<Counter> = "alivio_files_sent_bytes_total", "Bytes of files and of their pictures that were sent.";
    }

    /// The way to PostgreSQL.
    database "Database" {
        UP: Measure<Gauge> = "alivio_database_up",
            "1 if PostgreSQL answered when it was last asked for the numbers of the whole installation; those are NaN if not.";
        CONNECTIONS: Measure<Gauge, Use> = "alivio_database_connections",
            "Connections in the pool; those that write messages are besides.";
        CONNECTIONS_MAX: Measure<Gauge> = "alivio_database_connections_max", "Connections that the pool may have.";
        WAITING: Measure<Gauge> = "alivio_database_waiting", "Requests that wait for a connection.";
    }

    /// The way to other nodes. Shown with `REDIS_URL` only.
    redis "Redis" {
        UP: Measure<Gauge> = "alivio_redis_up", "1 while the line to Redis is up.";
        WAITING: Measure<Gauge> = "alivio_redis_calls_waiting", "Calls to other nodes that wait for the line.";
        DROPPED: Measure<Counter, Direction> = "alivio_redis_calls_dropped_total",
            "Calls that found no room in a queue; what they were about is then noticed a little later.";
    }

    /// Requests to this node.
    http "HTTP" {
        REQUESTS: LookedUp<Histogram, Request> = "alivio_http_request_duration_seconds",
            "How long requests took, by method, pattern of the route and class of the status; what no route answered is `other`.",
            REQUEST_SECONDS;
        RATE_LIMITED: Measure<Counter> = "alivio_http_rate_limited_total",
            "Requests that were answered 429.";
        SIGN_INS: Measure<Counter, (SignInStep, Outcome)> = "alivio_sign_ins_total",
            "Secrets that were presented to sign in, by what came of it.";
    }

    /// What people and operators must know of the whole installation.
    installation "Installation" {
        EMERGENCIES: Measure<Gauge> = "alivio_emergencies_unacknowledged",
            "Emergencies that are open and that nobody has acknowledged; of the whole installation.";
        KEY_VERSION: Measure<Gauge> = "alivio_key_encryption_key_version",
            "The version of the key-encryption key that this node wraps new keys by.";
        BUILD: LookedUp<Gauge, Build> = "alivio_build_info", "1, with the version that runs.";
    }

    /// This process; memory and files on Linux only.
    process "Process" {
        RESIDENT_MEMORY: Measure<Gauge> = "process_resident_memory_bytes", "Memory that the process holds.";
        OPEN_FILES: Measure<Gauge> = "process_open_fds", "File descriptors that are open.";
        STARTED: Measure<Gauge> = "process_start_time_seconds", "When the process began, in Unix time.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Kind, Measured};

    fn all() -> impl Iterator<Item = &'static dyn Measured> {
        GROUPS.iter().flat_map(|group| group.metrics.iter().copied())
    }

    #[test]
    fn names_are_as_prometheus_wants_them() {
        let mut names = HashSet::new();
        for metric in all() {
            let name = metric.name();
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("alivio_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
            // What is measured is in base units, and says so.
            let has_unit = name.ends_with("_seconds") || name.ends_with("_size");
            assert_eq!(has_unit && !metric.buckets().is_empty(), metric.kind() == Kind::Histogram, "{name}");
            assert!(!name.contains("_ms") && !name.contains("_milli"), "{name}");
            assert!(metric.help().ends_with('.') && !metric.help().contains(['\n', '|']), "{name}");
            for label in metric.labels() {
                assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}: {label}");
            }
        }
    }

    #[test]
    fn buckets_grow() {
        for metric in all() {
            assert!(metric.buckets().is_sorted_by(|a, b| a < b), "{}", metric.name());
        }
    }

    #[test]
    fn the_document_has_the_same_rows() {
        let document = include_str!("../README.md");
        let written: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let rows = GROUPS.iter().flat_map(|group| group.metrics).map(|metric| {
            let labels: Vec<_> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
            let (name, kind) = (metric.name(), metric.kind().as_str());
            format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), metric.help())
        });
        let rows: Vec<_> = rows.collect();
        assert_eq!(written, rows, "the table is to be:\n{}", rows.join("\n"));
        for group in GROUPS {
            assert!(document.contains(&format!("## {}\n", group.title)), "{}", group.title);
        }
    }
}
