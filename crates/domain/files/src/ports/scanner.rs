use alivio_kernel::BoxError;
use async_trait::async_trait;

use crate::ByteStream;

/// What a scanner says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found.
    Clean,
    /// Something was.
    Infected {
        /// By the scanner's own name for it.
        signature: String,
    },
    /// It could not look at all of it: too large, too deep, encrypted. Never as good as clean (FI-04).
    Unscannable {
        /// Why, in the scanner's words.
        reason: String,
    },
}

/// Why there is no verdict yet. All of them are tried again.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The scanner cannot be reached, takes too long, or answers what it should not.
    #[error("the scanner is unavailable")]
    Unavailable(#[source] BoxError),
    /// The file could not be read to its end.
    #[error("the content is unavailable")]
    Content(#[from] crate::BlobError),
}

/// Looks for malware.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Scanner: Send + Sync {
    /// Looks at `size` bytes. MUST have seen all of them before it says [`Verdict::Clean`], and MUST answer within a
    /// bounded time however slow the other side is.
    async fn scan(&self, content: ByteStream, size: u64) -> Result<Verdict, ScanError>;

    /// Who says so, to be kept with the verdict: the engine, its version and that of its signatures.
    async fn version(&self) -> Result<String, ScanError>;
}

/// What every scanner MUST find, harmless as it is: EICAR's test file. In two parts here, so that nobody takes this program
/// for it.
#[must_use]
pub fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
}
