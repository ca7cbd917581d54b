//! Coming into a conversation by oneself.

use alivio_testkit::actor::Request;
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA};
use reqwest::Method;
use serde_json::json;

use crate::{World, list, text};

#[tokio::test]
async fn a_link_lets_people_in_by_the_rules_of_whoever_made_it() {
    let world = World::new().await;
    let [maria, ana, carlos, luis, aisha] = world.sign_in_all([MARIA, ANA, CARLOS, LUIS, AISHA]).await;
    let group = maria.open_group("Caso", &[&carlos]).await;
    let links = format!("/conversations/{group}/invitation-links");
    carlos.post(&links, &json!({})).await.problem(403, "not_a_moderator");
    maria.post(&links, &json!({"max_uses": 0})).await.problem(422, "validation_failed");
    let link = maria.post(&links, &json!({"max_uses": 1})).await.expect(201);
    let token = text(&link, "token");
    assert!(token.len() > 40, "{token}");
    // Luis is nobody whom she attends.
    luis.post("/conversations/join", &json!({"token": token})).await.problem(403, "conversation_not_allowed");
    let joined = ana.post("/conversations/join", &json!({"token": token})).await.expect(200);
    assert_eq!(joined["id"], *group);
    ana.post("/conversations/join", &json!({"token": token})).await.problem(404, "not_found");
    aisha.post("/conversations/join", &json!({"token": token})).await.problem(404, "not_found");
    aisha.post("/conversations/join", &json!({"token": "alj_x"})).await.problem(404, "not_found");
    let shown = maria.get(&links).await.expect(200);
    let [shown] = list(&shown, "items") else { panic!("{shown}") };
    assert_eq!((&shown["uses"], &shown["max_uses"]), (&json!(1), &json!(1)));
    assert!(shown.get("token").is_none(), "it is shown once");
}

#[tokio::test]
async fn a_link_ends_when_it_is_withdrawn_or_its_maker_moderates_no_more() {
    let world = World::new().await;
    let [maria, carlos, aisha, admin, it] = world.sign_in_all([MARIA, CARLOS, AISHA, ADMIN, IT]).await;
    let group = maria.open_group("Caso", &[&carlos]).await;
    let links = format!("/conversations/{group}/invitation-links");
    let make = async || maria.post(&links, &json!({})).await.expect(201);
    let (first, second) = (make().await, make().await);
    maria.delete(&format!("{links}/{}", text(&first, "id"))).await.expect(204);
    aisha.post("/conversations/join", &json!({"token": first["token"]})).await.problem(404, "not_found");
    aisha.post("/conversations/join", &json!({"token": second["token"]})).await.expect(200);
    let path = |user: &str| format!("/conversations/{group}/participants/{user}");
    for (by, to, role) in [(&maria, &carlos, "moderator"), (&carlos, &maria, "member")] {
        by.request(Request::new(Method::PATCH, path(&to.id)).json(&json!({"role": role}))).await.expect(200);
    }
    admin.post("/conversations/join", &json!({"token": second["token"]})).await.problem(404, "not_found");
    // Who made, withdrew and used which is on record; what was refused did nothing.
    let trail = it.get("/admin/audit?action=invitation_link").await.expect(200);
    let mut done: Vec<_> = list(&trail, "items")
        .iter()
        .map(|entry| (text(entry, "action"), text(entry, "actor_id"), text(entry, "object_id")))
        .collect();
    done.sort_unstable();
    let (first, second) = (text(&first, "id"), text(&second, "id"));
    let mut expected = [
        ("invitation_link.issued", maria.id.as_str(), first),
        ("invitation_link.issued", &maria.id, second),
        ("invitation_link.revoked", &maria.id, first),
        ("invitation_link.used", &aisha.id, second),
    ];
    expected.sort_unstable();
    assert_eq!(done, expected);
}

#[tokio::test]
async fn people_of_the_clinic_come_into_what_is_open_to_them() {
    let world = World::new().await;
    let [maria, ana, carlos, aisha] = world.sign_in_all([MARIA, ANA, CARLOS, AISHA]).await;
    let asked = json!({
        "type": "group", "purpose": "study_group", "participants": [carlos.id], "settings": {"joinable": true},
    });
    let open = text(&maria.post("/conversations", &asked).await.expect(201), "id").to_owned();
    let closed = maria.open_group("Caso", &[&carlos]).await;
    let join = |id: &str| Request::new(Method::POST, format!("/conversations/{id}/join"));
    aisha.request(join(&closed)).await.problem(404, "not_found");
    ana.request(join(&open)).await.problem(404, "not_found");
    for _ in 0..2 {
        assert_eq!(aisha.request(join(&open)).await.expect(200)["id"], *open);
    }
    assert_eq!(list(&maria.conversation(&open).await, "participants").len(), 3);
}
