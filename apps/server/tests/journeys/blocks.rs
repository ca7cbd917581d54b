//! Whoever is blocked reaches the other by no way but care (AZ-11).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::credentials::letter;
use crate::{FAST, World, list, seqs, text, unused_id};

async fn block(blocker: &Actor, blocked: &Actor) -> Value {
    blocker.post(&format!("/blocks/{}", blocked.id), &json!({})).await.expect(201)
}

#[tokio::test]
async fn a_block_stands_until_it_is_lifted() {
    let world = World::new().await;
    let [maria, ana, carlos, admin, it] = world.sign_in_all([MARIA, ANA, CARLOS, ADMIN, IT]).await;
    let path = format!("/blocks/{}", carlos.id);
    let blocked = block(&maria, &carlos).await;
    assert_eq!(blocked["user_id"], carlos.id);
    assert_eq!(maria.post(&path, &json!({})).await.expect(200), blocked, "the same again");
    assert_eq!(list(&maria.get("/blocks").await.expect(200), "items"), [blocked]);
    assert_eq!(list(&carlos.get("/blocks").await.expect(200), "items").len(), 0, "he learns nothing");
    carlos.delete(&format!("/blocks/{}", maria.id)).await.expect(204);
    assert_eq!(list(&maria.get("/blocks").await.expect(200), "items").len(), 1, "it is not his to lift");

    for boss in [&admin, &it] {
        maria.post(&format!("/blocks/{}", boss.id), &json!({})).await.problem(409, "cannot_block_admin");
    }
    maria.post(&format!("/blocks/{}", maria.id), &json!({})).await.problem(422, "validation_failed");
    // A patient he has nothing to do with is as good as nobody.
    let stranger = carlos.post(&format!("/blocks/{}", ana.id), &json!({})).await;
    let nobody = carlos.post(&format!("/blocks/{}", unused_id()), &json!({})).await;
    assert_eq!(stranger.comparable(), nobody.comparable());
    stranger.problem(404, "not_found");

    maria.delete(&path).await.expect(204);
    maria.delete(&path).await.expect(204);
    assert_eq!(list(&maria.get("/blocks").await.expect(200), "items").len(), 0);
}

#[tokio::test]
async fn nothing_of_the_blocked_reaches_the_blocker() {
    let world = World::new().await;
    let [maria, carlos, aisha, luis] = world.sign_in_all([MARIA, CARLOS, AISHA, LUIS]).await;
    let direct = carlos.open_direct(&maria.id).await;
    let group = aisha.open_group("Guardia", &[&maria, &carlos]).await;
    let sent = maria.send(&direct, "Hola").await;
    let mut at_maria = maria.connect().await;
    at_maria.subscribe(&[&direct, &group]).await;
    block(&maria, &carlos).await;
    at_maria.settled().await;

    // He comes, with a socket, types, reads, acknowledges, writes, asks, and adds.
    let mut at_carlos = carlos.connect().await;
    let subscribed = at_carlos.subscribe(&[&direct, &group]).await;
    for subscription in list(&subscribed, "subscriptions") {
        let online = list(subscription, "online");
        assert!(!online.contains(&json!(maria.id)) && online.contains(&json!(carlos.id)), "{online:?}");
    }
    at_carlos.call(json!({"type": "typing.set", "conversation_id": direct, "is_typing": true})).await;
    at_carlos.call(json!({"type": "read.set", "conversation_id": direct, "message_id": sent["id"]})).await;
    at_carlos.call(json!({"type": "presence.set", "presence": "busy"})).await;
    let written = alivio_testkit::socket::send_command(&direct, "c-1", "¿Por qué?");
    assert_eq!(at_carlos.call_refused(written).await, "direct_chat_blocked");
    let messages = format!("/conversations/{direct}/messages");
    carlos.post(&messages, &json!({"content": "¿Por qué?"})).await.problem(403, "direct_chat_blocked");
    maria.post(&messages, &json!({"content": "Porque sí"})).await.problem(403, "direct_chat_blocked");
    carlos.post("/contact-requests", &json!({"user_id": maria.id})).await.expect(202);
    carlos.post("/contact-requests", &json!({"email": MARIA})).await.expect(202);
    // Opening anything with her is refused as for people who may not talk.
    let refused = carlos.post("/conversations/direct", &json!({"user_id": maria.id})).await;
    let stranger = carlos.post("/conversations/direct", &json!({"user_id": luis.id})).await;
    assert_eq!(
        refused.comparable().to_string().replace(&maria.id, ""),
        stranger.comparable().to_string().replace(&luis.id, ""),
    );
    refused.problem(403, "conversation_not_allowed");
    for kind in ["group", "consultation"] {
        let asked = json!({"type": kind, "title": "Ven", "participants": [aisha.id, maria.id]});
        carlos.post("/conversations", &asked).await.problem(403, "conversation_not_allowed");
    }
    let own = carlos.open_group("Mío", &[&aisha]).await;
    let added =
        carlos.post(&format!("/conversations/{own}/participants"), &json!({"user_id": maria.id})).await;
    added.problem(403, "conversation_not_allowed");
    // Neither sees whether the other is here.
    for (viewer, other) in [(&maria, &carlos), (&carlos, &maria)] {
        viewer.get(&format!("/users/{}/presence", other.id)).await.problem(404, "not_found");
        let shown = viewer.conversation(&group).await;
        let shown =
            list(&shown, "participants").iter().find(|p| p["user_id"] == other.id).expect("them").clone();
        assert_eq!((&shown["is_online"], &shown["last_seen"]), (&json!(false), &Value::Null));
    }
    assert_eq!(list(&maria.get("/contact-requests").await.expect(200), "items").len(), 0);
    let heard = at_maria.settled().await;
    assert!(heard.is_empty(), "{heard:#?}");

    // The group goes on, typing and all.
    at_carlos.call(json!({"type": "typing.set", "conversation_id": group, "is_typing": true})).await;
    assert_eq!(at_maria.next_event("typing").await["conversation_id"], group);
    at_carlos.send(&group, "c-2", "Buenas").await;
    assert_eq!(at_maria.next_event("message.created").await["data"]["content"], "Buenas");
    assert_eq!(seqs(&maria.history(&direct).await), [1]);

    // Lifted, all is as it was.
    maria.delete(&format!("/blocks/{}", carlos.id)).await.expect(204);
    carlos.send(&direct, "Gracias").await;
    assert_eq!(at_maria.next_event("message.created").await["data"]["content"], "Gracias");
    assert_eq!(carlos.open_direct(&maria.id).await, direct);
}

#[tokio::test]
async fn care_goes_on_and_the_clinic_is_told() {
    let world = World::new().await;
    let [maria, ana, carlos, admin] = world.sign_in_all([MARIA, ANA, CARLOS, ADMIN]).await;
    let direct = ana.open_direct(&maria.id).await;
    let care = json!({"type": "consultation", "title": "Seguimiento", "participants": [ana.id]});
    let consultation = text(&maria.post("/conversations", &care).await.expect(201), "id").to_owned();
    block(&ana, &maria).await;
    block(&carlos, &maria).await;

    let refused = maria.post(&format!("/conversations/{direct}/messages"), &json!({"content": "Hola"})).await;
    refused.problem(403, "direct_chat_blocked");
    maria
        .post("/conversations/direct", &json!({"user_id": ana.id}))
        .await
        .problem(403, "conversation_not_allowed");
    maria.send(&consultation, "Su receta está lista").await;
    ana.send(&consultation, "Gracias").await;
    maria.post("/conversations", &care).await.expect(201);

    // Of the two blocks one concerns care; who it is about is not in the letter.
    let written = letter(&world, ADMIN, "care_block_raised").await;
    for secret in [&ana.id, &maria.id, "Ana", "López", "María"] {
        assert!(!written.to_string().contains(secret), "{written}");
    }
    let told = admin.get("/admin/care-blocks").await.expect(200);
    let told = list(&told, "items");
    assert_eq!(told.len(), 1, "only what concerns care: {told:?}");
    assert_eq!((&told[0]["blocker_id"], &told[0]["blocked_id"]), (&json!(ana.id), &json!(maria.id)));
    assert_eq!(crate::fields(&told[0]), ["blocked_id", "blocker_id", "created_at"]);
    for actor in [&ana, &maria, &carlos] {
        let refused = actor.get("/admin/care-blocks").await.problem(403, "forbidden");
        assert_eq!(refused["details"]["required_scope"], "professionals:manage");
    }
}

#[tokio::test]
async fn the_access_log_does_not_tell_who_blocks_or_removes() {
    let world = World::new().await;
    let [maria, carlos, it] = world.sign_in_all([MARIA, CARLOS, alivio_testkit::server::IT]).await;
    maria.post("/contact-requests", &json!({"user_id": carlos.id})).await.expect(202);
    carlos.post("/contact-requests", &json!({"user_id": maria.id})).await.expect(201);
    maria.delete(&format!("/contacts/{}", carlos.id)).await.expect(204);
    block(&maria, &carlos).await;
    maria.delete(&format!("/blocks/{}", carlos.id)).await.expect(204);
    for person in [&maria, &carlos] {
        let log = person.get("/me/access-log").await.expect(200);
        assert_eq!(list(&log, "items"), [Value::Null; 0]);
    }
    // Those who keep the trail see it.
    let trail = it.get(&format!("/admin/audit?object_kind=user&object_id={}", carlos.id)).await.expect(200);
    let actions: Vec<_> = list(&trail, "items").iter().map(|entry| text(entry, "action")).collect();
    for action in ["block.raised", "block.lifted", "contact.removed", "contact.requested"] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
}

#[tokio::test]
async fn nobody_else_brings_the_two_together() {
    let world = World::new().await;
    let [maria, ana, carlos, aisha, admin] = world.sign_in_all([MARIA, ANA, CARLOS, AISHA, ADMIN]).await;
    let before = aisha.open_group("Guardia", &[&maria, &carlos]).await;
    block(&maria, &carlos).await;
    block(&ana, &maria).await;
    let open = async |actor: &Actor, kind: &str, people: &[&Actor]| {
        let people: Vec<_> = people.iter().map(|person| &person.id).collect();
        actor.post("/conversations", &json!({"type": kind, "title": "Ven", "participants": people})).await
    };
    for kind in ["group", "consultation"] {
        for people in [[&maria, &carlos], [&carlos, &maria]] {
            let refused = open(&admin, kind, &people).await.problem(403, "conversation_not_allowed");
            assert_eq!(refused["details"]["reason"], "no_medical_relationship");
        }
    }
    for (there, new) in [(&maria, &carlos), (&carlos, &maria)] {
        let group = aisha.open_group("Turno", &[there]).await;
        let path = format!("/conversations/{group}/participants");
        let added = aisha.post(&path, &json!({"user_id": new.id})).await;
        let details = &added.problem(403, "conversation_not_allowed")["details"];
        assert_eq!(details["target_user_id"], new.id);
        assert_eq!(list(&aisha.conversation(&group).await, "participants").len(), 2);
    }
    // Those who are together already stay so, and others may join them.
    let path = format!("/conversations/{before}/participants");
    aisha.post(&path, &json!({"user_id": admin.id})).await.expect(200);
    // Care goes on, whoever calls for it.
    open(&admin, "group", &[&ana, &maria]).await.problem(403, "conversation_not_allowed");
    open(&admin, "consultation", &[&ana, &maria]).await.expect(201);
    // Lifted, all is as it was.
    maria.delete(&format!("/blocks/{}", carlos.id)).await.expect(204);
    aisha.open_group("Todos", &[&maria, &carlos]).await;
}

#[tokio::test]
async fn neither_sees_how_far_the_other_has_read() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let direct = maria.open_direct(&carlos.id).await;
    let group = aisha.open_group("Guardia", &[&maria, &carlos]).await;
    let (sent, other) = (maria.send(&direct, "Hola").await, maria.send(&group, "Hola").await);
    block(&maria, &carlos).await;
    carlos.read_up_to(&direct, text(&sent, "id")).await;
    carlos.read_up_to(&group, text(&other, "id")).await;
    aisha.read_up_to(&group, text(&other, "id")).await;
    let mark_of = |conversation: &Value, person: &Actor| {
        let people = list(conversation, "participants");
        let person = people.iter().find(|p| p["user_id"] == person.id).expect("them");
        (person["delivered_up_to"].clone(), person["read_up_to"].clone())
    };
    let page = maria.get("/conversations").await.expect(200);
    let listed = list(&page, "items").iter().find(|c| c["id"] == *direct).expect("it").clone();
    for shown in [&maria.conversation(&direct).await, &listed] {
        assert_eq!(mark_of(shown, &carlos), (json!(0), json!(0)));
    }
    assert_eq!(maria.history(&direct).await[0]["delivery_status"], "sent");
    let his = carlos.conversation(&direct).await;
    assert_eq!(mark_of(&his, &carlos).1, json!(1), "his own");
    let mut at_maria = maria.connect().await;
    let subscribed = at_maria.subscribe(&[&direct, &group]).await;
    for (subscription, expected) in list(&subscribed, "subscriptions").iter().zip([1, 3]) {
        assert_eq!(list(subscription, "marks").len(), expected, "{subscription}");
    }
    let resume = json!({"type": "resume", "conversation_id": direct, "last_seq": 0});
    assert_eq!(list(&at_maria.call(resume).await, "marks").len(), 1);

    // Elsewhere nothing changes, and when the block is lifted nor here.
    assert_eq!(maria.history(&group).await[0]["delivery_status"], "read");
    maria.delete(&format!("/blocks/{}", carlos.id)).await.expect(204);
    assert_eq!(mark_of(&maria.conversation(&direct).await, &carlos).1, json!(1));
    assert_eq!(maria.history(&direct).await[0]["delivery_status"], "read");
}

#[tokio::test]
async fn a_request_by_address_does_not_vanish_with_the_block() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    maria.post("/contact-requests", &json!({"email": CARLOS})).await.expect(202);
    let outgoing = maria.get("/contact-requests?direction=outgoing").await.expect(200);
    block(&maria, &carlos).await;
    assert_eq!(maria.get("/contact-requests?direction=outgoing").await.expect(200), outgoing);
    assert_eq!(list(&carlos.get("/contact-requests").await.expect(200), "items"), [Value::Null; 0]);
}

#[tokio::test]
async fn contacts_show_that_they_are_blocked_to_the_blocker_only() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    maria.post("/contact-requests", &json!({"user_id": carlos.id})).await.expect(202);
    carlos.post("/contact-requests", &json!({"user_id": maria.id})).await.expect(201);
    block(&maria, &carlos).await;
    assert_eq!(maria.get(&format!("/contacts/{}", carlos.id)).await.expect(200)["is_blocked"], true);
    let his = carlos.get(&format!("/contacts/{}", maria.id)).await.expect(200);
    assert_eq!((&his["is_blocked"], &his["presence"]), (&json!(false), &json!("offline")));
}

/// Whatever is on its way: when the block is answered, what has arrived is all that ever arrives.
#[tokio::test]
async fn nothing_sent_arrives_after_the_answer_to_a_block() {
    const SENDERS: usize = 20;
    let world = World::with(&FAST).await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let direct = carlos.open_direct(&maria.id).await;
    for _ in 0..5 {
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|n| {
                let (carlos, direct, stop) = (carlos.clone(), direct.clone(), Arc::clone(&stop));
                tokio::spawn(async move {
                    let path = format!("/conversations/{direct}/messages");
                    let mut stored = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let answer = carlos.post(&path, &json!({"content": format!("{n}")})).await;
                        assert!(matches!(answer.status, 201 | 403), "{}", answer.text);
                        stored += usize::from(answer.status == 201);
                    }
                    stored
                })
            })
            .collect();
        let before = maria.history(&direct).await.len();
        alivio_testkit::server::eventually("messages flow", async || {
            maria.conversation(&direct).await["last_seq"].as_u64().unwrap_or(0) as usize > before + 10
        })
        .await;
        block(&maria, &carlos).await;
        let at_block = maria.conversation(&direct).await["last_seq"].clone();
        // Those on their way are answered, and the next ones too.
        let (path, body) = (format!("/conversations/{direct}/messages"), json!({"content": "¿Y ahora?"}));
        for probe in join_all((0..SENDERS).map(|_| carlos.post(&path, &body))).await {
            probe.problem(403, "direct_chat_blocked");
        }
        stop.store(true, Ordering::Relaxed);
        let stored: usize = join_all(senders).await.into_iter().map(|sent| sent.expect("a sender")).sum();
        assert!(stored > 0);
        assert_eq!(maria.conversation(&direct).await["last_seq"], at_block, "something came after the block");
        maria.delete(&format!("/blocks/{}", carlos.id)).await.expect(204);
    }
}
