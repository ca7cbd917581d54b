//! Who may talk to whom, who is in, who is out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, LUIS, MARIA};
use alivio_testkit::socket::send_command;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{FAST, World, fields, list, number, seqs, text, unused_id};

fn direct(user_id: &str) -> Value {
    json!({"type": "direct", "participants": [user_id]})
}

fn ids(page: &Value) -> Vec<String> {
    list(page, "items").iter().map(|conversation| text(conversation, "id").to_owned()).collect()
}

#[tokio::test]
async fn a_conversation_says_who_is_in_it() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let asked = json!({
        "type": "consultation",
        "title": "Seguimiento de hipertensión",
        "description": "Control trimestral",
        "participants": [ana.id],
    });
    let conversation = maria.post("/conversations", &asked).await.expect(201);
    let expected = [
        "capabilities",
        "closed_at",
        "closed_by",
        "closed_reason",
        "created_at",
        "created_by",
        "description",
        "encryption",
        "expires_at",
        "id",
        "is_active",
        "is_archived",
        "is_pinned",
        "last_message",
        "last_revision",
        "last_seq",
        "metadata",
        "muted_until",
        "participants",
        "purpose",
        "ref",
        "settings",
        "title",
        "total_messages",
        "type",
        "unread_count",
        "updated_at",
    ];
    assert_eq!(fields(&conversation), expected);
    assert_eq!(conversation["type"], "consultation");
    assert_eq!(conversation["title"], "Seguimiento de hipertensión");
    assert_eq!(conversation["description"], "Control trimestral");
    assert_eq!((&conversation["created_by"], &conversation["is_active"]), (&json!(maria.id), &json!(true)));
    assert_eq!((number(&conversation, "last_seq"), number(&conversation, "total_messages")), (0, 0));
    assert_eq!((&conversation["unread_count"], &conversation["last_message"]), (&json!(0), &Value::Null));
    assert!(text(&conversation, "ref").starts_with("CONV-"), "{conversation}");

    let participants = list(&conversation, "participants");
    assert_eq!(participants.len(), 2);
    let expected = [
        "avatar_url",
        "can_leave",
        "delivered_up_to",
        "display_name",
        "full_name",
        "is_online",
        "joined_at",
        "last_seen",
        "professional_title",
        "read_up_to",
        "role",
        "status",
        "user_id",
        "user_type",
    ];
    for (actor, role) in [(&maria, "moderator"), (&ana, "member")] {
        let participant = participants.iter().find(|p| p["user_id"] == actor.id).expect("a participant");
        assert_eq!(fields(participant), expected);
        assert_eq!(participant["role"], role);
        assert_eq!(participant["user_type"], actor.user["role"]);
        assert_eq!(participant["display_name"], actor.user["display_name"]);
        assert_eq!(participant["full_name"], actor.user["full_name"]);
        assert_eq!(participant["is_online"], false);
    }
    let read = ana.conversation(text(&conversation, "id")).await;
    assert_eq!((&read["id"], &read["title"]), (&conversation["id"], &conversation["title"]));
}

#[tokio::test]
async fn the_last_message_and_the_presence_show_in_it() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let sent = ana.send(&conversation, "Buenos días").await;
    let _socket = ana.connect_to(&conversation).await;

    let seen = maria.conversation(&conversation).await;
    let last = &seen["last_message"];
    assert_eq!(fields(last), ["content", "created_at", "id", "is_read", "message_type", "sender", "seq"]);
    assert_eq!((&last["id"], &last["content"], &last["seq"]), (&sent["id"], &sent["content"], &json!(1)));
    assert_eq!(last["is_read"], false);
    assert_eq!(
        (number(&seen, "last_seq"), number(&seen, "total_messages"), number(&seen, "unread_count")),
        (1, 1, 1)
    );
    let participant = list(&seen, "participants").iter().find(|p| p["user_id"] == ana.id).expect("Ana");
    assert_eq!(participant["is_online"], true);
    maria.read_up_to(&conversation, text(&sent, "id")).await;
    assert_eq!(maria.conversation(&conversation).await["last_message"]["is_read"], true);
}

#[tokio::test]
async fn strangers_cannot_talk_and_cannot_learn_who_exists() {
    let world = World::new().await;
    let [maria, ana, carlos, luis, admin, aisha] =
        world.sign_in_all([MARIA, ANA, CARLOS, LUIS, ADMIN, AISHA]).await;
    let nobody = unused_id();

    let refusal = |target: &str| {
        json!({
            "target_user_id": target,
            "reason": "no_medical_relationship",
        })
    };
    // To a patient: a doctor of others, another patient, the administration, a student, nobody at all.
    let mut bodies = Vec::new();
    for target in [&carlos.id, &luis.id, &admin.id, &aisha.id, &nobody] {
        for asked in [
            Request::new(Method::POST, "/conversations").json(&direct(target)),
            Request::new(Method::POST, "/conversations/direct").json(&json!({"user_id": target})),
            Request::new(Method::POST, "/conversations")
                .json(&json!({"type": "group", "title": "Grupo", "participants": [maria.id, target]})),
        ] {
            let answer = ana.request(asked).await;
            let body = answer.comparable().to_string().replace(target, "<target>");
            let problem = answer.problem(403, "conversation_not_allowed");
            for (name, value) in refusal(target).as_object().expect("an object") {
                assert_eq!(problem["details"][name], *value, "{problem}");
            }
            assert!(problem["details"]["suggestion"].is_string(), "{problem}");
            bodies.push(body);
        }
    }
    let distinct: HashSet<_> = bodies.into_iter().collect();
    assert_eq!(distinct.len(), 1, "the answers differ, so they tell who exists: {distinct:#?}");

    for (asker, target) in [(&carlos, &ana), (&aisha, &ana), (&luis, &maria), (&maria, &luis)] {
        let answer = asker.post("/conversations/direct", &json!({"user_id": target.id})).await;
        let problem = answer.problem(403, "conversation_not_allowed");
        assert_eq!(problem["details"]["target_user_id"], target.id);
    }
    for actor in [&ana, &luis, &carlos, &aisha] {
        assert!(ids(&actor.get("/conversations").await.expect(200)).is_empty(), "something was made");
    }
    // Those who may.
    for (asker, target) in [(&ana, &maria), (&maria, &carlos), (&aisha, &carlos), (&admin, &luis)] {
        asker.open_direct(&target.id).await;
    }
}

#[tokio::test]
async fn two_hundred_people_who_open_the_same_direct_conversation_get_one() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let open = async |asker: &Actor, other: &str| {
        asker.post("/conversations/direct", &json!({"user_id": other})).await
    };
    let (maria, ana, open) = (&maria, &ana, &open);
    let answers = join_all((0..200).map(|n| async move {
        if n % 2 == 0 { open(maria, &ana.id).await } else { open(ana, &maria.id).await }
    }))
    .await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    let found = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((created, found), (1, 199));
    let distinct: HashSet<_> = answers.iter().map(|answer| text(&answer.json, "id")).collect();
    assert_eq!(distinct.len(), 1);

    // The plain way says which one it is.
    let id = text(&answers[0].json, "id");
    let problem =
        ana.post("/conversations", &direct(&maria.id)).await.problem(409, "direct_conversation_exists");
    assert_eq!(problem["details"]["conversation_id"], id);
    assert_eq!(ids(&maria.get("/conversations?type=direct").await.expect(200)), [id]);
}

#[tokio::test]
async fn an_idempotency_key_makes_one_conversation() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let body = json!({"type": "group", "title": "Guardia", "participants": [carlos.id]});
    let keyed = |body: &Value| {
        Request::new(Method::POST, "/conversations").json(body).header("Idempotency-Key", "k-1")
    };
    let answers = join_all((0..20).map(|_| maria.request(keyed(&body)))).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    let repeated = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((created, repeated), (1, 19));
    let distinct: HashSet<_> = answers.iter().map(|answer| text(&answer.json, "id")).collect();
    assert_eq!(distinct.len(), 1);

    let other = json!({"type": "group", "title": "Otra guardia", "participants": [carlos.id]});
    maria.request(keyed(&other)).await.problem(409, "idempotency_key_reused");
    // A key is its owner's.
    let theirs = json!({"type": "group", "title": "Guardia", "participants": [maria.id]});
    carlos.request(keyed(&theirs)).await.expect(201);
    for bad in ["ñ", &"k".repeat(256)] {
        let asked = Request::new(Method::POST, "/conversations").json(&body).header("Idempotency-Key", bad);
        maria.request(asked).await.any_problem(422);
    }
    assert_eq!(ids(&maria.get("/conversations").await.expect(200)).len(), 2);
}

#[tokio::test]
async fn people_come_and_go() {
    let world = World::new().await;
    let [maria, carlos, aisha, admin] = world.sign_in_all([MARIA, CARLOS, AISHA, ADMIN]).await;
    let group = maria.open_group("Sesión clínica", &[&carlos]).await;
    let people = format!("/conversations/{group}/participants");
    let mut at_carlos = carlos.connect_to(&group).await;
    let mut at_aisha = aisha.connect().await;
    maria.send(&group, "antes de Aisha").await;

    // Only a moderator adds.
    carlos.post(&people, &json!({"user_id": aisha.id})).await.problem(403, "not_a_moderator");
    let grown = maria.post(&people, &json!({"user_id": aisha.id})).await.expect(200);
    assert_eq!(list(&grown, "participants").len(), 3);
    assert_eq!(at_carlos.next_event("participant.joined").await["data"]["user_id"], aisha.id);
    let again = maria.post(&people, &json!({"user_id": aisha.id})).await.expect(200);
    assert_eq!(list(&again, "participants").len(), 3, "adding twice adds once");

    // She reads from here on, whichever way she asks.
    at_aisha.subscribe(&[&group]).await;
    maria.send(&group, "con Aisha").await;
    assert_eq!(at_aisha.next_event("message.created").await["data"]["content"], "con Aisha");
    assert_eq!(seqs(&aisha.history(&group).await), [2]);
    let mut second_device = aisha.connect().await;
    second_device.call(json!({"type": "resume", "conversation_id": group, "last_seq": 0})).await;
    let replayed = second_device.take_kept();
    assert_eq!(seqs(replayed.iter().filter(|f| f["type"] == "message.created")), [2]);
    let before = format!("/conversations/{group}/messages?after=0");
    for item in list(&aisha.get(&before).await.json, "items") {
        assert!(number(item, "seq") > 1, "{item}");
    }
    let first = text(&maria.history(&group).await[0], "id").to_owned();
    let marker = format!("/conversations/{group}/read-marker");
    aisha.put(&marker, &json!({"message_id": first})).await.problem(404, "not_found");

    // Leaving is everyone's right, but for the last moderator.
    maria.delete(&format!("{people}/{}", maria.id)).await.problem(409, "last_moderator");
    carlos.delete(&format!("{people}/{}", aisha.id)).await.problem(403, "not_a_moderator");
    let left = aisha.delete(&format!("{people}/{}", aisha.id)).await;
    assert_eq!((left.status, left.text.as_str()), (204, ""));
    assert_eq!(at_carlos.next_event("participant.removed").await["data"]["user_id"], aisha.id);
    aisha.get(&format!("/conversations/{group}")).await.problem(404, "not_found");
    // Gone, or never there: the same.
    maria.delete(&format!("{people}/{}", aisha.id)).await.problem(404, "not_found");
    maria.delete(&format!("{people}/{}", unused_id())).await.problem(404, "not_found");
    // The relation rule holds for additions too.
    let ana = world.sign_in(ANA).await;
    admin.post(&people, &json!({"user_id": ana.id})).await.problem(404, "not_found");
    let luis = world.sign_in(LUIS).await;
    let problem =
        maria.post(&people, &json!({"user_id": luis.id})).await.problem(403, "conversation_not_allowed");
    assert_eq!(problem["details"]["target_user_id"], luis.id);

    let direct = maria.open_direct(&carlos.id).await;
    let people = format!("/conversations/{direct}/participants");
    maria.post(&people, &json!({"user_id": aisha.id})).await.problem(409, "direct_conversation_fixed");
    maria.delete(&format!("{people}/{}", maria.id)).await.problem(409, "direct_conversation_fixed");
}

#[tokio::test]
async fn those_who_are_added_hear_of_it() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let mut at_carlos = carlos.connect().await;
    let mut at_aisha = aisha.connect().await;
    let group = maria.open_group("Novedades", &[&carlos]).await;
    let created = at_carlos.next_event("conversation.created").await;
    assert_eq!(created["conversation_id"], group);
    maria
        .post(&format!("/conversations/{group}/participants"), &json!({"user_id": aisha.id}))
        .await
        .expect(200);
    let joined =
        at_aisha.find(|f| f["type"] == "participant.joined" || f["type"] == "conversation.created").await;
    assert_eq!(joined["conversation_id"], group);
}

#[tokio::test]
async fn a_removed_member_is_a_stranger() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Sesión", &[&carlos, &aisha]).await;
    let message = maria.send(&group, "para todos").await;
    let mut at_carlos = carlos.connect_to(&group).await;
    let mut at_aisha = aisha.connect_to(&group).await;

    let path = format!("/conversations/{group}");
    let removal = maria.delete(&format!("{path}/participants/{}", carlos.id)).await;
    assert_eq!(removal.status, 204);
    assert_eq!(at_aisha.next_event("participant.removed").await["data"]["user_id"], carlos.id);

    // Nothing tells the conversation from one that never was.
    let absent = format!("/conversations/{}", unused_id());
    let marker = json!({"message_id": message["id"]});
    let asked: Vec<(Method, &str, Value)> = vec![
        (Method::GET, "", Value::Null),
        (Method::GET, "/messages", Value::Null),
        (Method::POST, "/messages", json!({"content": "¿Hola?"})),
        (Method::PUT, "/read-marker", marker),
        (Method::POST, "/participants", json!({"user_id": carlos.id})),
    ];
    for (method, rest, body) in asked {
        let ask = async |base: &str| {
            let asked = Request::new(method.clone(), format!("{base}{rest}"));
            carlos.request(if body.is_null() { asked } else { asked.json(&body) }).await
        };
        let (theirs, nobodys) = (ask(&path).await, ask(&absent).await);
        assert_eq!(theirs.comparable(), nobodys.comparable());
        theirs.problem(404, "not_found");
    }
    carlos.delete(&format!("{path}/participants/{}", carlos.id)).await.problem(404, "not_found");
    assert!(ids(&carlos.get("/conversations").await.expect(200)).is_empty());

    // Not on the socket that was subscribed, either: neither words nor who types, reads, comes and goes.
    at_carlos.settled().await;
    let second = maria.send(&group, "sin Carlos").await;
    at_aisha.next_event("message.created").await;
    at_aisha.call(json!({"type": "typing.set", "conversation_id": group, "is_typing": true})).await;
    at_aisha.call(json!({"type": "read.set", "conversation_id": group, "message_id": second["id"]})).await;
    maria.connect_to(&group).await.close().await;
    let said = at_carlos.settled().await;
    assert!(said.iter().all(|frame| frame["conversation_id"] != group), "{said:#?}");
    let commands = [
        json!({"type": "subscribe", "conversation_ids": [group]}),
        json!({"type": "resume", "conversation_id": group, "last_seq": 0}),
        send_command(&group, "c-1", "¿Hola?"),
        json!({"type": "typing.set", "conversation_id": group, "is_typing": true}),
        json!({"type": "read.set", "conversation_id": group, "message_id": message["id"]}),
        json!({"type": "ack", "conversation_id": group, "up_to_seq": 1}),
    ];
    for command in commands {
        assert_eq!(at_carlos.call_refused(command.clone()).await, "not_found", "{command}");
    }
    assert!(at_aisha.settled().await.iter().all(|frame| frame["type"] != "typing"));
    assert_eq!(seqs(&aisha.history(&group).await), [1, 2]);

    // Back in, he reads from there on.
    maria.post(&format!("{path}/participants"), &json!({"user_id": carlos.id})).await.expect(200);
    maria.send(&group, "otra vez con Carlos").await;
    assert_eq!(seqs(&carlos.history(&group).await), [3]);
}

/// WS-03: people are removed while others write. What was said after the removal was answered never arrives.
#[tokio::test]
async fn nothing_said_after_a_removal_arrives() {
    const ROUNDS: usize = 25;
    let world = World::with(&FAST).await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Entradas y salidas", &[&aisha]).await;
    let people = format!("/conversations/{group}/participants");
    let mut at_aisha = aisha.connect().await;
    let mut heard_before = 0;
    for round in 0..ROUNDS {
        maria.post(&people, &json!({"user_id": carlos.id})).await.expect(200);
        let mut at_carlos = carlos.connect_to(&group).await;
        let (removed, enough) = (AtomicBool::new(false), AtomicBool::new(false));

        let writing = async {
            let (mut late, mut n) = (HashSet::new(), 0);
            while late.len() < 3 {
                n += 1;
                let said_after = removed.load(Ordering::SeqCst);
                let ack = at_aisha.send(&group, &format!("r{round}-{n}"), "¿Quién me oye?").await;
                if said_after {
                    late.insert(number(&ack, "seq"));
                }
                // A different moment in each round.
                enough.store(n > round % 7, Ordering::SeqCst);
            }
            late
        };
        let removing = async {
            while !enough.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            assert_eq!(maria.delete(&format!("{people}/{}", carlos.id)).await.status, 204);
            removed.store(true, Ordering::SeqCst);
        };
        let (late, ()) = tokio::join!(writing, removing);

        let heard = at_carlos.settled().await;
        let heard = seqs(heard.iter().filter(|f| f["type"] == "message.created"));
        assert!(heard.iter().all(|seq| !late.contains(seq)), "round {round}: heard {heard:?}, late {late:?}");
        heard_before += heard.len();
    }
    assert!(heard_before > ROUNDS, "he heard nearly nothing at all: the test tests nothing");
}

#[tokio::test]
async fn the_list_has_all_of_them_once_newest_first() {
    const GROUPS: usize = 25;
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let mut newest_first = Vec::new();
    for n in 0..GROUPS {
        newest_first.insert(0, maria.open_group(&format!("Grupo {n}"), &[&carlos]).await);
    }
    // A message moves a conversation to the top.
    let oldest = newest_first.pop().expect("a group");
    carlos.send(&oldest, "¿Seguimos?").await;
    newest_first.insert(0, oldest.clone());
    let direct = maria.open_direct(&carlos.id).await;
    newest_first.insert(0, direct.clone());

    let (mut walked, mut query) = (Vec::new(), "?page_size=10".to_owned());
    loop {
        let page = maria.get(&format!("/conversations{query}")).await.expect(200);
        assert_eq!(fields(&page), ["items", "next_cursor"]);
        assert!(list(&page, "items").len() <= 10);
        walked.extend(ids(&page));
        // Whatever happens elsewhere meanwhile.
        maria.open_group("Otra cosa", &[&aisha]).await;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?page_size=10&cursor={cursor}");
    }
    assert_eq!(walked, newest_first);

    let page = carlos.get("/conversations?page=2&page_size=10").await.expect(200);
    assert_eq!(ids(&page), newest_first[10..20]);
    assert_eq!(ids(&carlos.get("/conversations").await.expect(200)).len(), 20, "twenty are a page");
    assert_eq!(ids(&carlos.get("/conversations?type=direct").await.expect(200)), [direct]);
    assert!(ids(&carlos.get("/conversations?type=emergency").await.expect(200)).is_empty());
    let page = maria.get("/conversations?type=group&page_size=100").await.expect(200);
    let item = list(&page, "items").iter().find(|c| c["id"] == oldest).expect("the group with the message");
    assert_eq!((number(item, "unread_count"), text(&item["last_message"], "content")), (1, "¿Seguimos?"));
    assert_eq!(*item, maria.conversation(&oldest).await, "the list and the conversation tell the same");

    for bad in [
        "page_size=0",
        "page_size=101",
        "page_size=x",
        "page=0",
        "page=-1",
        "type=nonsense",
        "cursor=%00",
        "cursor=zzz",
        "unknown=1",
    ] {
        maria.get(&format!("/conversations?{bad}")).await.any_problem(422);
    }
}

#[tokio::test]
async fn nobody_sees_the_conversations_of_others() {
    let world = World::new().await;
    let [maria, ana, admin, luis] = world.sign_in_all([MARIA, ANA, ADMIN, LUIS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    ana.send(&conversation, "entre nosotras").await;
    for stranger in [&admin, &luis] {
        stranger.get(&format!("/conversations/{conversation}")).await.problem(404, "not_found");
        stranger.get(&format!("/conversations/{conversation}/messages")).await.problem(404, "not_found");
        assert!(ids(&stranger.get("/conversations").await.expect(200)).is_empty());
    }
}
