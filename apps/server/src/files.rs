//! Where files are kept and who looks at them: configuration → adapters.

use std::sync::Arc;
use std::time::Duration;

use alivio_clamav::{Clamd, ClamdAddress, ClamdOptions, ProofError};
use alivio_files::{BlobStore, Scanner};
use alivio_kernel::BoxError;
use alivio_object_storage::{Disk, S3};
use alivio_platform::Dependency;
use alivio_sandbox::SandboxScanner;
use async_trait::async_trait;

use crate::config::{Config, Environment, FilesConfig, ScannerConfig};

/// A scanner that takes longer to prove itself has all the time it needs later.
const PROOF: Duration = Duration::from_secs(10);

/// Where files are kept.
pub(crate) fn blobs(config: &FilesConfig) -> Result<Arc<dyn BlobStore>, BoxError> {
    Ok(match config {
        FilesConfig::Folder(folder) => Arc::new(Disk::open(folder).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("ALIVIO_FILES: {error}{}", cause.unwrap_or_default())
        })?),
        FilesConfig::S3(options) => {
            Arc::new(S3::new(options).map_err(|error| format!("ALIVIO_FILES: {error}"))?)
        }
    })
}

/// A scanner by clamd.
pub(crate) fn clamd(address: &ClamdAddress) -> Clamd {
    Clamd::new(ClamdOptions::new(address.clone()))
}

/// Who looks for malware. Production refuses one that calls clean what it has not seen; one that does not answer is waited
/// for, and so are the files.
pub(crate) async fn scanner(config: &Config) -> Result<Arc<dyn Scanner>, BoxError> {
    let address = match config.scanner()? {
        ScannerConfig::Sandbox => return Ok(Arc::new(SandboxScanner::new())),
        ScannerConfig::Clamd(address) => address,
    };
    let clamd = clamd(address);
    match tokio::time::timeout(PROOF, clamd.prove()).await {
        Ok(Ok(())) => {}
        Ok(Err(ProofError::Scan(error))) => tracing::warn!(%error, "scanner.unavailable"),
        Ok(Err(error)) if config.environment == Environment::Production => return Err(error.into()),
        Ok(Err(error)) => tracing::warn!(%error, "scanner.unreliable"),
        Err(error) => tracing::warn!(%error, "scanner.unavailable"),
    }
    Ok(Arc::new(clamd))
}

/// The place of files, in health checks. People go on talking without it.
pub(crate) struct BlobsDependency(pub(crate) Arc<dyn BlobStore>);

#[async_trait]
impl Dependency for BlobsDependency {
    fn name(&self) -> &'static str {
        "files"
    }

    async fn check(&self) -> Result<(), BoxError> {
        Ok(self.0.check().await?)
    }

    fn is_needed(&self) -> bool {
        false
    }
}

/// The scanner, likewise. What nobody has looked at waits.
pub(crate) struct ScannerDependency(pub(crate) Arc<dyn Scanner>);

#[async_trait]
impl Dependency for ScannerDependency {
    fn name(&self) -> &'static str {
        "scanner"
    }

    async fn check(&self) -> Result<(), BoxError> {
        self.0.version().await?;
        Ok(())
    }

    fn is_needed(&self) -> bool {
        false
    }
}
