//! Files: from whoever hands one over to whoever may look at it, and nobody else.

mod annotations;
mod attacks;
mod erasing;
mod faults;
mod granting;
mod grants;
mod refusals;
pub(crate) mod resumable;
mod sharing;

use std::path::Path;

use alivio_testkit::actor::{Actor, Answer, Part, Request};
use alivio_testkit::server::eventually;
use alivio_testkit::socket::Socket;
use reqwest::Method;
use serde_json::Value;

use crate::text;

/// A document with `words` in it.
pub(crate) fn pdf(words: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 72 720 Td ({words}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let (mut file, mut places) = ("%PDF-1.4\n".to_owned(), Vec::new());
    for (number, object) in (1..).zip(&objects) {
        places.push(file.len());
        file.push_str(&format!("{number} 0 obj\n{object}\nendobj\n"));
    }
    let table = file.len();
    file.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for place in places {
        file.push_str(&format!("{place:010} 00000 n \n"));
    }
    file.push_str(&format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n",
        objects.len() + 1
    ));
    file.into_bytes()
}

/// A document with EICAR's test file in it.
pub(crate) fn infected_pdf() -> Vec<u8> {
    [&*pdf("Informe"), b"\n%", &alivio_files::eicar(), b"\n%%EOF\n"].concat()
}

/// Asks to upload `content` to `conversation`, with more fields.
pub(crate) async fn offer(
    actor: &Actor,
    conversation: &str,
    (name, mime, content): (&str, &str, &[u8]),
    more: &[(&str, &str)],
) -> Answer {
    let mut parts = vec![Part::File { name, mime, content }, Part::Text("conversation_id", conversation)];
    parts.extend(more.iter().map(|(name, value)| Part::Text(name, value)));
    actor.request(Request::new(Method::POST, "/files").form(&parts)).await
}

/// The file once its scan has come to `status`.
pub(crate) async fn settled(actor: &Actor, id: &str, status: &str) -> Value {
    let path = format!("/files/{id}");
    eventually("it is scanned", async || actor.get(&path).await.json["status"] == status).await;
    actor.get(&path).await.expect(200)
}

/// Uploads a document and waits until it can be opened.
pub(crate) async fn upload(actor: &Actor, conversation: &str, words: &str, more: &[(&str, &str)]) -> Value {
    let document = pdf(words);
    let answer = offer(actor, conversation, ("informe.pdf", "application/pdf", &document), more).await;
    let file = answer.expect(201);
    settled(actor, text(&file, "id"), "active").await
}

/// What a socket is told of files, once it is. It happens nowhere in particular.
pub(crate) async fn heard(socket: &mut Socket, kind: &str) -> Value {
    socket.find(|frame| frame["type"] == kind).await
}

/// How many files rest in a folder.
fn count(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count_one = |entry: std::fs::DirEntry| {
        if entry.path().is_dir() { count(&entry.path()) } else { 1 }
    };
    entries.map(|entry| count_one(entry.expect("an entry"))).sum()
}
