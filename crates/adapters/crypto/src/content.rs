//! `files::ContentSealer`. The layout is described, and explained, in the crate's [documentation](crate#files).

use alivio_files::{BlobKey, CHUNK, ContentSealer, HEADER, OpeningSegment, SealingSegment, Segment, TAG};
use alivio_kernel::ids::{DataKeyId, Uuid};
use alivio_kernel::sealing::{Scope, SealError};
use async_trait::async_trait;
use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use crate::envelope::{DataKey, EnvelopeSealer};
use crate::frame::frame;
use crate::random;

/// The layout of a segment. A change of it needs a new number, and the old one must go on opening.
const FORMAT: u8 = 1;
/// AES-256-GCM in chunks, under a key of the segment's own.
const AES_256_GCM_STREAM: u8 = 2;
/// Of the header: format, algorithm, data key.
const NAMES_LEN: usize = 18;
const SALT_LEN: usize = HEADER - NAMES_LEN;
/// How much of the salt is in every nonce.
const PREFIX_LEN: usize = 7;

/// What the chunks of a segment have in common.
struct Stream {
    key: LessSafeKey,
    aad: Vec<u8>,
    prefix: [u8; PREFIX_LEN],
}

impl Stream {
    fn new(key: &DataKey, segment: Segment, header: &[u8; HEADER]) -> Result<Self, SealError> {
        let usable = key.key.as_ref().ok_or(SealError::Destroyed)?;
        let place = BlobKey { owner: segment.file.uuid(), part: segment.blob }.to_string();
        let mut prefix = [0; PREFIX_LEN];
        prefix.copy_from_slice(&header[HEADER - PREFIX_LEN..]);
        Ok(Self {
            key: usable.derive(&frame(&[b"alivio segment key", header])).map_err(|_| SealError::Broken)?,
            aad: frame(&[b"alivio segment", header, place.as_bytes()]),
            prefix,
        })
    }

    /// `None` past 2³² chunks.
    fn nonce(&self, number: u64, is_last: bool) -> Option<Nonce> {
        let number = u32::try_from(number).ok()?;
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..NONCE_LEN - 1].copy_from_slice(&number.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(is_last);
        Some(Nonce::assume_unique_for_key(nonce))
    }
}

/// Whether a chunk may have so many bytes.
const fn is_fit(length: usize, is_last: bool) -> bool {
    length == CHUNK || (is_last && length < CHUNK)
}

struct Sealing {
    stream: Stream,
    header: [u8; HEADER],
    /// Past the last one: none.
    next: Option<u64>,
}

impl SealingSegment for Sealing {
    fn header(&self) -> [u8; HEADER] {
        self.header
    }

    fn chunk(&mut self, plain: &mut Vec<u8>, is_last: bool) -> Result<(), SealError> {
        let number = self.next.filter(|_| is_fit(plain.len(), is_last)).ok_or(SealError::Broken)?;
        let nonce = self.stream.nonce(number, is_last).ok_or(SealError::Broken)?;
        // Used up, whatever comes of it.
        self.next = if is_last { None } else { Some(number + 1) };
        let sealed = self.stream.key.seal_in_place_append_tag(nonce, Aad::from(&self.stream.aad), plain);
        sealed.map_err(|_| SealError::Broken)
    }
}

struct Opening(Stream);

impl OpeningSegment for Opening {
    fn chunk<'a>(&self, number: u64, is_last: bool, sealed: &'a mut [u8]) -> Result<&'a mut [u8], SealError> {
        let length = sealed.len().checked_sub(TAG).ok_or(SealError::Broken)?;
        let nonce =
            self.0.nonce(number, is_last).filter(|_| is_fit(length, is_last)).ok_or(SealError::Broken)?;
        self.0.key.open_in_place(nonce, Aad::from(&self.0.aad), sealed).map_err(|_| SealError::Broken)
    }
}

#[async_trait]
impl ContentSealer for EnvelopeSealer {
    async fn seal(&self, segment: Segment) -> Result<Box<dyn SealingSegment>, SealError> {
        let key = self.active_key(Scope::File(segment.file)).await?;
        let salt: [u8; SALT_LEN] = random().map_err(|error| SealError::Unavailable(error.into()))?;
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&[FORMAT, AES_256_GCM_STREAM]);
        header[2..NAMES_LEN].copy_from_slice(key.id.uuid().as_bytes());
        header[NAMES_LEN..].copy_from_slice(&salt);
        Ok(Box::new(Sealing { stream: Stream::new(&key, segment, &header)?, header, next: Some(0) }))
    }

    async fn open(
        &self,
        segment: Segment,
        header: &[u8; HEADER],
    ) -> Result<Box<dyn OpeningSegment>, SealError> {
        let (names, _) = header.split_first_chunk::<NAMES_LEN>().ok_or(SealError::Broken)?;
        let [FORMAT, AES_256_GCM_STREAM, id @ ..] = names else { return Err(SealError::Broken) };
        let id = DataKeyId::from(Uuid::from_bytes(*id));
        let keys = self.keys(vec![id]).await?;
        let key = keys.get(&id).filter(|key| key.is_of(Scope::File(segment.file)));
        Ok(Box::new(Opening(Stream::new(key.ok_or(SealError::Broken)?, segment, header)?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use alivio_files::BlobPart;
    use alivio_files::testing::content_sealer::{Fixture, World};
    use alivio_files::testing::noise;
    use alivio_kernel::Sealer;
    use alivio_kernel::ids::FileId;
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::tests::{World as Keys, unhex};

    struct Around {
        keys: Keys,
        sealer: Arc<EnvelopeSealer>,
    }

    #[async_trait]
    impl World for Around {
        async fn destroy(&self, file: FileId) {
            self.keys.destroy(Scope::File(file));
            self.sealer.forget(Scope::File(file)).await;
        }
    }

    fn around() -> Around {
        let keys = Keys::new();
        Around { sealer: Arc::new(keys.node()), keys }
    }

    async fn fresh() -> Fixture {
        let around = around();
        Fixture { sealer: Arc::clone(&around.sealer) as _, world: Arc::new(around) }
    }
    alivio_files::content_sealer_conformance!(fresh);

    fn segment() -> Segment {
        Segment { file: Uuid::from_u128(7).into(), blob: BlobPart::Segment(0) }
    }

    /// As it is stored: the header, and then the chunks.
    async fn sealed(sealer: &dyn ContentSealer, content: &[u8]) -> Vec<u8> {
        let mut sealing = sealer.seal(segment()).await.unwrap();
        let mut stored = sealing.header().to_vec();
        let mut rest = content;
        loop {
            let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
            let mut chunk = chunk.to_vec();
            sealing.chunk(&mut chunk, after.is_empty()).unwrap();
            stored.extend(chunk);
            if after.is_empty() {
                return stored;
            }
            rest = after;
        }
    }

    /// The stretch of the content, read as whoever serves a range does it; `size` is what the file is known to have.
    async fn stretch(
        sealer: &dyn ContentSealer,
        stored: &[u8],
        size: usize,
        range: std::ops::Range<usize>,
    ) -> Result<Vec<u8>, SealError> {
        let header = stored.first_chunk::<HEADER>().ok_or(SealError::Broken)?;
        let opening = sealer.open(segment(), header).await?;
        let last = size.saturating_sub(1) / CHUNK;
        let mut plain = Vec::new();
        for number in range.start / CHUNK..=range.end.saturating_sub(1).max(range.start) / CHUNK {
            let start = HEADER + number * (CHUNK + TAG);
            let end = HEADER + size.min((number + 1) * CHUNK) + (number + 1) * TAG;
            let mut chunk = stored.get(start..end).ok_or(SealError::Broken)?.to_vec();
            plain.extend_from_slice(opening.chunk(number as u64, number == last, &mut chunk)?);
        }
        let before = range.start / CHUNK * CHUNK;
        Ok(plain[range.start - before..range.end - before].to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// FI-09.
        #[test]
        fn any_stretch_that_opens_is_the_slice_of_what_was_sealed(
            size in prop_oneof![0..3 * CHUNK, Just(CHUNK), Just(2 * CHUNK), Just(CHUNK + 1)],
            ends in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let around = around();
                let content = noise(1, size);
                let stored = sealed(&*around.sealer, &content).await;
                let (a, b) = (ends.0.index(size + 1), ends.1.index(size + 1));
                let range = a.min(b)..a.max(b);
                if range.start < size {
                    let read = stretch(&*around.sealer, &stored, size, range.clone()).await.unwrap();
                    assert!(read == content[range]);
                }
            });
        }

        /// FI-09: whatever is done to the stored bytes, one reads what was sealed, or an error.
        #[test]
        fn nothing_that_is_done_to_the_store_is_ever_taken_for_content(
            size in 1..3 * CHUNK,
            deed in 0..6,
            places in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            byte in 1..=u8::MAX,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let around = around();
                let content = noise(1, size);
                let stored = sealed(&*around.sealer, &content).await;
                let mut spoilt = stored.clone();
                let (a, b) = (places.0.index(stored.len()), places.1.index(stored.len()));
                match deed {
                    0 => spoilt[a] ^= byte,
                    1 => spoilt.truncate(a),
                    2 => spoilt.insert(a, byte),
                    3 => drop(spoilt.drain(a.min(b)..a.max(b))),
                    4 => spoilt.copy_within(a.min(b)..a.max(b), 0),
                    _ => spoilt[a.min(b)..].rotate_left(1),
                }
                for number in 0..size.div_ceil(CHUNK) {
                    let range = number * CHUNK..size.min((number + 1) * CHUNK);
                    if let Ok(read) = stretch(&*around.sealer, &spoilt, size, range.clone()).await {
                        assert!(read == content[range], "after deed {deed}");
                    }
                }
                // Where it is told that the file is shorter or longer, it is not believed.
                for told in [size / 2, size.saturating_sub(1), size + 1, size + CHUNK] {
                    let last = told.saturating_sub(1) / CHUNK * CHUNK..told;
                    if told != size {
                        assert!(stretch(&*around.sealer, &stored, told, last).await.is_err(), "{told} for {size}");
                    }
                }
            });
        }
    }

    #[tokio::test]
    async fn stored_files_of_today_open_tomorrow() {
        // Written by another implementation (Python's `cryptography`) from the layout in the crate's documentation.
        let id = |n: u128| Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000 | n);
        let wrapped = unhex(
            "0101040404040404040404040404e6a8524990b1b240ae4597b5995ca58b7c11e0ae2525ec3dc28af4b4ca31b21ca3478c3f5e8a95\
             f63a19da6c2e0471fc",
        );
        let keys = Keys::known(id(1), Scope::File(id(2).into()), wrapped);
        let header = unhex("010200000000000070008000000000000001a0a1a2a3a4a5a6a7a8a9aaabacad");
        let mut chunk =
            unhex("b4ce755f365c578e4f0e8634871414f9d536b24b150d3b85fe18b605ca479dfae464013bc3badfc6");
        let segment = Segment { file: id(2).into(), blob: BlobPart::Segment(3) };
        let opening = keys.node().open(segment, header.first_chunk().unwrap()).await.unwrap();
        assert_eq!(opening.chunk(258, true, &mut chunk).unwrap(), "Tórax, dos proyecciones".as_bytes());
    }

    #[tokio::test]
    async fn no_salt_is_drawn_twice() {
        let around = around();
        let mut headers = HashSet::new();
        for _ in 0..10_000 {
            headers.insert(ContentSealer::seal(&*around.sealer, segment()).await.unwrap().header());
        }
        assert_eq!(headers.len(), 10_000);
    }

    #[tokio::test]
    async fn a_segment_has_no_more_chunks_than_numbers() {
        let around = around();
        let key = around.sealer.active_key(Scope::File(segment().file)).await.unwrap();
        let last = u64::from(u32::MAX);
        for (number, fits) in [(last, true), (last + 1, false)] {
            let header = [1; HEADER];
            let stream = Stream::new(&key, segment(), &header).unwrap();
            let mut sealing = Sealing { stream, header, next: Some(number) };
            let mut chunk = vec![0; CHUNK];
            assert_eq!(sealing.chunk(&mut chunk, false).is_ok(), fits);
            assert!(sealing.chunk(&mut vec![0; CHUNK], false).is_err());
        }
    }

    #[tokio::test]
    async fn keys_of_files_rotate_and_go_on_opening() {
        let Around { keys, sealer } = around();
        let old = sealed(&*sealer, b"old").await;
        keys.retire();
        let ring = keys.ring.with_newer_kek();
        let node = keys.node_with(&ring);
        let new = sealed(&node, b"new").await;
        assert_ne!(old[2..18], new[2..18], "a newer key seals");
        assert_eq!(node.rewrap_all().await.unwrap(), 1);
        let node = keys.node_with(&ring.without_kek(1));
        assert_eq!(stretch(&node, &old, 3, 0..3).await.unwrap(), b"old");
        assert_eq!(stretch(&node, &new, 3, 0..3).await.unwrap(), b"new");
    }

    /// `cargo test -p alivio-crypto --release -- --ignored --nocapture sealing_costs`
    #[tokio::test]
    #[ignore = "a measurement, for a machine that does nothing else"]
    async fn sealing_costs_little_more_than_the_cipher() {
        const CHUNKS: usize = 8192;
        let around = around();
        let gigabytes =
            |began: std::time::Instant| (CHUNKS * CHUNK) as f64 / began.elapsed().as_secs_f64() / 1e9;
        let mut chunk = Vec::with_capacity(CHUNK + TAG);
        let (mut cipher, mut sealing, mut opening) = (0_f64, 0_f64, 0_f64);
        for _ in 0..3 {
            let key = around.sealer.active_key(Scope::File(segment().file)).await.unwrap();
            let bare = key.key.as_ref().unwrap().derive(b"bare").unwrap();
            let began = std::time::Instant::now();
            for number in 0..CHUNKS {
                chunk.clear();
                chunk.resize(CHUNK, 7);
                let mut nonce = [0; NONCE_LEN];
                nonce[..8].copy_from_slice(&number.to_be_bytes());
                let nonce = Nonce::assume_unique_for_key(nonce);
                bare.seal_in_place_append_tag(nonce, Aad::empty(), &mut chunk).unwrap();
            }
            cipher = cipher.max(gigabytes(began));

            let mut segment_of_all = ContentSealer::seal(&*around.sealer, segment()).await.unwrap();
            let began = std::time::Instant::now();
            for _ in 0..CHUNKS {
                chunk.clear();
                chunk.resize(CHUNK, 7);
                segment_of_all.chunk(&mut chunk, false).unwrap();
            }
            sealing = sealing.max(gigabytes(began));

            let opened = around.sealer.open(segment(), &segment_of_all.header()).await.unwrap();
            let (last, mut copy) = (chunk.clone(), chunk.clone());
            let began = std::time::Instant::now();
            for _ in 0..CHUNKS {
                copy.copy_from_slice(&last);
                opened.chunk(CHUNKS as u64 - 1, false, &mut copy).unwrap();
            }
            opening = opening.max(gigabytes(began));
        }
        println!("GB/s: cipher {cipher:.2}, sealing {sealing:.2}, opening {opening:.2}");
        assert!(sealing > 0.8 * cipher && opening > 0.8 * cipher);
    }
}
