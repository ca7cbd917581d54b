//! The user PostgreSQL runs as. It refuses root, so root lends it an unprivileged account.

use super::error::ClusterError;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

const ROOT: u32 = 0;

/// Who the PostgreSQL processes run as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// We are root and switch to this account for every PostgreSQL program.
    switch: bool,
}

impl Account {
    /// Ourselves, or as root an unprivileged account.
    pub(crate) fn choose() -> Result<Self, ClusterError> {
        let uid = id(&["-u"]).map_err(|details| ClusterError::NoAccount { details })?;
        if uid != ROOT {
            let gid = id(&["-g"]).map_err(|details| ClusterError::NoAccount { details })?;
            return Ok(Self { name: uid.to_string(), uid, gid, switch: false });
        }
        let mut tried = Vec::new();
        for name in ["postgres", "_postgres", "nobody"] {
            let account = id(&["-u", name])
                .and_then(|uid| Ok(Self { name: name.into(), uid, gid: id(&["-g", name])?, switch: true }));
            match account {
                Ok(account) if account.uid == ROOT => tried.push(format!("{name} is root")),
                // A user namespace without that id cannot switch to it.
                Ok(account) if !account.can_enter(Path::new("/")) => {
                    tried.push(format!("cannot switch to {name}"))
                }
                Ok(account) => return Ok(account),
                Err(reason) => tried.push(reason),
            }
        }
        Err(ClusterError::NoAccount { details: tried.join("; ") })
    }

    /// As root, the account that already owns `directory`, so that a cluster keeps its owner.
    pub(crate) fn owning(self, directory: &Path) -> Result<Self, ClusterError> {
        let Ok(found) = fs::metadata(directory) else { return Ok(self) };
        if found.uid() == self.uid {
            return Ok(self);
        }
        if self.switch && found.uid() != ROOT {
            return Ok(Self {
                name: found.uid().to_string(),
                uid: found.uid(),
                gid: found.gid(),
                switch: true,
            });
        }
        Err(ClusterError::ForeignOwner { directory: directory.into(), owner: found.uid(), ours: self.uid })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// The user id of this process.
    pub(crate) fn own_uid(&self) -> u32 {
        if self.switch { ROOT } else { self.uid }
    }

    /// Root starts PostgreSQL under another user's id.
    pub(crate) fn switches(&self) -> bool {
        self.switch
    }

    /// A program to run as this account, in a clean environment and a process group of its own:
    /// Ctrl-C in a terminal reaches the whole foreground group, and PostgreSQL must outlive us by a little.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        for keep in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"] {
            if let Some(value) = env::var_os(keep) {
                command.env(keep, value);
            }
        }
        // TZ spares initdb a search through the whole time zone database.
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").process_group(0);
        command.stdin(Stdio::null());
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Asked of the system rather than computed: mode bits miss access lists and namespaces.
    pub(crate) fn can_enter(&self, directory: &Path) -> bool {
        self.command(Path::new("/bin/sh"))
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Makes `directory` (its parent exists) the account's own, closed to everyone else.
    pub(crate) fn private_directory(&self, directory: &Path) -> Result<(), ClusterError> {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(ClusterError::path("create", directory)(error));
            }
            _ => {}
        }
        // Not following links: in a shared temp dir a stranger may have put one there.
        let found = fs::symlink_metadata(directory).map_err(ClusterError::path("inspect", directory))?;
        if !found.is_dir() || ![self.uid, self.own_uid()].contains(&found.uid()) {
            return Err(ClusterError::ForeignOwner {
                directory: directory.into(),
                owner: found.uid(),
                ours: self.uid,
            });
        }
        if self.switch {
            chown(directory, Some(self.uid), Some(self.gid))
                .map_err(ClusterError::path("give away", directory))?;
        }
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
            .map_err(ClusterError::path("restrict", directory))
    }
}

/// Creates `directory` and its parents; those we create can be passed through, not listed, by others if root
/// must let the PostgreSQL account through, and are closed otherwise.
pub(crate) fn create_passage(directory: &Path, account: &Account) -> Result<(), ClusterError> {
    let missing: Vec<PathBuf> =
        directory.ancestors().take_while(|path| !path.exists()).map(Path::to_path_buf).collect();
    fs::create_dir_all(directory).map_err(ClusterError::path("create", directory))?;
    let mode = if account.switches() { 0o711 } else { 0o700 };
    for created in missing.iter().filter(|path| !path.as_os_str().is_empty()) {
        fs::set_permissions(created, fs::Permissions::from_mode(mode))
            .map_err(ClusterError::path("open", created))?;
    }
    Ok(())
}

fn id(arguments: &[&str]) -> Result<u32, String> {
    let asked = format!("`id {}`", arguments.join(" "));
    let output = Command::new("id").args(arguments).output().map_err(|error| format!("{asked}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{asked}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // macOS prints nobody as -2: the same 32 bits.
    text.trim()
        .parse::<i64>()
        .ok()
        .and_then(|number| {
            u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))
        })
        .ok_or_else(|| format!("{asked} answered {:?}", text.trim()))
}
