//! Whatever is sent, the answer is clear, the data stay as they were, others notice nothing, and nothing breaks.
//!
//! That no answer is a 5xx is asserted by the client of the test kit, on every request of every journey.

use std::fmt::Write as _;

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ANA, CARLOS, MARIA, PATIENCE};
use alivio_testkit::socket::{Socket, send_command};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{FAST, World, text, unused_id};

const MESSAGES: &str = "{conversation}/messages";

/// Ana and María in a conversation with a message, and what both see of it.
struct Scene {
    world: World,
    ana: Actor,
    maria: Actor,
    conversation: String,
    message: String,
    before: Vec<Value>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(environment: &[(&str, &str)]) -> Self {
        let world = World::with(environment).await;
        let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
        let conversation = ana.open_direct(&maria.id).await;
        let message = text(&ana.send(&conversation, "lo que hay").await, "id").to_owned();
        let mut scene = Self { world, ana, maria, conversation, message, before: Vec::new() };
        scene.before = scene.all_there_is().await;
        scene
    }

    async fn all_there_is(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for actor in [&self.ana, &self.maria] {
            let mut list = actor.get("/conversations").await.expect(200);
            // Who is connected is no stored data.
            for conversation in list["items"].as_array_mut().expect("items") {
                for participant in conversation["participants"].as_array_mut().expect("participants") {
                    participant["is_online"] = Value::Null;
                    participant["last_seen"] = Value::Null;
                }
            }
            all.push(list);
            all.extend(actor.history(&self.conversation).await);
        }
        all
    }

    /// Nothing was stored, and María's socket still works.
    async fn check(&self, at_maria: &mut Socket) {
        assert_eq!(self.all_there_is().await, self.before, "the stored data have changed");
        at_maria.call(json!({"type": "ping"})).await;
        assert!(!self.world.logs().contains("panicked"), "{}", self.world.logs());
    }

    /// `path` with `{conversation}` filled in.
    fn path(&self, path: &str) -> String {
        path.replace("{conversation}", &format!("/conversations/{}", self.conversation))
    }
}

#[tokio::test]
async fn bodies_that_are_not_what_they_should_be() {
    let scene = Scene::new().await;
    let mut at_maria = scene.maria.connect().await;
    let long = |n: usize| "ñ".repeat(n);
    let marker = "{conversation}/read-marker";
    let people = "{conversation}/participants";
    let ana = &scene.ana.id;
    // (method, path, status, body)
    let bodies: Vec<(Method, &str, u16, String)> = vec![
        // Not JSON at all.
        (Method::POST, MESSAGES, 400, "{".to_owned()),
        (Method::POST, MESSAGES, 400, String::new()),
        (Method::POST, MESSAGES, 400, "content=hola".to_owned()),
        (Method::POST, MESSAGES, 400, r#"{"content": "a",}"#.to_owned()),
        (Method::POST, MESSAGES, 400, r#"{"content": "a"} {"content": "b"}"#.to_owned()),
        (Method::POST, MESSAGES, 400, "\u{feff}{}".to_owned()),
        (Method::POST, MESSAGES, 400, "[".repeat(10_000)),
        (Method::POST, "/conversations", 400, "nul".to_owned()),
        (Method::POST, "/auth/login", 400, "{".to_owned()),
        // JSON of another shape.
        (Method::POST, MESSAGES, 422, "null".to_owned()),
        (Method::POST, MESSAGES, 422, "[]".to_owned()),
        (Method::POST, MESSAGES, 422, "\"hola\"".to_owned()),
        (Method::POST, MESSAGES, 422, "{}".to_owned()),
        (Method::POST, MESSAGES, 422, json!({"content": 7}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": null}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": ["a"]}).to_string()),
        (Method::POST, MESSAGES, 422, r#"{"content": "a", "content": "b"}"#.to_owned()),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "priority": 1}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "client_message_id": {}}).to_string()),
        (Method::PUT, marker, 422, json!({"message_id": 1}).to_string()),
        (Method::POST, "/conversations", 422, json!({"type": "group", "participants": ana}).to_string()),
        (Method::POST, "/conversations", 422, json!({"type": ["group"], "participants": [ana]}).to_string()),
        (Method::POST, "/auth/login", 422, json!({"email": ANA}).to_string()),
        (Method::POST, "/auth/login", 422, json!({"email": ANA, "password": 1}).to_string()),
        (Method::POST, "/auth/refresh", 422, json!({"refresh_token": null}).to_string()),
        // Fields that are not there, above all those that are not the client's (AZ-05).
        (Method::POST, MESSAGES, 422, json!({"content": "a", "sender_id": ana}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "seq": 7}).to_string()),
        (
            Method::POST,
            MESSAGES,
            422,
            json!({"content": "a", "created_at": "2020-01-01T00:00:00Z"}).to_string(),
        ),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "delivery_status": "read"}).to_string()),
        (Method::PUT, marker, 422, json!({"message_id": scene.message, "user_id": ana}).to_string()),
        (Method::POST, people, 422, json!({"user_id": ana, "role": "moderator"}).to_string()),
        (Method::POST, "/conversations/direct", 422, json!({"user_id": ana, "title": "x"}).to_string()),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "direct", "participants": [ana], "id": unused_id()}).to_string(),
        ),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "direct", "participants": [ana], "created_by": ana}).to_string(),
        ),
        (
            Method::POST,
            "/auth/login",
            422,
            json!({"email": ANA, "password": "x", "role": "it_admin"}).to_string(),
        ),
        // Ids that are none.
        (Method::POST, "/conversations/direct", 422, json!({"user_id": "x"}).to_string()),
        (Method::POST, "/conversations/direct", 422, json!({"user_id": ""}).to_string()),
        (Method::POST, "/conversations/direct", 422, json!({"user_id": format!("{ana}0")}).to_string()),
        (Method::POST, "/conversations", 422, json!({"type": "group", "participants": ["1"]}).to_string()),
        (Method::PUT, marker, 422, json!({"message_id": "MSG-2026-000001"}).to_string()),
        (Method::POST, people, 422, json!({"user_id": "../../etc/passwd"}).to_string()),
        // Words that are none, or too many.
        (Method::POST, MESSAGES, 422, json!({"content": ""}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": " \n\t "}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "\u{3000}\u{a0}"}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": long(5001)}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "a\0b"}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "\u{1b}[31m"}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "message_type": "system"}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "message_type": "TEXT"}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "priority": "asap"}).to_string()),
        (Method::POST, MESSAGES, 422, json!({"content": "a", "client_message_id": ""}).to_string()),
        (
            Method::POST,
            MESSAGES,
            422,
            json!({"content": "a", "client_message_id": "con espacio"}).to_string(),
        ),
        (
            Method::POST,
            MESSAGES,
            422,
            json!({"content": "a", "client_message_id": "x".repeat(129)}).to_string(),
        ),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "group", "title": long(201), "participants": [ana]}).to_string(),
        ),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "group", "title": "a\nb", "participants": [ana]}).to_string(),
        ),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "group", "title": "a\0", "participants": [ana]}).to_string(),
        ),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "group", "title": " ", "participants": [ana]}).to_string(),
        ),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "group", "description": long(1001), "participants": [ana]}).to_string(),
        ),
        (Method::POST, "/conversations", 422, json!({"type": "group", "participants": []}).to_string()),
        (Method::POST, "/conversations", 422, json!({"type": "nonsense", "participants": [ana]}).to_string()),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "direct", "participants": [ana, unused_id()]}).to_string(),
        ),
        (
            Method::POST,
            "/conversations",
            422,
            json!({"type": "direct", "participants": [scene.maria.id]}).to_string(),
        ),
        (Method::POST, "/conversations/direct", 422, json!({"user_id": scene.maria.id}).to_string()),
        (Method::POST, "/auth/login", 422, json!({"email": ANA, "password": ""}).to_string()),
        (Method::POST, "/auth/login", 422, json!({"email": ANA, "password": "x".repeat(1025)}).to_string()),
    ];
    let mut wrong = Vec::new();
    for (method, path, status, body) in bodies {
        let shown: String = body.chars().take(80).collect();
        let asked = Request::new(method, scene.path(path)).raw("application/json", body);
        let answer = scene.maria.request(asked).await;
        if answer.status == status {
            answer.any_problem(status);
        } else {
            wrong.push(format!("{} {shown}: {} instead of {status}", answer.asked, answer.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    scene.check(&mut at_maria).await;
}

#[tokio::test]
async fn a_broken_field_is_named() {
    let scene = Scene::new().await;
    let path = scene.path(MESSAGES);
    let too_long = scene.maria.post(&path, &json!({"content": "x".repeat(5001)})).await;
    let problem = too_long.problem(422, "validation_failed");
    assert_eq!(problem["details"], json!({"field": "content", "rule": "too_long", "max": 5000}));
    for (content, rule) in [(" ", "empty"), ("a\0b", "control_character")] {
        let problem =
            scene.maria.post(&path, &json!({"content": content})).await.problem(422, "validation_failed");
        assert_eq!(problem["details"], json!({"field": "content", "rule": rule}));
    }
}

#[tokio::test]
async fn requests_that_are_not_what_they_should_be() {
    let scene = Scene::new().await;
    let mut at_maria = scene.maria.connect().await;
    let maria = &scene.maria;
    let path = scene.path(MESSAGES);
    let body = r#"{"content": "a"}"#;

    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", ""]
    {
        let asked = Request::new(Method::POST, &path).raw(content_type, body);
        maria.request(asked).await.any_problem(415);
    }
    let none = Request::new(Method::POST, &path);
    let answer = maria.request(none).await;
    assert!(matches!(answer.status, 400 | 415), "{}", answer.status);
    answer.clone().any_problem(answer.status);
    // Not UTF-8.
    let latin =
        Request::new(Method::POST, &path).raw("application/json", b"{\"content\": \"\xf1\"}".to_vec());
    maria.request(latin).await.any_problem(400);

    // Two megabytes: refused whether or not its length is told.
    let huge = json!({"content": "x".repeat(2 << 20)}).to_string();
    let answer = maria.try_request(Request::new(Method::POST, &path).raw("application/json", huge)).await;
    // The connection may be closed before all is sent, and then the answer can be lost on the way.
    if let Ok(answer) = answer {
        answer.any_problem(413);
    }

    for (method, path) in [
        (Method::DELETE, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::PUT, "/conversations".to_owned()),
        (Method::GET, "/auth/login".to_owned()),
        (Method::POST, "/auth/me".to_owned()),
        (Method::GET, "/ws/tickets".to_owned()),
        (Method::TRACE, "/auth/me".to_owned()),
    ] {
        let answer = maria.request(Request::new(method, path)).await;
        assert!(answer.header("allow").is_some_and(|allow| !allow.is_empty()), "{}: no Allow", answer.asked);
        answer.any_problem(405);
    }
    // An override is not listened to.
    let disguised = Request::new(Method::GET, scene.path("{conversation}"))
        .header("X-HTTP-Method-Override", "DELETE")
        .header("X-Method-Override", "DELETE");
    assert_eq!(maria.request(disguised).await.expect(200)["id"], scene.conversation);

    for bad in [
        "x",
        "1001",
        "CONV-2026-001001",
        "%00",
        "..%2f..",
        "00000000-0000-0000-0000-00000000000g",
        "{}",
        "'%20OR%201=1--",
    ] {
        for rest in ["", "/messages"] {
            let answer = maria.get(&format!("/conversations/{bad}{rest}")).await;
            // No such conversation, or no such address: never more.
            assert!(matches!(answer.status, 404 | 422), "{bad}: {} {}", answer.status, answer.text);
            answer.clone().any_problem(answer.status);
        }
    }
    scene.check(&mut at_maria).await;
}

#[tokio::test]
async fn the_conversation_of_others_is_one_that_does_not_exist() {
    let scene = Scene::new().await;
    let mut at_maria = scene.maria.connect_to(&scene.conversation).await;
    let carlos = scene.world.sign_in(CARLOS).await;
    let own = carlos.open_group("Mía", &[&scene.maria]).await;
    let own_message = text(&carlos.send(&own, "mío").await, "id").to_owned();
    let before = scene.all_there_is().await;
    let absent = unused_id();
    let requests: Vec<(Method, &str, Value)> = vec![
        (Method::GET, "", Value::Null),
        (Method::GET, "/messages", Value::Null),
        (Method::GET, "/messages?before=1", Value::Null),
        (Method::POST, "/messages", json!({"content": "intruso"})),
        (Method::POST, "/messages", json!({"content": "intruso", "client_message_id": "c-1"})),
        (Method::PUT, "/read-marker", json!({"message_id": scene.message})),
        (Method::PUT, "/read-marker", json!({"message_id": own_message})),
        (Method::POST, "/participants", json!({"user_id": carlos.id})),
        (Method::DELETE, "/participants/{ana}", Value::Null),
        (Method::DELETE, "/participants/{self}", Value::Null),
    ];
    for (method, rest, body) in requests {
        let rest = rest.replace("{ana}", &scene.ana.id).replace("{self}", &carlos.id);
        let ask = async |conversation: &str| {
            let asked = Request::new(method.clone(), format!("/conversations/{conversation}{rest}"));
            carlos.request(if body.is_null() { asked } else { asked.json(&body) }).await
        };
        let (theirs, nobodys) = (ask(&scene.conversation).await, ask(&absent).await);
        assert_eq!(theirs.comparable(), nobodys.comparable(), "{method} {rest}");
        theirs.problem(404, "not_found");
        nobodys.problem(404, "not_found");
    }
    // AZ-02: his conversation, her message.
    for direction in ["before", "after"] {
        let answer =
            carlos.get(&format!("/conversations/{own}/messages?{direction}={}", scene.message)).await;
        answer.problem(404, "not_found");
    }

    let mut socket = carlos.connect().await;
    for conversation in [&scene.conversation, &absent] {
        let commands = [
            json!({"type": "subscribe", "conversation_ids": [conversation]}),
            json!({"type": "resume", "conversation_id": conversation, "last_seq": 0}),
            send_command(conversation, "c-2", "intruso"),
            json!({"type": "typing.set", "conversation_id": conversation, "is_typing": true}),
            json!({"type": "read.set", "conversation_id": conversation, "message_id": scene.message}),
            json!({"type": "ack", "conversation_id": conversation, "up_to_seq": 1}),
        ];
        for command in commands {
            assert_eq!(socket.call_refused(command.clone()).await, "not_found", "{command}");
        }
    }
    let heard = at_maria.settled().await;
    let heard: Vec<_> = heard.iter().filter(|frame| frame["conversation_id"] == scene.conversation).collect();
    assert!(heard.is_empty(), "María heard of it: {heard:#?}");
    assert_eq!(scene.all_there_is().await, before);
}

/// The key that the server signs its tokens with, from the documented file in its data directory.
fn signing_key(scene: &Scene) -> Ed25519KeyPair {
    let files = std::fs::read_dir(scene.world.data_dir()).expect("the data directory");
    let rings = files.filter_map(|file| {
        let ring: Value = serde_json::from_slice(&std::fs::read(file.ok()?.path()).ok()?).ok()?;
        ring.get("token_signing").cloned()
    });
    let ring = rings.last().expect("a key ring");
    let keys = ring["keys"].as_array().expect("keys");
    let current = keys.iter().find(|key| key["kid"] == ring["current"]).expect("the current key");
    let document = STANDARD.decode(text(current, "pkcs8")).expect("Base64");
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).expect("a key")
}

/// AU-07.
#[tokio::test]
async fn tokens_that_are_not_ours() {
    let scene = Scene::new().await;
    let mut at_maria = scene.maria.connect().await;
    let elsewhere = World::new().await;
    let foreigner = elsewhere.sign_in(MARIA).await;
    let ticket = scene.maria.ticket().await;

    let token = scene.maria.token();
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("not a JWT: {} parts", parts.len()) };
    let decode = |part: &str| -> Value {
        serde_json::from_slice(&BASE64.decode(part).expect("Base64")).expect("JSON")
    };
    let encode = |value: &Value| BASE64.encode(value.to_string());
    assert_eq!(decode(header)["alg"], "EdDSA");
    let with = |value: &Value, field: &str, new: Value| {
        let mut value = value.clone();
        value[field] = new;
        value
    };
    let (real_header, real_claims) = (decode(header), decode(claims));
    let hmac = |key: &[u8]| {
        let header = encode(&json!({"alg": "HS256", "typ": real_header["typ"], "kid": real_header["kid"]}));
        let signed = format!("{header}.{claims}");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        format!("{signed}.{}", BASE64.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    };
    // A key of the attacker's own, brought along in the header.
    let own = Ed25519KeyPair::generate().expect("a key");
    let public = BASE64.encode(own.public_key().as_ref());
    let signed_by_own = |header: &Value, claims: &Value| {
        let signed = format!("{}.{}", encode(header), encode(claims));
        format!("{signed}.{}", BASE64.encode(own.sign(signed.as_bytes())))
    };
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": public});
    let later = json!(4_102_444_800_u64);

    let mut flipped = signature.to_owned();
    flipped.replace_range(3..4, if &signature[3..4] == "A" { "B" } else { "A" });
    let tokens = [
        ("none", format!("{}.{claims}.", encode(&json!({"alg": "none", "typ": real_header["typ"]})))),
        ("None", format!("{}.{claims}.{signature}", encode(&with(&real_header, "alg", json!("None"))))),
        ("no signature", format!("{header}.{claims}.")),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{token}.{signature}")),
        ("another signature", format!("{header}.{claims}.{flipped}")),
        (
            "a longer life",
            format!("{header}.{}.{signature}", encode(&with(&real_claims, "exp", later.clone()))),
        ),
        (
            "another person",
            format!("{header}.{}.{signature}", encode(&with(&real_claims, "sub", json!(scene.ana.id)))),
        ),
        ("HS256, empty key", hmac(b"")),
        ("HS256, guessed key", hmac(b"secret")),
        ("our own key", signed_by_own(&real_header, &real_claims)),
        ("jwk", signed_by_own(&with(&real_header, "jwk", jwk), &real_claims)),
        ("jku", signed_by_own(&with(&real_header, "jku", json!("http://127.0.0.1:1/keys")), &real_claims)),
        (
            "kid as a path",
            signed_by_own(&with(&real_header, "kid", json!("../../../dev/null")), &real_claims),
        ),
        ("kid as SQL", signed_by_own(&with(&real_header, "kid", json!("' UNION SELECT 'x")), &real_claims)),
        ("another clinic's", foreigner.token().to_owned()),
        ("a refresh token", scene.maria.refresh_token.clone()),
        ("a ticket", ticket),
        ("nothing", String::new()),
        ("nonsense", "nonsense".to_owned()),
        ("dots", "..".to_owned()),
        ("not Base64", "ñ.ñ.ñ".to_owned()),
        ("much", "x".repeat(6000)),
    ];
    for (what, bad) in tokens {
        let asked = Request::new(Method::GET, "/auth/me")
            .unsigned()
            .header("Authorization", &format!("Bearer {bad}"));
        let answer = scene.maria.request(asked).await;
        // What is no token at all may count as none.
        let none = bad.is_empty() || !bad.is_ascii();
        let expected = if none { &["invalid_token", "unauthenticated"][..] } else { &["invalid_token"] };
        assert!(
            expected.iter().any(|code| answer.json["error"] == *code),
            "{what}: {} {}",
            answer.status,
            answer.text
        );
        answer.any_problem(401);
        if bad.is_ascii() {
            let refused = scene.maria.with_token(&bad);
            let refused = refused.try_connect(refused.knock()).await.expect_err(what);
            assert_eq!(refused.status, Some(401), "{what}: {refused}");
        }
    }
    for header in ["Basic bWFyaWE6eA==", "Bearer", "bearer", "Token x", "Digest username=\"x\""] {
        let asked = Request::new(Method::GET, "/auth/me").unsigned().header("Authorization", header);
        scene.maria.request(asked).await.any_problem(401);
    }
    // Signed by the right key, and yet not good: what a token says must hold, too.
    let key = signing_key(&scene);
    let signed = |header: &Value, claims: &Value| {
        let signed = format!("{}.{}", encode(header), encode(claims));
        format!("{signed}.{}", BASE64.encode(key.sign(signed.as_bytes())))
    };
    let ask = async |token: &str| {
        let asked = Request::new(Method::GET, "/auth/me").unsigned();
        scene.maria.request(asked.header("Authorization", &format!("Bearer {token}"))).await
    };
    ask(&signed(&real_header, &real_claims)).await.expect(200);
    let issued = real_claims["iat"].as_i64().expect("when it was issued");
    let claims = [
        ("expired a second ago", "exp", json!(issued - 1)),
        ("expired long ago", "exp", json!(0)),
        ("not good yet", "nbf", json!(issued + 300)),
        ("for others", "aud", json!("jitsi")),
        ("by others", "iss", json!("https://evil.example")),
        ("of another session", "sid", json!(unused_id())),
        ("of another person", "sub", json!(scene.ana.id)),
        ("of nobody", "sub", Value::Null),
        ("for ever", "exp", Value::Null),
    ];
    for (what, field, value) in claims {
        let token = signed(&real_header, &with(&real_claims, field, value));
        let answer = ask(&token).await;
        // A session that there is not has ended.
        let code = if field == "sid" { "session_ended" } else { "invalid_token" };
        assert_eq!(answer.json["error"], code, "{what}: {} {}", answer.status, answer.text);
        answer.problem(401, code);
        let bearer = scene.maria.with_token(&token);
        assert_eq!(bearer.try_connect(bearer.knock()).await.expect_err(what).status, Some(401), "{what}");
    }
    for typ in ["JWT", "rt+jwt"] {
        ask(&signed(&with(&real_header, "typ", json!(typ)), &real_claims))
            .await
            .problem(401, "invalid_token");
    }

    // 64 KiB of it: refused, by whichever limit.
    let asked = Request::new(Method::GET, "/auth/me")
        .unsigned()
        .header("Authorization", &format!("Bearer {}", "x".repeat(65_536)));
    if let Ok(answer) = scene.maria.try_request(asked).await {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    scene.check(&mut at_maria).await;
}

/// Sends `request` as it is and returns the status of the answer; 0 if the connection is just closed.
async fn raw(scene: &Scene, request: &str) -> (u16, String) {
    let url = scene.world.url();
    let mut stream =
        TcpStream::connect(url.strip_prefix("http://").expect("an address")).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // An error after the answer is as good as its end.
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer").ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    assert!(status < 500, "{request}\n{answer}");
    (status, answer)
}

/// AZ-13: other spellings of an address are the same address, or none.
#[tokio::test]
async fn there_is_no_side_door() {
    let scene = Scene::new().await;
    let mut at_maria = scene.maria.connect().await;
    let target = format!("conversations/{}", scene.conversation);
    let spellings = [
        format!("//api/v1/{target}"),
        format!("/api//v1//{target}"),
        format!("/api/v1/{target}/"),
        format!("/api/v1/{target};x=1"),
        format!("/api/v1/{target}%2f"),
        format!("/API/V1/{target}"),
        format!("/api/v1/%63onversations/{}", scene.conversation),
        format!("/api/v1/./{target}"),
        format!("/api/v1/auth/../{target}"),
        format!("/api/v1/health/%2e%2e/{target}"),
        format!("/docs/../api/v1/{target}"),
        format!("/api/v1/{target}%00"),
        format!("/api/v1/{target}?access_token={}", scene.maria.token()),
        format!("/api/v1/{target}?token={}", scene.maria.token()),
        format!("http://127.0.0.1/api/v1/{target}"),
    ];
    for path in spellings {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "DELETE"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let (status, answer) = raw(&scene, &request).await;
            let harmless = method == "OPTIONS" && status < 300 && !answer.contains(&scene.conversation);
            assert!(harmless || (400..500).contains(&status), "{method} {path}: {answer}");
        }
    }
    scene.check(&mut at_maria).await;
}

/// IN-05: what two readers could read differently is read by nobody.
#[tokio::test]
async fn requests_that_mean_two_things() {
    let scene = Scene::new().await;
    let mut at_maria = scene.maria.connect().await;
    let start = "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let smuggled = "0\r\n\r\nGET /api/v1/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ambiguous = [
        format!("{start}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}", smuggled.len()),
        format!("{start}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}} "),
        format!("{start}Content-Length: -1\r\n\r\n{{}}"),
        format!("{start}Content-Length: +2\r\n\r\n{{}}"),
        format!("{start}Transfer-Encoding: xchunked\r\n\r\n{smuggled}"),
        format!("{start}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{smuggled}"),
        "GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
            .to_owned(),
        "GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c: d\r\nConnection: close\r\n\r\n"
            .to_owned(),
        "GET /api/v1/health HTTP/1.1\r\nHost : localhost\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /api/v1/health\r\n\r\n".to_owned(),
        "GARBAGE\r\n\r\n".to_owned(),
    ];
    for request in ambiguous {
        let (status, answer) = raw(&scene, &request).await;
        assert!(status == 0 || status == 400, "{request}\n--- was answered\n{answer}");
    }
    let mut many = "GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".to_owned();
    for n in 0..2000 {
        write!(many, "X-Header-{n}: {}\r\n", "x".repeat(100)).expect("text");
    }
    many.push_str("\r\n");
    let url = scene.world.url();
    let mut stream =
        TcpStream::connect(url.strip_prefix("http://").expect("an address")).await.expect("connected");
    // It may be cut off before the end.
    stream.write_all(many.as_bytes()).await.ok();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer").ok();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    scene.check(&mut at_maria).await;
}

#[tokio::test]
async fn frames_that_are_not_commands() {
    let scene = Scene::with(&FAST).await;
    let mut at_maria = scene.maria.connect_to(&scene.conversation).await;
    let mut socket = scene.ana.connect_to(&scene.conversation).await;
    let id = &scene.conversation;
    // Those that cannot be read: no ref to answer to.
    let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for frame in [
        "",
        " ",
        "{",
        "ñ",
        "null",
        "[]",
        "7",
        "\"ping\"",
        "{}",
        "\u{0}",
        r#"{"type": "ping""#,
        "1e400",
        &nested,
    ] {
        socket.text(frame).await;
        let shown: String = frame.chars().take(40).collect();
        let error = socket.find(|f| f["type"] == "error").await;
        assert_eq!(error["ref"], Value::Null, "{shown}: {error}");
        assert!(
            error["data"]["error"].is_string() && error["data"]["message"].is_string(),
            "{shown}: {error}"
        );
        assert!(error["data"].get("details").is_some(), "{shown}: {error}");
    }
    // Those that can, and are answered as such.
    let many_keys: serde_json::Map<_, _> = (0..5000).map(|n| (format!("k{n}"), json!(n))).collect();
    let mut stuffed = json!({"type": "ping"});
    stuffed.as_object_mut().expect("an object").extend(many_keys);
    let send = |field: &str, value: Value| {
        let mut command = send_command(id, "c-1", "hola");
        command[field] = value;
        command
    };
    let commands = [
        json!({"type": "explode"}),
        json!({"type": ""}),
        json!({"type": "PING"}),
        json!({"type": 7}),
        json!({"type": "ping", "extra": 1}),
        json!({}),
        stuffed,
        // WS-10: what only the server says, and whom it says it about.
        json!({"type": "message.created", "conversation_id": id, "seq": 9, "data": {"content": "falso"}}),
        json!({"type": "receipt.read", "conversation_id": id, "data": {"user_id": scene.maria.id}}),
        json!({"type": "presence.changed", "data": {"user_id": scene.maria.id, "presence": "offline"}}),
        json!({"type": "ack", "conversation_id": id}),
        json!({"type": "ack", "conversation_id": id, "up_to_seq": -1}),
        json!({"type": "ack", "conversation_id": id, "up_to_seq": "1"}),
        json!({"type": "ack", "conversation_id": id, "up_to_seq": 1, "user_id": scene.maria.id}),
        send("sender_id", json!(scene.maria.id)),
        send("created_at", json!("2020-01-01T00:00:00Z")),
        send("seq", json!(1)),
        send("content", json!("")),
        send("content", json!(" \n ")),
        send("content", json!("a\0b")),
        send("content", json!("x".repeat(5001))),
        send("content", json!(7)),
        send("content", Value::Null),
        send("message_type", json!("system")),
        send("priority", json!("asap")),
        send("client_message_id", json!("")),
        send("client_message_id", json!("con espacio")),
        send("client_message_id", json!("x".repeat(129))),
        send("client_message_id", Value::Null),
        send("conversation_id", json!("x")),
        send("conversation_id", json!(["x"])),
        send("conversation_id", Value::Null),
        json!({"type": "typing.set", "conversation_id": id, "is_typing": "yes"}),
        json!({"type": "typing.set", "conversation_id": id}),
        json!({"type": "read.set", "conversation_id": id, "message_id": "x"}),
        json!({"type": "read.set", "conversation_id": id, "message_id": unused_id()}),
        json!({"type": "unsubscribe", "conversation_ids": "all"}),
        json!({"type": "resume", "conversation_id": id}),
    ];
    let mut wrong = Vec::new();
    for command in commands {
        let reference = socket.command(command.clone()).await;
        // Answered in order, so that this answer comes last.
        let answers = socket.settled().await;
        let refused =
            |f: &&Value| f["ref"] == reference && f["type"] == "error" && f["data"]["error"].is_string();
        if answers.iter().filter(refused).count() != 1 {
            wrong.push(format!("{:.120} was answered with {answers:?}", command.to_string()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A ref of another kind cannot be answered to; the command may be refused for it, the socket goes on.
    for reference in [json!(7), json!({}), json!([1]), json!("x".repeat(10_000))] {
        socket.text(&json!({"type": "ping", "ref": reference}).to_string()).await;
        socket.find(|f| f["type"] == "error" || f["type"] == "ack").await;
    }
    let too_big_a_number =
        format!(r#"{{"type": "ack", "ref": "n", "conversation_id": "{id}", "up_to_seq": 1e400}}"#);
    socket.text(&too_big_a_number).await;
    socket.find(|f| f["type"] == "error").await;

    assert_eq!(at_maria.settled().await.iter().filter(|f| f["type"] != "presence.changed").count(), 0);
    socket.call(json!({"type": "ping"})).await;
    socket.close().await;
    scene.check(&mut at_maria).await;
}

/// WS-06.
#[tokio::test]
async fn frames_that_end_the_socket() {
    const LIMIT: usize = 64 * 1024;
    let scene = Scene::with(&FAST).await;
    let mut at_maria = scene.maria.connect_to(&scene.conversation).await;
    let ana = &scene.ana;
    let padded = |size: usize| {
        let empty = json!({"type": "ping", "ref": ""}).to_string().len();
        json!({"type": "ping", "ref": "x".repeat(size - empty)}).to_string()
    };

    let mut socket = ana.connect().await;
    socket.try_text(&padded(LIMIT + 1)).await;
    assert_eq!(socket.close_code().await, Some(1009), "too big");
    let mut socket = ana.connect().await;
    socket.try_text(&"x".repeat(LIMIT * 16)).await;
    assert_eq!(socket.close_code().await, Some(1009), "much too big");

    // In parts it is as big, whether the parts end or not.
    let part = "x".repeat(LIMIT / 4);
    let mut socket = ana.connect().await;
    socket.try_fragments(&[part.as_bytes(); 5]).await;
    assert_eq!(socket.close_code().await, Some(1009), "too big in parts");

    let mut socket = ana.connect().await;
    socket.try_binary(b"{\"type\": \"ping\"}".to_vec()).await;
    assert_eq!(socket.close_code().await, Some(1003), "binary");

    let mut socket = ana.connect().await;
    socket.try_fragments(&[b"{\"type\": \"\xff\xfe\"}"]).await;
    assert_eq!(socket.close_code().await, Some(1007), "not UTF-8");

    // A command in parts that is not too big is a command; so is the biggest one.
    let mut socket = ana.connect().await;
    assert!(socket.try_fragments(&[b"{\"type\": \"pi", b"ng\", \"ref\"", b": \"parts\"}"]).await);
    socket.expect_ack("parts").await;
    assert!(socket.try_text(&padded(LIMIT)).await);
    let answer = socket.find(|f| f["type"] == "ack" || f["type"] == "error").await;
    assert!(answer.is_object());
    socket.close().await;
    scene.check(&mut at_maria).await;
}

/// WS-07.
#[tokio::test]
async fn a_flood_is_dammed() {
    let scene = Scene::new().await;
    let mut at_maria = scene.maria.connect_to(&scene.conversation).await;
    let mut socket = scene.ana.connect().await;
    let mut sent = 0;
    for n in 0..2000 {
        // Closed in the middle, as it should be.
        if !socket.try_text(&json!({"type": "ping", "ref": n.to_string()}).to_string()).await {
            break;
        }
        sent += 1;
    }
    assert_eq!(socket.close_code().await, Some(4429), "after {sent} commands");
    let answers = socket.take_kept();
    let acknowledged = answers.iter().filter(|f| f["type"] == "ack").count();
    let limited: Vec<_> = answers.iter().filter(|f| f["type"] == "error").collect();
    assert!((50..=400).contains(&acknowledged), "{acknowledged} commands in a moment");
    assert!(!limited.is_empty(), "closed without a warning");
    for error in limited {
        assert_eq!(error["data"]["error"], "rate_limited", "{error}");
        assert!(error["ref"].is_string(), "{error}");
    }
    // It was this socket that went too far, not the person.
    let mut again = scene.ana.connect().await;
    again.call(json!({"type": "ping"})).await;
    again.close().await;
    scene.check(&mut at_maria).await;
}
