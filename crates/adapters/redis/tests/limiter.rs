//! Every MUST of the limiter that all nodes share, against a real Redis, and what it does without.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{Limiter, LocalLimiter, Precision, Sensitive, SystemClock};
use alivio_redis::{RedisBus, RedisLimiter};
use alivio_testkit::conformance::limiter::{Fixture, World, quota, someone};
use alivio_testkit::limiter_conformance;
use alivio_testkit::redis::TestRedis;
use alivio_testkit::server::{POLL, eventually};
use alivio_testkit::stopwatch::Stopwatch;
use async_trait::async_trait;

/// Longer than anyone who asks should have to wait for a Redis that hangs, on a machine that does other things, too.
const AT_ONCE: Duration = Duration::from_millis(500);

struct Node {
    bus: Arc<RedisBus>,
    limiter: Arc<RedisLimiter>,
}

fn node(url: String) -> Node {
    let bus = Arc::new(RedisBus::open(&Sensitive::new(url)).expect("a URL"));
    let local = LocalLimiter::new(Arc::new(SystemClock));
    let limiter = Arc::new(RedisLimiter::new(&bus, local, Arc::new(PlainSealer::default())));
    Node { bus, limiter }
}

async fn is_connected(nodes: &[Node]) {
    for node in nodes {
        eventually("it is connected", async || node.bus.ping().await.is_ok()).await;
    }
}

struct Between {
    _redis: TestRedis,
    buses: Vec<Arc<RedisBus>>,
}

#[async_trait]
impl World for Between {
    async fn is_connected(&self) {
        for bus in &self.buses {
            while bus.ping().await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

async fn three_nodes() -> Option<Fixture> {
    let redis = TestRedis::start().await?;
    let nodes: Vec<_> = (0..3).map(|_| node(redis.url())).collect();
    let limiters = nodes.iter().map(|node| Arc::clone(&node.limiter) as Arc<dyn Limiter>).collect();
    let buses = nodes.into_iter().map(|node| node.bus).collect();
    Some(Fixture { nodes: limiters, world: Arc::new(Between { _redis: redis, buses }) })
}
limiter_conformance!(three_nodes);

/// How many of so many tries pass at a node.
async fn passed(node: &Node, times: usize, name: &'static str) -> usize {
    let quota = alivio_kernel::Quota { name, ..quota(6, Precision::Exact) };
    let mut passed = 0;
    for _ in 0..times {
        passed += usize::from(node.limiter.take(someone(), &quota).await.passes());
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_node_counts_by_itself() {
    let Some(redis) = TestRedis::start().await else { return };
    let nodes = [node(redis.url()), node(redis.url())];
    is_connected(&nodes).await;
    assert_eq!((passed(&nodes[0], 4, "both").await, passed(&nodes[1], 20, "both").await), (4, 2));

    redis.kill();
    let began = Stopwatch::start();
    for node in &nodes {
        assert_eq!(passed(node, 50, "killed").await, 6);
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    // What a node knows of the others, it does not forget.
    assert_eq!(passed(&nodes[1], 20, "both").await, 0);

    redis.restart().await;
    is_connected(&nodes).await;
    let mut tried = 0;
    eventually("they count together again", async || {
        tried += 1;
        let name: &'static str = format!("again-{tried}").leak();
        passed(&nodes[0], 10, name).await + passed(&nodes[1], 10, name).await == 6
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_holds_up_nobody_for_long() {
    let Some(redis) = TestRedis::start().await else { return };
    let nodes = [node(redis.url()), node(redis.url())];
    is_connected(&nodes).await;
    redis.pause();
    for node in &nodes {
        let began = Stopwatch::start();
        assert_eq!(passed(node, 200, "hangs").await, 6);
        assert!(began.elapsed() < AT_ONCE, "two hundred tries took {:?}", began.elapsed());
    }
    redis.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_lets_nobody_through_who_was_refused() {
    let Some(redis) = TestRedis::start().await else { return };
    let node = node(redis.url());
    is_connected(std::slice::from_ref(&node)).await;
    assert_eq!(passed(&node, 10, "flushed").await, 6);
    redis.flush().await;
    assert_eq!(passed(&node, 10, "flushed").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_learns_no_address_and_keeps_nothing_for_long() {
    let Some(redis) = TestRedis::start().await else { return };
    let node = node(redis.url());
    is_connected(std::slice::from_ref(&node)).await;
    // Full again a fifth of a second later.
    let quota = quota(300, Precision::Exact);
    assert!(node.limiter.take(someone(), &quota).await.passes());
    let slow = alivio_kernel::Quota { name: "slow", ..self::quota(1, Precision::Exact) };
    assert!(node.limiter.take(someone(), &slow).await.passes());
    let keys = redis.keys().await;
    assert!(keys.contains("alivio:limits:slow:"), "{keys}");
    assert!(!keys.contains("192.0.2.1") && !keys.contains("c0000201"), "{keys}");
    eventually("only the other is left", async || redis.key_count().await == 1).await;
}
