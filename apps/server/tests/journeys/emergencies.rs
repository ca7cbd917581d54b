//! Urgent help at any hour: who is paged, who answers, and what happens when nobody does (S0-24, S0-117, S0-208, S1-37).

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::sql;
use crate::{World, list, text, unused_id};

async fn call(patient: &Actor) -> Value {
    patient.post("/emergencies", &json!({})).await.expect(201)
}

async fn set_on_call(admin: &Actor, levels: &[&[&Actor]]) {
    let level = |people: &&[&Actor]| {
        let people: Vec<_> = people.iter().map(|person| json!({"user_id": person.id})).collect();
        json!({"people": people})
    };
    let levels: Vec<_> = levels.iter().map(level).collect();
    admin.put("/admin/on-call", &json!({"levels": levels})).await.expect(200);
}

fn acknowledge(called: &Value) -> String {
    format!("/emergencies/{}/acknowledge", text(&called["emergency"], "id"))
}

async fn mailed(world: &World, to: &str) -> bool {
    let asked = Request::new(Method::GET, format!("//dev/outbox?to={to}"));
    let items = world.anonymous().request(asked).await.expect(200);
    list(&items, "items").iter().any(|item| item["kind"] == "emergency_paged")
}

async fn count(world: &World, query: &str) -> i64 {
    sql(world).await.query_one(query, &[]).await.expect("a row").get(0)
}

#[tokio::test]
async fn whom_nobody_attends_calls_for_help_and_someone_on_call_answers() {
    let world = World::new().await;
    let [admin, luis, carlos, maria] = world.sign_in_all([ADMIN, LUIS, CARLOS, MARIA]).await;
    set_on_call(&admin, &[&[&carlos], &[&maria]]).await;
    // Chats are closed; help is not.
    let never = json!({"time_zone": "Europe/Madrid", "weekly": []});
    admin.put("/admin/chat-hours", &never).await.expect(200);
    let (mut on_call, mut next) = (carlos.connect().await, maria.connect().await);

    let asked = Request::new(Method::POST, "/emergencies")
        .header("Idempotency-Key", "one")
        .header("Accept-Language", "en")
        .json(&json!({"message": "Dolor en el pecho"}));
    let called = luis.request(asked.clone()).await.expect(201);
    let emergency = &called["emergency"];
    assert_eq!((&emergency["status"], &emergency["paged_count"]), (&json!("paged"), &json!(1)));
    assert_eq!((&emergency["paged"], &emergency["level"]), (&json!("on_call"), &json!(1)));
    assert_eq!(called["emergency_number"], "112");
    assert!(text(&called, "disclaimer").contains("call 112 now"));
    assert_eq!(called["conversation"]["type"], "emergency");
    let conversation = text(emergency, "conversation_id").to_owned();
    assert!(!called.to_string().contains(&carlos.id), "a count, not names");

    let paged = on_call.next_event("emergency.paged").await;
    assert_eq!(paged["conversation_id"], conversation.as_str());
    assert_eq!(
        paged["data"],
        json!({"emergency_id": emergency["id"], "conversation_id": conversation, "level": 1})
    );
    assert!(next.settled().await.iter().all(|frame| frame["type"] != "emergency.paged"));
    eventually("a letter", async || mailed(&world, CARLOS).await).await;

    // Repeated, it is the same, and nothing is said twice. Someone on call sees that there is one, and nothing of it.
    assert_eq!(luis.request(asked).await.expect(200)["emergency"]["id"], emergency["id"]);
    let open = carlos.get("/emergencies?status=open").await.expect(200);
    assert_eq!(open["items"], json!([emergency]));
    carlos.get(&format!("/conversations/{conversation}")).await.problem(404, "not_found");
    eventually("what to do is said", async || luis.history(&conversation).await.len() == 2).await;
    let said = luis.history(&conversation).await;
    // Whichever came first.
    let (ours, own): (Vec<_>, Vec<_>) =
        said.iter().partition(|message| message["metadata"]["is_automated"] == true);
    assert_eq!(own[0]["content"], "Dolor en el pecho");
    assert!(text(ours[0], "content").contains("112"));
    assert_eq!(
        (&ours[0]["message_type"], &ours[0]["payload"]["event"]),
        (&json!("system"), &json!("emergency_opened"))
    );

    let mut patient = luis.connect_to(&conversation).await;
    let done = carlos.post(&acknowledge(&called), &json!({})).await.expect(200);
    assert_eq!(done["status"], "acknowledged");
    assert_eq!(patient.next_event("emergency.acknowledged").await["data"]["acknowledged_by"], carlos.id);
    on_call.next_event("emergency.acknowledged").await;
    // He is in it, moderates, and reads what was said before he came.
    let seen = carlos.conversation(&conversation).await;
    let own = list(&seen, "participants").iter().find(|person| person["user_id"] == carlos.id.as_str());
    assert_eq!(own.expect("he is in it")["role"], "moderator");
    assert_eq!(carlos.history(&conversation).await.len(), 2);
    carlos.send(&conversation, "¿Puede respirar?").await;
    luis.send(&conversation, "Sí").await;
    assert_eq!(carlos.post(&acknowledge(&called), &json!({})).await.expect(200), done);

    let id = text(emergency, "id");
    let resolve = format!("/emergencies/{id}/resolve");
    maria.post(&resolve, &json!({})).await.problem(403, "not_a_moderator");
    assert_eq!(carlos.post(&resolve, &json!({})).await.expect(200)["status"], "resolved");
    assert_eq!(patient.next_event("emergency.resolved").await["data"]["resolved_by"], carlos.id);
    carlos.post(&resolve, &json!({})).await.problem(409, "emergency_over");
    carlos.post(&acknowledge(&called), &json!({})).await.problem(409, "emergency_over");
    let path = format!("/conversations/{conversation}/messages");
    luis.post(&path, &json!({"content": "x"})).await.problem(409, "conversation_closed");
    assert_eq!(carlos.get("/emergencies?status=open").await.expect(200)["items"], json!([]));
    // The next call is another emergency.
    assert_ne!(call(&luis).await["emergency"]["id"], emergency["id"]);

    for action in ["opened", "paged", "acknowledged", "resolved"] {
        let path = format!("/admin/audit?action=emergency.{action}&subject={}", luis.id);
        assert!(!list(&admin.get(&path).await.expect(200), "items").is_empty(), "{action}");
    }
    assert!(!world.logs().contains("Dolor en el pecho"));
}

#[tokio::test]
async fn if_nobody_acknowledges_the_next_are_paged_and_in_the_end_the_administrators() {
    let world = World::with(&[("ALIVIO_EMERGENCY_ACK_SECONDS", "1")]).await;
    let [admin, ana, carlos, maria] = world.sign_in_all([ADMIN, ANA, CARLOS, MARIA]).await;
    set_on_call(&admin, &[&[&carlos], &[&maria]]).await;
    let mut sockets = [carlos.connect().await, maria.connect().await, admin.connect().await];
    let called = call(&ana).await;
    let conversation = text(&called["emergency"], "conversation_id").to_owned();
    for (socket, level) in sockets.iter_mut().zip([1, 2, 100]) {
        assert_eq!(socket.next_event("emergency.paged").await["data"]["level"], level);
    }
    // Once each, and each escalation is said once.
    eventually("it is said", async || ana.history(&conversation).await.len() == 3).await;
    assert!(
        ana.history(&conversation).await.iter().all(|message| message["metadata"]["is_automated"] == true)
    );
    assert_eq!(count(&world, "SELECT count(*) FROM emergency_pages").await, 3);
    let escalated = "SELECT count(*) FROM audit_log WHERE action = 'emergency.escalated'";
    assert_eq!(count(&world, escalated).await, 2);
    let open = admin.get("/emergencies?status=open").await.expect(200);
    assert_eq!(
        (&open["items"][0]["paged"], &open["items"][0]["paged_count"]),
        (&json!("administrators"), &json!(3))
    );
    for to in [CARLOS, MARIA, ADMIN] {
        eventually("a letter", async || mailed(&world, to).await).await;
    }
    // Whoever was paged first can still come.
    carlos.post(&acknowledge(&called), &json!({})).await.expect(200);
}

#[tokio::test]
async fn an_acknowledgement_in_time_ends_the_paging() {
    let world = World::with(&[("ALIVIO_EMERGENCY_ACK_SECONDS", "2")]).await;
    let [admin, ana, carlos, maria] = world.sign_in_all([ADMIN, ANA, CARLOS, MARIA]).await;
    set_on_call(&admin, &[&[&carlos], &[&maria]]).await;
    let called = call(&ana).await;
    carlos.post(&acknowledge(&called), &json!({})).await.expect(200);
    // The timer comes, and changes nothing.
    eventually("the timer has come", async || count(&world, "SELECT count(*) FROM outbox").await == 0).await;
    assert_eq!(count(&world, "SELECT count(*) FROM emergency_pages").await, 1);

    // He may be gone: who calls again later is heard again.
    let again = "UPDATE emergencies SET acknowledged_at = acknowledged_at - interval '1 hour' WHERE id = $1";
    assert_eq!(world.execute(again, text(&called["emergency"], "id")).await, 1);
    let mut socket = carlos.connect().await;
    let answer = ana.post("/emergencies", &json!({})).await.expect(200);
    assert_eq!(
        (&answer["emergency"]["status"], &answer["emergency"]["id"]),
        (&json!("paged"), &called["emergency"]["id"])
    );
    socket.next_event("emergency.paged").await;
}

#[tokio::test]
async fn if_nobody_is_on_call_the_administrators_are_paged_and_the_answer_says_so() {
    let world = World::new().await;
    let [admin, ana, maria, carlos, aisha] = world.sign_in_all([ADMIN, ANA, MARIA, CARLOS, AISHA]).await;
    let mut socket = admin.connect().await;
    let called = call(&ana).await;
    let emergency = &called["emergency"];
    assert_eq!((&emergency["paged"], &emergency["level"]), (&json!("administrators"), &Value::Null));
    socket.next_event("emergency.paged").await;
    // A doctor whom it does not concern sees nothing of it; one who attends her comes.
    assert_eq!(carlos.get("/emergencies").await.expect(200)["items"], json!([]));
    carlos.post(&acknowledge(&called), &json!({})).await.problem(404, "not_found");
    let unknown = format!("/emergencies/{}/acknowledge", unused_id());
    carlos.post(&unknown, &json!({})).await.problem(404, "not_found");
    for actor in [&aisha, &ana] {
        actor.post(&acknowledge(&called), &json!({})).await.problem(403, "forbidden");
        actor.get("/emergencies").await.problem(403, "forbidden");
    }
    maria.post(&acknowledge(&called), &json!({})).await.expect(200);
    admin.post(&acknowledge(&called), &json!({})).await.expect(200);

    // Only active doctors are on call, and nobody twice.
    let level = |people: &[&str]| {
        let people: Vec<_> = people.iter().map(|id| json!({"user_id": id})).collect();
        json!({"levels": [{"people": people}]})
    };
    let nobody = unused_id();
    for people in
        [vec![ana.id.as_str()], vec![&aisha.id], vec![&nobody], vec![&carlos.id, &carlos.id], vec![]]
    {
        admin.put("/admin/on-call", &level(&people)).await.problem(422, "validation_failed");
    }
    let nights = json!({"levels": [{"people": [{"user_id": carlos.id, "shifts": {
        "time_zone": "Europe/Madrid", "weekly": [{"day": "friday", "from": "22:00", "to": "06:00"}]}}]}]});
    let set = admin.put("/admin/on-call", &nights).await.expect(200);
    assert_eq!(set["levels"][0]["people"][0]["shifts"]["weekly"][0]["to"], "06:00");
    assert_eq!(admin.get("/admin/on-call").await.expect(200), set);
}

#[tokio::test]
async fn professionals_call_for_the_patients_they_may_talk_to() {
    let world = World::new().await;
    let [ana, luis, maria, carlos, it] = world.sign_in_all([ANA, LUIS, MARIA, CARLOS, IT]).await;
    let for_ana = json!({"patient_id": ana.id});
    let called = maria.post("/emergencies", &for_ana).await.expect(201);
    assert_eq!(called["emergency"]["patient_id"], ana.id);
    let conversation = text(&called["emergency"], "conversation_id");
    ana.send(conversation, "Gracias").await;
    assert_eq!(
        maria.post("/emergencies", &for_ana).await.expect(200)["emergency"]["id"],
        called["emergency"]["id"]
    );
    for actor in [&luis, &carlos, &it] {
        actor.post("/emergencies", &for_ana).await.problem(403, "conversation_not_allowed");
    }
    let unknown = json!({"patient_id": unused_id()});
    maria.post("/emergencies", &unknown).await.problem(403, "conversation_not_allowed");
    maria.post("/emergencies", &json!({})).await.problem(422, "validation_failed");
    luis.post("/emergencies", &json!({"message": ""})).await.problem(422, "validation_failed");
    assert_eq!(count(&world, "SELECT count(*) FROM emergencies").await, 1);
    // The documented path is the same.
    let documented = Request::new(Method::POST, "//api/chat/emergency/").json(&json!({}));
    luis.request(documented).await.expect(201);
}

#[tokio::test]
async fn of_two_hundred_calls_at_once_one_opens_an_emergency() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let for_ana = json!({"patient_id": ana.id});
    let calls = (0..200).map(|n| {
        let (caller, body) = if n % 2 == 0 { (&ana, json!({})) } else { (&maria, for_ana.clone()) };
        async move { caller.post("/emergencies", &body).await }
    });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    let mut ids: Vec<_> = answers.iter().map(|answer| text(&answer.json["emergency"], "id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(count(&world, "SELECT count(*) FROM conversations WHERE kind = 'emergency'").await, 1);
    assert_eq!(count(&world, "SELECT count(*) FROM audit_log WHERE action = 'emergency.opened'").await, 1);
}

#[tokio::test]
async fn an_emergency_is_called_and_never_just_opened() {
    let world = World::new().await;
    let [ana, maria, admin] = world.sign_in_all([ANA, MARIA, ADMIN]).await;
    for (caller, other) in [(&ana, &maria), (&maria, &ana), (&admin, &ana)] {
        let asked = json!({"type": "emergency", "participants": [other.id]});
        let refused = caller.post("/conversations", &asked).await.problem(422, "emergency_is_called");
        assert_eq!(refused["details"]["emergency_channel"], "/api/v1/emergencies");
        assert_eq!(caller.get("/conversations").await.expect(200)["items"], json!([]));
    }
}
