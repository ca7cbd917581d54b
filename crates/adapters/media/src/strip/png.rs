//! PNG: a row of chunks.

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Chunks that a picture needs: its pixels, what its colours mean, how large it is printed, and how it moves.
const OF_THE_PICTURE: [&[u8; 4]; 18] = [
    b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP",
    b"mDCV", b"cLLI", b"bKGD", b"pHYs", b"acTL", b"fcTL", b"fdAT",
];

/// The same picture without what is not the picture; nothing if this is no whole PNG.
pub(super) fn strip(content: &[u8]) -> Option<Vec<u8>> {
    let mut rest = content.strip_prefix(SIGNATURE)?;
    let exif = find_exif(rest);
    let mut stripped = SIGNATURE.to_vec();
    stripped.reserve(content.len());
    loop {
        let (kind, whole) = take_chunk(&mut rest)?;
        if OF_THE_PICTURE.contains(&&kind) {
            stripped.extend_from_slice(whole);
        }
        if &kind == b"IHDR"
            && let Some(block) = exif.and_then(super::upright)
        {
            put(&mut stripped, *b"eXIf", &block);
        }
        if &kind == b"IEND" {
            return Some(stripped);
        }
    }
}

fn find_exif(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (kind, whole) = take_chunk(&mut rest)?;
        if &kind == b"eXIf" {
            return whole.get(8..whole.len() - 4);
        }
    }
}

/// A chunk's kind, and all of it with its length and checksum, which must be right.
fn take_chunk<'a>(rest: &mut &'a [u8]) -> Option<([u8; 4], &'a [u8])> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (kind, _) = after.split_first_chunk::<4>()?;
    let end = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(8)?;
    let (_, checksum) = rest.get(..end + 4)?.split_last_chunk::<4>()?;
    if crc32fast::hash(&rest[4..end]) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let (whole, next) = rest.split_at(end + 4);
    *rest = next;
    Some((*kind, whole))
}

fn put(into: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let chunk = [&kind, data].concat();
    into.extend_from_slice(&u32::try_from(data.len()).unwrap_or_default().to_be_bytes());
    into.extend_from_slice(&chunk);
    into.extend_from_slice(&crc32fast::hash(&chunk).to_be_bytes());
}
