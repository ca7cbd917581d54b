//! What is not taken, and that nothing is left of it.

use alivio_testkit::actor::{Actor, Part, Request};
use alivio_testkit::server::{ANA, MARIA, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{count, infected_pdf, offer, pdf, settled, upload};
use crate::{World, list, text, unused_id};

/// Nothing is left of what was refused: no blob, no temporary, no row.
async fn nothing_is_left(world: &World, actor: &Actor) {
    let folder = world.data_dir().join("files");
    eventually("nothing is left", async || count(&folder) == 0).await;
    assert!(list(&actor.get("/files").await.expect(200), "items").is_empty());
}

/// FI-01, FI-02, FI-10.
#[tokio::test]
async fn content_is_judged_by_itself_and_leaves_nothing_if_refused() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let document = pdf("Informe");
    let with = |tail: &[u8]| [&*document, tail].concat();
    let polyglot = with(&[b"PK\x05\x06".as_slice(), [0; 18].as_slice()].concat());
    let page = [b"%PDF-1.4\n<html><script>alert(1)</script>".as_slice(), &*document].concat();
    let photo = b"\xff\xd8\xff\xfe\x00\x30*/=1;<script src=//x></script>".to_vec();
    let types: [(&str, &str, &[u8], &str); 9] = [
        ("a.pdf", "application/pdf", b"MZ\x90\0\x03\0\0\0", "executable"),
        ("a.png", "image/png", b"\x7fELF\x02\x01\x01", "executable"),
        ("a.jpg", "image/jpeg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", "markup"),
        ("a.pdf", "application/pdf", b"<!doctype html><script>1</script>", "markup"),
        ("a.docx", "", b"PK\x05\x06", "archive"),
        ("a.gif", "image/gif", b"GIF89a\x01\0\x01\0", "image"),
        ("a.exe", "application/pdf", &document, "mismatch"),
        ("a.pdf", "image/png", &document, "mismatch"),
        ("a.txt", "text/plain", b"hola", "unknown"),
    ];
    for (name, mime, content, found) in types {
        let mime = if mime.is_empty() { "application/octet-stream" } else { mime };
        let refused = offer(&maria, &conversation, (name, mime, content), &[]).await;
        let details = refused.problem(415, "file_type_not_allowed")["details"].clone();
        assert_eq!(details["file_type"], found, "{name} {mime}");
        let policy = maria.get("/files/policy").await.expect(200);
        assert_eq!(details["allowed_types"], policy["allowed_types"]);
    }
    for (content, reason) in
        [(&polyglot, "polyglot"), (&page, "polyglot"), (&photo, "polyglot"), (&Vec::new(), "empty")]
    {
        let refused = offer(&maria, &conversation, ("a", "application/octet-stream", content), &[]).await;
        assert_eq!(refused.problem(422, "file_refused")["details"]["reason"], reason);
    }
    let huge = with(&vec![b' '; 10 * 1024 * 1024]);
    let refused = offer(&maria, &conversation, ("a.pdf", "application/pdf", &huge), &[]).await;
    let details = refused.problem(413, "file_too_large")["details"].clone();
    // It was cut off: how large it would have been, nobody knows.
    assert_eq!(details, json!({"max_size": 10_485_760, "suggested_compression": true}));
    let asked = [("watermark_required", "true")];
    let sound = [b"ID3\x04\0\0\0\0\0\0".as_slice(), [0; 64].as_slice()].concat();
    offer(&maria, &conversation, ("a.mp3", "audio/mpeg", &sound), &asked).await.problem(422, "file_refused");
    for (name, value) in [
        ("file_type", "image"),
        ("file_type", "program"),
        ("document_type", "diary"),
        ("is_medical_document", "perhaps"),
        ("max_downloads", "0"),
        ("uploader_id", &ana.id),
        ("status", "active"),
    ] {
        let refused =
            offer(&maria, &conversation, ("a.pdf", "application/pdf", &document), &[(name, value)]).await;
        assert_eq!(refused.problem(422, "validation_failed")["details"]["field"], name);
    }
    offer(&maria, &unused_id(), ("a.pdf", "application/pdf", &document), &[]).await.problem(404, "not_found");
    let json = Request::new(Method::POST, "/files").json(&json!({"conversation_id": conversation}));
    maria.request(json).await.problem(415, "unsupported_body");
    let no_file = Request::new(Method::POST, "/files").form(&[Part::Text("conversation_id", &conversation)]);
    assert_eq!(maria.request(no_file).await.problem(422, "validation_failed")["details"]["field"], "file");
    nothing_is_left(&world, &maria).await;
}

/// FI-07.
#[tokio::test]
async fn names_are_for_people_only() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let document = pdf("Informe");
    let (long, cut) =
        (format!("{}.pdf", "a".repeat(3000)), format!("{}…{}.pdf", "a".repeat(188), "a".repeat(7)));
    for (name, kept) in [
        ("../../../etc/passwd.pdf", "passwd.pdf"),
        ("factura\u{202e}fdp.pdf", "facturafdp.pdf"),
        ("sin extension", "sin extension.pdf"),
        // As browsers write it.
        ("Informe %22final%22.pdf", "Informe \"final\".pdf"),
        (&*long, &*cut),
    ] {
        let file = offer(&maria, &conversation, (name, "application/pdf", &document), &[]).await.expect(201);
        assert_eq!(file["file_info"]["original_filename"], *kept);
        let id = text(&file, "id");
        settled(&ana, id, "active").await;
        let header = ana.get(&format!("/files/{id}/content")).await.header("content-disposition").unwrap();
        assert!(
            header.starts_with("attachment; filename=\"") && header.matches('"').count() == 2,
            "{header}"
        );
    }
    let strange = count(&world.data_dir().join("files"));
    assert!(strange >= 4, "{strange}");
}

/// FI-03, FI-04: what is found is never given, and only its uploader hears of it.
#[tokio::test]
async fn what_is_infected_is_never_opened() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let (mut at_maria, mut at_ana) = (maria.connect().await, ana.connect_to(&conversation).await);
    let file =
        offer(&maria, &conversation, ("a.pdf", "application/pdf", &infected_pdf()), &[]).await.expect(201);
    let id = text(&file, "id");
    let told = at_maria.find(|frame| frame["type"] == "file.quarantined").await;
    assert_eq!((&told["data"]["file_id"], &told["data"]["status"]), (&json!(id), &json!("quarantined")));
    let file = settled(&maria, id, "quarantined").await;
    assert_eq!(file["file_info"]["virus_scan_result"], "infected");
    for actor in [&maria, &ana] {
        for path in ["content", "preview", "thumbnail"] {
            actor.get(&format!("/files/{id}/{path}")).await.problem(403, "file_quarantined");
        }
        let link = Request::new(Method::POST, format!("/files/{id}/link"));
        actor.request(link).await.problem(403, "file_quarantined");
    }
    let body = json!({"message_type": "file", "attachments": [id]});
    maria
        .post(&format!("/conversations/{conversation}/messages"), &body)
        .await
        .problem(422, "attachment_not_found");
    // She hears of the next one, and of this one nothing.
    let clean = upload(&maria, &conversation, "Limpio", &[]).await;
    let told = at_ana.find(|frame| text(frame, "type").starts_with("file.")).await;
    assert_eq!((&told["type"], &told["data"]["file"]["id"]), (&json!("file.ready"), &clean["id"]));
}

/// FI-11, S0-182.
#[tokio::test]
async fn fifty_at_once_come_to_ten() {
    let world = World::with(&[("ALIVIO_RATE_FILES_PER_HOUR", "10")]).await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let document = pdf("Informe");
    let form = ("a.pdf", "application/pdf", &*document);
    let answers = join_all((0..50).map(|_| offer(&maria, &conversation, form, &[]))).await;
    let stored = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!((stored, refused), (10, 40));
    let last = offer(&maria, &conversation, form, &[]).await;
    let wait: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(last.problem(429, "rate_limited")["details"]["limit"], 10);
    // What was refused takes nothing from others.
    offer(&ana, &conversation, form, &[]).await.expect(201);
    assert_eq!(list(&maria.get("/files").await.expect(200), "items").len(), 11);
}

/// FI-10: a body that hardly comes is given up, and one that breaks off leaves nothing.
#[tokio::test]
async fn a_body_that_hardly_comes_is_given_up() {
    let world = World::with(&[("ALIVIO_UPLOAD_PATIENCE_SECONDS", "1")]).await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let begin = async |length: usize| {
        let mut stream =
            TcpStream::connect(world.url().trim_start_matches("http://")).await.expect("a connection");
        let head = format!(
            "POST /api/v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\
             Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; \
             name=\"conversation_id\"\r\n\r\n{conversation}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"a.pdf\"\r\n\r\n",
            maria.token()
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        stream.write_all(&pdf("Informe")).await.expect("written");
        stream.write_all(&[b' '; 8192]).await.expect("written");
        stream
    };
    let mut slow = begin(1_000_000).await;
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    drop(begin(1_000_000).await);
    nothing_is_left(&world, &maria).await;
}
