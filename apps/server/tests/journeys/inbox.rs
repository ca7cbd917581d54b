//! The list of one's conversations, and what one has not read.

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ANA, CARLOS, MARIA};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{World, list, number, text, unused_id};

async fn listed(actor: &Actor, query: &str) -> Vec<String> {
    let page = actor.get(&format!("/conversations{query}")).await.expect(200);
    list(&page, "items").iter().map(|c| text(c, "id").to_owned()).collect()
}

async fn verb(actor: &Actor, method: Method, conversation: &str, what: &str) {
    let request = Request::new(method, format!("/conversations/{conversation}/{what}"));
    let request = if what == "mute" { request.json(&json!({})) } else { request };
    actor.request(request).await.expect(204);
}

#[tokio::test]
async fn people_archive_pin_and_mute_for_themselves() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let first = maria.open_group("Uno", &[&carlos]).await;
    let second = maria.open_group("Dos", &[&carlos]).await;
    verb(&maria, Method::PUT, &first, "pin").await;
    assert_eq!(listed(&maria, "").await, [first.clone(), second.clone()]);
    assert_eq!(listed(&carlos, "").await, [second.clone(), first.clone()]);
    verb(&maria, Method::PUT, &first, "archive").await;
    carlos.send(&first, "Hola").await;
    assert_eq!(
        listed(&maria, "").await,
        std::slice::from_ref(&second),
        "a new message does not bring it back"
    );
    assert_eq!(listed(&maria, "?include_archived=true").await, [first.clone(), second.clone()]);
    verb(&maria, Method::PUT, &first, "mute").await;
    let seen = maria.conversation(&first).await;
    assert_eq!((&seen["is_archived"], &seen["is_pinned"]), (&json!(true), &json!(true)));
    assert_eq!(seen["settings"]["notifications_enabled"], false);
    for what in ["pin", "archive", "mute"] {
        maria.delete(&format!("/conversations/{first}/{what}")).await.expect(204);
    }
    assert_eq!(listed(&maria, "").await, [first, second], "what changed last first");
}

#[tokio::test]
async fn what_is_not_read_is_one_number_everywhere() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let (one, two) = (maria.open_group("Uno", &[&ana]).await, maria.open_group("Dos", &[&carlos]).await);
    ana.send(&one, "a").await;
    let last = ana.send(&one, "b").await;
    carlos.send(&two, "c").await;
    maria.send(&two, "d").await;
    let unread = maria.get("/unread").await.expect(200);
    assert_eq!((number(&unread, "messages"), number(&unread, "conversations")), (3, 2));
    let each: Vec<_> = list(&unread, "by_conversation")
        .iter()
        .map(|c| (text(c, "conversation_id"), number(c, "unread_count")))
        .collect();
    assert_eq!(each, [(&*two, 1), (&*one, 2)]);
    maria.read_up_to(&one, text(&last, "id")).await;
    assert_eq!(number(&maria.get("/unread").await.expect(200), "messages"), 1);
    assert_eq!(listed(&maria, "?has_unread=true").await, std::slice::from_ref(&two));
    assert_eq!(listed(&maria, "?has_unread=false").await, [one]);
}

#[tokio::test]
async fn every_filter_and_order_works_and_unknown_ones_are_refused() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let appointment = unused_id();
    let care = json!({
        "type": "consultation", "title": "Hipertensión arterial", "participants": [ana.id],
        "metadata": {"related_appointment_id": appointment, "tags": ["Hipertensión", "urgente"]},
    });
    let care = maria.post("/conversations", &care).await.expect(201);
    let team = json!({"type": "group", "title": "Asma", "purpose": "team", "participants": [carlos.id]});
    let team = text(&maria.post("/conversations", &team).await.expect(201), "id").to_owned();
    let direct = maria.open_direct(&carlos.id).await;
    let (care, reference) = (text(&care, "id").to_owned(), text(&care, "ref").to_owned());
    for query in [
        "type=consultation".to_owned(),
        "with_user=".to_owned() + &ana.id,
        "participant_type=patient".to_owned(),
        format!("related_appointment={appointment}"),
        "tags=hipertension,URGENTE".to_owned(),
        "search=arterial+hipertension".to_owned(),
        format!("ref={reference}"),
    ] {
        assert_eq!(listed(&maria, &format!("?{query}")).await, std::slice::from_ref(&care), "{query}");
    }
    assert_eq!(listed(&maria, "?purpose=team").await, std::slice::from_ref(&team));
    assert_eq!(listed(&maria, "?tags=hipertension,otra").await, [""; 0]);
    assert_eq!(listed(&maria, "?search=zzz").await, [""; 0]);
    assert_eq!(
        listed(&maria, "?search=carlos").await,
        std::slice::from_ref(&direct),
        "by name where there is no title"
    );
    assert_eq!(listed(&maria, "?updated_since=2999-01-01T00:00:00Z").await, [""; 0]);
    let all = |order: [&String; 3]| order.map(Clone::clone).to_vec();
    assert_eq!(listed(&maria, "?ordering=created_at").await, all([&care, &team, &direct]));
    assert_eq!(listed(&maria, "?ordering=-created_at").await, all([&direct, &team, &care]));
    let by_title = listed(&maria, "?ordering=title").await;
    assert_eq!(by_title[0], team);
    let mut backwards = listed(&maria, "?ordering=-title").await;
    backwards.reverse();
    assert_eq!(backwards, by_title);
    for ordering in ["-updated_at", "updated_at", "-created_at", "created_at", "title", "-title"] {
        let whole = listed(&maria, &format!("?ordering={ordering}")).await;
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let from = cursor.as_str().map(|c| format!("&cursor={c}")).unwrap_or_default();
            let path = format!("/conversations?ordering={ordering}&page_size=1{from}");
            let page = maria.get(&path).await.expect(200);
            seen.extend(list(&page, "items").iter().map(|c| text(c, "id").to_owned()));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
            let other = if ordering == "title" { "-title" } else { "title" };
            let path = format!("/conversations?ordering={other}&cursor={}", text(&page, "next_cursor"));
            maria.get(&path).await.problem(422, "validation_failed");
        }
        assert_eq!(seen, whole, "{ordering}");
    }
    for bad in [
        "ordering=size",
        "participant_type=nurse",
        "purpose=x",
        "type=x",
        "with_user=x",
        "ref=1",
        "colour=red",
    ] {
        maria.get(&format!("/conversations?{bad}")).await.problem(422, "validation_failed");
    }
}
