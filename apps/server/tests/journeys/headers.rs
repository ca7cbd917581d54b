//! What every answer carries, whatever it says.

use alivio_testkit::actor::{Answer, Request};
use alivio_testkit::server::{ANA, MARIA};
use reqwest::Method;
use serde_json::json;

use crate::{World, text, unused_id};

#[tokio::test]
async fn answers_are_neither_kept_nor_guessed_at() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let login = json!({"email": ANA, "password": alivio_testkit::server::PASSWORD});
    let answers = [
        (200, ana.get("/auth/me").await),
        (200, ana.get(&format!("/conversations/{conversation}/messages")).await),
        (201, ana.post(&format!("/conversations/{conversation}/messages"), &json!({"content": "x"})).await),
        (200, ana.request(Request::new(Method::POST, "/auth/login").json(&login)).await),
        (201, ana.request(Request::new(Method::POST, "/ws/tickets")).await),
        (401, world.anonymous().get("/auth/me").await),
        (404, ana.get(&format!("/conversations/{}", unused_id())).await),
        (404, ana.get("/no-such-route").await),
        (404, ana.get("///").await),
        (405, ana.delete("/auth/me").await),
        (422, ana.post("/conversations", &json!({"unknown": 1})).await),
        (200, ana.get("/health").await),
        (204, ana.request(Request::new(Method::POST, "/auth/logout")).await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}: {}", answer.asked, answer.text);
        let header =
            |name: &str| answer.header(name).unwrap_or_else(|| panic!("{}: no {name}", answer.asked));
        assert!(header("cache-control").contains("no-store"), "{}", answer.asked);
        assert_eq!(header("x-content-type-options"), "nosniff", "{}", answer.asked);
        assert_eq!(header("referrer-policy"), "no-referrer", "{}", answer.asked);
        assert!(!header("x-request-id").is_empty(), "{}", answer.asked);
        for telling in ["server", "x-powered-by"] {
            assert_eq!(answer.header(telling), None, "{}", answer.asked);
        }
        if status >= 400 {
            answer.any_problem(status);
        }
    }
}

#[tokio::test]
async fn requests_have_an_id_that_clients_may_choose() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    let with_id = |id: &str| Request::new(Method::GET, "/auth/me").header("X-Request-Id", id);
    let problem = anonymous.request(with_id("cita-42.a_b")).await.problem(401, "unauthenticated");
    assert_eq!(problem["request_id"], "cita-42.a_b");
    // What could break a log line or fill a disk is replaced.
    for bad in ["a b", "a\"b", "<script>", "ñ", &"x".repeat(500), "a,b;c={}"] {
        let problem = anonymous.request(with_id(bad)).await.problem(401, "unauthenticated");
        assert_ne!(problem["request_id"], bad);
    }
    let first = anonymous.get("/auth/me").await.problem(401, "unauthenticated");
    let second = anonymous.get("/auth/me").await.problem(401, "unauthenticated");
    assert_ne!(first["request_id"], second["request_id"]);
}

#[tokio::test]
async fn problems_speak_the_callers_language() {
    let world = World::new().await;
    let asked = |language: Option<&str>| {
        let request = Request::new(Method::GET, "/auth/me");
        match language {
            Some(language) => request.header("Accept-Language", language),
            None => request,
        }
    };
    let anonymous = world.anonymous();
    let ask = async |language: Option<&str>| -> Answer { anonymous.request(asked(language)).await };
    let message = |answer: &Answer| text(&answer.json, "message").to_owned();
    let (es, en) = (ask(Some("es")).await, ask(Some("en")).await);
    assert_ne!(message(&es), message(&en));
    assert_eq!(es.header("content-language").as_deref(), Some("es"));
    assert_eq!(en.header("content-language").as_deref(), Some("en"));
    assert_eq!(es.json["error"], en.json["error"], "the code is for programs");
    let alike = [
        ("es-MX,es;q=0.9,en;q=0.8", &es),
        ("es-419", &es),
        ("EN-us", &en),
        ("en-GB;q=0.3, es;q=0.9", &es),
        ("fr, en;q=0.5", &en),
        ("es;q=0, en", &en),
    ];
    for (language, expected) in alike {
        assert_eq!(message(&ask(Some(language)).await), message(expected), "{language}");
    }
    // Whatever else is asked for, one of the two comes.
    for language in [None, Some("fr"), Some(""), Some("*"), Some("es;q=x"), Some(";;;,,,")] {
        let answer = message(&ask(language).await);
        assert!(answer == message(&es) || answer == message(&en), "{language:?}: {answer}");
    }
    // Every code has words in both.
    let ana = world.sign_in(ANA).await;
    for (method, path, body) in [
        (Method::POST, "/auth/login", json!({"email": "x@y.z", "password": "x"})),
        (Method::POST, "/auth/refresh", json!({"refresh_token": "x"})),
        (Method::POST, "/conversations", json!({"type": "direct", "participants": [unused_id()]})),
        (Method::POST, "/conversations", json!({"type": "direct", "participants": []})),
        (Method::POST, "/conversations", json!({"type": "nonsense", "participants": [unused_id()]})),
        (Method::DELETE, "/auth/me", json!({})),
        (Method::GET, "/no-such-route", json!({})),
    ] {
        let in_language = async |language: &str| {
            let asked = Request::new(method.clone(), path).json(&body).header("Accept-Language", language);
            ana.request(asked).await
        };
        let (es, en) = (in_language("es").await, in_language("en").await);
        assert_ne!(message(&es), message(&en), "{method} {path} {body}");
        assert_eq!(es.json["error"], en.json["error"]);
    }
}

#[tokio::test]
async fn only_listed_pages_may_ask() {
    const APP: &str = "https://app.clinic.example";
    let world = World::with(&[("ALIVIO_CORS_ORIGINS", APP)]).await;
    let ana = world.sign_in(ANA).await;
    let preflight = |origin: &str| {
        Request::new(Method::OPTIONS, "/conversations")
            .unsigned()
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization,content-type,idempotency-key,x-request-id",
            )
    };
    let allowed = ana.request(preflight(APP)).await;
    assert!(matches!(allowed.status, 200 | 204), "{}", allowed.status);
    assert_eq!(allowed.header("access-control-allow-origin").as_deref(), Some(APP));
    let headers = allowed.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    for name in ["authorization", "content-type", "idempotency-key"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert!(allowed.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));

    let request = |origin: &str| Request::new(Method::GET, "/auth/me").header("Origin", origin);
    let answer = ana.request(request(APP)).await;
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some(APP));
    assert!(answer.header("vary").is_some_and(|vary| vary.to_lowercase().contains("origin")));
    // A problem must be readable for the page, too.
    let refused = ana.request(request(APP).unsigned()).await;
    assert_eq!(refused.header("access-control-allow-origin").as_deref(), Some(APP));
    refused.problem(401, "unauthenticated");

    for origin in [
        "https://evil.example",
        "null",
        "https://app.clinic.example.evil.example",
        "http://app.clinic.example",
    ] {
        for asked in [preflight(origin), request(origin)] {
            let answer = ana.request(asked).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}: {}", answer.asked);
        }
    }
}

#[tokio::test]
async fn the_doors_that_are_open_to_everyone() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    let documents = ["//openapi.json", "//dialects.json", "//asyncapi.json"];
    for path in ["/health", "/health/live", "/health/ready", "//api/health"].into_iter().chain(documents) {
        let answer = anonymous.get(path).await;
        assert_eq!(answer.header("content-type").as_deref(), Some("application/json"), "{path}");
        answer.expect(200);
    }
    let docs = anonymous.get("//docs/").await;
    assert_eq!(docs.status, 200);
    assert!(docs.text.contains("swagger"), "{}", docs.text);
    let document = anonymous.get("//openapi.json").await.expect(200);
    assert!(text(&document, "openapi").starts_with("3."), "{}", document["openapi"]);
    let realtime = anonymous.get("//docs/realtime").await;
    assert_eq!(realtime.status, 200);
    let script = anonymous.get("//docs/realtime.js").await;
    assert_eq!(script.header("content-type").as_deref(), Some("text/javascript; charset=utf-8"));
    // Offline: nothing on the pages comes from elsewhere, and nothing in them may run but their scripts.
    for page in [&docs, &realtime, &script] {
        assert!(!page.text.contains("https://") && !page.text.contains("//cdn"), "{}", page.text);
    }
    for page in [&docs, &realtime] {
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'self'") && !policy.contains("script-src"), "{policy}");
        assert!(!page.text.contains("<script>") && !page.text.contains(" onclick"), "{}", page.text);
    }
    // A health check tells nobody where things are.
    let health = anonymous.get("/health/ready").await;
    for secret in ["postgres://", "password", world.database.name()] {
        assert!(!health.text.contains(secret), "{}", health.text);
    }
}
