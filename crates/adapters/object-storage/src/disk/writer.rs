use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::PathBuf;
use std::sync::Arc;

use alivio_files::{BlobError, BlobWriter};
use async_trait::async_trait;
use bytes::Bytes;
use tempfile::{NamedTempFile, TempPath};
use tokio::task::JoinHandle;

use super::{blocking, failure, found, sync};

/// So much is written at once, while as much again gathers.
const BATCH: usize = 512 * 1024;
/// Pieces that one write takes; the kernel's own limit is 1024.
const PIECES: usize = 256;

/// A file that is on its way. Dropped, it is gone.
pub(super) struct DiskWriter {
    file: Arc<File>,
    path: TempPath,
    target: PathBuf,
    batch: Vec<Bytes>,
    gathered: usize,
    writing: Option<JoinHandle<io::Result<()>>>,
    /// Something was not written, so that nothing after it has its place.
    torn: bool,
}

impl DiskWriter {
    pub(super) fn new(file: NamedTempFile, target: PathBuf) -> Self {
        let (file, path) = file.into_parts();
        Self {
            file: Arc::new(file),
            path,
            target,
            batch: Vec::new(),
            gathered: 0,
            writing: None,
            torn: false,
        }
    }

    /// Waits for what is being written.
    async fn written(&mut self) -> Result<(), BlobError> {
        if self.torn {
            return Err(BlobError::Unavailable("a write has failed before".into()));
        }
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let written = match writing.await {
            Ok(written) => written.map_err(failure),
            Err(gone) => Err(BlobError::Unavailable(gone.into())),
        };
        self.writing = None;
        self.torn = written.is_err();
        found(written)
    }

    /// Begins to write what has gathered.
    async fn flush(&mut self) -> Result<(), BlobError> {
        self.written().await?;
        let (file, batch) = (Arc::clone(&self.file), std::mem::take(&mut self.batch));
        self.gathered = 0;
        self.writing = Some(tokio::task::spawn_blocking(move || write_all(&file, &batch)));
        Ok(())
    }
}

fn write_all(mut file: &File, batch: &[Bytes]) -> io::Result<()> {
    for pieces in batch.chunks(PIECES) {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[async_trait]
impl BlobWriter for DiskWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.gathered += bytes.len();
        self.batch.push(bytes);
        if self.gathered >= BATCH || self.batch.len() >= PIECES { self.flush().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<(), BlobError> {
        self.flush().await?;
        self.written().await?;
        let Self { file, path, target, .. } = *self;
        let finished = blocking(move || {
            // First the bytes, then the name: whoever finds the name after a power cut finds all of them.
            file.sync_data()?;
            path.persist(&target)?;
            target.parent().map_or(Ok(()), sync)
        });
        found(finished.await)
    }

    async fn abort(mut self: Box<Self>) {
        // What is still being written would take room until it is done.
        if let Some(writing) = self.writing.take() {
            writing.await.ok();
        }
    }
}
