//! What every [`BlobStore`] MUST do, one case each. Run them all with
//! [`blob_store_conformance!`](crate::blob_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;

use alivio_kernel::ids::Uuid;
use alivio_kernel::{Clock, SystemClock};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};

use super::{gathered, noise};
use crate::{Blob, BlobError, BlobKey, BlobPart, BlobStore};

/// Tests your [`BlobStore`]: one `#[tokio::test]` for every case in [`testing::blob_store`].
///
/// `$fresh` names an `async fn() -> Option<alivio_files::testing::blob_store::Fixture>` that gives each case an empty,
/// isolated instance; `None` skips the case.
///
/// [`BlobStore`]: crate::BlobStore
/// [`testing::blob_store`]: crate::testing::blob_store
#[macro_export]
macro_rules! blob_store_conformance {
    ($fresh:expr) => {
        mod blob_store_conformance {
            use super::*;
            $crate::blob_store_conformance! { @cases $fresh;
                what_was_finished_reads_back_unchanged
                nobody_sees_a_blob_before_it_is_finished
                what_was_there_before_is_read_until_it_is_replaced
                of_many_writers_of_one_key_one_wins_whole
                any_range_equals_the_slice
                a_range_past_the_end_is_damage
                what_was_cut_off_behind_our_back_is_damage
                what_is_not_there_is_not_found
                deleting_removes_one_blob_and_may_be_repeated
                the_list_shows_what_is_finished_and_ours
                looking_tells_size_and_time
                an_aborted_writer_leaves_nothing
                a_dropped_writer_leaves_nothing_after_a_sweep
                a_sweep_spares_whoever_began_later
                it_says_that_it_can_be_used
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                if let Some(fixture) = $fresh().await {
                    $crate::testing::blob_store::$case(fixture).await;
                }
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, empty.
    pub store: Arc<dyn BlobStore>,
    /// What lies around it. Lives as long as the case does, so it may own the place of the store.
    pub world: Arc<dyn World>,
}

/// What lies around a store of blobs. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// Another instance over the same place, as after a restart.
    async fn reopened(&self) -> Arc<dyn BlobStore>;
    /// Puts things into the place that are none of ours.
    async fn litter(&self);
    /// Cuts a stored blob off after `size` bytes.
    async fn cut(&self, key: BlobKey, size: u64);
    /// How many unfinished blobs take room.
    async fn unfinished(&self) -> usize;
}

/// Larger than any store keeps in memory before it begins to store.
const LARGE: usize = 11 * 1024 * 1024 + 17;

/// A segment of some file.
#[must_use]
pub fn key(n: u128) -> BlobKey {
    BlobKey { owner: owner(n), part: BlobPart::Segment(0) }
}

/// Owners that differ in few places, and in such that a careless store could drop.
fn owner(n: u128) -> Uuid {
    Uuid::from_u128(0x0197_a3c0_0000_7000_8000_0000_0000_0000 + n)
}

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

/// After everything that has begun, whatever the store's own clock says.
fn later() -> DateTime<Utc> {
    now() + TimeDelta::hours(1)
}

/// Before everything, likewise.
fn earlier() -> DateTime<Utc> {
    now() - TimeDelta::hours(1)
}

async fn store(store: &dyn BlobStore, key: BlobKey, bytes: impl AsRef<[u8]>) {
    let mut writer = store.begin(key).await.unwrap();
    // No two pieces of the same length, as they come over a network.
    let (mut rest, mut size) = (bytes.as_ref(), 1);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        (rest, size) = (after, (size * 3) % 300_007);
    }
    writer.finish().await.unwrap();
}

async fn read(
    store: &dyn BlobStore,
    key: BlobKey,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, BlobError> {
    gathered(store.read(key, range).await?).await
}

async fn read_all(store: &dyn BlobStore, key: BlobKey) -> Vec<u8> {
    let size = store.look(key).await.unwrap().size;
    read(store, key, 0..size).await.unwrap()
}

async fn list(store: &dyn BlobStore) -> Vec<Blob> {
    let mut blobs: Vec<Blob> = store.list().await.unwrap().try_collect().await.unwrap();
    blobs.sort_by_key(|blob| blob.key);
    blobs
}

/// MUST see all of it: whatever its length, and after a restart too.
pub async fn what_was_finished_reads_back_unchanged(Fixture { store: blobs, world }: Fixture) {
    let sizes = [0, 1, 65_535, 65_536, 65_537, 1_000_000, LARGE];
    for (n, size) in sizes.into_iter().enumerate() {
        store(&*blobs, key(n as u128), &noise(n as u64, size)).await;
    }
    for blobs in [blobs, world.reopened().await] {
        for (n, size) in sizes.into_iter().enumerate() {
            let key = key(n as u128);
            assert_eq!(blobs.look(key).await.unwrap().size, size as u64);
            assert!(read_all(&*blobs, key).await == noise(n as u64, size), "{size} bytes");
        }
    }
}

/// Nobody MUST see anything before [`finish`](crate::BlobWriter::finish) has returned.
pub async fn nobody_sees_a_blob_before_it_is_finished(Fixture { store: blobs, world }: Fixture) {
    let mut writer = blobs.begin(key(1)).await.unwrap();
    for piece in noise(1, LARGE).chunks(1 << 20) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        for blobs in [&blobs, &world.reopened().await] {
            assert!(matches!(blobs.look(key(1)).await, Err(BlobError::NotFound)));
            assert!(matches!(read(&**blobs, key(1), 0..1).await, Err(BlobError::NotFound)));
            assert_eq!(list(&**blobs).await, []);
        }
    }
    writer.finish().await.unwrap();
    assert!(read_all(&*blobs, key(1)).await == noise(1, LARGE));
}

/// And then it is replaced whole, even by less.
pub async fn what_was_there_before_is_read_until_it_is_replaced(Fixture { store: blobs, .. }: Fixture) {
    let (old, new) = (noise(1, LARGE), noise(2, 100_000));
    store(&*blobs, key(1), &old).await;
    let mut writer = blobs.begin(key(1)).await.unwrap();
    writer.write(Bytes::from(new.clone())).await.unwrap();
    assert!(read_all(&*blobs, key(1)).await == old);
    writer.finish().await.unwrap();
    assert!(read_all(&*blobs, key(1)).await == new);
    assert_eq!(list(&*blobs).await.len(), 1);
}

/// However they interleave.
pub async fn of_many_writers_of_one_key_one_wins_whole(Fixture { store: blobs, .. }: Fixture) {
    let contents: Vec<_> = (0..8).map(|seed| noise(seed, 300_000 + seed as usize)).collect();
    join_all(contents.iter().map(|content| store(&*blobs, key(1), content))).await;
    let winner = read_all(&*blobs, key(1)).await;
    assert!(contents.contains(&winner), "{} bytes of several writers", winner.len());
}

/// Of what was stored.
pub async fn any_range_equals_the_slice(Fixture { store: blobs, .. }: Fixture) {
    const SIZE: usize = 700_001;
    let content = noise(1, SIZE);
    store(&*blobs, key(1), &content).await;
    let edges = [0, 1, 65_535, 65_536, 262_143, 262_144, 262_145, 524_288, SIZE - 1, SIZE];
    for start in edges {
        for end in edges.into_iter().filter(|end| *end >= start) {
            let stretch = read(&*blobs, key(1), start as u64..end as u64).await.unwrap();
            assert!(stretch == content[start..end], "{start}..{end}");
        }
    }
}

/// [`BlobError::Damaged`] where it ends before, and nothing that could be taken for the bytes that were asked for.
pub async fn a_range_past_the_end_is_damage(Fixture { store: blobs, .. }: Fixture) {
    store(&*blobs, key(1), &noise(1, 1_000)).await;
    store(&*blobs, key(2), &[]).await;
    let past =
        [(1, 0..1_001), (1, 999..1_001), (1, 1_000..1_001), (1, 5_000..6_000), (1, 1_001..1_001), (2, 0..1)];
    for (n, range) in past {
        let answer = read(&*blobs, key(n), range.clone()).await;
        assert!(matches!(answer, Err(BlobError::Damaged)), "{range:?} of {n}: {answer:?}");
    }
}

/// Its bytes are not those that were stored.
pub async fn what_was_cut_off_behind_our_back_is_damage(Fixture { store: blobs, world }: Fixture) {
    store(&*blobs, key(1), &noise(1, 500_000)).await;
    world.cut(key(1), 300_000).await;
    let answer = read(&*blobs, key(1), 0..500_000).await;
    assert!(matches!(answer, Err(BlobError::Damaged)), "{:?}", answer.map(|bytes| bytes.len()));
    assert!(read(&*blobs, key(1), 0..300_000).await.unwrap() == noise(1, 500_000)[..300_000]);
}

/// Neither another part, nor another owner.
pub async fn what_is_not_there_is_not_found(Fixture { store: blobs, .. }: Fixture) {
    store(&*blobs, key(1), b"x").await;
    let others = [
        key(2),
        BlobKey { part: BlobPart::Segment(1), ..key(1) },
        BlobKey { part: BlobPart::Thumbnail, ..key(1) },
        BlobKey { part: BlobPart::Preview, ..key(1) },
    ];
    for other in others {
        assert!(matches!(blobs.look(other).await, Err(BlobError::NotFound)), "{other}");
        for range in [0..0, 0..1] {
            assert!(matches!(read(&*blobs, other, range).await, Err(BlobError::NotFound)), "{other}");
        }
    }
}

/// MUST succeed where there is none.
pub async fn deleting_removes_one_blob_and_may_be_repeated(Fixture { store: blobs, .. }: Fixture) {
    let kept = BlobKey { part: BlobPart::Segment(10), ..key(1) };
    for key in [key(1), kept] {
        store(&*blobs, key, b"x").await;
    }
    for _ in 0..2 {
        blobs.delete(key(1)).await.unwrap();
        assert!(matches!(blobs.look(key(1)).await, Err(BlobError::NotFound)));
        assert_eq!(list(&*blobs).await.iter().map(|blob| blob.key).collect::<Vec<_>>(), [kept]);
    }
    blobs.delete(key(7)).await.unwrap();
}

/// MUST leave out what is none of ours.
pub async fn the_list_shows_what_is_finished_and_ours(Fixture { store: blobs, world }: Fixture) {
    assert_eq!(list(&*blobs).await, []);
    let parts = [BlobPart::Segment(0), BlobPart::Segment(12), BlobPart::Thumbnail, BlobPart::Preview];
    let keys = (0..300).flat_map(|n| parts.map(|part| BlobKey { owner: owner(n), part }));
    let mut expected: Vec<_> = keys.collect();
    let storing = futures_util::stream::iter(expected.iter().enumerate());
    storing.for_each_concurrent(32, |(n, key)| store(&*blobs, *key, vec![b'x'; n % 5])).await;
    world.litter().await;
    let unfinished = blobs.begin(key(900)).await.unwrap();
    expected.sort();
    let listed = list(&*blobs).await;
    assert_eq!(listed.iter().map(|blob| blob.key).collect::<Vec<_>>(), expected);
    for blob in listed.iter().step_by(97) {
        assert_eq!(*blob, blobs.look(blob.key).await.unwrap());
    }
    unfinished.abort().await;
}

/// In bytes, and when it was finished.
pub async fn looking_tells_size_and_time(Fixture { store: blobs, .. }: Fixture) {
    // Some stores count whole seconds, and by their own clock.
    let slack = TimeDelta::seconds(2);
    let before = now() - slack;
    store(&*blobs, key(1), &noise(1, 123_456)).await;
    let blob = blobs.look(key(1)).await.unwrap();
    assert_eq!((blob.key, blob.size), (key(1), 123_456));
    assert!(before <= blob.stored_at && blob.stored_at <= now() + slack, "{}", blob.stored_at);
}

/// And what was there before stays.
pub async fn an_aborted_writer_leaves_nothing(Fixture { store: blobs, world }: Fixture) {
    store(&*blobs, key(2), b"old").await;
    for n in [1, 2] {
        let mut writer = blobs.begin(key(n)).await.unwrap();
        for piece in noise(1, LARGE).chunks(1 << 20) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writer.abort().await;
    }
    assert_eq!(world.unfinished().await, 0);
    assert!(matches!(blobs.look(key(1)).await, Err(BlobError::NotFound)));
    assert_eq!(read_all(&*blobs, key(2)).await, b"old");
}

/// Dropped, or forgotten by a crash: MUST leave nothing at all after [`BlobStore::sweep`].
pub async fn a_dropped_writer_leaves_nothing_after_a_sweep(Fixture { store: blobs, world }: Fixture) {
    for forgotten in [false, true] {
        let mut writer = blobs.begin(key(1)).await.unwrap();
        for piece in noise(1, LARGE).chunks(1 << 20) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        if forgotten {
            std::mem::forget(writer);
        } else {
            drop(writer);
        }
    }
    assert!(matches!(blobs.look(key(1)).await, Err(BlobError::NotFound)));
    assert_eq!(list(&*blobs).await, []);
    let left = world.unfinished().await as u64;
    assert!(left > 0, "what a crash leaves is what a sweep is for");
    assert_eq!(world.reopened().await.sweep(later()).await.unwrap(), left);
    assert_eq!(world.unfinished().await, 0);
    assert_eq!(blobs.sweep(later()).await.unwrap(), 0);
}

/// Only what began before is removed; what was finished stays.
pub async fn a_sweep_spares_whoever_began_later(Fixture { store: blobs, world }: Fixture) {
    store(&*blobs, key(1), b"finished").await;
    let mut writer = blobs.begin(key(2)).await.unwrap();
    for piece in noise(1, LARGE).chunks(1 << 20) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        assert_eq!(world.reopened().await.sweep(earlier()).await.unwrap(), 0);
    }
    writer.finish().await.unwrap();
    assert!(read_all(&*blobs, key(2)).await == noise(1, LARGE));
    assert_eq!(blobs.sweep(later()).await.unwrap(), 0);
    assert_eq!(list(&*blobs).await.len(), 2);
}

/// And leaves nothing behind.
pub async fn it_says_that_it_can_be_used(Fixture { store: blobs, world }: Fixture) {
    blobs.check().await.unwrap();
    assert_eq!(world.unfinished().await, 0);
    assert_eq!(blobs.list().await.unwrap().count().await, 0);
}
