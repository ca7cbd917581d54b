//! Configuration by environment. [`SETTINGS`] is the one list of it: parsing, `doctor` and the README's
//! table follow it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A setting: variable, default, meaning.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) meaning: &'static str,
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default, meaning }
}

/// Everything that can be configured.
pub(crate) const SETTINGS: [Setting; 11] = [
    setting("ALIVIO_ENV", "development", "`production` refuses the demo clinic and makes up no keys"),
    setting("ALIVIO_BIND", "127.0.0.1:8080", "address and port to listen on; port 0 takes a free one"),
    setting("ALIVIO_DATA_DIR", ".alivio", "where the private PostgreSQL and the keys live"),
    setting("DATABASE_URL", "", "a PostgreSQL of your own (14 or newer); unset, Alivio runs a private one"),
    setting(
        "ALIVIO_KEYS_FILE",
        "<data dir>/keys.json",
        "the keys that everything is encrypted and signed with; back it up apart from the database",
    ),
    setting(
        "ALIVIO_DEMO",
        "true without DATABASE_URL in development",
        "`true` or `false`: whether to make the demo clinic",
    ),
    setting("ALIVIO_CORS_ORIGINS", "", "origins of web pages that may call the API, separated by commas"),
    setting(
        "ALIVIO_DATABASE_CONNECTIONS",
        "8",
        "connections to PostgreSQL, besides the two that write messages",
    ),
    setting(
        "ALIVIO_SOCKET_COMMANDS_PER_SECOND",
        "50",
        "commands that one socket may send per second; twice as many at once",
    ),
    setting(
        "ALIVIO_SHUTDOWN_SECONDS",
        "20",
        "how long requests and sockets may take to finish when the server stops",
    ),
    setting(
        "ALIVIO_LOG",
        "info",
        "what to log, e.g. `info,alivio_postgres=debug`; JSON in production, text otherwise",
    ),
];

/// Variables of our tests, bench and scripts: set beside the server, not for it.
const NOT_FOR_THE_SERVER: [&str; 3] =
    ["ALIVIO_TESTS_MUST_NOT_SKIP", "ALIVIO_BENCH_PASSWORD", "ALIVIO_PROGRAM"];

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A value is not of the form it needs.
    #[error("{name} is `{value}`, but must be {expected}")]
    Invalid { name: &'static str, value: String, expected: &'static str },
    /// A variable that looks like ours and is not.
    #[error("{name} is not a setting. Settings are: {known}")]
    Unknown { name: String, known: String },
    /// The demo clinic has well-known passwords.
    #[error(
        "ALIVIO_DEMO=true is refused with ALIVIO_ENV=production: its passwords are public. Unset ALIVIO_DEMO"
    )]
    DemoInProduction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    Development,
    Production,
}

/// The configuration.
pub(crate) struct Config {
    pub(crate) environment: Environment,
    pub(crate) bind: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// Holds a password: never to be logged.
    pub(crate) database_url: Option<String>,
    pub(crate) keys_file: PathBuf,
    pub(crate) demo: bool,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) database_connections: usize,
    pub(crate) socket_commands_per_second: NonZeroU32,
    pub(crate) shutdown: Duration,
    pub(crate) log: String,
}

impl Config {
    /// Reads the environment of the process.
    pub(crate) fn from_environment() -> Result<Self, ConfigError> {
        Self::parse(std::env::vars().collect())
    }

    fn parse(variables: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let known = || SETTINGS.iter().map(|s| s.name);
        let is_ours = |name: &str| {
            !name.starts_with("ALIVIO_") || known().chain(NOT_FOR_THE_SERVER).any(|known| known == name)
        };
        if let Some(name) = variables.keys().find(|name| !is_ours(name)) {
            let known = known().collect::<Vec<_>>().join(", ");
            return Err(ConfigError::Unknown { name: name.clone(), known });
        }
        let get = |name: &str| variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let environment = match get("ALIVIO_ENV") {
            None | Some("development") => Environment::Development,
            Some("production") => Environment::Production,
            Some(value) => return Err(invalid("ALIVIO_ENV", value, "`development` or `production`")),
        };
        let data_dir = PathBuf::from(get("ALIVIO_DATA_DIR").unwrap_or(".alivio"));
        let database_url = get("DATABASE_URL").map(str::to_owned);
        if database_url
            .as_deref()
            .is_some_and(|url| !url.starts_with("postgres://") && !url.starts_with("postgresql://"))
        {
            // Not the value itself: it may hold a password.
            return Err(invalid("DATABASE_URL", "…", "a URL like `postgres://user:password@host/database`"));
        }
        let production = environment == Environment::Production;
        let demo = match get("ALIVIO_DEMO") {
            None => !production && database_url.is_none(),
            Some("false") => false,
            Some("true") if production => return Err(ConfigError::DemoInProduction),
            Some("true") => true,
            Some(value) => return Err(invalid("ALIVIO_DEMO", value, "`true` or `false`")),
        };
        Ok(Self {
            environment,
            bind: number(
                get("ALIVIO_BIND"),
                "ALIVIO_BIND",
                "127.0.0.1:8080",
                "an address and a port, like `127.0.0.1:8080`",
            )?,
            keys_file: get("ALIVIO_KEYS_FILE").map_or_else(|| data_dir.join("keys.json"), PathBuf::from),
            data_dir,
            database_url,
            demo,
            allowed_origins: origins(get("ALIVIO_CORS_ORIGINS").unwrap_or(""))?,
            database_connections: number::<NonZeroU32>(
                get("ALIVIO_DATABASE_CONNECTIONS"),
                "ALIVIO_DATABASE_CONNECTIONS",
                "8",
                "a number from 1",
            )?
            .get() as usize,
            socket_commands_per_second: number(
                get("ALIVIO_SOCKET_COMMANDS_PER_SECOND"),
                "ALIVIO_SOCKET_COMMANDS_PER_SECOND",
                "50",
                "a number from 1",
            )?,
            shutdown: Duration::from_secs(number(
                get("ALIVIO_SHUTDOWN_SECONDS"),
                "ALIVIO_SHUTDOWN_SECONDS",
                "20",
                "a number of seconds",
            )?),
            log: get("ALIVIO_LOG").unwrap_or("info").to_owned(),
        })
    }
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::Invalid { name, value: value.to_owned(), expected }
}

fn number<T: FromStr>(
    value: Option<&str>,
    name: &'static str,
    default: &str,
    expected: &'static str,
) -> Result<T, ConfigError> {
    let value = value.unwrap_or(default);
    value.parse().map_err(|_| invalid(name, value, expected))
}

fn origins(list: &str) -> Result<Vec<String>, ConfigError> {
    let origins = list.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    origins
        .map(|origin| match origin.split_once("://") {
            Some(("http" | "https", host)) if !host.is_empty() && !host.contains(['/', '*']) => {
                Ok(origin.to_owned())
            }
            _ => Err(invalid(
                "ALIVIO_CORS_ORIGINS",
                origin,
                "origins like `https://app.clinic.example`, without path or `*`",
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn nothing_configured_is_a_demo_on_loopback() {
        let config = parse(&[]).unwrap();
        assert!(config.demo && config.bind.ip().is_loopback());
        assert_eq!(config.keys_file, PathBuf::from(".alivio/keys.json"));
    }

    #[test]
    fn the_demo_is_off_with_a_database_and_refused_in_production() {
        assert!(!parse(&[("DATABASE_URL", "postgres://x/y")]).unwrap().demo);
        assert!(parse(&[("DATABASE_URL", "postgres://x/y"), ("ALIVIO_DEMO", "true")]).unwrap().demo);
        assert!(!parse(&[("ALIVIO_ENV", "production")]).unwrap().demo);
        let refused = parse(&[("ALIVIO_ENV", "production"), ("ALIVIO_DEMO", "true")]);
        assert!(matches!(refused, Err(ConfigError::DemoInProduction)));
    }

    #[test]
    fn bad_values_name_the_variable_and_what_it_must_be() {
        for (name, value) in [
            ("ALIVIO_BIND", "8080"),
            ("ALIVIO_ENV", "prod"),
            ("ALIVIO_DEMO", "yes"),
            ("DATABASE_URL", "mysql://root:hunter2@x"),
            ("ALIVIO_CORS_ORIGINS", "*"),
            ("ALIVIO_DATABASE_CONNECTIONS", "0"),
            ("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "-1"),
            ("ALIVIO_SHUTDOWN_SECONDS", "soon"),
        ] {
            let error = parse(&[(name, value)]).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains("must be"), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn misspelt_settings_are_refused() {
        let error = parse(&[("ALIVIO_BNID", "x")]).err().unwrap().to_string();
        assert!(error.contains("ALIVIO_BNID") && error.contains("ALIVIO_BIND"), "{error}");
        assert!(parse(&[("ALIVIO_BENCH_PASSWORD", "x")]).is_ok());
    }

    #[test]
    fn the_readme_lists_every_setting() {
        let readme = include_str!("../../../README.md");
        for Setting { name, meaning, .. } in &SETTINGS {
            assert!(readme.contains(&format!("`{name}`")) && readme.contains(meaning), "{name}");
        }
    }
}
