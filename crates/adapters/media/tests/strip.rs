//! What a camera adds is taken away, and what shows stays (FI-12), by real children.
#![cfg(test)]

mod common;

use std::io::Cursor;

use alivio_files::{Workshop, WorkshopError};
use bytes::Bytes;
use common::{
    JPEG, Numbers, PNG, camera_jpeg, camera_png, chunk, decoded, encoded, holds, jpeg, photo, png, segment,
    workshop,
};
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

/// What must be in no stripped picture.
const TRACES: [&[u8]; 12] = [
    b"GPS",
    b"40.4168",
    b"Telefonica",
    b"2026:11:20",
    b"xmpmeta",
    b"MPF",
    b"Photoshop",
    b"tEXt",
    b"iTXt",
    b"tIME",
    b"script",
    b"PK\x03\x04",
];

fn orientation(content: &[u8]) -> Orientation {
    let reader = ImageReader::new(Cursor::new(content)).with_guessed_format().unwrap();
    reader.into_decoder().unwrap().orientation().unwrap()
}

#[tokio::test]
async fn nothing_is_left_but_the_picture_and_which_way_is_up() {
    let workshop = workshop();
    for way_up in 1..=8 {
        let cases = [(JPEG, camera_jpeg(&jpeg(60, 40), way_up)), (PNG, camera_png(&png(60, 40), way_up))];
        for (mime, original) in cases {
            assert!(
                holds(&original, b"40.4168") && orientation(&original).to_exif() == way_up,
                "{mime} is well made"
            );
            let stripped = workshop.strip(mime, original.clone()).await.unwrap();
            assert_eq!(decoded(&stripped), decoded(&original), "{mime}");
            assert_eq!(orientation(&stripped).to_exif(), way_up, "{mime}");
            for trace in TRACES {
                assert!(!holds(&stripped, trace), "{mime} {way_up}: {}", trace.escape_ascii());
            }
            let again = workshop.strip(mime, stripped.clone()).await.unwrap();
            assert_eq!(again, stripped, "{mime}: nothing is left to strip");
        }
    }
}

#[tokio::test]
async fn a_plain_picture_stays_as_it_is() {
    for (mime, plain) in [(JPEG, jpeg(50, 50)), (PNG, png(50, 50))] {
        assert_eq!(workshop().strip(mime, plain.clone()).await.unwrap(), plain, "{mime}");
    }
}

#[tokio::test]
async fn what_colours_mean_is_kept() {
    let profile = segment(0xe2, b"ICC_PROFILE\0\x01\x01profile");
    let plain = jpeg(20, 20);
    let original =
        Bytes::from([&plain[..2], &profile, &segment(0xee, b"Adobe\0d\0\0\0\0\x01"), &plain[2..]].concat());
    let stripped = workshop().strip(JPEG, original).await.unwrap();
    assert!(holds(&stripped, b"ICC_PROFILE") && holds(&stripped, b"Adobe"));
    let plain = png(20, 20);
    let original = [&plain[..33], &chunk(b"gAMA", &45_455_u32.to_be_bytes()), &plain[33..]].concat();
    let stripped = workshop().strip(PNG, original.clone().into()).await.unwrap();
    assert_eq!(stripped, original);
}

#[tokio::test]
async fn the_thumbnail_within_jfif_goes_too() {
    let plain = jpeg(20, 20);
    // Of a preview of one pixel that shows what was cut away.
    let head = segment(0xe0, b"JFIF\0\x01\x02\0\0\x48\0\x48\x01\x01RGB");
    let after = 4 + usize::from(u16::from_be_bytes([plain[4], plain[5]]));
    let original = Bytes::from([&plain[..2], &head, &plain[after..]].concat());
    let stripped = workshop().strip(JPEG, original.clone()).await.unwrap();
    assert_eq!(decoded(&stripped), decoded(&original));
    assert!(holds(&stripped, b"JFIF\0\x01\x02\0\0\x48\0\x48\0\0") && !holds(&stripped, b"RGB"));
}

#[tokio::test]
async fn what_is_no_whole_picture_is_unfit() {
    let workshop = workshop();
    for (mime, whole) in [(JPEG, jpeg(60, 40)), (PNG, png(60, 40))] {
        for end in [0, 1, 2, 7, 8, 20, 33, 34, whole.len() / 2, whole.len() - 1] {
            let stripped = workshop.strip(mime, whole.slice(..end)).await;
            assert!(matches!(stripped, Err(WorkshopError::Unfit)), "{mime} cut at {end}");
        }
    }
    assert!(matches!(workshop.strip(PNG, jpeg(9, 9)).await, Err(WorkshopError::Unfit)));
    assert!(matches!(workshop.strip("application/pdf", jpeg(9, 9)).await, Err(WorkshopError::Unsupported)));
}

/// Any picture, with any segments strewn in: the pixels stay, what was strewn goes.
#[tokio::test]
async fn pixels_stay_as_they_are() {
    let workshop = workshop();
    for seed in 1..=60 {
        let mut numbers = Numbers::from_seed(seed);
        let (width, height) = (1 + numbers.below(120) as u32, 1 + numbers.below(120) as u32);
        let quality = 1 + numbers.below(100) as u8;
        let mut picture = photo(width, height);
        if numbers.below(3) == 0 {
            picture = picture.to_luma8().into();
        }
        let strewn: Vec<_> =
            (0..numbers.below(8)).map(|_| (0xe3 + numbers.below(13) as u8, numbers.below(500))).collect();
        let (jpeg, png) = (with_segments(&picture, quality, &strewn), with_chunks(&picture, &strewn));
        for (mime, original) in [(JPEG, jpeg), (PNG, png)] {
            let stripped = workshop.strip(mime, original.clone()).await.unwrap();
            assert_eq!(decoded(&stripped), decoded(&original), "{mime}, seed {seed}");
            assert!(!holds(&stripped, b"GPS"), "{mime}, seed {seed}");
            assert!(strewn.is_empty() || stripped.len() < original.len(), "{mime}, seed {seed}");
        }
    }
}

fn with_segments(picture: &DynamicImage, quality: u8, strewn: &[(u8, usize)]) -> Bytes {
    let mut plain = Vec::new();
    JpegEncoder::new_with_quality(&mut plain, quality).encode_image(picture).unwrap();
    // 0xee is Adobe's only if it says so.
    let strewn = strewn.iter().flat_map(|(marker, length)| segment(*marker, &b"GPS".repeat(*length)));
    plain[..2].iter().copied().chain(strewn).chain(plain[2..].iter().copied()).collect()
}

fn with_chunks(picture: &DynamicImage, strewn: &[(u8, usize)]) -> Bytes {
    let plain = encoded(picture, ImageFormat::Png);
    let strewn = strewn
        .iter()
        .flat_map(|(letter, length)| chunk(&[b'a' + letter % 26, b'e', b'X', b't'], &b"GPS".repeat(*length)));
    plain[..33].iter().copied().chain(strewn).chain(plain[33..].iter().copied()).collect()
}
