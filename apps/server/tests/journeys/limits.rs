//! How often one may ask, and who is counted.

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ANA, MARIA, PASSWORD};
use reqwest::Method;
use serde_json::json;

use crate::World;

/// One comes back every ten seconds: longer than a journey takes to ask the next.
const CREDENTIALS: (&str, &str) = ("ALIVIO_RATE_CREDENTIALS_PER_MINUTE", "6");

fn guess() -> Request {
    Request::new(Method::POST, "/auth/password/reset")
        .json(&json!({"token": "alp_guess", "new_password": "caballo correcto"}))
}

#[track_caller]
fn number(answer: &Answer, header: &str) -> u64 {
    let value = answer.header(header).unwrap_or_else(|| panic!("{}: no {header}", answer.asked));
    value.parse().unwrap_or_else(|_| panic!("{header}: {value}"))
}

/// Refused as every refusal for haste is.
#[track_caller]
fn assert_limited(answer: Answer, limit: u64) {
    let wait = number(&answer, "retry-after");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!((number(&answer, "ratelimit-limit"), number(&answer, "ratelimit-remaining")), (limit, 0));
    assert!(number(&answer, "ratelimit-reset") >= wait);
    answer.problem(429, "rate_limited");
}

#[tokio::test]
async fn credentials_are_tried_so_often_and_no_more() {
    let world = World::with(&[CREDENTIALS]).await;
    let ana = world.sign_in(ANA).await;
    let anonymous = world.anonymous();
    for left in (0..5).rev() {
        let answer = anonymous.request(guess()).await;
        assert_eq!(number(&answer, "ratelimit-remaining"), left);
        answer.problem(401, "invalid_secret");
    }
    assert_limited(anonymous.request(guess()).await, 6);

    // No other spelling of the address, no other door, no right password, and no claim to be someone else helps.
    let right = json!({"email": ANA, "password": PASSWORD});
    for path in ["/auth/login", "/auth/login/", "/auth/%6Cogin", "//api//v1/auth/login"] {
        let answer = anonymous.request(Request::new(Method::POST, path).json(&right)).await;
        assert!(matches!(answer.status, 429 | 404), "{path}: {}", answer.status);
    }
    for (name, value) in [
        ("X-Forwarded-For", "192.0.2.77"),
        ("X-Forwarded-For", "127.0.0.2, 192.0.2.78"),
        ("Forwarded", "for=192.0.2.79"),
        ("X-Real-IP", "192.0.2.80"),
        ("Authorization", "Bearer made-up"),
    ] {
        assert_limited(anonymous.request(guess().header(name, value)).await, 6);
    }
    assert_limited(ana.request(guess()).await, 6);

    // Who is signed in goes on, and probes are not counted.
    ana.get("/auth/me").await.expect(200);
    for _ in 0..20 {
        let answer = anonymous.get("/health/live").await;
        assert_eq!(answer.header("ratelimit-limit"), None);
        answer.expect(200);
    }
}

#[tokio::test]
async fn an_account_has_its_own_budget_on_all_its_devices() {
    let limits = [("ALIVIO_RATE_READS_PER_MINUTE", "10"), ("ALIVIO_RATE_WRITES_PER_MINUTE", "4")];
    let world = World::with(&limits).await;
    let [ana, tablet, old_phone, maria] = world.sign_in_all([ANA, ANA, ANA, MARIA]).await;
    let bad = json!({"unknown": 1});
    old_phone.request(Request::new(Method::POST, "/auth/logout")).await.expect(204);

    // A session that is over, and a token that never was, take nothing from her.
    for actor in [&old_phone, &ana.with_token("made-up")] {
        for _ in 0..5 {
            let status = actor.request(Request::new(Method::POST, "/ws/tickets")).await.status;
            assert!(matches!(status, 401 | 429), "{status}");
        }
    }
    // The sign-out was the first of four; refused input counts, too.
    for (actor, left) in [(&ana, 2), (&tablet, 1), (&ana, 0)] {
        let answer = actor.post("/conversations", &bad).await;
        assert_eq!((answer.status, number(&answer, "ratelimit-remaining")), (422, left));
    }
    assert_limited(ana.post("/conversations", &bad).await, 4);
    assert_limited(tablet.post("/conversations", &bad).await, 4);

    // Reading has a budget of its own, and María has hers.
    for left in (0..10).rev() {
        assert_eq!(number(&ana.get("/auth/me").await, "ratelimit-remaining"), left);
    }
    assert_limited(ana.get("/auth/me").await, 10);
    let answer = maria.get("/auth/me").await;
    assert_eq!(number(&answer, "ratelimit-remaining"), 9);
    answer.expect(200);
    assert_eq!(number(&maria.post("/conversations", &bad).await, "ratelimit-remaining"), 3);
}

#[tokio::test]
async fn behind_a_proxy_of_ours_everyone_counts_by_themselves() {
    let world = World::with(&[CREDENTIALS, ("ALIVIO_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1")]).await;
    let guess_from =
        async |forwarded: &str| world.anonymous().request(guess().header("X-Forwarded-For", forwarded)).await;
    for n in 0..6 {
        // What stands before the proxy's own word is the client's to make up.
        let forwarded = format!("192.0.2.{n}, 203.0.113.5, 10.1.2.3");
        guess_from(&forwarded).await.problem(401, "invalid_secret");
    }
    assert_limited(guess_from("192.0.2.200, 203.0.113.5").await, 6);
    guess_from("203.0.113.6").await.problem(401, "invalid_secret");
}

#[tokio::test]
async fn a_page_may_read_how_long_to_wait() {
    const APP: &str = "https://app.clinic.example";
    let world = World::with(&[CREDENTIALS, ("ALIVIO_CORS_ORIGINS", APP)]).await;
    let anonymous: Actor = world.anonymous();
    for _ in 0..6 {
        anonymous.request(guess()).await.problem(401, "invalid_secret");
    }
    let answer = anonymous.request(guess().header("Origin", APP)).await;
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some(APP));
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
    assert!(exposed.contains("retry-after") && exposed.contains("ratelimit-reset"), "{exposed}");
    assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
    assert_limited(answer, 6);
}
