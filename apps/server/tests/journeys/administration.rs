//! Accounts, for those who manage them; and what that does to those who are signed in (AU-10).

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA, PASSWORD, eventually};
use alivio_testkit::stopwatch::Stopwatch;
use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::sql;
use crate::{World, fields, list, text, unused_id};

/// AU-10: it is over everywhere within a second.
const ONE_SECOND: Duration = Duration::from_secs(1);

fn user(id: &str) -> String {
    format!("/admin/users/{id}")
}

async fn act(it: &Actor, id: &str, what: &str) -> Answer {
    it.request(Request::new(Method::POST, format!("/admin/users/{id}/{what}"))).await
}

async fn set_role(it: &Actor, id: &str, role: &str) -> Answer {
    it.request(Request::new(Method::PATCH, user(id)).json(&json!({"role": role}))).await
}

fn ids(page: &Value) -> Vec<&str> {
    list(page, "items").iter().map(|user| text(user, "id")).collect()
}

#[tokio::test]
async fn accounts_are_found_by_role_state_and_address() {
    let world = World::new().await;
    let [it, ana, maria, carlos] = world.sign_in_all([IT, ANA, MARIA, CARLOS]).await;
    let all = it.get("/admin/users").await.expect(200);
    assert_eq!(list(&all, "items").len(), 7);
    let expected = ["created_at", "email", "full_name", "id", "is_active", "last_seen_at", "role"];
    assert_eq!(fields(&all["items"][0]), expected);

    let doctors = it.get("/admin/users?role=specialist").await.expect(200);
    let mut found = ids(&doctors);
    found.sort_unstable();
    let mut expected = [maria.id.as_str(), carlos.id.as_str()];
    expected.sort_unstable();
    assert_eq!(found, expected);
    let one = it.get("/admin/users?email=Ana.Lopez%40Clinic.Example").await.expect(200);
    assert_eq!(ids(&one), [ana.id.as_str()]);
    assert_eq!((&one["items"][0]["email"], &one["items"][0]["role"]), (&json!(ANA), &json!("patient")));
    assert_eq!(ids(&it.get("/admin/users?email=nobody%40x.example").await.expect(200)), [""; 0]);
    act(&it, &ana.id, "deactivate").await.expect(200);
    assert_eq!(ids(&it.get("/admin/users?is_active=false").await.expect(200)), [ana.id.as_str()]);

    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = it.get(&format!("/admin/users?page_size=3{cursor}")).await.expect(200);
        paged.extend(ids(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, ids(&all));
    let second = it.get("/admin/users?page_size=3&page=2").await.expect(200);
    assert_eq!(ids(&second), ids(&all)[3..6]);
    for query in ["role=root", "email=x", "is_active=1", "cursor=x", "page=0", "page_size=101", "name=Ana"] {
        it.get(&format!("/admin/users?{query}")).await.problem(422, "validation_failed");
    }
    let both = format!("/admin/users?page=2&cursor={}", ana.id);
    it.get(&both).await.problem(422, "validation_failed");

    assert_eq!(it.get(&user(&maria.id)).await.expect(200)["email"], MARIA);
    it.get(&user(&unused_id())).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_an_administrator_does_is_over_everywhere_within_a_second() {
    let world = World::new().await;
    let it = world.sign_in(IT).await;
    for what in ["deactivate", "role", "revoke-sessions"] {
        let [maria, elsewhere, carlos] = world.sign_in_all([MARIA, MARIA, CARLOS]).await;
        let mut sockets = [maria.connect().await, elsewhere.connect().await];
        let mut other = carlos.connect().await;
        let ticket = maria.ticket().await;
        // What is remembered for a second must be forgotten sooner.
        maria.get("/auth/me").await.expect(200);

        let began = Stopwatch::start();
        match what {
            "role" => assert_eq!(
                set_role(&it, &maria.id, "medical_admin").await.expect(200)["role"],
                "medical_admin"
            ),
            "deactivate" => assert_eq!(act(&it, &maria.id, what).await.expect(200)["is_active"], false),
            _ => drop(act(&it, &maria.id, what).await.expect(204)),
        }
        for socket in &mut sockets {
            assert_eq!(socket.close_code().await, Some(4401), "{what}");
        }
        eventually("it is over", async || maria.get("/auth/me").await.status == 401).await;
        assert!(began.elapsed() < ONE_SECOND, "{what} took {:?}", began.elapsed());
        for actor in [&maria, &elsewhere] {
            actor.get("/auth/me").await.problem(401, "session_ended");
            let refresh = json!({"refresh_token": actor.refresh_token});
            world.anonymous().post("/auth/refresh", &refresh).await.problem(401, "invalid_refresh_token");
        }
        let with_ticket = alivio_testkit::socket::Connect::new(format!("/api/v1/ws?ticket={ticket}"));
        assert_eq!(maria.try_connect(with_ticket).await.expect_err("no socket").status, Some(401));
        // Others are not concerned.
        carlos.get("/auth/me").await.expect(200);
        assert!(other.settled().await.iter().all(|frame| frame["type"] != "error"));

        let sign_in = json!({"email": MARIA, "password": PASSWORD});
        if what == "deactivate" {
            world.anonymous().post("/auth/login", &sign_in).await.problem(401, "invalid_credentials");
            assert_eq!(act(&it, &maria.id, "activate").await.expect(200)["is_active"], true);
        }
        // The refused try has locked the address for a second.
        let mut back = serde_json::Value::Null;
        eventually("she is back", async || {
            back = world.anonymous().post("/auth/login", &sign_in).await.json;
            back["user"].is_object()
        })
        .await;
        assert_eq!(back["user"]["role"] == "medical_admin", what != "deactivate");
        maria.get("/auth/me").await.problem(401, "session_ended");
    }
}

#[tokio::test]
async fn doing_it_again_changes_and_records_nothing() {
    let world = World::new().await;
    let [it, luis] = world.sign_in_all([IT, LUIS]).await;
    let sql = sql(&world).await;
    let count = async || {
        let query = "SELECT count(*) FROM audit_log WHERE action LIKE 'user.%ctivated'";
        sql.query_one(query, &[]).await.expect("a row").get::<_, i64>(0)
    };
    act(&it, &luis.id, "activate").await.expect(200);
    assert_eq!(count().await, 0);
    act(&it, &luis.id, "deactivate").await.expect(200);
    act(&it, &luis.id, "deactivate").await.expect(200);
    assert_eq!(count().await, 1);
    set_role(&it, &luis.id, "patient").await.expect(200);
    act(&it, &luis.id, "activate").await.expect(200);
    assert_eq!(count().await, 2);
}

#[tokio::test]
async fn nobody_changes_themselves_and_patients_stay_patients() {
    let world = World::new().await;
    let [it, ana, maria, aisha] = world.sign_in_all([IT, ANA, MARIA, AISHA]).await;
    for what in ["deactivate", "activate", "revoke-sessions"] {
        let refused = act(&it, &it.id, what).await.problem(403, "forbidden");
        assert_eq!(refused["details"]["reason"], "own_account");
        act(&it, &unused_id(), what).await.problem(404, "not_found");
    }
    set_role(&it, &it.id, "medical_admin").await.problem(403, "forbidden");
    set_role(&it, &unused_id(), "doctor").await.problem(404, "not_found");
    for role in ["doctor", "student", "medical_admin", "it_admin"] {
        set_role(&it, &ana.id, role).await.problem(409, "role_not_assignable");
    }
    set_role(&it, &maria.id, "patient").await.problem(409, "role_not_assignable");
    for role in ["root", "", "Doctor"] {
        set_role(&it, &maria.id, role).await.problem(422, "validation_failed");
    }
    // Those who were refused are still signed in, as who they were.
    for actor in [&it, &ana, &maria] {
        assert_eq!(actor.get("/auth/me").await.expect(200)["role"], actor.user["role"]);
    }
    // A student becomes a professional.
    assert_eq!(set_role(&it, &aisha.id, "doctor").await.expect(200)["role"], "doctor");
}

#[tokio::test]
async fn of_two_administrators_that_deactivate_each_other_one_remains() {
    let world = World::new().await;
    let [it, aisha] = world.sign_in_all([IT, AISHA]).await;
    set_role(&it, &aisha.id, "it_admin").await.expect(200);
    for _ in 0..3 {
        let [one, other] = world.sign_in_all([IT, AISHA]).await;
        let (first, second) =
            tokio::join!(act(&one, &other.id, "deactivate"), act(&other, &one.id, "deactivate"));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        // Who comes second finds themselves the last, or signed out already.
        assert!(matches!(statuses, [200, 401 | 409]), "{statuses:?}");
        let active = "SELECT count(*) FROM users WHERE role = 'it_admin' AND is_active";
        let sql = sql(&world).await;
        assert_eq!(sql.query_one(active, &[]).await.expect("a row").get::<_, i64>(0), 1);
        let (winner, loser) = if first.status == 200 { (&one, &other) } else { (&other, &one) };
        act(winner, &loser.id, "activate").await.expect(200);
    }
}

#[tokio::test]
async fn only_those_who_run_the_installation_manage_accounts() {
    let world = World::new().await;
    let [admin, maria, ana] = world.sign_in_all([ADMIN, MARIA, ANA]).await;
    for actor in [&admin, &maria, &ana] {
        let refused = actor.get("/admin/users").await.problem(403, "forbidden");
        assert_eq!(refused["details"], json!({"reason": "missing_scope", "required_scope": "users:manage"}));
        // Whether there is such an account is told to nobody else.
        actor.get(&user(&unused_id())).await.problem(403, "forbidden");
        act(actor, &ana.id, "deactivate").await.problem(403, "forbidden");
        set_role(actor, &maria.id, "it_admin").await.problem(403, "forbidden");
    }
}

/// Runs `alivio create-admin` beside the server.
fn create_admin(world: &World, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_alivio"))
        .arg("create-admin")
        .args(arguments)
        .env("DATABASE_URL", world.database.url())
        .env("ALIVIO_DATA_DIR", world.data_dir())
        .env("ALIVIO_LOG", "warn")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("a line");
    child.wait_with_output().expect("its end")
}

#[tokio::test]
async fn the_first_administrator_comes_from_the_command_line() {
    let world = World::new().await;
    let who = ["--email", "root@clinic.example", "--full-name", "Rosa Ortega"];
    let refused = create_admin(&world, &who, "");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("--force"), "{words}");

    sql(&world)
        .await
        .batch_execute("UPDATE users SET is_active = false WHERE role = 'it_admin'")
        .await
        .expect("nobody is left");
    let made = create_admin(&world, &who, "");
    let words = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{words} {}", String::from_utf8_lossy(&made.stderr));
    let password = words.lines().last().expect("a password");
    assert!(password.len() > 30 && !world.logs().contains(password), "{words}");
    let body = json!({"email": "root@clinic.example", "password": password});
    let answer = world.anonymous().post("/auth/login", &body).await.expect(200);
    assert_eq!((&answer["stage"], &answer["user"]["role"]), (&json!("change_password"), &json!("it_admin")));

    // There is one now; with a password of one's own, and by force.
    assert!(!create_admin(&world, &["--email", "b@clinic.example", "--full-name", "B"], "").status.success());
    let forced = ["--email", "b@clinic.example", "--full-name", "B", "--password-stdin", "--force"];
    // The same rules as for everyone.
    for weak in ["short", "aaaaaaaaaaaaaaaa", "b@clinic.example"] {
        assert!(!create_admin(&world, &forced, &format!("{weak}\n")).status.success(), "{weak}");
    }
    let made = create_admin(&world, &forced, "correct horse battery\n");
    assert!(made.status.success() && !String::from_utf8_lossy(&made.stdout).contains("horse"));
    let body = json!({"email": "b@clinic.example", "password": "correct horse battery"});
    let answer = world.anonymous().post("/auth/login", &body).await.expect(200);
    assert_eq!((&answer["stage"], &answer["user"]["full_name"]), (&json!("full"), &json!("B")));
    assert!(
        !create_admin(&world, &forced, "correct horse battery\n").status.success(),
        "the address is taken"
    );
    assert!(!create_admin(&world, &["--email", "x", "--full-name", "B", "--force"], "").status.success());
}
