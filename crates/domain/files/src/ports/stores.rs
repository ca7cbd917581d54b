use alivio_kernel::ids::{ConsultationId, ConversationId, DataKeyId, EventId, FileId, UserId};
use alivio_kernel::{AuditEntry, Effects, Sealed, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    BlobKey, Consent, DocumentType, Error, Grant, Granted, LinkHash, LinkHolder, Made, NewLink, ScanStatus,
    SegmentRow, Standing, State, StoredFile,
};

/// Makes the secrets of links.
#[cfg_attr(feature = "testing", mockall::automock)]
pub trait LinkSecrets: Send + Sync {
    /// A new secret that nobody can guess.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn mint(&self) -> Result<Sensitive<String>, Error>;

    /// What is stored of it.
    fn hash(&self, secret: &str) -> LinkHash;
}

/// A question to whoever knows what people are called.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Names: Send + Sync {
    /// What `user` is called; nothing if there is no such person.
    async fn name(&self, user: UserId) -> Result<Option<String>, Error>;
}

/// A file about to be stored, all of its bytes being safe already.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFile {
    /// The file; its number is not looked at.
    pub file: StoredFile,
    /// Where its bytes are, in order.
    pub segments: Vec<SegmentRow>,
    /// Until when its content is kept though it is taken away.
    pub kept_until: DateTime<Utc>,
    /// Whether it comes of the upload of the same id, which counted already.
    pub is_upload: bool,
}

/// How many files may come, and what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub most: u32,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What came of storing a file or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It has this number; an upload has 0.
    Stored(i64),
    /// There were too many already, the first of them at this time.
    TooMany(DateTime<Utc>),
    /// Its uploader is not in the conversation, or the upload it comes of is gone.
    NotThere,
}

/// An upload in pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// The file that it becomes.
    pub id: FileId,
    /// Where.
    pub conversation_id: ConversationId,
    /// Who.
    pub uploader_id: UserId,
    /// What they say of it, sealed.
    pub draft: Sealed,
    /// How many bytes there will be.
    pub length: u64,
    /// How many are there.
    pub offset: u64,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it is forgotten.
    pub expires_at: DateTime<Utc>,
}

/// Files on their way in.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait UploadStore: Send + Sync {
    /// How `conversation` stands to `uploader`; nothing if they are not in it. `since`: from when on their files count.
    async fn standing(
        &self,
        uploader: UserId,
        conversation: ConversationId,
        now: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> Result<Option<Standing>, Error>;

    /// Stores a file with `effects`, or nothing. The upload that it comes of is no more then.
    ///
    /// MUST NOT let one person have more files and uploads than `quota` says, however many come at once.
    async fn admit(&self, new: &NewFile, quota: Quota, effects: Effects) -> Result<Admitted, Error>;

    /// Begins an upload in pieces, which counts like a file.
    async fn begin(&self, upload: &Upload, quota: Quota, effects: Effects) -> Result<Admitted, Error>;

    /// The upload of `uploader`, if it is not forgotten by `now`, while they are in the conversation.
    async fn upload(&self, uploader: UserId, id: FileId, now: DateTime<Utc>)
    -> Result<Option<Upload>, Error>;

    /// The number of the next segment of an upload, which is given away once.
    async fn next_segment(&self, id: FileId) -> Result<Option<u32>, Error>;

    /// Adds a segment that is safe, where the upload stands at `offset`. [`Error::Stale`] if it does not: of many that
    /// come at once, MUST take one.
    async fn append(&self, id: FileId, offset: u64, segment: SegmentRow) -> Result<(), Error>;

    /// The segments of an upload, in order.
    async fn received(&self, id: FileId) -> Result<Vec<SegmentRow>, Error>;

    /// Forgets an upload and destroys its keys. Whether there was one.
    async fn forget(&self, id: FileId) -> Result<bool, Error>;

    /// The uploads of `whose` that are not finished.
    async fn unfinished(&self, whose: Whose) -> Result<Vec<FileId>, Error>;

    /// Forgets at most `limit` uploads whose time was over by `now`, and says which.
    async fn forget_expired(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<FileId>, Error>;
}

/// Which files someone asks for: those for which all holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileQuery {
    /// Those of this conversation.
    pub conversation_id: Option<ConversationId>,
    /// Those about this patient.
    pub patient_id: Option<UserId>,
    /// Those that belong to this consultation.
    pub related_appointment: Option<ConsultationId>,
    /// Those that are this in a record.
    pub document_type: Option<DocumentType>,
}

/// Which files a list shows, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFilter {
    /// What is asked for.
    pub query: FileQuery,
    /// Those before this one.
    pub after: Option<FileId>,
    /// At most so many.
    pub limit: i64,
}

/// Files, for those who may see them: whoever is in the conversation that it was uploaded in, if they were when it
/// came; and whoever can read a message that holds it, while it is not gone.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait FileStore: Send + Sync {
    /// The file, if `viewer` may see it.
    async fn find(&self, viewer: UserId, id: FileId, now: DateTime<Utc>)
    -> Result<Option<StoredFile>, Error>;

    /// The file, whoever asks. Authorises nothing.
    async fn look(&self, id: FileId) -> Result<Option<StoredFile>, Error>;

    /// What of `ids` `viewer` may see, in any order.
    async fn visible(
        &self,
        viewer: UserId,
        ids: &[FileId],
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredFile>, Error>;

    /// What `viewer` may see of what `filter` names, and was not taken away.
    async fn list(
        &self,
        viewer: UserId,
        filter: &FileFilter,
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredFile>, Error>;

    /// Where the bytes of a file are, in order.
    async fn segments(&self, id: FileId) -> Result<Vec<SegmentRow>, Error>;

    /// Everyone who may see a file.
    async fn viewers(&self, id: FileId, now: DateTime<Utc>) -> Result<Vec<UserId>, Error>;

    /// Takes a file away with `effects`. Whether it was there.
    async fn remove(
        &self,
        id: FileId,
        by: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Those of `ids` that were taken away, destroyed or not yet, in any order.
    async fn removed(&self, ids: &[FileId]) -> Result<Vec<FileId>, Error>;

    /// At most `limit` files that were taken away and need not be kept any more at `now`, and whose content is still
    /// there.
    async fn destroyable(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<FileId>, Error>;

    /// Destroys the keys and the words of such a file with `effects`, and what is drawn over it. MUST leave nothing by
    /// which its content could be read. `tombstone` stands for its keys if it had none.
    async fn destroy(
        &self,
        id: FileId,
        tombstone: DataKeyId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error>;

    /// Takes away all files that `erasure` names, with its effects; those that were taken away before are among them.
    async fn erase(&self, erasure: &Erasure) -> Result<Erased, Error>;

    /// Which of `keys` belong to a file or an upload.
    async fn owned(&self, keys: &[BlobKey]) -> Result<Vec<BlobKey>, Error>;
}

/// Whose files are erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those about a patient: what patients upload is about themselves.
    Patient(UserId),
    /// Those that were uploaded in a conversation.
    Conversation(ConversationId),
}

/// Files that are to go.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// Which.
    pub whose: Whose,
    /// Those that must be kept, too: they need not be any more.
    pub records_too: bool,
    /// When.
    pub now: DateTime<Utc>,
    /// What it leaves behind.
    pub effects: Effects,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many can be destroyed at once.
    pub destroyed: u64,
    /// How many are withheld from everybody until they need not be kept.
    pub kept: u64,
}

/// What an examination came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// What the file is now.
    pub state: State,
    /// What the scan says.
    pub scan: ScanStatus,
    /// Who says so.
    pub scanner: String,
    /// What was found, in the scanner's words.
    pub finding: Option<String>,
    /// Of the bytes that there are now.
    pub sha256: Option<[u8; 32]>,
    /// What was made of it.
    pub made: Made,
    /// Where its bytes are now, if they are others.
    pub replaced: Option<SegmentRow>,
}

/// Files that wait for a verdict.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ExaminationStore: Send + Sync {
    /// Takes on a file that waits: `id`, or any that is due at `now`. It is due again at `until`, unless it was settled.
    /// MUST NOT give it to two before that.
    async fn claim(
        &self,
        id: Option<FileId>,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<StoredFile>, Error>;

    /// Lets a file be due again at `at`.
    async fn put_off(&self, id: FileId, at: DateTime<Utc>) -> Result<(), Error>;

    /// Stores what the examination came to, with `effects`, if the file still waits. Whether it did.
    async fn settle(
        &self,
        id: FileId,
        examined: &Examined,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;
}

/// A download about to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    /// Its own id.
    pub id: EventId,
    /// Of what.
    pub file_id: FileId,
    /// By whom.
    pub user_id: UserId,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it counts among those that may be.
    pub counts: bool,
}

/// What is stored with a download by which someone comes to have taken many files (S0-234).
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// So many different ones.
    pub most: i64,
    /// Since when they count, and the last alarm too.
    pub since: DateTime<Utc>,
    /// What it leaves behind.
    pub effects: Effects,
}

/// Someone has signed a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Who.
    pub user_id: UserId,
    /// What they signed: the digest of all of its bytes.
    pub sha256: [u8; 32],
    /// When.
    pub signed_at: DateTime<Utc>,
}

/// What people are granted of files.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Counts a download and stores `effects`, or nothing. Whether it may be.
    ///
    /// MUST NOT let a file be downloaded more often than it may be, however many ask at once, nor by someone who cannot
    /// open it any more. MUST store what `alarm` leaves behind once, if they come to have taken so many, however many
    /// they take at once.
    async fn download(&self, download: &Download, effects: Effects, alarm: Alarm) -> Result<bool, Error>;

    /// Stores entries of the audit trail that no change carries.
    async fn note(&self, entries: &[AuditEntry]) -> Result<(), Error>;

    /// Stores what the patient says, with `effects`. Whether they were asked.
    async fn consent(
        &self,
        id: FileId,
        consent: Consent,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Stores what is granted of a file with `effects`, or nothing. MUST answer [`Error::Stale`] unless it was last
    /// changed at `seen`.
    async fn regrant(
        &self,
        id: FileId,
        granted: &Granted,
        seen: DateTime<Utc>,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error>;

    /// Everyone whom a file came to.
    async fn grants(&self, id: FileId, now: DateTime<Utc>) -> Result<Vec<Grant>, Error>;

    /// Takes a file back from someone with `effects`, and all links to it that are theirs. Whether they had it.
    async fn withdraw(
        &self,
        id: FileId,
        from: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Gives a file back to someone with `effects`. Whether it had been taken.
    async fn give_back(&self, id: FileId, to: UserId, effects: Effects) -> Result<bool, Error>;

    /// Stores a signature with `effects`. Whether it is new: everyone signs once.
    async fn sign(&self, id: FileId, signature: &Signature, effects: Effects) -> Result<bool, Error>;

    /// Who has signed, in that order.
    async fn signatures(&self, id: FileId) -> Result<Vec<Signature>, Error>;

    /// Stores a link with `effects`, and may forget those that are over.
    async fn put_link(&self, link: &NewLink, effects: Effects) -> Result<(), Error>;

    /// Whose link this is, while it is good at `now` and leads to `file`: their session MUST live.
    async fn link(
        &self,
        hash: LinkHash,
        file: FileId,
        now: DateTime<Utc>,
    ) -> Result<Option<LinkHolder>, Error>;
}
