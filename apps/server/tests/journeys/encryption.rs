//! Keys: told truthfully, rotated while everybody talks, and destroyed.

use std::process::{Command, Output, Stdio};

use alivio_testkit::server::{ANA, CARLOS, LUIS, MARIA, eventually};
use futures_util::future::join3;
use serde_json::json;

use crate::audit::sql;
use crate::{FAST, World, list, text, unused_id};

/// Runs `alivio` beside the server.
pub(crate) fn operator(world: &World, arguments: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_alivio"))
        .args(arguments)
        .env("DATABASE_URL", world.database.url())
        .env("ALIVIO_DATA_DIR", world.data_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process")
}

pub(crate) async fn ended(child: std::process::Child) -> (bool, String) {
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

/// How many data keys there are of which `condition` holds.
async fn keys(world: &World, condition: &str) -> i64 {
    let query = format!("SELECT count(*) FROM data_keys WHERE {condition}");
    sql(world).await.query_one(&query, &[]).await.expect("a count").get(0)
}

/// CR-05: no request fails, over REST or a socket, writing or reading; afterwards everything opens, under the new keys.
#[tokio::test]
async fn keys_rotate_while_everybody_talks() {
    const AT_LEAST: usize = 5;
    let world = World::with(&FAST).await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let before = ana.send(&conversation, "antes").await;
    let mut said = vec!["antes".to_owned()];
    for (round, arguments) in [&["rotate-keys"][..], &["rotate-keys", "--data-keys"]].into_iter().enumerate()
    {
        let mut heard = ana.connect_to(&conversation).await;
        let rotation = tokio::spawn(ended(operator(&world, arguments)));
        let by_rest = async {
            let mut sent = Vec::new();
            while !rotation.is_finished() || sent.len() < AT_LEAST {
                // Old keys and new ones; each must be answered.
                let group = maria.open_group(&format!("Grupo {}", sent.len()), &[&ana]).await;
                maria.send(&group, "nuevo").await;
                let words = format!("durante {round} {}", sent.len());
                ana.send(&conversation, &words).await;
                sent.push(words);
                assert_eq!(ana.history(&group).await.len(), 1);
            }
            sent
        };
        let by_socket = async {
            let (mut socket, mut sent) = (maria.connect_to(&conversation).await, Vec::new());
            while !rotation.is_finished() || sent.len() < AT_LEAST {
                let words = format!("por el enchufe {round} {}", sent.len());
                socket.send(&conversation, &words.replace(' ', "-"), &words).await;
                sent.push(words);
            }
            sent
        };
        let reading = async {
            let mut reads = 0;
            while !rotation.is_finished() || reads < AT_LEAST {
                let history = ana.history(&conversation).await;
                assert!(history.iter().all(|message| message["content"].is_string()), "{history:#?}");
                let draft = format!("/conversations/{conversation}/draft");
                maria.put(&draft, &json!({"content": "a medias"})).await.expect(200);
                maria.get(&draft).await.expect(200);
                carlos.get("/me/profile").await.expect(200);
                ana.get("/search?query=durante").await.expect(200);
                reads += 1;
            }
        };
        let (by_rest, by_socket, ()) = join3(by_rest, by_socket, reading).await;
        for _ in 0..by_rest.len() + by_socket.len() {
            assert!(heard.next_event("message.created").await["data"]["content"].is_string());
        }
        said.extend(by_rest.into_iter().chain(by_socket));
        let (succeeded, told) = rotation.await.expect("no panic");
        assert!(succeeded, "{told}");
        let current = round + 2;
        assert!(told.contains(&format!("key-encryption key {current} is in use")), "{told}");
        assert_eq!(
            keys(&world, &format!("kek_version <> {current}")).await,
            0,
            "all are wrapped by the new key"
        );
    }
    // The new file opens everything, for a node that has nothing else.
    world.terminate().await;
    world.restart().await;
    let [ana] = world.sign_in_all([ANA]).await;
    let history = ana.history(&conversation).await;
    assert_eq!(history[0]["encryption"], before["encryption"]);
    let mut found: Vec<_> = history.iter().map(|message| text(message, "content")).collect();
    found.sort_unstable();
    said.sort_unstable();
    assert_eq!(found, said);
    // Retired keys open only.
    let after = ana.send(&conversation, "después").await;
    let (old, new) = (text(&before["encryption"], "key_id"), text(&after["encryption"], "key_id"));
    assert_ne!(old, new);
    assert_eq!(keys(&world, &format!("id = '{old}' AND state = 'decrypt_only'")).await, 1);
    assert_eq!(keys(&world, &format!("id = '{new}' AND state = 'active' AND version > 1")).await, 1);
    let of_one = "state = 'active' GROUP BY scope_kind, scope_id HAVING count(*) > 1";
    let doubled = format!("EXISTS (SELECT 1 FROM data_keys WHERE {of_one})");
    assert_eq!(keys(&world, &doubled).await, 0, "a scope has one key that seals");
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
