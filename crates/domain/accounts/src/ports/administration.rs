use alivio_kernel::ids::UserId;
use alivio_kernel::{Effects, Role, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{AccountChange, Changed, Error, RevocationReason, StoredUser, UserFilter};

/// Accounts, for those who manage them.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait UserAdministration: Send + Sync {
    /// One page of the accounts that match all of `filter`, the newest first, and one more if there is one.
    async fn list(&self, filter: &UserFilter) -> Result<Vec<StoredUser>, Error>;

    /// The active accounts with this role.
    async fn with_role(&self, role: Role) -> Result<Vec<UserId>, Error>;

    /// Changes an account and stores `effects` with that, or neither. A change that ends sessions MUST end all of
    /// them in the same transaction, for `reason`, and begin another epoch.
    ///
    /// An active [`Role::ItAdmin`] MUST remain, however many changes come at once:
    /// [`Changed::LastAdministrator`].
    async fn change(
        &self,
        user: UserId,
        change: AccountChange,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<Changed, Error>;

    /// Adds an active [`Role::ItAdmin`] with `effects`, or neither. Unless `force`, MUST answer
    /// [`Error::AdministratorExists`] if there is one; [`Error::EmailTaken`] as
    /// [`UserStore::insert`](crate::UserStore::insert).
    async fn insert_administrator(
        &self,
        user: &StoredUser,
        email_index: [u8; 16],
        password_hash: &Sensitive<String>,
        must_change_password: bool,
        force: bool,
        effects: Effects,
    ) -> Result<(), Error>;
}
