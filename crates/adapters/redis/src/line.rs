use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alivio_kernel::Heard;
use alivio_metrics::{Direction, redis as metrics};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value};
use tokio::sync::mpsc;

use crate::queue::{Queue, channel};
use crate::{PATIENCE, SHARDS};

/// The pause after a failure, and the longest one: doubled each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(crate) fn configuration() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE))
}

/// Keeps the line up for ever.
pub(crate) async fn keep(
    client: Client,
    queue: Arc<Queue>,
    line: Arc<Mutex<Option<MultiplexedConnection>>>,
    heard: mpsc::Sender<Heard>,
) {
    let (mut pause, mut is_told) = (PAUSES.0, false);
    loop {
        let error = match connect(&client).await {
            Ok((connection, pushes)) => {
                if is_told {
                    tracing::info!("redis.back");
                }
                (pause, is_told) = (PAUSES.0, false);
                *line.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                metrics::UP.set(1.0);
                // Whoever has no room for this has enough to look at.
                drop(heard.try_send(Heard::Back));
                let error = talk(connection, pushes, &queue, &heard).await;
                *line.lock().unwrap_or_else(PoisonError::into_inner) = None;
                metrics::UP.set(0.0);
                error
            }
            Err(error) => error,
        };
        if !is_told {
            tracing::warn!(error = %error, "redis.away");
            is_told = true;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

type Pushes = mpsc::UnboundedReceiver<PushInfo>;

async fn connect(client: &Client) -> Result<(MultiplexedConnection, Pushes), RedisError> {
    let (sender, pushes) = mpsc::unbounded_channel();
    let configuration = configuration().set_push_sender(sender);
    let mut connection = client.get_multiplexed_async_connection_with_config(&configuration).await?;
    for shard in 0..SHARDS {
        redis::cmd("SSUBSCRIBE").arg(channel(shard)).exec_async(&mut connection).await?;
    }
    Ok((connection, pushes))
}

/// Sends and hears until the line breaks; says why.
async fn talk(
    mut connection: MultiplexedConnection,
    mut pushes: Pushes,
    queue: &Queue,
    heard: &mpsc::Sender<Heard>,
) -> RedisError {
    let hear = async {
        while let Some(push) = pushes.recv().await {
            match push.kind {
                PushKind::SMessage => {
                    if let Some(Value::BulkString(hint)) = push.data.into_iter().nth(1) {
                        // A hint that finds no room is lost, as any may be.
                        if heard.try_send(Heard::Hint(hint)).is_err() {
                            metrics::DROPPED.of(Direction::In).increment(1);
                        }
                    }
                }
                PushKind::Disconnection | PushKind::SUnsubscribe => break,
                _ => {}
            }
        }
        RedisError::from((redis::ErrorKind::Io, "the line is down"))
    };
    let send = async {
        loop {
            let mut pipe = redis::pipe();
            for call in queue.take().await {
                pipe.cmd("SPUBLISH").arg(call.channel).arg(call.hint).ignore();
            }
            if let Err(error) = pipe.exec_async(&mut connection).await {
                break error;
            }
        }
    };
    tokio::select! {
        error = hear => error,
        error = send => error,
    }
}
