//! Pictures of people: checked, shrunk, and freed of all that is not the picture (where it was taken, by what).

use std::io::Cursor;
use std::sync::Arc;

use alivio_accounts::{Error, ImageForm, ImageResizer};
use async_trait::async_trait;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use tokio::sync::Semaphore;

/// The sides of the square that a picture is made to fit, in pixels.
const SIDE: u32 = 256;
/// The longest side of a picture that is taken.
const LONGEST: u32 = 4096;
/// Memory for the pixels of one picture: 4,096² of four bytes.
const MEMORY: u64 = 64 << 20;
/// Of 100.
const QUALITY: u8 = 85;

/// [`ImageResizer`] by the `image` crate, off the async threads: so many pictures at a time, while so many wait. Memory
/// is bounded by some 130 MiB for each that is worked on.
#[derive(Debug)]
pub struct Shrinker {
    /// Permits for those that work or wait.
    admission: Arc<Semaphore>,
    /// Permits for those that work.
    workers: Arc<Semaphore>,
}

impl Shrinker {
    /// At most `concurrency` pictures at once, at least one, while at most `queue` wait.
    pub fn new(concurrency: usize, queue: usize) -> Self {
        let workers = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let admitted = workers.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        Self { admission: Arc::new(Semaphore::new(admitted)), workers: Arc::new(Semaphore::new(workers)) }
    }
}

#[async_trait]
impl ImageResizer for Shrinker {
    async fn shrink(&self, bytes: Vec<u8>) -> Result<(Vec<u8>, ImageForm), Error> {
        let admission = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| Error::Busy)?;
        let worker = Arc::clone(&self.workers).acquire_owned().await;
        let worker = worker.map_err(|error| Error::Unavailable(error.into()))?;
        let work = tokio::task::spawn_blocking(move || {
            let small = shrink(&bytes).ok_or(Error::UnsupportedImage);
            // Held to here: a caller that gives up does not stop the work, so it must not free its place.
            drop((admission, worker));
            small
        });
        work.await.map_err(|error| Error::Unavailable(error.into()))?
    }
}

fn shrink(bytes: &[u8]) -> Option<(Vec<u8>, ImageForm)> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return None;
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST);
    limits.max_image_height = Some(LONGEST);
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 || width > LONGEST || height > LONGEST || decoder.total_bytes() > MEMORY {
        return None;
    }
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder).ok()?;
    if image.width() > SIDE || image.height() > SIDE {
        image = image.thumbnail(SIDE, SIDE);
    }
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let mut small = Vec::new();
    // Encoded from bare pixels: nothing else of the original comes along.
    if image.color().has_alpha() {
        DynamicImage::ImageRgba8(image.to_rgba8())
            .write_to(&mut Cursor::new(&mut small), ImageFormat::Png)
            .ok()?;
        return Some((small, ImageForm::Png));
    }
    JpegEncoder::new_with_quality(&mut small, QUALITY).encode_image(&image.to_rgb8()).ok()?;
    Some((small, ImageForm::Jpeg))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, RgbaImage};

    use super::*;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn photo(width: u32, height: u32) -> DynamicImage {
        let colour = |x, y| Rgb([(x % 256) as u8, (y % 256) as u8, 128]);
        DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, colour))
    }

    fn dimensions(bytes: &[u8]) -> (u32, u32) {
        let image = image::load_from_memory(bytes).unwrap();
        (image.width(), image.height())
    }

    /// A JPEG with an EXIF block in front that says `turned by 90°`, and where it was taken.
    fn turned(jpeg: &[u8]) -> Vec<u8> {
        let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
        exif.extend(b"GPS 40.4168 -3.7038");
        let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
    }

    /// A PNG whose header promises `width` × `height`, with a right checksum and no pixels to speak of.
    fn bomb(width: u32, height: u32) -> Vec<u8> {
        let mut png = encoded(&photo(1, 1), ImageFormat::Png);
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = png[12..29].iter().fold(u32::MAX, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
        });
        png[29..33].copy_from_slice(&(!crc).to_be_bytes());
        png
    }

    #[test]
    fn pictures_are_made_to_fit() {
        let (small, form) = shrink(&encoded(&photo(1000, 500), ImageFormat::Jpeg)).unwrap();
        assert_eq!((dimensions(&small), form), ((256, 128), ImageForm::Jpeg));
        let (small, form) = shrink(&encoded(&photo(20, 10), ImageFormat::Png)).unwrap();
        assert_eq!((dimensions(&small), form), ((20, 10), ImageForm::Jpeg));
        let clear = DynamicImage::ImageRgba8(RgbaImage::new(300, 300));
        let (small, form) = shrink(&encoded(&clear, ImageFormat::Png)).unwrap();
        assert_eq!((dimensions(&small), form), ((256, 256), ImageForm::Png));
    }

    #[test]
    fn where_it_was_taken_is_lost_and_what_was_turned_stands() {
        let original = turned(&encoded(&photo(400, 200), ImageFormat::Jpeg));
        assert!(image::load_from_memory(&original).is_ok());
        let (small, _) = shrink(&original).unwrap();
        assert_eq!(dimensions(&small), (128, 256));
        assert!(!small.windows(3).any(|bytes| bytes == b"GPS") && !small.windows(4).any(|b| b == b"Exif"));
    }

    #[test]
    fn what_is_no_usable_picture_is_refused() {
        let jpeg = encoded(&photo(300, 300), ImageFormat::Jpeg);
        let png = encoded(&photo(300, 300), ImageFormat::Png);
        assert!(shrink(&bomb(1, 1)).is_some(), "the bomb is well made");
        for bad in [
            &b""[..],
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            b"<html><script>alert(1)</script></html>",
            b"GIF89a\x01\0\x01\0\0\0\0;",
            b"\x89PNG\r\n\x1a\n",
            &png[..png.len() / 2],
            &jpeg[..100],
            &bomb(30_000, 30_000),
            &bomb(4097, 1),
        ] {
            assert!(shrink(bad).is_none(), "{:?}", &bad[..bad.len().min(12)]);
        }
    }

    #[tokio::test]
    async fn those_who_would_wait_for_long_are_told_so() {
        let shrinker = Shrinker::new(1, 0);
        let _working = Arc::clone(&shrinker.admission).try_acquire_owned().unwrap();
        assert!(matches!(shrinker.shrink(Vec::new()).await, Err(Error::Busy)));
    }
}
