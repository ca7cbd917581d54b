//! Pictures: opened within bounds, made small, and written.

use std::io::Cursor;

use alivio_files::Rendition;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};

/// The most pixels that a picture may have (FI-06).
const MOST_PIXELS: u64 = 40_000_000;
/// Memory for its pixels: 16 bits of four colours would not leave room to work in.
const MOST_BYTES: u64 = 4 * MOST_PIXELS;
/// Of JPEG, of 100.
const QUALITY: u8 = 85;
/// The longest colour profile that is taken along.
const LONGEST_PROFILE: usize = 64 << 10;

/// A picture as it is stored, and how to look at it.
pub(crate) struct Picture {
    /// Not yet the right way up.
    pub(crate) pixels: DynamicImage,
    pub(crate) orientation: Orientation,
    /// What its colours mean. Says nothing of who took it, and without it skin has another tone.
    pub(crate) profile: Option<Vec<u8>>,
}

/// The format of a type of picture that is worked on.
pub(crate) fn format(mime: &str) -> Option<ImageFormat> {
    match mime {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        _ => None,
    }
}

/// Decodes a picture, after a look at what its header promises.
pub(crate) fn open(format: ImageFormat, content: &[u8]) -> Option<Picture> {
    let mut reader = ImageReader::with_format(Cursor::new(content), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MOST_PIXELS || decoder.total_bytes() > MOST_BYTES {
        return None;
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| profile.len() <= LONGEST_PROFILE);
    Some(Picture { pixels: DynamicImage::from_decoder(decoder).ok()?, orientation, profile })
}

/// `pixels` within a square of `side`, never enlarged.
pub(crate) fn shrink(pixels: DynamicImage, side: u32) -> DynamicImage {
    if pixels.width() <= side && pixels.height() <= side { pixels } else { pixels.thumbnail(side, side) }
}

/// Written as JPEG, or as PNG where one can see through.
pub(crate) fn rendition(pixels: &DynamicImage, profile: Option<&[u8]>) -> Option<Rendition> {
    let (width, height) = (pixels.width(), pixels.height());
    if pixels.color().has_alpha() {
        let eight_bits = pixels.to_rgba8();
        if eight_bits.pixels().any(|pixel| pixel.0[3] != u8::MAX) {
            let bytes = write(&eight_bits.into(), ImageFormat::Png, profile)?.into();
            return Some(Rendition { bytes, mime: "image/png", width, height });
        }
    }
    let bytes = write(&pixels.to_rgb8().into(), ImageFormat::Jpeg, profile)?.into();
    Some(Rendition { bytes, mime: "image/jpeg", width, height })
}

/// Encoded from bare pixels: nothing else of an original comes along but what its colours mean.
pub(crate) fn write(pixels: &DynamicImage, format: ImageFormat, profile: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    match format {
        ImageFormat::Png => encode(pixels, PngEncoder::new(&mut bytes), profile)?,
        _ => encode(pixels, JpegEncoder::new_with_quality(&mut bytes, QUALITY), profile)?,
    }
    Some(bytes)
}

fn encode(pixels: &DynamicImage, mut encoder: impl ImageEncoder, profile: Option<&[u8]>) -> Option<()> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).ok()?;
    }
    pixels.write_with_encoder(encoder).ok()
}
