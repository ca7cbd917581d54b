//! Thumbnails and previews, by real children.
#![cfg(test)]

mod common;

use alivio_files::{Looks, Workshop, WorkshopError};
use bytes::Bytes;
use common::{
    JPEG, PNG, camera_jpeg, camera_png, decoded, encoded, holds, jpeg, jpeg_bomb, png, png_bomb, workshop,
};
use image::{DynamicImage, GenericImageView, ImageFormat, Rgba, RgbaImage};

fn sides(looks: &Looks) -> [(u32, u32); 2] {
    [&looks.thumbnail, &looks.preview].map(|rendition| {
        let picture = decoded(&rendition.bytes);
        assert_eq!((picture.width(), picture.height()), (rendition.width, rendition.height));
        (rendition.width, rendition.height)
    })
}

#[tokio::test]
async fn pictures_are_made_small_and_never_large() {
    let workshop = workshop();
    for (mime, content) in [(JPEG, jpeg(4000, 3000)), (PNG, png(4000, 3000))] {
        let looks = workshop.look(mime, content).await.unwrap();
        assert_eq!((sides(&looks), looks.pages), ([(256, 192), (1600, 1200)], 1));
        assert_eq!([looks.thumbnail.mime, looks.preview.mime], [JPEG; 2]);
    }
    let looks = workshop.look(PNG, png(200, 100)).await.unwrap();
    assert_eq!(sides(&looks), [(200, 100); 2]);
    let looks = workshop.look(PNG, png(5000, 1)).await.unwrap();
    assert_eq!(sides(&looks), [(256, 1), (1600, 1)]);
}

#[tokio::test]
async fn what_one_sees_through_stays_so() {
    let mut clear = RgbaImage::from_pixel(300, 300, Rgba([9, 9, 9, 255]));
    clear.put_pixel(150, 150, Rgba([0, 0, 0, 0]));
    let looks = workshop().look(PNG, encoded(&clear.clone().into(), ImageFormat::Png).into()).await.unwrap();
    assert_eq!([looks.thumbnail.mime, looks.preview.mime], [PNG; 2]);
    assert_eq!(decoded(&looks.preview.bytes).to_rgba8(), clear);
    // An alpha channel that hides nothing is no reason.
    let opaque = DynamicImage::ImageRgba8(RgbaImage::from_pixel(300, 300, Rgba([9, 9, 9, 255])));
    let looks = workshop().look(PNG, encoded(&opaque, ImageFormat::Png).into()).await.unwrap();
    assert_eq!([looks.thumbnail.mime, looks.preview.mime], [JPEG; 2]);
}

#[tokio::test]
async fn pictures_stand_upright_and_say_nothing_of_their_camera() {
    for (mime, content) in [(JPEG, camera_jpeg(&jpeg(400, 200), 6)), (PNG, camera_png(&png(400, 200), 6))] {
        let looks = workshop().look(mime, content).await.unwrap();
        assert_eq!(sides(&looks), [(128, 256), (200, 400)], "{mime}");
        // Turned to the right, what was above is on the right.
        let preview = decoded(&looks.preview.bytes);
        assert!(preview.get_pixel(190, 200)[0] > 150 && preview.get_pixel(10, 200)[2] > 150, "{mime}");
        for rendition in [&looks.thumbnail, &looks.preview] {
            assert!(!holds(&rendition.bytes, b"GPS") && !holds(&rendition.bytes, b"Exif"), "{mime}");
        }
    }
}

#[tokio::test]
async fn what_is_no_usable_picture_is_unfit() {
    let workshop = workshop();
    let (whole_png, whole_jpeg) = (png(300, 300), jpeg(300, 300));
    assert!(workshop.look(PNG, png_bomb(1, 1)).await.is_ok(), "the bomb is well made");
    let bad: [(&str, Bytes); 12] = [
        (PNG, Bytes::new()),
        (JPEG, Bytes::new()),
        (PNG, Bytes::from_static(b"\x89PNG\r\n\x1a\n")),
        (PNG, whole_png.slice(..whole_png.len() / 2)),
        (JPEG, whole_jpeg.slice(..100)),
        // Not what it is said to be.
        (JPEG, whole_png.clone()),
        (PNG, whole_jpeg.clone()),
        (PNG, Bytes::from_static(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>")),
        // Floods of pixels, FI-06.
        (PNG, png_bomb(50_000, 50_000)),
        (JPEG, jpeg_bomb(50_000, 50_000)),
        (PNG, png_bomb(10_000, 4_001)),
        (PNG, png_bomb(u32::MAX, u32::MAX)),
    ];
    for (mime, content) in bad {
        let start = content.slice(..content.len().min(40));
        let looks = workshop.look(mime, content).await;
        assert!(matches!(looks, Err(WorkshopError::Unfit)), "{mime} {start:?}: {looks:?}");
    }
}

#[tokio::test]
async fn of_other_files_nothing_is_made() {
    for mime in ["image/gif", "image/svg+xml", "text/html", "audio/mpeg", ""] {
        let looks = workshop().look(mime, Bytes::from_static(b"GIF89a")).await;
        assert!(matches!(looks, Err(WorkshopError::Unsupported)), "{mime}");
    }
}
