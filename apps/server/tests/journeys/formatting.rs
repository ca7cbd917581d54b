//! How words look: HTML made by the server, a plain twin, mentions, hashtags, medical terms (S0-52 … S0-55, IN-01).

use alivio_testkit::server::{ANA, LUIS, MARIA};
use serde_json::json;

use crate::{World, list, text};

#[tokio::test]
async fn words_are_formatted_wherever_a_message_is_shown() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = maria.open_direct(&ana.id).await;
    let mut socket = ana.connect().await;
    socket.subscribe(&[&conversation]).await;

    let words = "Sus **estudios de laboratorio** y la presión arterial van bien. #control";
    let sent = maria.send(&conversation, words).await;
    let expected = json!({
        "html": "<p>Sus <strong>estudios de laboratorio</strong> y la presión arterial van bien. #control</p>",
        "plain": "Sus estudios de laboratorio y la presión arterial van bien. #control",
        "mentions": [],
        "hashtags": ["control"],
        "medical_terms": ["estudios de laboratorio", "presión arterial"],
        "lexicon_version": 1,
    });
    assert_eq!(sent["formatted_content"], expected);
    assert_eq!(sent["content"], words);
    assert_eq!(socket.next_event("message.created").await["data"]["formatted_content"], expected);
    assert_eq!(ana.history(&conversation).await[0]["formatted_content"], expected);
    let inbox = ana.get("/conversations").await.expect(200);
    assert_eq!(list(&inbox, "items")[0]["last_message"]["content"], words);
}

#[tokio::test]
async fn only_those_in_the_conversation_are_named() {
    let world = World::new().await;
    let [ana, maria, luis] = world.sign_in_all([ANA, MARIA, LUIS]).await;
    let conversation = maria.open_direct(&ana.id).await;
    let mut socket = ana.connect().await;
    socket.subscribe(&[&conversation]).await;

    let words = format!("Hola <@{}>, <@{}> `<@{}>`", ana.id, luis.id, ana.id);
    let sent = maria.send(&conversation, &words).await;
    let event = socket.next_event("message.created").await;
    let read = ana.history(&conversation).await;
    for message in [&sent, &event["data"], &read[0]] {
        let formatted = &message["formatted_content"];
        let [mention] = list(formatted, "mentions") else { panic!("not one mention: {formatted}") };
        let name = text(mention, "display_name");
        assert_eq!(mention["user_id"], ana.id);
        let span = format!("<span class=\"mention\" data-user-id=\"{}\">@{name}</span>", ana.id);
        let stranger = format!("&lt;@{}&gt;", luis.id);
        assert!(
            text(formatted, "html").starts_with(&format!("<p>Hola {span}, {stranger} <code>")),
            "{formatted}"
        );
        assert!(text(formatted, "plain").starts_with(&format!("Hola @{name}, <@")));
    }
}

#[tokio::test]
async fn what_others_write_is_never_markup() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = maria.open_direct(&ana.id).await;
    for (words, html) in [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
    ] {
        maria.send(&conversation, words).await;
        let read = &ana.history(&conversation).await;
        let newest = read.iter().find(|message| message["content"] == words).expect("it is there");
        assert_eq!(newest["formatted_content"]["html"], html);
    }
}
