//! How an adapter proves itself.
//!
//! ```text
//! use alivio_accounts::testing::Fixture;
//! use alivio_accounts::{SessionStore, UserStore};
//!
//! async fn users() -> Fixture<dyn UserStore> { … }          // an empty, isolated instance per case
//! alivio_accounts::user_store_conformance!(users);          // → one named #[tokio::test] per case
//! async fn sessions() -> Fixture<dyn SessionStore> { … }
//! alivio_accounts::session_store_conformance!(sessions);
//! async fn profiles() -> Fixture<dyn profile_store::Profiles> { … }
//! alivio_accounts::profile_store_conformance!(profiles);
//! async fn factors() -> Fixture<dyn SecondFactorStore> { … }
//! alivio_accounts::second_factor_store_conformance!(factors);
//! ```
//!
//! The crate that calls the macros needs `tokio` with `macros` and `rt-multi-thread` among its
//! dev-dependencies. The cases run against the bare ports, so the sealed identities in them are arbitrary
//! bytes.

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, SessionId, UserId};
use alivio_kernel::{Event, Role};
use async_trait::async_trait;

use crate::{BlockStore, ContactStore, CredentialEpoch, PresenceStore};

pub mod block_store;
pub mod contact_store;
pub mod credential_stores;
pub mod guard_store;
#[cfg(test)]
mod memory;
pub mod presence_store;
pub mod profile_store;
pub mod second_factor_store;
pub mod session_store;
pub mod user_administration;
pub mod user_store;

/// What a case is given.
pub struct Fixture<S: ?Sized> {
    /// The adapter on trial, without sessions; users are only those of the world.
    pub store: Arc<S>,
    /// What lies around it. Lives as long as the case does, so it may own the test's database.
    pub world: Arc<dyn World>,
}

/// What lies around a store of accounts: the other stores, or plain SQL. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// A new active user with this role.
    async fn user(&self, role: Role) -> UserId;
    /// Deactivates `user`.
    async fn deactivate(&self, user: UserId);
    /// Gives `user` another role.
    async fn set_role(&self, user: UserId, role: Role);
    /// Records that `professional` attends `patient`.
    async fn relate(&self, patient: UserId, professional: UserId);
    /// Opens a session of `user`, as long as it takes to be revoked.
    async fn open_session(&self, user: UserId) -> SessionId;
    /// The epoch of `user`'s credentials.
    async fn epoch(&self, user: UserId) -> CredentialEpoch;
    /// Why each session of `user` was revoked; none for those that were not.
    async fn revocations(&self, user: UserId) -> Vec<Option<String>>;
    /// All that the outbox has received so far, in any order.
    async fn events(&self) -> Vec<Event>;
}

/// What a case about people who know each other is given: three stores over the same data.
pub struct Acquaintance {
    /// Contacts and requests.
    pub contacts: Arc<dyn ContactStore>,
    /// Blocks.
    pub blocks: Arc<dyn BlockStore>,
    /// What people show of themselves.
    pub presence: Arc<dyn PresenceStore>,
    /// What lies around them.
    pub world: Arc<dyn Surroundings>,
}

/// What lies around the stores of an [`Acquaintance`]. Failures panic.
#[async_trait]
pub trait Surroundings: Send + Sync {
    /// A new active user with this role.
    async fn user(&self, role: Role) -> UserId;
    /// A new active user whose address has this blind index.
    async fn user_with_address(&self, role: Role, index: [u8; 16]) -> UserId;
    /// Deactivates `user`.
    async fn deactivate(&self, user: UserId);
    /// A new direct conversation.
    async fn direct(&self, one: UserId, other: UserId) -> ConversationId;
    /// A new group.
    async fn group(&self, members: &[UserId]) -> ConversationId;
    /// All that the outbox has received so far, in any order.
    async fn events(&self) -> Vec<Event>;
}

#[cfg(test)]
mod tests {
    use alivio_kernel::AuditEntry;
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::{Error, Guard, GuardKey, GuardStore, SessionStore, TryResult, UserStore};

    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let sources = [
            include_str!("user_store.rs"),
            include_str!("session_store.rs"),
            include_str!("second_factor_store.rs"),
            include_str!("user_administration.rs"),
            include_str!("profile_store.rs"),
            include_str!("contact_store.rs"),
            include_str!("block_store.rs"),
            include_str!("presence_store.rs"),
            include_str!("credential_stores.rs"),
            include_str!("guard_store.rs"),
        ];
        for source in sources {
            let list = source.split("macro_rules!").nth(1).unwrap();
            for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let case = case.split('(').next().unwrap();
                assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
            }
        }
    }

    async fn users() -> Fixture<dyn UserStore> {
        let memory = Arc::new(memory::Memory::default());
        Fixture { store: memory.clone(), world: memory }
    }
    crate::user_store_conformance!(users);

    async fn sessions() -> Fixture<dyn SessionStore> {
        let memory = Arc::new(memory::Memory::default());
        Fixture { store: memory.clone(), world: memory }
    }
    crate::session_store_conformance!(sessions);

    /// The rules themselves, as a store.
    #[derive(Default)]
    struct Guards(std::sync::Mutex<std::collections::HashMap<GuardKey, Guard>>);

    #[async_trait]
    impl GuardStore for Guards {
        async fn admit(&self, key: GuardKey, now: DateTime<Utc>) -> Result<bool, Error> {
            Ok(self.0.lock().unwrap().entry(key).or_default().admit(now))
        }

        async fn settle(
            &self,
            key: GuardKey,
            result: TryResult,
            now: DateTime<Utc>,
            _: &[AuditEntry],
        ) -> Result<(), Error> {
            self.0.lock().unwrap().entry(key).or_default().settle(result, now);
            Ok(())
        }
    }

    async fn guards() -> Fixture<dyn GuardStore> {
        Fixture { store: Arc::new(Guards::default()), world: Arc::new(memory::Memory::default()) }
    }
    crate::guard_store_conformance!(guards);
}
