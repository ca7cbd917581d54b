use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, ProtocolVersion, PushInfo, RedisError, RedisFuture, Value,
};
use tokio::sync::mpsc;

use crate::PATIENCE;

/// What Redis says without being asked.
pub(crate) type Pushes = mpsc::UnboundedReceiver<PushInfo>;

/// To one server, or to all shards of a cluster: clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects to the server at the client's address, or to the cluster that it is of.
    pub(crate) async fn open(client: &Client) -> Result<(Self, Pushes), RedisError> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let configuration = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(sender);
        let mut one = client.get_multiplexed_async_connection_with_config(&configuration).await?;
        if !is_of_cluster(&mut one).await? {
            return Ok((Self::One(one), pushes));
        }
        let (sender, pushes) = mpsc::unbounded_channel();
        let cluster = ClusterClient::builder([client.get_connection_info().clone()])
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(PATIENCE)
            .response_timeout(PATIENCE)
            .push_sender(sender)
            .build()?;
        // It tries each of its nodes, one after the other.
        let connection = tokio::time::timeout(PATIENCE * 3, cluster.get_async_connection()).await;
        let connection = connection.map_err(|_| timed_out())??;
        Ok((Self::Cluster(connection), pushes))
    }
}

/// The greeting says so; unlike `INFO`, it is allowed to everyone.
async fn is_of_cluster(connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
    let greeting: Value = redis::cmd("HELLO").query_async(connection).await?;
    let Value::Map(greeting) = greeting else { return Ok(false) };
    let mode = greeting.into_iter().find(|(name, _)| is_text(name, "mode"));
    Ok(mode.is_some_and(|(_, mode)| is_text(&mode, "cluster")))
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::BulkString(bytes) => bytes.as_slice() == text.as_bytes(),
        Value::SimpleString(said) => said == text,
        _ => false,
    }
}

/// It took too long.
pub(crate) fn timed_out() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(commands, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// The connection, while the line is up.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<Option<Connection>>>);

impl Line {
    pub(crate) fn get(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, connection: Option<Connection>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}
