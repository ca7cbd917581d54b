//! Questions that one domain asks and another answers.

use std::sync::Arc;

use alivio_accounts::UserStore;
use alivio_conversations::{Error, People, Standing};
use alivio_kernel::ids::UserId;
use async_trait::async_trait;

/// Conversations ask how people stand to each other; accounts know.
pub(crate) struct StandingsFromAccounts {
    users: Arc<dyn UserStore>,
}

impl StandingsFromAccounts {
    pub(crate) const fn new(users: Arc<dyn UserStore>) -> Self {
        Self { users }
    }
}

fn unavailable(error: alivio_accounts::Error) -> Error {
    Error::Unavailable(Box::new(error))
}

#[async_trait]
impl People for StandingsFromAccounts {
    async fn standings(&self, asker: UserId, others: &[UserId]) -> Result<Vec<Standing>, Error> {
        let users = self.users.by_ids(others).await.map_err(unavailable)?;
        let related = self.users.related(asker, others).await.map_err(unavailable)?;
        let standing = |user: alivio_accounts::StoredUser| Standing {
            user_id: user.id,
            role: user.role,
            related: related.contains(&user.id),
        };
        Ok(users.into_iter().filter(|user| user.is_active).map(standing).collect())
    }
}
