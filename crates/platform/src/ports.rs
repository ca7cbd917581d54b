use std::sync::Arc;

use alivio_accounts::{PasswordHasher, SessionStore, TokenMint, UserStore};
use alivio_conversations::ConversationStore;
use alivio_kernel::{BoxError, Clock, IdSource, Sealer};
use alivio_messages::MessageLog;
use alivio_outbox::OutboxStore;
use async_trait::async_trait;
use tokio::sync::Notify;

/// Something that must answer for us to be ready.
#[async_trait]
pub trait Dependency: Send + Sync {
    /// Its name in health checks: `database`.
    fn name(&self) -> &'static str;
    /// Asks it for a sign of life.
    async fn check(&self) -> Result<(), BoxError>;
}

/// Every socket an integrator must plug, one field each.
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
    /// Encryption at rest.
    pub sealer: Arc<dyn Sealer>,
    /// Users and care relationships.
    pub users: Arc<dyn UserStore>,
    /// Sessions, refresh tokens, tickets.
    pub sessions: Arc<dyn SessionStore>,
    /// Password hashes.
    pub passwords: Arc<dyn PasswordHasher>,
    /// Access tokens and secrets.
    pub tokens: Arc<dyn TokenMint>,
    /// Conversations.
    pub conversations: Arc<dyn ConversationStore>,
    /// Messages.
    pub messages: Arc<dyn MessageLog>,
    /// Events on their way to their consequences.
    pub outbox: Arc<dyn OutboxStore>,
    /// Rung when an event was stored.
    pub outbox_wake: Arc<Notify>,
    /// What must answer for us to be ready.
    pub dependencies: Vec<Arc<dyn Dependency>>,
}
