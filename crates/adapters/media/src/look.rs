//! What a file looks like.

use alivio_files::Looks;
use bytes::Bytes;
use image::{DynamicImage, ImageFormat};

use crate::document::Ground;
use crate::{Refusal, document, picture};

/// The longest side of a thumbnail.
const THUMBNAIL: u32 = 256;
/// The longest side of a preview.
const PREVIEW: u32 = 1600;

pub(crate) fn look(mime: &str, content: Bytes) -> Result<Looks, Refusal> {
    if let Some(format) = picture::format(mime) {
        return of_picture(format, &content).ok_or(Refusal::Unfit);
    }
    match mime {
        "application/pdf" => of_document(content).ok_or(Refusal::Unfit),
        _ => Err(Refusal::Unsupported),
    }
}

fn of_picture(format: ImageFormat, content: &[u8]) -> Option<Looks> {
    let picture = picture::open(format, content)?;
    // Small ones are turned faster.
    let mut preview = picture::shrink(picture.pixels, PREVIEW);
    preview.apply_orientation(picture.orientation);
    looks(preview, picture.profile.as_deref(), 1)
}

fn of_document(content: Bytes) -> Option<Looks> {
    let (first, pages) = document::first_page(content, PREVIEW, Ground::Paper)?;
    looks(first, None, pages)
}

fn looks(preview: DynamicImage, profile: Option<&[u8]>, pages: u32) -> Option<Looks> {
    let large = picture::rendition(&preview, profile)?;
    let small = picture::shrink(preview, THUMBNAIL);
    Some(Looks { thumbnail: picture::rendition(&small, profile)?, preview: large, pages })
}
