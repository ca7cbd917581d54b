//! Nothing of what people confide shows in logs, in errors, or in the tables.

use alivio_testkit::actor::Request;
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA, PASSWORD};
use alivio_testkit::socket::{Connect, send_command};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::{World, text};

/// The directory holds it in plain text by purpose; nothing else does.
const PUBLISHED: &str = "the name of a professional";
const CANARY: &str = "Canario-7f3a9";

/// Everything that must not show: what was said, who people are, what opens doors.
async fn live_through_it(world: &World) -> Vec<(&'static str, String)> {
    let people = world.sign_in_all([MARIA, ANA, CARLOS, LUIS, ADMIN, IT, AISHA]).await;
    let [maria, ana, carlos, ..] = &people;
    let mut secrets = vec![("what was typed", CANARY.to_owned()), ("a password", PASSWORD.to_owned())];
    for person in &people {
        secrets.push(("an address", text(&person.user, "email").to_owned()));
        let role = text(&person.user, "role");
        let name = if matches!(role, "doctor" | "student" | "medical_admin") { PUBLISHED } else { "a name" };
        secrets.push((name, text(&person.user, "full_name").to_owned()));
        secrets.push((name, text(&person.user, "display_name").to_owned()));
        secrets.push(("an access token", person.token().to_owned()));
        secrets.push((
            "the signature of a token",
            person.token().rsplit('.').next().unwrap_or_default().to_owned(),
        ));
        secrets.push(("a refresh token", person.refresh_token.clone()));
    }
    let say = |what: &str| format!("{CANARY} {what}");
    let phone = "+34600123987";
    secrets.push(("a telephone", phone.to_owned()));
    let own = json!({
        "full_name": text(&ana.user, "full_name"), "display_name": text(&ana.user, "display_name"),
        "language": "es", "phone": phone,
    });
    ana.put("/me/profile", &own).await.expect(200);
    let license = "CMP-998877";
    secrets.push(("a licence number", license.to_owned()));
    maria.post("/me/credentials", &json!({"license_number": license, "note": say("nota")})).await.expect(200);
    maria.get("/users?q=Canario-7f3a9").await.expect(200);

    // All goes well.
    let asked = json!({
        "type": "group", "title": say("título"), "description": say("descripción"), "participants": [ana.id],
    });
    let group = maria.post("/conversations", &asked).await.expect(201);
    let group = text(&group, "id");
    let sent = maria.send(group, &say("mensaje")).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut socket = ana.connect_to(&conversation).await;
    socket.send(&conversation, "c-1", &say("por el enchufe")).await;
    let in_dialect = Connect::new(format!("/ws/chat/{conversation}/?token={}", ana.token()));
    let mut dialect = ana.try_connect(in_dialect).await.expect("a socket");
    dialect.text(&json!({"action": "send_message", "content": say("en dialecto")}).to_string()).await;
    dialect.next_event("new_message").await;
    let ticket = ana.ticket().await;
    ana.try_connect(Connect::new(format!("/api/v1/ws?ticket={ticket}"))).await.expect("a socket");
    ana.try_connect(Connect::new(format!("/api/v1/ws?ticket={ticket}"))).await.expect_err("used up");
    secrets.push(("a ticket", ticket));
    maria.read_up_to(group, text(&sent, "id")).await;
    let slip = maria.send(group, "un desliz").await;
    let id = text(&slip, "id");
    crate::edits::edit(maria, id, &json!({"content": format!("{CANARY} dos")})).await.expect(200);
    let correction = json!({"content": format!("{CANARY} tres"), "reason": CANARY});
    maria.post(&format!("/messages/{id}/corrections"), &correction).await.expect(201);
    let refreshed =
        Request::new(Method::POST, "/auth/refresh").json(&json!({"refresh_token": carlos.refresh_token}));
    let refreshed = carlos.with_sign_in(&carlos.request(refreshed).await.expect(200));
    secrets.push(("a refresh token", refreshed.refresh_token.clone()));

    // All goes wrong, with the words in every place they can be.
    let messages = format!("/conversations/{group}/messages");
    let long = CANARY.repeat(400);
    let wrong = [
        (messages.as_str(), json!({"content": long}).to_string()),
        (&messages, json!({"content": format!("{CANARY}\0")}).to_string()),
        (&messages, json!({"content": [CANARY]}).to_string()),
        (&messages, json!({"content": "x", "priority": CANARY}).to_string()),
        (&messages, json!({"content": "x", "message_type": CANARY}).to_string()),
        (&messages, json!({"content": "x", "client_message_id": format!("{CANARY} ñ")}).to_string()),
        (&messages, format!("{{\"content\": \"{CANARY}\"")),
        (&messages, CANARY.to_owned()),
        (&messages, json!(CANARY).to_string()),
        (&messages, json!({"content": {CANARY: CANARY}}).to_string()),
        ("/conversations", json!({"type": CANARY, "participants": [ana.id]}).to_string()),
        ("/conversations", json!({"type": "group", "title": long, "participants": [ana.id]}).to_string()),
        ("/conversations", json!({"type": "group", "participants": [CANARY]}).to_string()),
        ("/conversations/direct", json!({"user_id": CANARY}).to_string()),
        ("/auth/login", json!({"email": format!("{CANARY}@clinic.example"), "password": CANARY}).to_string()),
        ("/auth/login", json!({"email": ANA, "password": long}).to_string()),
        ("/auth/login", json!({"email": ANA, "password": [CANARY]}).to_string()),
        ("/auth/refresh", json!({"refresh_token": CANARY}).to_string()),
        ("/auth/refresh", json!({"refresh_token": {"x": CANARY}}).to_string()),
        (CANARY, "{}".to_owned()),
    ];
    for (path, body) in wrong {
        let path = if path == CANARY { format!("/{CANARY}?{CANARY}={CANARY}") } else { path.to_owned() };
        let answer = maria.request(Request::new(Method::POST, path).raw("application/json", body)).await;
        assert!((400..500).contains(&answer.status), "{}: {}", answer.asked, answer.text);
        assert!(!answer.text.contains(CANARY), "{} echoes: {}", answer.asked, answer.text);
    }
    for query in [format!("?before={CANARY}"), format!("?page={CANARY}")] {
        let answer = maria.get(&format!("{messages}{query}")).await;
        assert!(!answer.text.contains(CANARY), "{} echoes: {}", answer.asked, answer.text);
        answer.any_problem(422);
    }
    for header in
        ["Idempotency-Key", "X-Request-Id", "Accept-Language", "User-Agent", "Referer", "Origin", "Cookie"]
    {
        let asked = Request::new(Method::POST, "/conversations")
            .raw("application/json", "{")
            .header(header, &format!("<{CANARY} {CANARY}>"));
        let answer = maria.request(asked).await;
        assert!(!answer.text.contains(CANARY), "{header} is echoed: {}", answer.text);
    }
    maria
        .with_token(&format!("{CANARY}.{CANARY}.{CANARY}"))
        .get("/auth/me")
        .await
        .problem(401, "invalid_token");
    let bad_ticket = Connect::new(format!("/api/v1/ws?ticket={CANARY}"));
    let refused = ana.try_connect(bad_ticket).await.expect_err("refused");
    assert!(!refused.body.contains(CANARY), "{refused}");

    let frames = [
        CANARY.to_owned(),
        json!({"type": CANARY}).to_string(),
        json!({"type": "subscribe", "conversation_ids": [CANARY]}).to_string(),
        json!({"type": "typing.set", "conversation_id": conversation, "is_typing": CANARY}).to_string(),
        send_command(&conversation, &format!("{CANARY} ñ"), "x").to_string(),
        send_command(&conversation, "c-2", &long).to_string(),
        send_command(CANARY, "c-2", "x").to_string(),
    ];
    for frame in frames {
        socket.text(&frame).await;
        let error = socket.next_event("error").await;
        assert!(!error.to_string().contains(CANARY), "{error}");
        dialect.text(&frame).await;
        let error = dialect.next_event("error").await;
        assert!(!error.to_string().contains(CANARY), "{error}");
    }
    // Everyone goes, the hard way and the soft way.
    drop(dialect);
    refreshed.request(Request::new(Method::POST, "/auth/logout")).await.expect(204);
    world.terminate().await;
    secrets
}

#[tokio::test]
async fn the_logs_know_nothing() {
    let world = World::with(&[("ALIVIO_LOG", "debug")]).await;
    let secrets = live_through_it(&world).await;
    let logs = world.logs();
    assert!(logs.lines().count() > 20, "nothing is logged, so this tests nothing:\n{logs}");
    for (what, secret) in &secrets {
        assert!(secret.len() > 2, "{what} is too short to be looked for");
        let found: Vec<_> = logs.lines().filter(|line| line.contains(secret.as_str())).collect();
        assert!(found.is_empty(), "{what} is in the log:\n{}", found.join("\n"));
    }
    // The banner shows the demo's sign-ins and nothing else.
    let banner = world.banner();
    for (what, secret) in secrets
        .iter()
        .filter(|(what, _)| what.contains("token") || what.contains("typed") || what.contains("ticket"))
    {
        assert!(!banner.contains(secret.as_str()), "{what} is on the screen");
    }
}

#[tokio::test]
async fn the_tables_know_nothing() {
    let world = World::new().await;
    let secrets = live_through_it(&world).await;
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("the database");
    let connection = tokio::spawn(connection);
    let tables = client
        .query(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
            &[],
        )
        .await
        .expect("the tables");
    let mut rows = Vec::new();
    for table in &tables {
        let table: String = table.get(0);
        let query = format!("SELECT t::text FROM {table} AS t");
        for message in client.simple_query(&query).await.expect("the rows") {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((table.clone(), row.get(0).unwrap_or_default().to_owned()));
            }
        }
    }
    drop(client);
    connection.await.expect("the connection's end").expect("no error");
    for (table, least) in [("users", 7), ("messages", 3), ("conversations", 2)] {
        let count = rows.iter().filter(|(name, _)| name.ends_with(table)).count();
        assert!(count >= least, "{count} rows in {table}: this tests nothing");
    }
    for (what, secret) in &secrets {
        // As text, and as the bytes that a bytea column shows in hexadecimal.
        let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for (table, row) in &rows {
            if *what == PUBLISHED && table.ends_with(".professional_profiles") {
                continue;
            }
            let row = row.to_lowercase();
            assert!(!row.contains(&secret.to_lowercase()), "{what} is readable in {table}: {row}");
            assert!(!row.contains(&hexadecimal), "{what} is readable in {table}, as bytes: {row}");
        }
    }
    // And yet it is all there.
    world.restart().await;
    let maria = world.sign_in(MARIA).await;
    let list: Value = maria.get("/conversations?type=group").await.expect(200);
    assert_eq!(list["items"][0]["title"], format!("{CANARY} título"));
}
