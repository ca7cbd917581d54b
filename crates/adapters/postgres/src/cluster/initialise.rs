//! Making a new data directory, all or nothing.

use super::error::ClusterError;
use super::home::{Home, is_complete, unused};
use super::programs::Programs;
use super::settings::Durability;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// The superuser of every embedded cluster.
pub(crate) const USER: &str = "alivio";
const UNFINISHED: &str = "cluster.new-";

/// The major version that made the data directory; `None` if there is none yet.
pub(crate) fn existing_version(home: &Home) -> Result<Option<String>, ClusterError> {
    let file = home.data.join("PG_VERSION");
    if !is_complete(&home.data) {
        return Ok(None);
    }
    let version = fs::read_to_string(&file).map_err(ClusterError::path("read", &file))?;
    Ok(Some(version.trim().to_owned()))
}

/// Creates the data directory with `initdb`. `family` is the postmaster lock: `initdb` inherits it, so that a
/// start after our sudden death waits for an `initdb` that survived us.
pub(crate) fn initialise(
    home: &Home,
    programs: &Programs,
    durability: Durability,
    family: &File,
) -> Result<(), ClusterError> {
    sweep(home)?;
    let new = home.root.join(format!("{UNFINISHED}{}", std::process::id()));
    let mut last = String::new();
    for locale in locales(programs.major) {
        home.account.private_directory(&new)?;
        let mut command = home.account.command(&programs.initdb());
        command
            .arg("-D")
            .arg(&new)
            .args(["-U", USER, "-A", "trust", "-E", "UTF8", "-k", "--no-sync"])
            .args(*locale);
        last = match run(command, family)? {
            Ok(()) => return publish(home, durability, &new),
            Err(output) => output,
        };
        fs::remove_dir_all(&new).map_err(ClusterError::path("remove", &new))?;
    }
    Err(ClusterError::Initialise { directory: home.data.clone(), output: last })
}

fn publish(home: &Home, durability: Durability, new: &Path) -> Result<(), ClusterError> {
    if durability == Durability::Durable {
        sync_all(new).map_err(ClusterError::path("sync", new))?;
    }
    fs::rename(new, &home.data).map_err(ClusterError::path("rename", new))?;
    File::open(&home.root)
        .and_then(|directory| directory.sync_all())
        .map_err(ClusterError::path("sync", &home.root))
}

/// What `initdb` does last, but at a busy disk twenty times faster: the file system writes the requests of
/// many threads together.
fn sync_all(directory: &Path) -> io::Result<()> {
    const THREADS: usize = 16;
    let mut paths = vec![directory.to_path_buf()];
    let mut listed = 0;
    while let Some(path) = paths.get(listed).cloned() {
        listed += 1;
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                paths.push(entry?.path());
            }
        }
    }
    let share = paths.len().div_ceil(THREADS).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = paths
            .chunks(share)
            .map(|paths| scope.spawn(move || paths.iter().try_for_each(|path| File::open(path)?.sync_all())))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread failed"))))
    })
}

/// Bytewise order, but upper and lower case of all of Unicode, if this system has such a locale.
fn locales(major: u32) -> &'static [&'static [&'static str]] {
    const UNICODE: &[&str] = &["--lc-collate=C", "--lc-ctype=C.UTF-8", "--lc-messages=C"];
    const BUILTIN: &[&str] = &["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
    const PLAIN: &[&str] = &["--locale=C"];
    if major >= 17 { &[BUILTIN, UNICODE, PLAIN] } else { &[UNICODE, PLAIN] }
}

fn run(mut command: Command, family: &File) -> Result<Result<(), String>, ClusterError> {
    let inherited = family.try_clone().map_err(ClusterError::io("share the lock with initdb"))?;
    let output = command.stdin(Stdio::from(inherited)).output().map_err(ClusterError::io("run initdb"))?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(Err(format!("{said} ({})", output.status)))
}

/// Clears what interrupted starts left. A directory under the final name is moved aside, not deleted: it may
/// be a damaged database rather than an unfinished one.
fn sweep(home: &Home) -> Result<(), ClusterError> {
    let entries = fs::read_dir(&home.root).map_err(ClusterError::path("list", &home.root))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).map_err(ClusterError::path("remove", &entry.path()))?;
        }
    }
    if !home.data.exists() || fs::remove_dir(&home.data).is_ok() {
        return Ok(());
    }
    let aside = unused(&home.root.join("cluster.incomplete"));
    tracing::warn!(directory = %aside.display(), "an incomplete database directory was moved aside");
    fs::rename(&home.data, &aside).map_err(ClusterError::path("move aside", &home.data))
}
