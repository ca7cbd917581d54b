//! Every MUST of the port, against a real Redis.
#![cfg(test)]

use std::sync::Arc;

use alivio_kernel::{NodeBus, Sensitive};
use alivio_redis::{RedisBus, RedisBusError};
use alivio_testkit::conformance::node_bus;
use alivio_testkit::node_bus_conformance;
use alivio_testkit::redis::TestRedis;
use alivio_testkit::server::eventually;
use async_trait::async_trait;

struct Between(TestRedis);

#[async_trait]
impl node_bus::World for Between {
    async fn cut(&self) {
        self.0.kill();
    }

    async fn stop(&self) {
        self.0.pause();
    }

    async fn mend(&self) {
        if self.0.is_running() {
            self.0.resume();
        } else {
            self.0.restart().await;
        }
    }
}

fn bus(redis: &TestRedis) -> RedisBus {
    RedisBus::open(&Sensitive::new(redis.url())).expect("a URL")
}

async fn two_nodes() -> Option<node_bus::Fixture> {
    let redis = TestRedis::start().await?;
    let [one, other] = [0, 1].map(|_| Arc::new(bus(&redis)) as Arc<dyn NodeBus>);
    Some(node_bus::Fixture { one, other, world: Arc::new(Between(redis)) })
}
node_bus_conformance!(two_nodes);

#[tokio::test(flavor = "multi_thread")]
async fn it_knows_whether_redis_is_there() {
    let Some(redis) = TestRedis::start().await else { return };
    let bus = bus(&redis);
    eventually("it is connected", async || bus.ping().await.is_ok()).await;
    RedisBus::probe(&Sensitive::new(redis.url())).await.expect("Redis answers");
    redis.kill();
    eventually("it is not", async || bus.ping().await.is_err()).await;
    let refused = RedisBus::probe(&Sensitive::new(redis.url())).await;
    assert!(matches!(refused, Err(RedisBusError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_bad_url_is_not_quoted() {
    let bad = Sensitive::new("http://user:secret@host".to_owned());
    let refused = RedisBus::open(&bad).err().expect("refused").to_string();
    assert!(!refused.contains("secret"), "{refused}");
}
