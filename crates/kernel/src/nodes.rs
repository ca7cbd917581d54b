use async_trait::async_trait;

use crate::ids::Uuid;

/// What the nodes of an installation call to each other, so that none has to wait until it looks by itself.
///
/// Calls are hints: ids and numbers, no content. They may be lost, repeated and late, and whoever hears one MUST NOT
/// believe more of it than that it is time to look. Nothing depends on them but how soon.
#[async_trait]
pub trait NodeBus: Send + Sync {
    /// Calls to the other nodes. `about` is what the call is about; calls about one thing stay in their order.
    ///
    /// MUST return at once and MUST NOT fail: what cannot be sent is dropped, the oldest first.
    fn call(&self, about: Uuid, hint: Vec<u8>);

    /// The next call. The callers' own calls MAY come back to them. MUST be safe to give up waiting for.
    async fn heard(&self) -> Heard;
}

/// What comes from the other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A call.
    Hint(Vec<u8>),
    /// The line was down, and is up again: what was called meanwhile is lost.
    Back,
}

/// The bus of the only node: there is nobody to call to.
#[derive(Debug, Default, Clone, Copy)]
pub struct LoneNode;

#[async_trait]
impl NodeBus for LoneNode {
    fn call(&self, _: Uuid, _: Vec<u8>) {}

    async fn heard(&self) -> Heard {
        std::future::pending().await
    }
}
