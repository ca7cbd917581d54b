//! Reporting messages and judging them: only what is in question is shown, and every look is recorded (S0-23, S0-111,
//! S0-235, AZ-09).

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ADMIN, ANA, CARLOS, IT, LUIS, MARIA};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::sql;
use crate::{World, list, seqs, text, unused_id};

const WORDS: &str = "Me insulta desde ayer";

async fn report(actor: &Actor, message: &Value) -> Value {
    let asked = json!({"reason": "harassment", "comment": WORDS});
    actor.post(&format!("/messages/{}/reports", text(message, "id")), &asked).await.expect(201)
}

async fn step(admin: &Actor, id: &str, body: Value) -> Answer {
    admin.request(Request::new(Method::PATCH, format!("/moderation/reports/{id}")).json(&body)).await
}

#[tokio::test]
async fn a_reported_message_is_judged_with_five_before_and_after() {
    let world = World::new().await;
    let [ana, maria, admin] = world.sign_in_all([ANA, MARIA, ADMIN]).await;
    let conversation = maria.open_direct(&ana.id).await;
    let mut sent = Vec::new();
    for n in 1..=14 {
        sent.push(maria.send(&conversation, &format!("Mensaje {n}")).await);
    }
    let reported = report(&ana, &sent[7]).await;
    assert_eq!((&reported["status"], &reported["comment"]), (&json!("open"), &json!(WORDS)));
    // Again, with other words: what was said first stands.
    let path = format!("/messages/{}/reports", text(&sent[7], "id"));
    let again = ana.post(&path, &json!({"reason": "other"})).await.expect(200);
    assert_eq!(again, reported);

    let page = admin.get("/moderation/reports?status=open&kind=report").await.expect(200);
    let [item] = list(&page, "items") else { panic!("not one item: {page}") };
    assert_eq!((&item["reporter_id"], &item["sender_id"]), (&json!(ana.id), &json!(maria.id)));
    assert!(!page.to_string().contains(WORDS) && !page.to_string().contains("Mensaje"), "no words: {page}");

    let id = text(&reported, "id");
    let case = admin.get(&format!("/moderation/reports/{id}")).await.expect(200);
    assert_eq!(seqs(list(&case, "messages")), (3..=13).collect::<Vec<_>>());
    assert_eq!(case["comment"], WORDS);
    assert_eq!(case["messages"][5]["content"], "Mensaje 8");
    // The rest of the conversation stays closed, and the words are sealed where they rest.
    admin.get(&format!("/conversations/{conversation}/messages")).await.problem(404, "not_found");
    let stored = sql(&world).await.query("SELECT comment FROM message_reports", &[]).await.unwrap();
    let comment: Vec<u8> = stored[0].get(0);
    assert!(!comment.windows(7).any(|bytes| bytes == b"insulta"));

    // Whoever said it finds each look in their log.
    admin.get(&format!("/moderation/reports/{id}")).await.expect(200);
    let log = maria.get("/me/access-log").await.expect(200);
    let looks = list(&log, "items").iter().filter(|entry| entry["action"] == "moderation.viewed");
    assert!(looks.clone().all(|look| look["actor_id"] == admin.id && look["object_id"] == sent[7]["id"]));
    assert_eq!(looks.count(), 2);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_shown() {
    let world = World::new().await;
    let [ana, maria, admin] = world.sign_in_all([ANA, MARIA, ADMIN]).await;
    let conversation = maria.open_direct(&ana.id).await;
    let reported = report(&ana, &maria.send(&conversation, "Mensaje").await).await;
    let path = format!("/moderation/reports/{}", text(&reported, "id"));
    admin.get(&path).await.expect(200);
    let refuse =
        "ALTER TABLE audit_log ADD CONSTRAINT full_up CHECK (action <> 'moderation.viewed') NOT VALID";
    sql(&world).await.batch_execute(refuse).await.unwrap();
    let refused = admin.get(&path).await;
    assert!(!refused.text.contains("Mensaje"));
    refused.problem(503, "unavailable");
}

#[tokio::test]
async fn a_removed_message_is_gone_for_everyone() {
    let world = World::new().await;
    let [ana, maria, admin] = world.sign_in_all([ANA, MARIA, ADMIN]).await;
    let conversation = maria.open_direct(&ana.id).await;
    let message = maria.send(&conversation, "Mensaje").await;
    let id = text(&report(&ana, &message).await, "id").to_owned();
    let mut socket = ana.connect().await;
    socket.subscribe(&[&conversation]).await;

    let resolved =
        json!({"status": "resolved", "resolution": "message_removed", "note": "Insulto", "version": 1});
    // One thing after the other, and nobody over another's head.
    step(&admin, &id, resolved.clone()).await.problem(409, "report_transition_not_allowed");
    let taken = step(&admin, &id, json!({"status": "in_review", "version": 1})).await.expect(200);
    assert_eq!((&taken["status"], &taken["version"]), (&json!("in_review"), &json!(2)));
    step(&admin, &id, resolved.clone()).await.problem(409, "stale");
    for bad in [
        json!({"status": "resolved", "version": 2}),
        json!({"status": "dismissed", "resolution": "none", "version": 2}),
        json!({"status": "open", "version": 2}),
    ] {
        step(&admin, &id, bad).await.problem(422, "validation_failed");
    }
    let resolved =
        json!({"version": 2, "status": "resolved", "resolution": "message_removed", "note": "Insulto"});
    let done = step(&admin, &id, resolved).await.expect(200);
    assert_eq!((&done["resolution"], &done["decided_by"]), (&json!("message_removed"), &json!(admin.id)));

    let told = socket.next_event("message.deleted").await;
    assert_eq!(
        (&told["data"]["id"], &told["data"]["deleted_by"], &told["actor"]),
        (&message["id"], &json!("moderator"), &json!(admin.id))
    );
    for actor in [&ana, &maria] {
        let [gone] = &actor.log(&conversation).await[..] else { panic!("the place stays") };
        assert_eq!((&gone["content"], &gone["formatted_content"]), (&Value::Null, &Value::Null));
    }
    let case = admin.get(&format!("/moderation/reports/{id}")).await.expect(200);
    assert_eq!(case["note"], "Insulto");
    let noted = "SELECT count(*) FROM changes WHERE kind = 'message.deleted'";
    assert_eq!(sql(&world).await.query_one(noted, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn of_many_who_decide_at_once_one_does() {
    let world = World::new().await;
    let [ana, maria, admin] = world.sign_in_all([ANA, MARIA, ADMIN]).await;
    let conversation = maria.open_direct(&ana.id).await;
    let message = maria.send(&conversation, "Mensaje").await;
    let path = format!("/messages/{}/reports", text(&message, "id"));
    let answers =
        join_all((0..20).map(|_| async { ana.post(&path, &json!({"reason": "spam"})).await })).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.json == answers[0].json));

    let id = text(&answers[0].json, "id").to_owned();
    let taken = json!({"status": "in_review", "version": 1});
    let steps = join_all((0..10).map(|_| step(&admin, &id, taken.clone()))).await;
    assert_eq!(steps.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in steps.into_iter().filter(|answer| answer.status != 200) {
        answer.any_problem(409);
    }
}

#[tokio::test]
async fn nobody_judges_their_own_matter_and_nobody_reports_what_they_cannot_read() {
    let world = World::new().await;
    let [it, carlos] = world.sign_in_all([IT, CARLOS]).await;
    let promote = Request::new(Method::PATCH, format!("/admin/users/{}", carlos.id));
    it.request(promote.json(&json!({"role": "medical_admin"}))).await.expect(200);
    let [carlos, ana, maria, luis, admin] = world.sign_in_all([CARLOS, ANA, MARIA, LUIS, ADMIN]).await;
    let conversation = maria.open_group("Guardia", &[&carlos, &ana]).await;
    let said = carlos.send(&conversation, "Mensaje").await;
    let other = maria.send(&conversation, "Otro").await;
    // One about what Carlos said, one that he made.
    let about = report(&maria, &said).await;
    let by = report(&carlos, &other).await;
    assert_eq!(list(&carlos.get("/moderation/reports").await.expect(200), "items").len(), 0);
    for own in [&about, &by] {
        let path = format!("/moderation/reports/{}", text(own, "id"));
        let problem = carlos.get(&path).await.problem(403, "forbidden");
        assert_eq!(problem["details"]["reason"], "involved");
        step(&carlos, text(own, "id"), json!({"status": "in_review", "version": 1}))
            .await
            .problem(403, "forbidden");
    }
    let both = admin.get("/moderation/reports?page_size=1").await.expect(200);
    assert_eq!(list(&both, "items")[0]["id"], by["id"]);
    let next = format!("/moderation/reports?page_size=1&cursor={}", text(&both, "next_cursor"));
    let last = admin.get(&next).await.expect(200);
    assert_eq!((&list(&last, "items")[0]["id"], &last["next_cursor"]), (&about["id"], &Value::Null));

    let reports = |id: &str| format!("/messages/{id}/reports");
    let asked = json!({"reason": "spam"});
    luis.post(&reports(text(&said, "id")), &asked).await.problem(404, "not_found");
    ana.post(&reports(&unused_id()), &asked).await.problem(404, "not_found");
    carlos.post(&reports(text(&said, "id")), &asked).await.problem(403, "forbidden");
    ana.post(&reports(text(&said, "id")), &json!({"reason": "fun"})).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn the_documented_path_reports_the_same() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = maria.open_direct(&ana.id).await;
    let message = maria.send(&conversation, "Mensaje").await;
    let asked = json!({"message_id": message["id"], "reason": "inappropriate", "description": WORDS});
    let documented = || Request::new(Method::POST, "//api/chat/report-message/").json(&asked);
    let first = ana.request(documented()).await.expect(201);
    assert_eq!((&first["message_id"], &first["status"]), (&message["id"], &json!("open")));
    assert_eq!(ana.request(documented()).await.expect(200), first);
    maria.request(documented()).await.problem(403, "forbidden");
}

/// Nobody says by an edit, unseen, what they would be flagged for by sending it.
#[tokio::test]
async fn an_edit_is_flagged_as_a_message_is() {
    let world = World::new().await;
    let [maria, carlos, admin] = world.sign_in_all([MARIA, CARLOS, ADMIN]).await;
    let asked = json!({"type": "group", "purpose": "team", "participants": [carlos.id]});
    let group = text(&maria.post("/conversations", &asked).await.expect(201), "id").to_owned();
    let sent = maria.send(&group, "Le llamo luego").await;
    let edit = async |content: &str| {
        let path = format!("/messages/{}", text(&sent, "id"));
        maria.request(Request::new(Method::PATCH, path).json(&json!({"content": content}))).await.expect(200)
    };
    let flags = async || admin.get("/moderation/reports?kind=flag").await.expect(200)["items"].clone();
    assert_eq!(flags().await, json!([]));
    edit("Le llamo al 612345678").await;
    edit("Le llamo luego al 612345678").await;
    let flagged = flags().await;
    let [flag] = &flagged.as_array().expect("items")[..] else { panic!("not one: {flagged}") };
    assert_eq!((&flag["message_id"], &flag["sender_id"]), (&sent["id"], &json!(maria.id)));
    let case = admin.get(&format!("/moderation/reports/{}", text(flag, "id"))).await.expect(200);
    assert_eq!(case["messages"][0]["content"], "Le llamo luego al 612345678");
}
