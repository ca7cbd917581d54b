//! Server settings. They go on the command line, so that every start has exactly these.

use super::home::Home;

/// What a crash of the machine may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Nothing that was committed.
    #[default]
    Durable,
    /// Everything. For tests only: fsync is off.
    Volatile,
}

/// `-c name=value` arguments for `postgres`.
pub(crate) fn arguments(
    home: &Home,
    durability: Durability,
    max_connections: u16,
    shared_buffers_mb: u32,
) -> Vec<String> {
    let durable = match durability {
        Durability::Durable => "on",
        Durability::Volatile => "off",
    };
    let mut settings: Vec<(&str, String)> = vec![
        ("listen_addresses", String::new()),
        ("unix_socket_directories", home.runtime.display().to_string()),
        ("unix_socket_permissions", "0700".into()),
        ("port", "5432".into()),
        ("max_connections", max_connections.to_string()),
        ("shared_buffers", format!("{shared_buffers_mb}MB")),
        ("fsync", durable.into()),
        ("synchronous_commit", durable.into()),
        ("full_page_writes", durable.into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        ("log_destination", "stderr".into()),
        ("logging_collector", "off".into()),
        ("log_line_prefix", "%m [%p] %d ".into()),
        // Statements and error details quote people's data; the log must not.
        ("log_statement", "none".into()),
        ("log_min_error_statement", "panic".into()),
        ("log_error_verbosity", "terse".into()),
        ("log_min_duration_statement", "-1".into()),
    ];
    if durability == Durability::Durable {
        // So much of its log is used again: to make room for more of it, everyone who writes would wait.
        settings.push(("min_wal_size", "512MB".into()));
    } else {
        settings.push(("wal_level", "minimal".into()));
        settings.push(("max_wal_senders", "0".into()));
        // The log may be kept in memory.
        settings.push(("min_wal_size", "32MB".into()));
        settings.push(("max_wal_size", "256MB".into()));
        // Each test database costs several.
        settings.push(("log_checkpoints", "off".into()));
    }
    settings.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]).collect()
}
