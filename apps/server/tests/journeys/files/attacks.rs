//! Content that is made to harm whoever looks at it, or tells more than it should.

use std::io::Cursor;

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{ANA, MARIA};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use super::{count, offer, settled, upload};
use crate::{World, text};

const MIB: u64 = 1024 * 1024;
const JPEG: (&str, &str) = ("foto.jpg", "image/jpeg");
const PNG: (&str, &str) = ("foto.png", "image/png");
const MEDICAL: [(&str, &str); 1] = [("is_medical_document", "true")];

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let shades = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 13) as u8, 90]));
    let mut bytes = Vec::new();
    DynamicImage::ImageRgb8(shades).write_to(&mut Cursor::new(&mut bytes), format).expect("a picture");
    bytes
}

/// A JPEG that says that it is 50,000 × 50,000.
fn jpeg_flood() -> Vec<u8> {
    let mut bytes = picture(8, 8, ImageFormat::Jpeg);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xc3, 0x50, 0xc3, 0x50]);
    bytes
}

/// A PNG that says the same, with a right checksum.
fn png_flood() -> Vec<u8> {
    let mut bytes = picture(8, 8, ImageFormat::Png);
    bytes[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    let checksum = bytes[12..29]
        .iter()
        .fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)));
    bytes[29..33].copy_from_slice(&(!checksum).to_be_bytes());
    bytes
}

async fn examined(
    actor: &Actor,
    conversation: &str,
    ((name, mime), content): ((&str, &str), &[u8]),
    more: &[(&str, &str)],
    status: &str,
) -> Value {
    let file = offer(actor, conversation, (name, mime, content), more).await.expect(201);
    settled(actor, text(&file, "id"), status).await
}

async fn get(actor: &Actor, file: &Value, rest: &str) -> alivio_testkit::actor::Answer {
    actor.get(&format!("/files/{}/{rest}", text(file, "id"))).await
}

/// FI-06.
#[tokio::test]
async fn floods_of_pixels_and_broken_pictures_harm_nobody() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let whole = picture(600, 400, ImageFormat::Jpeg);
    examined(&maria, &conversation, (JPEG, &whole), &[], "active").await;
    let before = world.memory();
    for (form, content) in [(JPEG, jpeg_flood()), (PNG, png_flood())] {
        // What belongs to a record stays as it came, and has no picture.
        let kept = examined(&maria, &conversation, (form, &content), &MEDICAL, "active").await;
        for (rest, address) in [("preview", "preview_url"), ("thumbnail", "thumbnail_url")] {
            assert_eq!(kept["access_info"][address], Value::Null, "{form:?}");
            get(&ana, &kept, rest).await.problem(404, "not_found");
        }
        assert!(get(&ana, &kept, "content").await.bytes == content);
    }
    // Of what breaks off nobody can say what a camera added.
    examined(&maria, &conversation, (JPEG, &whole[..whole.len() / 2]), &[], "failed").await;
    let grown = world.memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB for pictures of 10,000", grown / MIB);
    let file = examined(&maria, &conversation, (JPEG, &whole), &[], "active").await;
    assert_eq!(get(&ana, &file, "thumbnail").await.status, 200);
}

/// A photo as a telephone takes it.
fn with_place(plain: &[u8]) -> Vec<u8> {
    let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\0\0\0\0\0GPS 40.4168 -3.7038 Telefonica X";
    let length = u16::try_from(exif.len() + 2).expect("a short one").to_be_bytes();
    [&plain[..2], &[0xff, 0xe1], &length, exif, &plain[2..]].concat()
}

fn tells(content: &[u8]) -> bool {
    content.windows(7).any(|window| window == b"40.4168")
}

/// FI-12.
#[tokio::test]
async fn photos_do_not_tell_where_they_were_taken_and_originals_stay() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let plain = picture(600, 400, ImageFormat::Jpeg);
    let photo = with_place(&plain);
    assert!(tells(&photo), "it is well made");

    let chat = examined(&ana, &conversation, (JPEG, &photo), &[], "active").await;
    let given = get(&maria, &chat, "content").await;
    assert!(given.bytes == plain, "the picture, to the byte, and nothing else");
    let info = &chat["file_info"];
    assert_eq!((&info["may_have_camera_data"], &info["size_bytes"]), (&json!(false), &json!(plain.len())));
    let checksum = text(info, "checksum").trim_start_matches("SHA256:");
    assert_eq!(given.header("etag").expect("a tag").trim_matches('"'), checksum);
    // The photo as it came is no more: its segment, and two pictures of it.
    let blobs = world.data_dir().join("files/blobs");
    alivio_testkit::server::eventually("it is gone", async || count(&blobs) == 3).await;

    let clinical = examined(&ana, &conversation, (JPEG, &photo), &MEDICAL, "active").await;
    assert_eq!(clinical["file_info"]["may_have_camera_data"], true);
    assert!(get(&maria, &clinical, "content").await.bytes == photo);
    for rest in ["preview", "thumbnail"] {
        let made = get(&maria, &clinical, rest).await;
        assert!(made.status == 200 && !tells(&made.bytes), "{rest}");
    }
}

/// IN-03: what people are called is written, never read as markup, into what is made for them.
#[tokio::test]
async fn names_are_no_markup() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = upload(&maria, &conversation, "Marcado", &[("watermark_required", "true")]).await;
    let named = async |name: &str| {
        let profile = json!({"full_name": name, "display_name": "Ana", "language": "es"});
        ana.put("/me/profile", &profile).await
    };
    named("Ana\r\nBcc: todos@clinic.example").await.problem(422, "validation_failed");
    for name in [
        "#read(\"/etc/passwd\") =HYPERLINK(\"http://x\")",
        "a) Tj ET Q /Bomb Do BT (b",
        "<< /S /JavaScript /JS (app.alert(1)) >> endstream endobj",
        "<script>alert(1)</script>",
    ] {
        named(name).await.expect(200);
        let copy = get(&ana, &file, "content").await;
        assert_eq!(copy.status, 200, "{name}");
        let shows = |words: &[u8]| copy.bytes.windows(words.len()).any(|window| window == words);
        assert!(copy.bytes.starts_with(b"%PDF") && copy.bytes != get(&maria, &file, "content").await.bytes);
        assert!(!shows(name.as_bytes()) && !shows(b"root:") && !shows(b"JavaScript"), "{name}");
        // Whoever reads it finds a page.
        let preview = get(&ana, &file, "preview").await;
        assert_eq!((preview.status, image::load_from_memory(&preview.bytes).is_ok()), (200, true), "{name}");
        let again = offer(&maria, &conversation, ("copia.pdf", "application/pdf", &copy.bytes), &[]).await;
        let again = settled(&maria, text(&again.expect(201), "id"), "active").await;
        assert_eq!(again["file_info"]["pages"], 1, "{name}");
    }
}

/// A Word document with these entries: name, packed and unpacked size as its directory says them.
fn docx(entries: &[(&str, u32, u32)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let (sizes, mut count) = (|size: u32| size.to_le_bytes(), 0_u16);
    for (name, packed, unpacked) in entries {
        let (start, length) =
            (u32::try_from(file.len()).expect("a place"), u16::try_from(name.len()).expect("a name"));
        file.extend(b"PK\x03\x04");
        file.extend([0; 26]);
        file.extend(name.as_bytes());
        file.extend(vec![0; *packed as usize]);
        directory.extend(b"PK\x01\x02\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0\0");
        directory.extend([sizes(*packed), sizes(*unpacked)].concat());
        directory.extend(length.to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(sizes(start));
        directory.extend(name.as_bytes());
        count += 1;
    }
    let (start, length) = (u32::try_from(file.len()), u32::try_from(directory.len()));
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    file.extend([sizes(length.expect("a length")), sizes(start.expect("a place"))].concat());
    file.extend([0; 2]);
    file
}

/// FI-05.
#[tokio::test]
async fn bombs_are_refused_before_anyone_unpacks_them() {
    const NEEDED: [(&str, u32, u32); 2] =
        [("[Content_Types].xml", 100, 300), ("word/document.xml", 200, 900)];
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let hand_over = async |entries: &[(&str, u32, u32)]| {
        let document = docx(&[&NEEDED, entries].concat());
        offer(&maria, &conversation, ("informe.docx", "application/octet-stream", &document), &[]).await
    };
    let plain = hand_over(&[]).await.expect(201);
    settled(&maria, text(&plain, "id"), "active").await;
    let names: Vec<_> = (0..1001).map(|n| format!("word/{n}.xml")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 1)).collect();
    let before = world.memory();
    for (entries, reason) in [
        (&[("word/media/a.bin", 4000, 4_000_000_000)][..], "bomb"),
        (&[("word/embeddings/inner.zip", 10, 10)], "bomb"),
        (&many, "bomb"),
        (&[("word/vbaProject.bin", 10, 10)], "macros"),
    ] {
        let refused = hand_over(entries).await.problem(422, "file_refused");
        assert_eq!(refused["details"]["reason"], reason);
    }
    let grown = world.memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB for a bomb", grown / MIB);
    let folder = world.data_dir().join("files/blobs");
    alivio_testkit::server::eventually("nothing of them is left", async || count(&folder) == 1).await;
}
