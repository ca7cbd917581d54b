//! Configuration by environment. [`SETTINGS`] is the one list of it: parsing, `doctor` and the README's
//! table follow it.

mod files;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use alivio_accounts::{DirectoryPolicy, Email, SignInPolicy};
use alivio_conversations::{ChatHours, EmergencyNumber, EmergencyPolicy, OutsideHours, Schedule};
use alivio_files::Policy as FilePolicy;
use alivio_http::Rates;
use alivio_kernel::{Role, Sensitive};
use alivio_messages::screening::{ScreeningAction, ScreeningPolicy};
use alivio_messages::{ChangePolicy, PaceLimits};
use alivio_notifications::PublicOrigin;
use alivio_platform::live::DoorPolicy;
use chrono::TimeDelta;
use ipnet::IpNet;

pub(crate) use self::files::{FilesConfig, ScannerConfig};

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
pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "ALIVIO_ENV",
        "development",
        "`production` refuses the demo clinic and the sandbox, and makes up no keys",
    ),
    setting("ALIVIO_BIND", "127.0.0.1:8080", "address and port to listen on; port 0 takes a free one"),
    setting(
        "ALIVIO_METRICS_BIND",
        "",
        "address and port on which Prometheus reads numbers at `/metrics`, without signing in, like `127.0.0.1:9464`; unset, nothing is measured",
    ),
    setting("ALIVIO_DATA_DIR", ".alivio", "where the private PostgreSQL and the keys live"),
    setting("DATABASE_URL", "", "a PostgreSQL of your own (14 or newer); unset, Alivio runs a private one"),
    setting(
        "REDIS_URL",
        "",
        "a Redis of your own (7.0 or newer), `redis://host:6379` or `rediss://user:password@host:6379`, or one address of a cluster, by which several nodes call to each other and share limits; unset, each looks twice a second and counts by itself",
    ),
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
    setting(
        "ALIVIO_OPEN_REGISTRATION",
        "true",
        "`true` or `false`: whether patients and students may sign up by themselves",
    ),
    setting(
        "ALIVIO_CLINIC_TIME_ZONE",
        "Europe/Madrid",
        "IANA time zone of the clinic, by whose clock the chat hours go",
    ),
    setting(
        "ALIVIO_CHAT_HOURS",
        "08:00-22:00",
        "when patients may write, every day, until an administrator sets other hours; `00:00-24:00` is always",
    ),
    setting(
        "ALIVIO_EMERGENCY_NUMBER",
        "112",
        "the local number to dial when a life is in danger, shown with every emergency",
    ),
    setting(
        "ALIVIO_EMERGENCY_ACK_SECONDS",
        "120",
        "how long those on call have to acknowledge an emergency before the next level is paged, 1 to 3600",
    ),
    setting("ALIVIO_CORS_ORIGINS", "", "origins of web pages that may call the API, separated by commas"),
    setting(
        "ALIVIO_DIRECTORY",
        "related",
        "how far professionals find each other: `related` (institution, conversations, care) or `open`",
    ),
    setting(
        "ALIVIO_PUBLIC_URL",
        "http://<bind> in development",
        "origin of the pages that letters link to, like `https://app.clinic.example`; needed in production",
    ),
    setting(
        "ALIVIO_MAIL",
        "sandbox in development",
        "how mail leaves: `sendgrid`, `smtp`, or `sandbox`, which keeps it for everyone to read at `/dev/outbox`; needed in production",
    ),
    setting("ALIVIO_MAIL_FROM", "", "the address that mail is from"),
    setting("SENDGRID_API_KEY", "", "key of SendGrid's API with the right `mail.send`"),
    setting("SENDGRID_FROM_EMAIL", "ALIVIO_MAIL_FROM", "the address that mail by SendGrid is from"),
    setting(
        "SMTP_URL",
        "",
        "the mail server: `smtps://user:password@host:465`, `smtp://user:password@host:587?tls=required` or `smtp://host:25`",
    ),
    files::FILES,
    files::REGION,
    files::ENDPOINT,
    files::KEY_ID,
    files::SECRET,
    files::CLAMD,
    setting(
        "ALIVIO_TRUSTED_PROXIES",
        "",
        "addresses or networks of your proxies, separated by commas; only their `X-Forwarded-For` is believed",
    ),
    setting(
        "ALIVIO_ALLOWED_NETWORKS",
        "",
        "addresses or networks from which one may sign in, separated by commas; everywhere if there are none",
    ),
    setting(
        "ALIVIO_RATE_CREDENTIALS_PER_MINUTE",
        "30",
        "sign-ins and other tries of credentials per minute and network address",
    ),
    setting("ALIVIO_RATE_WRITES_PER_MINUTE", "300", "requests that change something per minute and account"),
    setting("ALIVIO_RATE_READS_PER_MINUTE", "1200", "requests that only read per minute and account"),
    setting("ALIVIO_RATE_MESSAGES_PER_MINUTE", "20", "messages that one person may send in any minute"),
    setting(
        "ALIVIO_RATE_EMERGENCY_MESSAGES_PER_MINUTE",
        "120",
        "the same in emergency conversations, counted apart",
    ),
    setting("ALIVIO_RATE_FILES_PER_HOUR", "10", "files that one person may upload in any hour"),
    setting(
        "ALIVIO_UPLOAD_PATIENCE_SECONDS",
        "30",
        "how long the next piece of an upload may take, 1 to 600; slower than 1 KiB per second is given up",
    ),
    setting(
        "ALIVIO_SCREENING_PROFANITY",
        "flag",
        "what follows from rude words: `off`, `warn` the sender, `flag` for those who moderate and warn, `block`; conversations of care and emergencies are never blocked, there `block` flags",
    ),
    setting(
        "ALIVIO_SCREENING_SPAM",
        "flag",
        "what follows from floods of links, shouting and repetition: as above; emergencies are not judged",
    ),
    setting(
        "ALIVIO_SCREENING_PHI",
        "flag",
        "what follows from data that identify a person, outside care: as above",
    ),
    setting(
        "ALIVIO_SCREENING_PHI_IN_CARE",
        "off",
        "the same in conversations of care and emergencies: `off`, `warn` or `flag`",
    ),
    setting(
        "ALIVIO_SCREENING_PHI_IN_CASES",
        "block",
        "the same in discussions of cases, which are to name nobody: `warn`, `flag` or `block`",
    ),
    setting(
        "ALIVIO_DATABASE_CONNECTIONS",
        "8",
        "connections to PostgreSQL for requests, besides two that write messages and three for what many ask at once",
    ),
    setting(
        "ALIVIO_SOCKET_COMMANDS_PER_SECOND",
        "50",
        "commands that one socket may send per second; twice as many at once",
    ),
    setting(
        "ALIVIO_SOCKETS_PER_PERSON",
        "10",
        "sockets that one person may have open at once, over all nodes as far as these hear each other; the next is refused",
    ),
    setting(
        "ALIVIO_SOCKET_HEARTBEAT_SECONDS",
        "25",
        "how often a socket is pinged and its session looked at, 1 to 50",
    ),
    setting(
        "ALIVIO_RESUMES_AT_ONCE",
        "256",
        "sockets that begin to listen, or resume, at the same time; others wait for their turn",
    ),
    setting(
        "ALIVIO_RESUME_WAIT_SECONDS",
        "20",
        "how long a socket waits for its turn to resume before it is told to come back later, 1 to 45",
    ),
    setting(
        "ALIVIO_MAX_SESSIONS",
        "5",
        "devices that one person may be signed in on at once; the next sign-in ends the oldest",
    ),
    setting(
        "ALIVIO_MFA_REQUIRED_ROLES",
        "none in development; `medical_admin,it_admin,doctor` in production",
        "roles that need a second factor, separated by commas, or `none`",
    ),
    setting(
        "ALIVIO_PRESENCE_GRACE_SECONDS",
        "10",
        "how long after their last device went someone still shows as online, so that a reconnect does not flicker",
    ),
    setting(
        "ALIVIO_EDIT_WINDOW_MINUTES",
        "15",
        "how long messages about care can be edited, 0 to 65535; corrected they can be later. Other messages can for ever",
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
const NOT_FOR_THE_SERVER: [&str; 4] =
    ["ALIVIO_TESTS_MUST_NOT_SKIP", "ALIVIO_BENCH_PASSWORD", "ALIVIO_PROGRAM", "ALIVIO_PLANTED_BUG"];

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A value is not of the form it needs.
    #[error("{name} is `{value}`, but must be {expected}")]
    Invalid { name: &'static str, value: String, expected: Cow<'static, str> },
    /// A variable that looks like ours and is not.
    #[error("{name} is not a setting. Settings are: {known}")]
    Unknown { name: String, known: String },
    /// The demo clinic has well-known passwords.
    #[error(
        "ALIVIO_DEMO=true is refused with ALIVIO_ENV=production: its passwords are public. Unset ALIVIO_DEMO"
    )]
    DemoInProduction,
    /// A sandbox shows mail to everyone.
    #[error(
        "ALIVIO_MAIL=sandbox is refused with ALIVIO_ENV=production: everyone could read the mail. Set it to `sendgrid` \
         or `smtp`"
    )]
    SandboxInProduction,
    /// A sandbox calls nearly everything clean.
    #[error(
        "ALIVIO_CLAMD=sandbox is refused with ALIVIO_ENV=production: it finds EICAR and nothing else. Set it to the \
         address of a clamd"
    )]
    SandboxScannerInProduction,
    /// Something that cannot be left out.
    #[error("{name} is not set: {why}")]
    Missing { name: &'static str, why: &'static str },
}

/// How mail leaves.
#[derive(Debug, Clone)]
pub(crate) enum MailConfig {
    Sandbox,
    SendGrid {
        api_key: Sensitive<String>,
        from: String,
    },
    /// The URL may hold a password.
    Smtp {
        url: Sensitive<String>,
        from: String,
    },
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
    /// Where Prometheus reads numbers, if anywhere.
    pub(crate) metrics_bind: Option<SocketAddr>,
    pub(crate) data_dir: PathBuf,
    /// Holds a password: never to be logged.
    pub(crate) database_url: Option<String>,
    /// Holds a password.
    pub(crate) redis_url: Option<Sensitive<String>>,
    pub(crate) keys_file: PathBuf,
    pub(crate) demo: bool,
    pub(crate) open_registration: bool,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) directory: DirectoryPolicy,
    pub(crate) database_connections: usize,
    pub(crate) socket_commands_per_second: NonZeroU32,
    pub(crate) sockets_per_person: NonZeroUsize,
    pub(crate) socket_heartbeat: Duration,
    pub(crate) door: DoorPolicy,
    pub(crate) sign_in_policy: SignInPolicy,
    pub(crate) chat_hours: ChatHours,
    pub(crate) emergency_policy: EmergencyPolicy,
    pub(crate) presence_grace: Duration,
    pub(crate) change_policy: ChangePolicy,
    pub(crate) shutdown: Duration,
    pub(crate) log: String,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) rates: Rates,
    pub(crate) pace: PaceLimits,
    pub(crate) file_policy: FilePolicy,
    pub(crate) upload_patience: Duration,
    pub(crate) screening: ScreeningPolicy,
    pub(crate) files: FilesConfig,
    scanner: Option<ScannerConfig>,
    mail: Option<MailConfig>,
    public_origin: Option<PublicOrigin>,
}

impl Config {
    /// How mail leaves.
    ///
    /// # Errors
    /// If production was not told.
    pub(crate) fn mail(&self) -> Result<&MailConfig, ConfigError> {
        let why = "production must be told how mail leaves, `sendgrid` or `smtp`";
        self.mail.as_ref().ok_or(ConfigError::Missing { name: "ALIVIO_MAIL", why })
    }

    /// Who looks for malware.
    ///
    /// # Errors
    /// If production was not told.
    pub(crate) fn scanner(&self) -> Result<&ScannerConfig, ConfigError> {
        let why = "production must be told which clamd looks for malware in files";
        self.scanner.as_ref().ok_or(ConfigError::Missing { name: "ALIVIO_CLAMD", why })
    }

    /// What links in letters begin with.
    ///
    /// # Errors
    /// If production was not told.
    pub(crate) fn public_origin(&self) -> Result<&PublicOrigin, ConfigError> {
        let why = "letters link to pages there, e.g. `https://app.clinic.example`";
        self.public_origin.as_ref().ok_or(ConfigError::Missing { name: "ALIVIO_PUBLIC_URL", why })
    }

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
        let redis_url = get("REDIS_URL").map(|url| Sensitive::new(url.to_owned()));
        let production = environment == Environment::Production;
        let demo = match get("ALIVIO_DEMO") {
            None => !production && database_url.is_none(),
            Some("false") => false,
            Some("true") if production => return Err(ConfigError::DemoInProduction),
            Some("true") => true,
            Some(value) => return Err(invalid("ALIVIO_DEMO", value, "`true` or `false`")),
        };
        let bind: SocketAddr = number(
            get("ALIVIO_BIND"),
            "ALIVIO_BIND",
            "127.0.0.1:8080",
            "an address and a port, like `127.0.0.1:8080`",
        )?;
        let per_minute =
            |name: &'static str, default: &str| number(get(name), name, default, "a number from 1");
        Ok(Self {
            environment,
            bind,
            metrics_bind: metrics_bind(get("ALIVIO_METRICS_BIND"))?,
            mail: mail(&get, production)?,
            public_origin: public_origin(get("ALIVIO_PUBLIC_URL"), production, bind)?,
            trusted_proxies: networks("ALIVIO_TRUSTED_PROXIES", &get)?,
            allowed_networks: networks("ALIVIO_ALLOWED_NETWORKS", &get)?,
            rates: Rates {
                credentials: per_minute("ALIVIO_RATE_CREDENTIALS_PER_MINUTE", "30")?,
                writes: per_minute("ALIVIO_RATE_WRITES_PER_MINUTE", "300")?,
                reads: per_minute("ALIVIO_RATE_READS_PER_MINUTE", "1200")?,
            },
            pace: PaceLimits {
                ordinary: per_minute("ALIVIO_RATE_MESSAGES_PER_MINUTE", "20")?,
                emergency: per_minute("ALIVIO_RATE_EMERGENCY_MESSAGES_PER_MINUTE", "120")?,
            },
            file_policy: FilePolicy { per_hour: per_minute("ALIVIO_RATE_FILES_PER_HOUR", "10")?.get() },
            // Longer than ten minutes is nobody's patience.
            upload_patience: Duration::from_secs(
                seconds(&get, "ALIVIO_UPLOAD_PATIENCE_SECONDS", 30, 600)?.into(),
            ),
            screening: screening(&get)?,
            files: files::files(&get, &data_dir)?,
            scanner: files::scanner(&get, production)?,
            keys_file: get("ALIVIO_KEYS_FILE").map_or_else(|| data_dir.join("keys.json"), PathBuf::from),
            data_dir,
            database_url,
            redis_url,
            demo,
            open_registration: match get("ALIVIO_OPEN_REGISTRATION") {
                None | Some("true") => true,
                Some("false") => false,
                Some(value) => return Err(invalid("ALIVIO_OPEN_REGISTRATION", value, "`true` or `false`")),
            },
            allowed_origins: origins(get("ALIVIO_CORS_ORIGINS").unwrap_or(""))?,
            directory: match get("ALIVIO_DIRECTORY") {
                None | Some("related") => DirectoryPolicy::Related,
                Some("open") => DirectoryPolicy::Open,
                Some(value) => return Err(invalid("ALIVIO_DIRECTORY", value, "`related` or `open`")),
            },
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
            sockets_per_person: number(
                get("ALIVIO_SOCKETS_PER_PERSON"),
                "ALIVIO_SOCKETS_PER_PERSON",
                "10",
                "a number from 1",
            )?,
            // Devices that say nothing for a minute are gone, so they must be asked more often than that.
            socket_heartbeat: Duration::from_secs(
                seconds(&get, "ALIVIO_SOCKET_HEARTBEAT_SECONDS", 25, 50)?.into(),
            ),
            door: DoorPolicy {
                at_once: number::<NonZeroUsize>(
                    get("ALIVIO_RESUMES_AT_ONCE"),
                    "ALIVIO_RESUMES_AT_ONCE",
                    "256",
                    "a number from 1",
                )?
                .get(),
                // Shorter than devices may say nothing.
                patience: Duration::from_secs(seconds(&get, "ALIVIO_RESUME_WAIT_SECONDS", 20, 45)?.into()),
            },
            sign_in_policy: SignInPolicy {
                max_sessions: number::<NonZeroUsize>(
                    get("ALIVIO_MAX_SESSIONS"),
                    "ALIVIO_MAX_SESSIONS",
                    "5",
                    "a number from 1",
                )?
                .get(),
                second_factor_roles: match get("ALIVIO_MFA_REQUIRED_ROLES") {
                    None if production => vec![Role::MedicalAdmin, Role::ItAdmin, Role::Doctor],
                    None | Some("none") => Vec::new(),
                    Some(list) => roles(list)?,
                },
            },
            chat_hours: chat_hours(get("ALIVIO_CLINIC_TIME_ZONE"), get("ALIVIO_CHAT_HOURS"))?,
            emergency_policy: EmergencyPolicy {
                number: emergency_number(get("ALIVIO_EMERGENCY_NUMBER").unwrap_or("112"))?,
                acknowledge_within: TimeDelta::seconds(
                    seconds(&get, "ALIVIO_EMERGENCY_ACK_SECONDS", 120, 3600)?.into(),
                ),
            },
            presence_grace: Duration::from_secs(u64::from(number::<u16>(
                get("ALIVIO_PRESENCE_GRACE_SECONDS"),
                "ALIVIO_PRESENCE_GRACE_SECONDS",
                "10",
                "a number of seconds, at most 65535",
            )?)),
            change_policy: ChangePolicy::of_minutes(number(
                get("ALIVIO_EDIT_WINDOW_MINUTES"),
                "ALIVIO_EDIT_WINDOW_MINUTES",
                "15",
                "a number of minutes, at most 65535",
            )?),
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

fn invalid(name: &'static str, value: &str, expected: impl Into<Cow<'static, str>>) -> ConfigError {
    ConfigError::Invalid { name, value: value.to_owned(), expected: expected.into() }
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

/// From 1 to `most` seconds.
fn seconds<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
    name: &'static str,
    default: u16,
    most: u16,
) -> Result<u16, ConfigError> {
    let Some(value) = get(name) else { return Ok(default) };
    let within = value.parse().ok().filter(|seconds| (1..=most).contains(seconds));
    within.ok_or_else(|| invalid(name, value, format!("a number of seconds from 1 to {most}")))
}

fn metrics_bind(value: Option<&str>) -> Result<Option<SocketAddr>, ConfigError> {
    let expected = "an address and a port, like `127.0.0.1:9464`";
    value.map(|value| number(Some(value), "ALIVIO_METRICS_BIND", "", expected)).transpose()
}

fn screening<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<ScreeningPolicy, ConfigError> {
    use ScreeningAction::{Block, Flag, Off, Warn};
    let action = |name, default, allowed: &[ScreeningAction], expected| match get(name) {
        None => Ok(default),
        Some(value) => match value.parse() {
            Ok(action) if allowed.contains(&action) => Ok(action),
            _ => Err(invalid(name, value, expected)),
        },
    };
    let any =
        |name, default| action(name, default, &[Off, Warn, Flag, Block], "`off`, `warn`, `flag` or `block`");
    let policy = ScreeningPolicy::default();
    Ok(ScreeningPolicy {
        profanity: any("ALIVIO_SCREENING_PROFANITY", policy.profanity)?,
        spam: any("ALIVIO_SCREENING_SPAM", policy.spam)?,
        phi: any("ALIVIO_SCREENING_PHI", policy.phi)?,
        phi_in_care: action(
            "ALIVIO_SCREENING_PHI_IN_CARE",
            policy.phi_in_care,
            &[Off, Warn, Flag],
            "`off`, `warn` or `flag`: what is said about the care of a patient is never refused",
        )?,
        phi_in_cases: action(
            "ALIVIO_SCREENING_PHI_IN_CASES",
            policy.phi_in_cases,
            &[Warn, Flag, Block],
            "`warn`, `flag` or `block`",
        )?,
    })
}

fn chat_hours(zone: Option<&str>, hours: Option<&str>) -> Result<ChatHours, ConfigError> {
    let (zone, hours) = (zone.unwrap_or("Europe/Madrid"), hours.unwrap_or("08:00-22:00"));
    let expected = "an IANA time zone, like `Europe/Madrid`";
    let zone = zone.parse().map_err(|_| invalid("ALIVIO_CLINIC_TIME_ZONE", zone, expected))?;
    let wrong = || invalid("ALIVIO_CHAT_HOURS", hours, "hours like `08:00-22:00`");
    let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
    let schedule = Schedule::daily(zone, from, to).map_err(|_| wrong())?;
    Ok(ChatHours { schedule, outside: OutsideHours::default() })
}

fn emergency_number(value: &str) -> Result<EmergencyNumber, ConfigError> {
    let expected = "a telephone number of 2 to 16 characters, like `112`";
    EmergencyNumber::parse(value).map_err(|_| invalid("ALIVIO_EMERGENCY_NUMBER", value, expected))
}

fn roles(list: &str) -> Result<Vec<Role>, ConfigError> {
    let parse = |role: &str| {
        role.parse().map_err(|_| {
            invalid("ALIVIO_MFA_REQUIRED_ROLES", role, "roles like `doctor,medical_admin`, or `none`")
        })
    };
    list.split(',').map(str::trim).map(parse).collect()
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

/// How mail leaves; `None` if production was not told.
fn mail<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
    production: bool,
) -> Result<Option<MailConfig>, ConfigError> {
    let needed = |name: &'static str, why: &'static str| get(name).ok_or(ConfigError::Missing { name, why });
    let address = |name: &'static str, why: &'static str| {
        let value = needed(name, why)?;
        let expected = "an e-mail address";
        Email::parse(value).map(|email| email.as_str().to_owned()).map_err(|_| invalid(name, value, expected))
    };
    Ok(match get("ALIVIO_MAIL") {
        None if production => None,
        Some("sandbox") if production => return Err(ConfigError::SandboxInProduction),
        None | Some("sandbox") => Some(MailConfig::Sandbox),
        Some("sendgrid") => {
            let own = get("SENDGRID_FROM_EMAIL").is_some();
            let from = if own { "SENDGRID_FROM_EMAIL" } else { "ALIVIO_MAIL_FROM" };
            Some(MailConfig::SendGrid {
                api_key: Sensitive::new(
                    needed("SENDGRID_API_KEY", "ALIVIO_MAIL=sendgrid needs a key")?.to_owned(),
                ),
                from: address(from, "ALIVIO_MAIL=sendgrid needs a sender; SENDGRID_FROM_EMAIL will do, too")?,
            })
        }
        Some("smtp") => Some(MailConfig::Smtp {
            url: Sensitive::new(needed("SMTP_URL", "ALIVIO_MAIL=smtp needs a mail server")?.to_owned()),
            from: address("ALIVIO_MAIL_FROM", "ALIVIO_MAIL=smtp needs a sender")?,
        }),
        Some(value) => return Err(invalid("ALIVIO_MAIL", value, "`sendgrid`, `smtp` or `sandbox`")),
    })
}

/// What links begin with; `None` if production was not told.
fn public_origin(
    value: Option<&str>,
    production: bool,
    bind: SocketAddr,
) -> Result<Option<PublicOrigin>, ConfigError> {
    let Some(value) = value else {
        let host = if bind.ip().is_unspecified() { "localhost".to_owned() } else { host(bind) };
        let own = format!("http://{host}:{}", bind.port());
        return Ok(if production { None } else { PublicOrigin::parse(&own).ok() });
    };
    let expected = if production {
        "an origin like `https://app.clinic.example`, with TLS and without path"
    } else {
        "an origin like `https://app.clinic.example`, without path"
    };
    let origin = PublicOrigin::parse(value).ok().filter(|origin| !production || origin.is_encrypted());
    origin.map(Some).ok_or_else(|| invalid("ALIVIO_PUBLIC_URL", value, expected))
}

fn host(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() }
}

fn networks<'a>(
    name: &'static str,
    get: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Vec<IpNet>, ConfigError> {
    let networks = get(name).unwrap_or("").split(',').map(str::trim).filter(|network| !network.is_empty());
    networks
        .map(|network| {
            let one = || Some(IpNet::from(network.parse::<IpAddr>().ok()?.to_canonical()));
            one().or_else(|| network.parse().ok()).ok_or_else(|| {
                let expected = "addresses or networks like `10.0.0.5` or `10.0.0.0/8`";
                invalid(name, network, expected)
            })
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
            ("ALIVIO_METRICS_BIND", "9464"),
            ("ALIVIO_ENV", "prod"),
            ("ALIVIO_DEMO", "yes"),
            ("ALIVIO_OPEN_REGISTRATION", "no"),
            ("DATABASE_URL", "mysql://root:hunter2@x"),
            ("ALIVIO_CORS_ORIGINS", "*"),
            ("ALIVIO_DIRECTORY", "everyone"),
            ("ALIVIO_DATABASE_CONNECTIONS", "0"),
            ("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "-1"),
            ("ALIVIO_PRESENCE_GRACE_SECONDS", "-1"),
            ("ALIVIO_RESUMES_AT_ONCE", "0"),
            ("ALIVIO_RESUME_WAIT_SECONDS", "46"),
            ("ALIVIO_EDIT_WINDOW_MINUTES", "ever"),
            ("ALIVIO_SHUTDOWN_SECONDS", "soon"),
            ("ALIVIO_MAIL", "pigeon"),
            ("ALIVIO_PUBLIC_URL", "https://app.clinic.example/path"),
            ("ALIVIO_TRUSTED_PROXIES", "10.0.0.1, proxy.example"),
            ("ALIVIO_TRUSTED_PROXIES", "10.0.0.0/33"),
            ("ALIVIO_ALLOWED_NETWORKS", "clinic.example"),
            ("ALIVIO_RATE_CREDENTIALS_PER_MINUTE", "0"),
            ("ALIVIO_RATE_WRITES_PER_MINUTE", "many"),
            ("ALIVIO_RATE_READS_PER_MINUTE", "-1"),
            ("ALIVIO_RATE_MESSAGES_PER_MINUTE", "0"),
            ("ALIVIO_RATE_FILES_PER_HOUR", "0"),
            ("ALIVIO_UPLOAD_PATIENCE_SECONDS", "0"),
            ("ALIVIO_SCREENING_PROFANITY", "drop"),
            ("ALIVIO_SCREENING_PHI_IN_CARE", "block"),
            ("ALIVIO_SCREENING_PHI_IN_CASES", "off"),
            ("ALIVIO_SOCKETS_PER_PERSON", "0"),
            ("ALIVIO_SOCKET_HEARTBEAT_SECONDS", "0"),
            ("ALIVIO_SOCKET_HEARTBEAT_SECONDS", "51"),
            ("ALIVIO_MAX_SESSIONS", "0"),
            ("ALIVIO_MFA_REQUIRED_ROLES", "doctor,root"),
            ("ALIVIO_MFA_REQUIRED_ROLES", ","),
        ] {
            let error = parse(&[(name, value)]).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains("must be"), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn those_with_power_need_a_second_factor_in_production() {
        let roles = |variables: &[(&str, &str)]| parse(variables).unwrap().sign_in_policy.second_factor_roles;
        assert_eq!(roles(&[]), []);
        let production = ("ALIVIO_ENV", "production");
        assert_eq!(roles(&[production]), [Role::MedicalAdmin, Role::ItAdmin, Role::Doctor]);
        assert_eq!(roles(&[production, ("ALIVIO_MFA_REQUIRED_ROLES", "none")]), []);
        let some = ("ALIVIO_MFA_REQUIRED_ROLES", "doctor, patient");
        assert_eq!(roles(&[some]), [Role::Doctor, Role::Patient]);
    }

    #[test]
    fn misspelt_settings_are_refused() {
        let error = parse(&[("ALIVIO_BNID", "x")]).err().unwrap().to_string();
        assert!(error.contains("ALIVIO_BNID") && error.contains("ALIVIO_BIND"), "{error}");
        assert!(parse(&[("ALIVIO_BENCH_PASSWORD", "x")]).is_ok());
    }

    #[test]
    fn development_keeps_its_mail_and_links_to_itself() {
        let config = parse(&[("ALIVIO_BIND", "0.0.0.0:4000")]).unwrap();
        assert!(matches!(config.mail(), Ok(MailConfig::Sandbox)));
        assert_eq!(config.public_origin().unwrap().as_str(), "http://localhost:4000");
        let config = parse(&[("ALIVIO_BIND", "[::1]:4000")]).unwrap();
        assert_eq!(config.public_origin().unwrap().as_str(), "http://[::1]:4000");
    }

    #[test]
    fn production_must_be_told_how_mail_leaves_and_where_its_links_lead() {
        let production = ("ALIVIO_ENV", "production");
        let told = |result: Result<String, ConfigError>| result.unwrap_err().to_string();
        let config = parse(&[production]).unwrap();
        assert!(told(config.mail().map(|_| String::new())).contains("ALIVIO_MAIL is not set"));
        assert!(told(config.public_origin().map(|_| String::new())).contains("ALIVIO_PUBLIC_URL is not set"));
        // The sandbox, and with it `/dev/outbox`, is refused outright.
        let sandbox = parse(&[production, ("ALIVIO_MAIL", "sandbox")]);
        assert!(matches!(sandbox, Err(ConfigError::SandboxInProduction)));
        let plain = parse(&[production, ("ALIVIO_PUBLIC_URL", "http://app.clinic.example")]);
        assert!(plain.err().unwrap().to_string().contains("TLS"));
        let config = parse(&[production, ("ALIVIO_PUBLIC_URL", "https://app.clinic.example/")]).unwrap();
        assert_eq!(config.public_origin().unwrap().as_str(), "https://app.clinic.example");
    }

    #[test]
    fn each_way_of_sending_mail_names_what_it_lacks() {
        let lacks = |variables: &[(&str, &str)]| parse(variables).err().unwrap().to_string();
        let sendgrid = ("ALIVIO_MAIL", "sendgrid");
        let key = ("SENDGRID_API_KEY", "SG.hunter2");
        assert!(lacks(&[sendgrid]).starts_with("SENDGRID_API_KEY is not set"));
        assert!(lacks(&[sendgrid, key]).starts_with("ALIVIO_MAIL_FROM is not set"));
        assert!(
            lacks(&[sendgrid, key, ("SENDGRID_FROM_EMAIL", "nobody")]).starts_with("SENDGRID_FROM_EMAIL is")
        );
        let both =
            [sendgrid, key, ("SENDGRID_FROM_EMAIL", "a@b.example"), ("ALIVIO_MAIL_FROM", "c@d.example")];
        let config = parse(&both).unwrap();
        assert!(matches!(config.mail(), Ok(MailConfig::SendGrid { from, .. }) if from == "a@b.example"));
        assert!(!format!("{:?}", config.mail()).contains("hunter2"));
        let smtp = ("ALIVIO_MAIL", "smtp");
        let url = ("SMTP_URL", "smtps://user:hunter2@mail.example");
        assert!(lacks(&[smtp]).starts_with("SMTP_URL is not set"));
        assert!(lacks(&[smtp, url]).starts_with("ALIVIO_MAIL_FROM is not set"));
        let config = parse(&[smtp, url, ("ALIVIO_MAIL_FROM", "c@d.example")]).unwrap();
        assert!(matches!(config.mail(), Ok(MailConfig::Smtp { from, .. }) if from == "c@d.example"));
        assert!(!format!("{:?}", config.mail()).contains("hunter2"));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let config =
            parse(&[("ALIVIO_TRUSTED_PROXIES", "10.0.0.5, 192.168.0.0/16,::ffff:10.0.0.6, fd00::/8")])
                .unwrap();
        let trusted = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            config.trusted_proxies.iter().any(|net| net.contains(&address))
        };
        assert!(["10.0.0.5", "192.168.7.7", "10.0.0.6", "fd00::1"].into_iter().all(trusted));
        assert!(!["10.0.0.7", "192.169.0.1", "fe80::1"].into_iter().any(trusted));
        assert!(parse(&[]).unwrap().trusted_proxies.is_empty());
    }

    #[test]
    fn the_readme_lists_every_setting() {
        let readme = include_str!("../../../README.md");
        for Setting { name, meaning, .. } in SETTINGS {
            assert!(readme.contains(&format!("`{name}`")) && readme.contains(meaning), "{name}");
        }
    }
}
