//! Who has received and read what (S0-15, S0-36, S0-59, S0-60, S2-37, S4-62 … S4-65, C-9, C-10, C-55, AZ-14).

use std::collections::HashMap;

use alivio_testkit::server::{AISHA, ANA, CARLOS, MARIA};
use alivio_testkit::socket::{Connect, Socket};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{FAST, World, list, number, text, unused_id};

#[tokio::test]
async fn a_message_tells_who_has_read_it() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Equipo", &[&carlos]).await;
    let (first, second) = (maria.send(&group, "uno").await, maria.send(&group, "dos").await);
    assert_eq!(first["read_by"], json!([]));
    let (one, two) = (text(&first, "id"), text(&second, "id"));
    let receipts = format!("/messages/{one}/receipts");
    let status = format!("{receipts}/me");
    aisha.put(&status, &json!({"status": "read"})).await.problem(404, "not_found");
    aisha.get(&receipts).await.problem(404, "not_found");
    carlos.put(&status, &json!({"status": "failed"})).await.problem(422, "validation_failed");

    let delivered = carlos.put(&status, &json!({"status": "delivered"})).await.expect(200);
    assert_eq!((number(&delivered, "delivered_up_to"), number(&delivered, "read_up_to")), (1, 0));
    let page = maria.get(&receipts).await.expect(200);
    let [receipt] = list(&page, "items") else { panic!("{page}") };
    assert_eq!(
        (text(&receipt["user"], "id"), text(receipt, "delivery_status")),
        (carlos.id.as_str(), "delivered")
    );
    assert!(receipt["delivered_at"].is_string() && receipt["read_at"].is_null(), "{receipt}");

    let mut at_maria = maria.connect_to(&group).await;
    carlos.put(&status, &json!({"status": "read"})).await.expect(200);
    assert_eq!(number(&at_maria.next_event("receipt.read").await["data"], "read_up_to"), 1);
    // It never goes back.
    let again = carlos.put(&status, &json!({"status": "delivered"})).await.expect(200);
    assert_eq!(number(&again, "read_up_to"), 1);
    let shown = maria.history(&group).await;
    let [reader] = list(&shown[0], "read_by") else { panic!("{}", shown[0]) };
    assert_eq!((text(reader, "user_id"), text(reader, "delivery_status")), (carlos.id.as_str(), "read"));
    assert_eq!((text(&shown[0], "delivery_status"), text(&shown[1], "delivery_status")), ("read", "sent"));
    assert_eq!(shown[1]["read_by"], json!([]));
    let page = maria.get(&receipts).await.expect(200);
    assert_eq!(list(&page, "items")[0]["read_at"], reader["read_at"]);

    // All at once: by ids, and the whole conversation.
    let other = maria.open_direct(&carlos.id).await;
    let three = maria.send(&other, "tres").await;
    let ids = json!({"message_ids": [two, text(&three, "id"), one, unused_id()]});
    let marked = carlos.post("/messages/mark-read", &ids).await.expect(200);
    assert_eq!(list(&marked, "items").len(), 2);
    assert!(list(&marked, "items").iter().all(|marker| number(marker, "unread_count") == 0));
    carlos
        .post("/messages/mark-read", &json!({"message_ids": [unused_id()]}))
        .await
        .problem(404, "not_found");
    carlos.post("/messages/mark-read", &json!({"message_ids": []})).await.problem(422, "validation_failed");
    aisha.post("/messages/mark-read", &ids).await.problem(404, "not_found");
    maria.send(&group, "cuatro").await;
    let marker = format!("/conversations/{group}/read-marker");
    let all = carlos.put(&marker, &json!({"all": true})).await.expect(200);
    assert_eq!((number(&all, "read_up_to"), number(&all, "unread_count")), (3, 0));
    for bad in [json!({}), json!({"all": false}), json!({"all": true, "message_id": one})] {
        carlos.put(&marker, &bad).await.problem(422, "validation_failed");
    }
    aisha.put(&marker, &json!({"all": true})).await.problem(404, "not_found");
}

#[tokio::test]
async fn where_receipts_are_off_others_see_that_it_was_delivered() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let settings = r#"UPDATE conversations SET settings = '{"read_receipts": false}' WHERE id = $1"#;
    assert_eq!(world.execute(settings, &conversation).await, 1);
    let message = maria.send(&conversation, "hola").await;
    let id = text(&message, "id");
    let mut at_maria = maria.connect_to(&conversation).await;
    ana.read_up_to(&conversation, id).await;
    let heard = at_maria.settled().await;
    assert!(!heard.iter().any(|event| event["type"] == "receipt.read"), "{heard:?}");
    let shown = &maria.history(&conversation).await[0];
    assert_eq!((text(shown, "delivery_status"), &shown["read_by"]), ("delivered", &json!([])));
    let page = maria.get(&format!("/messages/{id}/receipts")).await.expect(200);
    let [receipt] = list(&page, "items") else { panic!("{page}") };
    assert_eq!(text(receipt, "delivery_status"), "delivered");
    let view = maria.conversation(&conversation).await;
    let reader = list(&view, "participants").iter().find(|p| p.to_string().contains(&ana.id)).cloned();
    assert_eq!(reader.map(|reader| reader["read_up_to"].clone()), Some(json!(0)));
    assert_eq!(
        number(&ana.conversation(&conversation).await, "unread_count"),
        0,
        "she knows what she has read"
    );
}

/// What is unread is what others have sent after one's mark, whatever happens.
#[tokio::test]
async fn unread_is_what_a_model_counts() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Equipo", &[&carlos]).await;
    let people = [&maria, &carlos, &aisha];
    // Of each the mark, while they are in.
    let mut marks = [Some(0), Some(0), None];
    let mut log: Vec<(usize, String)> = Vec::new();
    let mut chance = 88_172_645_463_325_252_u64;
    for _ in 0..60 {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let who = usize::try_from(chance % 3).expect("a person");
        let last = log.len();
        match ((chance >> 8) & 7, marks[who]) {
            (0..=3, Some(_)) => {
                let sent = people[who].send(&group, "hola").await;
                log.push((who, text(&sent, "id").to_owned()));
            }
            (4..=6, Some(mark)) if mark < last => {
                let target = mark + 1 + usize::try_from(chance >> 16).expect("64 bits") % (last - mark);
                people[who].read_up_to(&group, &log[target - 1].1).await;
                marks[who] = Some(target);
            }
            (_, Some(_)) if who == 2 => {
                maria.delete(&format!("/conversations/{group}/participants/{}", aisha.id)).await.expect(204);
                marks[who] = None;
            }
            (_, None) => {
                let body = json!({"user_id": aisha.id});
                maria.post(&format!("/conversations/{group}/participants"), &body).await.expect(200);
                marks[who] = Some(last);
            }
            _ => {}
        }
        for (person, mark) in people.iter().zip(marks) {
            let Some(mark) = mark else { continue };
            let mine = people.iter().position(|p| p.id == person.id);
            let unread = log.iter().skip(mark).filter(|(sender, _)| Some(*sender) != mine).count();
            let shown = person.conversation(&group).await;
            assert_eq!(number(&shown, "unread_count"), i64::try_from(unread).expect("few"));
        }
    }
    assert!(log.len() > 10);
}

/// The receipts that a frame tells of, alone or together: which mark, and whose and how far.
pub(crate) fn receipts(frame: &Value) -> Vec<(String, Value)> {
    match frame["type"].as_str() {
        Some("receipts") => {
            let each = list(&frame["data"], "receipts").iter();
            each.map(|receipt| (text(receipt, "mark").to_owned(), receipt.clone())).collect()
        }
        Some(kind) => kind
            .strip_prefix("receipt.")
            .map(|mark| (mark.to_owned(), frame["data"].clone()))
            .into_iter()
            .collect(),
        None => Vec::new(),
    }
}

/// Receipts as they come, until this many marks are at `end`. In how many frames they came.
async fn until_all_are_at(socket: &mut Socket, end: i64, marks: usize) -> usize {
    let (mut reached, mut frames) = (HashMap::new(), 0);
    while reached.values().filter(|up_to| **up_to == end).count() < marks {
        let frame = socket.find(|frame| !receipts(frame).is_empty()).await;
        frames += 1;
        for (mark, receipt) in receipts(&frame) {
            let up_to = number(&receipt, &format!("{mark}_up_to"));
            let before = reached.insert((text(&receipt, "user_id").to_owned(), mark), up_to).unwrap_or(0);
            assert!(up_to > before, "{receipt} after {before}");
        }
    }
    frames
}

#[tokio::test]
async fn what_many_acknowledge_is_told_together_and_each_mark_once_at_its_furthest() {
    const MESSAGES: i64 = 30;
    let world = World::with(&FAST).await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Equipo", &[&carlos, &aisha]).await;
    let mut last = String::new();
    for n in 0..MESSAGES {
        text(&maria.send(&group, &n.to_string()).await, "id").clone_into(&mut last);
    }
    let mut at_maria = maria.connect_to(&group).await;
    let documented = Connect::new(format!("/ws/chat/{group}?token={}", maria.token()));
    let mut at_the_old_one = maria.try_connect(documented).await.expect("a socket");
    join_all([&carlos, &aisha].map(async |reader| {
        let mut socket = reader.connect().await;
        for seq in 1..=MESSAGES {
            socket.call(json!({"type": "ack", "conversation_id": group, "up_to_seq": seq})).await;
        }
        socket.call(json!({"type": "read.set", "conversation_id": group, "message_id": last})).await;
    }))
    .await;
    let frames = until_all_are_at(&mut at_maria, MESSAGES, 4).await;
    let acknowledged = usize::try_from(2 * MESSAGES + 2).expect("few");
    assert!(frames < acknowledged / 2, "{frames} frames for {acknowledged} receipts");
    // Whoever comes now hears the same from the log.
    let subscribed = maria.connect().await.subscribe(&[&group]).await;
    let marks = &list(&subscribed, "subscriptions")[0];
    for reader in [&carlos, &aisha] {
        let theirs = list(marks, "marks").iter().find(|marks| marks["user_id"] == reader.id).expect("theirs");
        assert_eq!((number(theirs, "delivered_up_to"), number(theirs, "read_up_to")), (MESSAGES, MESSAGES));
        let is_theirs = |frame: &Value| frame["type"] == "message_read" && frame["sender_id"] == reader.id;
        let told = at_the_old_one.find(is_theirs).await;
        assert_eq!(
            (&told["data"]["message_id"], &told["data"]["read_by"]),
            (&json!(last), &json!(reader.id))
        );
    }
}

#[tokio::test]
async fn in_a_crowd_only_those_hear_of_a_receipt_whom_it_concerns() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Congreso", &[&carlos, &aisha]).await;
    let (mut at_maria, mut at_aisha) = (maria.connect_to(&group).await, aisha.connect_to(&group).await);
    let mut crowd = join_all((0..60).map(|_| carlos.connect_to(&group))).await;
    maria.send(&group, "Bienvenidos").await;
    for socket in &mut crowd {
        socket.next_event("message.created").await;
    }
    for (reader, heard_by_crowd) in [(&aisha, false), (&carlos, true)] {
        let mut socket = reader.connect().await;
        socket.call(json!({"type": "ack", "conversation_id": group, "up_to_seq": 1})).await;
        let is_theirs =
            |frame: &Value| receipts(frame).iter().any(|(_, receipt)| receipt["user_id"] == reader.id);
        at_maria.find(is_theirs).await;
        for socket in &mut crowd {
            if heard_by_crowd {
                socket.find(is_theirs).await;
            } else {
                let heard = socket.settled().await;
                assert!(!heard.iter().any(is_theirs), "{heard:?}");
            }
        }
        if !heard_by_crowd {
            at_aisha.find(is_theirs).await;
        }
    }
    assert!(!at_aisha.settled().await.iter().any(|frame| !receipts(frame).is_empty()));
}
