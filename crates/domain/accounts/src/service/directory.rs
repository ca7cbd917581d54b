use alivio_kernel::ids::UserId;
use alivio_kernel::{AccessScope, Caller, Page};

use super::profiles::ProfilesPorts;
use crate::{Card, DirectoryAfter, DirectoryQuery, Error, StoredProfile, fold_key};

/// Who finds whom (C-41).
#[derive(Clone)]
pub struct Directory {
    ports: ProfilesPorts,
}

impl Directory {
    /// The directory over `ports`.
    pub const fn new(ports: ProfilesPorts) -> Self {
        Self { ports }
    }

    /// A page of the professionals whom the caller may find, by folded name. `cursor` writes where the next one
    /// starts.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn search(
        &self,
        caller: &Caller,
        query: &DirectoryQuery,
        cursor: impl Fn(&DirectoryAfter) -> String,
    ) -> Result<Page<Card>, Error> {
        caller.require(AccessScope::DirectoryRead)?;
        let found = self.ports.directory.search(&self.ports.viewer(caller), query).await?;
        let (found, more) = query.size.cut(found);
        let next_cursor = found.last().filter(|_| more).and_then(|last| {
            let name_key = fold_key(&last.entry.as_ref()?.full_name);
            Some(cursor(&DirectoryAfter { name_key, user_id: last.user.id }))
        });
        Ok(Page { items: found.into_iter().filter_map(card).collect(), next_cursor })
    }

    /// The institutions of those whom the caller may find, with how many each has; and whether more follow.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn institutions(
        &self,
        caller: &Caller,
        offset: i64,
        size: alivio_kernel::PageSize,
    ) -> Result<(Vec<(String, i64)>, bool), Error> {
        caller.require(AccessScope::DirectoryRead)?;
        let viewer = self.ports.viewer(caller);
        let found = self.ports.directory.institutions(&viewer, offset, size.get() + 1).await?;
        Ok(size.cut(found))
    }

    /// The card of `id`, for whoever may see them.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn card(&self, caller: &Caller, id: UserId) -> Result<Card, Error> {
        let p = &self.ports;
        if !p.directory.sees(&p.viewer(caller), id).await? {
            return Err(Error::NotFound);
        }
        let stored = p.profiles.load(id).await?.ok_or(Error::NotFound)?;
        if stored.entry.is_some() {
            return card(stored).ok_or(Error::NotFound);
        }
        let profile = p.open(&stored).await?;
        Ok(Card::of_user(profile.user, profile.avatar_version))
    }
}

fn card(stored: StoredProfile) -> Option<Card> {
    let StoredProfile { user, avatar_version, entry, .. } = stored;
    Some(Card::of_entry(user.id, user.role, user.professional_title, entry?, avatar_version))
}
