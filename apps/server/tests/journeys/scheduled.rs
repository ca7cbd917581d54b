//! Messages that wait for their time (S0-64, AZ-15).

use alivio_kernel::{Clock, SystemClock};
use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ANA, CARLOS, MARIA, eventually};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::sql;
use crate::{FAST, World, list, text};

fn later(seconds: i64) -> DateTime<Utc> {
    SystemClock.now() + TimeDelta::seconds(seconds)
}

async fn schedule(actor: &Actor, conversation: &str, words: &str, at: DateTime<Utc>) -> Value {
    let body = json!({"content": words, "scheduled_for": at});
    actor.post(&format!("/conversations/{conversation}/messages"), &body).await.expect(202)
}

/// Lets its time come now, twice over: as if two relays had the timer.
async fn let_it_be_due(world: &World, scheduled: &Value) {
    let id = text(scheduled, "id");
    world.execute("UPDATE scheduled_messages SET due_at = now() WHERE id = $1", id).await;
    let again = "INSERT INTO outbox (id, kind, payload, at, due_at)
        SELECT gen_random_uuid(), kind, payload, at, now() FROM outbox, generate_series(1, 3)
        WHERE kind = 'messages.scheduled_message_due' AND payload ->> 'id' = $1::uuid::text";
    assert!(world.execute(again, id).await > 0);
}

async fn state(actor: &Actor, scheduled: &Value) -> Value {
    actor.get(&format!("/messages/scheduled/{}", text(scheduled, "id"))).await.expect(200)
}

#[tokio::test]
async fn it_is_sent_once_when_its_time_has_come() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_maria = maria.connect().await;
    let scheduled = schedule(&maria, &conversation, "Recuerde su cita", later(3600)).await;
    assert_eq!((text(&scheduled, "state"), text(&scheduled, "content")), ("pending", "Recuerde su cita"));
    assert!(ana.history(&conversation).await.is_empty());
    assert_eq!(
        list(&maria.get("/messages/scheduled?state=pending").await.expect(200), "items"),
        std::slice::from_ref(&scheduled)
    );
    // It is nobody else's affair.
    let path = format!("/messages/scheduled/{}", text(&scheduled, "id"));
    for other in [&ana, &carlos] {
        other.get(&path).await.problem(404, "not_found");
        other.delete(&path).await.problem(404, "not_found");
        assert!(list(&other.get("/messages/scheduled").await.expect(200), "items").is_empty());
    }
    // Another wording.
    let change =
        Request::new(Method::PATCH, path.clone()).json(&json!({"content": "Recuerde su cita a las 9"}));
    assert_eq!(text(&maria.request(change).await.expect(200), "content"), "Recuerde su cita a las 9");

    let_it_be_due(&world, &scheduled).await;
    at_maria.find(|f| f["type"] == "scheduled_message.changed" && f["data"]["state"] == "sent").await;
    let [message] = &*ana.history(&conversation).await else { panic!("not one message") };
    assert_eq!(
        (text(message, "content"), &message["sender"]["id"]),
        ("Recuerde su cita a las 9", &json!(maria.id))
    );
    assert!(!message["scheduled_for"].is_null());
    let sent = state(&maria, &scheduled).await;
    assert_eq!((text(&sent, "state"), &sent["message_id"]), ("sent", &message["id"]));
    let pending =
        "SELECT count(*) FROM outbox WHERE kind = 'messages.scheduled_message_due' AND due_at <= now()";
    let database = sql(&world).await;
    eventually("every timer has been handled", async || {
        database.query_one(pending, &[]).await.expect("a count").get::<_, i64>(0) == 0
    })
    .await;
    assert_eq!(ana.history(&conversation).await.len(), 1);
    maria.delete(&path).await.problem(409, "scheduled_message_settled");
    let change = Request::new(Method::PATCH, path).json(&json!({"content": "No"}));
    maria.request(change).await.problem(409, "scheduled_message_settled");
}

#[tokio::test]
async fn what_may_no_longer_be_sent_is_refused_and_said_so() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let group = maria.open_group("Equipo", &[&carlos, &ana]).await;
    let mut at_ana = ana.connect().await;
    let of_ana = schedule(&ana, &group, "Hasta luego", later(3600)).await;
    maria.delete(&format!("/conversations/{group}/participants/{}", ana.id)).await.expect(204);
    let_it_be_due(&world, &of_ana).await;
    at_ana.find(|f| f["type"] == "scheduled_message.changed" && f["data"]["state"] == "refused").await;
    let refused = state(&ana, &of_ana).await;
    assert_eq!((text(&refused, "state"), text(&refused, "reason")), ("refused", "not_found"));
    let direct = carlos.open_direct(&maria.id).await;
    let of_carlos = schedule(&carlos, &direct, "Hola", later(3600)).await;
    maria.post(&format!("/blocks/{}", carlos.id), &json!({})).await.expect(201);
    let_it_be_due(&world, &of_carlos).await;
    eventually("it is refused", async || text(&state(&carlos, &of_carlos).await, "state") == "refused").await;
    assert_eq!(text(&state(&carlos, &of_carlos).await, "reason"), "direct_chat_blocked");
    assert!(maria.history(&group).await.is_empty() && maria.history(&direct).await.is_empty());
}

#[tokio::test]
async fn it_can_be_asked_for_twice_and_only_for_a_time_to_come() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let body = json!({"content": "Hola", "scheduled_for": later(3600), "client_message_id": "s-1"});
    let first = ana.post(&path, &body).await.expect(202);
    assert_eq!(ana.post(&path, &body).await.expect(200), first);
    let other = json!({"content": "Adiós", "scheduled_for": later(3600), "client_message_id": "s-1"});
    ana.post(&path, &other).await.problem(409, "client_message_id_reused");
    for at in [later(-5), later(400 * 86_400)] {
        let bad = json!({"content": "Hola", "scheduled_for": at});
        ana.post(&path, &bad).await.problem(422, "validation_failed");
    }
    let one = format!("/messages/scheduled/{}", text(&first, "id"));
    ana.delete(&one).await.expect(204);
    ana.delete(&one).await.expect(204);
    assert_eq!(text(&state(&ana, &first).await, "state"), "cancelled");
    let_it_be_due(&world, &first).await;
    let stored = "SELECT draft FROM scheduled_messages LIMIT 1";
    let draft: Vec<u8> = sql(&world).await.query_one(stored, &[]).await.expect("a row").get(0);
    assert!(!draft.windows(4).any(|window| window == b"Hola"));
    let marker = ana.send(&conversation, "después").await;
    assert_eq!(marker["seq"], 1, "what was cancelled was not sent");
}

#[tokio::test]
async fn of_taking_back_and_sending_one_wins_two_hundred_times() {
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut all = Vec::new();
    let at = later(3600);
    for chunk in 0..10 {
        let some = (0..20).map(|n| {
            let (ana, conversation) = (&ana, &conversation);
            async move { schedule(ana, conversation, &format!("n.º {}", chunk * 20 + n), at).await }
        });
        all.extend(join_all(some).await);
    }
    let database = sql(&world).await;
    let due = "UPDATE scheduled_messages SET due_at = now()";
    let timers = "UPDATE outbox SET due_at = now() WHERE kind = 'messages.scheduled_message_due'";
    database.batch_execute(&format!("{due}; {timers}")).await.expect("valid SQL");
    // The first is sent first, the last taken back first: they meet somewhere between. What is said elsewhere wakes
    // the sending.
    let elsewhere = maria.open_group("Otra", &[&ana]).await;
    maria.send(&elsewhere, "Ya").await;
    eventually("the first is sent", async || text(&state(&ana, &all[0]).await, "state") == "sent").await;
    let mut statuses = Vec::new();
    for some in all.rchunks(5) {
        let some = some
            .iter()
            .rev()
            .map(|it| async { ana.delete(&format!("/messages/scheduled/{}", text(it, "id"))).await.status });
        statuses.extend(join_all(some).await);
    }
    statuses.reverse();
    for (scheduled, status) in all.iter().zip(&statuses) {
        let expected = if *status == 204 { "cancelled" } else { "sent" };
        eventually("it is settled", async || text(&state(&ana, scheduled).await, "state") == expected).await;
    }
    let sent = statuses.iter().filter(|status| **status == 409).count();
    let history = maria.history(&conversation).await;
    assert_eq!(history.len(), sent, "{statuses:?}");
    assert!(sent > 0);
    let mut words: Vec<_> = history.iter().map(|message| text(message, "content").to_owned()).collect();
    words.sort();
    words.dedup();
    assert_eq!(words.len(), sent, "none twice");
}
