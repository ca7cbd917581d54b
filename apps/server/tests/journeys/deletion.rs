//! Taking messages back (S0-14, S0-63, S2-47, S2-57, S2-61, C-25, AZ-10).

use alivio_testkit::actor::Request;
use alivio_testkit::server::{ADMIN, ANA, CARLOS, MARIA, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::edits::edit;
use crate::{World, list, text};

#[tokio::test]
async fn a_message_that_is_taken_back_leaves_its_place_and_no_words() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let id = text(&ana.send(&conversation, "secreto-canario").await, "id").to_owned();
    edit(&ana, &id, &json!({"content": "secreto-canario dos"})).await.expect(200);
    maria.put(&format!("/messages/{id}/reactions/%F0%9F%91%8D"), &json!({})).await.expect(200);
    let path = format!("/messages/{id}");
    maria.delete(&path).await.problem(403, "not_the_sender");
    carlos.delete(&path).await.problem(404, "not_found");

    let mut at_maria = maria.connect_to(&conversation).await;
    ana.delete(&path).await.expect(204);
    ana.delete(&path).await.expect(204);
    let told = at_maria.next_event("message.deleted").await;
    let tombstone = &told["data"];
    assert_eq!((&tombstone["is_deleted"], &tombstone["deleted_by"]), (&json!(true), &json!("sender")));
    assert_eq!((&tombstone["content"], &tombstone["reactions"]), (&Value::Null, &json!([])));
    assert_eq!(tombstone["edit_history"], json!([]));
    let after = at_maria.settled().await;
    assert!(!after.iter().any(|event| event["type"] == "message.deleted"), "told once: {after:?}");
    let page = maria.page(&conversation, "?include_deleted=true").await;
    assert_eq!(list(&page, "items")[0]["content"], Value::Null);
    assert!(!page.to_string().contains("canario"));
    let history = maria.get(&format!("/messages/{id}/history")).await.expect(200);
    assert_eq!(history["items"], json!([]));
    assert_eq!(maria.conversation(&conversation).await["last_message"]["content"], Value::Null);

    edit(&ana, &id, &json!({"content": "x"})).await.problem(409, "message_gone");
    ana.post(&format!("{path}/corrections"), &json!({"content": "x"})).await.problem(409, "message_gone");
    maria.put(&format!("{path}/reactions/%F0%9F%91%8D"), &json!({})).await.problem(409, "message_gone");
    let kept = "SELECT 1 FROM messages WHERE id = $1 AND content IS NOT NULL AND purge_at IS NULL";
    assert_eq!(world.execute(kept, &id).await, 1, "a record keeps its words");
}

#[tokio::test]
async fn a_moderator_takes_back_what_others_said_and_that_is_recorded() {
    let world = World::new().await;
    let [maria, carlos, admin] = world.sign_in_all([MARIA, CARLOS, ADMIN]).await;
    let group = maria.open_group("Equipo", &[&carlos]).await;
    let (hers, his) = (maria.send(&group, "uno").await, carlos.send(&group, "dos").await);
    carlos.delete(&format!("/messages/{}", text(&hers, "id"))).await.problem(403, "not_the_sender");
    let mut socket = maria.connect_to(&group).await;
    let done = socket.call(json!({"type": "message.delete", "message_id": his["id"]})).await;
    assert_eq!(done["message_id"], his["id"]);
    let shown = carlos.log(&group).await;
    assert_eq!((&shown[1]["is_deleted"], &shown[1]["deleted_by"]), (&json!(true), &json!("moderator")));
    let trail = admin.get("/admin/audit?action=message.removed").await.expect(200);
    let [entry] = list(&trail, "items") else { panic!("{trail}") };
    assert!(entry.to_string().contains(text(&his, "id")), "{entry}");
    maria.delete(&format!("/messages/{}", text(&hers, "id"))).await.expect(204);
    let trail = admin.get("/admin/audit?action=message.removed").await.expect(200);
    assert_eq!(list(&trail, "items").len(), 1, "what people do with their own is no moderation");
}

#[tokio::test]
async fn where_no_record_needs_them_words_are_destroyed_after_a_while() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let group = maria.open_group("Estudio", &[&carlos]).await;
    let purpose = "UPDATE conversations SET purpose = 'study_group' WHERE id = $1";
    assert_eq!(world.execute(purpose, &group).await, 1);
    let id = text(&maria.send(&group, "uno").await, "id").to_owned();
    edit(&maria, &id, &json!({"content": "dos"})).await.expect(200);
    maria.request(Request::new(Method::DELETE, format!("/messages/{id}"))).await.expect(204);
    let kept = "SELECT 1 FROM messages WHERE id = $1 AND content IS NOT NULL AND purge_at > now() + interval '6 days'";
    assert_eq!(world.execute(kept, &id).await, 1, "not at once");
    assert_eq!(world.execute("UPDATE messages SET purge_at = now() WHERE id = $1", &id).await, 1);
    eventually("its words are destroyed", async || {
        world.execute("SELECT 1 FROM messages WHERE id = $1 AND content IS NULL", &id).await == 1
    })
    .await;
    assert_eq!(world.execute("SELECT 1 FROM message_versions WHERE message_id = $1", &id).await, 0);
    assert_eq!(carlos.log(&group).await[0]["is_deleted"], json!(true), "its place stays");
}
