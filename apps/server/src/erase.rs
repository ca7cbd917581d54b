//! `alivio erase-files`: what goes with a patient who has a right to that.

use std::io::Write;

use alivio_files::{Erased, Whose};
use alivio_kernel::BoxError;
use alivio_kernel::ids::Uuid;

use crate::assembly::with_platform;
use crate::config::Config;
use crate::keys::Reason;

/// Whose files.
#[derive(clap::Args)]
pub(crate) struct Erase {
    /// The patient's id
    #[arg(long)]
    patient: Uuid,
    /// Why
    #[arg(long)]
    reason: Reason,
    /// Destroy also what belongs to a record, which the law says how long to keep
    #[arg(long)]
    force: bool,
}

/// Destroys the files of a patient, or withholds them until they need not be kept.
pub(crate) async fn erase(config: &Config, options: Erase) -> Result<(), BoxError> {
    let whose = Whose::Patient(options.patient.into());
    let Erased { destroyed, kept } = with_platform(config, async |platform| {
        Ok(platform.files.erase(whose, options.reason.code(), options.force).await?)
    })
    .await?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{destroyed} files destroyed. Nodes that have read them forget their keys within 15 minutes; backups of the \
         database hold those until the key-encryption key of their time is destroyed, too"
    )?;
    if kept > 0 {
        writeln!(
            out,
            "{kept} files that must be kept are withheld from everybody, and destroyed when their time is over; add \
             --force if the law lets you destroy them now"
        )?;
    }
    Ok(())
}
