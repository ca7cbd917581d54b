//! Every MUST of the limiter that counts by itself.
#![cfg(test)]

use std::sync::Arc;

use alivio_kernel::{LocalLimiter, SystemClock};
use alivio_testkit::conformance::limiter::{Fixture, World};
use alivio_testkit::limiter_conformance;
use async_trait::async_trait;

/// There is nobody to reach.
struct Alone;

#[async_trait]
impl World for Alone {
    async fn is_connected(&self) {}
}

async fn one_node() -> Option<Fixture> {
    let limiter = LocalLimiter::new(Arc::new(SystemClock));
    Some(Fixture { nodes: vec![Arc::new(limiter)], world: Arc::new(Alone) })
}
limiter_conformance!(one_node);
