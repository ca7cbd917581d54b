//! What files rest on breaks: nothing is served that nobody has looked at, nothing half is left, and all goes on after.

use std::path::{Path, PathBuf};
use std::process::Command;

use alivio_testkit::actor::Actor;
use alivio_testkit::clamd::{OWN_MALWARE, TestClamd};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::proxy::{Proxy, Target};
use alivio_testkit::s3::TestBucket;
use alivio_testkit::server::{ANA, MARIA, TestServer, eventually};
use serde_json::Value;

use super::{count, offer, pdf, settled, upload};
use crate::{World, list, text};

fn path(file: &Value, rest: &str) -> String {
    format!("/files/{}{rest}", text(file, "id"))
}

/// What the health check says of one dependency, and whether the server is ready.
async fn health(world: &World, name: &str) -> (String, bool) {
    let answer = world.anonymous().get("//api/v1/health").await;
    let found = list(&answer.json, "dependencies").iter().find(|dependency| dependency["name"] == name);
    (text(found.expect("a dependency"), "status").to_owned(), answer.status == 200)
}

/// F17: the scanner hangs, is killed in the midst of a scan, and comes back.
#[tokio::test]
async fn while_the_scanner_is_away_files_wait_and_are_not_served() {
    let Some(clamd) = TestClamd::start().await else { return };
    let world = World::with(&[("ALIVIO_CLAMD", &clamd.address())]).await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    upload(&maria, &conversation, "Antes", &[]).await;

    clamd.pause();
    let hand_over = async |actor: &Actor, content: &[u8]| {
        offer(actor, &conversation, ("informe.pdf", "application/pdf", content), &[]).await.expect(201)
    };
    let clean = hand_over(&maria, &pdf("Espera")).await;
    let infected = [&*pdf("Malo"), b"\n%", OWN_MALWARE, b"\n%%EOF\n"].concat();
    let infected = hand_over(&maria, &infected).await;
    let database = crate::audit::sql(&world).await;
    let id: uuid::Uuid = text(&clean, "id").parse().expect("an id");
    eventually("it is being scanned", async || {
        let query = "SELECT due_at > now() + interval '1 minute' FROM files WHERE id = $1";
        database.query_one(query, &[&id]).await.expect("the file").get(0)
    })
    .await;
    let not_served = async |file: &Value| {
        for actor in [&maria, &ana] {
            for rest in ["/content", "/preview", "/thumbnail"] {
                actor.get(&path(file, rest)).await.problem(409, "file_pending");
            }
            assert_eq!(actor.get(&path(file, "")).await.expect(200)["status"], "pending");
        }
    };
    not_served(&clean).await;
    clamd.kill();
    assert_eq!(health(&world, "scanner").await, ("unavailable".to_owned(), true));
    // Files are taken, and wait.
    let late = hand_over(&ana, &pdf("Tarde")).await;
    for file in [&clean, &infected, &late] {
        not_served(file).await;
    }
    clamd.restart().await;
    settled(&ana, text(&clean, "id"), "active").await;
    settled(&ana, text(&late, "id"), "active").await;
    settled(&maria, text(&infected, "id"), "quarantined").await;
    assert_eq!(ana.get(&path(&clean, "/content")).await.bytes, pdf("Espera"));
    ana.get(&path(&infected, "/content")).await.problem(403, "file_quarantined");
    assert_eq!(health(&world, "scanner").await, ("ok".to_owned(), true));
}

/// A program that runs the server with no more room for a file than two to four mebibytes. Blocks are of 512 bytes, or of
/// 1024 in some shells; the signal would kill who does not expect it.
fn with_little_room(folder: &Path) -> PathBuf {
    let script = folder.join("alivio");
    let lines = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 4096\nexec '{}'\n", env!("CARGO_BIN_EXE_alivio"));
    // Not by ourselves: what this process has open for writing, a child of another test may have open, too.
    let written = Command::new("sh")
        .args(["-c", r#"printf %s "$1" > "$0" && chmod 700 "$0""#])
        .args([script.as_os_str(), lines.as_ref()])
        .status();
    assert!(written.is_ok_and(|status| status.success()), "no script");
    script
}

/// F07.
#[tokio::test]
async fn a_full_disk_is_said_and_nothing_half_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = TestDatabase::new().await.expect("a database");
    let binary = with_little_room(folder.path());
    let few = [("ALIVIO_RATE_FILES_PER_HOUR", "2")];
    let server = TestServer::start(binary.to_str().expect("a path"), database.url(), &few).await;
    let world = World { server, database };
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let before = upload(&maria, &conversation, "Antes", &[]).await;
    let files = world.data_dir().join("files");
    let kept = count(&files);

    let large = pdf(&"grande ".repeat(900_000));
    let form = ("grande.pdf", "application/pdf", &*large);
    for _ in 0..3 {
        offer(&maria, &conversation, form, &[]).await.problem(507, "storage_full");
    }
    eventually("nothing half is left", async || count(&files) == kept).await;
    assert_eq!(list(&maria.get("/files").await.expect(200), "items").len(), 1);
    // What is there is read, what fits is taken, and what was refused did not count.
    assert_eq!(ana.get(&path(&before, "/content")).await.bytes, pdf("Antes"));
    upload(&maria, &conversation, "Cabe", &[]).await;
}

/// F18.
#[tokio::test]
async fn while_the_store_is_away_nothing_is_believed() {
    let Some(bucket) = TestBucket::new().await else { return };
    let port = bucket.endpoint().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let way = Proxy::to(Target::Port(port)).await;
    let world = World::with(&[
        ("ALIVIO_FILES", &format!("s3://{}/clinica", bucket.name())),
        ("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", way.port())),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("ALIVIO_RATE_FILES_PER_HOUR", "2"),
    ])
    .await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = upload(&maria, &conversation, "Antes", &[("max_downloads", "1")]).await;

    way.refuse();
    let document = pdf("Mientras");
    let form = ("informe.pdf", "application/pdf", &*document);
    offer(&maria, &conversation, form, &[]).await.problem(503, "unavailable");
    ana.get(&path(&file, "/content")).await.problem(503, "unavailable");
    assert_eq!(ana.get(&path(&file, "")).await.expect(200)["status"], "active");
    assert_eq!(health(&world, "files").await, ("unavailable".to_owned(), true));
    let said = ana.send(&conversation, "Se sigue hablando").await;
    assert_eq!(said["content"], "Se sigue hablando");

    way.mend();
    assert_eq!(list(&maria.get("/files").await.expect(200), "items").len(), 1);
    // What could not be given did not count.
    assert_eq!(ana.get(&path(&file, "/content")).await.bytes, pdf("Antes"));
    let after = upload(&maria, &conversation, "Despues", &[]).await;
    assert_eq!(ana.get(&path(&after, "/content")).await.bytes, pdf("Despues"));

    // Other bytes than were stored, and none at all, are never given.
    let key = format!("clinica/{}/segment-0", text(&after, "id"));
    let stored = bucket.get(&key).await.expect("its bytes");
    for wrong in [stored.iter().rev().copied().collect(), stored[..stored.len() / 2].to_vec(), Vec::new()] {
        bucket.put(&key, wrong).await;
        ana.get(&path(&after, "/content")).await.problem(503, "unavailable");
    }
    bucket.put(&key, stored).await;
    assert_eq!(ana.get(&path(&after, "/content")).await.bytes, pdf("Despues"));
}
