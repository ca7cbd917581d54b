//! When patients may write: chat hours of the clinic and of professionals (S0-114, S0-169, S0-207, C-19).
//!
//! The server's clock is that of the machine, so hours are set that are open or closed now whatever the hour is.

use alivio_kernel::{Clock, SystemClock};
use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, ANA, CARLOS, LUIS, MARIA, eventually};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{World, list, text};

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

fn hours(from: &str, to: &str, outside: &str) -> Value {
    let weekly: Vec<_> = DAYS.iter().map(|day| json!({"day": day, "from": from, "to": to})).collect();
    json!({"time_zone": "Europe/Madrid", "weekly": weekly, "outside_hours": outside})
}

fn always() -> Value {
    hours("00:00", "24:00", "reject")
}

/// Closed now, and for some hours, by the wall of Madrid; with the `HH:MM` at which it opens.
fn closed_now(outside: &str) -> (Value, String) {
    // Madrid is one or two hours ahead of UTC: what opens five hours after the hour in UTC opens in three to five.
    let opens = SystemClock.now() + TimeDelta::hours(5);
    let from = format!("{:02}:00", opens.hour());
    let to = format!("{:02}:59", opens.hour());
    (hours(&from, &to, outside), from)
}

async fn try_send(actor: &Actor, conversation: &str, body: &Value) -> alivio_testkit::actor::Answer {
    actor.post(&format!("/conversations/{conversation}/messages"), body).await
}

#[tokio::test]
async fn a_patient_is_refused_outside_hours_and_told_when_it_opens() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let stored =
        try_send(&ana, &conversation, &json!({"content": "A tiempo", "client_message_id": "c1"})).await;
    let stored = stored.expect(201);

    let (closed, opens) = closed_now("reject");
    let set = maria.put("/me/chat-hours", &closed).await.expect(200);
    assert_eq!((&set["is_open_now"], &set["is_default"]), (&json!(false), &json!(false)));
    let problem = try_send(&ana, &conversation, &json!({"content": "¿Está?"})).await;
    let problem = problem.problem(400, "outside_chat_hours");
    let details = &problem["details"];
    assert_eq!(details["allowed_hours"], format!("{opens}-{}:59", &opens[..2]));
    assert_eq!(details["time_zone"], "Europe/Madrid");
    assert_eq!(details["emergency_channel"], "/api/v1/emergencies");
    assert_eq!(text(details, "current_time").len(), 5);
    assert_eq!(details["next_open_at"], set["next_open_at"]);
    let next: DateTime<Utc> = text(details, "next_open_at").parse().expect("an instant");
    assert!(next > SystemClock.now() && next < SystemClock.now() + TimeDelta::hours(26));
    assert!(text(&problem, "message").contains("cerrado"));

    // The document that says so names the way to help by its own path.
    let documented = Request::new(Method::POST, format!("//api/chat/conversations/{conversation}/messages"));
    let problem = ana.request(documented.json(&json!({"content": "¿Está?"}))).await;
    let problem = problem.problem(400, "outside_chat_hours");
    assert_eq!(problem["details"]["emergency_channel"], "/api/chat/emergency/");

    // By the socket it is no different.
    let mut socket = ana.connect().await;
    let sent = socket
        .command(json!({"type": "message.send", "conversation_id": conversation, "content": "x", "client_message_id": "s"}))
        .await;
    assert_eq!(socket.answer(&sent).await.unwrap_err()["error"], "outside_chat_hours");

    // What was stored in time is answered again; under its name nothing else is.
    let again =
        try_send(&ana, &conversation, &json!({"content": "A tiempo", "client_message_id": "c1"})).await;
    assert_eq!(again.expect(200)["id"], stored["id"]);
    let other = try_send(&ana, &conversation, &json!({"content": "Otra", "client_message_id": "c1"})).await;
    other.problem(409, "client_message_id_reused");
    assert_eq!(ana.history(&conversation).await.len(), 1, "nothing was stored");

    // Professionals write at any hour, to patients and among themselves.
    maria.send(&conversation, "Mañana hablamos").await;
    let team = maria.open_direct(&carlos.id).await;
    carlos.send(&team, "¿Cenamos?").await;

    // Her own hours go, the clinic's hold again: those of this server are always.
    maria.delete("/me/chat-hours").await.expect(204);
    ana.send(&conversation, "Buenos días").await;
}

#[tokio::test]
async fn the_hours_of_the_clinic_hold_for_those_who_have_none() {
    let world = World::new().await;
    let [admin, ana, maria, luis] = world.sign_in_all([ADMIN, ANA, MARIA, LUIS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    assert_eq!(admin.get("/admin/chat-hours").await.expect(200)["is_default"], true);
    let (mut closed, _) = closed_now("reject");
    admin.put("/admin/chat-hours", &closed).await.expect(200);
    try_send(&ana, &conversation, &json!({"content": "x"})).await.problem(400, "outside_chat_hours");
    let stated = ana.get(&format!("/users/{}/chat-hours", maria.id)).await.expect(200);
    assert_eq!((&stated["is_open_now"], &stated["is_default"]), (&json!(false), &json!(true)));
    let stands = format!("/conversations/{conversation}/availability");
    assert_eq!(ana.get(&stands).await.expect(200)["is_open"], false);
    // A stranger learns nothing of either.
    luis.get(&format!("/users/{}/chat-hours", maria.id)).await.problem(404, "not_found");
    luis.get(&stands).await.problem(404, "not_found");
    // Of a patient there are none.
    maria.get(&format!("/users/{}/chat-hours", ana.id)).await.problem(404, "not_found");

    // Her own come first.
    maria.put("/me/chat-hours", &always()).await.expect(200);
    ana.send(&conversation, "¿Está?").await;
    assert_eq!(ana.get(&stands).await.expect(200)["is_open"], true);

    // A holiday closes what is always open: whichever date it is there.
    let mut holiday = always();
    let near = |days| (SystemClock.now() + TimeDelta::days(days)).date_naive();
    holiday["closed_dates"] = json!([near(0), near(1)]);
    maria.put("/me/chat-hours", &holiday).await.expect(200);
    try_send(&ana, &conversation, &json!({"content": "x"})).await.problem(400, "outside_chat_hours");

    // An audit entry each, and no hours for those whom patients do not write to.
    let trail = admin.get("/admin/audit?action=chat_hours.changed").await.expect(200);
    assert_eq!(list(&trail, "items").len(), 3);
    ana.put("/me/chat-hours", &always()).await.problem(403, "forbidden");
    maria.put("/admin/chat-hours", &always()).await.problem(403, "forbidden");
    closed["weekly"] = json!([{"day": "monday", "from": "10:00", "to": "10:00"}]);
    for (field, wrong) in [
        ("time_zone", json!("Mars/Olympus")),
        ("outside_hours", json!("shout")),
        ("weekly", closed["weekly"].clone()),
    ] {
        let mut body = always();
        body[field] = wrong;
        maria.put("/me/chat-hours", &body).await.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn who_takes_messages_at_night_gets_them_quietly() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    maria.put("/me/chat-hours", &closed_now("accept_silently").0).await.expect(200);
    ana.send(&conversation, "Para mañana").await;
    assert_eq!(maria.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn a_machine_answers_once_in_a_closed_period_and_says_that_it_is_one() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let (closed, opens) = closed_now("auto_reply");
    maria.put("/me/chat-hours", &closed).await.expect(200);
    let mut socket = ana.connect_to(&conversation).await;
    ana.send(&conversation, "¿Está?").await;
    assert_eq!(socket.next_event("message.created").await["data"]["metadata"]["is_automated"], false);
    let reply = socket.next_event("message.created").await["data"].clone();
    assert_eq!(
        (&reply["metadata"]["is_automated"], &reply["sender"]["id"]),
        (&json!(true), &json!(maria.id))
    );
    assert_eq!(
        (&reply["message_type"], &reply["payload"]["event"]),
        (&json!("system"), &json!("written_outside_hours"))
    );
    assert!(text(&reply, "content").contains(&format!("{opens} (Europe/Madrid)")), "{reply}");
    for n in 0..5 {
        ana.send(&conversation, &format!("¿Y ahora? {n}")).await;
    }
    eventually("all events are handled", async || waiting(&world).await == 0).await;
    let automated = ana.history(&conversation).await;
    assert_eq!(automated.iter().filter(|message| message["metadata"]["is_automated"] == true).count(), 1);
    assert_eq!(automated.len(), 7);
}

/// How many events wait for their reactions.
async fn waiting(world: &World) -> i64 {
    let client = crate::audit::sql(world).await;
    client.query_one("SELECT count(*) FROM outbox", &[]).await.expect("a row").get(0)
}
