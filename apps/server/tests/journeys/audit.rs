//! Who did what to whose data: what administrators and people themselves can read of it.

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{ADMIN, ANA, IT, MARIA};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::{World, fields, list, text};

/// The database itself, for what no client can do.
pub(crate) async fn sql(world: &World) -> Client {
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("the database");
    tokio::spawn(connection);
    client
}

/// All that matches `query`, which begins with `?`, page by page.
async fn trail(admin: &Actor, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/admin/audit{query}&page_size=2{cursor}")).await.expect(200);
        all.extend(list(&page, "items").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| text(entry, "action")).collect()
}

#[tokio::test]
async fn the_trail_tells_who_did_what_to_whom() {
    let world = World::new().await;
    let [it, admin, ana] = world.sign_in_all([IT, ADMIN, ANA]).await;
    let user = format!("/admin/users/{}", ana.id);
    it.get(&user).await.expect(200);
    it.post(&format!("{user}/deactivate"), &json!({})).await.expect(200);
    it.post(&format!("{user}/activate"), &json!({})).await.expect(200);
    ana.get("/admin/users").await.problem(401, "session_ended");
    let ana = world.sign_in(ANA).await;
    ana.get("/admin/users").await.problem(403, "forbidden");

    let about = trail(&admin, &format!("?subject={}", ana.id)).await;
    let done: Vec<_> = actions(&about).into_iter().filter(|action| action.starts_with("user.")).collect();
    assert_eq!(done, ["user.activated", "user.deactivated", "user.read"]);
    let entry = about.iter().find(|entry| entry["action"] == "user.deactivated").expect("the entry");
    let expected = [
        "action",
        "actor_id",
        "actor_role",
        "address",
        "at",
        "id",
        "object_id",
        "object_kind",
        "outcome",
        "reason",
        "subject_id",
    ];
    assert_eq!(fields(entry), expected);
    assert_eq!((&entry["actor_id"], &entry["actor_role"]), (&json!(it.id), &json!("it_admin")));
    assert_eq!((&entry["outcome"], &entry["address"]), (&json!("done"), &json!("127.0.0.1")));

    let denied = trail(&admin, &format!("?actor={}&outcome=denied", ana.id)).await;
    assert_eq!(actions(&denied), ["users.listed"]);
    assert_eq!(denied[0]["reason"], "missing_scope");
    assert_eq!(trail(&admin, "?action=user.de").await.len(), 1);
    let at = text(entry, "at");
    let since = trail(&admin, &format!("?action=user.&from={at}")).await;
    assert_eq!(actions(&since), ["user.activated", "user.deactivated"]);
    assert_eq!(actions(&trail(&admin, &format!("?action=user.&to={at}")).await), ["user.read"]);
    // Reading leaves a trace of its own, and both kinds of administrators may read.
    let reads = trail(&it, &format!("?actor={}&action=audit_log.", admin.id)).await;
    assert!(reads.len() >= 6, "{reads:?}");
    // Names and words are nowhere in it.
    for entry in trail(&it, "?outcome=done").await {
        for secret in ["ana.lopez", "Ana", "López", "Alivio-demo"] {
            assert!(!entry.to_string().contains(secret), "{entry}");
        }
    }
}

#[tokio::test]
async fn people_see_what_others_did_to_their_data_and_not_from_where() {
    let world = World::new().await;
    let [it, ana, maria] = world.sign_in_all([IT, ANA, MARIA]).await;
    it.get(&format!("/admin/users/{}", ana.id)).await.expect(200);
    it.get(&format!("/admin/users/{}", maria.id)).await.expect(200);
    ana.get("/auth/me").await.expect(200);
    let log = ana.get("/me/access-log").await.expect(200);
    let [entry] = list(&log, "items") else { panic!("one entry: {log}") };
    let expected =
        ["action", "actor_id", "actor_role", "at", "id", "object_id", "object_kind", "outcome", "reason"];
    assert_eq!(fields(entry), expected);
    assert_eq!((&entry["action"], &entry["actor_id"]), (&json!("user.read"), &json!(it.id)));
    assert!(!log.to_string().contains("127.0.0.1"));

    it.get(&format!("/admin/users/{}", ana.id)).await.expect(200);
    let first = ana.get("/me/access-log?page_size=1").await.expect(200);
    let next = ana.get(&format!("/me/access-log?page_size=1&cursor={}", text(&first, "next_cursor"))).await;
    let next = next.expect(200);
    assert_eq!((&next["items"][0]["id"], &next["next_cursor"]), (&entry["id"], &Value::Null));
}

#[tokio::test]
async fn only_administrators_read_the_trail_and_bad_questions_are_refused() {
    let world = World::new().await;
    let [admin, maria] = world.sign_in_all([ADMIN, MARIA]).await;
    let refused = maria.get("/admin/audit").await.problem(403, "forbidden");
    assert_eq!(refused["details"], json!({"reason": "missing_scope", "required_scope": "audit:read"}));
    for query in [
        "actor=x",
        "action=User",
        "action=a%25",
        "outcome=maybe",
        "from=yesterday",
        "cursor=1",
        "page_size=0",
        "who=me",
    ] {
        admin.get(&format!("/admin/audit?{query}")).await.problem(422, "validation_failed");
    }
    for query in ["cursor=x", "page_size=101", "subject=x"] {
        maria.get(&format!("/me/access-log?{query}")).await.problem(422, "validation_failed");
    }
}

/// AD-03: what cannot be recorded does not happen.
#[tokio::test]
async fn without_the_trail_nothing_changes_and_nothing_is_shown() {
    let world = World::new().await;
    let [it, admin, ana, maria] = world.sign_in_all([IT, ADMIN, ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    ana.send(&conversation, "Hola").await;
    let asked = json!({"conversation_id": conversation, "reason": "Aviso de riesgo vital"});
    let grant = admin.post("/admin/break-glass", &asked).await.expect(201);
    let grant = format!("/admin/break-glass/{}", text(&grant, "id"));
    let sql = sql(&world).await;
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$;
                CREATE TRIGGER fail BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION fail()";
    sql.batch_execute(fail).await.expect("a trail that takes nothing");

    let user = format!("/admin/users/{}", ana.id);
    let unavailable = [
        it.post(&format!("{user}/deactivate"), &json!({})).await,
        it.post(&format!("{user}/revoke-sessions"), &json!({})).await,
        it.get(&user).await,
        it.get("/admin/users").await,
        admin.get("/admin/audit").await,
        admin.get(&format!("{grant}/messages")).await,
        admin.delete(&grant).await,
        admin.get("/admin/credentials").await,
        admin.get("/admin/medical-professionals").await,
        admin.get("/auth/invitations").await,
        admin.get("/admin/break-glass").await,
    ];
    for answer in unavailable {
        answer.problem(503, "unavailable");
    }
    ana.get("/auth/me").await.expect(200);
    sql.batch_execute("DROP TRIGGER fail ON audit_log").await.expect("the trail is back");
    assert_eq!(it.get(&user).await.expect(200)["is_active"], true);
    assert_eq!(list(&admin.get(&format!("{grant}/messages")).await.expect(200), "items").len(), 1);
}
