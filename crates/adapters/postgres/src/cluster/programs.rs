//! Finding the installed PostgreSQL programs.

use super::account::Account;
use super::error::ClusterError;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt, fs};

/// The oldest major version that will do.
pub const MINIMUM_MAJOR: u32 = 14;

/// An installed PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The directory that holds `initdb` and `postgres`.
    pub bin_dir: PathBuf,
    /// The major version, e.g. 16.
    pub major: u32,
    /// The version as the program prints it, e.g. `16.4 (Debian 16.4-1)`.
    pub version: String,
}

impl Programs {
    pub(crate) fn initdb(&self) -> PathBuf {
        self.bin_dir.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.bin_dir.join("postgres")
    }

    /// The programs in `bin_dir`, if they are complete and `account` can run them.
    pub(crate) fn inspect(bin_dir: &Path, account: &Account) -> Option<Self> {
        // Through links such as /usr/local/bin/initdb to the directory that has them all.
        let real = fs::canonicalize(bin_dir.join("postgres")).ok()?;
        let bin_dir = real.parent()?.to_path_buf();
        if !bin_dir.join("initdb").exists() {
            return None;
        }
        let output = account.command(&real).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.trim().strip_prefix("postgres (PostgreSQL) ")?.to_owned();
        let major = version.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
        Some(Self { bin_dir, major, version })
    }
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {} in {}", self.version, self.bin_dir.display())
    }
}

/// The newest installed PostgreSQL that the embedded cluster could use.
///
/// # Errors
/// [`ClusterError::ProgramsMissing`] says what to install.
pub fn find_programs() -> Result<Programs, ClusterError> {
    find_programs_in(&usual_places())
}

/// As [`find_programs`], looking in `directories` only.
///
/// # Errors
/// [`ClusterError::ProgramsMissing`] says what to install.
pub fn find_programs_in(directories: &[PathBuf]) -> Result<Programs, ClusterError> {
    let account = Account::choose()?;
    find_all(directories, &account).into_iter().next().ok_or_else(|| missing(directories, None))
}

pub(crate) fn missing(directories: &[PathBuf], download: Option<String>) -> ClusterError {
    let mut details = format!("looked in {} directories", directories.len());
    if let Some(reason) = download {
        details = format!("{details}; {reason}");
    }
    ClusterError::ProgramsMissing { minimum: MINIMUM_MAJOR, details }
}

/// All usable ones, the newest first.
pub(crate) fn find_all(directories: &[PathBuf], account: &Account) -> Vec<Programs> {
    let real: BTreeSet<PathBuf> = directories
        .iter()
        .filter_map(|directory| fs::canonicalize(directory.join("postgres")).ok())
        .filter_map(|program| program.parent().map(Path::to_path_buf))
        .collect();
    let mut found: Vec<Programs> = real
        .iter()
        .filter_map(|directory| Programs::inspect(directory, account))
        .filter(|programs| programs.major >= MINIMUM_MAJOR)
        .collect();
    found.sort_by_key(|programs| Reverse(programs.major));
    found
}

/// Where PostgreSQL is usually installed: `pg_config`, `PATH`, Debian, Red Hat, Homebrew, Postgres.app.
#[must_use]
pub fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
        && output.status.success()
    {
        places.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    if let Some(path) = env::var_os("PATH") {
        places.extend(env::split_paths(&path).filter(|directory| directory.is_absolute()));
    }
    places.extend(children("/usr/lib/postgresql", ""));
    places.extend(children("/usr", "pgsql-"));
    for prefix in ["/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"] {
        places.extend(children(&format!("{prefix}/opt"), "postgresql"));
    }
    places.extend(children("/Applications/Postgres.app/Contents/Versions", ""));
    places
}

/// `<parent>/<prefix…>/bin`
fn children(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
        .collect()
}
