//! Files that wait for a verdict: scanned, read to their end, and what is made of them.

use std::sync::{Arc, Mutex, PoisonError};

use alivio_kernel::ids::FileId;
use alivio_kernel::{AuditEntry, Effects, Event};
use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::Files;
use super::content::gather;
use crate::{
    BlobError, BlobPart, ByteStream, Class, Error, Examined, FileQuarantined, FileReady, Header, Made,
    Rendition, ScanError, ScanStatus, SegmentRow, State, Stored, StoredFile, Verdict, WorkshopError,
};

/// An examination takes no longer: then another may begin.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// When a file is looked at again whose examination could not come to its end.
const AGAIN: TimeDelta = TimeDelta::seconds(5);
/// Nothing is made of larger files: it would have to be in memory.
const WORKABLE: u64 = 50 * 1024 * 1024;

/// What was read of a file by whoever scanned it.
#[derive(Default)]
struct Witness {
    hash: Sha256,
    size: u64,
}

impl Files {
    /// Examines a file that waits: `id`, or any that is due. Whether there was one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if somebody who is needed does not answer: it waits, and is tried again.
    pub async fn examine(&self, id: Option<FileId>) -> Result<bool, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let Some(file) = p.examinations.claim(id, now, now + LEASE).await? else { return Ok(false) };
        match self.judge(&file).await {
            Ok(examined) => self.settle(&file.header, examined).await?,
            Err(error) => {
                p.examinations.put_off(file.header.id, p.clock.now() + AGAIN).await?;
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Lets a file be examined by whoever comes next: whoever has taken it on has given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn give_back(&self, id: FileId) -> Result<(), Error> {
        self.ports.examinations.put_off(id, self.ports.clock.now()).await
    }

    async fn judge(&self, file: &StoredFile) -> Result<Examined, Error> {
        let p = &self.ports;
        let header = &file.header;
        let segments = p.files.segments(header.id).await?;
        let witness = Arc::new(Mutex::new(Witness::default()));
        let content = witnessed(self.read(header.id, &segments, 0..header.size), Arc::clone(&witness));
        let verdict = match p.scanner.scan(content, header.size).await {
            Ok(verdict) => verdict,
            Err(ScanError::Content(BlobError::NotFound | BlobError::Damaged)) => return Ok(damaged(header)),
            Err(error) => return Err(Error::Unavailable(Box::new(error))),
        };
        let scanner = p.scanner.version().await.map_err(|error| Error::Unavailable(Box::new(error)))?;
        let blocked = |scan, finding| Examined { scanner: scanner.clone(), ..blocked(header, scan, finding) };
        match verdict {
            Verdict::Infected { signature } => return Ok(blocked(ScanStatus::Infected, signature)),
            Verdict::Unscannable { reason } => return Ok(blocked(ScanStatus::Unscannable, reason)),
            Verdict::Clean => {}
        }
        let (hash, size) = {
            let mut witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut witness.hash), witness.size)
        };
        let hash: [u8; 32] = hash.finalize().into();
        // Who says clean must have seen it all, and that must be what came.
        if size != header.size || header.sha256.is_some_and(|told| told != hash) {
            return Ok(damaged(header));
        }
        let clean = Examined {
            state: State::Active,
            scan: ScanStatus::Clean,
            scanner,
            finding: None,
            sha256: Some(hash),
            made: Made::default(),
            replaced: None,
        };
        self.work_on(header, &segments, clean).await
    }

    /// Makes what can be made of a clean file.
    async fn work_on(
        &self,
        header: &Header,
        segments: &[SegmentRow],
        mut clean: Examined,
    ) -> Result<Examined, Error> {
        let p = &self.ports;
        let class = header.format.class_as(header.kind);
        if header.size > WORKABLE || class == Class::Video {
            // What must be stripped is never served unstripped.
            return Ok(if header.is_to_be_stripped() { damaged(header) } else { clean });
        }
        let mut content =
            gather(self.read(header.id, segments, 0..header.size), header.size).await.map_err(Error::from)?;
        if header.is_to_be_stripped() {
            content = match p.workshop.strip(header.mime(), content).await {
                Ok(stripped) => stripped,
                Err(WorkshopError::Unfit | WorkshopError::Unsupported) => return Ok(damaged(header)),
                Err(error) => return Err(Error::Unavailable(Box::new(error))),
            };
            let number = segments.iter().map(|segment| segment.number + 1).max().unwrap_or_default();
            let size = self.store(header.id, BlobPart::Segment(number), &content).await?;
            clean.replaced = Some(SegmentRow { number, size });
            clean.sha256 = Some(Sha256::digest(&content).into());
            clean.made.is_stripped = true;
        }
        match class {
            Class::Audio => match p.workshop.listen(header.mime(), content).await {
                Ok(sound) => {
                    clean.made.duration_ms = Some(sound.duration_ms);
                    clean.made.waveform = sound.waveform;
                }
                Err(error) => missed(error)?,
            },
            _ => match p.workshop.look(header.mime(), content).await {
                Ok(looks) => {
                    let keep = |part, rendition| self.keep_rendition(header.id, part, rendition);
                    clean.made.thumbnail = Some(keep(BlobPart::Thumbnail, looks.thumbnail).await?);
                    clean.made.preview = Some(keep(BlobPart::Preview, looks.preview).await?);
                    clean.made.pages = Some(looks.pages);
                }
                Err(error) => missed(error)?,
            },
        }
        Ok(clean)
    }

    async fn keep_rendition(&self, id: FileId, part: BlobPart, made: Rendition) -> Result<Stored, Error> {
        let Rendition { bytes, mime, width, height } = made;
        let size = self.store(id, part, &bytes).await?;
        Ok(Stored { size, is_jpeg: mime == "image/jpeg", width, height })
    }

    async fn settle(&self, header: &Header, examined: Examined) -> Result<(), Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let (file_id, conversation_id, uploader_id) = (header.id, header.conversation_id, header.uploader_id);
        let (action, event) = if examined.state == State::Active {
            let ready = FileReady { file_id, conversation_id, uploader_id };
            ("file.found_clean", Event::new(&*p.ids, now, &ready))
        } else {
            let state = examined.state.as_str().to_owned();
            let stopped = FileQuarantined { file_id, conversation_id, uploader_id, state };
            ("file.quarantined", Event::new(&*p.ids, now, &stopped))
        };
        let mut entry = AuditEntry::by_machine(&*p.ids, now, action).about(uploader_id).on("file", file_id);
        entry.reason = Some(examined.scan.as_str());
        let effects = Effects::default().event(event).audit(entry);
        let before = if examined.replaced.is_some() { p.files.segments(file_id).await? } else { Vec::new() };
        if p.examinations.settle(file_id, &examined, now, effects).await? {
            self.remove_blobs(file_id, &before).await;
        }
        Ok(())
    }
}

/// Nothing can be made of it, which is no reason to withhold it, or nobody answers, which is one to try again.
fn missed(error: WorkshopError) -> Result<(), Error> {
    match error {
        WorkshopError::Unfit | WorkshopError::Unsupported => Ok(()),
        error => Err(Error::Unavailable(Box::new(error))),
    }
}

fn blocked(header: &Header, scan: ScanStatus, finding: String) -> Examined {
    Examined {
        state: State::Quarantined,
        scan,
        scanner: String::new(),
        finding: Some(finding),
        sha256: header.sha256,
        made: Made::default(),
        replaced: None,
    }
}

/// What is there is not what came, or not what it says that it is.
fn damaged(header: &Header) -> Examined {
    Examined { state: State::Failed, finding: None, ..blocked(header, ScanStatus::Failed, String::new()) }
}

/// The same bytes, noted by `witness` as they pass.
fn witnessed(content: ByteStream, witness: Arc<Mutex<Witness>>) -> ByteStream {
    content
        .inspect_ok(move |bytes| {
            let mut witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
            witness.hash.update(bytes);
            witness.size += bytes.len() as u64;
        })
        .boxed()
}
