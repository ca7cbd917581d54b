//! What every [`ContentSealer`] MUST do, one case each. Run them all with
//! [`content_sealer_conformance!`](crate::content_sealer_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;

use alivio_kernel::ids::{FileId, Uuid};
use alivio_kernel::sealing::SealError;
use async_trait::async_trait;

use super::noise;
use crate::{BlobPart, CHUNK, ContentSealer, HEADER, Segment, TAG};

/// Tests your [`ContentSealer`]: one `#[tokio::test]` for every case in [`testing::content_sealer`].
///
/// `$fresh` names an `async fn() -> alivio_files::testing::content_sealer::Fixture`.
///
/// [`ContentSealer`]: crate::ContentSealer
/// [`testing::content_sealer`]: crate::testing::content_sealer
#[macro_export]
macro_rules! content_sealer_conformance {
    ($fresh:expr) => {
        mod content_sealer_conformance {
            use super::*;
            $crate::content_sealer_conformance! { @cases $fresh;
                what_was_sealed_opens
                chunks_open_in_any_order
                a_chunk_opens_at_its_own_place_only
                a_segment_opens_as_itself_only
                no_segment_is_shortened_or_prolonged_unnoticed
                a_changed_bit_is_noticed
                a_chunk_of_another_length_does_not_open
                chunks_are_sealed_whole_and_the_last_one_is_the_last
                the_same_content_never_looks_the_same
                what_a_destroyed_key_sealed_is_gone
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::content_sealer::$case($fresh().await).await;
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial, without keys.
    pub sealer: Arc<dyn ContentSealer>,
    /// What lies around it.
    pub world: Arc<dyn World>,
}

/// What lies around a sealer. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// Destroys the keys of a file, and lets the sealer know.
    async fn destroy(&self, file: FileId);
}

/// A sealed segment, its header apart.
#[derive(Clone)]
struct Sealed {
    segment: Segment,
    header: [u8; HEADER],
    chunks: Vec<Vec<u8>>,
}

fn file(n: u128) -> FileId {
    Uuid::from_u128(0x0197_a3c0_0000_7000_8000_0000_0000_0000 + n).into()
}

fn segment(n: u128) -> Segment {
    Segment { file: file(n), blob: BlobPart::Segment(0) }
}

/// So many whole chunks, and then so many bytes.
fn content(chunks: usize, rest: usize) -> Vec<u8> {
    noise(7, chunks * CHUNK + rest)
}

impl Fixture {
    async fn seal(&self, segment: Segment, content: &[u8]) -> Sealed {
        let mut sealing = self.sealer.seal(segment).await.unwrap();
        let mut chunks: Vec<_> = content.chunks(CHUNK).map(<[u8]>::to_vec).collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let last = chunks.len() - 1;
        for (n, chunk) in chunks.iter_mut().enumerate() {
            sealing.chunk(chunk, n == last).unwrap();
        }
        Sealed { segment, header: sealing.header(), chunks }
    }

    /// Opens one chunk, at a place of its own choosing.
    async fn open(
        &self,
        sealed: &Sealed,
        number: u64,
        is_last: bool,
        chunk: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let opening = self.sealer.open(sealed.segment, &sealed.header).await?;
        let mut chunk = chunk.to_vec();
        opening.chunk(number, is_last, &mut chunk).map(|plain| plain.to_vec())
    }

    /// Opens all of it, as one does who knows how many chunks there are.
    async fn open_all(&self, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        let mut plain = Vec::new();
        for (n, chunk) in sealed.chunks.iter().enumerate() {
            plain.extend(self.open(sealed, n as u64, n + 1 == sealed.chunks.len(), chunk).await?);
        }
        Ok(plain)
    }
}

fn assert_broken<T>(answer: Result<T, SealError>, why: &str) {
    assert!(matches!(answer, Err(SealError::Broken)), "{why}: {:?}", answer.map(drop));
}

/// Whatever its length, and takes a header and a tag for each chunk besides.
pub async fn what_was_sealed_opens(fixture: Fixture) {
    for (chunks, rest) in [(0, 0), (0, 1), (0, CHUNK - 1), (1, 0), (1, 1), (3, 0), (3, 100)] {
        let content = content(chunks, rest);
        let sealed = fixture.seal(segment(1), &content).await;
        let total: usize = sealed.chunks.iter().map(Vec::len).sum();
        assert_eq!(total, content.len() + TAG * sealed.chunks.len());
        assert!(fixture.open_all(&sealed).await.unwrap() == content, "{chunks} chunks and {rest}");
    }
    // Who does not know the end beforehand may end with an empty chunk.
    let mut sealing = fixture.sealer.seal(segment(2)).await.unwrap();
    let (mut whole, mut none) = (content(1, 0), Vec::new());
    sealing.chunk(&mut whole, false).unwrap();
    sealing.chunk(&mut none, true).unwrap();
    let sealed = Sealed { segment: segment(2), header: sealing.header(), chunks: vec![whole, none] };
    assert!(fixture.open_all(&sealed).await.unwrap() == content(1, 0));
}

/// And as often as one likes.
pub async fn chunks_open_in_any_order(fixture: Fixture) {
    let content = content(4, 10);
    let sealed = fixture.seal(segment(1), &content).await;
    let opening = fixture.sealer.open(sealed.segment, &sealed.header).await.unwrap();
    for n in [4_usize, 0, 3, 3, 1, 2, 4] {
        let mut chunk = sealed.chunks[n].clone();
        let plain = opening.chunk(n as u64, n == 4, &mut chunk).unwrap();
        assert!(*plain == content[n * CHUNK..content.len().min((n + 1) * CHUNK)], "chunk {n}");
    }
}

/// MUST open only at its own place.
pub async fn a_chunk_opens_at_its_own_place_only(fixture: Fixture) {
    let sealed = fixture.seal(segment(1), &content(4, 0)).await;
    for (n, chunk) in sealed.chunks.iter().enumerate() {
        for place in [0, 1, 2, 3, 4, 1 << 8, 1 << 16, 1 << 24, 1 << 32, (1 << 32) + 1, 1 << 40, u64::MAX] {
            for is_last in [false, true] {
                let answer = fixture.open(&sealed, place, is_last, chunk).await;
                if (place, is_last) == (n as u64, n == 3) {
                    answer.unwrap();
                } else {
                    assert_broken(answer, &format!("chunk {n} at {place}, last: {is_last}"));
                }
            }
        }
    }
}

/// In its own segment of its own file, as its own part, under its own header.
pub async fn a_segment_opens_as_itself_only(fixture: Fixture) {
    let content = content(1, 5);
    let mine = fixture.seal(segment(1), &content).await;
    let again = fixture.seal(segment(1), &content).await;
    let theirs = fixture.seal(segment(2), &content).await;
    for blob in [BlobPart::Segment(1), BlobPart::Thumbnail, BlobPart::Preview] {
        let moved = Sealed { segment: Segment { blob, ..segment(1) }, ..mine.clone() };
        assert_broken(fixture.open_all(&moved).await, "another part of the file");
    }
    let moved = Sealed { segment: segment(2), ..mine.clone() };
    assert_broken(fixture.open_all(&moved).await, "another file");
    let moved = Sealed { segment: segment(77), ..mine.clone() };
    assert_broken(fixture.open_all(&moved).await, "a file without a key");
    for header in [again.header, theirs.header] {
        assert_broken(fixture.open_all(&Sealed { header, ..mine.clone() }).await, "another header");
    }
    for other in [again, theirs] {
        for n in 0..2 {
            let mut mixed = mine.clone();
            mixed.chunks[n].clone_from(&other.chunks[n]);
            assert_broken(fixture.open_all(&mixed).await, "a chunk of another segment");
        }
    }
}

/// MUST not be shortened or prolonged: at a border of chunks, and within one.
pub async fn no_segment_is_shortened_or_prolonged_unnoticed(fixture: Fixture) {
    for rest in [0, 9] {
        let sealed = fixture.seal(segment(1), &content(3, rest)).await;
        for kept in 1..sealed.chunks.len() {
            let cut = Sealed { chunks: sealed.chunks[..kept].to_vec(), ..sealed.clone() };
            assert_broken(fixture.open_all(&cut).await, &format!("cut to {kept} chunks"));
        }
        for extra in [&sealed.chunks[0], sealed.chunks.last().unwrap()] {
            let mut longer = sealed.clone();
            longer.chunks.push(extra.clone());
            assert_broken(fixture.open_all(&longer).await, "a chunk more");
        }
        let mut swapped = sealed.clone();
        swapped.chunks.swap(0, 1);
        assert_broken(fixture.open_all(&swapped).await, "two chunks swapped");
    }
}

/// In the header as in a chunk.
pub async fn a_changed_bit_is_noticed(fixture: Fixture) {
    let sealed = fixture.seal(segment(1), b"take two a day").await;
    for bit in 0..HEADER * 8 {
        let mut changed = sealed.clone();
        changed.header[bit / 8] ^= 1 << (bit % 8);
        assert_broken(fixture.open_all(&changed).await, &format!("bit {bit} of the header"));
    }
    for bit in 0..sealed.chunks[0].len() * 8 {
        let mut changed = sealed.clone();
        changed.chunks[0][bit / 8] ^= 1 << (bit % 8);
        assert_broken(fixture.open_all(&changed).await, &format!("bit {bit} of a chunk"));
    }
}

/// MUST NOT panic either.
pub async fn a_chunk_of_another_length_does_not_open(fixture: Fixture) {
    let sealed = fixture.seal(segment(1), &content(1, 100)).await;
    let long = [&sealed.chunks[0][..], &[0; TAG]].concat();
    for (n, chunk) in sealed.chunks.iter().enumerate() {
        for length in [0, 1, TAG - 1, TAG, TAG + 1, 100 + TAG, CHUNK, CHUNK + TAG, CHUNK + TAG + 1] {
            if length != chunk.len() {
                let other = [&chunk[..], &long[..]].concat()[..length].to_vec();
                let answer = fixture.open(&sealed, n as u64, n == 1, &other).await;
                assert_broken(answer, &format!("chunk {n} with {length} bytes"));
            }
        }
    }
}

/// It MUST be as long as a chunk is unless it is the last, and nothing comes after that.
pub async fn chunks_are_sealed_whole_and_the_last_one_is_the_last(fixture: Fixture) {
    for (length, is_last) in
        [(0, false), (1, false), (CHUNK - 1, false), (CHUNK + 1, false), (CHUNK + 1, true)]
    {
        let mut sealing = fixture.sealer.seal(segment(1)).await.unwrap();
        assert_broken(
            sealing.chunk(&mut vec![0; length], is_last),
            &format!("{length} bytes, last: {is_last}"),
        );
    }
    for length in [0, 1, CHUNK] {
        let mut sealing = fixture.sealer.seal(segment(1)).await.unwrap();
        sealing.chunk(&mut vec![0; length], true).unwrap();
        for is_last in [false, true] {
            assert_broken(sealing.chunk(&mut vec![0; CHUNK], is_last), "after the last");
        }
    }
}

/// MUST NOT: not even under the same name, and not two chunks of one segment.
pub async fn the_same_content_never_looks_the_same(fixture: Fixture) {
    let zeros = vec![0; 3 * CHUNK];
    let (one, other) = (fixture.seal(segment(1), &zeros).await, fixture.seal(segment(1), &zeros).await);
    assert_ne!(one.header, other.header);
    let mut chunks: Vec<_> = one.chunks.iter().chain(&other.chunks).map(|chunk| &chunk[..64]).collect();
    assert!(chunks.iter().all(|chunk| *chunk != &zeros[..64]));
    chunks.sort_unstable();
    chunks.dedup();
    assert_eq!(chunks.len(), 6);
}

/// [`SealError::Destroyed`] for what it sealed and for what it should seal; other files are none the worse.
pub async fn what_a_destroyed_key_sealed_is_gone(fixture: Fixture) {
    let (gone, kept) = (fixture.seal(segment(1), b"x").await, fixture.seal(segment(2), b"y").await);
    fixture.world.destroy(file(1)).await;
    assert!(matches!(fixture.open_all(&gone).await, Err(SealError::Destroyed)));
    assert!(matches!(fixture.sealer.seal(segment(1)).await.map(drop), Err(SealError::Destroyed)));
    assert_eq!(fixture.open_all(&kept).await.unwrap(), b"y");
}
