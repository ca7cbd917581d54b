use alivio_kernel::ids::EventId;
use alivio_kernel::{BoxError, Event};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// An event that this relay may handle until its lease runs out.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The event.
    pub event: Event,
    /// How often it has been claimed, this time included.
    pub attempts: i32,
}

/// Where events wait.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Leases up to `limit` due events until `lease_until`, oldest first.
    ///
    /// MUST NOT hand an event to two relays while its lease lasts.
    async fn claim(
        &self,
        now: DateTime<Utc>,
        lease_until: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Claimed>, BoxError>;

    /// Removes handled events.
    async fn complete(&self, ids: &[EventId]) -> Result<(), BoxError>;

    /// Puts an event off until `due`, or sets it aside for good when `due` is `None`.
    async fn postpone(&self, id: EventId, due: Option<DateTime<Utc>>) -> Result<(), BoxError>;
}
