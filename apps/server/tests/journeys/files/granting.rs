//! What whoever uploaded a file lets others do, and takes back.

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, ANA, CARLOS, MARIA};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::grants::audited;
use super::{heard, upload};
use crate::credentials::outbox;
use crate::{World, list, text};

fn path(file: &Value, rest: &str) -> String {
    format!("/files/{}{rest}", text(file, "id"))
}

async fn regrant(actor: &Actor, file: &Value, change: &Value) -> alivio_testkit::actor::Answer {
    actor.request(Request::new(Method::PATCH, path(file, "/grants")).json(change)).await
}

/// S0-97, S0-99: what others may do is changed while they look.
#[tokio::test]
async fn what_others_may_do_changes_at_once() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Seguimiento", &[&ana, &carlos]).await;
    let elsewhere = carlos.open_direct(&maria.id).await;
    let file = upload(&maria, &group, "Informe", &[("can_forward", "true")]).await;
    assert_eq!(file["permissions"]["can_print"], true);
    let send = json!({"message_type": "file", "attachments": [file["id"]]});
    let there = format!("/conversations/{elsewhere}/messages");
    carlos.post(&there, &send).await.expect(201);
    let plain = carlos.get(&path(&file, "/content")).await.bytes;

    for stranger in [&ana, &carlos] {
        regrant(stranger, &file, &json!({"can_print": true})).await.problem(403, "not_the_uploader");
    }
    let mut at_carlos = carlos.connect().await;
    let change =
        json!({"can_forward": false, "can_print": false, "watermark_required": true, "max_downloads": 3});
    let changed = regrant(&maria, &file, &change).await.expect(200);
    let told = heard(&mut at_carlos, "file.updated").await;
    assert_eq!((&told["actor"], &told["data"]["file"]["id"]), (&json!(maria.id), &file["id"]));
    let granted = json!({
        "can_download": ["conversation_participants"], "can_forward": false, "can_print": false,
        "watermark_required": true,
    });
    for seen in [&changed, &told["data"]["file"], &carlos.get(&path(&file, "")).await.expect(200)] {
        assert_eq!((&seen["permissions"], &seen["access_info"]["max_downloads"]), (&granted, &json!(3)));
    }
    carlos.post(&there, &send).await.problem(422, "attachment_not_found");
    let marked = carlos.get(&path(&file, "/content")).await;
    assert!(marked.status == 200 && marked.bytes != plain);
    // The third is the last, and two were given.
    let answers = join_all((0..10).map(|_| async { ana.get(&path(&file, "/content")).await.status })).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    let fewer = regrant(&maria, &file, &json!({"max_downloads": 1})).await.expect(200);
    assert_eq!(fewer["access_info"]["max_downloads"], 3, "those that were given");
    let again = regrant(&maria, &file, &json!({"max_downloads": null})).await.expect(200);
    assert_eq!(again["access_info"]["max_downloads"], Value::Null);
    assert_eq!(ana.get(&path(&file, "/content")).await.status, 200);
    for (change, field) in [
        (json!({"max_downloads": 0}), "max_downloads"),
        (json!({"max_downloads": 1001}), "max_downloads"),
        (json!({"status": "active"}), "status"),
    ] {
        let refused = regrant(&maria, &file, &change).await.problem(422, "validation_failed");
        assert_eq!(refused["details"]["field"], field);
    }
    // Over for everybody else, at once.
    regrant(&maria, &file, &json!({"access_expires_at": "2026-01-01T00:00:00Z"})).await.expect(200);
    for other in [&ana, &carlos] {
        other.get(&path(&file, "/content")).await.problem(403, "file_expired");
        other.get(&path(&file, "/preview")).await.problem(403, "file_expired");
    }
    assert_eq!(maria.get(&path(&file, "/content")).await.status, 200);
    let done = audited(&world, &file).await;
    assert_eq!(done.iter().filter(|action| *action == "file.regranted").count(), 3, "{done:?}");
}

#[tokio::test]
async fn what_is_taken_back_is_gone_for_that_person() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Seguimiento", &[&ana, &carlos]).await;
    let file = upload(&maria, &group, "Informe", &[]).await;
    let link = carlos.request(Request::new(Method::POST, path(&file, "/link"))).await.expect(201);
    let link = text(&link, "url").trim_start_matches("/api/v1").to_owned();
    assert_eq!(world.anonymous().get(&link).await.status, 200);
    let of = |actor: &Actor| path(&file, &format!("/grants/{}", actor.id));
    carlos.get(&path(&file, "/grants")).await.problem(403, "not_the_uploader");
    ana.delete(&of(&carlos)).await.problem(403, "not_the_uploader");

    let mut at_carlos = carlos.connect().await;
    maria.delete(&of(&carlos)).await.expect(204);
    let told = heard(&mut at_carlos, "file.removed").await;
    assert_eq!(told["data"], json!({"conversation_id": group, "file_id": file["id"]}));
    for rest in ["", "/content", "/preview", "/thumbnail", "/signatures", "/annotations", "/grants"] {
        carlos.get(&path(&file, rest)).await.problem(404, "not_found");
    }
    assert!(list(&carlos.get("/files").await.expect(200), "items").is_empty());
    world.anonymous().get(&link).await.problem(403, "link_invalid");
    assert_eq!(ana.get(&path(&file, "/content")).await.status, 200);
    maria.delete(&of(&carlos)).await.problem(404, "not_found");
    maria.delete(&of(&maria)).await.problem(404, "not_found");

    // The patient whom it is about sees who has it, too.
    for who in [&maria, &ana] {
        let granted = who.get(&path(&file, "/grants")).await.expect(200);
        let of = |actor: &Actor| {
            let found = list(&granted, "items").iter().find(|grant| grant["user_id"] == *actor.id);
            found.expect("everyone whom it came to").clone()
        };
        assert_eq!(list(&granted, "items").len(), 3);
        assert_eq!((&of(&carlos)["downloads"], &of(&ana)["downloads"]), (&json!(1), &json!(1)));
        assert!(of(&carlos)["withdrawn_at"].is_string() && of(&ana)["withdrawn_at"].is_null());
        assert_eq!(of(&carlos)["through"], "conversation");
    }
    maria.put(&of(&carlos), &Value::Null).await.expect(204);
    assert_eq!(heard(&mut at_carlos, "file.updated").await["data"]["file"]["id"], file["id"]);
    assert_eq!(carlos.get(&path(&file, "/content")).await.status, 200);
    maria.put(&of(&carlos), &Value::Null).await.problem(404, "not_found");
    let done = audited(&world, &file).await;
    let count = |action: &str| done.iter().filter(|done| *done == action).count();
    assert_eq!((count("file.withdrawn"), count("file.given_back")), (1, 1), "{done:?}");

    // A file that is deleted is gone for all, and they are told.
    maria.delete(&path(&file, "")).await.expect(204);
    assert_eq!(heard(&mut at_carlos, "file.removed").await["data"]["file_id"], file["id"]);
}

/// S0-98: those who wait for the patient's word hear of it.
#[tokio::test]
async fn the_patients_word_is_told() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Seguimiento", &[&ana, &carlos]).await;
    let asks = [("requires_patient_consent", "true"), ("requires_signature", "true")];
    let file = upload(&maria, &group, "Delicado", &asks).await;
    let (mut at_maria, mut at_carlos) = (maria.connect().await, carlos.connect().await);
    carlos.get(&path(&file, "/annotations")).await.problem(403, "consent_required");
    for (granted, consent) in [(true, "granted"), (false, "denied"), (true, "granted")] {
        ana.put(&path(&file, "/consent"), &json!({"granted": granted})).await.expect(200);
        for socket in [&mut at_maria, &mut at_carlos] {
            let told = heard(socket, "file.updated").await;
            assert_eq!(told["data"]["file"]["medical_metadata"]["consent"], consent);
            assert_eq!(told["actor"], *ana.id);
        }
    }
    let body = json!({"checksum": file["file_info"]["checksum"]});
    ana.post(&path(&file, "/signatures"), &body).await.expect(201);
    assert_eq!(heard(&mut at_maria, "file.updated").await["actor"], *ana.id);
}

/// S0-234, AD-05: by stretches, and however many at once; administrators hear of it once.
#[tokio::test]
async fn who_takes_many_is_reported_once() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut files = Vec::new();
    for n in 0..22 {
        files.push(upload(&maria, &conversation, &format!("Numero {n}"), &[]).await);
    }
    let answers = join_all(files.iter().map(|file| {
        let request = Request::new(Method::GET, path(file, "/content")).header("Range", "bytes=1-9");
        ana.request(request)
    }));
    assert!(answers.await.iter().all(|answer| answer.status == 206));
    assert_eq!(ana.get(&path(&files[0], "/content")).await.status, 200);
    let letters = async || {
        let letters = outbox(&world, ADMIN).await;
        letters.into_iter().filter(|letter| letter["kind"] == "many_downloaded").collect::<Vec<_>>()
    };
    alivio_testkit::server::eventually("an administrator is told", async || letters().await.len() == 1).await;
    assert!(!letters().await[0].to_string().contains(&ana.id), "who it is, the audit trail says");
    let client = crate::audit::sql(&world).await;
    let flagged = "SELECT actor_id FROM audit_log WHERE action = 'file.bulk_download'";
    let rows = client.query(flagged, &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, uuid::Uuid>(0).to_string()).collect::<Vec<_>>(), [ana.id]);
}
