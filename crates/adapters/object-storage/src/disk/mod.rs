//! Blobs on a disk.

mod writer;

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alivio_files::{Blob, BlobError, BlobKey, BlobStore, BlobWriter, ByteStream, CHUNK, TAG};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

use self::writer::DiskWriter;

/// How much is read at once: so many sealed chunks, that none comes in two pieces.
const STRETCH: u64 = 8 * (CHUNK + TAG) as u64;
/// Stretches that are read ahead.
const AHEAD: usize = 2;
/// Blobs are spread over so many folders, by the last byte of their owner: the random end of a UUIDv7.
const FOLDERS: u16 = 256;

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep files in {}", path.display())]
pub struct DiskError {
    path: PathBuf,
    source: io::Error,
}

/// Blobs in a folder.
pub struct Disk {
    unfinished: Arc<Path>,
    blobs: Arc<Path>,
}

impl Disk {
    /// Keeps blobs in `folder`, which is made if need be, for the owner alone.
    ///
    /// # Errors
    /// If that fails.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        let failed = |source| DiskError { path: folder.to_owned(), source };
        let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        let (unfinished, blobs) = (folder.join("unfinished"), folder.join("blobs"));
        make(&unfinished).map_err(failed)?;
        for last in 0..FOLDERS {
            make(&blobs.join(format!("{last:02x}"))).map_err(failed)?;
        }
        // That the folders are there must survive a power cut as well as what comes into them.
        for folder in [
            &*blobs,
            folder,
            folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        ] {
            sync(folder).map_err(failed)?;
        }
        Ok(Self { unfinished: unfinished.into(), blobs: blobs.into() })
    }

    fn path(&self, key: BlobKey) -> PathBuf {
        let [.., last] = key.owner.as_bytes();
        self.blobs.join(format!("{last:02x}/{}.{}", key.owner, key.part))
    }
}

/// Makes the names in `folder` durable.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs what may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.map_err(failure),
        Err(gone) => Err(BlobError::Unavailable(gone.into())),
    }
}

fn failure(error: io::Error) -> BlobError {
    match error.kind() {
        ErrorKind::NotFound => BlobError::NotFound,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => BlobError::Full,
        ErrorKind::UnexpectedEof => BlobError::Damaged,
        _ => BlobError::Unavailable(error.into()),
    }
}

fn blob(key: BlobKey, metadata: &fs::Metadata) -> io::Result<Blob> {
    Ok(Blob { key, size: metadata.len(), stored_at: metadata.modified()?.into() })
}

fn read_stretch(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(|_| ErrorKind::InvalidInput)?;
    let mut stretch = Vec::with_capacity(length);
    while stretch.len() < length {
        let start = range.start + stretch.len() as u64;
        match pread(file, spare_capacity(&mut stretch), start) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // There may be room for more.
    stretch.truncate(length);
    Ok(stretch.into())
}

/// The finished blobs in one of the folders.
fn blobs_in(folder: &Path) -> io::Result<Vec<Blob>> {
    let mut blobs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(|name| name.replacen('.', "/", 1).parse().ok());
        let Some(key) = name else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => blobs.push(blob(key, &metadata)?),
            Ok(_) => {}
            // Deleted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(blobs)
}

/// Removes what began before `before`. The file system knows; where it does not, the last write counts.
fn sweep(unfinished: &Path, before: DateTime<Utc>) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(unfinished)? {
        let entry = entry?;
        let began = entry.metadata().and_then(|metadata| metadata.created().or_else(|_| metadata.modified()));
        let gone = match began {
            Ok(began) if DateTime::<Utc>::from(began) < before => fs::remove_file(entry.path()),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        match gone {
            Ok(()) => removed += 1,
            // Finished or aborted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

#[async_trait]
impl BlobStore for Disk {
    async fn begin(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let (unfinished, target) = (Arc::clone(&self.unfinished), self.path(key));
        let file = blocking(move || tempfile::Builder::new().prefix("").tempfile_in(unfinished)).await;
        Ok(Box::new(DiskWriter::new(found(file)?, target)))
    }

    async fn read(&self, key: BlobKey, range: Range<u64>) -> Result<ByteStream, BlobError> {
        let path = self.path(key);
        let (file, size) = blocking(move || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok((Arc::new(file), size))
        })
        .await?;
        if range.end > size {
            return Err(BlobError::Damaged);
        }
        let starts = stream::iter((range.start..range.end).step_by(STRETCH as usize));
        let stretches = starts.map(move |start| {
            let (file, stretch) = (Arc::clone(&file), start..range.end.min(start + STRETCH));
            blocking(move || read_stretch(&file, stretch))
        });
        Ok(stretches.buffered(AHEAD).boxed())
    }

    async fn look(&self, key: BlobKey) -> Result<Blob, BlobError> {
        let path = self.path(key);
        blocking(move || blob(key, &fs::metadata(path)?)).await
    }

    async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        let path = self.path(key);
        let deleted = blocking(move || {
            fs::remove_file(&path)?;
            path.parent().map_or(Ok(()), sync)
        });
        match deleted.await {
            Err(BlobError::NotFound) => Ok(()),
            other => other,
        }
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Blob, BlobError>>, BlobError> {
        let blobs = Arc::clone(&self.blobs);
        let folders = stream::iter(0..FOLDERS).then(move |last| {
            let folder = blobs.join(format!("{last:02x}"));
            async move { found(blocking(move || blobs_in(&folder)).await) }
        });
        Ok(folders.map_ok(|blobs| stream::iter(blobs).map(Ok)).try_flatten().boxed())
    }

    async fn sweep(&self, before: DateTime<Utc>) -> Result<u64, BlobError> {
        let unfinished = Arc::clone(&self.unfinished);
        found(blocking(move || sweep(&unfinished, before)).await)
    }

    /// Writes a byte and takes it away again.
    async fn check(&self) -> Result<(), BlobError> {
        let unfinished = Arc::clone(&self.unfinished);
        let written = blocking(move || {
            let mut file = tempfile::Builder::new().prefix("").tempfile_in(unfinished)?;
            io::Write::write_all(&mut file, b"x")
        });
        found(written.await)
    }
}

/// Where a folder of ours is missing, no blob is: whoever looks would take all files for lost.
fn found<T>(answer: Result<T, BlobError>) -> Result<T, BlobError> {
    answer.map_err(|error| match error {
        BlobError::NotFound => BlobError::Unavailable("a folder of the store is gone".into()),
        other => other,
    })
}
