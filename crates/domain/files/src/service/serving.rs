//! Files on their way out.

use std::ops::Range;

use alivio_kernel::ids::{EventId, FileId};
use alivio_kernel::{AuditEntry, Caller, Effects, Event};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Files;
use super::content::gather;
use crate::{
    Alarm, BULK, BULK_WINDOW, BlobPart, ByteStream, Download, Error, File, LINK_LIFETIME, LinkHolder,
    ManyDownloaded, NewLink, Stamp, Stored, WorkshopError,
};

/// How many characters of an id a mark shows.
const MARK_ID: usize = 8;

/// A picture of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The small one.
    Thumbnail,
    /// The large one.
    Preview,
}

/// A file that the caller may open.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// It is only given as a whole: each look counts, or is made for whoever looks.
    pub is_whole: bool,
    /// Whoever looks is drawn into it.
    pub is_stamped: bool,
}

/// Bytes on their way to someone.
pub struct Content {
    /// How many.
    pub size: u64,
    /// Their type.
    pub mime: &'static str,
    /// The bytes. Breaks off where they are damaged: nothing is given that is not what came.
    pub bytes: ByteStream,
}

impl Content {
    fn of(bytes: Bytes, mime: &'static str) -> Self {
        Self { size: bytes.len() as u64, mime, bytes: stream::iter([Ok(bytes)]).boxed() }
    }
}

impl Files {
    /// Whether the caller may open a file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotActive`], [`Error::ConsentRequired`], [`Error::Expired`].
    pub async fn opened(&self, caller: &Caller, id: FileId) -> Result<Opened, Error> {
        let file = self.file(caller, id).await?;
        file.check_opening(caller.user_id, self.ports.clock.now())?;
        let is_stamped = file.is_stamped_for(caller.user_id);
        Ok(Opened { is_whole: is_stamped || file.max_downloads.is_some(), is_stamped, file })
    }

    /// The bytes of `range` of a file, or all of them. Each download is recorded, and so is who downloads many (S0-234).
    ///
    /// # Errors
    /// [`Error::DownloadsExhausted`], [`Error::Unavailable`].
    pub async fn download(
        &self,
        caller: &Caller,
        opened: &Opened,
        range: Option<Range<u64>>,
    ) -> Result<Content, Error> {
        let file = &opened.file;
        let whole = 0..file.size;
        let range = range.filter(|_| !opened.is_whole).unwrap_or_else(|| whole.clone());
        if !file.has_downloads_left() {
            return Err(Error::DownloadsExhausted);
        }
        let segments = self.ports.files.segments(file.id).await?;
        // Who reads on has been counted when they began.
        let counts = range.start == 0;
        let given = if opened.is_stamped {
            let all = gather(self.read(file.id, &segments, whole), file.size).await?;
            Content::of(self.stamped(caller, file.mime(), all).await?, file.mime())
        } else {
            let size = range.end - range.start;
            let mut bytes = self.read(file.id, &segments, range);
            // Whoever cannot be given the beginning is told so, rather than cut off.
            let first = bytes.try_next().await?;
            let bytes = stream::iter(first.map(Ok)).chain(bytes).boxed();
            Content { size, mime: file.mime(), bytes }
        };
        // What cannot be given does not count.
        self.count(caller, file, counts).await?;
        Ok(given)
    }

    async fn count(&self, caller: &Caller, file: &File, counts: bool) -> Result<(), Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let download = Download {
            id: EventId::generate(&*p.ids),
            file_id: file.id,
            user_id: caller.user_id,
            at: now,
            counts,
        };
        let effects = Effects::default().audit(self.entry(caller, file, "file.downloaded", now));
        let event = Event::new(&*p.ids, now, &ManyDownloaded { user_id: caller.user_id });
        let entry = self.entry(caller, file, "file.bulk_download", now);
        let alarm = Alarm {
            most: BULK,
            since: now - BULK_WINDOW,
            effects: Effects::default().event(event).audit(entry),
        };
        if p.grants.download(&download, effects, alarm).await? {
            return Ok(());
        }
        // Something has changed since we looked.
        self.opened(caller, file.id).await?;
        Err(Error::DownloadsExhausted)
    }

    pub(super) fn entry(
        &self,
        caller: &Caller,
        file: &File,
        action: &'static str,
        now: DateTime<Utc>,
    ) -> AuditEntry {
        let mut entry = AuditEntry::by(&*self.ports.ids, now, caller, action).on("file", file.id);
        entry.subject = file.patient_id.or(Some(file.uploader_id));
        entry
    }

    /// A copy with whoever looks at it and when drawn into it (S0-99). The words are data: nothing reads them as markup
    /// (IN-03).
    async fn stamped(&self, caller: &Caller, mime: &str, content: Bytes) -> Result<Bytes, Error> {
        let p = &self.ports;
        let name = p.names.name(caller.user_id).await?.unwrap_or_default();
        let id: String = caller.user_id.to_string().chars().take(MARK_ID).collect();
        let when = p.clock.now().format("%Y-%m-%d %H:%M UTC").to_string();
        let stamp = Stamp { lines: vec![name, format!("{id} · {when}")] };
        p.workshop.stamp(mime, content, &stamp).await.map_err(|error| match error {
            // Without its mark it is not given.
            WorkshopError::Unfit | WorkshopError::Unsupported => Error::Unfit(crate::Unfit::NoWatermark),
            error => Error::Unavailable(Box::new(error)),
        })
    }

    /// A picture of a file, for whoever may open it. Looking at the large one is recorded.
    ///
    /// # Errors
    /// As [`Files::opened`]; [`Error::NotFound`] if there is none; [`Error::DownloadsExhausted`] once the file itself
    /// is not given any more.
    pub async fn view(&self, caller: &Caller, id: FileId, view: View) -> Result<Content, Error> {
        let opened = self.opened(caller, id).await?;
        let file = &opened.file;
        if !file.has_downloads_left() {
            return Err(Error::DownloadsExhausted);
        }
        let (part, made) = match view {
            View::Thumbnail => (BlobPart::Thumbnail, file.made.thumbnail),
            View::Preview => (BlobPart::Preview, file.made.preview),
        };
        let Stored { size, is_jpeg, .. } = made.ok_or(Error::NotFound)?;
        let mime = if is_jpeg { "image/jpeg" } else { "image/png" };
        if view == View::Preview {
            let entry = self.entry(caller, file, "file.previewed", self.ports.clock.now());
            self.ports.grants.note(&[entry]).await?;
        }
        let all = gather(self.read_part(file.id, part, size), size).await?;
        let all = if opened.is_stamped { self.stamped(caller, mime, all).await? } else { all };
        Ok(Content::of(all, mime))
    }

    /// A link by which the caller alone can open the file, without a sign-in, for five minutes (C-23): its secret, and
    /// until when it is good.
    ///
    /// # Errors
    /// As [`Files::opened`].
    pub async fn link(
        &self,
        caller: &Caller,
        id: FileId,
    ) -> Result<(alivio_kernel::Sensitive<String>, DateTime<Utc>), Error> {
        let p = &self.ports;
        let opened = self.opened(caller, id).await?;
        let now = p.clock.now();
        let secret = p.secrets.mint()?;
        let link = NewLink {
            hash: p.secrets.hash(secret.expose()),
            file_id: id,
            user_id: caller.user_id,
            session_id: caller.session_id,
            created_at: now,
            expires_at: now + LINK_LIFETIME,
        };
        let effects = Effects::default().audit(self.entry(caller, &opened.file, "file.linked", now));
        p.grants.put_link(&link, effects).await?;
        Ok((secret, link.expires_at))
    }

    /// Whoever opens a file by a link.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn by_link(&self, id: FileId, secret: &str) -> Result<LinkHolder, Error> {
        let p = &self.ports;
        let holder = p.grants.link(p.secrets.hash(secret), id, p.clock.now()).await?;
        holder.ok_or(Error::LinkInvalid)
    }
}
