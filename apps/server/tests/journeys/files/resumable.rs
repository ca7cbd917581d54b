//! Uploads in pieces, by tus.

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ANA, CARLOS, MARIA};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use reqwest::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{pdf, settled};
use crate::World;

const PIECE: &str = "application/offset+octet-stream";

fn tus(method: Method, path: &str) -> Request {
    Request::new(method, path).header("Tus-Resumable", "1.0.0")
}

/// The request that begins an upload of so many bytes.
pub(crate) fn announce(request: Request, conversation: &str, name: &str, length: usize) -> Request {
    let encoded = |text: &str| BASE64_STANDARD.encode(text);
    let metadata = format!("filename {},conversation_id {}", encoded(name), encoded(conversation));
    request
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", &length.to_string())
        .header("Upload-Metadata", &metadata)
}

/// Begins an upload of so many bytes.
pub(crate) async fn begin(actor: &Actor, conversation: &str, name: &str, length: usize) -> Answer {
    let request = Request::new(Method::POST, "/files/uploads");
    actor.request(announce(request, conversation, name, length)).await
}

/// Where its pieces go.
pub(crate) fn place(begun: &Answer) -> String {
    assert_eq!(begun.status, 201, "{}", begun.text);
    begun.header("location").unwrap().trim_start_matches("/api/v1").to_owned()
}

async fn send(actor: &Actor, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    let request = tus(Method::PATCH, path).header("Upload-Offset", &offset.to_string()).raw(PIECE, bytes);
    actor.request(request).await
}

async fn offset(actor: &Actor, path: &str) -> usize {
    let head = actor.request(tus(Method::HEAD, path)).await;
    assert_eq!((head.status, head.header("cache-control").unwrap()), (200, "no-store".to_owned()));
    head.header("upload-offset").unwrap().parse().unwrap()
}

#[tokio::test]
async fn pieces_make_a_file_over_restarts_and_cuts() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let words: String = (0..200_000).map(|n| format!("{n:07} ")).collect();
    let document = pdf(&words);
    let begun = begin(&maria, &conversation, "largo.pdf", document.len()).await;
    assert!(begun.header("upload-expires").unwrap().ends_with("GMT"));
    let path = place(&begun);
    assert_eq!(offset(&maria, &path).await, 0);
    let first = send(&maria, &path, 0, &document[..100_000]).await;
    assert_eq!((first.status, first.header("upload-offset").unwrap()), (204, "100000".to_owned()));
    let refused = send(&maria, &path, 5, b"x").await.problem(409, "upload_offset_mismatch");
    assert_eq!(refused["details"]["offset"], 100_000);
    assert_eq!(carlos.request(tus(Method::HEAD, &path)).await.status, 404);
    // A piece that breaks off is kept as far as it came.
    let rest = document.len() - 100_000;
    let mut cut = TcpStream::connect(world.url().trim_start_matches("http://")).await.expect("a connection");
    let head = format!(
        "PATCH /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 100000\r\nContent-Type: {PIECE}\r\nContent-Length: {rest}\r\n\r\n",
        maria.token()
    );
    cut.write_all(head.as_bytes()).await.expect("written");
    cut.write_all(&document[100_000..300_000]).await.expect("written");
    cut.flush().await.expect("written");
    alivio_testkit::server::eventually("it has come", async || {
        // Whoever asks meanwhile disturbs nothing.
        cut.shutdown().await.ok();
        offset(&maria, &path).await > 100_000
    })
    .await;
    world.restart().await;
    let at = offset(&maria, &path).await;
    assert!((100_001..=300_000).contains(&at), "{at}");
    let last = send(&maria, &path, at, &document[at..]).await;
    assert_eq!((last.status, last.header("x-file-status").unwrap()), (204, "pending".to_owned()));
    let id = path.rsplit('/').next().unwrap();
    let file = settled(&ana, id, "active").await;
    assert_eq!(file["file_info"]["original_filename"], "largo.pdf");
    assert!(file["file_info"]["checksum"].is_string());
    assert!(ana.get(&format!("/files/{id}/content")).await.bytes == document);
    // Whoever did not hear that it is a file is told, and nobody else.
    let done = maria.request(tus(Method::HEAD, &path)).await;
    assert_eq!((done.status, done.header("x-file-status").unwrap()), (200, "active".to_owned()));
    assert_eq!(done.header("upload-offset"), done.header("upload-length"));
    assert!(done.header("upload-expires").is_none());
    assert_eq!(ana.request(tus(Method::HEAD, &path)).await.status, 404);
    assert_eq!(send(&maria, &path, document.len(), b"").await.status, 404);
}

#[tokio::test]
async fn of_two_pieces_for_one_place_one_is_taken() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let document = pdf(&"A la vez ".repeat(10));
    let path = place(&begin(&maria, &conversation, "a.pdf", document.len()).await);
    let answers = join_all((0..8).map(|_| send(&maria, &path, 0, &document[..600]))).await;
    let taken = answers.iter().filter(|answer| answer.status == 204).count();
    assert_eq!((taken, answers.iter().filter(|answer| answer.status == 409).count()), (1, 7));
    assert_eq!(send(&maria, &path, 600, &document[600..]).await.status, 204);
    let id = path.rsplit('/').next().unwrap();
    settled(&maria, id, "active").await;
    assert!(ana.get(&format!("/files/{id}/content")).await.bytes == document);
}

#[tokio::test]
async fn uploads_are_refused_as_files_are() {
    let world = World::with(&[("ALIVIO_RATE_FILES_PER_HOUR", "4")]).await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    begin(&carlos, &conversation, "a.pdf", 10).await.problem(404, "not_found");
    begin(&maria, &conversation, "a.pdf", 0).await.problem(422, "file_refused");
    let huge = begin(&maria, &conversation, "a.mp4", 501 * 1024 * 1024).await.problem(413, "file_too_large");
    assert_eq!(huge["details"]["file_size"], 501 * 1024 * 1024, "as it was said");
    assert_eq!(huge["details"]["max_size"], 500 * 1024 * 1024);
    let old = Request::new(Method::POST, "/files/uploads").header("Tus-Resumable", "0.2.2");
    maria.request(old).await.problem(412, "tus_version");
    maria.request(Request::new(Method::POST, "/files/uploads")).await.problem(422, "validation_failed");
    let path = place(&begin(&maria, &conversation, "a.pdf", 5000).await);
    send(&maria, &path, 0, &[b'M', b'Z', 0, 0].repeat(1250)).await.problem(415, "file_type_not_allowed");
    assert_eq!(maria.request(tus(Method::HEAD, &path)).await.status, 404, "it is forgotten");
    let path = place(&begin(&maria, &conversation, "a.pdf", 1000).await);
    let more = send(&maria, &path, 0, &[b' '; 1001]).await.problem(413, "file_too_large");
    assert_eq!(more["details"], serde_json::json!({"max_size": 1000, "suggested_compression": true}));
    assert_eq!(maria.request(tus(Method::DELETE, &path)).await.status, 204);
    send(&maria, &path, 0, b"x").await.problem(404, "not_found");
    // What was given up counts no more; what goes on does.
    for _ in 0..4 {
        place(&begin(&maria, &conversation, "a.pdf", 1000).await);
    }
    begin(&maria, &conversation, "a.pdf", 1000).await.problem(429, "rate_limited");
    let asked = maria.request(Request::new(Method::OPTIONS, "/files/uploads")).await;
    assert_eq!((asked.status, asked.header("tus-version").unwrap()), (204, "1.0.0".to_owned()));
    assert!(asked.header("tus-extension").unwrap().contains("termination"));
}
