mod annotating;
mod content;
mod erasing;
mod examining;
mod granting;
mod serving;
mod sweeping;
mod uploading;

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, FileId, IdSource, UserId};
use alivio_kernel::{Caller, Clock, Page, PageSize, Sealer};

pub use serving::{Content, Opened, View};
pub use uploading::{Incoming, Piece, Progress, Receiving};

use crate::{
    AnnotationStore, BlobStore, ContentSealer, DisplayName, Error, ExaminationStore, File, FileFilter,
    FileQuery, FileStore, GrantStore, LinkSecrets, Names, Policy, Scanner, State, StoredFile, UploadStore,
    Workshop, context,
};

/// What [`Files`] needs.
#[derive(Clone)]
pub struct FilesPorts {
    /// Files on their way in.
    pub uploads: Arc<dyn UploadStore>,
    /// Files.
    pub files: Arc<dyn FileStore>,
    /// Files that wait for a verdict.
    pub examinations: Arc<dyn ExaminationStore>,
    /// What people are granted of them.
    pub grants: Arc<dyn GrantStore>,
    /// What is drawn over them.
    pub annotations: Arc<dyn AnnotationStore>,
    /// Their bytes.
    pub blobs: Arc<dyn BlobStore>,
    /// What seals those.
    pub content: Arc<dyn ContentSealer>,
    /// Whoever looks for malware.
    pub scanner: Arc<dyn Scanner>,
    /// Whoever works on untrusted content.
    pub workshop: Arc<dyn Workshop>,
    /// Secrets of links.
    pub secrets: Arc<dyn LinkSecrets>,
    /// What people are called.
    pub names: Arc<dyn Names>,
    /// What may be uploaded.
    pub policy: Policy,
    /// Encryption of words.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What one can do with files.
#[derive(Clone)]
pub struct Files {
    ports: FilesPorts,
}

impl Files {
    /// Files over `ports`.
    pub const fn new(ports: FilesPorts) -> Self {
        Self { ports }
    }

    /// What may be uploaded.
    pub const fn policy(&self) -> Policy {
        self.ports.policy
    }

    /// What is known of a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] unless the caller may see it.
    pub async fn file(&self, caller: &Caller, id: FileId) -> Result<File, Error> {
        let p = &self.ports;
        let stored = p.files.find(caller.user_id, id, p.clock.now()).await?.ok_or(Error::NotFound)?;
        if stored.header.state == State::Deleted {
            return Err(Error::NotFound);
        }
        self.open(vec![stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// What is known of a file, whoever asks. Authorises nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], also once it was taken away: there may be no words left to open.
    pub async fn look(&self, id: FileId) -> Result<File, Error> {
        let stored = self.ports.files.look(id).await?.ok_or(Error::NotFound)?;
        if stored.header.state == State::Deleted {
            return Err(Error::NotFound);
        }
        self.open(vec![stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// Everyone who may see a file now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn viewers(&self, id: FileId) -> Result<Vec<UserId>, Error> {
        self.ports.files.viewers(id, self.ports.clock.now()).await
    }

    /// Files that the caller may see, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(
        &self,
        caller: &Caller,
        query: FileQuery,
        after: Option<FileId>,
        size: PageSize,
    ) -> Result<Page<File>, Error> {
        let p = &self.ports;
        let filter = FileFilter { query, after, limit: size.get() + 1 };
        let stored = p.files.list(caller.user_id, &filter, p.clock.now()).await?;
        let (stored, more) = size.cut(stored);
        let next_cursor = if more { stored.last().map(|file| file.header.id.to_string()) } else { None };
        Ok(Page { items: self.open(stored).await?, next_cursor })
    }

    /// What of `ids` `sender` may put into a message in `conversation`: what was uploaded there, and of what was not,
    /// what may be sent on.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attachable(
        &self,
        sender: UserId,
        conversation: ConversationId,
        ids: &[FileId],
    ) -> Result<Vec<File>, Error> {
        let now = self.ports.clock.now();
        let mut stored = self.ports.files.visible(sender, ids, now).await?;
        stored.retain(|file| {
            let file = &file.header;
            let is_here = file.conversation_id == conversation && file.state == State::Active;
            file.check_opening(sender, now).is_ok() && (is_here || file.can_go_on(now))
        });
        self.open(stored).await
    }

    /// Those of `ids` that were taken away: nothing that was written down of them elsewhere is to be shown any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn removed(&self, ids: &[FileId]) -> Result<Vec<FileId>, Error> {
        self.ports.files.removed(ids).await
    }

    /// Opens the words of files. Those whose keys were destroyed are left out.
    async fn open(&self, stored: Vec<StoredFile>) -> Result<Vec<File>, Error> {
        let sealed: Vec<_> = stored
            .iter()
            .flat_map(|file| {
                let id = file.header.id;
                let description = file.description.as_ref();
                [
                    Some((context(id, "name"), &file.name)),
                    description.map(|d| (context(id, "description"), d)),
                ]
            })
            .flatten()
            .collect();
        let mut opened = self.ports.sealer.open_remaining(&sealed).await?.into_iter();
        let mut next = || opened.next().flatten().map(String::from_utf8).transpose();
        let mut files = Vec::with_capacity(stored.len());
        for file in stored {
            let unreadable = |error: std::string::FromUtf8Error| Error::Unavailable(error.into());
            let name = next().map_err(unreadable)?;
            let description = match file.description {
                Some(_) => next().map_err(unreadable)?,
                None => None,
            };
            if let Some(name) = name {
                files.push(File { header: file.header, name: DisplayName::restored(name), description });
            }
        }
        Ok(files)
    }
}
