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
//! ```
//!
//! The crate that calls the macros needs `tokio` with `macros` and `rt-multi-thread` among its
//! dev-dependencies. The cases run against the bare ports, so the sealed identities in them are arbitrary
//! bytes.

use std::sync::Arc;

use alivio_kernel::ids::UserId;
use alivio_kernel::{Event, Role};
use async_trait::async_trait;

#[cfg(test)]
mod memory;
pub mod session_store;
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
    /// All that the outbox has received so far, in any order.
    async fn events(&self) -> Vec<Event>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SessionStore, UserStore};

    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        for source in [include_str!("user_store.rs"), include_str!("session_store.rs")] {
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
}
