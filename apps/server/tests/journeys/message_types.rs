//! What messages hold besides words: appointments, prescriptions, files (C-8).

use alivio_testkit::server::{ANA, CARLOS, MARIA};
use serde_json::{Value, json};

use crate::audit::sql;
use crate::{World, list, number, text, unused_id};

fn appointment() -> Value {
    json!({
        "starts_at": "2027-03-01T15:00:00Z", "duration_minutes": 30, "title": "Control", "location": "Consultorio 3",
    })
}

fn prescription() -> Value {
    json!({
        "items": [{
            "medication": "Losartán", "dose": "50 mg", "frequency": "cada 24 horas", "duration": "30 días",
            "instructions": null,
        }],
        "notes": "Suspender si aparece tos.",
    })
}

#[tokio::test]
async fn a_doctor_prescribes_and_proposes_a_time_and_nobody_else_does() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let mut at_ana = ana.connect_to(&conversation).await;
    let body = json!({"message_type": "prescription", "payload": prescription(), "content": "Como hablamos"});
    let mut sent = maria.post(&path, &body).await.expect(201);
    // For the sender alone.
    sent.as_object_mut().unwrap().remove("warnings");
    assert_eq!((&sent["payload"], text(&sent, "content")), (&prescription(), "Como hablamos"));
    assert_eq!(at_ana.next_event("message.created").await["data"], sent);

    // Over a socket it is the same, and needs no words.
    let mut at_maria = maria.connect().await;
    let command = json!({
        "type": "message.send", "conversation_id": conversation, "client_message_id": "cita-1",
        "message_type": "appointment", "payload": appointment(), "reply_to": sent["id"], "source": "web_app",
    });
    at_maria.call(command).await;
    let seen = at_ana.next_event("message.created").await["data"].clone();
    assert_eq!((&seen["payload"], &seen["content"]), (&appointment(), &Value::Null));
    assert_eq!(seen["reply_to"]["content_preview"], "Como hablamos");
    assert_eq!(seen["metadata"]["source"], "web_app");
    assert_eq!(ana.history(&conversation).await, [sent.clone(), seen]);

    for (kind, payload) in [("prescription", prescription()), ("appointment", appointment())] {
        let body = json!({"message_type": kind, "payload": payload});
        ana.post(&path, &body).await.problem(403, "clinicians_only");
        carlos.post(&path, &body).await.problem(404, "not_found");
    }
    // In the database there are no words.
    let stored: Vec<u8> = sql(&world)
        .await
        .query_one("SELECT payload FROM messages WHERE message_type = 'prescription'", &[])
        .await
        .expect("a row")
        .get(0);
    assert!(!stored.windows(8).any(|window| window == "Losart\u{e1}".as_bytes()));
}

#[tokio::test]
async fn a_message_holds_what_its_type_needs_and_nothing_else() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let without = |field: &str| {
        let mut payload = appointment();
        payload.as_object_mut().expect("an object").remove(field);
        json!({"message_type": "appointment", "payload": payload})
    };
    let file = unused_id();
    for bad in [
        json!({"message_type": "system", "content": "Soy el servidor"}),
        json!({"message_type": "system", "payload": {"event": "x", "data": {}}}),
        json!({"message_type": "appointment"}),
        json!({"message_type": "appointment", "payload": prescription()}),
        json!({"message_type": "appointment", "payload": {"starts_at": "mañana", "duration_minutes": 30}}),
        json!({"message_type": "appointment", "payload": {"starts_at": "2027-03-01T15:00:00Z", "duration_minutes": 0}}),
        without("starts_at"),
        json!({"message_type": "prescription", "payload": {"items": []}}),
        json!({"message_type": "prescription", "payload": {"items": [{"medication": " ", "dose": "1", "frequency": "1"}]}}),
        json!({"content": "Hola", "payload": appointment()}),
        json!({"content": "Hola", "attachments": [file]}),
        json!({"message_type": "file"}),
        json!({"message_type": "file", "attachments": [file, file]}),
        json!({"message_type": "file", "attachments": (0..11).map(|_| unused_id()).collect::<Vec<_>>()}),
        json!({"content": "Hola", "is_automated": true}),
        json!({"content": "Hola", "metadata": {"location": {"lat": 1}}}),
        json!({"content": "Hola", "confidence_score": 0.9}),
    ] {
        maria.post(&path, &bad).await.problem(422, "validation_failed");
    }
    // There are no files yet.
    for kind in ["file", "image", "audio", "video"] {
        let body = json!({"message_type": kind, "attachments": [file]});
        let refused = ana.post(&path, &body).await.problem(422, "attachment_not_found");
        assert_eq!(refused["details"]["file_ids"], json!([file]));
    }
    assert!(ana.history(&conversation).await.is_empty());

    let plain = ana.post(&path, &json!({"content": "Hola", "client_sent_at": "2026-01-01T00:00:00Z"})).await;
    let plain = plain.expect(201);
    assert_eq!(plain["metadata"]["client_sent_at"], "2026-01-01T00:00:00Z");
    assert_eq!((&plain["metadata"]["is_automated"], &plain["payload"]), (&json!(false), &Value::Null));
    assert!(list(&plain, "attachments").is_empty());
    assert_eq!(number(&plain, "seq"), 1);
}

#[tokio::test]
async fn files_stay_out_where_they_are_not_shared() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let off = r#"UPDATE conversations SET settings = '{"file_sharing_enabled": false}' WHERE id = $1"#;
    assert_eq!(world.execute(off, &conversation).await, 1);
    let body = json!({"message_type": "image", "attachments": [unused_id()]});
    let path = format!("/conversations/{conversation}/messages");
    ana.post(&path, &body).await.problem(403, "file_sharing_disabled");
}
