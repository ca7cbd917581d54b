//! What professionals draw over a picture, beside what came.

use std::io::Cursor;

use alivio_testkit::actor::{Actor, Answer};
use alivio_testkit::server::{ANA, CARLOS, MARIA};
use futures_util::future::join_all;
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::grants::audited;
use super::{heard, offer, settled, upload};
use crate::{World, list, text, unused_id};

fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(RgbImage::new(64, 48)).write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

fn arrow(label: &str) -> Value {
    json!({"kind": "arrow", "points": [[0, 0], [50_000, 100_000]], "label": label, "color": "#ff0000", "width": 4})
}

/// An X-ray that `actor` has handed over.
async fn picture(actor: &Actor, conversation: &str) -> Value {
    let more = [("document_type", "imaging")];
    let offered = offer(actor, conversation, ("rx.png", "image/png", &png()), &more).await.expect(201);
    settled(actor, text(&offered, "id"), "active").await
}

fn path(file: &Value) -> String {
    format!("/files/{}/annotations", text(file, "id"))
}

async fn redraw(actor: &Actor, path: &str, version: u64, label: &str) -> Answer {
    actor.put(path, &json!({"version": version, "shapes": [arrow(label)]})).await
}

#[tokio::test]
async fn who_drew_what_when_stays_and_the_picture_is_untouched() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Seguimiento", &[&ana, &carlos]).await;
    let file = picture(&maria, &group).await;
    let (annotations, content) = (path(&file), format!("/files/{}/content", text(&file, "id")));
    let before = maria.get(&content).await.bytes;
    assert!(list(&maria.get(&annotations).await.expect(200), "items").is_empty());

    let (mut at_ana, mut at_carlos) = (ana.connect().await, carlos.connect().await);
    let body = json!({"title": "Cadera", "shapes": [arrow("fractura"), {"kind": "text", "points": [[1, 2]], "label": "L"}]});
    let answer = maria.post(&annotations, &body).await;
    let location = answer.header("location").unwrap();
    let first = answer.expect(201);
    let layer = format!("{annotations}/{}", text(&first, "id"));
    assert_eq!(location, format!("/api/v1{layer}"));
    assert_eq!(
        (&first["version"], &first["author_id"], &first["page"]),
        (&json!(1), &json!(maria.id), &json!(1))
    );
    assert_eq!((&first["title"], &first["shapes"][0]), (&json!("Cadera"), &arrow("fractura")));
    assert_eq!(first["shapes"][1]["color"], "#ffcc00");
    for socket in [&mut at_ana, &mut at_carlos] {
        let told = heard(socket, "file.annotated").await;
        assert_eq!((&told["data"]["annotation_id"], &told["data"]["version"]), (&first["id"], &json!(1)));
        assert_eq!((&told["actor"], &told["data"]["file_id"]), (&json!(maria.id), &file["id"]));
        assert!(!told.to_string().contains("fractura"), "{told}");
    }
    assert_eq!(ana.get(&annotations).await.expect(200)["items"], json!([first]));

    let second = redraw(&carlos, &layer, 1, "fisura").await.expect(200);
    assert_eq!(
        (&second["version"], &second["author_id"], &second["title"]),
        (&json!(2), &json!(carlos.id), &Value::Null)
    );
    assert_eq!(heard(&mut at_ana, "file.annotated").await["data"]["version"], 2);
    redraw(&maria, &layer, 1, "otra").await.problem(409, "stale");
    assert_eq!(ana.get(&annotations).await.expect(200)["items"], json!([second]));
    assert_eq!(ana.get(&layer).await.expect(200), second);
    let old = ana.get(&format!("{layer}?version=1")).await.expect(200);
    assert_eq!((&old["shapes"], &old["newest_version"]), (&first["shapes"], &json!(2)));
    ana.get(&format!("{layer}?version=3")).await.problem(404, "not_found");
    let history = ana.get(&format!("{layer}/versions")).await.expect(200);
    let drawn: Vec<_> =
        list(&history, "items").iter().map(|v| (v["version"].clone(), v["author_id"].clone())).collect();
    assert_eq!(drawn, [(json!(2), json!(carlos.id)), (json!(1), json!(maria.id))]);

    maria.delete(&format!("{layer}?version=1")).await.problem(409, "stale");
    maria.delete(&format!("{layer}?version=2")).await.expect(204);
    let told = heard(&mut at_ana, "file.annotated").await;
    assert_eq!(told["data"]["is_removed"], true);
    assert!(list(&ana.get(&annotations).await.expect(200), "items").is_empty());
    assert!(ana.get(&layer).await.expect(200)["removed_at"].is_string());
    redraw(&maria, &layer, 2, "tarde").await.problem(409, "stale");

    assert_eq!(maria.get(&content).await.bytes, before);
    let after = maria.get(&format!("/files/{}", text(&file, "id"))).await.expect(200);
    assert_eq!(after["file_info"], file["file_info"]);
    let done = audited(&world, &file).await;
    let count = |action: &str| done.iter().filter(|done| *done == action).count();
    assert_eq!((count("file.annotated"), count("file.annotation_removed")), (2, 1), "{done:?}");
    assert!(count("file.annotations_read") >= 6, "{done:?}");
}

/// Ten draw on the same version: one is taken, the others are told, and nothing is lost.
#[tokio::test]
async fn of_those_who_draw_at_once_one_is_first() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = picture(&maria, &conversation).await;
    let first = maria.post(&path(&file), &json!({"shapes": [arrow("uno")]})).await.expect(201);
    let layer = format!("{}/{}", path(&file), text(&first, "id"));
    let answers = join_all((0..10).map(|_| redraw(&maria, &layer, 1, "dos"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.into_iter().filter(|answer| answer.status != 200) {
        refused.problem(409, "stale");
    }
    assert_eq!(list(&maria.get(&format!("{layer}/versions")).await.expect(200), "items").len(), 2);
}

#[tokio::test]
async fn professionals_draw_on_what_they_may_open() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = picture(&maria, &conversation).await;
    let body = json!({"shapes": [arrow("uno")]});
    ana.post(&path(&file), &body).await.problem(403, "clinicians_only");
    let first = maria.post(&path(&file), &body).await.expect(201);
    let layer = format!("{}/{}", path(&file), text(&first, "id"));
    redraw(&ana, &layer, 1, "x").await.problem(403, "clinicians_only");
    ana.delete(&format!("{layer}?version=1")).await.problem(403, "clinicians_only");
    carlos.post(&path(&file), &body).await.problem(404, "not_found");
    redraw(&carlos, &layer, 1, "x").await.problem(404, "not_found");
    carlos.delete(&format!("{layer}?version=1")).await.problem(404, "not_found");
    for address in [path(&file), layer.clone(), format!("{layer}/versions")] {
        carlos.get(&address).await.problem(404, "not_found");
    }
    // By another file, it is nothing.
    let other = picture(&maria, &conversation).await;
    let elsewhere = format!("{}/{}", path(&other), text(&first, "id"));
    maria.get(&elsewhere).await.problem(404, "not_found");
    redraw(&maria, &elsewhere, 1, "x").await.problem(404, "not_found");
    redraw(&maria, &format!("{}/{}", path(&file), unused_id()), 1, "x").await.problem(404, "not_found");

    // A document has the pages that it has.
    let document = upload(&maria, &conversation, "Informe", &[]).await;
    let on = |page: u32| json!({"page": page, "shapes": [arrow("uno")]});
    maria.post(&path(&document), &on(1)).await.expect(201);
    assert_eq!(
        maria.post(&path(&document), &on(2)).await.problem(422, "validation_failed")["details"]["field"],
        "page"
    );
    for (shape, field) in [
        (json!({"kind": "spiral", "points": [[0, 0]]}), "kind"),
        (json!({"kind": "line", "points": [[0, 0], [0, 100_001]]}), "points"),
        (json!({"kind": "text", "points": [[0, 0]]}), "label"),
        (json!({"kind": "text", "points": [[0, 0]], "label": "x".repeat(201)}), "label"),
    ] {
        let refused = maria.post(&path(&file), &json!({"shapes": [shape]})).await;
        assert_eq!(refused.problem(422, "validation_failed")["details"]["field"], field);
    }
    let many = vec![json!({"kind": "line", "points": [[0, 0], [1, 1]]}); 201];
    maria.post(&path(&file), &json!({"shapes": many})).await.problem(422, "validation_failed");

    // Whoever may not look at the file may not look at what is drawn on it.
    world.execute("UPDATE files SET access_expires_at = now() WHERE id = $1", text(&file, "id")).await;
    ana.get(&path(&file)).await.problem(403, "file_expired");
    ana.get(&format!("{layer}/versions")).await.problem(403, "file_expired");
    maria.delete(&format!("/files/{}", text(&file, "id"))).await.expect(204);
    maria.get(&layer).await.problem(404, "not_found");
}
