//! Answers, and how much of what they answer is shown (S0-57, S2-6, AZ-02).

use alivio_testkit::server::{AISHA, ANA, CARLOS, MARIA};
use alivio_testkit::socket::Connect;
use serde_json::{Value, json};

use crate::{World, text};

#[tokio::test]
async fn an_answer_shows_the_beginning_of_what_it_answers() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let question = ana.send(&conversation, &"ñ".repeat(150)).await;
    let mut at_ana = ana.connect_to(&conversation).await;
    let mut answer =
        maria.post(&path, &json!({"content": "Sí", "reply_to": question["id"]})).await.expect(201);
    answer.as_object_mut().unwrap().remove("warnings");
    let quote = &answer["reply_to"];
    assert_eq!((&quote["message_id"], &quote["created_at"]), (&question["id"], &question["created_at"]));
    assert_eq!(quote["content_preview"], "ñ".repeat(100));
    assert_eq!(quote["sender_name"], question["sender"]["display_name"]);
    assert_eq!(at_ana.next_event("message.created").await["data"], answer);
    assert_eq!(ana.history(&conversation).await[1], answer);
    assert_eq!(ana.get(&format!("/messages/{}", text(&answer, "id"))).await.expect(200), answer);

    // What was taken back is not told through an answer, and cannot be answered.
    let gone = "UPDATE messages SET deleted_at = now() WHERE id = $1";
    world.execute(gone, text(&question, "id")).await;
    let quote = ana.history(&conversation).await[0]["reply_to"].clone();
    assert_eq!((&quote["content_preview"], &quote["message_id"]), (&Value::Null, &question["id"]));
    let late = json!({"content": "Sí", "reply_to": question["id"]});
    maria.post(&path, &late).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn nothing_is_told_of_what_stands_elsewhere_or_before_ones_time() {
    let world = World::new().await;
    let [ana, maria, carlos, aisha] = world.sign_in_all([ANA, MARIA, CARLOS, AISHA]).await;
    let private = ana.open_direct(&maria.id).await;
    let secret = ana.send(&private, "Solo para usted").await;
    let group = maria.open_group("Equipo", &[&carlos]).await;
    let path = format!("/conversations/{group}/messages");
    for caller in [&maria, &carlos] {
        let body = json!({"content": "¿Y esto?", "reply_to": secret["id"]});
        caller.post(&path, &body).await.problem(422, "validation_failed");
    }
    // Aisha joins after the question, and sees the answer to it.
    let question = carlos.send(&group, "¿Quién pasa visita?").await;
    let added = json!({"user_id": aisha.id});
    maria.post(&format!("/conversations/{group}/participants"), &added).await.expect(200);
    let mut at_aisha = aisha.connect_to(&group).await;
    let mut at_carlos = carlos.connect_to(&group).await;
    let answer = maria.post(&path, &json!({"content": "Yo", "reply_to": question["id"]})).await.expect(201);
    assert_eq!(answer["reply_to"]["content_preview"], "¿Quién pasa visita?", "María may see it");
    for socket in [&mut at_aisha, &mut at_carlos] {
        let seen = socket.next_event("message.created").await["data"]["reply_to"].clone();
        let [sender, preview, at] = ["sender_name", "content_preview", "created_at"].map(|f| seen[f].clone());
        assert_eq!([sender, preview, at], [Value::Null, Value::Null, Value::Null]);
    }
    let by_aisha = aisha.history(&group).await[0]["reply_to"].clone();
    assert_eq!(by_aisha["content_preview"], Value::Null);
    assert_eq!(carlos.history(&group).await[1]["reply_to"]["content_preview"], "¿Quién pasa visita?");
    // She resumes from nothing and gets no more by that.
    let mut again = aisha.connect().await;
    again.call(json!({"type": "resume", "conversation_id": group, "last_seq": 0})).await;
    let replayed = again.next_event("message.created").await;
    assert_eq!(replayed["data"]["reply_to"]["content_preview"], Value::Null);
    aisha.get(&format!("/messages/{}", text(&question, "id"))).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_documented_socket_answers_too() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let question = maria.send(&conversation, "¿Cómo está?").await;
    let path = format!("/ws/chat/{conversation}/?token={}", ana.token());
    let mut at_ana = ana.try_connect(Connect::new(path)).await.expect("a socket");
    let action = json!({"action": "send_message", "content": "Mejor", "reply_to_id": question["id"]});
    at_ana.text(&action.to_string()).await;
    let told = at_ana.next_event("new_message").await;
    assert_eq!(told["data"]["reply_to_id"], question["id"]);
    assert_eq!(maria.history(&conversation).await[1]["reply_to"]["content_preview"], "¿Cómo está?");
}
