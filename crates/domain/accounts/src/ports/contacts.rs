use alivio_kernel::ids::{ContactRequestId, UserId};
use alivio_kernel::{Effects, PageSize, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Direction, Error};

/// Whom a request names, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredInvitee {
    /// An id, whether or not someone has it.
    User(UserId),
    /// An address, whether or not someone has it.
    Email {
        /// Blind index of the address, the same as that of accounts.
        index: [u8; 16],
        /// The sealed address.
        sealed: Sealed,
    },
}

/// A request about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewContactRequest {
    /// Its id.
    pub id: ContactRequestId,
    /// Who asks.
    pub from: UserId,
    /// Whom it reaches, if they may be asked by this person.
    pub reaches: Option<UserId>,
    /// Whom it names.
    pub named: StoredInvitee,
    /// What they are to be called, once they are a contact. Only for someone named by their id.
    pub nickname: Option<Sealed>,
    /// Now.
    pub created_at: DateTime<Utc>,
}

/// What is to be stored with a request, by what comes of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AskEffects {
    /// It reaches someone.
    pub reached: Effects,
    /// It reaches someone who was told of one by the same person within [`TOLD_ONCE_IN`](crate::TOLD_ONCE_IN).
    pub repeated: Effects,
    /// It reaches nobody.
    pub unreached: Effects,
    /// The other had asked too: they are contacts now.
    pub accepted: Effects,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// It is open, or was before.
    Open(StoredContactRequest),
    /// The other had asked too: they are contacts now.
    NowContacts,
    /// They were contacts before.
    AlreadyContacts,
    /// Too many are open.
    TooMany,
}

/// A request as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredContactRequest {
    /// Its id.
    pub id: ContactRequestId,
    /// Who asks.
    pub from: UserId,
    /// Whom it names.
    pub named: StoredInvitee,
    /// What they are to be called.
    pub nickname: Option<Sealed>,
    /// Since when it is open.
    pub created_at: DateTime<Utc>,
}

/// A contact as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredContact {
    /// Who.
    pub user_id: UserId,
    /// What the owner calls them.
    pub nickname: Option<Sealed>,
    /// Whether they come first.
    pub is_favorite: bool,
    /// Whether the owner has blocked them.
    pub is_blocked: bool,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A place in a list that is ordered by time, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After<T> {
    /// The time of the last entry before.
    pub at: DateTime<Utc>,
    /// Which it was.
    pub id: T,
}

/// One page of a list that is ordered by time, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window<T> {
    /// Start after this one.
    pub after: Option<After<T>>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

/// Which contacts to list: favourites first, then those who were added last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactQuery {
    /// Only those who are favourites, or who are not.
    pub favorite: Option<bool>,
    /// Start after this one, and whether it was a favourite.
    pub after: Option<(bool, After<UserId>)>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

/// Contacts and the requests that lead to them.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ContactStore: Send + Sync {
    /// Stores a request, with the effects that belong to what comes of it.
    ///
    /// It MUST reach nobody who is deactivated, or between whom and the asker a block stands. Asking again MUST
    /// answer the request that is open. Between two people one request at most MUST reach the other; when each asks
    /// the other, however close in time, they MUST become contacts, once. A request by address answers
    /// [`Asked::Open`] in every case. With `most` open it MUST answer [`Asked::TooMany`], however many ask at once.
    ///
    /// For [`REFUSAL_HOLDS`](crate::REFUSAL_HOLDS) after someone declined, nothing by the same asker MUST reach them,
    /// taken back and made anew or not, unless they ask themselves. When one reaches them that follows another within
    /// [`TOLD_ONCE_IN`](crate::TOLD_ONCE_IN), it MUST leave [`AskEffects::repeated`].
    async fn ask(&self, new: &NewContactRequest, most: i64, effects: &AskEffects) -> Result<Asked, Error>;

    /// The open requests on one side of `user`, newest first, and one more if there is one. MUST NOT show those
    /// of people who are deactivated.
    async fn requests(
        &self,
        user: UserId,
        direction: Direction,
        window: &Window<ContactRequestId>,
    ) -> Result<Vec<StoredContactRequest>, Error>;

    /// The request `id`, if it reaches `user`.
    async fn incoming(
        &self,
        user: UserId,
        id: ContactRequestId,
    ) -> Result<Option<StoredContactRequest>, Error>;

    /// Makes `user` and the one who asked contacts of each other, under the nickname that the latter gave, and ends
    /// every request between them. Whether it was open: of many that accept or decline at once, one MUST succeed.
    async fn accept(
        &self,
        user: UserId,
        id: ContactRequestId,
        at: DateTime<Utc>,
        effects: &Effects,
    ) -> Result<bool, Error>;

    /// Ends a request on the side of `user`, who was asked; the one who asked MUST see no difference. Whether it
    /// was open.
    async fn decline(
        &self,
        user: UserId,
        id: ContactRequestId,
        at: DateTime<Utc>,
        effects: &Effects,
    ) -> Result<bool, Error>;

    /// Takes back a request of `user`. Whether it was open.
    async fn withdraw(&self, user: UserId, id: ContactRequestId, effects: &Effects) -> Result<bool, Error>;

    /// One page of `owner`'s contacts, and one more if there is one. Those who are deactivated are left out.
    async fn contacts(&self, owner: UserId, query: &ContactQuery) -> Result<Vec<StoredContact>, Error>;

    /// `owner`'s contact `user`.
    async fn contact(&self, owner: UserId, user: UserId) -> Result<Option<StoredContact>, Error>;

    /// Changes what `owner` keeps about a contact: the nickname if one is given (or taken away), and whether they
    /// are a favourite. MUST NOT touch what the other keeps. Whether they are a contact.
    async fn change(
        &self,
        owner: UserId,
        user: UserId,
        nickname: Option<Option<Sealed>>,
        is_favorite: Option<bool>,
    ) -> Result<bool, Error>;

    /// Ends it on both sides. Whether they were contacts.
    async fn remove(&self, owner: UserId, user: UserId, effects: &Effects) -> Result<bool, Error>;
}
