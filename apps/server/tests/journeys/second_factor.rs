//! Codes of an authenticator app, and what happens when it is lost.

use alivio_kernel::{Clock, SystemClock};
use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ANA, CARLOS, IT, MARIA, PASSWORD, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use crate::credentials::letter;
use crate::{World, list, text};

/// Forgets which codes were used and how many were wrong, as waiting 30 seconds for each would take too long.
const FORGET_STEPS: &str = "UPDATE second_factors SET last_step = 0, failures = 0 WHERE user_id = $1";
const UNLOCK: &str =
    "UPDATE second_factors SET locked_until = now() - interval '1 second' WHERE user_id = $1";

/// An authenticator app.
struct App(Totp);

impl App {
    fn new(enrolment: &Value) -> Self {
        let secret = Secret::try_from_base32(text(enrolment, "secret")).expect("base 32");
        let url = text(enrolment, "otpauth_url");
        assert!(
            url.starts_with("otpauth://totp/Alivio:") && url.contains(text(enrolment, "secret")),
            "{url}"
        );
        Self(Builder::new().with_secret(secret).build().expect("a secret of 160 bits"))
    }

    /// The code of so many steps from now, as the server will still see it.
    async fn code(&self, steps: i64) -> String {
        let seconds = || SystemClock.now().timestamp();
        eventually("the step is not about to end", async || seconds() % 30 < 24).await;
        self.0.generate((seconds() + 30 * steps).try_into().expect("after 1970")).to_string()
    }
}

async fn login(world: &World, email: &str) -> Value {
    let body = json!({"email": email, "password": PASSWORD});
    let answer = world.anonymous().post("/auth/login", &body).await;
    answer.expect(200)
}

/// Signed in as far as the password goes.
async fn halfway(world: &World, email: &str) -> Actor {
    let answer = login(world, email).await;
    assert_eq!((&answer["stage"], &answer["refresh_token"]), (&json!("second_factor"), &Value::Null));
    assert_eq!(answer["device_token"], Value::Null, "a device is not known by the password alone");
    world.anonymous().with_token(text(&answer, "access_token"))
}

async fn verify(step: &Actor, code: &str) -> Answer {
    step.post("/auth/mfa/verify", &json!({"code": code})).await
}

async fn begin(actor: &Actor, password: &str) -> Answer {
    actor.post("/auth/mfa/totp", &json!({"password": password})).await
}

/// The app and the recovery codes.
async fn turn_on(world: &World, actor: &Actor) -> (App, Vec<String>) {
    let enrolment = begin(actor, PASSWORD).await.expect(201);
    let app = App::new(&enrolment);
    let answer = actor.post("/auth/mfa/totp/confirm", &json!({"code": app.code(0).await})).await.expect(200);
    let codes: Vec<_> =
        list(&answer, "recovery_codes").iter().map(|code| code.as_str().expect("text").to_owned()).collect();
    assert_eq!(codes.len(), 10);
    assert!(codes.iter().all(|code| code.len() == 19), "80 bits in base 32: {codes:?}");
    if let Some(id) = actor.user["id"].as_str() {
        world.execute(FORGET_STEPS, id).await;
    }
    (app, codes)
}

#[tokio::test]
async fn a_second_factor_is_set_up_and_asked_for() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let status = ana.get("/auth/mfa").await.expect(200);
    assert_eq!(status, json!({"enabled": false, "required": false, "recovery_codes_left": 0}));
    ana.post("/auth/mfa/totp/confirm", &json!({"code": "123456"})).await.problem(409, "second_factor_off");
    ana.post("/auth/mfa/verify", &json!({"code": "123456"})).await.problem(409, "no_step_pending");

    // Begun and not confirmed, it asks for nothing.
    begin(&ana, PASSWORD).await.expect(201);
    assert_eq!(login(&world, ANA).await["stage"], "full");

    let (app, _) = turn_on(&world, &ana).await;
    let status = ana.get("/auth/mfa").await.expect(200);
    assert_eq!(status, json!({"enabled": true, "required": false, "recovery_codes_left": 10}));
    begin(&ana, PASSWORD).await.problem(409, "second_factor_on");

    let step = halfway(&world, ANA).await;
    for path in ["/auth/me", "/conversations", "/auth/sessions", "/auth/mfa"] {
        let problem = step.get(path).await.problem(403, "step_required");
        assert_eq!(problem["details"]["stage"], "second_factor", "{path}");
    }
    step.request(Request::new(Method::POST, "/ws/tickets")).await.problem(403, "step_required");
    let refused = step.try_connect(step.knock()).await.expect_err("no socket halfway");
    assert_eq!(refused.status, Some(403));
    for body in [json!({}), json!({"code": "12345"}), json!({"code": "123456", "recovery_code": "x"})] {
        step.post("/auth/mfa/verify", &body).await.problem(422, "validation_failed");
    }
    let answer = verify(&step, &app.code(0).await).await.expect(200);
    assert_eq!(answer["stage"], "full");
    assert_ne!(answer["device_token"], Value::Null);
    let signed_in = world.anonymous().with_sign_in(&answer);
    assert_eq!(signed_in.get("/auth/me").await.expect(200)["id"], ana.id.as_str());
    step.get("/auth/mfa").await.problem(401, "session_ended");
}

/// Whoever has stolen a session needs the password; all other sessions end, and a letter tells.
#[tokio::test]
async fn turning_it_on_takes_the_password_and_ends_all_other_sessions() {
    let world = World::new().await;
    let [ana, elsewhere] = world.sign_in_all([ANA, ANA]).await;
    let mut socket = elsewhere.connect().await;
    begin(&ana, "equivocada").await.problem(401, "invalid_credentials");
    world.execute("DELETE FROM login_guards WHERE $1 = $1::uuid", &ana.id).await;
    let missing = ana.post("/auth/mfa/totp", &json!({})).await.problem(422, "validation_failed");
    assert_eq!(missing["details"]["field"], "password");
    ana.post("/auth/mfa/totp/confirm", &json!({"code": "123456"})).await.problem(409, "second_factor_off");
    turn_on(&world, &ana).await;
    assert_eq!(socket.close_code().await, Some(4401));
    elsewhere.get("/auth/me").await.problem(401, "session_ended");
    ana.get("/auth/me").await.expect(200);
    letter(&world, ANA, "second_factor_on").await;
    let off = Request::new(Method::DELETE, "/auth/mfa/totp").json(&json!({"password": PASSWORD}));
    ana.request(off).await.expect(204);
    letter(&world, ANA, "second_factor_off").await;
}

/// AU-11.
#[tokio::test]
async fn a_code_is_good_once_and_only_near_its_time() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let (app, _) = turn_on(&world, &ana).await;
    let step = halfway(&world, ANA).await;
    for steps in [-2, 2] {
        verify(&step, &app.code(steps).await).await.problem(403, "invalid_code");
    }
    let code = app.code(0).await;
    verify(&step, &code).await.expect(200);
    let again = halfway(&world, ANA).await;
    verify(&again, &code).await.problem(403, "invalid_code");
    verify(&again, &app.code(-1).await).await.problem(403, "invalid_code");
    verify(&again, &app.code(1).await).await.expect(200);
}

/// AU-11: the same code in many sign-ins at once.
#[tokio::test]
async fn of_many_sign_ins_with_one_code_one_succeeds() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let (app, recovery) = turn_on(&world, &ana).await;
    for by_recovery in [false, true] {
        world.execute(FORGET_STEPS, &ana.id).await;
        let steps = join_all((0..4).map(|_| halfway(&world, ANA))).await;
        let body = match by_recovery {
            false => json!({"code": app.code(0).await}),
            true => json!({"recovery_code": recovery[0].to_lowercase()}),
        };
        let answers = join_all(steps.iter().map(|step| step.post("/auth/mfa/verify", &body))).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 403)), "{statuses:?}");
    }
    assert_eq!(ana.get("/auth/mfa").await.expect(200)["recovery_codes_left"], 9);
}

/// AU-11.
#[tokio::test]
async fn after_five_wrong_codes_the_right_one_is_refused_for_a_while() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let (app, _) = turn_on(&world, &ana).await;
    let right = app.code(0).await;
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let step = halfway(&world, ANA).await;
    for _ in 0..4 {
        verify(&step, wrong).await.problem(403, "invalid_code");
    }
    let problem = verify(&step, wrong).await.problem(429, "codes_locked");
    assert_eq!(problem["details"]["retry_after"], 30);
    verify(&step, &right).await.problem(401, "session_ended");

    let again = halfway(&world, ANA).await;
    let problem = verify(&again, &right).await.problem(429, "codes_locked");
    assert!(problem["details"]["retry_after"].as_i64().is_some_and(|n| (1..=30).contains(&n)), "{problem}");

    // Half a minute later: the next wrong one costs a whole minute, a right one forgives them all.
    assert_eq!(world.execute(UNLOCK, &ana.id).await, 1);
    let again = halfway(&world, ANA).await;
    let problem = verify(&again, wrong).await.problem(429, "codes_locked");
    assert_eq!(problem["details"]["retry_after"], 60);
    assert_eq!(world.execute(UNLOCK, &ana.id).await, 1);
    let again = halfway(&world, ANA).await;
    verify(&again, &app.code(0).await).await.expect(200);
    let again = halfway(&world, ANA).await;
    verify(&again, wrong).await.problem(403, "invalid_code");
}

#[tokio::test]
async fn recovery_codes_stand_in_for_the_app_and_can_be_renewed() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let (app, recovery) = turn_on(&world, &ana).await;
    let step = halfway(&world, ANA).await;
    step.post("/auth/mfa/verify", &json!({"recovery_code": "ABCD"})).await.problem(422, "validation_failed");
    step.post("/auth/mfa/verify", &json!({"recovery_code": recovery[0]})).await.expect(200);
    let step = halfway(&world, ANA).await;
    step.post("/auth/mfa/verify", &json!({"recovery_code": recovery[0]})).await.problem(403, "invalid_code");

    let code = json!({"code": app.code(0).await});
    let renewed = ana.post("/auth/mfa/recovery-codes", &code).await.expect(200);
    assert_eq!(list(&renewed, "recovery_codes").len(), 10);
    ana.post("/auth/mfa/recovery-codes", &code).await.problem(403, "invalid_code");
    step.post("/auth/mfa/verify", &json!({"recovery_code": recovery[1]})).await.problem(403, "invalid_code");
    let new = &list(&renewed, "recovery_codes")[0];
    step.post("/auth/mfa/verify", &json!({"recovery_code": new})).await.expect(200);
}

#[tokio::test]
async fn it_is_turned_off_with_the_password_or_a_code() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let off = |body: Value| Request::new(Method::DELETE, "/auth/mfa/totp").json(&body);
    ana.request(off(json!({"password": PASSWORD}))).await.problem(409, "second_factor_off");
    for with_password in [true, false] {
        let (app, _) = turn_on(&world, &ana).await;
        ana.request(off(json!({"password": "equivocada"}))).await.problem(403, "invalid_code");
        ana.request(off(json!({}))).await.problem(422, "validation_failed");
        let body = match with_password {
            true => json!({"password": PASSWORD}),
            false => json!({"code": app.code(0).await}),
        };
        ana.request(off(body)).await.expect(204);
        assert_eq!(login(&world, ANA).await["stage"], "full");
    }
}

/// The clinic demands it of its doctors.
#[tokio::test]
async fn who_needs_a_second_factor_sets_it_up_before_anything_else() {
    let world = World::with(&[("ALIVIO_MFA_REQUIRED_ROLES", "doctor")]).await;
    let ana = world.sign_in(ANA).await;
    assert_eq!(ana.get("/auth/mfa").await.expect(200)["required"], false);

    let answer = login(&world, MARIA).await;
    assert_eq!((&answer["stage"], &answer["refresh_token"]), (&json!("enrol_second_factor"), &Value::Null));
    let maria = world.anonymous().with_token(text(&answer, "access_token"));
    maria.get("/auth/me").await.problem(403, "step_required");
    let status = maria.get("/auth/mfa").await.expect(200);
    assert_eq!((&status["required"], &status["enabled"]), (&json!(true), &json!(false)));
    let enrolment = maria.post("/auth/mfa/totp", &json!({})).await.expect(201);
    let app = App::new(&enrolment);
    let wrong = json!({"code": app.code(5).await});
    maria.post("/auth/mfa/totp/confirm", &wrong).await.problem(403, "invalid_code");
    let confirm = json!({"code": app.code(-1).await});
    let answer = maria.post("/auth/mfa/totp/confirm", &confirm).await.expect(200);
    assert_eq!(list(&answer, "recovery_codes").len(), 10);
    let signed_in = world.anonymous().with_sign_in(&answer["sign_in"]);
    signed_in.get("/auth/me").await.expect(200);
    maria.get("/auth/mfa").await.problem(401, "session_ended");

    let off = Request::new(Method::DELETE, "/auth/mfa/totp").json(&json!({"password": PASSWORD}));
    signed_in.request(off).await.problem(403, "second_factor_required");
    let step = halfway(&world, MARIA).await;
    verify(&step, &app.code(0).await).await.expect(200);
}

#[tokio::test]
async fn an_administrator_resets_a_lost_factor() {
    let world = World::new().await;
    let [ana, carlos, it] = world.sign_in_all([ANA, CARLOS, IT]).await;
    turn_on(&world, &ana).await;
    let mut socket = ana.connect().await;
    let path = format!("/admin/users/{}/mfa", ana.id);
    let problem = carlos.delete(&path).await.problem(403, "forbidden");
    assert_eq!(problem["details"]["required_scope"], "users:manage");
    let own = it.delete(&format!("/admin/users/{}/mfa", it.id)).await.problem(403, "forbidden");
    assert_eq!(own["details"]["reason"], "own_account");
    it.delete(&format!("/admin/users/{}/mfa", carlos.id)).await.problem(404, "not_found");
    it.delete(&format!("/admin/users/{}/mfa", crate::unused_id())).await.problem(404, "not_found");

    it.delete(&path).await.expect(204);
    assert_eq!(socket.close_code().await, Some(4401));
    eventually("her sessions are over", async || ana.get("/auth/me").await.status == 401).await;
    assert_eq!(login(&world, ANA).await["stage"], "full");
}

/// AZ-16: what was shown once is never shown again.
#[tokio::test]
async fn no_answer_and_no_log_shows_a_secret_again() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let enrolment = begin(&ana, PASSWORD).await.expect(201);
    let app = App::new(&enrolment);
    let code = app.code(0).await;
    let answer = ana.post("/auth/mfa/totp/confirm", &json!({"code": code})).await.expect(200);
    let mut secrets = vec![text(&enrolment, "secret").to_owned(), ana.refresh_token.clone()];
    secrets.extend(list(&answer, "recovery_codes").iter().map(|c| c.as_str().expect("text").to_owned()));
    for path in ["/auth/mfa", "/auth/me", "/auth/sessions", "/conversations"] {
        let answer = ana.get(path).await;
        for secret in &secrets {
            assert!(!answer.text.contains(secret.as_str()), "{path} shows a secret");
        }
    }
    let logs = world.logs();
    for secret in secrets.iter().chain([&code]) {
        let shown = logs
            .lines()
            .any(|line| line.contains(&format!("\"{secret}\"")) || line.contains(&format!("={secret}")));
        assert!(!shown, "the log shows a secret");
    }
}
