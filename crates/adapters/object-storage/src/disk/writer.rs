use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::PathBuf;
use std::sync::Arc;

use alivio_files::{BlobError, BlobWriter};
use async_trait::async_trait;
use bytes::Bytes;
use tempfile::{NamedTempFile, TempPath};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{blocking, failure, found, sync};

/// So much is written at once, while as much again gathers.
const BATCH: usize = 512 * 1024;
/// Pieces that one write takes; the kernel's own limit is 1024.
const PIECES: usize = 256;
/// So much is written before the disk is told to keep it while more comes, so that little is left to wait for in the end.
const RUN: usize = 8 * 1024 * 1024;

/// A file that is on its way. Dropped, it is gone.
pub(super) struct DiskWriter {
    file: Arc<File>,
    path: TempPath,
    target: PathBuf,
    batch: Vec<Bytes>,
    gathered: usize,
    writing: Option<JoinHandle<io::Result<()>>>,
    /// Written since the disk was last told to keep it.
    run: usize,
    syncing: Option<JoinHandle<io::Result<()>>>,
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
            run: 0,
            syncing: None,
            torn: false,
        }
    }

    /// Waits for what is being written.
    async fn written(&mut self) -> Result<(), BlobError> {
        if self.torn {
            return Err(BlobError::Unavailable("a write has failed before".into()));
        }
        let written = done(&mut self.writing).await;
        self.torn = written.is_err();
        written
    }

    /// Begins to write what has gathered.
    async fn flush(&mut self) -> Result<(), BlobError> {
        self.written().await?;
        if self.run >= RUN {
            self.sync().await?;
        }
        let (file, batch) = (Arc::clone(&self.file), std::mem::take(&mut self.batch));
        self.run += std::mem::take(&mut self.gathered);
        self.writing = Some(spawn_blocking(move || write_all(&file, &batch)));
        Ok(())
    }

    /// Begins to make durable what is written, unless the disk is still busy with what was before.
    async fn sync(&mut self) -> Result<(), BlobError> {
        if self.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished()) {
            return Ok(());
        }
        // A failure is told once only: by the file system, so by us.
        let synced = done(&mut self.syncing).await;
        self.torn = synced.is_err();
        synced?;
        let file = Arc::clone(&self.file);
        self.run = 0;
        self.syncing = Some(spawn_blocking(move || file.sync_data()));
        Ok(())
    }
}

/// Waits for what has begun, if anything has.
async fn done(begun: &mut Option<JoinHandle<io::Result<()>>>) -> Result<(), BlobError> {
    let Some(handle) = begun else { return Ok(()) };
    let ended = match handle.await {
        Ok(ended) => ended.map_err(failure),
        Err(gone) => Err(BlobError::Unavailable(gone.into())),
    };
    *begun = None;
    found(ended)
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
        self.written().await?;
        done(&mut self.syncing).await?;
        let Self { file, path, target, batch, .. } = *self;
        let finished = blocking(move || {
            write_all(&file, &batch)?;
            // First the bytes, then the name: whoever finds the name after a power cut finds all of them.
            file.sync_data()?;
            path.persist(&target)?;
            target.parent().map_or(Ok(()), sync)
        });
        found(finished.await)
    }

    async fn abort(mut self: Box<Self>) {
        // What is still being written would take room until it is done.
        done(&mut self.writing).await.ok();
        done(&mut self.syncing).await.ok();
    }
}
