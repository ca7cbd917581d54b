//! The same, against a real cluster of three shards.
#![cfg(test)]

use std::sync::Arc;

use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{Limiter, LocalLimiter, NodeBus, Sensitive, SystemClock};
use alivio_redis::{RedisBus, RedisLimiter};
use alivio_testkit::conformance::{limiter, node_bus};
use alivio_testkit::redis::TestCluster;
use alivio_testkit::server::POLL;
use alivio_testkit::{limiter_conformance, node_bus_conformance};
use async_trait::async_trait;

fn bus(cluster: &TestCluster) -> Arc<RedisBus> {
    Arc::new(RedisBus::open(&Sensitive::new(cluster.url())).expect("a URL"))
}

struct Between(TestCluster);

#[async_trait]
impl node_bus::World for Between {
    /// One shard is enough: a cluster that is not whole is none.
    async fn cut(&self) {
        self.0.shards()[2].kill();
    }

    async fn stop(&self) {
        self.0.shards().iter().for_each(|shard| shard.pause());
    }

    async fn mend(&self) {
        for shard in self.0.shards() {
            if shard.is_running() {
                shard.resume();
            } else {
                shard.restart().await;
            }
        }
        self.0.is_whole().await;
    }
}

async fn two_nodes() -> Option<node_bus::Fixture> {
    let cluster = TestCluster::start().await?;
    let [one, other] = [0, 1].map(|_| bus(&cluster) as Arc<dyn NodeBus>);
    Some(node_bus::Fixture { one, other, world: Arc::new(Between(cluster)) })
}
node_bus_conformance!(two_nodes);

struct Whole {
    _cluster: TestCluster,
    buses: Vec<Arc<RedisBus>>,
}

#[async_trait]
impl limiter::World for Whole {
    async fn is_connected(&self) {
        for bus in &self.buses {
            while bus.ping().await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

async fn limited_nodes() -> Option<limiter::Fixture> {
    let cluster = TestCluster::start().await?;
    let buses: Vec<_> = (0..2).map(|_| bus(&cluster)).collect();
    let nodes = buses.iter().map(|bus| {
        let local = LocalLimiter::new(Arc::new(SystemClock));
        Arc::new(RedisLimiter::new(bus, local, Arc::new(PlainSealer::default()))) as Arc<dyn Limiter>
    });
    Some(limiter::Fixture { nodes: nodes.collect(), world: Arc::new(Whole { _cluster: cluster, buses }) })
}
limiter_conformance!(limited_nodes);

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_new_enough() {
    let Some(cluster) = TestCluster::start().await else { return };
    RedisBus::probe(&Sensitive::new(cluster.url())).await.expect("it answers");
}
