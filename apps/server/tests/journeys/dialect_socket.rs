//! `/ws/chat/{conversation_id}/?token=…`: a client written from the source documents (S0-120 … S0-125, S2-41 … S2-45).

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{ANA, CARLOS, LUIS, MARIA};
use alivio_testkit::socket::{Connect, Socket};
use serde_json::{Value, json};

use crate::{World, fields, list, number, seqs, text, unused_id};

fn path(conversation: &str, token: &str) -> Connect {
    Connect::new(format!("/ws/chat/{conversation}/?token={token}"))
}

async fn enter(actor: &Actor, conversation: &str, token: &str) -> Socket {
    actor.try_connect(path(conversation, token)).await.expect("a socket")
}

#[track_caller]
fn check_envelope(event: &Value, conversation: &str, sender: &Actor) {
    assert_eq!(fields(event), ["conversation_id", "data", "sender_id", "timestamp", "type"]);
    assert_eq!(event["conversation_id"], conversation);
    assert_eq!(event["sender_id"], sender.id);
    assert!(text(event, "timestamp").contains('T'), "{event}");
}

#[tokio::test]
async fn the_documented_words_work() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = enter(&ana, &conversation, ana.token()).await;
    let mut at_maria = maria.connect_to(&conversation).await;
    let online = at_ana.next_event("user_status").await;
    check_envelope(&online, &conversation, &maria);
    assert_eq!(fields(&online["data"]), ["last_seen", "status", "user_id"]);
    assert_eq!((&online["data"]["user_id"], &online["data"]["status"]), (&json!(maria.id), &json!("online")));

    // Out of it …
    at_ana.text(r#"{"action": "send_message", "content": "Hola, doctora", "message_type": "text"}"#).await;
    let seen = at_maria.next_event("message.created").await;
    assert_eq!((text(&seen["data"], "content"), number(&seen, "seq")), ("Hola, doctora", 1));
    let echo = at_ana.next_event("new_message").await;
    check_envelope(&echo, &conversation, &ana);
    assert_eq!(echo["data"]["message_id"], seen["data"]["id"]);

    // … and into it.
    let sent = at_maria.send(&conversation, "m-1", "Hola, Ana").await;
    let event = at_ana.next_event("new_message").await;
    check_envelope(&event, &conversation, &maria);
    let data = &event["data"];
    let expected =
        ["attachments", "content", "is_automated", "message_id", "reply_to_id", "sender", "timestamp"];
    assert_eq!(fields(data), expected);
    assert_eq!((&data["message_id"], text(data, "content")), (&sent["message_id"], "Hola, Ana"));
    assert_eq!(fields(&data["sender"]), ["id", "name", "user_type"]);
    assert_eq!(
        (text(&data["sender"], "id"), text(&data["sender"], "user_type")),
        (maria.id.as_str(), "doctor")
    );
    assert!(list(data, "attachments").is_empty());

    // Typing, both ways.
    at_ana.text(r#"{"action": "typing", "is_typing": true}"#).await;
    let typing = at_maria.next_event("typing").await;
    assert_eq!((&typing["data"]["user_id"], &typing["data"]["is_typing"]), (&json!(ana.id), &json!(true)));
    at_maria.call(json!({"type": "typing.set", "conversation_id": conversation, "is_typing": true})).await;
    let typing = at_ana.next_event("typing_indicator").await;
    check_envelope(&typing, &conversation, &maria);
    let expected = json!({"user_id": maria.id, "user_name": maria.user["display_name"], "is_typing": true});
    assert_eq!(typing["data"], expected);

    // Reading, both ways.
    let read = json!({"action": "mark_read", "message_ids": [sent["message_id"]]});
    at_ana.text(&read.to_string()).await;
    let receipt = at_maria.next_event("receipt.read").await;
    assert_eq!((&receipt["data"]["user_id"], &receipt["data"]["read_up_to"]), (&json!(ana.id), &json!(2)));
    let read = json!({"type": "read.set", "conversation_id": conversation, "message_id": seen["data"]["id"]});
    at_maria.call(read).await;
    let receipt = at_ana.find(|f| f["type"] == "message_read" && f["sender_id"] == maria.id).await;
    assert_eq!(fields(&receipt["data"]), ["message_id", "read_at", "read_by"]);
    assert_eq!(receipt["data"]["message_id"], seen["data"]["id"]);
    assert_eq!(receipt["data"]["read_by"], maria.id);

    // She goes.
    at_maria.close().await;
    let offline = at_ana.find(|f| f["type"] == "user_status" && f["data"]["status"] == "offline").await;
    check_envelope(&offline, &conversation, &maria);
    assert_eq!(seqs(&ana.history(&conversation).await), [1, 2]);
}

#[tokio::test]
async fn a_ticket_opens_it_once() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let ticket = ana.ticket().await;
    let mut socket = enter(&ana, &conversation, &ticket).await;
    socket.text(r#"{"action": "send_message", "content": "con billete"}"#).await;
    assert_eq!(socket.next_event("new_message").await["data"]["content"], "con billete");
    let refused = ana.try_connect(path(&conversation, &ticket)).await.expect_err("used up");
    assert_eq!(refused.status, Some(401));
}

#[tokio::test]
async fn it_opens_for_members_only() {
    let world = World::new().await;
    let [ana, maria, luis] = world.sign_in_all([ANA, MARIA, LUIS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let refused = |connect: Connect| async { ana.try_connect(connect).await.expect_err("refused").status };
    assert_eq!(refused(path(&conversation, "nonsense")).await, Some(401));
    assert_eq!(refused(path(&conversation, &ana.refresh_token)).await, Some(401));
    assert_eq!(refused(Connect::new(format!("/ws/chat/{conversation}/"))).await, Some(401));
    assert_eq!(refused(path(&conversation, luis.token())).await, Some(404));
    // The token says whose socket it is, not the cookie of whoever uses the same browser.
    let with_cookie = |token: &str, of: &Actor| {
        path(&conversation, token).header("Cookie", &format!("alivio_session={}", of.token()))
    };
    assert_eq!(refused(with_cookie(luis.token(), &ana)).await, Some(404));
    assert_eq!(refused(with_cookie("nonsense", &ana)).await, Some(401));
    ana.try_connect(with_cookie(ana.token(), &luis)).await.expect("a socket");
    assert_eq!(refused(path(&unused_id(), luis.token())).await, Some(404));
    let evil = path(&conversation, ana.token()).header("Origin", "https://evil.example");
    assert_eq!(refused(evil).await, Some(403));

    // The token can come as elsewhere, too.
    let in_header = Connect::new(format!("/ws/chat/{conversation}/")).bearer(ana.token());
    ana.try_connect(in_header).await.expect("a socket");
}

#[tokio::test]
async fn its_errors_are_frames_and_change_nothing() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let other = maria.open_group("Otra", &[&ana]).await;
    let elsewhere = maria.send(&other, "en otra parte").await;
    let mut socket = enter(&ana, &conversation, ana.token()).await;
    let too_long = json!({"action": "send_message", "content": "x".repeat(5001)}).to_string();
    let foreign = json!({"action": "mark_read", "message_ids": [elsewhere["id"]]}).to_string();
    let bad = [
        "{",
        "[]",
        "\"hola\"",
        r#"{"action": "explode"}"#,
        r#"{"content": "sin acción"}"#,
        r#"{"action": "send_message"}"#,
        r#"{"action": "send_message", "content": "   "}"#,
        r#"{"action": "send_message", "content": "nul\u0000"}"#,
        r#"{"action": "send_message", "content": 7}"#,
        r#"{"action": "send_message", "content": "x", "message_type": "system"}"#,
        r#"{"action": "send_message", "content": "x", "sender_id": "someone"}"#,
        r#"{"action": "typing", "is_typing": "yes"}"#,
        r#"{"action": "mark_read", "message_ids": "all"}"#,
        r#"{"action": "mark_read", "message_ids": ["x"]}"#,
        &too_long,
        &foreign,
    ];
    for frame in bad {
        socket.text(frame).await;
        let error = socket.next_event("error").await;
        assert!(
            error["data"]["error"].is_string() && error["data"]["message"].is_string(),
            "{frame}: {error}"
        );
    }
    assert!(ana.history(&conversation).await.is_empty());
    socket.text(r#"{"action": "send_message", "content": "sigue viva"}"#).await;
    assert_eq!(socket.next_event("new_message").await["data"]["content"], "sigue viva");
}

/// The same socket in the words of the other document (S2-48 … S2-50).
#[tokio::test]
async fn the_words_of_rooms_work() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let room = maria.open_group("Equipo", &[&ana]).await;
    let knock = Connect::new(format!("/ws/chat/{room}/?dialect=s2")).bearer(ana.token());
    let mut at_ana = ana.try_connect(knock).await.expect("a socket");
    let mut at_maria = maria.connect_to(&room).await;

    let sent = at_maria.send(&room, "m-1", "Hola mundo!").await;
    let event = at_ana.next_event("message").await;
    check_envelope(&event, &room, &maria);
    assert_eq!(
        fields(&event["data"]),
        ["content", "created_at", "id", "is_automated", "message_type", "reply_to", "sender"]
    );
    assert_eq!((&event["data"]["id"], text(&event["data"], "content")), (&sent["message_id"], "Hola mundo!"));
    let sender = &event["data"]["sender"];
    assert_eq!(fields(sender), ["full_name", "id", "username"]);
    assert_eq!((text(sender, "id"), &sender["username"]), (&*maria.id, &maria.user["display_name"]));

    let answer = json!({
        "action": "send_message", "content": "Hola", "message_type": "text", "reply_to_id": sent["message_id"],
    });
    at_ana.text(&answer.to_string()).await;
    assert_eq!(at_ana.find(|f| f["sender_id"] == ana.id).await["data"]["reply_to"], sent["message_id"]);

    at_maria.call(json!({"type": "typing.set", "conversation_id": room, "is_typing": true})).await;
    let typing = at_ana.next_event("typing").await;
    let expected = json!({"user_id": maria.id, "username": maria.user["display_name"], "is_typing": true});
    assert_eq!(typing["data"], expected);

    // Changes are told, too; in neither document there are words for them.
    let edit = json!({"action": "edit_message", "message_id": sent["message_id"], "content": "x"});
    at_ana.text(&edit.to_string()).await;
    assert_eq!(at_ana.next_event("error").await["data"]["error"], "not_the_sender");
    at_ana.text(r#"{"action": "send_message", "content": "Mensaje"}"#).await;
    let own = at_ana.find(|f| f["type"] == "message" && f["data"]["content"] == "Mensaje").await;
    let own = &own["data"]["id"];
    let edit = json!({"action": "edit_message", "message_id": own, "content": "Mensaje editado"});
    at_ana.text(&edit.to_string()).await;
    let edited = at_ana.next_event("message_edited").await;
    check_envelope(&edited, &room, &ana);
    assert_eq!((&edited["data"]["message_id"], text(&edited["data"], "content")), (own, "Mensaje editado"));
    at_ana.text(&json!({"action": "delete_message", "message_id": own}).to_string()).await;
    let deleted = at_ana.next_event("message_deleted").await;
    assert_eq!((&deleted["data"]["message_id"], &deleted["data"]["content"]), (own, &Value::Null));

    let people = format!("/conversations/{room}/participants");
    maria.post(&people, &json!({"user_id": carlos.id})).await.expect(200);
    let expected =
        |action| json!({"action": action, "user_id": carlos.id, "username": carlos.user["display_name"]});
    assert_eq!(at_ana.next_event("user_status").await["data"], expected("user_joined"));
    maria.delete(&format!("{people}/{}", carlos.id)).await.expect(204);
    assert_eq!(at_ana.next_event("user_status").await["data"], expected("user_left"));

    let unknown = Connect::new(format!("/ws/chat/{room}/?dialect=s9")).bearer(ana.token());
    assert_eq!(ana.try_connect(unknown).await.expect_err("refused").status, Some(422));
}
