//! This process, as Linux shows it. Elsewhere memory and files are not known, and stay 0.

use alivio_metrics::process::{OPEN_FILES, RESIDENT_MEMORY, STARTED};
use chrono::{DateTime, Utc};

use super::float;

pub(super) fn began(at: DateTime<Utc>) {
    STARTED.set(float(at.timestamp()));
}

pub(super) fn look() {
    if let Some(bytes) = resident_memory() {
        RESIDENT_MEMORY.set(bytes);
    }
    if let Some(files) = open_files() {
        OPEN_FILES.set(float(files));
    }
}

fn resident_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = held.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Without the one that looks.
fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}
