//! What goes with a patient, and what must be kept.

use std::path::Path;

use alivio_testkit::actor::Request;
use alivio_testkit::server::{ANA, CARLOS, MARIA, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::{count, pdf, upload};
use crate::encryption::{ended, operator};
use crate::{World, list, text};

/// How many blobs there are of a file.
fn blobs(world: &World, file: &str) -> usize {
    fn named(folder: &Path, name: &str) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        let one = |path: &Path| match path.is_dir() {
            true if path.to_string_lossy().contains(name) => count(path),
            true => named(path, name),
            false => usize::from(path.to_string_lossy().contains(name)),
        };
        entries.map(|entry| one(&entry.expect("an entry").path())).sum()
    }
    named(&world.data_dir().join("files"), file)
}

#[tokio::test]
async fn what_a_patient_leaves_behind_is_destroyed_or_withheld() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let others = carlos.open_direct(&maria.id).await;
    let plain = upload(&ana, &conversation, "Foto", &[]).await;
    let record = upload(&maria, &conversation, "Informe", &[("document_type", "report")]).await;
    let other = upload(&maria, &others, "De otro", &[]).await;
    assert_eq!(record["medical_metadata"]["retention_class"], "clinical");
    let drawn = json!({"shapes": [{"kind": "text", "points": [[1, 1]], "label": "Nota"}]});
    for file in [&plain, &record] {
        maria.post(&format!("/files/{}/annotations", text(file, "id")), &drawn).await.expect(201);
    }
    // A message tells what its files are called.
    let attached = json!({"message_type": "file", "attachments": [plain["id"], record["id"]]});
    let path = format!("/conversations/{conversation}/messages");
    let message = maria.post(&path, &attached).await.expect(201);
    let message = format!("/messages/{}", text(&message, "id"));
    let names = async || {
        let carried = maria.get(&message).await.expect(200);
        let page = ana.get(&path).await.expect(200);
        let listed =
            list(&page, "items").iter().find(|item| item["id"] == carried["id"]).expect("it is listed");
        assert_eq!(listed["attachments"], carried["attachments"]);
        let files = list(&carried, "attachments").iter();
        files.map(|file| text(file, "original_filename").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["informe.pdf", "informe.pdf"]);
    let begun = Request::new(Method::POST, "/files/uploads")
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "100000")
        .header("Upload-Metadata", &metadata(&conversation));
    let begun = ana.request(begun).await.header("location").expect("a place");
    let piece = Request::new(Method::PATCH, begun.trim_start_matches("/api/v1"))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Offset", "0")
        .raw("application/offset+octet-stream", pdf("A medias"));
    assert_eq!(ana.request(piece).await.status, 204);
    let unfinished = begun.rsplit('/').next().unwrap();
    let ids = [text(&plain, "id"), text(&record, "id"), unfinished];
    assert!(ids.iter().all(|id| blobs(&world, id) > 0), "what is there before");
    // This node remembers the keys.
    assert_eq!(maria.get(&format!("/files/{}/content", ids[0])).await.status, 200);

    let (done, said) =
        ended(operator(&world, &["erase-files", "--patient", &ana.id, "--reason", "erasure-request"])).await;
    assert!(
        done && said.contains("1 files destroyed") && said.contains("1 files that must be kept"),
        "{said}"
    );
    for id in ids {
        maria.get(&format!("/files/{id}")).await.problem(404, "not_found");
        ana.get(&format!("/files/{id}/content")).await.problem(404, "not_found");
    }
    assert_eq!(names().await, [ids[0], ids[1]].map(|id| format!("encrypted_file_{id}.enc")));
    // The running server may have begun it.
    eventually("their bytes are gone", async || (blobs(&world, ids[0]), blobs(&world, ids[2])) == (0, 0))
        .await;
    assert!(blobs(&world, ids[1]) > 0, "the law says how long");
    let client = crate::audit::sql(&world).await;
    let left = async |id: &str| {
        let id: uuid::Uuid = id.parse().unwrap();
        let query = "SELECT
            (SELECT count(*) FROM data_keys WHERE scope_id = $1 AND state <> 'destroyed'),
            (SELECT count(*) FROM file_annotations WHERE file_id = $1),
            (SELECT count(*) FROM file_segments WHERE file_id = $1),
            (SELECT count(*) FROM file_uploads WHERE id = $1),
            (SELECT count(*) FROM files WHERE id = $1 AND octet_length(name) + coalesce(octet_length(description), 0) > 0)";
        let row = client.query_one(query, &[&id]).await.unwrap();
        (0..5).map(|column| row.get::<_, i64>(column)).collect::<Vec<_>>()
    };
    assert_eq!((left(ids[0]).await, left(ids[2]).await), (vec![0; 5], vec![0; 5]));
    assert_eq!(left(ids[1]).await, [1, 1, 1, 0, 1]);
    assert_eq!(carlos.get(&format!("/files/{}/content", text(&other, "id"))).await.bytes, pdf("De otro"));

    // Where the law lets them, they go now.
    let now = ["erase-files", "--patient", &ana.id, "--reason", "legal-order", "--force"];
    let (done, said) = ended(operator(&world, &now)).await;
    assert!(done && said.contains("1 files destroyed") && !said.contains("must be kept"), "{said}");
    eventually("the record is destroyed", async || left(ids[1]).await == [0; 5]).await;
    eventually("its bytes are gone", async || blobs(&world, ids[1]) == 0).await;
    let erased = "SELECT reason FROM audit_log WHERE action = 'files.erased' AND subject_id = $1 ORDER BY at";
    let rows = client.query(erased, &[&ana.id.parse::<uuid::Uuid>().unwrap()]).await.unwrap();
    let reasons: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(reasons, ["erasure_request", "legal_order"]);
}

#[tokio::test]
async fn what_was_handed_over_goes_with_its_conversation() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let conversation = carlos.open_direct(&maria.id).await;
    let file = upload(&maria, &conversation, "Entre colegas", &[]).await;
    let record = upload(&maria, &conversation, "Caso", &[("is_medical_document", "true")]).await;
    let arguments = ["shred-conversation", &conversation, "--reason", "misplaced", "--force"];
    let (done, said) = ended(operator(&world, &arguments)).await;
    assert!(done, "{said}");
    for file in [&file, &record] {
        let path = format!("/files/{}", text(file, "id"));
        eventually("it is gone", async || maria.get(&path).await.status == 404).await;
    }
    eventually("its bytes are gone", async || blobs(&world, text(&file, "id")) == 0).await;
    assert!(blobs(&world, text(&record, "id")) > 0);
}

#[tokio::test]
async fn files_are_found_by_what_they_are_and_belong_to() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let consultation = crate::unused_id();
    let more = [("document_type", "imaging"), ("related_appointment", consultation.as_str())];
    let imaging = upload(&maria, &conversation, "Placa", &more).await;
    let insurance = upload(&ana, &conversation, "Seguro", &[("document_type", "insurance")]).await;
    let plain = upload(&maria, &conversation, "Hola", &[]).await;
    for (file, class, years) in [
        (&imaging, "clinical", json!(7)),
        (&insurance, "administrative", json!(2)),
        (&plain, "non_clinical", Value::Null),
    ] {
        let medical = &file["medical_metadata"];
        assert_eq!(
            (&medical["retention_class"], &medical["retention_period_years"]),
            (&json!(class), &years)
        );
        assert_eq!(medical["patient_id"], *ana.id);
    }
    assert_eq!(imaging["medical_metadata"]["related_appointment"], *consultation);
    let found = async |query: String| {
        let page = ana.get(&format!("/files?{query}")).await.expect(200);
        list(&page, "items").iter().map(|file| text(file, "id").to_owned()).collect::<Vec<_>>()
    };
    let id = |file: &Value| text(file, "id").to_owned();
    for scope in
        [String::new(), format!("&conversation_id={conversation}"), format!("&patient_id={}", ana.id)]
    {
        assert_eq!(found(format!("document_type=imaging{scope}")).await, [id(&imaging)]);
        assert_eq!(found(format!("document_type=insurance{scope}")).await, [id(&insurance)]);
        assert_eq!(found(format!("related_appointment={consultation}{scope}")).await, [id(&imaging)]);
        let both = format!("related_appointment={consultation}&document_type=insurance{scope}");
        assert!(found(both).await.is_empty());
    }
    let refused = ana.get("/files?document_type=diary").await.problem(422, "validation_failed");
    assert_eq!(refused["details"]["field"], "document_type");
    let document = pdf("Placa");
    let shorter = [("document_type", "imaging"), ("retention_period_years", "1")];
    let refused =
        super::offer(&maria, &conversation, ("a.pdf", "application/pdf", &document), &shorter).await;
    assert_eq!(refused.problem(422, "validation_failed")["details"]["field"], "retention_period_years");
    // What must be kept is, though it was taken away.
    maria.delete(&format!("/files/{}", id(&imaging))).await.expect(204);
    maria.get(&format!("/files/{}", id(&imaging))).await.problem(404, "not_found");
    let kept = "SELECT kept_until = created_at + interval '7 years' FROM files WHERE id = $1";
    let client = crate::audit::sql(&world).await;
    let id: uuid::Uuid = id(&imaging).parse().unwrap();
    assert!(client.query_one(kept, &[&id]).await.unwrap().get::<_, bool>(0));
}

fn metadata(conversation: &str) -> String {
    use base64::Engine as _;
    let encode = |words: &str| base64::engine::general_purpose::STANDARD.encode(words);
    format!("filename {},conversation_id {}", encode("a.pdf"), encode(conversation))
}
