//! Reactions (S0-58, S4-153, AZ-11).

use alivio_testkit::server::{ANA, CARLOS, MARIA};
use futures_util::future::join_all;
use serde_json::json;

use crate::{World, list, number, text};

const THUMB: &str = "%F0%9F%91%8D";
const HEART: &str = "%E2%9D%A4";

#[tokio::test]
async fn a_reaction_is_seen_by_everyone_in_the_conversation() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let id = text(&maria.send(&conversation, "¿Cómo está?").await, "id").to_owned();
    let path = |emoji: &str| format!("/messages/{id}/reactions/{emoji}");
    let mut at_maria = maria.connect_to(&conversation).await;

    let shown = ana.put(&path(THUMB), &json!({})).await.expect(200);
    let [reaction] = list(&shown, "reactions") else { panic!("{shown}") };
    assert_eq!((text(reaction, "emoji"), number(reaction, "count")), ("👍", 1));
    let [user] = list(reaction, "users") else { panic!("{reaction}") };
    assert_eq!(text(user, "id"), ana.id);
    assert!(user["name"].is_string() && user["reacted_at"].is_string(), "{user}");
    let told = at_maria.next_event("message.reacted").await;
    assert_eq!((&told["data"]["reactions"], &told["actor"]), (&shown["reactions"], &json!(ana.id)));
    assert_eq!(ana.put(&path(THUMB), &json!({})).await.expect(200)["reactions"], shown["reactions"], "once");

    let mut socket = maria.connect_to(&conversation).await;
    socket.call(json!({"type": "reaction.set", "message_id": id, "emoji": "❤"})).await;
    socket.call(json!({"type": "reaction.set", "message_id": id, "emoji": "👍"})).await;
    let shown = ana.history(&conversation).await;
    let counts: Vec<_> =
        list(&shown[0], "reactions").iter().map(|r| (text(r, "emoji"), number(r, "count"))).collect();
    assert_eq!(counts, [("👍", 2), ("❤️", 1)]);
    ana.delete(&path(THUMB)).await.expect(200);
    ana.delete(&path(THUMB)).await.expect(200);
    socket.call(json!({"type": "reaction.clear", "message_id": id, "emoji": "❤️"})).await;
    let shown = ana.history(&conversation).await;
    assert_eq!(list(&shown[0], "reactions").len(), 1);

    for bad in ["x", "%F0%9F%91%8D%F0%9F%91%8D", ":+1:", "1"] {
        ana.put(&path(bad), &json!({})).await.problem(422, "validation_failed");
    }
    carlos.put(&path(HEART), &json!({})).await.problem(404, "not_found");
    assert_eq!(
        socket.call_refused(json!({"type": "reaction.set", "message_id": id, "emoji": "x"})).await,
        "validation_failed"
    );
}

#[tokio::test]
async fn a_message_takes_twenty_emoji_and_none_from_behind_a_block() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let conversation = maria.open_direct(&carlos.id).await;
    let id = text(&maria.send(&conversation, "hola").await, "id").to_owned();
    // 😀 … in a row of the list.
    let paths = (0..24).map(|n| format!("/messages/{id}/reactions/%F0%9F%98%{:02X}", 0x80 + n));
    let paths: Vec<_> = paths.collect();
    let body = json!({});
    let answers = join_all(paths.iter().map(|path| carlos.put(path, &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 20);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((answer.status, text(&answer.json, "error")), (409, "too_many_reactions"));
    }
    maria.post(&format!("/blocks/{}", carlos.id), &json!({})).await.expect(201);
    let mut at_maria = maria.connect_to(&conversation).await;
    for (index, answer) in answers.iter().enumerate().take(3) {
        let path = &paths[index];
        assert!(matches!(answer.status, 200 | 409));
        carlos.delete(path).await.problem(403, "direct_chat_blocked");
        carlos.put(path, &body).await.problem(403, "direct_chat_blocked");
    }
    let heard = at_maria.settled().await;
    assert!(!heard.iter().any(|event| event["type"] == "message.reacted"), "{heard:?}");
}
