use alivio_files::{BlobError, ByteStream, ScanError, Scanner, Verdict, eicar};
use async_trait::async_trait;
use futures_util::StreamExt;

/// By what it calls what it finds.
const NAME: &str = "Eicar-Test-Signature";

/// A scanner that knows EICAR's test file, in the open, and nothing else.
pub struct SandboxScanner {
    sought: Vec<u8>,
}

impl SandboxScanner {
    /// It has nothing to start with.
    #[must_use]
    pub fn new() -> Self {
        Self { sought: eicar() }
    }
}

impl Default for SandboxScanner {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Scanner for SandboxScanner {
    async fn scan(&self, mut content: ByteStream, size: u64) -> Result<Verdict, ScanError> {
        let (mut seen, mut found, mut window) = (0, false, Vec::new());
        while let Some(piece) = content.next().await {
            let piece = piece?;
            seen += piece.len() as u64;
            window.extend_from_slice(&piece);
            found = found || window.windows(self.sought.len()).any(|part| part == self.sought);
            // The next piece may go on with what this one ends with.
            window.drain(..window.len().saturating_sub(self.sought.len() - 1));
        }
        match found {
            _ if seen != size => Err(BlobError::Damaged.into()),
            true => Ok(Verdict::Infected { signature: NAME.to_owned() }),
            false => Ok(Verdict::Clean),
        }
    }

    async fn version(&self) -> Result<String, ScanError> {
        Ok("sandbox, finds EICAR only".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use alivio_files::testing::scanner::{Fixture, World};

    use super::*;

    struct Nobody;

    #[async_trait]
    impl World for Nobody {
        async fn stall(&self) -> Option<Duration> {
            None
        }
    }

    async fn fresh() -> Option<Fixture> {
        Some(Fixture { scanner: Arc::new(SandboxScanner::new()), world: Arc::new(Nobody) })
    }
    alivio_files::scanner_conformance!(fresh);

    #[tokio::test]
    async fn it_does_not_pretend_to_be_more() {
        assert!(SandboxScanner::new().version().await.unwrap().contains("sandbox"));
    }
}
