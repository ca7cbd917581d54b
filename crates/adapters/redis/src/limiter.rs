use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alivio_kernel::{Asker, Limiter, LocalLimiter, Precision, Quota, Sealer, Verdict};
use async_trait::async_trait;
use futures_util::future::join_all;
use redis::RedisError;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::RedisBus;
use crate::connection::{Connection, Line, timed_out};

/// How long one who asks waits for Redis.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long Redis is not asked after it has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long other nodes do not know of what was counted here.
const MOMENT: Duration = Duration::from_millis(100);
/// Buckets that are told of at once.
const GULP: usize = 256;

/// A bucket (GCRA): the time at which it is full again, by the clock of Redis. Takes as many as `ARGV[3]` says, if
/// they are there or were taken already (`ARGV[4]`), and forgets what is full. Answers what is owed then and, if it is
/// refused, how long to wait; all in microseconds.
const TAKE: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, whole, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local owed = math.max((tonumber(redis.call('GET', KEYS[1])) or now) - now, 0)
local after = owed + count * interval
if ARGV[4] == '1' then
    after = math.min(after, 2 * whole)
elseif after > whole then
    return {owed, after - whole}
end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.ceil(after / 1000))
return {after, 0}
";

/// Buckets that all nodes share.
///
/// Each node counts by itself as well. What it refuses by that, and all when Redis is away or slow, is settled without
/// asking Redis: so nobody waits for it longer than `PATIENCE`, nor, once it has failed, at all for a `PAUSE`.
///
/// For a [`Precision::Exact`] quota Redis is asked each time. For others the node tells Redis a moment later what it
/// has let pass, all at once, and hears what the others have; so a request never waits for Redis, and costs it at most
/// one command per asker and `MOMENT`. Whoever asks several nodes in the same moment may get more, and then gets less.
///
/// Keys are digests that tell nothing of who asks without our keys, and expire when the bucket is full.
pub struct RedisLimiter {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// Who, and by the name of which quota; that quota, and how many.
type Untold = HashMap<(Asker, &'static str), (Quota, u32)>;

struct Shared {
    line: Line,
    local: LocalLimiter,
    digests: Arc<dyn Sealer>,
    /// What has passed here and was not told yet.
    untold: Mutex<Untold>,
    filled: Notify,
    rests_until: Mutex<Option<Instant>>,
}

/// What Redis says of a bucket.
struct Answer {
    owed: Duration,
    wait: Duration,
}

impl RedisLimiter {
    /// Over the line that `bus` keeps up, and by `local` while it is down.
    pub fn new(bus: &RedisBus, local: LocalLimiter, digests: Arc<dyn Sealer>) -> Self {
        let shared = Arc::new(Shared {
            line: bus.line.clone(),
            local,
            digests,
            untold: Mutex::default(),
            filled: Notify::new(),
            rests_until: Mutex::default(),
        });
        let task = tokio::spawn(tell(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }
}

impl Drop for RedisLimiter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl Limiter for RedisLimiter {
    async fn take(&self, asker: Asker, quota: &Quota) -> Verdict {
        let Shared { local, .. } = &*self.shared;
        if quota.precision == Precision::Soon {
            let verdict = local.take_here(asker, quota);
            if verdict.passes() {
                self.shared.note(asker, quota);
            }
            return verdict;
        }
        if let Some(refused) = local.refusal(asker, quota) {
            return refused;
        }
        let Some(answer) = self.shared.ask(asker, quota).await else {
            return local.take_here(asker, quota);
        };
        local.learn(asker, quota, answer.owed);
        Verdict::new(quota, answer.owed, (!answer.wait.is_zero()).then_some(answer.wait))
    }
}

impl Shared {
    /// Asks Redis for one; nothing if it is away, or slow, or was a moment ago.
    async fn ask(&self, asker: Asker, quota: &Quota) -> Option<Answer> {
        if self.rests_until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let connection = self.line.get()?;
        let asked = tokio::time::timeout(PATIENCE, self.take(connection, asker, quota, 1, false)).await;
        let error = match asked {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error,
            Err(_) => timed_out(),
        };
        *self.rests_until() = Some(Instant::now() + PAUSE);
        tracing::warn!(error = %error, "limits.counted_alone");
        None
    }

    async fn take(
        &self,
        mut connection: Connection,
        asker: Asker,
        quota: &Quota,
        count: u32,
        has_passed: bool,
    ) -> Result<Answer, RedisError> {
        let digest = self.digests.blind_index("limits.asker", &asker.to_bytes());
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (owed, wait): (u64, u64) = redis::cmd("EVAL")
            .arg(TAKE)
            .arg(1)
            .arg(format!("alivio:limits:{}:{:032x}", quota.name, u128::from_be_bytes(digest)))
            .arg(micros(quota.interval()))
            .arg(micros(quota.whole()))
            .arg(count)
            .arg(u8::from(has_passed))
            .query_async(&mut connection)
            .await?;
        Ok(Answer { owed: Duration::from_micros(owed), wait: Duration::from_micros(wait) })
    }

    fn note(&self, asker: Asker, quota: &Quota) {
        let mut untold = self.untold();
        untold.entry((asker, quota.name)).or_insert((*quota, 0)).1 += 1;
        drop(untold);
        self.filled.notify_one();
    }

    fn untold(&self) -> MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the others what has passed here, and hears what they have told. While Redis is away, nothing of it is kept.
async fn tell(shared: Arc<Shared>) {
    loop {
        shared.filled.notified().await;
        tokio::time::sleep(MOMENT).await;
        let untold: Vec<_> = std::mem::take(&mut *shared.untold()).into_iter().collect();
        for some in untold.chunks(GULP) {
            let Some(connection) = shared.line.get() else { break };
            join_all(some.iter().map(|((asker, _), (quota, count))| {
                let (shared, connection) = (&shared, connection.clone());
                async move {
                    if let Ok(answer) = shared.take(connection, *asker, quota, *count, true).await {
                        shared.local.learn(*asker, quota, answer.owed);
                    }
                }
            }))
            .await;
        }
    }
}
