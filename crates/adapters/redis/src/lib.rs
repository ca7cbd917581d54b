//! What the nodes of an installation call to each other, and the limits that they share, through Redis 7.
//!
//! Calls are published and forgotten (`SPUBLISH`): nothing is stored, so there is nothing that a crash or a `FLUSHALL`
//! could lose but calls, and those are hints. Channels are sharded, a thing's calls always on the same one. The buckets of
//! limits are all that is kept there, each for a minute or two at most ([`RedisLimiter`]).
//!
//! One task keeps the line: it connects, listens, sends what waits, and begins anew after a pause when anything fails
//! or takes longer than a second. Nobody waits for it. It finds out by itself whether the server is one of a cluster.

mod connection;
mod limiter;
mod line;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::Uuid;
use alivio_kernel::{Heard, NodeBus, Sensitive};
use async_trait::async_trait;
use redis::{Client, IntoConnectionInfo, ProtocolVersion, RedisError};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::connection::{Connection, Line};
use crate::queue::Queue;

pub use crate::limiter::RedisLimiter;

/// A Redis that takes longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(1);
/// Calls of the others that may wait for this node.
const EARSHOT: usize = 4096;
/// Channels, over which the nodes of a cluster share the work.
const SHARDS: u8 = 16;

/// What does not work.
#[derive(Debug, thiserror::Error)]
pub enum RedisBusError {
    /// The URL is none of Redis.
    #[error("not a URL like `redis://host:6379` or `rediss://user:password@host:6379`")]
    Url,
    /// It does not answer, or not as it should.
    #[error("Redis does not answer: {0}")]
    Unavailable(#[from] RedisError),
    /// It does not know sharded channels.
    #[error("Redis is too old, it must be 7.0 or newer: {0}")]
    TooOld(RedisError),
    /// The line is being put up.
    #[error("Redis is not connected")]
    NotConnected,
}

/// The way to the other nodes.
pub struct RedisBus {
    queue: Arc<Queue>,
    heard: tokio::sync::Mutex<mpsc::Receiver<Heard>>,
    /// The line, while it is up.
    line: Line,
    task: AbortHandle,
}

impl RedisBus {
    /// Puts the line up, and up again whenever it is down. Does not wait for it.
    ///
    /// # Errors
    /// [`RedisBusError::Url`].
    pub fn open(url: &Sensitive<String>) -> Result<Self, RedisBusError> {
        let client = client(url)?;
        let (queue, line) = (Arc::<Queue>::default(), Line::default());
        let (sender, heard) = mpsc::channel(EARSHOT);
        let task = tokio::spawn(line::keep(client, Arc::clone(&queue), line.clone(), sender));
        Ok(Self { queue, heard: tokio::sync::Mutex::new(heard), line, task: task.abort_handle() })
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// [`RedisBusError::NotConnected`], [`RedisBusError::Unavailable`].
    pub async fn ping(&self) -> Result<(), RedisBusError> {
        let mut connection = self.line.get().ok_or(RedisBusError::NotConnected)?;
        Ok(redis::cmd("PING").exec_async(&mut connection).await?)
    }

    /// Looks whether the Redis at `url` answers and is new enough.
    ///
    /// # Errors
    /// Any.
    pub async fn probe(url: &Sensitive<String>) -> Result<(), RedisBusError> {
        let client = client(url)?;
        let (mut connection, _) = Connection::open(&client).await?;
        let published = redis::cmd("SPUBLISH").arg("alivio:probe").arg("").query_async(&mut connection).await;
        published.map_err(RedisBusError::TooOld)
    }
}

fn client(url: &Sensitive<String>) -> Result<Client, RedisBusError> {
    // The cause may quote the URL, and that may hold a password.
    let info = url.expose().as_str().into_connection_info().map_err(|_| RedisBusError::Url)?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings)).map_err(|_| RedisBusError::Url)
}

#[async_trait]
impl NodeBus for RedisBus {
    fn call(&self, about: Uuid, hint: Vec<u8>) {
        self.queue.push(about, hint);
    }

    async fn heard(&self) -> Heard {
        match self.heard.lock().await.recv().await {
            Some(heard) => heard,
            // The task ends with the bus only.
            None => std::future::pending().await,
        }
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.task.abort();
    }
}
