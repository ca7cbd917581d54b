//! What people have begun to write: their own affair.

use alivio_testkit::server::{ANA, MARIA};
use serde_json::json;

use crate::audit::sql;
use crate::{World, list, text};

#[tokio::test]
async fn a_draft_waits_on_all_devices_of_its_owner_and_nowhere_else() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let group = maria.open_group("Equipo", &[&ana]).await;
    let path = format!("/conversations/{conversation}/draft");
    ana.get(&path).await.problem(404, "not_found");
    let (mut at_ana, mut at_maria) = (ana.connect().await, maria.connect_to(&conversation).await);
    ana.put(&path, &json!({"content": "Buenos"})).await.expect(200);
    let kept = ana.put(&path, &json!({"content": "Buenos días"})).await.expect(200);
    assert_eq!(ana.get(&path).await.expect(200), kept);
    let told = at_ana.find(|f| f["type"] == "draft.changed").await;
    assert_eq!(told["data"], json!({"conversation_id": conversation}), "ids only");
    maria.get(&path).await.problem(404, "not_found");
    assert!(list(&maria.get("/drafts").await.expect(200), "items").is_empty());

    let elsewhere = format!("/conversations/{group}/draft");
    let newer = ana.put(&elsewhere, &json!({"content": "Otra cosa"})).await.expect(200);
    let first = ana.get("/drafts?page_size=1").await.expect(200);
    assert_eq!(list(&first, "items"), [newer]);
    let next = format!("/drafts?page_size=1&cursor={}", text(&first, "next_cursor"));
    let second = ana.get(&next).await.expect(200);
    assert_eq!((list(&second, "items"), &second["next_cursor"]), (&[kept.clone()][..], &json!(null)));

    // Sending leaves it; throwing it away does not.
    ana.send(&conversation, "Buenos días").await;
    assert_eq!(ana.get(&path).await.expect(200), kept);
    ana.delete(&path).await.expect(204);
    ana.delete(&path).await.expect(204);
    ana.get(&path).await.problem(404, "not_found");
    at_ana.find(|f| f["type"] == "draft.changed").await;
    assert!(at_maria.settled().await.iter().all(|frame| frame["type"] != "draft.changed"));

    // Who has left has none there.
    maria.delete(&format!("/conversations/{group}/participants/{}", ana.id)).await.expect(204);
    ana.get(&elsewhere).await.problem(404, "not_found");
    ana.put(&elsewhere, &json!({"content": "x"})).await.problem(404, "not_found");
    assert!(list(&ana.get("/drafts").await.expect(200), "items").is_empty());
    let stored = "SELECT content FROM message_drafts LIMIT 1";
    let sealed: Vec<u8> = sql(&world).await.query_one(stored, &[]).await.expect("a row").get(0);
    assert!(!sealed.windows(4).any(|window| window == b"Otra"));
}
