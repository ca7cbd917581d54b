//! Untrusted content is worked on by the server's own program, started once more: with its allocator, and under limits.
#![cfg(test)]

use std::io::Cursor;

use alivio_files::{Stamp, Workshop};
use alivio_media::{ChildWorkshop, WORKSHOP, WorkshopOptions};
use image::{DynamicImage, ImageFormat, RgbImage};

fn workshop() -> ChildWorkshop {
    let options = WorkshopOptions::of_this_program(2, 8);
    assert_eq!(options.arguments, [WORKSHOP]);
    ChildWorkshop::new(WorkshopOptions { program: env!("CARGO_BIN_EXE_alivio").into(), ..options })
}

#[tokio::test]
async fn the_largest_pictures_are_worked_on_within_the_limits() {
    let mut jpeg = Vec::new();
    let picture: DynamicImage =
        RgbImage::from_fn(7_300, 5_400, |x, y| [x as u8, y as u8, (x ^ y) as u8].into()).into();
    picture.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
    let (workshop, jpeg) = (workshop(), bytes::Bytes::from(jpeg));
    let looks = workshop.look("image/jpeg", jpeg.clone()).await.unwrap();
    assert_eq!((looks.preview.width, looks.thumbnail.width), (1600, 256));
    assert_eq!(workshop.strip("image/jpeg", jpeg.clone()).await.unwrap(), jpeg);
    let stamp = Stamp { lines: vec!["Dra. Núñez".to_owned()] };
    assert!(workshop.stamp("image/jpeg", jpeg, &stamp).await.is_ok());
}
