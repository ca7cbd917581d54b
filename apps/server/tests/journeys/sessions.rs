//! Where one is signed in, for how long, and how pages hold their sign-in.

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ANA, MARIA, PASSWORD, eventually};
use alivio_testkit::socket::Connect;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{World, fields, list, text, unused_id};

/// Lets so much time pass in which nothing is done in a session.
const IDLE_29_50: &str =
    "UPDATE sessions SET last_active_at = now() - interval '29 minutes 50 seconds' WHERE id = $1";
const IDLE_30_01: &str =
    "UPDATE sessions SET last_active_at = now() - interval '30 minutes 1 second' WHERE id = $1";
const IDLE_20: &str = "UPDATE sessions SET last_active_at = now() - interval '20 minutes' WHERE id = $1";
const TWELVE_HOURS_OLD: &str = "UPDATE sessions SET expires_at = now() - interval '1 second' WHERE id = $1";

fn login_as(device: &str) -> Request {
    let body = json!({"email": ANA, "password": PASSWORD});
    Request::new(Method::POST, "/auth/login").json(&body).header("User-Agent", device)
}

async fn sessions(actor: &Actor) -> Vec<Value> {
    list(&actor.get("/auth/sessions").await.expect(200), "items").to_vec()
}

async fn current(actor: &Actor) -> String {
    let all = sessions(actor).await;
    text(all.iter().find(|session| session["is_current"] == true).expect("the current one"), "id").to_owned()
}

async fn post(actor: &Actor, path: &str) -> Answer {
    actor.request(Request::new(Method::POST, path)).await
}

/// S0-231, AZ-16.
#[tokio::test]
async fn one_sees_where_one_is_signed_in_and_ends_it() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    let phone = anonymous.with_sign_in(&anonymous.request(login_as("Phone")).await.expect(200));
    let laptop = anonymous.with_sign_in(&anonymous.request(login_as("Laptop")).await.expect(200));
    let maria = world.sign_in(MARIA).await;

    let all = sessions(&phone).await;
    assert_eq!(all.len(), 2, "{all:#?}");
    let expected = [
        "address",
        "created_at",
        "device",
        "expires_at",
        "id",
        "is_current",
        "is_new_device",
        "last_active_at",
        "stage",
    ];
    for (session, device, is_current) in [(&all[0], "Laptop", false), (&all[1], "Phone", true)] {
        assert_eq!(fields(session), expected, "and no secret");
        assert_eq!((&session["device"], &session["is_current"]), (&json!(device), &json!(is_current)));
        assert_eq!((&session["address"], &session["stage"]), (&json!("127.0.0.1"), &json!("full")));
    }
    assert_eq!(all[0]["is_new_device"], true, "S0-233: the account had never been on a laptop");
    assert_eq!(all[1]["is_new_device"], false, "the first sign-in of all");

    let mut socket = laptop.connect().await;
    let id = text(&all[0], "id");
    maria.delete(&format!("/auth/sessions/{id}")).await.problem(404, "not_found");
    phone.delete(&format!("/auth/sessions/{}", unused_id())).await.problem(404, "not_found");
    phone.delete("/auth/sessions/x").await.problem(422, "validation_failed");
    laptop.get("/auth/me").await.expect(200);
    phone.delete(&format!("/auth/sessions/{id}")).await.expect(204);
    laptop.get("/auth/me").await.problem(401, "session_ended");
    assert_eq!((socket.close_code().await, socket.close_reason()), (Some(4401), Some("session_ended")));
    phone.delete(&format!("/auth/sessions/{id}")).await.problem(404, "not_found");
    assert_eq!(sessions(&phone).await.len(), 1);
}

/// AU-10.
#[tokio::test]
async fn signing_out_elsewhere_and_everywhere() {
    let world = World::new().await;
    let [one, two, three] = world.sign_in_all([ANA, ANA, ANA]).await;
    let (mut here, mut there) = (one.connect().await, two.connect().await);
    one.delete("/auth/sessions").await.expect(204);
    assert_eq!(there.close_code().await, Some(4401));
    for other in [&two, &three] {
        other.get("/auth/me").await.problem(401, "session_ended");
    }
    one.get("/auth/me").await.expect(200);
    here.call(json!({"type": "ping"})).await;

    let four = world.sign_in(ANA).await;
    assert_eq!(post(&one, "/auth/logout-all").await.status, 204);
    assert_eq!(here.close_code().await, Some(4401));
    for actor in [&one, &four] {
        actor.get("/auth/me").await.problem(401, "session_ended");
        let body = json!({"refresh_token": actor.refresh_token});
        world.anonymous().post("/auth/refresh", &body).await.problem(401, "invalid_refresh_token");
    }
}

/// AU-14.
#[tokio::test]
async fn of_twenty_parallel_sign_ins_five_stay() {
    let world = World::new().await;
    let first = world.sign_in(ANA).await;
    let mut socket = first.connect().await;
    let actors = join_all((0..20).map(|_| sign_in_patiently(&world))).await;
    let live = join_all(actors.iter().map(async |actor| actor.get("/auth/me").await.status == 200)).await;
    let alive: Vec<_> = actors.iter().zip(live).filter(|(_, live)| *live).map(|(actor, _)| actor).collect();
    assert_eq!(alive.len(), 5);
    assert_eq!(sessions(alive[0]).await.len(), 5);
    first.get("/auth/me").await.problem(401, "session_ended");
    assert_eq!(socket.close_code().await, Some(4401));
    assert_eq!(socket.close_reason(), Some("session_evicted"), "the device is told why");
}

/// More than ten tries at once are taken for guessing, even with the right password: whoever is refused tries again.
async fn sign_in_patiently(world: &World) -> Actor {
    let mut answer = None;
    eventually("signed in", async || {
        let tried = world.anonymous().post("/auth/login", &json!({"email": ANA, "password": PASSWORD})).await;
        answer = (tried.status == 200).then_some(tried.json);
        answer.is_some()
    })
    .await;
    world.anonymous().with_sign_in(&answer.expect("an answer"))
}

#[tokio::test]
async fn how_many_may_be_signed_in_is_for_the_clinic_to_say() {
    let world = World::with(&[("ALIVIO_MAX_SESSIONS", "1")]).await;
    let first = world.sign_in(ANA).await;
    let second = world.sign_in(ANA).await;
    first.get("/auth/me").await.problem(401, "session_ended");
    second.get("/auth/me").await.expect(200);
}

/// AU-09, S0-230.
#[tokio::test]
async fn a_session_in_which_nothing_is_done_ends() {
    let world = World::with(&[("ALIVIO_SOCKET_HEARTBEAT_SECONDS", "1")]).await;
    let [ana, other] = world.sign_in_all([ANA, ANA]).await;
    let id = current(&ana).await;
    let mut socket = ana.connect().await;

    assert_eq!(world.execute(IDLE_29_50, &id).await, 1);
    eventually("it is active again", async || {
        ana.get("/auth/me").await.expect(200);
        let all = sessions(&other).await;
        let session = all.iter().find(|session| session["id"] == id.as_str()).expect("it is alive");
        seconds_since(session) < 60
    })
    .await;
    socket.call(json!({"type": "ping"})).await;

    assert_eq!(world.execute(IDLE_30_01, &id).await, 1);
    assert_eq!((socket.close_code().await, socket.close_reason()), (Some(4401), Some("session_ended")));
    ana.get("/auth/me").await.problem(401, "session_ended");
    let body = json!({"refresh_token": ana.refresh_token});
    world.anonymous().post("/auth/refresh", &body).await.problem(401, "invalid_refresh_token");
    assert_eq!(sessions(&other).await.len(), 1);
    other.get("/auth/me").await.expect(200);
}

/// AU-09: what a device does by itself is no activity.
#[tokio::test]
async fn pings_typing_and_receipts_do_not_keep_a_session_alive() {
    let world = World::new().await;
    let [ana, other, maria] = world.sign_in_all([ANA, ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    maria.send(&conversation, "Hola").await;
    let id = current(&ana).await;
    let idle = async || {
        let all = sessions(&other).await;
        seconds_since(all.iter().find(|session| session["id"] == id.as_str()).expect("it is alive"))
    };
    let mut socket = ana.connect().await;
    assert_eq!(world.execute(IDLE_20, &id).await, 1);
    socket.call(json!({"type": "ping"})).await;
    socket.call(json!({"type": "ack", "conversation_id": conversation, "up_to_seq": 1})).await;
    socket.command(json!({"type": "typing.set", "conversation_id": conversation, "is_typing": true})).await;
    socket.call(json!({"type": "ping"})).await;
    assert!(idle().await >= 20 * 60, "{}", idle().await);
    socket.subscribe(&[&conversation]).await;
    assert!(idle().await < 60, "{}", idle().await);
}

/// AU-09: however busy it is.
#[tokio::test]
async fn no_session_outlives_its_end() {
    let world = World::with(&[("ALIVIO_SOCKET_HEARTBEAT_SECONDS", "1")]).await;
    let ana = world.sign_in(ANA).await;
    let mut socket = ana.connect().await;
    assert_eq!(world.execute(TWELVE_HOURS_OLD, &current(&ana).await).await, 1);
    assert_eq!(socket.close_code().await, Some(4401));
    ana.get("/auth/me").await.problem(401, "session_ended");
}

/// A command on a socket that nobody has closed yet is refused as a request is.
#[tokio::test]
async fn a_socket_of_a_session_that_is_over_obeys_no_more() {
    // Fifty seconds until the heartbeat would notice.
    let world = World::with(&[("ALIVIO_SOCKET_HEARTBEAT_SECONDS", "50")]).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut socket = ana.connect().await;
    assert_eq!(world.execute(IDLE_30_01, &current(&ana).await).await, 1);
    eventually("the session is over", async || ana.get("/auth/me").await.status == 401).await;
    let send = alivio_testkit::socket::send_command(&conversation, "c-1", "¿Sigo aquí?");
    socket.try_command(send).await;
    assert_eq!(socket.close_code().await, Some(4401));
    assert_eq!(maria.history(&conversation).await, Vec::<Value>::new());
}

fn seconds_since(session: &Value) -> i64 {
    let at: DateTime<Utc> = text(session, "last_active_at").parse().expect("an instant");
    let now = alivio_kernel::Clock::now(&alivio_kernel::SystemClock);
    (now - at).max(TimeDelta::zero()).num_seconds()
}

// Cookies

/// A browser: it keeps cookies with their path, and sends them with whatever it is asked for.
struct Browser {
    anonymous: Actor,
    cookies: Vec<(String, String, String)>,
    csrf: String,
}

impl Browser {
    async fn sign_in(world: &World) -> (Self, Value) {
        let mut browser = Self { anonymous: world.anonymous(), cookies: vec![], csrf: String::new() };
        let request = login_as("Browser").header("X-Alivio-Session", "cookie");
        let answer = browser.anonymous.request(request).await;
        browser.keep(&answer);
        let body = answer.expect(200);
        browser.csrf = text(&body, "csrf_token").to_owned();
        (browser, body)
    }

    fn keep(&mut self, answer: &Answer) {
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().expect("ASCII");
            let (pair, attributes) = line.split_once("; ").expect("attributes");
            let (name, value) = pair.split_once('=').expect("a cookie");
            assert!(attributes.contains("SameSite=Strict"), "{line}");
            assert_eq!(attributes.contains("HttpOnly"), name != "alivio_csrf", "{line}");
            let path = attributes.split("; ").find_map(|a| a.strip_prefix("Path=")).expect("a path");
            self.cookies.retain(|(known, ..)| known != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned(), path.to_owned()));
            }
        }
    }

    /// With the cookies, and nothing else.
    fn ask(&self, method: Method, path: &str) -> Request {
        let full = format!("/api/v1{path}");
        let sent = self.cookies.iter().filter(|(_, _, at)| full.starts_with(at.as_str()));
        let sent: Vec<_> = sent.map(|(name, value, _)| format!("{name}={value}")).collect();
        Request::new(method, path).header("Cookie", &sent.join("; "))
    }

    async fn send(&self, request: Request) -> Answer {
        self.anonymous.request(request).await
    }
}

/// C-28.
#[tokio::test]
async fn a_page_signs_in_with_cookies_that_scripts_cannot_read() {
    let world = World::new().await;
    let (mut browser, body) = Browser::sign_in(&world).await;
    assert_eq!((&body["access_token"], &body["refresh_token"]), (&Value::Null, &Value::Null));
    assert_eq!(body["stage"], "full");
    let names = |browser: &Browser| {
        let mut names: Vec<_> = browser.cookies.iter().map(|(name, ..)| name.clone()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&browser), ["alivio_csrf", "alivio_refresh", "alivio_session"]);
    let me = browser.send(browser.ask(Method::GET, "/auth/me")).await.expect(200);
    assert_eq!(me, body["user"]);

    // The next pair, by cookie alone.
    let refresh = browser
        .ask(Method::POST, "/auth/refresh")
        .header("X-Alivio-Session", "cookie")
        .header("X-CSRF-Token", &browser.csrf)
        .json(&json!({}));
    let before = browser.cookies.clone();
    let answer = browser.send(refresh.clone()).await;
    browser.keep(&answer);
    assert_eq!(answer.expect(200)["csrf_token"], browser.csrf.as_str(), "it belongs to the session");
    assert_ne!(browser.cookies, before);

    // A socket: by ticket, which needs the token; never by cookie.
    let ticket = browser.ask(Method::POST, "/ws/tickets").header("X-CSRF-Token", &browser.csrf);
    let ticket = browser.send(ticket).await.expect(201);
    let with_ticket = Connect::new(format!("/api/v1/ws?ticket={}", text(&ticket, "ticket")));
    browser.anonymous.try_connect(with_ticket).await.expect("a socket");
    let (_, session, _) = browser.cookies.iter().find(|(name, ..)| name == "alivio_session").expect("it");
    let with_cookie = Connect::new("/api/v1/ws").header("Cookie", &format!("alivio_session={session}"));
    let refused = browser.anonymous.try_connect(with_cookie).await.expect_err("no socket by cookie");
    assert_eq!(refused.status, Some(401));

    let logout = browser.ask(Method::POST, "/auth/logout").header("X-CSRF-Token", &browser.csrf);
    let answer = browser.send(logout).await;
    let old = browser.ask(Method::GET, "/auth/me");
    browser.keep(&answer);
    assert_eq!((answer.status, names(&browser)), (204, vec![]));
    browser.send(old).await.problem(401, "session_ended");
}

/// AU-13.
#[tokio::test]
async fn another_page_cannot_act_through_the_cookies() {
    let world = World::new().await;
    let (browser, _) = Browser::sign_in(&world).await;
    let (other, _) = Browser::sign_in(&world).await;
    let wrong = "0".repeat(32);
    let truncated = &browser.csrf[..31];
    for (method, path) in [
        (Method::POST, "/auth/logout"),
        (Method::POST, "/auth/logout-all"),
        (Method::DELETE, "/auth/sessions"),
        (Method::POST, "/ws/tickets"),
        (Method::POST, "/auth/mfa/totp"),
        (Method::POST, "/conversations"),
    ] {
        let ask = || browser.ask(method.clone(), path).json(&json!({}));
        browser.send(ask()).await.problem(403, "csrf_token_invalid");
        for bad in ["", &wrong, truncated, &other.csrf, &browser.csrf.to_uppercase()] {
            let request = ask().header("X-CSRF-Token", bad);
            // Upper case of digits alone would be the token itself.
            if *bad == browser.csrf {
                continue;
            }
            browser.send(request).await.problem(403, "csrf_token_invalid");
        }
    }
    // Nor by the refresh cookie.
    let refresh =
        browser.ask(Method::POST, "/auth/refresh").header("X-Alivio-Session", "cookie").json(&json!({}));
    browser.send(refresh.clone()).await.problem(403, "csrf_token_invalid");
    browser.send(refresh.header("X-CSRF-Token", &other.csrf)).await.problem(403, "csrf_token_invalid");

    // A form of another page can send text, and some servers take another method from a header.
    let text = browser.ask(Method::POST, "/conversations").raw("text/plain", "{}");
    let answer = browser.send(text.header("X-CSRF-Token", &browser.csrf)).await;
    answer.problem(415, "unsupported_media_type");
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let get = browser.ask(Method::GET, "/auth/sessions").header(name, "DELETE");
        assert_eq!(list(&browser.send(get).await.expect(200), "items").len(), 2, "{name}");
        let get = browser.ask(Method::GET, "/auth/logout").header(name, "POST");
        browser.send(get).await.problem(405, "method_not_allowed");
    }
    browser.send(browser.ask(Method::GET, "/auth/me")).await.expect(200);
    other.send(other.ask(Method::GET, "/auth/me")).await.expect(200);
}

/// Tokens in a header are sent by programs, which nobody can make act for someone else.
#[tokio::test]
async fn bearer_tokens_need_no_second_token_and_other_modes_are_refused() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    ana.ticket().await;
    let request = login_as("Browser").header("X-Alivio-Session", "jwt");
    let problem = world.anonymous().request(request).await.problem(422, "validation_failed");
    assert_eq!(problem["details"]["field"], "X-Alivio-Session");
    let problem = ana.post("/auth/refresh", &json!({})).await.problem(422, "validation_failed");
    assert_eq!(problem["details"], json!({"field": "refresh_token", "rule": "missing"}));
}
