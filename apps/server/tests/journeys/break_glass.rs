//! Reading a conversation in an emergency: for a reason, for an hour, and seen by those concerned (C-59, AZ-08).

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, ANA, CARLOS, IT, LUIS, MARIA, eventually};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::audit::sql;
use crate::{World, list, seqs, text, unused_id};

const REASON: &str = "Paciente ilocalizable tras un aviso";

async fn open(admin: &Actor, conversation: &str) -> Value {
    let asked = json!({"conversation_id": conversation, "reason": REASON});
    admin.post("/admin/break-glass", &asked).await.expect(201)
}

fn messages(grant: &Value) -> String {
    format!("/admin/break-glass/{}/messages", text(grant, "id"))
}

/// Makes Carlos a second administrator of the clinic, and signs him in.
async fn second_admin(world: &World) -> Actor {
    let [it, carlos] = world.sign_in_all([IT, CARLOS]).await;
    let asked =
        alivio_testkit::actor::Request::new(reqwest::Method::PATCH, format!("/admin/users/{}", carlos.id))
            .json(&json!({"role": "medical_admin"}));
    it.request(asked).await.expect(200);
    world.sign_in(CARLOS).await
}

#[tokio::test]
async fn those_concerned_are_told_and_find_it_in_their_log() {
    let world = World::new().await;
    let second = second_admin(&world).await;
    let [admin, ana, maria, luis] = world.sign_in_all([ADMIN, ANA, MARIA, LUIS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    for n in 1..=3 {
        ana.send(&conversation, &format!("Mensaje {n}")).await;
    }
    // Nothing is open before.
    admin.get(&format!("/conversations/{conversation}/messages")).await.problem(404, "not_found");
    let mut sockets = [ana.connect().await, maria.connect().await, second.connect().await];
    let (mut own, mut stranger) = (admin.connect().await, luis.connect().await);

    let grant = open(&admin, &conversation).await;
    assert_eq!((&grant["admin_id"], &grant["conversation_id"]), (&json!(admin.id), &json!(conversation)));
    assert_eq!((&grant["reason"], &grant["is_open"]), (&json!(REASON), &json!(true)));
    for socket in &mut sockets {
        let told = socket.next_event("access.break_glass").await;
        assert_eq!(told["conversation_id"], conversation);
        assert_eq!(told["actor"], admin.id);
        assert_eq!(
            told["data"],
            json!({"conversation_id": conversation, "grant_id": grant["id"], "admin_id": admin.id})
        );
        assert!(!told.to_string().contains(REASON), "ids only");
    }
    for socket in [&mut own, &mut stranger] {
        assert!(socket.settled().await.iter().all(|frame| frame["type"] != "access.break_glass"));
    }

    // Page by page, as any history; nobody's marks move.
    let page = admin.get(&format!("{}?page_size=2", messages(&grant))).await.expect(200);
    assert_eq!(seqs(list(&page, "items")), [3, 2]);
    assert_eq!(page["items"][0]["content"], "Mensaje 3");
    assert_eq!(page["items"][0]["delivery_status"], "sent");
    let next = format!("{}?page_size=2&before={}", messages(&grant), text(&page, "next_cursor"));
    assert_eq!(seqs(list(&admin.get(&next).await.expect(200), "items")), [1]);
    // It reads, and does nothing else.
    let path = format!("/conversations/{conversation}");
    admin.get(&path).await.problem(404, "not_found");
    admin.post(&format!("{path}/messages"), &json!({"content": "x"})).await.problem(404, "not_found");

    for person in [&ana, &maria] {
        let log = person.get("/me/access-log").await.expect(200);
        let seen: Vec<_> = list(&log, "items")
            .iter()
            .filter(|entry| entry["object_id"] == conversation.as_str())
            .map(|entry| {
                assert_eq!(
                    (&entry["actor_id"], &entry["object_kind"]),
                    (&json!(admin.id), &json!("conversation"))
                );
                text(entry, "action")
            })
            .collect();
        let read = "conversation.read_by_break_glass";
        assert_eq!(seen, [read, read, "break_glass.opened"]);
    }
    assert_eq!(list(&luis.get("/me/access-log").await.expect(200), "items").len(), 0);

    // The other administrator sees the grant with its reason, may not read by it, and may end it.
    let seen = second.get("/admin/break-glass").await.expect(200);
    assert_eq!(seen["items"], json!([grant]));
    second.get(&messages(&grant)).await.problem(404, "not_found");
    let path = format!("/admin/break-glass/{}", text(&grant, "id"));
    second.delete(&path).await.expect(204);
    admin.get(&messages(&grant)).await.problem(404, "not_found");
    second.delete(&path).await.problem(404, "not_found");
    let seen = admin.get("/admin/break-glass").await.expect(200);
    assert_eq!(
        (&seen["items"][0]["is_open"], &seen["items"][0]["ended_by"]),
        (&json!(false), &json!(second.id))
    );
    // A new reason, a new grant, and they are told again.
    open(&admin, &conversation).await;
    sockets[0].next_event("access.break_glass").await;
}

/// AZ-08: what someone has written is still there when they have left, and can be read.
#[tokio::test]
async fn those_who_have_left_are_told_too() {
    let world = World::new().await;
    let [admin, ana, maria, carlos] = world.sign_in_all([ADMIN, ANA, MARIA, CARLOS]).await;
    let conversation = maria.open_group("Seguimiento", &[&ana, &carlos]).await;
    ana.send(&conversation, "Esto es mío").await;
    ana.delete(&format!("/conversations/{conversation}/participants/{}", ana.id)).await.expect(204);
    let mut socket = ana.connect().await;
    let grant = open(&admin, &conversation).await;
    assert_eq!(socket.next_event("access.break_glass").await["conversation_id"], conversation);
    admin.get(&messages(&grant)).await.expect(200);
    for person in [&ana, &maria, &carlos] {
        let log = person.get("/me/access-log").await.expect(200);
        let actions: Vec<_> = list(&log, "items").iter().map(|entry| text(entry, "action")).collect();
        assert_eq!(actions, ["conversation.read_by_break_glass", "break_glass.opened"]);
    }
    eventually("a letter to her", async || {
        let asked = Request::new(reqwest::Method::GET, format!("//dev/outbox?to={ANA}"));
        let items = world.anonymous().request(asked).await.expect(200);
        list(&items, "items").iter().any(|item| item["kind"] == "conversation_opened_by_admin")
    })
    .await;

    // An administrator who has left needs a grant again: only those who are in it do not.
    let own = maria.open_group("Dirección", &[&admin]).await;
    admin.delete(&format!("/conversations/{own}/participants/{}", admin.id)).await.expect(204);
    open(&admin, &own).await;
    assert_eq!(list(&admin.get("/admin/break-glass").await.expect(200), "items").len(), 2);
    let listed = "SELECT count(*) FROM audit_log WHERE action = 'break_glass.listed' AND outcome = 'done'";
    assert_eq!(sql(&world).await.query_one(listed, &[]).await.expect("a row").get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_grant_lasts_an_hour_and_is_not_extended() {
    let world = World::new().await;
    let [admin, ana, maria] = world.sign_in_all([ADMIN, ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let asked = json!({"conversation_id": conversation, "reason": REASON});
    let opens = (0..10).map(|_| admin.post("/admin/break-glass", &asked));
    let (made, refused): (Vec<_>, Vec<_>) =
        join_all(opens).await.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1, "one grant at a time");
    for answer in refused {
        answer.problem(409, "break_glass_open");
    }
    let grant = &made[0].json;
    let sql = sql(&world).await;
    let lasts = "SELECT max(expires_at - opened_at) <= interval '60 minutes' FROM break_glass_grants";
    assert!(sql.query_one(lasts, &[]).await.expect("a row").get::<_, bool>(0));
    admin.get(&messages(grant)).await.expect(200);

    // An hour passes.
    let hour = "UPDATE break_glass_grants SET opened_at = opened_at - interval '1 hour',
                expires_at = expires_at - interval '1 hour'";
    sql.batch_execute(hour).await.expect("time passes");
    let read = "SELECT count(*) FROM audit_log WHERE action = 'conversation.read_by_break_glass'";
    let before: i64 = sql.query_one(read, &[]).await.expect("a row").get(0);
    admin.get(&messages(grant)).await.problem(404, "not_found");
    let after: i64 = sql.query_one(read, &[]).await.expect("a row").get(0);
    assert_eq!(before, after, "nothing was read");
    admin.delete(&format!("/admin/break-glass/{}", text(grant, "id"))).await.problem(404, "not_found");
    assert_eq!(admin.get("/admin/break-glass").await.expect(200)["items"][0]["is_open"], false);
    assert_ne!(open(&admin, &conversation).await["id"], grant["id"]);
}

#[tokio::test]
async fn who_may_not_and_what_makes_no_sense_is_refused_and_tells_nobody() {
    let world = World::new().await;
    let second = second_admin(&world).await;
    let [admin, it, ana, maria] = world.sign_in_all([ADMIN, IT, ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let asked = json!({"conversation_id": conversation, "reason": REASON});
    for actor in [&it, &ana, &maria] {
        actor.post("/admin/break-glass", &asked).await.problem(403, "forbidden");
        actor.get("/admin/break-glass").await.problem(403, "forbidden");
    }
    let refused = [
        json!({"conversation_id": conversation}),
        json!({"conversation_id": conversation, "reason": ""}),
        json!({"conversation_id": conversation, "reason": "too short"}),
        json!({"conversation_id": conversation, "reason": "          "}),
        json!({"conversation_id": conversation, "reason": "x".repeat(501)}),
        json!({"conversation_id": conversation, "reason": REASON, "expires_at": "2099-01-01T00:00:00Z"}),
        json!({"conversation_id": conversation, "reason": REASON, "admin_id": second.id}),
        json!({"reason": REASON}),
    ];
    for body in refused {
        admin.post("/admin/break-glass", &body).await.problem(422, "validation_failed");
    }
    let nowhere = json!({"conversation_id": unused_id(), "reason": REASON});
    admin.post("/admin/break-glass", &nowhere).await.problem(404, "not_found");
    admin.get(&format!("/admin/break-glass/{}/messages", unused_id())).await.problem(404, "not_found");
    // One's own conversation needs no glass to break.
    let own = admin.open_group("Dirección", &[&second]).await;
    let asked = json!({"conversation_id": own, "reason": REASON});
    admin.post("/admin/break-glass", &asked).await.problem(409, "already_participant");

    assert_eq!(list(&admin.get("/admin/break-glass").await.expect(200), "items").len(), 0);
    let log = ana.get("/me/access-log").await.expect(200);
    assert_eq!(list(&log, "items").len(), 0, "{log}");
}

#[tokio::test]
async fn someone_who_is_no_longer_an_administrator_reads_nothing() {
    let world = World::new().await;
    let second = second_admin(&world).await;
    let [it, ana, maria] = world.sign_in_all([IT, ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let grant = open(&second, &conversation).await;
    let asked =
        alivio_testkit::actor::Request::new(reqwest::Method::PATCH, format!("/admin/users/{}", second.id))
            .json(&json!({"role": "doctor"}));
    it.request(asked).await.expect(200);
    let carlos = world.sign_in(CARLOS).await;
    carlos.get(&messages(&grant)).await.problem(403, "forbidden");
}

#[tokio::test]
async fn the_reason_rests_sealed() {
    let world = World::new().await;
    let [admin, ana, maria] = world.sign_in_all([ADMIN, ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    open(&admin, &conversation).await;
    let query = "SELECT g::text, encode(reason, 'escape') FROM break_glass_grants g";
    let row = sql(&world).await.query_one(query, &[]).await.expect("a row");
    for column in [0, 1] {
        assert!(!row.get::<_, String>(column).contains("ilocalizable"));
    }
    assert!(!world.logs().contains("ilocalizable"));
}
