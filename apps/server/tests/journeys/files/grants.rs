//! Who may look at what, how often, and what they get to see.

use alivio_testkit::actor::Request;
use alivio_testkit::server::{ADMIN, ANA, CARLOS, MARIA};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{pdf, upload};
use crate::{World, list, text};

fn path(file: &Value, rest: &str) -> String {
    format!("/files/{}{rest}", text(file, "id"))
}

fn range(file: &Value, range: &str) -> Request {
    Request::new(Method::GET, path(file, "/content")).header("Range", range)
}

/// What the audit trail says was done to a file, the first first.
pub(super) async fn audited(world: &World, file: &Value) -> Vec<String> {
    let client = crate::audit::sql(world).await;
    let id: uuid::Uuid = text(file, "id").parse().unwrap();
    let rows =
        client.query("SELECT action FROM audit_log WHERE object_id = $1 ORDER BY at, id", &[&id]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

/// FI-09: any stretch is the same as that stretch of the whole.
#[tokio::test]
async fn stretches_are_parts_of_the_whole() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    // Longer than two chunks.
    let words: String = (0..20_000).map(|n| format!("{n:07} ")).collect();
    let file = upload(&maria, &conversation, &words, &[]).await;
    let whole = pdf(&words);
    let size = whole.len();
    let cases = [
        (0, 0),
        (0, 65_535),
        (65_535, 65_536),
        (65_536, 131_071),
        (131_071, 131_072),
        (1, size - 1),
        (size - 1, size - 1),
    ];
    for (first, last) in cases {
        let part = ana.request(range(&file, &format!("bytes={first}-{last}"))).await;
        assert_eq!(part.status, 206);
        assert_eq!(part.header("content-range").unwrap(), format!("bytes {first}-{last}/{size}"));
        assert!(part.bytes == whole[first..=last], "{first}-{last}");
    }
    assert!(ana.request(range(&file, "bytes=-70000")).await.bytes == whole[size - 70_000..]);
    let many = format!("bytes={}", (0..1000).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(","));
    for bad in [many.as_str(), "bytes=0-1,3-4", &format!("bytes={size}-"), "bytes=5-2", "bytes=--5"] {
        let refused = ana.request(range(&file, bad)).await;
        assert_eq!(refused.header("content-range").unwrap(), format!("bytes */{size}"));
        refused.problem(416, "range_not_satisfiable");
    }
    let tag = ana.get(&path(&file, "/content")).await.header("etag").unwrap();
    let same = ana.request(range(&file, "bytes=0-9").header("If-Range", &tag)).await;
    let other = ana.request(range(&file, "bytes=0-9").header("If-Range", "\"x\"")).await;
    assert_eq!((same.status, other.status), (206, 200));
}

/// FI-11: of twenty at once, as many as may be.
#[tokio::test]
async fn downloads_are_counted_and_recorded() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = upload(&maria, &conversation, "Tres veces", &[("max_downloads", "3")]).await;
    let address = path(&file, "/content");
    // Asking what a download would be like is none.
    let head = ana.request(Request::new(Method::HEAD, address.clone())).await;
    let size = pdf("Tres veces").len().to_string();
    assert_eq!(
        (head.status, head.header("content-length"), head.header("accept-ranges")),
        (200, Some(size), Some("none".to_owned()))
    );
    assert!(head.bytes.is_empty() && head.header("content-disposition").unwrap().starts_with("attachment"));
    let answers = join_all((0..20).map(|_| ana.get(&address))).await;
    let given = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(given, 3);
    for refused in answers.into_iter().filter(|answer| answer.status != 200) {
        refused.problem(403, "downloads_exhausted");
    }
    // No way around by stretches.
    ana.request(range(&file, "bytes=1-")).await.problem(403, "downloads_exhausted");
    assert_eq!(ana.get(&path(&file, "")).await.expect(200)["access_info"]["download_count"], 3);
    let done = audited(&world, &file).await;
    assert_eq!(done.iter().filter(|action| *action == "file.downloaded").count(), 3, "{done:?}");
    assert_eq!(done[..2], ["file.uploaded", "file.found_clean"]);
}

/// FI-08.
#[tokio::test]
async fn a_link_opens_one_file_for_a_while() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = upload(&maria, &conversation, "Enlace", &[]).await;
    let other = upload(&maria, &conversation, "Otro", &[]).await;
    let make = async |actor: &alivio_testkit::actor::Actor| {
        let link = actor.request(Request::new(Method::POST, path(&file, "/link"))).await.expect(201);
        text(&link, "url").trim_start_matches("/api/v1").to_owned()
    };
    let link = make(&ana).await;
    let nobody = world.anonymous();
    assert_eq!(nobody.get(&link).await.bytes, pdf("Enlace"));
    let secret = link.split("link=").nth(1).unwrap();
    nobody.get(&path(&file, "/content?link=alf_x")).await.problem(403, "link_invalid");
    nobody.get(&path(&other, &format!("/content?link={secret}"))).await.problem(403, "link_invalid");
    nobody.get(&path(&file, "/content")).await.problem(401, "unauthenticated");
    nobody.delete(&format!("{}?link={secret}", path(&file, ""))).await.any_problem(401);
    world
        .execute(
            "UPDATE file_links SET expires_at = now() - interval '1 second' WHERE file_id = $1",
            text(&file, "id"),
        )
        .await;
    nobody.get(&link).await.problem(403, "link_invalid");
    // It ends with the session that it was made in.
    let elsewhere = world.sign_in(ANA).await;
    let link = make(&elsewhere).await;
    assert_eq!(nobody.get(&link).await.status, 200);
    elsewhere.post("/auth/logout", &json!({})).await;
    nobody.get(&link).await.problem(403, "link_invalid");
    assert!(!world.logs().contains(secret), "a secret in the log");
}

#[tokio::test]
async fn the_patient_decides_who_else_sees_it() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Seguimiento", &[&ana, &carlos]).await;
    let asks = [("requires_patient_consent", "true"), ("can_forward", "true")];
    let file = upload(&maria, &group, "Delicado", &asks).await;
    assert_eq!(file["medical_metadata"]["consent"], "asked");
    let content = path(&file, "/content");
    let open = async |actor: &alivio_testkit::actor::Actor| actor.get(&content).await.status;
    assert_eq!((open(&maria).await, open(&ana).await), (200, 200));
    carlos.get(&content).await.problem(403, "consent_required");
    let elsewhere = maria.open_direct(&carlos.id).await;
    let send = json!({"message_type": "file", "attachments": [file["id"]]});
    let there = format!("/conversations/{elsewhere}/messages");
    maria.post(&there, &send).await.problem(422, "attachment_not_found");
    let say = async |actor: &alivio_testkit::actor::Actor, granted: bool| {
        actor.put(&path(&file, "/consent"), &json!({"granted": granted})).await
    };
    for stranger in [&maria, &carlos] {
        say(stranger, true).await.problem(404, "not_found");
    }
    assert_eq!(say(&ana, true).await.expect(200)["medical_metadata"]["consent"], "granted");
    assert_eq!(open(&carlos).await, 200);
    maria.post(&there, &send).await.expect(201);
    say(&ana, false).await.expect(200);
    carlos.get(&content).await.problem(403, "consent_required");
    let done = audited(&world, &file).await;
    assert_eq!(done.iter().filter(|action| *action == "file.consent").count(), 2, "{done:?}");
}

#[tokio::test]
async fn who_signs_signs_what_is_there() {
    let world = World::new().await;
    let [maria, ana, admin] = world.sign_in_all([MARIA, ANA, ADMIN]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = upload(&maria, &conversation, "Consentimiento", &[("requires_signature", "true")]).await;
    let sign = async |actor: &alivio_testkit::actor::Actor, checksum: &str| {
        actor.post(&path(&file, "/signatures"), &json!({"checksum": checksum})).await
    };
    let checksum = text(&file["file_info"], "checksum").to_owned();
    let other = format!("SHA256:{}", "0".repeat(64));
    sign(&ana, &other).await.problem(409, "checksum_mismatch");
    sign(&ana, "SHA256:x").await.problem(422, "validation_failed");
    sign(&admin, &checksum).await.problem(404, "not_found");
    sign(&ana, &checksum).await.expect(201);
    let again = sign(&ana, &checksum).await.expect(201);
    let signed = maria.get(&path(&file, "/signatures")).await.expect(200);
    assert_eq!(again, signed);
    let items = list(&signed, "items");
    assert_eq!(
        (items.len(), &items[0]["user_id"], &items[0]["checksum"]),
        (1, &json!(ana.id), &json!(checksum))
    );
    let plain = upload(&maria, &conversation, "Nada que firmar", &[]).await;
    let body = json!({"checksum": plain["file_info"]["checksum"]});
    ana.post(&path(&plain, "/signatures"), &body).await.problem(409, "signature_not_asked");
}

#[tokio::test]
async fn access_ends_and_marks_stay() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file =
        upload(&maria, &conversation, "Caduca", &[("access_expires_at", "2999-01-01T00:00:00Z")]).await;
    assert_eq!(ana.get(&path(&file, "/content")).await.status, 200);
    world.execute("UPDATE files SET access_expires_at = now() WHERE id = $1", text(&file, "id")).await;
    ana.get(&path(&file, "/content")).await.problem(403, "file_expired");
    assert_eq!(ana.get(&path(&file, "")).await.expect(200)["status"], "expired");
    assert_eq!(maria.get(&path(&file, "/content")).await.status, 200);

    let marked = upload(&maria, &conversation, "Marcado", &[("watermark_required", "true")]).await;
    let hers = maria.get(&path(&marked, "/content")).await;
    assert_eq!(hers.bytes, pdf("Marcado"));
    let copy = ana.request(range(&marked, "bytes=0-3")).await;
    assert_eq!(
        (copy.status, copy.header("etag"), copy.header("accept-ranges").unwrap()),
        (200, None, "none".to_owned())
    );
    assert!(copy.bytes.starts_with(b"%PDF") && copy.bytes != hers.bytes);
}
