use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{Effects, Language, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{DirectoryQuery, Entry, EntryKeys, Error, RejectionReason, StepKind, StoredUser, Viewer};

/// Someone's profile as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProfile {
    /// The account, with the title.
    pub user: StoredUser,
    /// Counts the changes.
    pub version: i64,
    /// Sealed telephone.
    pub phone: Option<Sealed>,
    /// Counts their pictures; none if they have none.
    pub avatar_version: Option<i64>,
    /// Their entry in the directory.
    pub entry: Option<Entry>,
    /// Sealed licence number.
    pub license_number: Option<Sealed>,
}

/// An entry to store, with what it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEntry {
    /// What is published.
    pub entry: Entry,
    /// Its folded forms.
    pub keys: EntryKeys,
    /// Sealed licence number.
    pub license_number: Option<Sealed>,
}

/// A profile to store instead of one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileChange {
    /// Whose.
    pub user_id: UserId,
    /// The version that was read.
    pub read_version: i64,
    /// The identity that was read.
    pub read_identity: Sealed,
    /// Sealed [`Identity`](crate::Identity).
    pub identity: Sealed,
    /// The language to write to them in.
    pub language: Language,
    /// Sealed telephone.
    pub phone: Option<Sealed>,
    /// Title among professionals.
    pub professional_title: Option<String>,
    /// Their entry; none for those who have none.
    pub entry: Option<PublishedEntry>,
    /// A step of the history of their credentials that comes with it.
    pub step: Option<StoredStep>,
}

/// A step of the history of someone's credentials as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredStep {
    /// Its id.
    pub id: Uuid,
    /// What happened.
    pub kind: StepKind,
    /// Who did it.
    pub by: UserId,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, if it is a rejection.
    pub reason: Option<RejectionReason>,
    /// Sealed note.
    pub note: Option<Sealed>,
}

/// The form of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageForm {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

impl ImageForm {
    /// Its media type, as stored and sent.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// The form of this media type.
    pub fn parse(media_type: &str) -> Option<Self> {
        [Self::Jpeg, Self::Png].into_iter().find(|form| form.media_type() == media_type)
    }
}

/// Profiles, entries, credentials and pictures.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ProfileStore: Send + Sync {
    /// The profile of `user`, active or not.
    async fn load(&self, user: UserId) -> Result<Option<StoredProfile>, Error>;

    /// Stores `change` and `effects` together. MUST answer [`Error::Stale`] and store nothing unless version and
    /// identity are those that were read: of any number of changes of what was read once, one is stored. A change
    /// without an entry MUST leave none. Steps are only ever added.
    async fn save(&self, change: &ProfileChange, effects: Effects) -> Result<(), Error>;

    /// Up to `limit` professionals who have no entry yet, with ids after `after`, by id.
    async fn unpublished(&self, after: Option<UserId>, limit: i64) -> Result<Vec<StoredProfile>, Error>;

    /// The history of the credentials of `users`, oldest first.
    async fn credential_steps(&self, users: &[UserId]) -> Result<Vec<(UserId, StoredStep)>, Error>;

    /// Stores the picture of `user` instead of any other, and `effects` with it. Its version MUST be at least
    /// `version` and higher than that of the picture it replaces.
    async fn put_avatar(
        &self,
        user: UserId,
        image: Sealed,
        form: ImageForm,
        version: i64,
        at: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error>;

    /// Removes the picture of `user`. MUST store `effects` only if there was one.
    async fn remove_avatar(&self, user: UserId, effects: Effects) -> Result<(), Error>;

    /// The picture of `user`, and its version.
    async fn avatar(&self, user: UserId) -> Result<Option<(Sealed, ImageForm, i64)>, Error>;

    /// The versions of the pictures of `users`; those without one are left out.
    async fn avatar_versions(&self, users: &[UserId]) -> Result<Vec<(UserId, i64)>, Error>;
}

/// The directory. Relationships are read where they are kept: who shares a conversation now, who attends whom.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait DirectoryStore: Send + Sync {
    /// One more than the page holds of the entries that fit `query` and that `viewer` may see, by folded name, then id.
    ///
    /// They MUST see their own entry, those of people they are related to, listed or not, and what their sight
    /// adds; and no entry of someone whose role has none. Their institution MUST count only while their credentials
    /// are verified (C-41), here and below.
    async fn search(&self, viewer: &Viewer, query: &DirectoryQuery) -> Result<Vec<StoredProfile>, Error>;

    /// The institutions of the active people whose entries `viewer` may see, and how many each has, by folded name,
    /// without the first `offset`.
    async fn institutions(
        &self,
        viewer: &Viewer,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<(String, i64)>, Error>;

    /// Whether `viewer` may see `person`, who need not have an entry: themselves, someone they are related to, or
    /// someone whose entry their sight shows. MUST be false for whoever is deactivated or does not exist.
    async fn sees(&self, viewer: &Viewer, person: UserId) -> Result<bool, Error>;
}

/// Makes small pictures of large ones.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ImageResizer: Send + Sync {
    /// The picture in `bytes`, a PNG or JPEG whatever it is called, to fit 256 × 256, and nothing else of what
    /// `bytes` held.
    ///
    /// MUST answer [`Error::UnsupportedImage`] for anything else, for broken ones, and for pictures of more than
    /// 4,096 pixels in width or height, before it takes memory for them; [`Error::Busy`] rather than queue without
    /// end.
    async fn shrink(&self, bytes: Vec<u8>) -> Result<(Vec<u8>, ImageForm), Error>;
}
