//! What a camera adds, taken away; what shows, left as it is to the byte (FI-12).
//!
//! Nothing is decoded: a file is taken apart into its segments, and those are written that a picture needs. What is not
//! known is dropped, and so is everything behind the picture's end, where another file may hide (FI-02).

mod jpeg;
mod png;

use image::metadata::Orientation;

use crate::Refusal;

pub(crate) fn strip(mime: &str, content: &[u8]) -> Result<Vec<u8>, Refusal> {
    match mime {
        "image/jpeg" => jpeg::strip(content).ok_or(Refusal::Unfit),
        "image/png" => png::strip(content).ok_or(Refusal::Unfit),
        _ => Err(Refusal::Unsupported),
    }
}

/// An EXIF block that says which way is up and nothing else; nothing if the picture stands already.
fn upright(exif: &[u8]) -> Option<Vec<u8>> {
    let orientation = Orientation::from_exif_chunk(exif)?;
    if orientation == Orientation::NoTransforms {
        return None;
    }
    // Big-endian, one directory at 8 with one entry: tag 0x0112, of type SHORT, once; no directory after it.
    let mut block = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
    block[19] = orientation.to_exif();
    Some(block)
}
