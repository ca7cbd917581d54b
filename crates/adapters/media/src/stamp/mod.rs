//! Copies that say who looks at them.

mod document;
mod layer;
mod picture;

use alivio_files::Stamp;
use bytes::Bytes;

use crate::Refusal;
use crate::picture::format;

/// A copy of the same type with `stamp` across it.
pub(crate) fn stamp(mime: &str, content: Bytes, stamp: &Stamp) -> Result<Vec<u8>, Refusal> {
    let lines: Vec<Vec<u8>> = stamp.lines.iter().map(|line| layer::encoded(line)).collect();
    if let Some(format) = format(mime) {
        return picture::stamp(format, &content, &lines).ok_or(Refusal::Unfit);
    }
    match mime {
        "application/pdf" => document::stamp(&content, &lines).ok_or(Refusal::Unfit),
        _ => Err(Refusal::Unsupported),
    }
}
