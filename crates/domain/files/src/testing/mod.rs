//! How an adapter proves itself.
//!
//! ```text
//! use alivio_files::testing::blob_store::Fixture;
//!
//! async fn fresh() -> Fixture { … }                     // an empty, isolated instance per case
//! alivio_files::blob_store_conformance!(fresh);         // → one named #[tokio::test] per case
//! // and likewise content_sealer_conformance!, scanner_conformance!
//! ```
//!
//! The crate that calls the macro needs `tokio` with `macros` and `rt-multi-thread` among its dev-dependencies.

pub mod annotations;
pub mod blob_store;
pub mod content_sealer;
pub mod file_stores;
mod fixtures;
mod memory;
pub mod scanner;

pub use fixtures::header;
pub use memory::{MemoryBlobs, PlainSegments};

use bytes::Bytes;
use futures_util::StreamExt;

use crate::{BlobError, ByteStream};

/// `bytes` on their way, in pieces of `size`.
#[must_use]
pub fn pieces(bytes: &[u8], size: usize) -> ByteStream {
    let pieces: Vec<_> = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    futures_util::stream::iter(pieces).boxed()
}

/// Everything that `stream` brings.
///
/// # Errors
/// The stream's own.
pub async fn gathered(mut stream: ByteStream) -> Result<Vec<u8>, BlobError> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// So many bytes that look like nothing, the same for the same `seed`.
#[must_use]
pub fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = Vec::with_capacity(count + 8);
    while noise.len() < count {
        // Xorshift (Marsaglia).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(count);
    noise
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alivio_kernel::ManualClock;
    use async_trait::async_trait;

    use super::*;
    use crate::BlobStore;

    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        for source in [
            include_str!("annotations.rs"),
            include_str!("blob_store.rs"),
            include_str!("content_sealer.rs"),
            concat!(
                include_str!("file_stores/mod.rs"),
                include_str!("file_stores/uploads.rs"),
                include_str!("file_stores/seeing.rs"),
                include_str!("file_stores/examinations.rs"),
                include_str!("file_stores/downloads.rs"),
                include_str!("file_stores/grants.rs"),
                include_str!("file_stores/erasing.rs"),
            ),
            include_str!("scanner.rs"),
        ] {
            let list = source.split("macro_rules!").nth(1).unwrap();
            for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let case = case.split('(').next().unwrap();
                assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
            }
        }
    }

    struct Memory(Arc<MemoryBlobs>);

    #[async_trait]
    impl blob_store::World for Memory {
        async fn reopened(&self) -> Arc<dyn BlobStore> {
            Arc::clone(&self.0) as _
        }
        async fn litter(&self) {}
        async fn cut(&self, key: crate::BlobKey, size: u64) {
            self.0.cut(key, size);
        }
        async fn unfinished(&self) -> usize {
            self.0.unfinished()
        }
    }

    async fn blobs() -> Option<blob_store::Fixture> {
        let blobs = Arc::new(MemoryBlobs::new(Arc::new(alivio_kernel::SystemClock)));
        Some(blob_store::Fixture { store: Arc::clone(&blobs) as _, world: Arc::new(Memory(blobs)) })
    }
    crate::blob_store_conformance!(blobs);

    #[async_trait]
    impl content_sealer::World for PlainSegments {
        async fn destroy(&self, file: alivio_kernel::ids::FileId) {
            Self::destroy(self, file);
        }
    }

    async fn segments() -> content_sealer::Fixture {
        let segments = Arc::new(PlainSegments::default());
        content_sealer::Fixture { sealer: Arc::clone(&segments) as _, world: segments }
    }
    crate::content_sealer_conformance!(segments);

    #[tokio::test]
    async fn blobs_in_memory_tell_their_clock() {
        let clock = Arc::new(ManualClock::default());
        let blobs = MemoryBlobs::new(Arc::clone(&clock) as _);
        let key = blob_store::key(1);
        let mut writer = blobs.begin(key).await.unwrap();
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(blobs.look(key).await.unwrap().stored_at, alivio_kernel::Clock::now(&*clock));
    }
}
