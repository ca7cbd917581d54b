//! Documents looked at and stamped, by real children.
#![cfg(test)]

mod common;

use alivio_files::{Stamp, Workshop, WorkshopError};
use bytes::Bytes;
use common::pdf::{A4, FLAG, document, pdf, stream};
use common::{PDF, decoded, workshop};
use image::{DynamicImage, GenericImageView, RgbImage};

async fn preview(content: Bytes) -> DynamicImage {
    decoded(&workshop().look(PDF, content).await.unwrap().preview.bytes)
}

fn is_red(picture: &DynamicImage, x: u32, y: u32) -> bool {
    let pixel = picture.get_pixel(x, y);
    pixel[0] > 200 && pixel[2] < 60
}

fn is_blue(picture: &DynamicImage, x: u32, y: u32) -> bool {
    let pixel = picture.get_pixel(x, y);
    pixel[2] > 200 && pixel[0] < 60
}

#[tokio::test]
async fn the_first_page_is_shown_and_pages_are_counted() {
    let looks = workshop().look(PDF, document(3, FLAG, "", A4)).await.unwrap();
    assert_eq!(looks.pages, 3);
    let sides = [&looks.thumbnail, &looks.preview].map(|rendition| (rendition.width, rendition.height));
    assert!(sides[0].1 == 256 && sides[1].1 == 1600, "{sides:?}");
    assert!(sides[0].0.abs_diff(181) < 2 && sides[1].0.abs_diff(1131) < 2, "{sides:?}");
    let preview = decoded(&looks.preview.bytes);
    assert!(is_red(&preview, 500, 100) && is_blue(&preview, 500, 1500));
}

#[tokio::test]
async fn paper_is_white_and_turned_pages_are_turned() {
    let blank = preview(document(1, "", "", A4)).await;
    assert!(blank.get_pixel(9, 9).0[..3].iter().all(|shade| *shade > 250));
    let turned = preview(document(1, FLAG, "/Rotate 90", A4)).await;
    assert_eq!(turned.width(), 1600);
    assert!(is_red(&turned, 1500, 500) && is_blue(&turned, 100, 500));
}

#[tokio::test]
async fn text_in_fonts_that_are_not_embedded_shows() {
    let text = "BT /F 200 Tf 20 400 Td (Nunez) Tj ET";
    let font = "/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>";
    let page = preview(document(1, text, font, A4)).await.to_luma8();
    assert!(page.pixels().filter(|pixel| pixel.0[0] < 50).count() > 5_000);
}

/// Pages that are no pages, and ways to keep a reader busy: refused, within the child's limits.
#[tokio::test]
async fn bad_documents_are_unfit() {
    let workshop = workshop();
    let whole = document(1, FLAG, "", A4);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let self_drawing = stream(
        b"/X Do /X Do",
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >>",
    );
    let bad = [
        ("empty", Bytes::new()),
        ("only a head", Bytes::from_static(b"%PDF-1.7\n")),
        ("web page", Bytes::from_static(b"<html><script>alert(1)</script></html>")),
        (
            "no pages",
            pdf(
                &[
                    b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
                    b"<< /Type /Pages /Kids [] /Count 0 >>".to_vec(),
                ],
                "",
            ),
        ),
        ("nested", pdf(&[format!("<< /Type /Catalog /Pages 2 0 R /X {deep} >>").into_bytes()], "")),
    ];
    for (what, content) in bad {
        let looks = workshop.look(PDF, content.clone()).await;
        assert!(matches!(looks, Err(WorkshopError::Unfit)), "{what}: {looks:?}");
        let stamped = workshop.stamp(PDF, content, &stamp(&["x"])).await;
        assert!(matches!(stamped, Err(WorkshopError::Unfit)), "{what}: {stamped:?}");
    }
    // Whatever comes of these, it comes.
    let odd = [
        whole.slice(..whole.len() / 2),
        document(1, FLAG, "/MediaBox [0 0 1e30 1e30]", ""),
        document(1, FLAG, "/MediaBox [0 0 0 0]", ""),
        document(1, FLAG, "/Parent 4 0 R", ""),
        document(1, &"q ".repeat(3_000_000), "", A4),
        document(1, &"0 0 9999 9999 re f ".repeat(200_000), "", A4),
        pdf(
            &[
                b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
                format!("<< /Type /Pages /Kids [3 0 R 2 0 R] /Count 2 {A4} >>").into_bytes(),
                b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /XObject << /X 5 0 R >> >> >>"
                    .to_vec(),
                stream(b"/X Do", ""),
                self_drawing,
            ],
            "",
        ),
    ];
    for content in odd {
        drop(workshop.look(PDF, content.clone()).await);
        drop(workshop.stamp(PDF, content, &stamp(&["x"])).await);
    }
    assert!(workshop.look(PDF, whole).await.is_ok());
}

fn stamp(lines: &[&str]) -> Stamp {
    Stamp { lines: lines.iter().map(|line| (*line).to_owned()).collect() }
}

/// How much of each of 3 × 3 parts of a picture differs from another, of 1,000.
fn differences(one: &DynamicImage, other: &DynamicImage) -> Vec<usize> {
    let (one, other): (RgbImage, RgbImage) = (one.to_rgb8(), other.to_rgb8());
    assert_eq!(one.dimensions(), other.dimensions());
    let (width, height) = one.dimensions();
    let mut parts = [0; 9];
    for (x, y, pixel) in one.enumerate_pixels() {
        let far = pixel.0.iter().zip(other.get_pixel(x, y).0).any(|(one, other)| one.abs_diff(other) > 24);
        parts[(y * 3 / height * 3 + x * 3 / width) as usize] += usize::from(far);
    }
    parts.iter().map(|part| part * 9_000 / (width * height) as usize).collect()
}

#[tokio::test]
async fn every_part_of_every_page_is_stamped_whatever_its_form() {
    let workshop = workshop();
    let lines = stamp(&["Dra. María Núñez · 42", "2026-11-21 18:30 UTC"]);
    let letters = "/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >> >> >>";
    let cases = [
        ("plain", document(2, FLAG, "", A4)),
        ("turned", document(1, FLAG, "/Rotate 90", A4)),
        ("turned back", document(1, FLAG, "/Rotate -90", A4)),
        ("elsewhere", document(1, FLAG, "/MediaBox [-300 -400 295 442]", "")),
        ("upside down corners", document(1, FLAG, "/MediaBox [595 842 0 0]", "")),
        ("cropped", document(1, FLAG, "/CropBox [100 100 300 300]", A4)),
        ("large", document(1, FLAG, "/MediaBox [0 0 14400 14400]", "")),
        ("small", document(1, FLAG, "/MediaBox [0 0 40 30]", "")),
        ("a strip", document(1, FLAG, "/MediaBox [0 0 900 60]", "")),
        ("left in disorder", document(1, "q q 0 0 5 5 re W n 0.01 0 0 0.01 900 900 cm q", "", A4)),
        ("too many ends", document(1, "Q Q Q 0.01 0 0 0.01 900 900 cm", "", A4)),
        ("own names", document(1, "BT /F 40 Tf 20 400 Td (below) Tj ET", letters, A4)),
        ("no box", document(1, "", "", "")),
    ];
    for (what, content) in cases {
        let stamped = workshop.stamp(PDF, content.clone(), &lines).await.unwrap();
        let differences = differences(&preview(stamped).await, &preview(content).await);
        assert!(differences.iter().all(|part| *part > 5), "{what}: {differences:?}");
    }
}

/// IN-03.
#[tokio::test]
async fn what_was_on_the_page_stays_and_what_is_written_is_text() {
    let workshop = workshop();
    let content = document(2, FLAG, "", A4);
    let stamped =
        workshop.stamp(PDF, content, &stamp(&["a) Tj ET Q 0 g 0 0 999 999 re f % \\ ñ 東京"])).await.unwrap();
    let looks = workshop.look(PDF, stamped.clone()).await.unwrap();
    assert_eq!(looks.pages, 2);
    let page = decoded(&looks.preview.bytes);
    let red = page.to_rgb8().pixels().filter(|pixel| pixel.0[0] > 200 && pixel.0[2] < 60).count();
    assert!(red * 10 > (page.width() * page.height() * 3) as usize, "most of the upper half is as it was");
    let again = workshop.stamp(PDF, stamped, &stamp(&["once more"])).await;
    assert!(again.is_ok());
}

#[tokio::test]
async fn encrypted_documents_are_unfit() {
    let key = format!(
        "/Encrypt << /Filter /Standard /V 1 /R 2 /O <{0}> /U <{0}> /P -4 >> /ID [<00> <00>]",
        "41".repeat(32)
    );
    let objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!("<< /Type /Pages /Kids [3 0 R] /Count 1 {A4} >>").into_bytes(),
        b"<< /Type /Page /Parent 2 0 R >>".to_vec(),
    ];
    let stamped = workshop().stamp(PDF, pdf(&objects, &key), &stamp(&["x"])).await;
    assert!(matches!(stamped, Err(WorkshopError::Unfit)), "{stamped:?}");
    assert!(workshop().stamp(PDF, pdf(&objects, ""), &stamp(&["x"])).await.is_ok(), "it is the key");
}
