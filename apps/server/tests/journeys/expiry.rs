//! Messages that disappear by themselves (S0-31, S0-65, S0-226, S4-156, C-25).

use alivio_testkit::server::{ANA, CARLOS, MARIA};
use serde_json::{Value, json};

use crate::{World, list, text};

#[tokio::test]
async fn a_message_disappears_when_its_time_is_over() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let body = json!({"content": "efímero", "expires_in_seconds": 3600, "client_message_id": "c-1"});
    let message = ana.post(&path, &body).await.expect(201);
    assert!(message["expires_at"].is_string(), "{message}");
    assert_eq!(ana.post(&path, &body).await.expect(200)["expires_at"], message["expires_at"], "sent again");
    let stays = maria.send(&conversation, "queda").await;
    for bad in [
        json!({"content": "x", "expires_in_seconds": 9}),
        json!({"content": "x", "expires_in_seconds": 31_536_001}),
        json!({"content": "x", "expires_in_seconds": i64::MAX}),
        json!({"content": "x", "expires_at": "2020-01-01T00:00:00Z"}),
        json!({"content": "x", "expires_in_seconds": 60, "expires_at": "2099-01-01T00:00:00Z"}),
    ] {
        ana.post(&path, &bad).await.problem(422, "validation_failed");
    }

    let id = text(&message, "id");
    let mut at_maria = maria.connect_to(&conversation).await;
    let mut at_ana = ana.connect_to(&conversation).await;
    let over = "UPDATE messages SET expires_at = now() - interval '1 second' WHERE id = $1";
    assert_eq!(world.execute(over, id).await, 1);
    // At once, whoever has noted it.
    let page = maria.page(&conversation, "?include_deleted=true").await;
    let gone = &list(&page, "items")[1];
    assert_eq!((&gone["content"], &gone["is_deleted"]), (&Value::Null, &json!(true)));
    for socket in [&mut at_maria, &mut at_ana] {
        let told = socket.next_event("message.deleted").await;
        assert_eq!((&told["data"]["id"], &told["actor"]), (&json!(id), &Value::Null));
        assert_eq!((&told["data"]["deleted_by"], &told["data"]["content"]), (&json!("system"), &Value::Null));
    }
    let noted = "SELECT 1 FROM changes WHERE message_id = $1 AND kind = 'message.deleted'";
    assert_eq!(world.execute(noted, id).await, 1, "once");
    let kept = "SELECT 1 FROM messages WHERE id = $1 AND content IS NOT NULL";
    assert_eq!(world.execute(kept, id).await, 1, "a record keeps its words");
    assert_eq!(maria.log(&conversation).await[1]["content"], stays["content"]);
}

#[tokio::test]
async fn a_conversation_that_forgets_gives_its_messages_their_time() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let group = maria.open_group("Olvido", &[&carlos]).await;
    let settings = r#"UPDATE conversations SET settings = '{"auto_delete_days": 30}' WHERE id = $1"#;
    assert_eq!(world.execute(settings, &group).await, 1);
    let message = maria.send(&group, "uno").await;
    let in_a_month = "SELECT 1 FROM messages WHERE id = $1 AND expires_at = created_at + interval '30 days'";
    assert_eq!(world.execute(in_a_month, text(&message, "id")).await, 1);
    assert!(message["expires_at"].is_string());
}
