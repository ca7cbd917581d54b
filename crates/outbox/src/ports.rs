use alivio_kernel::ids::EventId;
use alivio_kernel::{BoxError, Event, Place};
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

/// Events that every node is to hear of, because each has people connected to it and remembers things.
///
/// The relay hands an event to one node. What that means for all of them is put here by its reaction, and each node
/// follows the row: see [`Follower`](alivio_kernel::Follower).
#[async_trait]
pub trait Broadcasts: Send + Sync {
    /// Lets every node hear of `event`. MUST do nothing if that was done before.
    async fn put(&self, event: &Event) -> Result<(), BoxError>;

    /// What was put behind `after`, in one order, `limit` events at most; and the oldest transaction that was still at
    /// work. MUST answer all that is committed, also what transactions from that one on have put.
    async fn after(&self, after: Place, limit: i64) -> Result<(u64, Vec<(Place, Event)>), BoxError>;

    /// Forgets what was put more than an hour ago: no node is so far behind.
    async fn forget(&self) -> Result<(), BoxError>;
}
