//! Signing in, staying signed in, signing out.

use std::time::Duration;

use alivio_testkit::actor::Request;
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA, PASSWORD, eventually};
use alivio_testkit::socket::Connect;
use alivio_testkit::stopwatch::Stopwatch;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::credentials::letter;
use crate::{World, fields, text};

/// AU-08, AU-10, WS-04: an ended session is over everywhere within a second.
const ONE_SECOND: Duration = Duration::from_secs(1);

fn login(email: &str, password: &str) -> Request {
    Request::new(Method::POST, "/auth/login").json(&json!({"email": email, "password": password}))
}

fn refresh(token: &str) -> Request {
    Request::new(Method::POST, "/auth/refresh").json(&json!({"refresh_token": token}))
}

#[tokio::test]
async fn everyone_in_the_demo_clinic_signs_in() {
    let world = World::new().await;
    let people = [
        (MARIA, "doctor", "/doctor"),
        (ANA, "patient", "/"),
        (CARLOS, "doctor", "/doctor"),
        (LUIS, "patient", "/"),
        (ADMIN, "medical_admin", "/admin"),
        (IT, "it_admin", "/it/medical-professionals"),
        (AISHA, "student", "/"),
    ];
    for (email, role, page) in people {
        let answer = world.anonymous().request(login(email, PASSWORD)).await.expect(200);
        let expected = [
            "access_token",
            "device_token",
            "expires_in",
            "redirect_to",
            "refresh_token",
            "stage",
            "token_type",
            "user",
        ];
        assert_eq!(fields(&answer), expected);
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!((&answer["expires_in"], &answer["stage"]), (&json!(600), &json!("full")));
        assert_eq!(answer["redirect_to"], page, "{email}");
        let user = &answer["user"];
        let expected = [
            "created_at",
            "display_name",
            "email",
            "full_name",
            "id",
            "is_active",
            "language",
            "last_seen_at",
            "professional_title",
            "role",
            "scopes",
        ];
        assert_eq!(fields(user), expected);
        assert_eq!(
            (&user["email"], &user["role"], &user["is_active"]),
            (&json!(email), &json!(role), &json!(true))
        );

        let actor = world.anonymous().with_sign_in(&answer);
        assert_eq!(actor.get("/auth/me").await.expect(200), *user);
    }
}

#[tokio::test]
async fn addresses_are_compared_without_case() {
    let world = World::new().await;
    let answer = world.anonymous().request(login(" Ana.Lopez@Clinic.Example ", PASSWORD)).await.expect(200);
    assert_eq!(answer["user"]["email"], ANA);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    let tries = [
        (ANA, "Alivio-demo-2"),
        (ANA, "alivio-demo-1"),
        (ANA, "Alivio-demo-1 "),
        ("nobody@clinic.example", PASSWORD),
        ("not an address", PASSWORD),
        ("", PASSWORD),
    ];
    let mut answers = Vec::new();
    for (email, password) in tries {
        let answer = anonymous.request(login(email, password)).await;
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        answers.push((answer.comparable(), names));
        answer.problem(401, "invalid_credentials");
    }
    for (answer, (email, _)) in answers.iter().zip(tries) {
        assert_eq!(*answer, answers[0], "{email:?} can be told from a wrong password");
    }
}

#[tokio::test]
async fn a_refresh_gives_the_next_pair() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let answer = world.anonymous().request(refresh(&ana.refresh_token)).await.expect(200);
    assert_eq!(answer["user"], ana.user);
    assert_eq!((&answer["expires_in"], &answer["redirect_to"]), (&json!(600), &json!("/")));
    let next = ana.with_sign_in(&answer);
    assert_ne!(next.refresh_token, ana.refresh_token);
    for actor in [&ana, &next] {
        assert_eq!(actor.get("/auth/me").await.expect(200)["id"], ana.id);
    }
    let third = world.anonymous().request(refresh(&next.refresh_token)).await.expect(200);
    assert_ne!(text(&third, "refresh_token"), next.refresh_token);
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_session() {
    let world = World::new().await;
    let [ana, elsewhere] = world.sign_in_all([ANA, ANA]).await;
    let next = ana.with_sign_in(&world.anonymous().request(refresh(&ana.refresh_token)).await.expect(200));
    let mut socket = next.connect().await;

    // A thief, or the owner after the thief.
    world.anonymous().request(refresh(&ana.refresh_token)).await.problem(401, "invalid_refresh_token");
    let began = Stopwatch::start();
    assert_eq!(socket.close_code().await, Some(4401));
    eventually("the session is over", async || next.get("/auth/me").await.status == 401).await;
    assert!(began.elapsed() < ONE_SECOND, "it took {:?}", began.elapsed());
    for actor in [&ana, &next] {
        actor.get("/auth/me").await.problem(401, "session_ended");
    }
    world.anonymous().request(refresh(&next.refresh_token)).await.problem(401, "invalid_refresh_token");
    letter(&world, ANA, "token_reused").await;
    // Her other devices are not concerned.
    elsewhere.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn of_twenty_parallel_refreshes_one_wins() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let anonymous = world.anonymous();
    let answers = join_all((0..20).map(|_| anonymous.request(refresh(&ana.refresh_token)))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "one pair for one token");
    for answer in lost {
        answer.problem(401, "invalid_refresh_token");
    }
    let winner = ana.with_sign_in(&won[0].json);
    let began = Stopwatch::start();
    eventually("the session is over", async || winner.get("/auth/me").await.status == 401).await;
    assert!(began.elapsed() < ONE_SECOND, "it took {:?}", began.elapsed());
    anonymous.request(refresh(&winner.refresh_token)).await.problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn signing_out_is_over_within_a_second() {
    let world = World::new().await;
    let [ana, elsewhere, maria] = world.sign_in_all([ANA, ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut socket = ana.connect_to(&conversation).await;
    let mut other_device = elsewhere.connect_to(&conversation).await;
    let ticket = ana.ticket().await;

    let began = Stopwatch::start();
    let answer = ana.request(Request::new(Method::POST, "/auth/logout")).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(socket.close_code().await, Some(4401));
    eventually("the session is over", async || ana.get("/auth/me").await.status == 401).await;
    assert!(began.elapsed() < ONE_SECOND, "it took {:?}", began.elapsed());

    ana.get("/auth/me").await.problem(401, "session_ended");
    ana.get(&format!("/conversations/{conversation}")).await.problem(401, "session_ended");
    world.anonymous().request(refresh(&ana.refresh_token)).await.problem(401, "invalid_refresh_token");
    assert_eq!(ana.try_connect(ana.knock()).await.expect_err("no socket any more").status, Some(401));
    let with_ticket = Connect::new(format!("/api/v1/ws?ticket={ticket}"));
    assert_eq!(ana.try_connect(with_ticket).await.expect_err("nor with a ticket").status, Some(401));

    // The closed socket was told nothing that came after; the other device goes on.
    maria.send(&conversation, "¿Sigue ahí?").await;
    assert_eq!(other_device.next_event("message.created").await["seq"], 1);
    assert!(socket.take_kept().iter().all(|frame| frame["type"] != "message.created"));
    elsewhere.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn without_a_token_nobody_is_anybody() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    let id = crate::unused_id();
    let messages = format!("/conversations/{id}/messages");
    let routes = [
        (Method::GET, "/auth/me".to_owned()),
        (Method::POST, "/auth/logout".to_owned()),
        (Method::GET, "/me/profile".to_owned()),
        (Method::PUT, "/me/profile".to_owned()),
        (Method::PUT, "/me/avatar".to_owned()),
        (Method::DELETE, "/me/avatar".to_owned()),
        (Method::GET, "/me/credentials".to_owned()),
        (Method::POST, "/me/credentials".to_owned()),
        (Method::GET, "/users".to_owned()),
        (Method::GET, "/users/institutions".to_owned()),
        (Method::GET, format!("/users/{id}")),
        (Method::PATCH, format!("/users/{id}")),
        (Method::GET, format!("/users/{id}/avatar")),
        (Method::GET, "/admin/credentials".to_owned()),
        (Method::POST, format!("/admin/credentials/{id}/decision")),
        (Method::GET, "/admin/medical-professionals".to_owned()),
        (Method::PATCH, format!("/admin/medical-professionals/{id}")),
        (Method::GET, "/conversations".to_owned()),
        (Method::POST, "/conversations".to_owned()),
        (Method::POST, "/conversations/direct".to_owned()),
        (Method::GET, format!("/conversations/{id}")),
        (Method::POST, format!("/conversations/{id}/participants")),
        (Method::DELETE, format!("/conversations/{id}/participants/{id}")),
        (Method::GET, messages.clone()),
        (Method::POST, messages),
        (Method::PUT, format!("/conversations/{id}/read-marker")),
        (Method::POST, "/ws/tickets".to_owned()),
        (Method::GET, "/ws".to_owned()),
        (Method::GET, "/auth/sessions".to_owned()),
        (Method::DELETE, "/auth/sessions".to_owned()),
        (Method::DELETE, format!("/auth/sessions/{id}")),
        (Method::POST, "/auth/logout-all".to_owned()),
        (Method::GET, "/auth/mfa".to_owned()),
        (Method::POST, "/auth/mfa/totp".to_owned()),
        (Method::POST, "/auth/mfa/totp/confirm".to_owned()),
        (Method::DELETE, "/auth/mfa/totp".to_owned()),
        (Method::POST, "/auth/mfa/recovery-codes".to_owned()),
        (Method::POST, "/auth/mfa/verify".to_owned()),
        (Method::DELETE, format!("/admin/users/{id}/mfa")),
    ];
    for (method, path) in routes {
        // A refusal does not depend on what was asked: nobody's body is read.
        let asked = Request::new(method, path).json(&json!({"nonsense": true}));
        let answer = anonymous.request(asked).await;
        assert!(
            answer.header("www-authenticate").is_some_and(|v| v.starts_with("Bearer")),
            "{}",
            answer.asked
        );
        answer.problem(401, "unauthenticated");
    }
}
