//! Pictures stamped, by real children.
#![cfg(test)]

mod common;

use alivio_files::{Stamp, Workshop, WorkshopError};
use bytes::Bytes;
use common::{JPEG, PNG, camera_jpeg, camera_png, decoded, encoded, holds, jpeg, png, png_bomb, workshop};
use image::{DynamicImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

fn lines() -> Stamp {
    Stamp { lines: vec!["Dra. María Núñez · 42".to_owned(), "2026-11-21 18:30 UTC".to_owned()] }
}

fn plain(width: u32, height: u32, shade: u8) -> DynamicImage {
    RgbImage::from_pixel(width, height, Rgb([shade; 3])).into()
}

async fn stamped(mime: &str, content: impl Into<Bytes>) -> DynamicImage {
    decoded(&workshop().stamp(mime, content.into(), &lines()).await.unwrap())
}

#[tokio::test]
async fn no_part_of_a_picture_is_without_it() {
    for (width, height) in [(1200, 900), (3000, 2000), (300, 1500), (120, 90)] {
        for shade in [0, 128, 255] {
            let picture =
                stamped(PNG, encoded(&plain(width, height, shade), ImageFormat::Png)).await.to_luma8();
            assert_eq!(picture.dimensions(), (width, height));
            let mut marks = [0; 16];
            for (x, y, Luma([light])) in picture.enumerate_pixels() {
                let is_marked = light.abs_diff(shade) > 20;
                marks[(y * 4 / height * 4 + x * 4 / width) as usize] += usize::from(is_marked);
            }
            let fewest = marks.iter().min().unwrap() * 16_000 / (width * height) as usize;
            assert!(fewest > 5, "{width} × {height} of {shade}: {marks:?}");
            // And most of it shows.
            assert!(
                marks.iter().sum::<usize>() * 2 < (width * height) as usize,
                "{width} × {height} of {shade}: {marks:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_copy_is_of_the_same_type_and_upright_and_says_nothing_of_its_camera() {
    for (mime, format, content) in [
        (JPEG, ImageFormat::Jpeg, camera_jpeg(&jpeg(400, 200), 6)),
        (PNG, ImageFormat::Png, camera_png(&png(400, 200), 6)),
    ] {
        let copy = workshop().stamp(mime, content, &lines()).await.unwrap();
        assert_eq!(image::guess_format(&copy).unwrap(), format);
        assert!(!holds(&copy, b"GPS") && !holds(&copy, b"Exif") && !holds(&copy, b"eXIf"), "{mime}");
        let picture = decoded(&copy);
        assert_eq!((picture.width(), picture.height()), (200, 400), "{mime}");
    }
}

#[tokio::test]
async fn what_one_sees_through_is_stamped_too() {
    let clear = RgbaImage::from_pixel(800, 600, Rgba([0; 4]));
    let copy = stamped(PNG, encoded(&clear.into(), ImageFormat::Png)).await.into_rgba8();
    let marked = copy.pixels().filter(|pixel| pixel.0[3] > 40).count();
    assert!((2_000..240_000).contains(&marked), "{marked}");
}

#[tokio::test]
async fn what_is_no_usable_picture_is_unfit() {
    for content in [Bytes::new(), png(50, 50).slice(..60), png_bomb(50_000, 50_000)] {
        let copy = workshop().stamp(PNG, content, &lines()).await;
        assert!(matches!(copy, Err(WorkshopError::Unfit)), "{copy:?}");
    }
    let copy = workshop().stamp("audio/mpeg", png(9, 9), &lines()).await;
    assert!(matches!(copy, Err(WorkshopError::Unsupported)), "{copy:?}");
}
