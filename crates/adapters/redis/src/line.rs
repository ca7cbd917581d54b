use std::collections::BTreeMap;
use std::time::Duration;

use alivio_kernel::Heard;
use alivio_metrics::{Direction, redis as metrics};
use futures_util::future::try_join_all;
use redis::{Client, PushKind, RedisError, Value};
use tokio::sync::mpsc;

use crate::SHARDS;
use crate::connection::{Connection, Line, Pushes};
use crate::queue::{Call, Queue, channel};

/// The pause after a failure, and the longest one: doubled each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Keeps the line up for ever.
pub(crate) async fn keep(
    client: Client,
    queue: std::sync::Arc<Queue>,
    line: Line,
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
                line.set(Some(connection.clone()));
                metrics::UP.set(1.0);
                // Whoever has no room for this has enough to look at.
                drop(heard.try_send(Heard::Back));
                let error = talk(connection, pushes, &queue, &heard).await;
                line.set(None);
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

async fn connect(client: &Client) -> Result<(Connection, Pushes), RedisError> {
    let (mut connection, pushes) = Connection::open(client).await?;
    for shard in 0..SHARDS {
        redis::cmd("SSUBSCRIBE").arg(channel(shard)).exec_async(&mut connection).await?;
    }
    Ok((connection, pushes))
}

/// Sends and hears until the line breaks; says why. Of a cluster, until it breaks to any shard.
async fn talk(
    connection: Connection,
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
            if let Err(error) = publish(&connection, queue.take().await).await {
                break error;
            }
        }
    };
    tokio::select! {
        error = hear => error,
        error = send => error,
    }
}

/// One pipeline for each shard: what goes to one channel stays in its order.
async fn publish(connection: &Connection, calls: Vec<Call>) -> Result<(), RedisError> {
    let mut pipes = BTreeMap::<_, redis::Pipeline>::new();
    for Call { channel, hint } in calls {
        let shard = match connection {
            Connection::One(_) => None,
            Connection::Cluster(_) => Some(channel.clone()),
        };
        pipes.entry(shard).or_default().cmd("SPUBLISH").arg(channel).arg(hint).ignore();
    }
    let sent = pipes.into_values().map(|pipe| {
        let mut connection = connection.clone();
        async move { pipe.exec_async(&mut connection).await }
    });
    try_join_all(sent).await.map(drop)
}
