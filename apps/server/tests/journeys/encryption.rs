//! Keys: told truthfully, rotated while everybody talks, and destroyed.

use std::process::{Command, Output, Stdio};

use alivio_testkit::server::{ANA, LUIS, MARIA, eventually};
use serde_json::json;

use crate::{World, list, text, unused_id};

/// Runs `alivio` beside the server.
fn operator(world: &World, arguments: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_alivio"))
        .args(arguments)
        .env("DATABASE_URL", world.database.url())
        .env("ALIVIO_DATA_DIR", world.data_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process")
}

async fn ended(child: std::process::Child) -> (bool, String) {
    let wait = tokio::task::spawn_blocking(move || child.wait_with_output().expect("its end"));
    let Output { status, stdout, stderr } = wait.await.expect("no panic");
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[tokio::test]
async fn encryption_is_told_as_it_is() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let sent = ana.send(&conversation, "Hola").await;
    let told = &sent["encryption"];
    assert_eq!((&told["mode"], &told["is_encrypted"]), (&json!("server"), &json!(true)));
    assert_eq!((&told["algorithm"], &told["content_destroyed"]), (&json!("AES-256-GCM"), &json!(false)));
    assert!(text(told, "key_id").parse::<uuid::Uuid>().is_ok());
    assert_eq!(maria.history(&conversation).await[0]["encryption"], *told);
    // One key per conversation.
    assert_eq!(maria.send(&conversation, "Buenas").await["encryption"]["key_id"], told["key_id"]);
    let group = maria.open_group("Otra", &[&ana]).await;
    assert_ne!(maria.send(&group, "Hola").await["encryption"]["key_id"], told["key_id"]);
    let shown = ana.conversation(&conversation).await;
    assert_eq!(text(&shown["encryption"], "mode"), "server");
    assert_eq!(shown["capabilities"]["search"], true);
    // The server can read what it keeps, and says nothing else.
    let document = world.anonymous().get("//openapi.json").await.text.to_lowercase();
    assert!(!document.contains("end-to-end") && !document.contains("e2ee"));
}

#[tokio::test]
async fn keys_rotate_while_everybody_talks() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let before = ana.send(&conversation, "antes").await;
    for (round, arguments) in [&["rotate-keys"][..], &["rotate-keys", "--data-keys"]].into_iter().enumerate()
    {
        let rotation = tokio::spawn(ended(operator(&world, arguments)));
        let mut sent = 0;
        while !rotation.is_finished() || sent < 5 {
            // Old keys and new ones; each must be answered.
            let group = maria.open_group(&format!("Grupo {sent}"), &[&ana]).await;
            maria.send(&group, "nuevo").await;
            ana.send(&conversation, &format!("durante {round} {sent}")).await;
            assert_eq!(ana.history(&group).await.len(), 1);
            sent += 1;
        }
        let (succeeded, said) = rotation.await.expect("no panic");
        assert!(succeeded, "{said}");
        assert!(said.contains(&format!("key-encryption key {} is in use", round + 2)), "{said}");
    }
    // The new file opens everything, for a node that has nothing else.
    world.terminate().await;
    world.restart().await;
    let [ana] = world.sign_in_all([ANA]).await;
    let history = ana.history(&conversation).await;
    assert_eq!(history[0]["encryption"], before["encryption"]);
    assert!(history.iter().all(|message| message["content"].is_string()));
    // Retired keys open only.
    let after = ana.send(&conversation, "después").await;
    assert_ne!(after["encryption"]["key_id"], before["encryption"]["key_id"]);
}

#[tokio::test]
async fn what_was_destroyed_is_gone_and_says_so() {
    let world = World::new().await;
    let [ana, maria, luis] = world.sign_in_all([ANA, MARIA, LUIS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let kept = maria.open_group("Otra", &[&ana]).await;
    ana.send(&conversation, "palabra secreta").await;
    maria.send(&kept, "palabra que queda").await;
    let found = async || list(&ana.get("/search?query=palabra").await.expect(200), "items").len();
    eventually("both are found", async || found().await == 2).await;

    let (done, said) =
        ended(operator(&world, &["shred-conversation", &conversation, "--reason", "misplaced"])).await;
    assert!(!done && said.contains("--force"), "{said}");
    let unknown = unused_id();
    let (done, _) = ended(operator(&world, &["shred-conversation", &unknown, "--reason", "misplaced"])).await;
    assert!(!done);
    let arguments = ["shred-conversation", &conversation, "--reason", "erasure-request", "--force"];
    let (done, said) = ended(operator(&world, &arguments)).await;
    assert!(done, "{said}");
    let (done, said) = ended(operator(&world, &arguments)).await;
    assert!(done && said.contains("before"), "{said}");

    eventually("the running server forgets the key", async || {
        maria.history(&conversation).await[0]["content"].is_null()
    })
    .await;
    let message = &maria.history(&conversation).await[0];
    assert_eq!(message["encryption"]["content_destroyed"], true);
    assert_eq!(found().await, 1);
    let path = format!("/conversations/{conversation}/messages");
    ana.post(&path, &json!({"content": "Hola"})).await.problem(409, "content_destroyed");
    luis.post(&path, &json!({"content": "Hola"})).await.problem(404, "not_found");
    ana.conversation(&conversation).await;
    assert_eq!(list(&ana.get("/conversations").await.expect(200), "items").len(), 2);
    assert_eq!(maria.history(&kept).await.len(), 1);
}
