//! Content of all kinds, made here, and the workshop that works on it.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod pdf;
pub(crate) mod sound;

use std::io::Cursor;
use std::time::Duration;

use alivio_media::{ChildWorkshop, WorkshopOptions};
use bytes::Bytes;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

pub(crate) const PNG: &str = "image/png";
pub(crate) const JPEG: &str = "image/jpeg";
pub(crate) const PDF: &str = "application/pdf";

/// A child of this crate that does what `word` says.
pub(crate) fn options(word: &str) -> WorkshopOptions {
    WorkshopOptions {
        program: env!("CARGO_BIN_EXE_alivio-media-child").into(),
        arguments: vec![word.into()],
        concurrency: 2,
        queue: 64,
        patience: Duration::from_secs(60),
    }
}

pub(crate) fn workshop() -> ChildWorkshop {
    ChildWorkshop::new(options("workshop"))
}

pub(crate) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// Red above, blue below, and no two rows alike.
pub(crate) fn photo(width: u32, height: u32) -> DynamicImage {
    let colour = |x: u32, y: u32| {
        let shade = ((x * 7 + y * 13) % 64) as u8;
        if y < height / 2 { Rgb([255 - shade, 0, 0]) } else { Rgb([0, 0, 255 - shade]) }
    };
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, colour))
}

pub(crate) fn jpeg(width: u32, height: u32) -> Bytes {
    encoded(&photo(width, height), ImageFormat::Jpeg).into()
}

pub(crate) fn png(width: u32, height: u32) -> Bytes {
    encoded(&photo(width, height), ImageFormat::Png).into()
}

pub(crate) fn decoded(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).unwrap()
}

/// A segment of JPEG.
pub(crate) fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    [&[0xff, marker], &length[..], data].concat()
}

/// A chunk of PNG.
pub(crate) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// EXIF as a telephone writes it: which way is up, by what, when, and where.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0\x2a\0\0\0\x08\0\x04".to_vec();
    let make = b"Telefonica X\0";
    let when = b"2026:11:20 10:11:12\0";
    // 10 + 4 entries of 12 + 4: the data begin at 62.
    let mut entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        block.extend(tag.to_be_bytes());
        block.extend(kind.to_be_bytes());
        block.extend(count.to_be_bytes());
        block.extend(value);
    };
    entry(0x010f, 2, make.len() as u32, 62_u32.to_be_bytes());
    entry(0x0112, 3, 1, [0, orientation, 0, 0]);
    entry(0x0132, 2, when.len() as u32, 75_u32.to_be_bytes());
    entry(0x8825, 4, 1, 95_u32.to_be_bytes());
    block.extend([0; 4]);
    block.extend(make);
    block.extend(when);
    // GPS: one entry, GPSLatitudeRef, and after it the coordinates as text that a test can look for.
    block.extend(b"\0\x01\0\x01\0\x02\0\0\0\x02N\0\0\0\0\0\0\0");
    block.extend(b"GPS 40.4168 -3.7038");
    block
}

pub(crate) const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'><exif:GPSLatitude>40,25N</exif:GPSLatitude></x:xmpmeta>";

/// A JPEG with all that cameras and programs add, before, between and behind.
pub(crate) fn camera_jpeg(plain: &[u8], orientation: u8) -> Bytes {
    let exif = [b"Exif\0\0", &exif(orientation)[..]].concat();
    [
        &plain[..2],
        &segment(0xe1, &exif),
        &segment(0xe1, XMP),
        &segment(0xe2, b"MPF\0MM\0\x2a GPS of a second picture"),
        &segment(0xed, b"Photoshop 3.0\x008BIM\x04\x04 GPS Madrid"),
        &segment(0xfe, b"GPS by hand"),
        &plain[2..],
        b"GPS <script>alert(1)</script> PK\x03\x04",
    ]
    .concat()
    .into()
}

/// A PNG likewise.
pub(crate) fn camera_png(plain: &[u8], orientation: u8) -> Bytes {
    let (head, rest) = plain.split_at(33);
    [
        head,
        &chunk(b"eXIf", &exif(orientation)),
        &chunk(b"tEXt", b"Comment\0GPS by hand"),
        &chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0GPS 40.4168"),
        &chunk(b"tIME", &[7, 0xea, 11, 20, 10, 11, 12]),
        &chunk(b"caBX", b"GPS of provenance"),
        rest,
        b"GPS <script>alert(1)</script> PK\x03\x04",
    ]
    .concat()
    .into()
}

/// A PNG whose header promises `width` × `height`, with a right checksum and no pixels to speak of.
pub(crate) fn png_bomb(width: u32, height: u32) -> Bytes {
    let small = png(1, 1);
    let mut header = small[16..29].to_vec();
    header[..4].copy_from_slice(&width.to_be_bytes());
    header[4..8].copy_from_slice(&height.to_be_bytes());
    [&small[..8], &chunk(b"IHDR", &header), &small[33..]].concat().into()
}

/// A JPEG whose header promises `width` × `height`.
pub(crate) fn jpeg_bomb(width: u16, height: u16) -> Bytes {
    let mut bytes = jpeg(8, 8).to_vec();
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes.into()
}

pub(crate) fn holds(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

/// Numbers from a seed, so that a failure can be had again.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}
