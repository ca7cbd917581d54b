//! What people say of themselves, their pictures, and how credentials come to be verified.

use std::io::Cursor;

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA, eventually};
use futures_util::future::join_all;
use image::{DynamicImage, ImageFormat, RgbImage};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::{World, list, text, unused_id};

async fn patch(actor: &Actor, path: &str, body: Value) -> Answer {
    actor.request(Request::new(Method::PATCH, path).json(&body)).await
}

fn full() -> Value {
    json!({
        "full_name": "María Martínez de la Vega", "display_name": "Dra. Martínez", "language": "en",
        "phone": "+34 600 12 34 56", "professional_title": "Jefa de cardiología", "specialty": "Cardiología",
        "institution": "Clínica Alivio", "bio": "Veinte años\ncon corazones.", "listed": true,
        "license_number": "cmp-12345",
    })
}

#[tokio::test]
async fn a_professional_replaces_and_changes_their_profile() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    maria.send(&conversation, "Hola").await;
    assert_eq!(
        ana.page(&conversation, "").await["items"][0]["sender"]["display_name"],
        "Dra. María Martínez"
    );

    let changed = maria.put("/me/profile", &full()).await.expect(200);
    for (field, value) in full().as_object().expect("an object") {
        let expected = match field.as_str() {
            "phone" => json!("+34600123456"),
            "license_number" => json!("CMP-12345"),
            _ => value.clone(),
        };
        assert_eq!(changed[field], expected, "{field}");
    }
    assert_eq!(
        (&changed["credential_status"], &changed["is_verified"]),
        (&json!("unverified"), &json!(false))
    );
    assert_eq!(maria.get("/me/profile").await.expect(200), changed);
    let me = maria.get("/auth/me").await.expect(200);
    assert_eq!((&me["full_name"], &me["language"]), (&changed["full_name"], &json!("en")));
    assert_eq!(me["professional_title"], "Jefa de cardiología");
    let card = ana.get(&format!("/users/{}", maria.id)).await.expect(200);
    assert_eq!((&card["full_name"], &card["bio"]), (&changed["full_name"], &changed["bio"]));
    assert!(card.get("license_number").is_none() && card.get("phone").is_none());
    // What she said carries her new name at once, not when a cache has run out.
    eventually("the new name shows beside what she said", async || {
        ana.page(&conversation, "").await["items"][0]["sender"]["display_name"] == "Dra. Martínez"
    })
    .await;

    let path = format!("/users/{}", maria.id);
    let one = patch(&maria, &path, json!({"specialty": "Pediatría", "phone": null})).await.expect(200);
    assert_eq!((&one["specialty"], &one["phone"]), (&json!("Pediatría"), &Value::Null));
    assert_eq!((&one["bio"], &one["full_name"]), (&changed["bio"], &changed["full_name"]));
    assert_eq!(ana.get("/users?q=vega+pediatria").await.expect(200)["items"][0]["id"], maria.id);

    let least = json!({"full_name": "María", "display_name": "María", "language": "es"});
    let least = maria.put("/me/profile", &least).await.expect(200);
    for field in ["professional_title", "specialty", "institution", "bio", "license_number", "phone"] {
        assert_eq!(least[field], Value::Null, "{field}");
    }
    assert_eq!(least["listed"], true);
}

/// AZ-05, IN-04: what nobody may say of themselves, and names that pass for others.
#[tokio::test]
async fn a_profile_takes_no_other_fields_and_no_deceptive_names() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let before = maria.get("/me/profile").await.expect(200);
    let path = format!("/users/{}", maria.id);
    for field in [
        "role",
        "is_verified",
        "credential_status",
        "is_active",
        "email",
        "id",
        "created_at",
        "scopes",
        "avatar_url",
        "is_superuser",
    ] {
        let problem = patch(&maria, &path, json!({"bio": "x", field: "x"})).await;
        assert_eq!(problem.problem(422, "validation_failed")["details"]["rule"], "unknown_field", "{field}");
        let mut body = full();
        body[field] = json!("x");
        maria.put("/me/profile", &body).await.problem(422, "validation_failed");
    }
    for (field, bad) in [
        ("full_name", "Mar\u{202e}aíra"),
        ("display_name", "Dra.\u{200b} Ruiz"),
        ("display_name", "  "),
        ("full_name", "..."),
        ("full_name", &"x".repeat(121)),
        ("language", "fr"),
        ("phone", "teléfono"),
        ("specialty", "Cardio\u{2066}logía"),
        ("bio", "a\0b"),
        ("license_number", "<script>"),
        ("professional_title", ""),
    ] {
        let problem = patch(&maria, &path, json!({field: bad})).await.problem(422, "validation_failed");
        assert_eq!(problem["details"]["field"], field, "{bad:?}");
        assert!(bad.trim().len() < 3 || !problem.to_string().contains(bad));
    }
    assert_eq!(maria.get("/me/profile").await.expect(200), before);

    // A patient has names and a telephone, and nothing to publish.
    let own = format!("/users/{}", ana.id);
    for body in [json!({"specialty": "x"}), json!({"listed": true}), json!({"license_number": "ABC-123"})] {
        patch(&ana, &own, body).await.problem(422, "validation_failed");
    }
    let asked =
        json!({"full_name": "Ana L. García", "display_name": "Ana", "language": "es", "phone": "600123456"});
    let changed = ana.put("/me/profile", &asked).await.expect(200);
    assert_eq!((&changed["phone"], &changed["listed"]), (&json!("600123456"), &Value::Null));
    assert_eq!(ana.get("/auth/me").await.expect(200)["display_name"], "Ana");
    ana.put("/me/profile", &json!({"full_name": "Ana"})).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn profiles_of_others_are_changed_by_those_who_manage_professionals() {
    let world = World::new().await;
    let [maria, ana, carlos, luis, admin, it] =
        world.sign_in_all([MARIA, ANA, CARLOS, LUIS, ADMIN, IT]).await;
    let (users, professionals) = ("/users/", "/admin/medical-professionals/");
    let change = json!({"specialty": "Cirugía"});
    let of = |base: &str, who: &Actor| format!("{base}{}", who.id);

    // Whom they see: forbidden. Whom they do not: nobody there.
    let seen = patch(&carlos, &of(users, &maria), change.clone()).await.problem(403, "forbidden");
    assert_eq!(seen["details"], json!({"reason": "missing_scope", "required_scope": "professionals:manage"}));
    patch(&luis, &of(users, &maria), change.clone()).await.problem(404, "not_found");
    patch(&carlos, &of(professionals, &maria), change.clone()).await.problem(403, "forbidden");
    patch(&ana, &of(professionals, &ana), change.clone()).await.problem(403, "forbidden");

    let changed = patch(&admin, &of(users, &maria), change.clone()).await.expect(200);
    assert_eq!(changed["specialty"], "Cirugía");
    let asked = json!({"full_name": "María M. García", "license_number": "CMP-1", "institution": "Otra"});
    let changed = patch(&it, &of(professionals, &maria), asked).await.expect(200);
    assert_eq!((&changed["license_number"], &changed["institution"]), (&json!("CMP-1"), &json!("Otra")));
    assert_eq!(maria.get("/auth/me").await.expect(200)["full_name"], "María M. García");
    assert_eq!(patch(&it, &of(users, &admin), change.clone()).await.expect(200)["specialty"], "Cirugía");

    // Patients and IT are not theirs to manage; a telephone is nobody's but one's own.
    for nobody in
        [of(users, &ana), of(professionals, &ana), of(users, &it), format!("{users}{}", unused_id())]
    {
        patch(&admin, &nobody, change.clone()).await.problem(404, "not_found");
    }
    patch(&admin, &of(users, &maria), json!({"phone": "600123456"})).await.problem(422, "validation_failed");
    patch(&admin, &of(professionals, &maria), json!({"is_active": false}))
        .await
        .problem(422, "validation_failed");

    maria.put("/me/profile", &full()).await.expect(200);
    let page = admin.get("/admin/medical-professionals?q=vega").await.expect(200);
    let row = &page["items"][0];
    assert_eq!((&row["license_number"], &row["phone"]), (&json!("CMP-12345"), &Value::Null));
    assert_eq!((&row["email"], &row["credential_status"]), (&json!(MARIA), &json!("unverified")));
    for actor in [&maria, &ana] {
        actor.get("/admin/medical-professionals").await.problem(403, "forbidden");
    }
    for query in ["role=x", "credential_status=x", "is_active=x", "q=", "verified=true"] {
        let answer = admin.get(&format!("/admin/medical-professionals?{query}")).await;
        answer.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn of_many_changes_at_once_none_is_half_done() {
    let world = World::new().await;
    let maria = world.sign_in(MARIA).await;
    let path = format!("/users/{}", maria.id);
    let change = |n: i32| {
        let body = json!({"full_name": format!("María {n}"), "display_name": format!("Dra. {n}"), "specialty": format!("E{n}")});
        patch(&maria, &path, body)
    };
    let answers = join_all((0..12).map(change)).await;
    let done: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(!done.is_empty());
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.clone().problem(409, "stale");
    }
    let now = maria.get("/me/profile").await.expect(200);
    let n = text(&now, "full_name").trim_start_matches("María ").to_owned();
    assert_eq!(now["display_name"], format!("Dra. {n}"));
    assert_eq!(now["specialty"], format!("E{n}"));
    assert!(done.iter().any(|answer| answer.json["full_name"] == now["full_name"]));
    let card = maria.get(&path).await.expect(200);
    assert_eq!((&card["full_name"], &card["specialty"]), (&now["full_name"], &now["specialty"]));
}

// Pictures

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(RgbImage::new(width, height))
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a PNG");
    bytes.into_inner()
}

async fn put_avatar(actor: &Actor, media_type: &str, bytes: &[u8]) -> Answer {
    actor.request(Request::new(Method::PUT, "/me/avatar").raw(media_type, bytes)).await
}

/// `avatar_url` as a path below `/api/v1`.
#[track_caller]
fn avatar_path(value: &Value) -> String {
    text(value, "avatar_url").strip_prefix("/api/v1").expect("a path of ours").to_owned()
}

#[tokio::test]
async fn a_picture_is_seen_by_those_who_see_the_person() {
    let world = World::new().await;
    let [maria, ana, luis] = world.sign_in_all([MARIA, ANA, LUIS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    ana.send(&conversation, "Hola").await;
    assert_eq!(ana.get("/me/profile").await.expect(200)["avatar_url"], Value::Null);

    let first = avatar_path(&put_avatar(&ana, "image/png", &png(600, 300)).await.expect(200));
    let answer = maria.get(&first).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type").as_deref(), Some("image/jpeg"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    let tag = answer.header("etag").expect("a tag");
    let again = Request::new(Method::GET, first.as_str()).header("If-None-Match", &tag);
    assert_eq!(maria.request(again).await.status, 304);
    luis.get(&first).await.problem(404, "not_found");
    world.anonymous().get(&first).await.problem(401, "unauthenticated");

    // Wherever she is shown.
    eventually("her picture shows beside what she said", async || {
        let sender = maria.page(&conversation, "").await["items"][0]["sender"].clone();
        sender["avatar_url"].as_str().is_some_and(|url| url.ends_with(&first))
    })
    .await;
    let shown = maria.conversation(&conversation).await;
    let participant = list(&shown, "participants").iter().find(|p| p["user_id"] == ana.id).expect("Ana");
    assert_eq!(avatar_path(participant), first);
    assert_eq!(avatar_path(&maria.get(&format!("/users/{}", ana.id)).await.expect(200)), first);

    let second = avatar_path(&put_avatar(&ana, "image/png", &png(10, 10)).await.expect(200));
    assert_ne!(second, first);
    assert_ne!(maria.get(&second).await.header("etag"), Some(tag));

    for _ in 0..2 {
        ana.delete("/me/avatar").await.expect(204);
    }
    maria.get(&second).await.problem(404, "not_found");
    assert_eq!(ana.get("/me/profile").await.expect(200)["avatar_url"], Value::Null);
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let good = avatar_path(&put_avatar(&ana, "image/png", &png(10, 10)).await.expect(200));
    for media_type in ["image/svg+xml", "image/gif", "text/html", "application/json", "image/png; x"] {
        put_avatar(&ana, media_type, &png(10, 10)).await.problem(415, "unsupported_image");
    }
    ana.request(Request::new(Method::PUT, "/me/avatar")).await.problem(415, "unsupported_image");
    let whole = png(300, 300);
    for bad in [
        &b""[..],
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        &whole[..whole.len() / 2],
        // Half a megabyte that asks for more than sixteen million pixels.
        &png(5000, 4000),
    ] {
        put_avatar(&ana, "image/png", bad).await.problem(422, "unsupported_image");
    }
    put_avatar(&ana, "image/png", &vec![0; 2 * 1024 * 1024 + 1]).await.problem(413, "payload_too_large");
    put_avatar(&world.anonymous(), "image/png", &whole).await.problem(401, "unauthenticated");
    assert_eq!(avatar_path(&ana.get("/me/profile").await.expect(200)), good);
}

// Credentials

fn submission(number: &str) -> Value {
    json!({"license_number": number, "note": "Colegiada en Madrid."})
}

#[tokio::test]
async fn credentials_are_submitted_decided_and_start_anew_with_another_number() {
    let world = World::new().await;
    let [maria, ana, carlos, admin, it] = world.sign_in_all([MARIA, ANA, CARLOS, ADMIN, IT]).await;
    let decision = format!("/admin/credentials/{}/decision", maria.id);
    let verify = json!({"decision": "verify", "submission_id": unused_id()});
    let about = |verdict: &Value, submitted: &Value| {
        let mut verdict = verdict.clone();
        verdict["submission_id"] = submitted["submission_id"].clone();
        verdict
    };

    assert_eq!(maria.get("/me/credentials").await.expect(200)["status"], "verified");
    admin.post(&decision, &verify).await.problem(409, "nothing_to_decide");
    let submitted = maria.post("/me/credentials", &submission("CMP-1")).await.expect(200);
    assert_eq!((&submitted["status"], &submitted["license_number"]), (&json!("submitted"), &json!("CMP-1")));

    // Who decides: not oneself, not colleagues, not IT, nobody about patients.
    for actor in [&maria, &carlos, &ana, &it] {
        let problem = actor.post(&decision, &verify).await.problem(403, "forbidden");
        assert_eq!(problem["details"]["required_scope"], "credentials:verify");
        actor.get("/admin/credentials").await.problem(403, "forbidden");
    }
    admin.post("/me/credentials", &submission("ADM-1")).await.expect(200);
    let own = format!("/admin/credentials/{}/decision", admin.id);
    let problem = admin.post(&own, &verify).await.problem(403, "forbidden");
    assert_eq!(problem["details"]["reason"], "own_account");
    for nobody in [ana.id.clone(), unused_id()] {
        let path = format!("/admin/credentials/{nobody}/decision");
        admin.post(&path, &verify).await.problem(404, "not_found");
    }
    for bad in [
        json!({"decision": "reject"}),
        json!({"decision": "verify", "reason_code": "expired"}),
        json!({"decision": "reject", "reason_code": "mood"}),
        json!({"decision": "maybe"}),
        json!({"decision": "verify", "status": "verified"}),
    ] {
        admin.post(&decision, &about(&bad, &submitted)).await.problem(422, "validation_failed");
    }
    // Nobody decides about they know not what.
    for bad in [json!({"decision": "verify"}), json!({"decision": "verify", "submission_id": null})] {
        admin.post(&decision, &bad).await.problem(422, "validation_failed");
    }
    for actor in [&ana, &it] {
        actor.post("/me/credentials", &submission("X-123")).await.problem(403, "forbidden");
        actor.get("/me/credentials").await.problem(403, "forbidden");
    }

    let waiting = admin.get("/admin/credentials?status=submitted").await.expect(200);
    let waiting = list(&waiting, "items").iter().find(|c| c["user_id"] == maria.id).expect("María waits");
    assert_eq!(waiting["history"][1]["note"], "Colegiada en Madrid.");
    let submission_id = waiting["submission_id"].clone();

    // She changes her mind between the look and the decision: it does not fall on the other number.
    let submitted = maria.post("/me/credentials", &submission("CMP-2")).await.expect(200);
    let late = json!({"decision": "verify", "submission_id": submission_id});
    admin.post(&decision, &late).await.problem(409, "stale");
    let reject = json!({"decision": "reject", "reason_code": "license_not_found", "note": "No consta."});
    assert_eq!(admin.post(&decision, &about(&reject, &submitted)).await.expect(200)["status"], "rejected");
    admin.post(&decision, &verify).await.problem(409, "nothing_to_decide");
    assert_eq!(
        maria.get("/me/credentials").await.expect(200)["history"][3]["reason_code"],
        "license_not_found"
    );

    let submitted = maria.post("/me/credentials", &submission("CMP-3")).await.expect(200);
    assert_eq!(admin.post(&decision, &about(&verify, &submitted)).await.expect(200)["status"], "verified");
    assert_eq!(ana.get(&format!("/users/{}", maria.id)).await.expect(200)["is_verified"], true);
    assert_eq!(ana.get("/users?verified=true").await.expect(200)["items"][0]["id"], maria.id);
    maria.post("/me/credentials", &submission("cmp-3")).await.problem(409, "already_verified");

    // Another number is not verified by what was said of this one.
    let path = format!("/users/{}", maria.id);
    let changed = patch(&maria, &path, json!({"license_number": "CMP-4"})).await.expect(200);
    assert_eq!(
        (&changed["credential_status"], &changed["is_verified"]),
        (&json!("unverified"), &json!(false))
    );
    let history = maria.get("/me/credentials").await.expect(200);
    let steps: Vec<_> = list(&history, "history").iter().map(|step| text(step, "step")).collect();
    let expected = ["verified", "submitted", "submitted", "rejected", "submitted", "verified", "withdrawn"];
    assert_eq!(steps, expected);

    // All of it is in the audit trail, without a word of content.
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("the database");
    tokio::spawn(connection);
    let sql = "SELECT action, outcome, count(*) FROM audit_log WHERE subject_id::text = $1 GROUP BY 1, 2";
    let rows = client.query(sql, &[&maria.id]).await.expect("the trail");
    let count = |action: &str, outcome: &str| {
        let row = rows.iter().find(|row| row.get::<_, &str>(0) == action && row.get::<_, &str>(1) == outcome);
        row.map_or(0, |row| row.get::<_, i64>(2))
    };
    assert_eq!(count("credentials.submitted", "done"), 3);
    assert_eq!((count("credentials.verified", "done"), count("credentials.rejected", "done")), (1, 1));
    assert_eq!((count("credentials.decided", "denied"), count("profile.changed", "done")), (4, 1));
}

/// The badge says that someone of this name and title, in this institution and role, is what they say.
#[tokio::test]
async fn a_badge_is_not_worn_by_someone_else() {
    let world = World::new().await;
    let [maria, ana, admin, it] = world.sign_in_all([MARIA, ANA, ADMIN, IT]).await;
    let path = format!("/users/{}", maria.id);
    let decision = format!("/admin/credentials/{}/decision", maria.id);
    let badge = async || ana.get(&path).await.expect(200)["is_verified"].clone();
    let waiting = async || maria.get("/me/credentials").await.expect(200)["submission_id"].clone();
    let verify = async |submission: &Value| {
        admin.post(&decision, &json!({"decision": "verify", "submission_id": submission})).await
    };
    assert_eq!(badge().await, true);
    patch(&maria, &path, json!({"bio": "Otra", "display_name": "Dra. M."})).await.expect(200);
    assert_eq!(badge().await, true);
    for change in [
        json!({"full_name": "Gregory House"}),
        json!({"specialty": "Cirugía"}),
        json!({"institution": "Clínica X"}),
        json!({"professional_title": "Surgeon"}),
    ] {
        let changed = patch(&maria, &path, change.clone()).await.expect(200);
        assert_eq!(changed["credential_status"], "submitted", "{change}");
        assert_eq!(badge().await, false, "{change}");
        verify(&waiting().await).await.expect(200);
        assert_eq!(badge().await, true);
    }
    // What someone has looked at must not change before they decide.
    patch(&maria, &path, json!({"full_name": "Una"})).await.expect(200);
    let seen = waiting().await;
    patch(&maria, &path, json!({"full_name": "Otra"})).await.expect(200);
    verify(&seen).await.problem(409, "stale");
    verify(&waiting().await).await.expect(200);

    // Whoever may verify knows what they change; whoever only manages does not.
    patch(&admin, &path, json!({"full_name": "María Martínez"})).await.expect(200);
    assert_eq!(badge().await, true);
    patch(&it, &path, json!({"full_name": "María García"})).await.expect(200);
    assert_eq!(badge().await, false);
    verify(&waiting().await).await.expect(200);
    let last = maria.get("/me/credentials").await.expect(200)["history"].as_array().map(Vec::len);
    assert_eq!(last, Some(1 + 4 * 2 + 3 + 2));

    // Another role is another matter.
    patch(&it, &format!("/admin/users/{}", maria.id), json!({"role": "medical_admin"})).await.expect(200);
    assert_eq!(badge().await, false);
    let maria = world.sign_in(MARIA).await;
    assert_eq!(maria.get("/me/credentials").await.expect(200)["status"], "unverified");

    let listed = async |path: &str, action: &str| {
        admin.get(path).await.expect(200);
        let trail = admin.get(&format!("/admin/audit?action={action}")).await.expect(200);
        assert_eq!(
            (list(&trail, "items").len(), &trail["items"][0]["outcome"]),
            (1, &json!("done")),
            "{action}"
        );
    };
    listed("/admin/credentials", "credentials.listed").await;
    listed("/admin/medical-professionals", "professionals.listed").await;
}

#[tokio::test]
async fn of_many_decisions_at_once_one_stands() {
    let world = World::new().await;
    let [aisha, admin] = world.sign_in_all([AISHA, ADMIN]).await;
    let submitted = aisha.post("/me/credentials", &submission("STU-77")).await.expect(200);
    let submission_id = &submitted["submission_id"];
    let path = format!("/admin/credentials/{}/decision", aisha.id);
    let (verify, reject) = (
        json!({"decision": "verify", "submission_id": submission_id}),
        json!({"decision": "reject", "reason_code": "other", "submission_id": submission_id}),
    );
    let decide = |n: usize| admin.post(&path, if n.is_multiple_of(2) { &verify } else { &reject });
    let answers = join_all((0..10).map(decide)).await;
    let done: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(done.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(
            matches!(answer.json["error"].as_str(), Some("stale" | "nothing_to_decide")),
            "{}",
            answer.text
        );
    }
    let now = aisha.get("/me/credentials").await.expect(200);
    assert_eq!((&now["status"], list(&now, "history").len()), (&done[0].json["status"], 3));
}
