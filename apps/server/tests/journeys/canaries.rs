//! PR-01: every word that the chat takes from people is looked for in every column that was ever written, and in the log.
//!
//! What may lie in clear is named in [`CLEAR`]; all else must be sealed, or not kept at all.

use std::collections::BTreeSet;

use alivio_kernel::{Clock, SystemClock};
use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, ANA, CARLOS, IT, LUIS, MARIA, eventually};
use alivio_testkit::socket::Connect;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::audit::sql;
use crate::files::{offer, pdf, settled};
use crate::{World, list, text, unused_id};

/// Words that may be read in the database: the field, where they rest, and why.
const CLEAR: &[(&str, &[&str], &str)] = &[
    ("professional's name", &[DIRECTORY], "published, and found by its parts"),
    ("professional's display name", &[DIRECTORY], "as their name"),
    (
        "professional's title",
        &[DIRECTORY, "users.professional_title"],
        "published, and shown beside their name",
    ),
    ("professional's specialty", &[DIRECTORY], "published, and the directory is filtered by it"),
    ("professional's institution", &[DIRECTORY], "as their specialty"),
    ("professional's words", &[DIRECTORY], "published with their name"),
    ("credential's specialty", &[DIRECTORY], "what one submits shows in the directory"),
    ("credential's institution", &[DIRECTORY], "as their specialty"),
    ("message's client name", &["messages.client_message_id"], "a program's, looked up at every repetition"),
    ("scheduled message's client name", &["scheduled_messages.client_message_id"], "as that of a message"),
    ("program a message was written with", &["messages.source"], "the name of a program"),
];

/// What professionals publish of themselves, and how it is found. The licence is not among it.
const DIRECTORY: &str = "professional_profiles.";

/// Words that nothing else contains, each for one field.
#[derive(Default)]
struct Canaries {
    planted: Vec<(&'static str, String)>,
}

impl Canaries {
    /// New words for `field`. Letters only, so that they pass wherever words or names do, and are found by search.
    fn plant(&mut self, field: &'static str) -> String {
        let random = unused_id().replace('-', "");
        let letters =
            random[20..].bytes().map(|byte| char::from(if byte.is_ascii_digit() { byte + 60 } else { byte }));
        let canary = format!("canary{}", letters.collect::<String>());
        self.planted.push((field, canary.clone()));
        canary
    }
}

/// `word` as it may show: itself, in base64 wherever it begins, and both in hexadecimal. All in lower case.
fn shapes(word: &str) -> Vec<String> {
    let mut shapes = vec![word.to_owned()];
    for before in 0..3 {
        let padded = [&b"   "[..before], word.as_bytes()].concat();
        let encoded = STANDARD_NO_PAD.encode(&padded);
        // What the neighbours of the word have a part in does not count.
        let (from, to) = ([0, 2, 3][before], padded.len() / 3 * 4);
        shapes.push(encoded[from..to].to_owned());
    }
    let hexadecimal = |shape: &String| shape.bytes().map(|byte| format!("{byte:02x}")).collect();
    let in_hexadecimal: Vec<String> = shapes.iter().map(hexadecimal).collect();
    shapes.extend(in_hexadecimal);
    shapes.iter().map(|shape| shape.to_lowercase()).collect()
}

#[test]
fn a_word_is_found_in_whatever_it_is_hidden() {
    let hidden = |text: &str| shapes("canary7").iter().any(|shape| text.to_lowercase().contains(shape));
    for around in ["", "x", "xy", "xyz"] {
        let whole = format!("{around}canary7{around}");
        assert!(hidden(&whole));
        let encoded = STANDARD_NO_PAD.encode(&whole);
        assert!(hidden(&encoded), "{whole}");
        assert!(hidden(&encoded.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()));
    }
    assert!(!hidden("canary8") && !hidden("nothing at all"));
}

/// Keeps whatever is ever written to any table, were it deleted at once.
const WITNESS: &str = "
    CREATE TABLE witnessed (place text, line jsonb);
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO witnessed VALUES (TG_TABLE_NAME, to_jsonb(NEW));
        RETURN NULL;
    END $$;
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'witnessed' LOOP
            EXECUTE format('CREATE TRIGGER witness AFTER INSERT OR UPDATE ON %I FOR EACH ROW
                EXECUTE FUNCTION witness()', name);
        END LOOP;
    END $$;";

/// Every value of every column of every table: where, and what, in lower case.
async fn all_columns(client: &Client) -> Vec<(String, String)> {
    let tables = client
        .query(
            "SELECT table_name::text FROM information_schema.tables
             WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'witnessed'",
            &[],
        )
        .await
        .expect("the tables");
    let mut union = vec!["SELECT place, line FROM witnessed".to_owned()];
    union.extend(tables.iter().map(|table| {
        let table: &str = table.get(0);
        format!("SELECT '{table}', to_jsonb(t) FROM \"{table}\" AS t")
    }));
    let query = format!(
        "SELECT DISTINCT place || '.' || key, lower(value) FROM ({}) AS rows (place, line), jsonb_each_text(line)
         WHERE value IS NOT NULL",
        union.join(" UNION ALL ")
    );
    let rows = client.query(&query, &[]).await.expect("the values");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The bytes of everything in a folder, as text in lower case.
fn all_blobs(folder: &std::path::Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(all_blobs(&path));
        } else {
            all.push(String::from_utf8_lossy(&std::fs::read(&path).expect("a blob")).to_lowercase());
        }
    }
    all
}

async fn patch(actor: &Actor, path: &str, body: Value) -> Value {
    actor.request(Request::new(Method::PATCH, path).json(&body)).await.expect(200)
}

async fn say_all_of_oneself(world: &World, canaries: &mut Canaries) {
    let [maria, ana, carlos, admin] = world.sign_in_all([MARIA, ANA, CARLOS, ADMIN]).await;
    let mut plant = |field| canaries.plant(field);
    let profile = json!({
        "full_name": plant("professional's name"), "display_name": plant("professional's display name"),
        "language": "es", "phone": "+34600918273", "professional_title": plant("professional's title"),
        "specialty": plant("professional's specialty"), "institution": plant("professional's institution"),
        "bio": plant("professional's words"), "listed": true, "license_number": plant("professional's licence"),
    });
    maria.put("/me/profile", &profile).await.expect(200);
    let profile = json!({
        "full_name": plant("patient's name"), "display_name": plant("patient's display name"),
        "language": "es", "phone": "+34600918274",
    });
    ana.put("/me/profile", &profile).await.expect(200);
    let submitted = json!({
        "license_number": plant("credential's licence"), "note": plant("credential's note"),
        "specialty": plant("credential's specialty"), "institution": plant("credential's institution"),
    });
    let submitted = carlos.post("/me/credentials", &submitted).await.expect(200);
    let decision = json!({
        "decision": "reject", "reason_code": "other", "note": plant("decision's note"),
        "submission_id": submitted["submission_id"],
    });
    admin.post(&format!("/admin/credentials/{}/decision", carlos.id), &decision).await.expect(200);
    let known = json!({"user_id": carlos.id, "nickname": plant("first nickname")});
    maria.post("/contacts", &known).await.expect(202);
    carlos.post("/contacts", &json!({"user_id": maria.id})).await;
    let renamed = json!({"nickname": plant("nickname"), "is_favorite": true});
    maria.put(&format!("/contacts/{}", carlos.id), &renamed).await.expect(200);
    let newcomer = json!({
        "email": format!("{}@clinic.example", plant("newcomer's address")), "password": plant("newcomer's password"),
        "full_name": plant("newcomer's name"), "display_name": plant("newcomer's display name"), "role": "patient",
    });
    world.anonymous().post("/auth/register", &newcomer).await.expect(202);
}

/// The group, with everything in it.
async fn say_all_there_is_to_say(world: &World, canaries: &mut Canaries) {
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let mut plant = |field| canaries.plant(field);
    let opened = json!({
        "type": "group", "title": plant("first title"), "description": plant("first description"),
        "participants": [ana.id, carlos.id],
        "metadata": {"consultation_type": "follow_up", "tags": [plant("first tag")]},
    });
    let group = text(&maria.post("/conversations", &opened).await.expect(201), "id").to_owned();
    let tag = plant("tag");
    let changed = json!({
        "title": plant("title"), "description": plant("description"), "metadata": {"tags": [tag]},
    });
    patch(&maria, &format!("/conversations/{group}"), changed).await;
    maria.post(&format!("/conversations/{group}/invitation-links"), &json!({})).await.expect(201);

    let path = format!("/conversations/{group}/messages");
    let plain = json!({
        "content": plant("message"), "client_message_id": plant("message's client name"),
        "source": plant("program a message was written with"), "client_sent_at": "2026-01-01T00:00:00Z",
    });
    let said = ana.post(&path, &plain).await.expect(201);
    let id = text(&said, "id");
    let prescription = json!({"message_type": "prescription", "content": plant("words beside a prescription"), "payload": {
        "items": [{
            "medication": plant("medication"), "dose": plant("dose"), "frequency": plant("frequency"),
            "duration": plant("duration"), "instructions": plant("instructions"),
        }],
        "notes": plant("prescription's notes"),
    }});
    maria.post(&path, &prescription).await.expect(201);
    let appointment = json!({"message_type": "appointment", "content": plant("words beside an appointment"), "payload": {
        "starts_at": "2027-03-01T15:00:00Z", "duration_minutes": 30, "title": plant("appointment's title"),
        "location": plant("appointment's place"),
    }});
    maria.post(&path, &appointment).await.expect(201);
    let name = format!("{}.pdf", plant("file's name"));
    let about = plant("file's description");
    let document = pdf(&plant("file's content"));
    let more = [("description", about.as_str())];
    let file = offer(&maria, &group, (&name, "application/pdf", &document), &more).await.expect(201);
    let file = text(&file, "id");
    settled(&ana, file, "active").await;
    let body =
        json!({"message_type": "file", "content": plant("words beside a file"), "attachments": [file]});
    maria.post(&path, &body).await.expect(201);
    ana.get(&format!("/files/{file}/content")).await;
    ana.get(&format!("/files/{file}/preview")).await;
    let drawn = json!({"title": plant("annotation's title"), "shapes": [
        {"kind": "text", "points": [[1, 1]], "label": plant("annotation's label")},
    ]});
    let drawn = maria.post(&format!("/files/{file}/annotations"), &drawn).await.expect(201);
    let drawn = format!("/files/{file}/annotations/{}", text(&drawn, "id"));
    let redrawn = json!({"version": 1, "shapes": [
        {"kind": "text", "points": [[1, 1]], "label": plant("redrawn annotation's label")},
    ]});
    maria.put(&drawn, &redrawn).await.expect(200);
    let refused = format!("{}.exe", plant("refused file's name"));
    let content = plant("refused file's content");
    offer(&maria, &group, (&refused, "text/plain", content.as_bytes()), &[]).await.any_problem(415);
    let said = format!("filename {}", STANDARD.encode(plant("unfinished file's name") + ".pdf"));
    let begun = Request::new(Method::POST, "/files/uploads")
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "100000")
        .header("Upload-Metadata", &format!("{said},conversation_id {}", STANDARD.encode(&group)));
    let begun = maria.request(begun).await;
    let piece =
        Request::new(Method::PATCH, begun.header("location").expect("a place").trim_start_matches("/api/v1"))
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", "0")
            .raw("application/offset+octet-stream", pdf(&plant("unfinished file's content")));
    assert_eq!(maria.request(piece).await.status, 204);
    // There are no such files, and what the server says by itself cannot be sent: refused, and forgotten.
    for kind in ["file", "image", "audio", "video", "system"] {
        let body = json!({"message_type": kind, "content": plant("words beside no file"), "attachments": [unused_id()]});
        ana.post(&path, &body).await.any_problem(422);
    }
    let mut socket = ana.connect_to(&group).await;
    let command = json!({
        "type": "message.send", "conversation_id": group, "client_message_id": "c-1", "content": plant("message by socket"),
    });
    socket.call(command).await;
    let at = Connect::new(format!("/ws/chat/{group}/?token={}", ana.token()));
    let mut dialect = ana.try_connect(at).await.expect("a socket");
    dialect
        .text(&json!({"action": "send_message", "content": plant("message in dialect")}).to_string())
        .await;
    dialect.next_event("new_message").await;
    let body = json!({"content": plant("message by a documented path")});
    let sent = ana
        .request(Request::new(Method::POST, format!("//api/chat/conversations/{group}/messages")).json(&body))
        .await;
    assert!(sent.status < 300, "{}", sent.text);

    patch(&ana, &format!("/messages/{id}"), json!({"content": plant("second wording")})).await;
    socket.call(json!({"type": "message.edit", "message_id": id, "content": plant("third wording")})).await;
    let correction = json!({"content": plant("correction"), "reason": plant("correction's reason")});
    ana.post(&format!("/messages/{id}/corrections"), &correction).await.expect(201);
    let reply = json!({"content": plant("answer"), "reply_to": id});
    maria.post(&path, &reply).await.expect(201);
    let slip = ana.send(&group, &plant("message taken back")).await;
    ana.delete(&format!("/messages/{}", text(&slip, "id"))).await.expect(204);
    let colleagues = maria.open_direct(&carlos.id).await;
    maria
        .post(&format!("/messages/{id}/forward"), &json!({"conversation_ids": [colleagues]}))
        .await
        .expect(200);
    ana.put(&format!("/conversations/{group}/draft"), &json!({"content": plant("draft")})).await.expect(200);
    let later = SystemClock.now() + TimeDelta::hours(1);
    let put_off = json!({
        "content": plant("scheduled message"), "scheduled_for": later.to_rfc3339(),
        "client_message_id": plant("scheduled message's client name"),
    });
    let put_off = ana.post(&path, &put_off).await.expect(202);
    let other = json!({"content": plant("scheduled message, reworded")});
    patch(&ana, &format!("/messages/scheduled/{}", text(&put_off, "id")), other).await;

    // What is looked for is asked for in addresses.
    let word = &canaries.planted.iter().find(|(field, _)| *field == "answer").expect("an answer").1.clone();
    eventually("it is found", async || {
        !list(&ana.get(&format!("/search?query={word}")).await.expect(200), "items").is_empty()
    })
    .await;
    ana.get(&format!("/conversations?tags={tag}")).await.expect(200);
    ana.get(&format!("/conversations?search={word}")).await.expect(200);
    ana.get(&format!("{path}?search={word}")).await.expect(200);
    let ended = json!({"reason": canaries.plant("reason to close")});
    maria.post(&format!("/conversations/{group}/close"), &ended).await.expect(200);
}

async fn complain_and_call_for_help(world: &World, canaries: &mut Canaries) {
    let [maria, ana, luis, admin, it] = world.sign_in_all([MARIA, ANA, LUIS, ADMIN, IT]).await;
    let mut plant = |field| canaries.plant(field);
    let conversation = ana.open_direct(&maria.id).await;
    let said = maria.send(&conversation, &plant("message that is reported")).await;
    let report = json!({"reason": "other", "comment": plant("report's comment")});
    let report = ana.post(&format!("/messages/{}/reports", text(&said, "id")), &report).await.expect(201);
    let case = format!("/moderation/reports/{}", text(&report, "id"));
    admin.get(&case).await.expect(200);
    patch(&admin, &case, json!({"status": "in_review", "version": 1})).await;
    let judged = json!({
        "status": "resolved", "resolution": "message_removed", "note": plant("moderator's note"), "version": 2,
    });
    patch(&admin, &case, judged).await;
    let opened = json!({"conversation_id": conversation, "reason": plant("reason to break the glass")});
    let grant = admin.post("/admin/break-glass", &opened).await.expect(201);
    admin.get(&format!("/admin/break-glass/{}/messages", text(&grant, "id"))).await.expect(200);
    luis.post("/emergencies", &json!({"message": plant("call for help")})).await.expect(201);
    it.get("/admin/audit").await;
}

#[tokio::test]
async fn nothing_that_people_confide_rests_in_clear() {
    let world = World::with(&[("ALIVIO_LOG", "debug")]).await;
    let client = sql(&world).await;
    client.batch_execute(WITNESS).await.expect("a witness");
    let mut canaries = Canaries::default();
    say_all_of_oneself(&world, &mut canaries).await;
    say_all_there_is_to_say(&world, &mut canaries).await;
    complain_and_call_for_help(&world, &mut canaries).await;
    world.terminate().await;

    let (columns, logs) = (all_columns(&client).await, world.logs().to_lowercase());
    let blobs = all_blobs(&world.data_dir().join("files"));
    assert!(blobs.len() > 1, "no bytes are kept, so this tests nothing of them");
    assert!(columns.len() > 500 && logs.lines().count() > 20, "nothing is kept, so this tests nothing");
    let (mut leaks, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (field, canary) in &canaries.planted {
        let shapes = shapes(canary);
        let shows = |text: &str| shapes.iter().any(|shape| text.contains(shape));
        if blobs.iter().any(|blob| shows(blob)) {
            leaks.insert(format!("{field}: in a blob"));
        }
        if shows(&logs) {
            leaks.insert(format!("{field}: in the log"));
        }
        for (place, _) in columns.iter().filter(|(_, value)| shows(value)) {
            let allowed = CLEAR.iter().find(|(known, places, _)| {
                known == field && places.iter().any(|allowed| place.starts_with(allowed))
            });
            match allowed {
                Some((known, ..)) => drop(seen.insert(*known)),
                None => drop(leaks.insert(format!("{field}: in {place}"))),
            }
        }
    }
    assert!(leaks.is_empty(), "readable where they must not be:\n{leaks:#?}");
    // What is allowed and does not happen would hide what begins to.
    let listed: BTreeSet<_> = CLEAR.iter().map(|(field, ..)| *field).collect();
    assert_eq!(seen, listed, "CLEAR names what is not kept in clear");
}
