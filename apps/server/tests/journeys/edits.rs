//! Editing, and correcting when it is too late for that (S0-13, S0-62, S2-46, C-26, AZ-10).

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ANA, CARLOS, MARIA};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{FAST, World, list, number, text, unused_id};

pub(crate) async fn edit(actor: &Actor, message: &str, body: &Value) -> Answer {
    actor.request(Request::new(Method::PATCH, format!("/messages/{message}")).json(body)).await
}

async fn age(world: &World, message: &str, minutes: u32) {
    let sql =
        format!("UPDATE messages SET created_at = created_at - interval '{minutes} minutes' WHERE id = $1");
    assert_eq!(world.execute(&sql, message).await, 1);
}

#[tokio::test]
async fn an_edit_reaches_everyone_and_keeps_what_was_said() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let message = maria.send(&conversation, "Tome 50 mg").await;
    let id = text(&message, "id");
    let mut at_ana = ana.connect_to(&conversation).await;

    let edited = edit(&maria, id, &json!({"content": "Tome 5 mg", "version": 1})).await.expect(200);
    assert_eq!((text(&edited, "content"), number(&edited, "version")), ("Tome 5 mg", 2));
    assert_eq!((&edited["is_edited"], number(&edited, "seq")), (&json!(true), 1));
    let told = at_ana.next_event("message.updated").await;
    assert_eq!((&told["data"], &told["seq"], &told["actor"]), (&edited, &json!(1), &json!(maria.id)));
    let mut socket = maria.connect_to(&conversation).await;
    let done = socket
        .call(json!({"type": "message.edit", "message_id": id, "content": "Tome 5 mg al día", "version": 2}))
        .await;
    assert_eq!(number(&done, "version"), 3);
    assert_eq!(text(&at_ana.next_event("message.updated").await["data"], "content"), "Tome 5 mg al día");

    let shown = &ana.history(&conversation).await[0];
    assert_eq!(list(shown, "edit_history").iter().map(|e| number(e, "version")).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(list(shown, "edit_history")[0]["edited_at"], edited["edited_at"]);
    let history = ana.get(&format!("/messages/{id}/history")).await.expect(200);
    let words: Vec<_> = list(&history, "items").iter().map(|w| text(w, "content")).collect();
    assert_eq!(words, ["Tome 50 mg", "Tome 5 mg", "Tome 5 mg al día"]);

    let other = json!({"content": "x"});
    edit(&ana, id, &other).await.problem(403, "not_the_sender");
    edit(&carlos, id, &other).await.problem(404, "not_found");
    edit(&maria, &unused_id(), &other).await.problem(404, "not_found");
    edit(&maria, id, &json!({"content": "x", "version": 2})).await.problem(409, "stale");
    for bad in [json!({"content": " "}), json!({}), json!({"content": "x", "sender_id": ana.id})] {
        edit(&maria, id, &bad).await.problem(422, "validation_failed");
    }
    let refused = socket.call_refused(json!({"type": "message.edit", "message_id": id, "content": ""})).await;
    assert_eq!(refused, "validation_failed");
}

#[tokio::test]
async fn of_many_edits_of_one_wording_one_wins() {
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let id = text(&maria.send(&conversation, "uno").await, "id").to_owned();
    let mut at_ana = ana.connect_to(&conversation).await;
    let bodies: Vec<_> = (0..60).map(|n| json!({"content": format!("otro {n}"), "version": 1})).collect();
    let answers = join_all(bodies.iter().map(|body| edit(&maria, &id, body))).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((answer.status, text(&answer.json, "error")), (409, "stale"));
    }
    assert_eq!(at_ana.next_event("message.updated").await["data"], won[0].json);
    assert_eq!(ana.history(&conversation).await[0]["content"], won[0].json["content"]);
}

#[tokio::test]
async fn after_the_window_care_is_corrected() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let id = text(&maria.send(&conversation, "Tome 50 mg").await, "id").to_owned();
    age(&world, &id, 16).await;
    edit(&maria, &id, &json!({"content": "Tome 5 mg"})).await.problem(409, "edit_window_over");

    let mut at_ana = ana.connect_to(&conversation).await;
    let path = format!("/messages/{id}/corrections");
    let body = json!({"content": "Son 5 mg", "reason": "Error al escribir", "client_message_id": "c-1"});
    ana.post(&path, &body).await.problem(403, "not_the_sender");
    let correction = maria.post(&path, &body).await.expect(201);
    assert_eq!((&correction["corrects"], number(&correction, "seq")), (&json!(id), 2));
    assert_eq!(maria.post(&path, &body).await.expect(200)["id"], correction["id"], "sent again");
    assert_eq!(at_ana.next_event("message.created").await["data"]["id"], correction["id"]);
    let told = at_ana.next_event("message.corrected").await;
    assert_eq!((&told["data"]["id"], &told["data"]["corrected_by"]), (&json!(id), &correction["id"]));
    let shown = ana.history(&conversation).await;
    assert_eq!((text(&shown[0], "content"), &shown[0]["corrected_by"]), ("Tome 50 mg", &correction["id"]));
    let history = ana.get(&format!("/messages/{id}/history")).await.expect(200);
    assert_eq!(text(&history, "correction_reason"), "Error al escribir");

    // A chain, not a tree.
    let second = maria.post(&path, &json!({"content": "Son 6 mg"})).await.problem(409, "already_corrected");
    assert_eq!(second["details"]["corrected_by"], correction["id"]);
    let next = format!("/messages/{}/corrections", text(&correction, "id"));
    maria.post(&next, &json!({"content": "Son 6 mg"})).await.expect(201);
    assert_eq!(ana.history(&conversation).await.len(), 3);
}

#[tokio::test]
async fn elsewhere_words_can_be_changed_for_ever_where_that_is_allowed() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let study = json!({"type": "group", "purpose": "study_group", "participants": [carlos.id]});
    let group = text(&maria.post("/conversations", &study).await.expect(201), "id").to_owned();
    let id = text(&maria.send(&group, "uno").await, "id").to_owned();
    age(&world, &id, 60 * 24 * 400).await;
    edit(&maria, &id, &json!({"content": "dos"})).await.expect(200);

    let fixed = maria.open_group("Sin cambios", &[&carlos]).await;
    let id = text(&maria.send(&fixed, "uno").await, "id").to_owned();
    let settings = json!({"settings": {"message_editing": false, "message_deletion": false}});
    let change = Request::new(Method::PATCH, format!("/conversations/{fixed}")).json(&settings);
    maria.request(change).await.expect(200);
    edit(&maria, &id, &json!({"content": "dos"})).await.problem(403, "message_editing_disabled");
    let carlos_said = text(&carlos.send(&fixed, "hola").await, "id").to_owned();
    let path = format!("/messages/{carlos_said}");
    carlos.delete(&path).await.problem(403, "message_deletion_disabled");
    maria.delete(&path).await.expect(204);
}
