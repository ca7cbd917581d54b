//! Files on their way in: in one go, or in pieces.

use alivio_kernel::ids::FileId;
use alivio_kernel::{AuditEntry, Caller, Effects, Event, FieldError, Rule};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::Files;
use super::content::{SegmentWriter, gather};
use crate::model::TAIL;
use crate::{
    Admitted, BlobKey, BlobPart, Class, Consent, DisplayName, DocumentType, Draft, Error, FileKind,
    FileUploaded, Format, Guess, HEAD, Header, Made, NewFile, Policy, QUOTA_WINDOW, Quota, ScanStatus,
    SegmentRow, Standing, State, StoredFile, UPLOAD_LIFETIME, Unfit, Upload, check_ends, context, doc, docx,
    sniff,
};

/// Of what comes in pieces, no more than this is lost when the server dies: what a broken connection leaves is kept. Each
/// one waits for the disk in the end.
const SEGMENT: u64 = 64 * 1024 * 1024;
/// A first piece that is shorter tells nothing.
const TELLING: usize = 512;

/// Bytes that are safe, of a file that nobody knows of yet. To be [kept](Files::keep) or [discarded](Files::discard).
#[derive(Debug, Clone)]
pub struct Incoming {
    id: FileId,
    format: Format,
    size: u64,
    sha256: Option<[u8; 32]>,
    segments: Vec<SegmentRow>,
    is_upload: bool,
}

/// A file that comes in one go: to be written, and then [finished](Receiving::finish) or
/// [aborted](Receiving::abort).
pub struct Receiving {
    files: Files,
    id: FileId,
    head: Vec<u8>,
    writer: Option<(Guess, SegmentWriter)>,
    hash: Sha256,
    size: u64,
    told: Option<u64>,
}

impl Receiving {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::TypeNotAllowed`], [`Error::Full`], [`Error::Unavailable`]. It is over then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        Policy::check_so_far(self.told.unwrap_or_default().max(self.size), Policy::AT_ONCE)?;
        self.hash.update(bytes);
        if let Some((_, writer)) = &mut self.writer {
            return writer.write(bytes).await;
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() >= HEAD { self.begin().await } else { Ok(()) }
    }

    /// Looks at the beginning, and begins to store it. What is refused by it never reaches the store.
    async fn begin(&mut self) -> Result<(), Error> {
        let guess = sniff(&self.head[..self.head.len().min(HEAD)])?;
        let mut writer = SegmentWriter::begin(&self.files, self.id, BlobPart::Segment(0)).await?;
        writer.write(&std::mem::take(&mut self.head)).await?;
        self.writer = Some((guess, writer));
        Ok(())
    }

    /// All is there: makes it safe, and looks at how it is put together.
    ///
    /// # Errors
    /// [`Error::TypeNotAllowed`], [`Error::Unfit`], [`Error::Full`], [`Error::Unavailable`]. Nothing is left then.
    pub async fn finish(mut self) -> Result<Incoming, Error> {
        if self.size == 0 {
            return Err(Error::Unfit(Unfit::Empty));
        }
        if self.writer.is_none() {
            self.begin().await?;
        }
        let Some((guess, writer)) = self.writer else { return Err(Error::Incomplete) };
        let segments = vec![SegmentRow { number: 0, size: writer.finish().await? }];
        let inspected = self.files.inspect(self.id, guess, &segments, self.size).await;
        let incoming = Incoming {
            id: self.id,
            format: guess.at_best(),
            size: self.size,
            sha256: Some(self.hash.finalize().into()),
            segments,
            is_upload: false,
        };
        match inspected {
            Ok(()) => Ok(incoming),
            Err(error) => {
                self.files.discard(incoming).await;
                Err(error)
            }
        }
    }

    /// Forgets what has come.
    pub async fn abort(self) {
        if let Some((_, writer)) = self.writer {
            writer.abort().await;
        }
    }
}

impl Files {
    /// Whether `caller` may hand over such a file now: asked before its bytes are taken. [`keep`](Files::keep) asks again.
    ///
    /// # Errors
    /// As [`Files::keep`].
    pub async fn may_upload(&self, caller: &Caller, draft: &Draft) -> Result<(), Error> {
        let now = self.ports.clock.now();
        let standing = self.standing(caller, draft, now).await?;
        standing.admit((caller.user_id, caller.role), draft)?;
        match standing.oldest {
            Some(oldest) if standing.recent >= self.ports.policy.per_hour => Err(self.too_many(oldest, now)),
            _ => Ok(()),
        }
    }

    /// Takes a file in one go. `told`: how many bytes there will be at least, if that is known.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn receive(&self, told: Option<u64>) -> Result<Receiving, Error> {
        Policy::check_so_far(told.unwrap_or_default(), Policy::AT_ONCE)?;
        Ok(Receiving {
            files: self.clone(),
            id: FileId::generate(&*self.ports.ids),
            head: Vec::with_capacity(HEAD),
            writer: None,
            hash: Sha256::new(),
            size: 0,
            told,
        })
    }

    /// Makes a file of what has come. It waits for a verdict then.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Closed`], [`Error::Blocked`], [`Error::FileSharingDisabled`],
    /// [`Error::NotTheSubject`], [`Error::TooMany`], [`Error::TypeNotAllowed`], [`Error::TooLarge`],
    /// [`Error::Unfit`]; a field error for what does not fit its content. Nothing is left then.
    pub async fn keep(
        &self,
        caller: &Caller,
        incoming: Incoming,
        draft: &Draft,
    ) -> Result<crate::File, Error> {
        match self.try_keep(caller, &incoming, draft).await {
            Ok(file) => Ok(file),
            Err(error) => {
                self.discard(incoming).await;
                Err(error)
            }
        }
    }

    /// Forgets what has come. What cannot be removed now is swept later.
    pub async fn discard(&self, incoming: Incoming) {
        self.remove_blobs(incoming.id, &incoming.segments).await;
    }

    pub(super) async fn remove_blobs(&self, id: FileId, segments: &[SegmentRow]) {
        for segment in segments {
            let key = BlobKey { owner: id.uuid(), part: BlobPart::Segment(segment.number) };
            // Nobody owns it: the sweep comes by.
            drop(self.ports.blobs.delete(key).await);
        }
    }

    async fn try_keep(
        &self,
        caller: &Caller,
        incoming: &Incoming,
        draft: &Draft,
    ) -> Result<crate::File, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let standing = self.standing(caller, draft, now).await?;
        let subject = standing.admit((caller.user_id, caller.role), draft)?;
        let (header, name) = describe(caller, incoming, draft, subject, now)?;
        let id = incoming.id;
        let sealed_name = p.sealer.seal(&context(id, "name"), name.as_str().as_bytes()).await?;
        let description = match &draft.description {
            Some(words) => Some(p.sealer.seal(&context(id, "description"), words.as_bytes()).await?),
            None => None,
        };
        let event = FileUploaded {
            file_id: id,
            conversation_id: header.conversation_id,
            uploader_id: header.uploader_id,
        };
        let mut entry = AuditEntry::by(&*p.ids, now, caller, "file.uploaded").on("file", id);
        entry.subject = subject;
        let effects = Effects::default().event(Event::new(&*p.ids, now, &event)).audit(entry);
        let new = NewFile {
            kept_until: header.kept_until(),
            file: StoredFile { header, name: sealed_name, description },
            segments: incoming.segments.clone(),
            is_upload: incoming.is_upload,
        };
        let number = match p.uploads.admit(&new, self.quota(now), effects).await? {
            Admitted::Stored(number) => number,
            Admitted::TooMany(oldest) => return Err(self.too_many(oldest, now)),
            Admitted::NotThere => return Err(Error::NotFound),
        };
        let header = Header { number, ..new.file.header };
        Ok(crate::File { header, name, description: draft.description.clone() })
    }

    async fn standing(&self, caller: &Caller, draft: &Draft, now: DateTime<Utc>) -> Result<Standing, Error> {
        let since = self.quota(now).since;
        let standing = self.ports.uploads.standing(caller.user_id, draft.conversation_id, now, since).await?;
        standing.ok_or(Error::NotFound)
    }

    fn quota(&self, now: DateTime<Utc>) -> Quota {
        Quota { most: self.ports.policy.per_hour, since: now - QUOTA_WINDOW }
    }

    fn too_many(&self, oldest: DateTime<Utc>, now: DateTime<Utc>) -> Error {
        Error::TooMany { limit: self.ports.policy.per_hour, wait: oldest + QUOTA_WINDOW - now }
    }

    /// Looks at how content is put together that is safe already.
    async fn inspect(
        &self,
        id: FileId,
        guess: Guess,
        segments: &[SegmentRow],
        size: u64,
    ) -> Result<(), Error> {
        let read = async |range: std::ops::Range<u64>| {
            gather(self.read(id, segments, range.clone()), range.end - range.start).await
        };
        let (head, tail) =
            (read(0..size.min(HEAD as u64)).await?, read(size.saturating_sub(TAIL)..size).await?);
        check_ends(guess.at_best(), &head, &tail)?;
        match guess {
            Guess::Format(_) => Ok(()),
            Guess::Archive => {
                let directory = docx::directory(&tail, size)?;
                docx::judge(&directory, &read(directory.place.clone()).await?)
            }
            Guess::Streams => doc::judge(&read(doc::directory(&head, size)?).await?),
        }
    }
}

/// What a file is, by its content and by what was said of it.
fn describe(
    caller: &Caller,
    incoming: &Incoming,
    draft: &Draft,
    subject: Option<alivio_kernel::ids::UserId>,
    now: DateTime<Utc>,
) -> Result<(Header, DisplayName), Error> {
    let format = incoming.format;
    let name = DisplayName::clean(&draft.filename);
    format.check_words(name.extension(), draft.mime.as_deref())?;
    let kind = draft.kind.unwrap_or(match format.class() {
        Class::Document => FileKind::Document,
        Class::Image => FileKind::Image,
        Class::Audio => FileKind::Audio,
        Class::Video => FileKind::Video,
    });
    if !format.suits(kind) {
        return Err(FieldError::new("file_type", Rule::Malformed).into());
    }
    Policy::check_size(incoming.size, Policy::max(format.class_as(kind)))?;
    if draft.terms.watermark && !format.takes_watermark() {
        return Err(Error::Unfit(Unfit::NoWatermark));
    }
    let header = Header {
        id: incoming.id,
        number: 0,
        conversation_id: draft.conversation_id,
        uploader_id: caller.user_id,
        message_id: None,
        patient_id: subject,
        related_appointment: draft.related_appointment,
        kind,
        document_type: draft.document_type.unwrap_or(DocumentType::of(kind)),
        format,
        size: incoming.size,
        sha256: incoming.sha256,
        state: State::Pending,
        scan: ScanStatus::Pending,
        terms: draft.terms,
        consent: Consent::asked_for(draft.terms.requires_consent, caller.user_id, subject),
        max_downloads: draft.max_downloads,
        download_count: 0,
        access_expires_at: draft.access_expires_at,
        made: Made::default(),
        created_at: now,
        updated_at: now,
    };
    Ok((header, name.or_ending(format.extension())))
}

/// A piece of an upload that is coming.
pub struct Piece {
    files: Files,
    caller: Caller,
    upload: Upload,
    /// Not stored yet: the beginning, until it tells something.
    head: Vec<u8>,
    writer: Option<(u32, SegmentWriter)>,
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// How many bytes are there.
    pub offset: u64,
    /// How many there will be.
    pub length: u64,
    /// When it is forgotten, unless it is a file by then.
    pub expires_at: Option<DateTime<Utc>>,
    /// The file, once all is there.
    pub file: Option<crate::File>,
}

impl Files {
    /// Begins an upload in pieces of `length` bytes altogether.
    ///
    /// # Errors
    /// As [`Files::keep`], as far as it is known already.
    pub async fn begin_upload(
        &self,
        caller: &Caller,
        draft: &Draft,
        length: u64,
    ) -> Result<(FileId, Progress), Error> {
        let p = &self.ports;
        let now = p.clock.now();
        if length == 0 {
            return Err(Error::Unfit(Unfit::Empty));
        }
        let class = draft.kind.and_then(|kind| {
            let formats = Format::ALL.into_iter().filter(move |format| format.suits(kind));
            formats.map(|format| Policy::max(format.class_as(kind))).max()
        });
        Policy::check_size(length, class.unwrap_or_else(Policy::largest))?;
        let standing = self.standing(caller, draft, now).await?;
        standing.admit((caller.user_id, caller.role), draft)?;
        let id = FileId::generate(&*p.ids);
        let plain = serde_json::to_vec(draft).map_err(|error| Error::Unavailable(error.into()))?;
        let upload = Upload {
            id,
            conversation_id: draft.conversation_id,
            uploader_id: caller.user_id,
            draft: p.sealer.seal(&context(id, "draft"), &plain).await?,
            length,
            offset: 0,
            created_at: now,
            expires_at: now + UPLOAD_LIFETIME,
        };
        let entry = AuditEntry::by(&*p.ids, now, caller, "file.upload_begun").on("file", id);
        match p.uploads.begin(&upload, self.quota(now), Effects::default().audit(entry)).await? {
            Admitted::Stored(_) => Ok((id, progress(&upload))),
            Admitted::TooMany(oldest) => Err(self.too_many(oldest, now)),
            Admitted::NotThere => Err(Error::NotFound),
        }
    }

    /// How far an upload of the caller has come, also when it is a file by now: whoever asks may not have heard so. One
    /// that is whole becomes a file if it did not before.
    ///
    /// # Errors
    /// [`Error::NotFound`]; as [`Piece::finish`] if it is whole.
    pub async fn upload(&self, caller: &Caller, id: FileId) -> Result<Progress, Error> {
        let p = &self.ports;
        match p.uploads.upload(caller.user_id, id, p.clock.now()).await? {
            None => self.uploaded(caller, id).await,
            Some(upload) if upload.offset == upload.length => self.completed(caller, &upload).await,
            Some(upload) => Ok(progress(&upload)),
        }
    }

    /// What became of an upload of the caller.
    async fn uploaded(&self, caller: &Caller, id: FileId) -> Result<Progress, Error> {
        let file = self.file(caller, id).await?;
        if file.uploader_id != caller.user_id {
            return Err(Error::NotFound);
        }
        Ok(Progress { offset: file.size, length: file.size, expires_at: None, file: Some(file) })
    }

    async fn own_upload(&self, caller: &Caller, id: FileId) -> Result<Upload, Error> {
        let p = &self.ports;
        p.uploads.upload(caller.user_id, id, p.clock.now()).await?.ok_or(Error::NotFound)
    }

    /// Takes a piece of an upload that begins at `offset`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongOffset`].
    pub async fn resume(&self, caller: &Caller, id: FileId, offset: u64) -> Result<Piece, Error> {
        let upload = self.own_upload(caller, id).await?;
        if upload.offset != offset {
            return Err(Error::WrongOffset { offset: upload.offset });
        }
        Ok(Piece { files: self.clone(), caller: *caller, upload, head: Vec::new(), writer: None })
    }

    /// Gives an upload up, and what has come of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn give_up(&self, caller: &Caller, id: FileId) -> Result<(), Error> {
        self.own_upload(caller, id).await?;
        self.drop_upload(id).await
    }

    pub(super) async fn drop_upload(&self, id: FileId) -> Result<(), Error> {
        let segments = self.ports.uploads.received(id).await?;
        if self.ports.uploads.forget(id).await? {
            self.forget(id).await;
            self.remove_blobs(id, &segments).await;
        }
        Ok(())
    }

    /// Makes a file of an upload that is whole. It is forgotten if its content is refused.
    async fn completed(&self, caller: &Caller, upload: &Upload) -> Result<Progress, Error> {
        let error = match self.complete(caller, upload).await {
            Ok(file) => return Ok(Progress { file: Some(file), expires_at: None, ..progress(upload) }),
            Err(error) => error,
        };
        // Two may find it whole at the same time.
        if let Ok(progress) = self.uploaded(caller, upload.id).await {
            return Ok(progress);
        }
        if let Error::TypeNotAllowed { .. } | Error::Unfit(_) | Error::TooLarge { .. } | Error::Field(_) =
            error
        {
            self.drop_upload(upload.id).await?;
        }
        Err(error)
    }

    async fn complete(&self, caller: &Caller, upload: &Upload) -> Result<crate::File, Error> {
        let p = &self.ports;
        let id = upload.id;
        let segments = p.uploads.received(id).await?;
        let head = gather(self.read(id, &segments, 0..upload.length.min(HEAD as u64)), HEAD as u64).await?;
        let guess = sniff(&head)?;
        self.inspect(id, guess, &segments, upload.length).await?;
        let plain = p.sealer.open_many(&[(context(id, "draft"), &upload.draft)]).await?.pop();
        let draft: Draft = serde_json::from_slice(&plain.unwrap_or_default())
            .map_err(|error| Error::Unavailable(error.into()))?;
        let incoming = Incoming {
            id,
            format: guess.at_best(),
            size: upload.length,
            sha256: None,
            segments,
            is_upload: true,
        };
        self.try_keep(caller, &incoming, &draft).await
    }
}

fn progress(upload: &Upload) -> Progress {
    Progress { offset: upload.offset, length: upload.length, expires_at: Some(upload.expires_at), file: None }
}

impl Piece {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past the length that was said, [`Error::TypeNotAllowed`] by the beginning of the first piece,
    /// [`Error::WrongOffset`] if another piece was faster, [`Error::Full`], [`Error::Unavailable`].
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let size = self.offset() + self.head.len() as u64 + bytes.len() as u64;
        Policy::check_so_far(size, self.upload.length)?;
        if self.upload.offset == 0 && self.writer.is_none() {
            self.head.extend_from_slice(bytes);
            if self.head.len() < HEAD {
                return Ok(());
            }
            return self.write_head().await;
        }
        while !bytes.is_empty() {
            let room = SEGMENT - self.writer.as_ref().map_or(0, |(_, writer)| writer.size());
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.put(now).await?;
            bytes = later;
            if self.writer.as_ref().is_some_and(|(_, writer)| writer.size() >= SEGMENT) {
                self.close().await?;
            }
        }
        Ok(())
    }

    async fn write_head(&mut self) -> Result<(), Error> {
        let head = std::mem::take(&mut self.head);
        if head.len() >= TELLING
            && let Err(error) = sniff(&head[..head.len().min(HEAD)])
        {
            self.files.drop_upload(self.upload.id).await?;
            return Err(error);
        }
        if head.is_empty() { Ok(()) } else { self.put(&head).await }
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.writer.is_none() {
            let (files, id) = (&self.files, self.upload.id);
            let number = files.ports.uploads.next_segment(id).await?.ok_or(Error::NotFound)?;
            let writer = SegmentWriter::begin(files, id, BlobPart::Segment(number)).await?;
            self.writer = Some((number, writer));
        }
        match &mut self.writer {
            Some((_, writer)) => writer.write(bytes).await,
            None => Ok(()),
        }
    }

    /// Where the next byte goes.
    fn offset(&self) -> u64 {
        self.upload.offset + self.writer.as_ref().map_or(0, |(_, writer)| writer.size())
    }

    /// Makes what has come part of the upload.
    async fn close(&mut self) -> Result<(), Error> {
        let Some((number, writer)) = self.writer.take() else { return Ok(()) };
        let segment = SegmentRow { number, size: writer.finish().await? };
        let (id, offset) = (self.upload.id, self.upload.offset);
        match self.files.ports.uploads.append(id, offset, segment).await {
            Ok(()) => {
                self.upload.offset += segment.size;
                Ok(())
            }
            Err(Error::Stale) => {
                self.files.remove_blobs(id, &[segment]).await;
                let now = self.files.own_upload(&self.caller, id).await?;
                Err(Error::WrongOffset { offset: now.offset })
            }
            Err(error) => Err(error),
        }
    }

    /// No more comes of this piece, all of it or what was left of it when it was cut. Once the upload is whole, it becomes
    /// a file.
    ///
    /// # Errors
    /// As [`Piece::write`] and [`Files::keep`]. An upload whose content is refused is forgotten.
    pub async fn finish(mut self) -> Result<Progress, Error> {
        self.write_head().await?;
        self.close().await?;
        if self.upload.offset < self.upload.length {
            return Ok(progress(&self.upload));
        }
        self.files.completed(&self.caller, &self.upload).await
    }

    /// Forgets what has come of this piece and is not part of the upload yet.
    pub async fn abort(self) {
        if let Some((_, writer)) = self.writer {
            writer.abort().await;
        }
    }
}
