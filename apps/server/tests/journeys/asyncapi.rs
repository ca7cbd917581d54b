//! The document of the socket: every command and every event of it, as they really are. That each frame is as documented
//! is looked at wherever one arrives (`alivio_testkit::contract`); here, that none of them is missing.

use std::collections::BTreeSet;

use alivio_kernel::{Clock, SystemClock};
use alivio_testkit::actor::Request;
use alivio_testkit::contract;
use alivio_testkit::server::{ADMIN, ANA, CARLOS, LUIS, MARIA};
use alivio_testkit::socket::{Socket, send_command};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{infected_pdf, offer, pdf};
use crate::receipts::receipts;
use crate::{World, text};

/// What was said and heard so far.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    async fn call(&mut self, socket: &mut Socket, command: Value) -> Value {
        let name = text(&command, "type").to_owned();
        let answer = socket.call(command).await;
        self.0.extend([format!("{name}.ack"), name]);
        answer
    }

    async fn hear(&mut self, socket: &mut Socket, kinds: &[&str]) {
        for kind in kinds {
            socket.find(|frame| frame["type"] == *kind).await;
            self.0.insert((*kind).to_owned());
        }
    }
}

#[tokio::test]
async fn the_socket_says_all_that_its_document_says() {
    let world = World::new().await;
    let [maria, ana, carlos, luis, admin] = world.sign_in_all([MARIA, ANA, CARLOS, LUIS, ADMIN]).await;
    let mut seen = Seen::default();
    let (mut at_maria, mut at_ana) = (maria.connect().await, ana.connect().await);
    // A socket is only open once it has come.
    seen.0.insert("ready".to_owned());
    let group = maria.open_group("Equipo", &[&ana]).await;
    seen.hear(&mut at_ana, &["conversation.created"]).await;
    for socket in [&mut at_maria, &mut at_ana] {
        seen.call(socket, json!({"type": "subscribe", "conversation_ids": [group]})).await;
    }

    let said = seen.call(&mut at_maria, send_command(&group, "m-1", "Hola")).await;
    let id = &said["message_id"];
    seen.call(&mut at_maria, json!({"type": "message.edit", "message_id": id, "content": "Buenas"})).await;
    seen.call(&mut at_ana, json!({"type": "reaction.set", "message_id": id, "emoji": "👍"})).await;
    seen.call(&mut at_ana, json!({"type": "reaction.clear", "message_id": id, "emoji": "👍"})).await;
    let correction = json!({"content": "Buenas tardes", "reason": "Ya es tarde"});
    maria
        .post(&format!("/messages/{}/corrections", text(&said, "message_id")), &correction)
        .await
        .expect(201);
    let slip = seen.call(&mut at_maria, send_command(&group, "m-2", "un desliz")).await;
    seen.call(&mut at_maria, json!({"type": "message.delete", "message_id": slip["message_id"]})).await;
    let changes =
        ["message.created", "message.updated", "message.reacted", "message.corrected", "message.deleted"];
    seen.hear(&mut at_ana, &changes).await;

    let typing = json!({"type": "typing.set", "conversation_id": group, "is_typing": true});
    seen.call(&mut at_ana, typing).await;
    seen.call(&mut at_ana, json!({"type": "ack", "conversation_id": group, "up_to_seq": 1})).await;
    seen.call(&mut at_ana, json!({"type": "read.set", "conversation_id": group, "message_id": id})).await;
    seen.hear(&mut at_ana, &["unread.changed"]).await;
    seen.call(&mut at_ana, json!({"type": "presence.set", "presence": "busy"})).await;
    let events = ["typing", "receipt.delivered", "receipt.read", "presence.changed"];
    seen.hear(&mut at_maria, &events).await;
    // Those of several people come together, if they come within a moment.
    let mut seq = 2;
    while !seen.0.contains("receipts") {
        seen.call(&mut at_maria, send_command(&group, &format!("r-{seq}"), "uno más")).await;
        seq += 1;
        let ack = json!({"type": "ack", "conversation_id": group, "up_to_seq": seq});
        for socket in [&mut at_ana, &mut at_maria] {
            socket.call(ack.clone()).await;
        }
        let last = |frame: &Value| {
            receipts(frame)
                .iter()
                .any(|(_, receipt)| receipt["user_id"] == maria.id && receipt["delivered_up_to"] == seq)
        };
        let frame = at_maria.find(last).await;
        seen.0.insert(text(&frame, "type").to_owned());
    }
    seen.call(&mut at_ana, json!({"type": "ping"})).await;
    seen.call(&mut at_ana, json!({"type": "resume", "conversation_id": group, "last_seq": 0})).await;
    seen.call(&mut at_ana, json!({"type": "resume", "conversation_id": group, "last_seq": 1_000_000})).await;
    seen.hear(&mut at_ana, &["sync.gap"]).await;
    at_ana.call_refused(json!({"type": "fly"})).await;
    seen.0.insert("error".to_owned());

    let path = format!("/conversations/{group}");
    let renamed = Request::new(Method::PATCH, path.clone()).json(&json!({"title": "Otro"}));
    maria.request(renamed).await.expect(200);
    let joins = json!({"user_id": carlos.id});
    maria.post(&format!("{path}/participants"), &joins).await.expect(200);
    maria.delete(&format!("{path}/participants/{}", carlos.id)).await.expect(204);
    let opened = json!({"conversation_id": group, "reason": "Paciente ilocalizable"});
    admin.post("/admin/break-glass", &opened).await.expect(201);
    ana.put(&format!("{path}/draft"), &json!({"content": "Buenos"})).await.expect(200);
    let later = (SystemClock.now() + TimeDelta::hours(1)).to_rfc3339();
    let put_off = json!({"content": "Hasta mañana", "scheduled_for": later});
    let put_off = ana.post(&format!("{path}/messages"), &put_off).await.expect(202);
    ana.delete(&format!("/messages/scheduled/{}", text(&put_off, "id"))).await;
    let events = [
        "conversation.updated",
        "participant.joined",
        "participant.removed",
        "access.break_glass",
        "draft.changed",
        "scheduled_message.changed",
    ];
    seen.hear(&mut at_ana, &events).await;
    for (content, name) in [(pdf("Informe"), "limpio.pdf"), (infected_pdf(), "malo.pdf")] {
        offer(&maria, &group, (name, "application/pdf", &content), &[]).await.expect(201);
    }
    seen.hear(&mut at_ana, &["file.ready"]).await;
    seen.hear(&mut at_maria, &["file.quarantined"]).await;
    seen.call(&mut at_ana, json!({"type": "unsubscribe", "conversation_ids": [group]})).await;

    let on_call = json!({"levels": [{"people": [{"user_id": carlos.id}]}]});
    admin.put("/admin/on-call", &on_call).await.expect(200);
    let mut at_carlos = carlos.connect().await;
    let called = luis.post("/emergencies", &json!({})).await.expect(201);
    let emergency = text(&called["emergency"], "id");
    let mut at_luis = luis.connect_to(text(&called["emergency"], "conversation_id")).await;
    seen.hear(&mut at_carlos, &["emergency.paged"]).await;
    for step in ["acknowledge", "resolve"] {
        carlos.post(&format!("/emergencies/{emergency}/{step}"), &json!({})).await.expect(200);
    }
    seen.hear(&mut at_luis, &["emergency.acknowledged", "emergency.resolved"]).await;

    luis.post("/auth/logout", &json!({})).await.expect(204);
    seen.hear(&mut at_luis, &["session.revoked"]).await;

    let documented: BTreeSet<_> = contract::known().map(str::to_owned).collect();
    assert_eq!(seen.0, documented, "what is documented, and what is");
}
