//! JPEG: a row of segments, and between them the coded pixels.

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;

/// Of `JFIF` what is no thumbnail: its name, version and the density of pixels.
const JFIF_HEAD: usize = 12;

/// The same picture without what is not the picture; nothing if this is no whole JPEG.
pub(super) fn strip(content: &[u8]) -> Option<Vec<u8>> {
    let mut rest = content.strip_prefix(&[0xff, SOI])?;
    let mut head = vec![0xff, SOI];
    let mut body = Vec::with_capacity(content.len());
    let mut exif = None;
    let mut shows = false;
    loop {
        let marker = take_marker(&mut rest)?;
        if marker == EOI {
            break;
        }
        let segment = take_segment(&mut rest)?;
        match marker {
            APP0 if segment.starts_with(b"JFIF\0") && head.len() == 2 => {
                // Decoders look for it first; the two zeros say that there is no thumbnail.
                put(&mut head, APP0, &[segment.get(..JFIF_HEAD)?, &[0, 0]].concat());
            }
            APP1 if segment.starts_with(b"Exif\0") && exif.is_none() => exif = segment.get(6..),
            APP2 if segment.starts_with(b"ICC_PROFILE\0") => put(&mut body, APP2, segment),
            APP14 if segment.starts_with(b"Adobe") => put(&mut body, APP14, segment),
            _ if is_of_the_picture(marker) => put(&mut body, marker, segment),
            // Comments, all else that programs add, and what nobody knows.
            _ => {}
        }
        if marker == SOS {
            shows = true;
            body.extend_from_slice(take_scan(&mut rest)?);
        }
    }
    if !shows {
        return None;
    }
    if let Some(block) = exif.and_then(super::upright) {
        put(&mut head, APP1, &[b"Exif\0\0", &block[..]].concat());
    }
    head.append(&mut body);
    head.extend_from_slice(&[0xff, EOI]);
    Some(head)
}

/// Frames, tables and scans; arithmetic coding and hierarchies too, though hardly anyone reads them.
fn is_of_the_picture(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf | SOS..=0xdf)
}

/// A marker may have any number of `0xff` before it.
fn take_marker(rest: &mut &[u8]) -> Option<u8> {
    let bytes = rest.strip_prefix(&[0xff])?;
    let at = bytes.iter().position(|byte| *byte != 0xff)?;
    *rest = &bytes[at + 1..];
    Some(bytes[at])
}

/// What is in a segment, after its length.
fn take_segment<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
    let segment = rest.get(2..length)?;
    *rest = &rest[length..];
    Some(segment)
}

/// Coded pixels: up to a marker that is neither a coded `0xff` nor a restart.
fn take_scan<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut end = 0;
    loop {
        end += rest[end..].windows(2).position(|pair| pair[0] == 0xff && pair[1] != 0xff)?;
        if !matches!(rest[end + 1], 0x00 | 0xd0..=0xd7) {
            break;
        }
        end += 2;
    }
    let (scan, after) = rest.split_at(end);
    *rest = after;
    Some(scan)
}

fn put(into: &mut Vec<u8>, marker: u8, segment: &[u8]) {
    // Never longer than what was taken: a length of two bytes.
    let length = u16::try_from(segment.len() + 2).unwrap_or(u16::MAX);
    into.extend_from_slice(&[0xff, marker]);
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(segment);
}
