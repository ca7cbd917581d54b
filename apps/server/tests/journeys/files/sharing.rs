//! From hand to hand.

use alivio_testkit::actor::{Actor, Part, Request};
use alivio_testkit::server::{ANA, CARLOS, LUIS, MARIA};
use alivio_testkit::socket::Connect;
use reqwest::Method;
use serde_json::json;

use super::{offer, pdf, settled, upload};
use crate::{World, fields, list, text, unused_id};

#[tokio::test]
async fn a_document_is_handed_over_scanned_and_read() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect_to(&conversation).await;
    let document = pdf("Tomar una al dia");
    let more = [
        ("file_type", "prescription"),
        ("description", "Receta para la hipertensión"),
        ("is_medical_document", "true"),
        ("related_appointment", &unused_id()),
    ];
    let answer = offer(&maria, &conversation, ("Receta_Ana.pdf", "application/pdf", &document), &more).await;
    let location = answer.header("location").unwrap();
    let stored = answer.expect(201);
    let id = text(&stored, "id").to_owned();
    assert_eq!(location, format!("/api/v1/files/{id}"));
    assert_eq!(stored["status"], "pending");
    assert!(text(&stored, "ref").starts_with("FILE-20"));

    let told = at_ana.find(|frame| frame["type"] == "file.ready").await;
    assert_eq!(told["data"]["file"]["id"], *id);
    let file = settled(&ana, &id, "active").await;
    assert_eq!(
        file["uploader"],
        json!({"id": maria.id, "name": file["uploader"]["name"], "user_type": "doctor"})
    );
    assert_eq!(file["description"], "Receta para la hipertensión");
    let info = &file["file_info"];
    assert_eq!(info["original_filename"], "Receta_Ana.pdf");
    assert_eq!(info["size_bytes"], document.len());
    assert_eq!((&info["mime_type"], &info["file_type"]), (&json!("application/pdf"), &json!("prescription")));
    assert_eq!((&info["virus_scan_result"], &info["is_encrypted"]), (&json!("clean"), &json!(true)));
    let medical = &file["medical_metadata"];
    assert_eq!(medical["patient_id"], *ana.id);
    assert_eq!(
        (&medical["document_type"], &medical["retention_period_years"]),
        (&json!("prescription"), &json!(7))
    );
    assert_eq!(file["permissions"]["can_forward"], false);
    assert_eq!(fields(&file["upload_info"]), ["uploaded_at"], "no address, no device");

    let given = ana.get(&format!("/files/{id}/content")).await;
    assert_eq!((given.status, &given.bytes), (200, &document));
    let header = |name| given.header(name).unwrap();
    assert_eq!(header("content-type"), "application/pdf");
    assert_eq!(
        header("content-disposition"),
        "attachment; filename=\"Receta_Ana.pdf\"; filename*=UTF-8''Receta_Ana.pdf"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").starts_with("sandbox"));
    let tag = header("etag");
    assert_eq!(format!("SHA256:{}", tag.trim_matches('"')), text(info, "checksum"));
    let again = Request::new(Method::GET, format!("/files/{id}/content")).header("If-None-Match", &tag);
    assert_eq!(ana.request(again).await.status, 304);

    for path in ["", "/content", "/preview", "/thumbnail", "/signatures"] {
        carlos.get(&format!("/files/{id}{path}")).await.problem(404, "not_found");
    }
    for query in
        [format!("?conversation_id={conversation}"), format!("?patient_id={}", ana.id), String::new()]
    {
        assert_eq!(
            list(&maria.get(&format!("/files{query}")).await.expect(200), "items").len(),
            1,
            "{query}"
        );
        assert!(
            list(&carlos.get(&format!("/files{query}")).await.expect(200), "items").is_empty(),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_message_carries_files_and_lets_its_readers_open_them() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let file = upload(&maria, &conversation, "Informe", &[]).await;
    let id = text(&file, "id");
    let body = json!({"message_type": "file", "content": "Aquí está", "attachments": [id]});
    let path = format!("/conversations/{conversation}/messages");
    let sent = maria.post(&path, &body).await.expect(201);
    let attachment = &sent["attachments"][0];
    assert_eq!((&attachment["id"], &attachment["original_filename"]), (&json!(id), &json!("informe.pdf")));
    assert_eq!(attachment["virus_scan_status"], "clean");
    assert_eq!(ana.get(text(attachment, "url").trim_start_matches("/api/v1")).await.bytes, pdf("Informe"));
    assert_eq!(ana.get(&format!("/files/{id}")).await.expect(200)["message_id"], sent["id"]);
    // Nobody attaches what is not theirs to see.
    let elsewhere = carlos.open_group("Equipo", &[&maria]).await;
    let theirs = format!("/conversations/{elsewhere}/messages");
    carlos.post(&theirs, &body).await.problem(422, "attachment_not_found");
    // Whoever is sent it on can open it; that is asked anew there.
    carlos.get(&format!("/files/{id}")).await.problem(404, "not_found");
    maria.post(&theirs, &body).await.expect(201);
    assert_eq!(carlos.get(&format!("/files/{id}/content")).await.bytes, pdf("Informe"));
    let record = upload(&maria, &conversation, "Historia", &[("is_medical_document", "true")]).await;
    let body = json!({"message_type": "file", "attachments": [record["id"]]});
    maria.post(&theirs, &body).await.problem(422, "attachment_not_found");
    maria.post(&path, &body).await.expect(201);
    // A picture message takes pictures.
    let body = json!({"message_type": "image", "attachments": [id]});
    maria.post(&path, &body).await.problem(422, "validation_failed");
}

/// AZ-04.
#[tokio::test]
async fn who_comes_later_or_has_left_sees_nothing() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Seguimiento", &[&ana]).await;
    let before = upload(&maria, &group, "Antes", &[]).await;
    maria
        .post(&format!("/conversations/{group}/participants"), &json!({"user_id": carlos.id}))
        .await
        .expect(200);
    let between = upload(&maria, &group, "Entre", &[]).await;
    let path = |file: &serde_json::Value, rest: &str| format!("/files/{}{rest}", text(file, "id"));
    carlos.get(&path(&before, "")).await.problem(404, "not_found");
    assert_eq!(carlos.get(&path(&between, "/content")).await.status, 200);
    let link = carlos.request(Request::new(Method::POST, path(&between, "/link"))).await.expect(201);
    let link = text(&link, "url").trim_start_matches("/api/v1").to_owned();
    let nobody = world.anonymous();
    assert_eq!(nobody.get(&link).await.bytes, pdf("Entre"));
    maria.delete(&format!("/conversations/{group}/participants/{}", carlos.id)).await.expect(204);
    for rest in ["", "/content", "/preview", "/thumbnail"] {
        carlos.get(&path(&between, rest)).await.problem(404, "not_found");
    }
    nobody.get(&link).await.problem(404, "not_found");
    assert!(list(&carlos.get("/files").await.expect(200), "items").is_empty());
    // What he was not there for stays closed when he comes back.
    let after = upload(&maria, &group, "Sin él", &[]).await;
    maria
        .post(&format!("/conversations/{group}/participants"), &json!({"user_id": carlos.id}))
        .await
        .expect(200);
    for file in [&before, &between, &after] {
        carlos.get(&path(file, "")).await.problem(404, "not_found");
    }
}

/// C-60.
#[tokio::test]
async fn patients_hand_over_what_is_theirs_and_clinicians_may_refuse_it() {
    let world = World::new().await;
    let [maria, ana, luis] = world.sign_in_all([MARIA, ANA, LUIS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let document = pdf("Analisis");
    let form = ("analisis.pdf", "application/pdf", &*document);
    let file = offer(&ana, &conversation, form, &[("document_type", "lab_result")]).await.expect(201);
    assert_eq!(file["medical_metadata"]["patient_id"], *ana.id);
    offer(&ana, &conversation, form, &[("patient_id", &luis.id)]).await.problem(403, "not_the_patient");
    offer(&maria, &conversation, form, &[("patient_id", &luis.id)]).await.problem(403, "not_the_patient");
    offer(&luis, &conversation, form, &[]).await.problem(404, "not_found");
    let id = text(&file, "id");
    settled(&maria, id, "active").await;
    maria.delete(&format!("/files/{id}")).await.expect(204);
    for actor in [&maria, &ana] {
        actor.get(&format!("/files/{id}")).await.problem(404, "not_found");
        actor.get(&format!("/files/{id}/content")).await.problem(404, "not_found");
    }
    let hers = upload(&maria, &conversation, "Receta", &[]).await;
    let path = format!("/files/{}", text(&hers, "id"));
    ana.delete(&path).await.problem(403, "not_the_uploader");
    maria.delete(&path).await.expect(204);
}

async fn documented(
    actor: &Actor,
    path: &str,
    conversation: &str,
    (name, mime, content): (&str, &str, &[u8]),
) -> alivio_testkit::actor::Answer {
    let parts = [Part::Text("conversation_id", conversation), Part::File { name, mime, content }];
    actor.request(Request::new(Method::POST, path).form(&parts)).await
}

#[tokio::test]
async fn the_documented_paths_take_files_and_tell_of_them() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let at = Connect::new(format!("/ws/chat/{conversation}/?token={}", ana.token()));
    let mut socket = ana.try_connect(at).await.expect("a socket");
    let document = pdf("Receta");
    let form = ("receta.pdf", "application/pdf", &*document);
    let told = documented(&maria, "//api/chat/upload-file/", &conversation, form).await;
    assert!(told.header("deprecation").is_some());
    let told = told.expect(201);
    assert_eq!(fields(&told), ["file_id", "file_url", "processing_status", "upload_status", "virus_scan"]);
    assert_eq!((&told["upload_status"], &told["virus_scan"]), (&json!("success"), &json!("pending")));
    let shared = socket.next_event("file_shared").await;
    let data = &shared["data"];
    assert_eq!(fields(data), ["download_url", "file_id", "filename", "size", "type", "uploader"]);
    assert_eq!((&data["file_id"], &data["filename"]), (&told["file_id"], &json!("receta.pdf")));
    // As the document goes on: the file is sent by the id that it got.
    let body = json!({"message_type": "file", "content": "Aquí está", "attachments": [told["file_id"]]});
    let path = format!("//api/chat/conversations/{conversation}/messages/");
    maria.request(Request::new(Method::POST, path).json(&body)).await.expect(201);

    let refused = documented(
        &maria,
        "//api/chat/upload-file/",
        &conversation,
        ("a.exe", "application/pdf", b"MZ\x90\0\x03"),
    )
    .await;
    assert_eq!(refused.problem(400, "file_type_not_allowed")["details"]["file_type"], "executable");
    documented(&maria, "//api/messages/upload-attachment", &conversation, form).await.expect(201);
    documented(&maria, "//api/chat/upload/file", &conversation, form).await.expect(201);
    let wrong = documented(&maria, "//api/chat/upload/image", &conversation, form).await;
    assert_eq!(wrong.problem(422, "validation_failed")["details"]["field"], "file_type");
    let id = text(&told, "file_id");
    let gone = maria.request(Request::new(Method::DELETE, format!("//api/chat/upload/{id}"))).await;
    gone.expect(204);
    maria.get(&format!("/files/{id}")).await.problem(404, "not_found");
}
