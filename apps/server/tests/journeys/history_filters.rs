//! Finding one's way in a log: by time, type, person; and never at a price without bounds (S0-140 … S0-148, RL-03).

use alivio_testkit::server::{ANA, CARLOS, MARIA};
use serde_json::{Value, json};

use crate::{World, list, number, seqs, text};

fn items(page: &Value) -> Vec<i64> {
    seqs(list(page, "items"))
}

#[tokio::test]
async fn messages_are_found_by_time_type_and_person() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    for n in 1..=8 {
        let sender = if n % 2 == 0 { &maria } else { &ana };
        sender.send(&conversation, &format!("n.º {n}")).await;
    }
    let payload = json!({"starts_at": "2027-03-01T15:00:00Z", "duration_minutes": 30});
    let body = json!({"message_type": "appointment", "payload": payload});
    maria.post(&format!("/conversations/{conversation}/messages"), &body).await.expect(201);
    // One hour apart, but the fifth by a clock that is two hours behind.
    let hours = "UPDATE messages SET created_at = '2026-01-01T00:00:00Z'::timestamptz
        + make_interval(hours => (CASE seq WHEN 5 THEN 3 ELSE seq END)::integer) WHERE conversation_id = $1";
    world.execute(hours, &conversation).await;
    let get = async |query: &str| items(&ana.page(&conversation, query).await);
    assert_eq!(get("?before=2026-01-01T04:30:00Z").await, [5, 4, 3, 2, 1]);
    assert_eq!(get("?before=2026-01-01T04:00:00Z&page_size=2").await, [5, 3]);
    assert_eq!(get("?after=2026-01-01T04:30:00Z").await, [6, 7, 8, 9]);
    assert_eq!(get("?after=2026-01-01T02:30:00%2B00:00&before=2026-01-01T06:30:00Z").await, [6, 5, 4, 3]);
    assert_eq!(get("?ordering=timestamp&page_size=3").await, [1, 2, 3]);
    assert_eq!(get("?after=7&ordering=-timestamp").await, [9, 8]);
    assert_eq!(get("?after=2&before=5").await, [4, 3]);
    assert_eq!(get(&format!("?sender={}", ana.id)).await, [7, 5, 3, 1]);
    assert_eq!(get("?message_type=appointment,image").await, [9]);
    assert_eq!(get("?message_type=text&page=2&page_size=3").await, [5, 4, 3]);
    assert_eq!(get("?has_attachments=true").await, Vec::<i64>::new());
    assert_eq!(get("?has_attachments=false&page_size=2").await, [9, 8]);
    let id = text(&ana.history(&conversation).await[2], "id").to_owned();
    assert_eq!(get(&format!("?before={id}")).await, [2, 1]);
    for bad in [
        "?before=ayer",
        "?message_type=letter",
        "?ordering=size",
        "?page=2&before=3",
        "?page_size=101",
        "?sender=x",
    ] {
        ana.get(&format!("/conversations/{conversation}/messages{bad}")).await.any_problem(422);
    }

    // What was taken back, or has expired, is shown when asked for, without its words.
    world.execute("UPDATE messages SET deleted_at = now() WHERE id = $1", &id).await;
    let expired = "UPDATE messages SET expires_at = now() WHERE seq = 4 AND conversation_id = $1";
    world.execute(expired, &conversation).await;
    assert_eq!(get("?before=6").await, [5, 2, 1]);
    let all = ana.page(&conversation, "?before=6&include_deleted=true").await;
    assert_eq!(items(&all), [5, 4, 3, 2, 1]);
    let shown: Vec<_> = list(&all, "items").iter().map(|m| m["content"].is_null()).collect();
    assert_eq!(shown, [false, true, true, false, false]);
}

#[tokio::test]
async fn a_message_belongs_to_its_conversation() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let (mine, other) = (ana.open_direct(&maria.id).await, maria.open_direct(&carlos.id).await);
    let (mut here, there) = (ana.send(&mine, "Aquí").await, maria.send(&other, "Allí").await);
    // For the sender alone.
    here.as_object_mut().unwrap().remove("warnings");
    let one = |conversation: &str, id: &Value| {
        format!("/conversations/{conversation}/messages/{}", id.as_str().expect("an id"))
    };
    assert_eq!(ana.get(&one(&mine, &here["id"])).await.expect(200), here);
    assert_eq!(maria.get(&one(&mine, &here["id"])).await.expect(200)["id"], here["id"]);
    maria.get(&one(&mine, &there["id"])).await.problem(404, "not_found");
    ana.get(&one(&mine, &there["id"])).await.problem(404, "not_found");
    ana.get(&one(&other, &there["id"])).await.problem(404, "not_found");
    let before = format!("/conversations/{mine}/messages?before={}", text(&there, "id"));
    maria.get(&before).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_needle_in_a_long_log_is_found_a_window_at_a_time() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    ana.send(&conversation, "La aguja").await;
    let hay = "INSERT INTO messages (id, ref_number, conversation_id, seq, sender_id, message_type, priority, content,
            client_message_id, fingerprint, created_at)
        SELECT gen_random_uuid(), 0, conversation_id, n, (SELECT user_id FROM participants p
            WHERE p.conversation_id = m.conversation_id AND p.user_id <> m.sender_id), 'text', 'low', NULL, n::text, '', now()
        FROM messages m, generate_series(2, 12001) n WHERE m.conversation_id = $1";
    assert_eq!(world.execute(hay, &conversation).await, 12_000);
    world.execute("UPDATE conversations SET last_seq = 12001 WHERE id = $1", &conversation).await;
    let mine = format!("?sender={}", ana.id);
    let first = maria.page(&conversation, &mine).await;
    assert!(items(&first).is_empty());
    let next = text(&first, "next_cursor").to_owned();
    assert_eq!(next, "2002", "ten thousand were looked at");
    let second = maria.page(&conversation, &format!("{mine}&before={next}")).await;
    assert_eq!((items(&second), &second["next_cursor"]), (vec![1], &Value::Null));
    let forward =
        maria.page(&conversation, &format!("?sender={}&ordering=timestamp&page_size=1", maria.id)).await;
    assert_eq!((items(&forward), text(&forward, "next_cursor")), (vec![2], "2"));
    // All of someone's messages are found in the same way.
    let (mut cursor, mut found, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = maria.get(&format!("/messages{mine}{cursor}")).await.expect(200);
        found.extend(items(&page));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        assert!(pages < 40);
    }
    assert_eq!(found, [1]);
    assert_eq!(number(&maria.page(&conversation, "?page_size=1").await["items"][0], "seq"), 12_001);
}
