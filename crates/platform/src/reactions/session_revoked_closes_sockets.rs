use std::sync::Arc;

use alivio_accounts::{RevocationReason, SessionRevoked};
use alivio_kernel::{BoxError, DomainEvent, Event};
use alivio_outbox::Reaction;
use async_trait::async_trait;

use crate::live::{Fate, Hub};
use crate::session_cache::CachedSessions;

/// Closes the sockets that were opened in the session.
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
        SessionRevoked::KIND
    }

    async fn react(&self, event: &Event) -> Result<(), BoxError> {
        let revoked: SessionRevoked = event.read()?;
        self.sessions.forget(revoked.session_id).await;
        let fate = match revoked.reason {
            RevocationReason::Evicted => Fate::SessionEvicted,
            _ => Fate::SessionEnded,
        };
        self.hub.close_session(revoked.user_id, revoked.session_id, fate);
        Ok(())
    }
}
