use std::sync::Arc;

use alivio_accounts::SessionsRevoked;
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Fate, Hub};
use crate::session_cache::CachedSessions;

/// Closes the sockets of a user, except those of the session that goes on.
pub(super) struct React {
    hub: Arc<Hub>,
    sessions: Arc<CachedSessions>,
}

impl React {
    pub(super) const fn new(hub: Arc<Hub>, sessions: Arc<CachedSessions>) -> Self {
        Self { hub, sessions }
    }
}

#[async_trait]
impl Reaction for React {
    fn kind(&self) -> &'static str {
        SessionsRevoked::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let revoked: SessionsRevoked = event.read()?;
        self.sessions.forget_user(revoked.user_id);
        self.hub.close_user(revoked.user_id, revoked.except, Fate::SessionEnded);
        Ok(())
    }
}
