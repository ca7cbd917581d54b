//! One node is cut from Redis while the other is not: what happens at either is heard at the other within about a
//! second, once.

use alivio_testkit::proxy::Proxy;
use alivio_testkit::redis::{TestCluster, TestRedis};
use alivio_testkit::server::eventually;

use crate::World;
use crate::nodes::{Nodes, ended_sessions_are_closed_elsewhere, everything_is_heard_once, redis_of};

/// Nodes of which B reaches Redis only through a proxy.
async fn apart(redis: &TestRedis) -> (Nodes, Proxy, tokio::sync::watch::Sender<Option<String>>) {
    let (target, way) = redis.target();
    let proxy = Proxy::to(target).await;
    let nodes = Nodes::at([&redis.url(), &format!("redis://127.0.0.1:{}", proxy.port())], &[]).await;
    nodes.are_connected().await;
    (nodes, proxy, way)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_from_redis_misses_nothing() {
    let Some(redis) = TestRedis::start().await else { return };
    let (nodes, proxy, way) = apart(&redis).await;
    let to_redis = way.send_replace(None);
    proxy.cut();
    eventually("B knows", async || redis_of(&nodes.b).await == "unavailable").await;
    assert_eq!(redis_of(&nodes.a).await, "ok");
    everything_is_heard_once(&nodes).await;
    way.send_replace(to_redis);
    nodes.are_connected().await;
    everything_is_heard_once(&nodes).await;
    way.send_replace(None);
    proxy.cut();
    ended_sessions_are_closed_elsewhere(&nodes).await;
}

/// What it sends arrives, what is sent to it does not, and nobody tells it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_more_from_redis_misses_nothing() {
    let Some(redis) = TestRedis::start().await else { return };
    let (nodes, proxy, _way) = apart(&redis).await;
    proxy.lose_replies();
    everything_is_heard_once(&nodes).await;
    eventually("B knows", async || redis_of(&nodes.b).await == "unavailable").await;
    proxy.mend();
    nodes.are_connected().await;
    everything_is_heard_once(&nodes).await;
    proxy.lose_replies();
    ended_sessions_are_closed_elsewhere(&nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_serves_as_well() {
    let Some(cluster) = TestCluster::start().await else { return };
    let nodes = Nodes::at([&cluster.shards()[0].url(), &cluster.shards()[1].url()], &[]).await;
    nodes.are_connected().await;
    everything_is_heard_once(&nodes).await;
    // A cluster that is not whole is none.
    cluster.shards()[2].kill();
    everything_is_heard_once(&nodes).await;
    ended_sessions_are_closed_elsewhere(&nodes).await;
    cluster.shards()[2].restart().await;
    cluster.is_whole().await;
    nodes.are_connected().await;
}

#[tokio::test]
async fn redis_is_spoken_to_by_tls() {
    let Some(redis) = TestRedis::start_with_tls().await else { return };
    let (url, certificate) = redis.with_tls();
    let certificate = certificate.display().to_string();
    let world = World::with(&[("REDIS_URL", &url), ("SSL_CERT_FILE", &certificate)]).await;
    eventually("it is connected", async || redis_of(&world).await == "ok").await;
    // A certificate that nobody vouches for is none.
    let stranger = World::with(&[("REDIS_URL", &url)]).await;
    eventually("it has tried", async || stranger.logs().contains("redis.away")).await;
    assert_eq!(redis_of(&stranger).await, "unavailable");
}
