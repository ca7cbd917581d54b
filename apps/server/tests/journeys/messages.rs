//! The log of a conversation: sent once, numbered without gaps, read page by page, marked.

use std::collections::HashSet;

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{AISHA, ANA, CARLOS, MARIA};
use alivio_testkit::socket::send_command;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::receipts::receipts;
use crate::{FAST, World, fields, list, number, seqs, text, unused_id};

fn messages(conversation: &str) -> String {
    format!("/conversations/{conversation}/messages")
}

async fn fill(actor: &Actor, conversation: &str, count: usize) {
    let mut socket = actor.connect().await;
    let mut references = Vec::new();
    for n in 1..=count {
        references.push(
            socket.command(send_command(conversation, &format!("fill-{n}"), &format!("n.º {n}"))).await,
        );
    }
    for reference in references {
        socket.expect_ack(&reference).await;
    }
    socket.close().await;
}

#[tokio::test]
async fn a_message_is_what_was_sent() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let asked = json!({
        "content": "  Línea uno\n\tlínea dos — ñ, 漢字, 🤒, \u{200d}\n ",
        "message_type": "text",
        "priority": "urgent",
        "client_message_id": "c-1",
    });
    let mut message = ana.post(&messages(&conversation), &asked).await.expect(201);
    let expected = [
        "attachments",
        "client_message_id",
        "content",
        "conversation_id",
        "corrected_by",
        "corrects",
        "created_at",
        "deleted_at",
        "deleted_by",
        "delivery_status",
        "edit_history",
        "edited_at",
        "encryption",
        "expires_at",
        "formatted_content",
        "id",
        "is_deleted",
        "is_edited",
        "message_type",
        "metadata",
        "payload",
        "priority",
        "reactions",
        "read_by",
        "ref",
        "reply_to",
        "revision",
        "scheduled_for",
        "sender",
        "seq",
        "updated_at",
        "version",
        "warnings",
    ];
    assert_eq!(fields(&message), expected);
    assert_eq!(text(&message, "content"), text(&asked, "content").trim());
    assert_eq!((&message["priority"], &message["message_type"]), (&json!("urgent"), &json!("text")));
    assert_eq!((number(&message, "seq"), text(&message, "conversation_id")), (1, conversation.as_str()));
    assert_eq!((text(&message, "delivery_status"), text(&message, "client_message_id")), ("sent", "c-1"));
    assert!(text(&message, "ref").starts_with("MSG-"), "{message}");
    let sender = &message["sender"];
    assert_eq!(
        fields(sender),
        ["avatar_url", "display_name", "full_name", "id", "professional_title", "role"]
    );
    assert_eq!((text(sender, "id"), text(sender, "role")), (ana.id.as_str(), "patient"));
    // Nobody else is told what was found in it.
    message.as_object_mut().unwrap().remove("warnings");
    assert_eq!(maria.history(&conversation).await, [message]);

    let longest = "ñ".repeat(5000);
    assert_eq!(text(&ana.send(&conversation, &longest).await, "content"), longest);
    let plain = ana.send(&conversation, "sin más").await;
    assert_eq!((text(&plain, "priority"), text(&plain, "message_type")), ("normal", "text"));
}

#[tokio::test]
async fn a_repeated_client_message_id_is_the_same_message() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = messages(&conversation);
    let body = json!({"content": "Hola", "client_message_id": "c-1"});
    let first = ana.post(&path, &body).await.expect(201);
    assert_eq!(ana.post(&path, &body).await.expect(200), first);

    for (field, value) in [("content", "Adiós"), ("priority", "urgent")] {
        let mut other = body.clone();
        other[field] = json!(value);
        ana.post(&path, &other).await.problem(409, "client_message_id_reused");
    }

    // Over a socket it is the same again.
    let mut socket = ana.connect().await;
    let again = socket.send(&conversation, "c-1", "Hola").await;
    assert_eq!(
        (&again["message_id"], &again["seq"], &again["created"]),
        (&first["id"], &json!(1), &json!(false))
    );
    assert_eq!(again["created_at"], first["created_at"]);
    let refused = socket.call_refused(send_command(&conversation, "c-1", "Adiós")).await;
    assert_eq!(refused, "client_message_id_reused");

    // The name belongs to one sender in one conversation.
    assert_eq!(number(&maria.post(&path, &body).await.expect(201), "seq"), 2);
    let group = maria.open_group("Otra", &[&ana]).await;
    assert_eq!(number(&ana.post(&messages(&group), &body).await.expect(201), "seq"), 1);
    // Without one, every request is another message.
    assert_eq!(number(&ana.send(&conversation, "Hola").await, "seq"), 3);
    assert_eq!(number(&ana.send(&conversation, "Hola").await, "seq"), 4);
    assert_eq!(seqs(&maria.history(&conversation).await), [1, 2, 3, 4]);
    assert_eq!(maria.history(&conversation).await[0]["content"], "Hola", "the stored one stays as it was");
}

#[tokio::test]
async fn two_hundred_parallel_repeats_are_one_message() {
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_maria = maria.connect_to(&conversation).await;
    let path = messages(&conversation);
    let body = json!({"content": "Una sola vez", "client_message_id": "once"});
    let over_rest = join_all((0..100).map(|_| ana.post(&path, &body)));
    let over_sockets = async {
        let mut socket = ana.connect().await;
        let mut references = Vec::new();
        for _ in 0..100 {
            references.push(socket.command(send_command(&conversation, "once", "Una sola vez")).await);
        }
        let mut acks = Vec::new();
        for reference in references {
            acks.push(socket.expect_ack(&reference).await);
        }
        acks
    };
    let (answers, acks) = tokio::join!(over_rest, over_sockets);
    let created = answers.iter().filter(|a| a.status == 201).count()
        + acks.iter().filter(|a| a["created"] == true).count();
    let repeats = answers.iter().filter(|a| a.status == 200).count()
        + acks.iter().filter(|a| a["created"] == false).count();
    assert_eq!((created, repeats), (1, 199));
    let distinct: HashSet<_> = answers
        .iter()
        .map(|a| text(&a.json, "id"))
        .chain(acks.iter().map(|a| text(a, "message_id")))
        .collect();
    assert_eq!(distinct.len(), 1);

    assert_eq!(number(&ana.send(&conversation, "después").await, "seq"), 2, "the repeats took no number");
    let heard = at_maria.settled().await;
    assert_eq!(seqs(heard.iter().filter(|f| f["type"] == "message.created")), [1, 2]);
    assert_eq!(seqs(&maria.history(&conversation).await), [1, 2]);
}

#[tokio::test]
async fn parallel_writers_share_one_order_without_gaps() {
    const EACH: usize = 40;
    let world = World::with(&FAST).await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Todos a la vez", &[&carlos, &aisha]).await;
    let mut reader = aisha.connect_to(&group).await;
    let writers = [&maria, &carlos, &aisha, &maria, &carlos, &aisha];
    let acknowledged = join_all((0..).zip(writers).map(|(writer, actor)| {
        let group = &group;
        async move {
            let mut last = 0;
            let mut socket = actor.connect().await;
            for n in 0..EACH {
                let name = format!("w{writer}-{n}");
                let ack = socket.send(group, &name, &name).await;
                assert!(number(&ack, "seq") > last, "a writer's messages are in the order of their acks");
                last = number(&ack, "seq");
            }
        }
    }));
    acknowledged.await;
    let total = i64::try_from(EACH * writers.len()).expect("a small number");
    let expected: Vec<_> = (1..=total).collect();
    let history = maria.history(&group).await;
    assert_eq!(seqs(&history), expected);
    let distinct: HashSet<_> = history.iter().map(|message| text(message, "content")).collect();
    assert_eq!(distinct.len(), expected.len());
    let heard = reader.settled().await;
    assert_eq!(seqs(heard.iter().filter(|f| f["type"] == "message.created")), expected, "live, in order");
    assert_eq!(number(&maria.conversation(&group).await, "total_messages"), total);
}

#[tokio::test]
async fn history_is_read_page_by_page_in_both_directions() {
    const COUNT: usize = 250;
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    fill(&ana, &conversation, COUNT).await;
    let all = maria.history(&conversation).await;
    let count = i64::try_from(COUNT).expect("a small number");
    assert_eq!(seqs(&all), (1..=count).collect::<Vec<_>>());
    for (n, message) in (1..).zip(&all) {
        assert_eq!(text(message, "content"), format!("n.º {n}"));
    }
    let path = messages(&conversation);
    let id = |seq: usize| text(&all[seq - 1], "id");

    // Newest first, fifty to a page, and undisturbed by what arrives meanwhile.
    let (mut walked, mut query) = (Vec::new(), String::new());
    loop {
        let page = maria.page(&conversation, &query).await;
        assert_eq!(fields(&page), ["items", "next_cursor"]);
        if walked.is_empty() {
            assert_eq!(list(&page, "items").len(), 50);
        }
        walked.extend(seqs(list(&page, "items")));
        ana.send(&conversation, "mientras tanto").await;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?page_size=37&before={cursor}");
    }
    assert_eq!(walked, (1..=count).rev().collect::<Vec<_>>());
    let newest = 250 + 7;

    // Oldest first, after a message.
    let (mut walked, mut query) = (Vec::new(), format!("?page_size=41&after={}", id(10)));
    loop {
        let page = maria.page(&conversation, &query).await;
        walked.extend(seqs(list(&page, "items")));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?page_size=41&after={cursor}");
    }
    assert_eq!(walked, (11..=newest).collect::<Vec<_>>());

    // Before a message, at the ends, by pages.
    assert_eq!(
        seqs(list(&maria.page(&conversation, &format!("?page_size=3&before={}", id(100))).await, "items")),
        [99, 98, 97]
    );
    let first = maria.page(&conversation, &format!("?before={}", id(1))).await;
    assert_eq!((list(&first, "items").len(), &first["next_cursor"]), (0, &Value::Null));
    let exact = maria.page(&conversation, &format!("?page_size=5&before={}", id(6))).await;
    assert_eq!((seqs(list(&exact, "items")), &exact["next_cursor"]), (vec![5, 4, 3, 2, 1], &Value::Null));
    let page = maria.page(&conversation, "?page=2&page_size=100").await;
    assert_eq!(seqs(list(&page, "items")), (newest - 199..=newest - 100).rev().collect::<Vec<_>>());
    assert!(list(&maria.page(&conversation, "?page=99&page_size=100").await, "items").is_empty());

    // Places that are not in this conversation.
    let other = maria.open_group("Otra", &[&ana]).await;
    let elsewhere = ana.send(&other, "en otra parte").await;
    for anchor in [text(&elsewhere, "id").to_owned(), unused_id()] {
        for direction in ["before", "after"] {
            let answer = maria.get(&format!("{path}?{direction}={anchor}")).await;
            answer.problem(404, "not_found");
        }
    }
    for bad in ["before=x", "after=-1", "page_size=0", "page_size=101", "page=0", "before=%00", "unknown=1"] {
        maria.get(&format!("{path}?{bad}")).await.any_problem(422);
    }
}

#[tokio::test]
async fn the_read_marker_counts_down_what_is_unread() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let unread = async |actor: &Actor| number(&actor.conversation(&conversation).await, "unread_count");
    let mut sent = Vec::new();
    for n in 1..=5 {
        sent.push(ana.send(&conversation, &format!("n.º {n}")).await);
    }
    assert_eq!((unread(&maria).await, unread(&ana).await), (5, 0), "one's own words are not unread");

    let marker = maria.read_up_to(&conversation, text(&sent[2], "id")).await;
    let expected = json!({
        "conversation_id": conversation, "read_up_to": 3, "delivered_up_to": 3, "unread_count": 2,
    });
    assert_eq!(marker, expected);
    // Never back, and as often as one likes.
    assert_eq!(maria.read_up_to(&conversation, text(&sent[0], "id")).await, expected);
    assert_eq!(maria.read_up_to(&conversation, text(&sent[2], "id")).await, expected);
    assert_eq!(unread(&maria).await, 2);

    // Her own answer in between does not count.
    maria.send(&conversation, "Ya veo").await;
    assert_eq!((unread(&maria).await, unread(&ana).await), (2, 1));
    maria.read_up_to(&conversation, text(&sent[4], "id")).await;
    assert_eq!(unread(&maria).await, 0);
    let listed = maria.get("/conversations").await.expect(200);
    assert_eq!(number(&list(&listed, "items")[0], "unread_count"), 0);
    let participants = ana.conversation(&conversation).await;
    let hers = list(&participants, "participants").iter().find(|p| p["user_id"] == maria.id).expect("María");
    assert_eq!((number(hers, "read_up_to"), number(hers, "delivered_up_to")), (5, 5));

    // AZ-02, AZ-14: a message of another conversation, none at all, a place the log has not reached.
    let other = maria.open_group("Otra", &[&ana]).await;
    let elsewhere = ana.send(&other, "en otra parte").await;
    let path = format!("/conversations/{conversation}/read-marker");
    for id in [text(&elsewhere, "id"), &unused_id()] {
        maria.put(&path, &json!({"message_id": id})).await.problem(404, "not_found");
    }
    let mut socket = maria.connect().await;
    let future = json!({"type": "ack", "conversation_id": conversation, "up_to_seq": 99});
    assert_eq!(socket.call_refused(future).await, "not_found");
    let foreign = json!({"type": "read.set", "conversation_id": conversation, "message_id": elsewhere["id"]});
    assert_eq!(socket.call_refused(foreign).await, "not_found");
    assert_eq!(unread(&maria).await, 0);
}

#[tokio::test]
async fn the_slowest_reader_decides_the_status() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Sesión", &[&carlos, &aisha]).await;
    let message = maria.send(&group, "¿Todos de acuerdo?").await;
    let status = async || text(&maria.history(&group).await[0], "delivery_status").to_owned();
    let mut at_carlos = carlos.connect().await;
    let mut at_aisha = aisha.connect().await;
    let mut at_maria = maria.connect_to(&group).await;
    let delivered = json!({"type": "ack", "conversation_id": group, "up_to_seq": 1});
    assert_eq!(status().await, "sent");
    at_carlos.call(delivered.clone()).await;
    assert_eq!(status().await, "sent");
    at_aisha.call(delivered.clone()).await;
    assert_eq!(status().await, "delivered");
    carlos.read_up_to(&group, text(&message, "id")).await;
    assert_eq!(status().await, "delivered");
    aisha.read_up_to(&group, text(&message, "id")).await;
    assert_eq!(status().await, "read");
    // Saying it again moves nothing and tells nobody.
    at_aisha.call(delivered).await;
    assert_eq!(status().await, "read");

    // Alone or together, each once.
    let mut told = Vec::new();
    while told.len() < 4 {
        told.extend(receipts(&at_maria.find(|frame| !receipts(frame).is_empty()).await));
    }
    let told: HashSet<_> =
        told.iter().map(|(mark, receipt)| (mark.as_str(), text(receipt, "user_id"))).collect();
    let expected = [&carlos, &aisha].map(|reader| ["delivered", "read"].map(|mark| (mark, &*reader.id)));
    assert_eq!(told, expected.into_iter().flatten().collect());
    assert!(at_maria.settled().await.iter().all(|frame| receipts(frame).is_empty()));
}
