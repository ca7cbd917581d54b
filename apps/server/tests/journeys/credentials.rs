//! How accounts come to be, and how passwords live.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ADMIN, ANA, IT, LUIS, MARIA, PASSWORD, eventually};
use alivio_testkit::stopwatch::Stopwatch;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::{World, fields, list, text, unused_id};

const NEW: &str = "caballo correcto batería";
const JULIA: &str = "julia.prieto@example.com";
const ONE_SECOND: Duration = Duration::from_secs(1);

/// The secret in the newest letter of `kind` to `to`, once it has come.
pub(crate) async fn letter(world: &World, to: &str, kind: &str) -> Value {
    let mut found = Value::Null;
    let what = format!("{kind} to {to}");
    eventually(&what, async || {
        let items = outbox(world, to).await;
        found = items.into_iter().find(|item| item["kind"] == kind).unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

pub(crate) async fn outbox(world: &World, to: &str) -> Vec<Value> {
    let asked = Request::new(Method::GET, format!("//dev/outbox?to={to}"));
    let mut items = list(&world.anonymous().request(asked).await.expect(200), "items").to_vec();
    for item in &mut items {
        item["secret"] = json!(secret(text(item, "text")));
    }
    items
}

/// What a letter is good for: the token behind the `#` of its link, or the password on a line of its own.
fn secret(letter: &str) -> Option<&str> {
    let token =
        letter.split_once("#token=").map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default());
    token.or_else(|| letter.lines().find_map(|line| line.strip_prefix("    ")))
}

async fn login(actor: &Actor, email: &str, password: &str) -> Answer {
    actor.post("/auth/login", &json!({"email": email, "password": password})).await
}

/// Changes what only time changes.
async fn sql(world: &World, statement: &str) -> u64 {
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.execute(statement, &[]).await.expect("it runs")
}

async fn audited(world: &World, action: &str, outcome: &str) -> i64 {
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let query = "SELECT count(*) FROM audit_log WHERE action = $1 AND outcome = $2";
    client.query_one(query, &[&action, &outcome]).await.expect("a count").get(0)
}

fn registration(email: &str) -> Value {
    json!({"email": email, "password": NEW, "full_name": "Julia Prieto Sanz", "role": "patient"})
}

async fn invite(inviter: &Actor, world: &World, email: &str, role: &str) -> String {
    inviter.post("/auth/invitations", &json!({"email": email, "role": role})).await.expect(202);
    text(&letter(world, email, "invitation").await, "secret").to_owned()
}

fn professional(email: &str, token: &str) -> Value {
    json!({
        "email": email, "full_name": "Marcos Rey Blanco", "license_number": "28-2871234",
        "specialty": "Dermatology", "registration_token": token,
    })
}

async fn temporary(actor: &Actor, email: &str, password: &str) -> Answer {
    actor.post("/auth/login-temporary", &json!({"email": email, "temporary_password": password})).await
}

/// C-29: a patient signs up, confirms the address, and signs in.
#[tokio::test]
async fn someone_signs_up_and_confirms() {
    let world = World::new().await;
    let anyone = world.anonymous();
    let answer = anyone.post("/auth/register", &registration(JULIA)).await.expect(202);
    assert_eq!(answer, json!({"status": "confirmation_sent"}));
    login(&anyone, JULIA, NEW).await.problem(401, "invalid_credentials");

    let letter = letter(&world, JULIA, "confirm_email").await;
    let confirm = json!({"token": letter["secret"], "password": NEW});
    let answers = join_all((0..8).map(|_| anyone.post("/auth/confirm-email", &confirm))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(won.len(), 1, "a token works once");
    lost.into_iter().for_each(|answer| drop(answer.problem(401, "invalid_secret")));

    // Wait out the lock of the sign-in that came too early.
    let mut signed_in = Value::Null;
    eventually("the lock is over", async || {
        let answer = login(&anyone, JULIA, NEW).await;
        signed_in = answer.json;
        answer.status == 200
    })
    .await;
    let julia = anyone.with_sign_in(&signed_in);
    assert_eq!(julia.id, text(&won[0].json, "user_id"));
    assert_eq!(
        (&julia.user["role"], &julia.user["display_name"]),
        (&json!("patient"), &json!("Julia Prieto Sanz"))
    );
    assert_eq!(audited(&world, "registration.confirmed", "done").await, 1);
    assert_eq!(audited(&world, "registration.confirmed", "failed").await, 7);
}

/// AU-02: nothing tells that an address is taken, but the letter to it.
#[tokio::test]
async fn signing_up_with_a_taken_address_looks_the_same() {
    let world = World::new().await;
    let anyone = world.anonymous();
    let free = anyone.post("/auth/register", &registration(JULIA)).await;
    let taken = anyone.post("/auth/register", &registration(ANA)).await;
    assert_eq!((free.status, &free.text), (taken.status, &taken.text));
    assert_eq!(letter(&world, ANA, "already_registered").await["secret"], Value::Null);
    login(&anyone, ANA, NEW).await.problem(401, "invalid_credentials");

    // Of two who sign up with one address, whoever confirms first has it.
    letter(&world, JULIA, "confirm_email").await;
    anyone.post("/auth/register", &registration(JULIA)).await.expect(202);
    eventually("both letters", async || outbox(&world, JULIA).await.len() == 2).await;
    let confirm = |letter: &Value| json!({"token": letter["secret"], "password": NEW});
    let tokens: Vec<_> = outbox(&world, JULIA).await.iter().map(confirm).collect();
    let answers = join_all(tokens.iter().map(|token| anyone.post("/auth/confirm-email", token))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

/// Someone who signs up with the address of another gets nowhere by the other's click: whoever confirms must know the
/// password. Of guesses there are five.
#[tokio::test]
async fn nobody_confirms_for_a_stranger() {
    let world = World::new().await;
    let anyone = world.anonymous();
    anyone.post("/auth/register", &registration(JULIA)).await.expect(202);
    let token = letter(&world, JULIA, "confirm_email").await["secret"].clone();
    let confirm = async |token: &Value, password: &str| {
        anyone.post("/auth/confirm-email", &json!({"token": token, "password": password})).await
    };
    let problem = anyone.post("/auth/confirm-email", &json!({"token": token})).await;
    assert_eq!(problem.problem(422, "validation_failed")["details"]["field"], "password");
    let unknown = confirm(&json!("alc_x"), NEW).await;
    for n in 0..5 {
        let wrong = confirm(&token, &format!("la de Julia {n}")).await;
        assert_eq!(wrong.comparable(), unknown.comparable());
        wrong.problem(401, "invalid_secret");
    }
    // By now it is gone, whoever comes.
    confirm(&token, NEW).await.problem(401, "invalid_secret");
    login(&anyone, JULIA, NEW).await.problem(401, "invalid_credentials");
    assert_eq!(audited(&world, "registration.confirmed", "failed").await, 7);

    // She signs up herself, and a slip does not matter.
    anyone.post("/auth/register", &registration(JULIA)).await.expect(202);
    eventually("both letters", async || outbox(&world, JULIA).await.len() == 2).await;
    let token = outbox(&world, JULIA).await[0]["secret"].clone();
    confirm(&token, "otra contraseña").await.problem(401, "invalid_secret");
    confirm(&token, NEW).await.expect(201);
}

/// Whoever is dismissed leaves no door open, and whoever is demoted none that they may no longer open.
#[tokio::test]
async fn an_invitation_ends_with_the_right_to_issue_it() {
    let world = World::new().await;
    let ([it, admin], anyone) = (world.sign_in_all([IT, ADMIN]).await, world.anonymous());
    let made = admin_made(&world).await;
    let spare = world.anonymous().with_sign_in(&login(&anyone, SPARE, NEW).await.expect(200));
    let take = async |email: &str, token: &str| {
        anyone.post("/auth/register-medical-professional", &professional(email, token)).await
    };
    let (first, second) = ("uno@private.example", "dos@private.example");
    let hidden = invite(&spare, &world, first, "it_admin").await;
    let demoted = invite(&admin, &world, second, "doctor").await;
    let user = format!("/admin/users/{made}");
    it.post(&format!("{user}/deactivate"), &json!({})).await.expect(200);
    let asked =
        Request::new(Method::PATCH, format!("/admin/users/{}", admin.id)).json(&json!({"role": "doctor"}));
    it.request(asked).await.expect(200);
    let guessed = take(first, "ali_guessed").await;
    for refused in [take(first, &hidden).await, take(second, &demoted).await] {
        assert_eq!(refused.comparable(), guessed.comparable());
        refused.problem(401, "invalid_secret");
    }
    assert_eq!(list(&it.get("/auth/invitations").await.expect(200), "items").len(), 0);
    assert_eq!(audited(&world, "invitation.listed", "done").await, 1);
}

const SPARE: &str = "spare@clinic.example";

/// Another administrator of the installation, with the password [`NEW`].
async fn admin_made(world: &World) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_alivio"))
        .args(["create-admin", "--email", SPARE, "--full-name", "Spare", "--force", "--password-stdin"])
        .env("DATABASE_URL", world.database.url())
        .env("ALIVIO_DATA_DIR", world.data_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    child.stdin.take().expect("its input").write_all(format!("{NEW}\n").as_bytes()).expect("a line");
    let made = child.wait_with_output().expect("its end");
    String::from_utf8_lossy(&made.stdout).split_whitespace().nth(1).expect("an id").to_owned()
}

/// The person gets the letter that they could have asked for, and nobody else learns anything.
#[tokio::test]
async fn an_administrator_has_a_password_reset() {
    let world = World::new().await;
    let ([it, admin, ana], anyone) = (world.sign_in_all([IT, ADMIN, ANA]).await, world.anonymous());
    let reset = async |actor: &Actor, id: &str| {
        actor.request(Request::new(Method::POST, format!("/admin/users/{id}/reset-password"))).await
    };
    for actor in [&admin, &ana] {
        reset(actor, &ana.id).await.problem(403, "forbidden");
    }
    let own = reset(&it, &it.id).await.problem(403, "forbidden");
    assert_eq!(own["details"]["reason"], "own_account");
    reset(&it, &unused_id()).await.problem(404, "not_found");
    assert_eq!(audited(&world, "user.password_reset_requested", "denied").await, 3);

    assert_eq!(reset(&it, &ana.id).await.expect(202), json!({"status": "reset_requested"}));
    let token = letter(&world, ANA, "password_reset").await["secret"].clone();
    assert_eq!(audited(&world, "user.password_reset_requested", "done").await, 1);
    let log = ana.get("/me/access-log").await.expect(200);
    assert_eq!(log["items"][0]["action"], "user.password_reset_requested");
    let asked = json!({"token": token, "new_password": NEW});
    anyone.post("/auth/password/reset", &asked).await.expect(200);
    login(&anyone, ANA, NEW).await.expect(200);
}

/// S0-232: from elsewhere nobody gets as far as a credential.
#[tokio::test]
async fn one_signs_in_from_the_networks_that_are_allowed() {
    let world = World::with(&[
        ("ALIVIO_ALLOWED_NETWORKS", "127.0.0.0/8, 10.20.0.0/16"),
        ("ALIVIO_TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let (ana, anyone) = (world.sign_in(ANA).await, world.anonymous());
    let from = async |address: &str, path: &str, body: &Value| {
        let asked = Request::new(Method::POST, path).json(body).header("X-Forwarded-For", address);
        anyone.request(asked).await
    };
    let right = json!({"email": ANA, "password": PASSWORD});
    let refresh = json!({"refresh_token": ana.refresh_token});
    let requests = [
        ("/auth/login", right.clone()),
        ("/auth/login", json!({"email": ANA, "password": "wrong"})),
        ("/auth/login-temporary", json!({"email": ANA, "temporary_password": "x"})),
        ("/auth/refresh", refresh.clone()),
    ];
    for (path, body) in &requests {
        from("203.0.113.5", path, body).await.problem(403, "network_not_allowed");
    }
    assert_eq!(audited(&world, "sign_in.network", "denied").await, 4);
    assert_eq!(audited(&world, "sign_in.password", "failed").await, 0);
    from("10.20.3.4", "/auth/login", &right).await.expect(200);
    from("10.20.3.4", "/auth/refresh", &refresh).await.expect(200);
    // Whoever is signed in may travel.
    let me = Request::new(Method::GET, "/auth/me").header("X-Forwarded-For", "203.0.113.5");
    ana.request(me).await.expect(200);
}

#[tokio::test]
async fn who_may_not_sign_up_and_with_what() {
    let world = World::new().await;
    let anyone = world.anonymous();
    let with = |field: &str, value: Value| {
        let mut body = registration(JULIA);
        body[field] = value;
        body
    };
    for (body, rule) in [
        (with("role", json!("doctor")), "unknown"),
        (with("role", json!("it_admin")), "unknown"),
        (with("password", json!("corta")), "too_short"),
        (with("password", json!("x1".repeat(600))), "too_long"),
        (with("password", json!("contraseña")), "too_common"),
        (with("password", json!(JULIA)), "too_common"),
        (with("email", json!("nobody")), "malformed"),
        (with("full_name", json!(" ")), "empty"),
        (with("is_active", json!(true)), "unknown_field"),
    ] {
        let problem = anyone.post("/auth/register", &body).await.problem(422, "validation_failed");
        assert_eq!(problem["details"]["rule"], rule, "{body}");
    }
    anyone.post("/auth/register", &registration(JULIA)).await.expect(202);
    let secret = letter(&world, JULIA, "confirm_email").await["secret"].clone();
    sql(&world, "UPDATE pending_registrations SET expires_at = now()").await;
    for token in [secret, json!("alc_x"), json!("")] {
        let confirm = json!({"token": token, "password": NEW});
        anyone.post("/auth/confirm-email", &confirm).await.problem(401, "invalid_secret");
    }

    let closed = World::with(&[("ALIVIO_OPEN_REGISTRATION", "false")]).await;
    closed.anonymous().post("/auth/register", &registration(JULIA)).await.problem(403, "registration_closed");
}

/// S3-25 … S3-33, S3-113, AU-04: an invited doctor registers, signs in with the temporary password, may do nothing but
/// change it, and is in.
#[tokio::test]
async fn an_invited_doctor_comes_in() {
    let world = World::new().await;
    let (admin, anyone) = (world.sign_in(ADMIN).await, world.anonymous());
    let marcos = "marcos.rey@clinic.example";
    let token = invite(&admin, &world, marcos, "doctor").await;
    assert!(token.starts_with("ali_") && token.len() >= 26, "128 bits and more");
    let answer = anyone.post("/auth/register-medical-professional", &professional(marcos, &token)).await;
    let id = text(&answer.expect(201), "user_id").to_owned();

    let password = letter(&world, marcos, "temporary_password").await;
    let password = text(&password, "secret");
    login(&anyone, marcos, password).await.problem(401, "invalid_credentials");
    sql(&world, "DELETE FROM login_guards").await;

    // Of many at once one gets in, and the next try is as any wrong one.
    let answers = join_all((0..6).map(|_| temporary(&anyone, marcos, password))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "a temporary password works once");
    lost.into_iter().for_each(|answer| drop(answer.problem(401, "invalid_credentials")));
    let step = &won[0].json;
    assert_eq!((&step["stage"], &step["refresh_token"]), (&json!("change_password"), &Value::Null));

    let in_step = anyone.with_token(text(step, "access_token"));
    for path in ["/auth/me", "/conversations", "/auth/invitations"] {
        let problem = in_step.get(path).await.problem(403, "step_required");
        assert_eq!(problem["details"]["stage"], "change_password");
    }
    in_step.request(Request::new(Method::POST, "/ws/tickets")).await.problem(403, "step_required");
    let refused = in_step.try_connect(in_step.knock()).await.expect_err("no socket");
    assert!(matches!(refused.status, Some(401 | 403)), "{refused}");

    let changed = in_step.post("/auth/change-password", &json!({"new_password": NEW})).await.expect(200);
    let doctor = anyone.with_sign_in(&changed);
    assert_eq!((&changed["stage"], doctor.id.as_str()), (&json!("full"), id.as_str()));
    let me = doctor.get("/auth/me").await.expect(200);
    assert_eq!((&me["role"], &me["professional_title"]), (&json!("doctor"), &json!("Dermatology")));
    // The step was taken; its session is over.
    eventually("the step is over", async || in_step.get("/auth/me").await.status == 401).await;
    in_step
        .post("/auth/change-password", &json!({"new_password": PASSWORD}))
        .await
        .problem(401, "session_ended");
    sql(&world, "DELETE FROM login_guards").await;
    login(&anyone, marcos, NEW).await.expect(200);
    temporary(&anyone, marcos, password).await.problem(401, "invalid_credentials");
    letter(&world, marcos, "password_changed").await;
}

/// AU-04: after 24 hours it is worth nothing.
#[tokio::test]
async fn a_temporary_password_expires() {
    let world = World::new().await;
    let (it, anyone) = (world.sign_in(IT).await, world.anonymous());
    let email = "nuevo.it@clinic.example";
    let token = invite(&it, &world, email, "it_admin").await;
    let body = json!({"email": email, "full_name": "Nuevo", "registration_token": token});
    anyone.post("/auth/register-medical-professional", &body).await.expect(201);
    let password = letter(&world, email, "temporary_password").await;
    assert_eq!(sql(&world, "UPDATE temporary_passwords SET expires_at = now()").await, 1);
    let wrong = temporary(&anyone, email, "AAAAA-AAAAA-AAAAA-AAAAA").await;
    sql(&world, "DELETE FROM login_guards").await;
    let expired = temporary(&anyone, email, text(&password, "secret")).await;
    assert_eq!(expired.comparable(), wrong.comparable());
    expired.problem(401, "invalid_credentials");
}

/// AU-16: a token that is guessed, used, expired, taken back, or for another address.
#[tokio::test]
async fn an_invitation_is_for_one_address_once() {
    let world = World::new().await;
    let (admin, anyone) = (world.sign_in(ADMIN).await, world.anonymous());
    let take = async |email: &str, token: &str| {
        anyone.post("/auth/register-medical-professional", &professional(email, token)).await
    };
    let addresses = ["a@clinic.example", "b@clinic.example", "c@clinic.example", "d@clinic.example"];
    let mut tokens = Vec::new();
    for email in addresses {
        tokens.push(invite(&admin, &world, email, "doctor").await);
    }
    let open = admin.get("/auth/invitations?page_size=3").await.expect(200);
    assert_eq!(list(&open, "items").len(), 3);
    assert_eq!(list(&open, "items")[0]["email"], addresses[3]);
    let rest =
        admin.get(&format!("/auth/invitations?cursor={}", text(&open, "next_cursor"))).await.expect(200);
    assert_eq!(list(&rest, "items").len(), 1);
    assert!(tokens.iter().all(|token| !open.to_string().contains(&token[..])), "the token goes by mail only");
    assert_eq!(
        fields(&list(&open, "items")[0]),
        ["created_at", "email", "expires_at", "id", "issued_by", "language", "role"]
    );

    sql(
        &world,
        "UPDATE invitations SET expires_at = now() WHERE id = (SELECT min(id::text)::uuid FROM invitations)",
    )
    .await;
    let revoked = format!("/auth/invitations/{}", text(&list(&open, "items")[0], "id"));
    assert_eq!(admin.delete(&revoked).await.status, 204);
    admin.delete(&revoked).await.problem(404, "not_found");
    let refusals = [
        take(addresses[0], &tokens[0]).await,
        take(addresses[3], &tokens[3]).await,
        take(addresses[2], &tokens[1]).await,
        take(addresses[1], "ali_guessed").await,
    ];
    for refusal in &refusals {
        assert_eq!(refusal.comparable(), refusals[0].comparable());
    }
    refusals.into_iter().for_each(|refusal| drop(refusal.problem(401, "invalid_secret")));

    // A wrong address has not used it up. Of many at once one takes it.
    let answers = join_all((0..6).map(|_| take(addresses[1], &tokens[1]))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(won.len(), 1);
    lost.into_iter().for_each(|answer| drop(answer.problem(401, "invalid_secret")));
    let without = json!({"email": addresses[2], "full_name": "C", "registration_token": tokens[2]});
    let answer = anyone.post("/auth/register-medical-professional", &without).await;
    assert_eq!(answer.problem(422, "validation_failed")["details"]["field"], "license_number");
}

#[tokio::test]
async fn who_may_invite_whom() {
    let world = World::new().await;
    let [ana, maria, admin, it] = world.sign_in_all([ANA, MARIA, ADMIN, IT]).await;
    let ask = |role: &str| json!({"email": "x@clinic.example", "role": role});
    for nobody in [&ana, &maria] {
        let problem = nobody.post("/auth/invitations", &ask("doctor")).await.problem(403, "forbidden");
        assert_eq!(problem["details"]["reason"], "missing_scope");
        nobody.get("/auth/invitations").await.problem(403, "forbidden");
        nobody.delete(&format!("/auth/invitations/{}", unused_id())).await.problem(403, "forbidden");
    }
    for role in ["medical_admin", "it_admin"] {
        let problem = admin.post("/auth/invitations", &ask(role)).await.problem(403, "forbidden");
        assert_eq!(problem["details"]["reason"], "role_too_high");
        it.post("/auth/invitations", &ask(role)).await.expect(202);
    }
    let open = admin.get("/auth/invitations").await.expect(200);
    let path = format!("/auth/invitations/{}", text(&list(&open, "items")[0], "id"));
    admin.delete(&path).await.problem(403, "forbidden");
    for role in ["doctor", "student"] {
        admin.post("/auth/invitations", &ask(role)).await.expect(202);
    }
    for role in ["patient", "root"] {
        it.post("/auth/invitations", &ask(role)).await.problem(422, "validation_failed");
    }
    // AU-02: an address that has an account is told by mail only.
    admin.post("/auth/invitations", &json!({"email": LUIS, "role": "doctor"})).await.expect(202);
    letter(&world, LUIS, "already_registered").await;
    assert_eq!(audited(&world, "invitation.issued", "denied").await, 4);
}

/// S3-33: the current password is needed; all else that was signed in is over within a second.
#[tokio::test]
async fn changing_the_password_ends_all_other_sign_ins() {
    let world = World::new().await;
    let [ana, elsewhere] = world.sign_in_all([ANA, ANA]).await;
    let mut socket = elsewhere.connect().await;
    let ask = |current: &str| json!({"current_password": current, "new_password": NEW});
    let problem = ana
        .post("/auth/password/change", &json!({"new_password": NEW}))
        .await
        .problem(422, "validation_failed");
    assert_eq!(problem["details"]["field"], "current_password");
    let common = json!({"current_password": PASSWORD, "new_password": "12345678"});
    ana.post("/auth/password/change", &common).await.problem(422, "validation_failed");

    let answer = ana.post("/auth/password/change", &ask(PASSWORD)).await.expect(200);
    let began = Stopwatch::start();
    assert_eq!(socket.close_code().await, Some(4401));
    for actor in [&ana, &elsewhere] {
        eventually("the session is over", async || actor.get("/auth/me").await.status == 401).await;
    }
    assert!(began.elapsed() < ONE_SECOND, "it took {:?}", began.elapsed());
    let fresh = ana.with_sign_in(&answer);
    fresh.get("/auth/me").await.expect(200);
    let _ = fresh.connect().await;
    let refresh = json!({"refresh_token": elsewhere.refresh_token});
    elsewhere.post("/auth/refresh", &refresh).await.problem(401, "invalid_refresh_token");
    letter(&world, ANA, "password_changed").await;
    assert_eq!(audited(&world, "password.proved", "done").await, 1);
    assert_eq!(audited(&world, "password.changed", "done").await, 1, "told once");
    assert_ne!(answer["device_token"], Value::Null);
    fresh.post("/auth/password/change", &ask("wrong password")).await.problem(401, "invalid_credentials");
    fresh.get("/auth/me").await.expect(200);
    login(&world.anonymous(), ANA, PASSWORD).await.problem(401, "invalid_credentials");
}

/// AU-05: one of many uses of a token wins, all sessions and sockets end, an older token no longer works. Who asks
/// again within ten minutes gets no second letter, and what they have in hand stays good.
/// AU-06: nothing in the letter comes from the request's headers.
#[tokio::test]
async fn a_forgotten_password_is_reset_once() {
    let world = World::new().await;
    let (ana, anyone) = (world.sign_in(ANA).await, world.anonymous());
    let mut socket = ana.connect().await;
    let poisoned = Request::new(Method::POST, "/auth/password/forgot")
        .json(&json!({"email": ANA}))
        .header("X-Forwarded-Host", "evil.example")
        .header("Forwarded", "host=evil.example");
    let known = anyone.request(poisoned).await;
    let unknown = anyone.post("/auth/forgot-password", &json!({"email": "nobody@clinic.example"})).await;
    assert_eq!((known.status, &known.text), (202, &unknown.text));
    assert_eq!(unknown.status, 202);
    let first = letter(&world, ANA, "password_reset").await;
    assert!(!first.to_string().contains("evil"));
    let again = anyone.post("/auth/reset-password", &json!({"email": ANA})).await;
    assert_eq!((again.status, &again.text), (202, &unknown.text));
    let rest = async || sql(&world, "SELECT 1 FROM outbox").await;
    eventually("all was looked at", async || rest().await == 0).await;
    assert_eq!(outbox(&world, ANA).await.len(), 1, "too soon");
    let later = "UPDATE password_resets SET requested_at = requested_at - interval '11 minutes'";
    assert_eq!(sql(&world, later).await, 1);
    anyone.post("/auth/reset-password", &json!({"email": ANA})).await.expect(202);
    eventually("a second letter", async || outbox(&world, ANA).await.len() == 2).await;
    let second = outbox(&world, ANA).await[0].clone();
    assert_ne!(first["secret"], second["secret"]);
    assert!(text(&second, "secret").starts_with("alp_"));

    let ask = |token: &Value| json!({"token": token, "new_password": NEW});
    anyone.post("/auth/password/reset", &ask(&first["secret"])).await.problem(401, "invalid_secret");
    let short = json!({"token": second["secret"], "new_password": "corta"});
    anyone.post("/auth/password/reset", &short).await.problem(422, "validation_failed");
    let body = ask(&second["secret"]);
    let paths = ["/auth/password/reset", "/auth/reset-password", "/auth/reset-password-confirm"];
    let answers = join_all(paths.iter().cycle().take(6).map(|path| anyone.post(path, &body))).await;
    let began = Stopwatch::start();
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "a token works once");
    lost.into_iter().for_each(|answer| drop(answer.problem(401, "invalid_secret")));
    assert_eq!(socket.close_code().await, Some(4401));
    eventually("the session is over", async || ana.get("/auth/me").await.status == 401).await;
    assert!(began.elapsed() < ONE_SECOND, "it took {:?}", began.elapsed());
    letter(&world, ANA, "password_changed").await;
    login(&anyone, ANA, NEW).await.expect(200);
    assert!(outbox(&world, "nobody@clinic.example").await.is_empty());

    // After an hour.
    anyone.post("/auth/password/forgot", &json!({"email": MARIA})).await.expect(202);
    let token = letter(&world, MARIA, "password_reset").await["secret"].clone();
    let hour = "UPDATE password_resets SET expires_at = expires_at - interval '1 hour' WHERE used_at IS NULL";
    assert_eq!(sql(&world, hour).await, 1);
    anyone.post("/auth/password/reset", &ask(&token)).await.problem(401, "invalid_secret");
    for body in
        [json!({}), json!({"new_password": NEW}), json!({"token": "x"}), json!({"email": ANA, "token": "x"})]
    {
        anyone.post("/auth/reset-password", &body).await.problem(422, "validation_failed");
    }
}

/// AU-01, AU-03: while an address is locked, the right password is refused like a wrong one; a known device is not
/// concerned; a reset by mail unlocks.
#[tokio::test]
async fn guessing_locks_strangers_out_and_not_the_owner() {
    let world = World::new().await;
    let anyone = world.anonymous();
    let device = login(&anyone, ANA, PASSWORD).await.expect(200)["device_token"].clone();
    let wrong = login(&anyone, ANA, "wrong password").await;
    let locked = login(&anyone, ANA, PASSWORD).await;
    let unknown = login(&anyone, "nobody@clinic.example", PASSWORD).await;
    let unknown_locked = login(&anyone, "nobody@clinic.example", PASSWORD).await;
    for answer in [&locked, &unknown, &unknown_locked] {
        assert_eq!((answer.status, answer.comparable()), (401, wrong.comparable()));
        let names = |answer: &Answer| {
            let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names(answer), names(&wrong));
    }
    wrong.problem(401, "invalid_credentials");

    let known = |token: &Value| json!({"email": ANA, "password": PASSWORD, "device_token": token});
    let again = anyone.post("/auth/login", &known(&device)).await.expect(200);
    assert_ne!(again["device_token"], Value::Null);
    // A token of another address, or one that was changed, is none. Those tries are refused: it is still locked.
    sql(
        &world,
        "UPDATE login_guards SET locked_until = now() + interval '1 hour' WHERE locked_until IS NOT NULL",
    )
    .await;
    let marias = login(&anyone, MARIA, PASSWORD).await.expect(200)["device_token"].clone();
    let mut forged = device.as_str().expect("a token").to_owned();
    forged.pop();
    for token in [marias, json!(forged), json!("ald_"), json!("")] {
        anyone.post("/auth/login", &known(&token)).await.problem(401, "invalid_credentials");
    }
    anyone.post("/auth/login", &known(&device)).await.expect(200);

    anyone.post("/auth/password/forgot", &json!({"email": ANA})).await.expect(202);
    let token = letter(&world, ANA, "password_reset").await["secret"].clone();
    anyone.post("/auth/password/reset", &json!({"token": token, "new_password": NEW})).await.expect(200);
    let fresh = login(&anyone, ANA, NEW).await.expect(200)["device_token"].clone();

    // What was known under the old password is not any more.
    login(&anyone, ANA, "wrong password").await.problem(401, "invalid_credentials");
    sql(&world, "UPDATE login_guards SET locked_until = now() + interval '1 hour' WHERE failures > 0").await;
    let known = |token: &Value| json!({"email": ANA, "password": NEW, "device_token": token});
    anyone.post("/auth/login", &known(&device)).await.problem(401, "invalid_credentials");
    anyone.post("/auth/login", &known(&fresh)).await.expect(200);
    assert!(audited(&world, "sign_in.password", "failed").await >= 9);
}

/// AU-03: at most ten tries per hour, however many come at once, and it survives a restart.
#[tokio::test]
async fn of_many_guesses_at_once_ten_are_looked_at() {
    let world = World::new().await;
    let anyone = world.anonymous();
    join_all((0..24).map(|_| login(&anyone, ANA, "wrong password"))).await;
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let query = "SELECT max(failures), max(cardinality(tries)) FROM login_guards";
    let row = client.query_one(query, &[]).await.expect("a row");
    let (failures, tries): (i32, i32) = (row.get(0), row.get(1));
    assert!((1..=10).contains(&failures) && tries == failures, "{failures} {tries}");
    assert_eq!(audited(&world, "sign_in.password", "failed").await, 24);
    world.server.restart().await;
    // However that race went: from here the address is locked for an hour.
    sql(&world, "UPDATE login_guards SET locked_until = now() + interval '1 hour'").await;
    login(&anyone, ANA, PASSWORD).await.problem(401, "invalid_credentials");
}

/// AU-12: passwords are bytes, all of them.
#[tokio::test]
async fn every_byte_of_a_password_counts() {
    let world = World::new().await;
    let long = "a1".repeat(36);
    let mut current = PASSWORD.to_owned();
    for (set, typed) in [
        (format!("{long}b"), format!("{long}c")),
        ("nul\0inside-b".to_owned(), "nul\0inside-c".to_owned()),
        ("ma\u{f1}anero-1".to_owned(), "man\u{303}anero-1".to_owned()),
        ("x1".repeat(512), "x1".repeat(511)),
    ] {
        sql(&world, "DELETE FROM login_guards").await;
        let anyone = world.anonymous();
        let luis = anyone.with_sign_in(&login(&anyone, LUIS, &current).await.expect(200));
        let change = json!({"current_password": current, "new_password": set});
        luis.post("/auth/password/change", &change).await.expect(200);
        login(&anyone, LUIS, &set).await.expect(200);
        login(&anyone, LUIS, &typed).await.problem(401, "invalid_credentials");
        current = set;
    }
    let too_long = json!({"email": LUIS, "password": "x".repeat(1025)});
    world.anonymous().post("/auth/login", &too_long).await.problem(422, "validation_failed");
}

/// C-31, AU-12: a hash of an older system is taken, and replaced at the first sign-in.
#[tokio::test]
async fn hashes_of_older_systems_are_renewed() {
    let world = World::new().await;
    let anyone = world.anonymous();
    let id = text(&login(&anyone, LUIS, PASSWORD).await.expect(200)["user"], "id").to_owned();
    // `U*U`, from the vectors of crypt_blowfish.
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert_eq!(sql(&world, &format!("UPDATE users SET password_hash = '{hash}' WHERE id = '{id}'")).await, 1);
    login(&anyone, LUIS, "U*V").await.problem(401, "invalid_credentials");
    sql(&world, "DELETE FROM login_guards").await;
    login(&anyone, LUIS, "U*U").await.expect(200);
    let renewed = format!(
        "UPDATE users SET language = language WHERE id = '{id}' AND password_hash LIKE '$argon2id$%'"
    );
    assert_eq!(sql(&world, &renewed).await, 1);
    login(&anyone, LUIS, "U*U").await.expect(200);
    login(&anyone, LUIS, "U*U*").await.problem(401, "invalid_credentials");
}

/// C-33: secrets that went by mail are not in the tables, nor what was typed.
#[tokio::test]
async fn mailed_secrets_rest_nowhere() {
    let world = World::new().await;
    let (admin, anyone) = (world.sign_in(ADMIN).await, world.anonymous());
    let email = "marcos.rey@clinic.example";
    anyone.post("/auth/register", &registration(JULIA)).await.expect(202);
    anyone.post("/auth/password/forgot", &json!({"email": ANA})).await.expect(202);
    let invitation = invite(&admin, &world, email, "doctor").await;
    anyone.post("/auth/register-medical-professional", &professional(email, &invitation)).await.expect(201);
    let mut secrets =
        vec![NEW.to_owned(), "28-2871234".to_owned(), email.to_owned(), JULIA.to_owned(), invitation];
    for (to, kind) in [(JULIA, "confirm_email"), (ANA, "password_reset"), (email, "temporary_password")] {
        secrets.push(text(&letter(&world, to, kind).await, "secret").to_owned());
    }
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let tables = client
        .query("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", &[])
        .await
        .expect("tables");
    for table in tables {
        let table: String = table.get(0);
        let rows = client.query(&format!("SELECT t::text FROM {table} t"), &[]).await.expect("rows");
        for row in rows {
            let row: String = row.get(0);
            let unhexed = hex_text(&row);
            for secret in &secrets {
                assert!(!row.contains(secret) && !unhexed.contains(secret), "{table}: {secret}");
            }
        }
    }
    let logs = world.logs();
    assert!(secrets.iter().all(|secret| !logs.contains(secret)), "a secret is in the logs");
}

/// The bytes of a row's columns as text, where they are any.
fn hex_text(row: &str) -> String {
    let digits = row.split("\\x").skip(1);
    let decode = |column: &str| {
        let digits: Vec<_> = column.bytes().take_while(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or(0);
        String::from_utf8_lossy(&digits.chunks(2).map(byte).collect::<Vec<_>>()).into_owned()
    };
    digits.map(decode).collect()
}
