//! What conversations are called, for those who look for one.

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::terms::Pattern;
use alivio_kernel::{Caller, Sealed, Sealer};
use async_trait::async_trait;
use chrono::{DateTime, Datelike, Utc};

use crate::model::context;
use crate::{Error, Kind};

/// So many titles are looked at, of the conversations that changed last.
const TITLES: i64 = 1_000;

/// A conversation and its title, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitleRow {
    /// Which conversation.
    pub id: ConversationId,
    /// Its number among all conversations.
    pub number: i64,
    /// How people meet in it.
    pub kind: Kind,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// Its sealed title.
    pub title: Option<Sealed>,
}

/// Where titles are read.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait TitleStore: Send + Sync {
    /// The conversations that `viewer` is in, of `among` if that names any; at most `limit`, the most recently
    /// changed first.
    async fn titles(
        &self,
        viewer: UserId,
        among: &[ConversationId],
        limit: i64,
    ) -> Result<Vec<TitleRow>, Error>;
}

/// A conversation and what it is called.
#[derive(Clone, PartialEq, Eq)]
pub struct Titled {
    /// Which conversation.
    pub id: ConversationId,
    /// The number people quote to support: `CONV-2026-001001`. It authorises nothing.
    pub reference: String,
    /// How people meet in it.
    pub kind: Kind,
    /// What it is called.
    pub title: Option<String>,
}

impl std::fmt::Debug for Titled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Titled({})", self.id)
    }
}

/// Finds conversations by what they are called.
#[derive(Clone)]
pub struct Titles {
    store: Arc<dyn TitleStore>,
    sealer: Arc<dyn Sealer>,
}

impl Titles {
    /// Titles in `store`.
    pub const fn new(store: Arc<dyn TitleStore>, sealer: Arc<dyn Sealer>) -> Self {
        Self { store, sealer }
    }

    /// What those of `conversations` are called that the caller is in.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn of(&self, caller: &Caller, conversations: &[ConversationId]) -> Result<Vec<Titled>, Error> {
        if conversations.is_empty() {
            return Ok(Vec::new());
        }
        self.open(self.store.titles(caller.user_id, conversations, TITLES).await?).await
    }

    /// The caller's conversations whose title fits `pattern`, at most `limit`, the most recently changed first. They
    /// are opened and compared: the titles of a person are few.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn find(
        &self,
        caller: &Caller,
        pattern: &Pattern,
        among: &[ConversationId],
        limit: usize,
    ) -> Result<Vec<Titled>, Error> {
        let rows = self.store.titles(caller.user_id, among, TITLES).await?;
        let titled = self.open(rows.into_iter().filter(|row| row.title.is_some()).collect()).await?;
        let fits = |titled: &Titled| titled.title.as_ref().is_some_and(|title| pattern.fits_title(title));
        Ok(titled.into_iter().filter(fits).take(limit).collect())
    }

    async fn open(&self, rows: Vec<TitleRow>) -> Result<Vec<Titled>, Error> {
        let sealed: Vec<_> =
            rows.iter().filter_map(|row| Some((context(row.id, "title"), row.title.as_ref()?))).collect();
        let mut opened = self.sealer.open_remaining(&sealed).await?.into_iter();
        rows.into_iter()
            .map(|row| {
                let plain = if row.title.is_some() { opened.next().flatten() } else { None };
                let title = plain.map(String::from_utf8).transpose();
                Ok(Titled {
                    id: row.id,
                    reference: format!("CONV-{}-{:06}", row.created_at.year(), row.number),
                    kind: row.kind,
                    title: title.map_err(|error| Error::Unavailable(error.into()))?,
                })
            })
            .collect()
    }
}
