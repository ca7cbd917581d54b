use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alivio_accounts::{Accounts, Error, ProfileStore, UserSummary};
use alivio_kernel::ids::UserId;
use moka::future::Cache;

/// Names change rarely; a changed one may show for so long.
const FRESH: Duration = Duration::from_secs(30);
const CAPACITY: u64 = 100_000;

/// Who people are, for showing them beside what they said. Remembers those it has looked up.
#[derive(Clone)]
pub struct PeopleDirectory {
    accounts: Accounts,
    profiles: Arc<dyn ProfileStore>,
    known: Cache<UserId, Arc<UserSummary>>,
}

impl PeopleDirectory {
    pub(crate) fn new(accounts: Accounts, profiles: Arc<dyn ProfileStore>) -> Self {
        Self {
            accounts,
            profiles,
            known: Cache::builder().max_capacity(CAPACITY).time_to_live(FRESH).build(),
        }
    }

    /// These people; unknown ids are left out. Those not yet known are fetched at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn summaries(
        &self,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, Arc<UserSummary>>, Error> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for id in ids {
            match self.known.get(&id).await {
                Some(summary) => drop(found.insert(id, summary)),
                None => missing.push(id),
            }
        }
        if !missing.is_empty() {
            let avatars: HashMap<_, _> = self.profiles.avatar_versions(&missing).await?.into_iter().collect();
            for (id, user) in self.accounts.users(&missing).await? {
                let summary = Arc::new(UserSummary::new(user, avatars.get(&id).copied()));
                self.known.insert(id, Arc::clone(&summary)).await;
                found.insert(id, summary);
            }
        }
        Ok(found)
    }

    /// One person.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn summary(&self, id: UserId) -> Result<Arc<UserSummary>, Error> {
        if let Some(summary) = self.known.get(&id).await {
            return Ok(summary);
        }
        self.summaries([id]).await?.remove(&id).ok_or(Error::NotFound)
    }

    /// Looks this person up anew next time.
    pub async fn forget(&self, id: UserId) {
        self.known.invalidate(&id).await;
    }
}
