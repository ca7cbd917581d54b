//! Several nodes, one clinic (C-48, S2-51, S2-62): what happens at one is heard at the other, with Redis at once, and
//! without it within about a second.

use std::time::Duration;

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::redis::TestRedis;
use alivio_testkit::server::{AISHA, ANA, CARLOS, IT, MARIA, TestServer, eventually};
use alivio_testkit::socket::Socket;
use alivio_testkit::stopwatch::Stopwatch;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{list, number, text};

/// A node looks every half second; the rest is for a machine that does other things, too.
const ABOUT_A_SECOND: Duration = Duration::from_secs(2);

/// Two nodes on one database, with the same keys.
pub(crate) struct Nodes {
    // Before the database: they are stopped before it is dropped.
    pub(crate) a: TestServer,
    pub(crate) b: TestServer,
    database: TestDatabase,
}

impl Nodes {
    async fn new(redis: Option<&TestRedis>) -> Self {
        let url = redis.map(TestRedis::url).unwrap_or_default();
        Self::at([&url, &url], &[]).await
    }

    /// Each with a `REDIS_URL` of its own, and both with these settings.
    pub(crate) async fn at(redis: [&str; 2], settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::new().await.expect("a database");
        let binary = env!("CARGO_BIN_EXE_alivio");
        let fast = ("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "1000000");
        // The same people sign in again and again.
        let many = ("ALIVIO_MAX_SESSIONS", "1000");
        let settings = [&[fast, many], settings].concat();
        let environment = [&[("REDIS_URL", redis[0])], settings.as_slice()].concat();
        let a = TestServer::start(binary, database.url(), &environment).await;
        let keys = a.data_dir().join("keys.json").display().to_string();
        let shared = [("REDIS_URL", redis[1]), ("ALIVIO_KEYS_FILE", keys.as_str()), ("ALIVIO_DEMO", "false")];
        let environment = [shared.as_slice(), settings.as_slice()].concat();
        let b = TestServer::start(binary, database.url(), &environment).await;
        Self { a, b, database }
    }

    /// Both nodes reach Redis.
    pub(crate) async fn reach_redis(&self) {
        for node in [&self.a, &self.b] {
            eventually("it reaches Redis", async || redis_of(node).await == "ok").await;
        }
    }

    /// Both nodes hear each other.
    pub(crate) async fn are_connected(&self) {
        let [one, other] = [self.a.sign_in(MARIA).await, self.b.sign_in(CARLOS).await];
        let group = one.open_group("Prueba", &[&other]).await;
        let (mut at_one, mut at_other) = (one.connect().await, other.connect().await);
        at_one.subscribe(&[&group]).await;
        at_other.subscribe(&[&group]).await;
        hears(&mut at_one, &mut at_other, &group).await;
        hears(&mut at_other, &mut at_one, &group).await;
    }

    async fn row(&self, sql: &str, ids: [&str; 2]) -> tokio_postgres::Row {
        let (client, connection) =
            tokio_postgres::connect(self.database.url(), tokio_postgres::NoTls).await.expect("the database");
        let connection = tokio::spawn(connection);
        let [one, other] = ids.map(|id| id.parse::<uuid::Uuid>().expect("an id"));
        let row = client.query_one(sql, &[&one, &other]).await.expect("a row");
        connection.abort();
        row
    }
}

/// What a node says of its Redis.
pub(crate) async fn redis_of(node: &TestServer) -> Value {
    let health = node.anonymous().get("/health").await.expect(200);
    let redis = list(&health, "dependencies").iter().find(|dependency| dependency["name"] == "redis");
    redis.expect("it has one")["status"].clone()
}

/// Who types at one is seen at the other.
async fn hears(from: &mut Socket, to: &mut Socket, group: &str) {
    eventually("typing crosses", async || {
        from.call(json!({"type": "typing.set", "conversation_id": group, "is_typing": true})).await;
        to.settled().await.iter().any(|frame| frame["type"] == "typing")
    })
    .await;
}

async fn patch(actor: &Actor, path: &str, body: Value) -> Value {
    actor.request(Request::new(Method::PATCH, path).json(&body)).await.expect(200)
}

/// Asks again while answers are lost: a server closes connections that it thinks idle.
async fn insist(actor: &Actor, request: impl Fn() -> Request) {
    eventually("it is done", async || actor.try_request(request()).await.is_ok()).await;
}

/// Says something; whether the answer comes back is not the question.
async fn say(actor: &Actor, group: &str) {
    let request = Request::new(Method::POST, format!("/conversations/{group}/messages"));
    actor.try_request(request.json(&json!({"content": "hola"}))).await.ok();
}

/// The next event of this type, and that it came in time.
async fn soon(socket: &mut Socket, kind: &str, since: &Stopwatch) -> Value {
    let event = socket.next_event(kind).await;
    assert!(since.elapsed() < ABOUT_A_SECOND, "{kind} took {:?}", since.elapsed());
    event
}

/// A conversation of María at A with Carlos and Aisha at B, and all that can happen in it.
pub(crate) async fn everything_is_heard_once(nodes: &Nodes) {
    let maria = nodes.a.sign_in(MARIA).await;
    let [carlos, aisha] = nodes.b.sign_in_all([CARLOS, AISHA]).await;
    let group = maria.open_group("Guardia", &[&carlos, &aisha]).await;
    let (mut at_maria, mut at_carlos) = (maria.connect().await, carlos.connect().await);
    at_maria.subscribe(&[&group]).await;
    at_carlos.subscribe(&[&group]).await;

    let began = Stopwatch::start();
    let sent = maria.send(&group, "hola").await;
    let id = text(&sent, "id");
    let heard = soon(&mut at_carlos, "message.created", &began).await;
    assert_eq!((text(&heard["data"], "id"), text(&heard["data"], "content")), (id, "hola"));

    let began = Stopwatch::start();
    patch(&maria, &format!("/messages/{id}"), json!({"content": "hola a todos"})).await;
    let heard = soon(&mut at_carlos, "message.updated", &began).await;
    assert_eq!(text(&heard["data"], "content"), "hola a todos");

    let began = Stopwatch::start();
    carlos.put(&format!("/messages/{id}/reactions/%F0%9F%91%8D"), &json!({})).await.expect(200);
    let heard = soon(&mut at_maria, "message.reacted", &began).await;
    assert_eq!(
        (&heard["data"]["reactions"][0]["count"], text(&heard, "actor")),
        (&json!(1), carlos.id.as_str())
    );
    at_carlos.next_event("message.reacted").await;

    let began = Stopwatch::start();
    at_carlos.call(json!({"type": "read.set", "conversation_id": group, "message_id": id})).await;
    let heard = soon(&mut at_maria, "receipt.read", &began).await;
    assert_eq!(
        (text(&heard["data"], "user_id"), number(&heard["data"], "read_up_to")),
        (carlos.id.as_str(), 1)
    );
    at_carlos.next_event("receipt.read").await;
    at_carlos.next_event("unread.changed").await;

    let began = Stopwatch::start();
    patch(&maria, &format!("/conversations/{group}"), json!({"title": "Guardia de noche"})).await;
    soon(&mut at_carlos, "conversation.updated", &began).await;
    at_maria.next_event("conversation.updated").await;

    let began = Stopwatch::start();
    maria.request(Request::new(Method::DELETE, format!("/messages/{id}"))).await;
    soon(&mut at_carlos, "message.deleted", &began).await;

    let began = Stopwatch::start();
    let mut at_aisha = aisha.connect().await;
    at_aisha.subscribe(&[&group]).await;
    let removed = maria.delete(&format!("/conversations/{group}/participants/{}", carlos.id)).await;
    assert!(removed.status < 300, "{removed:?}");
    soon(&mut at_carlos, "participant.removed", &began).await;
    soon(&mut at_aisha, "participant.removed", &began).await;
    at_maria.next_event("participant.removed").await;
    at_carlos.call_refused(json!({"type": "typing.set", "conversation_id": group, "is_typing": true})).await;

    // What comes last comes after everything else.
    let began = Stopwatch::start();
    aisha.send(&group, "sin Carlos").await;
    let heard =
        at_maria.find(|f| f["type"] == "message.created" && f["data"]["content"] == "sin Carlos").await;
    assert!(began.elapsed() < ABOUT_A_SECOND, "{:?}", began.elapsed());
    assert_eq!(number(&heard, "seq"), 2);
    maria.send(&group, "fin").await;
    at_aisha.find(|f| f["type"] == "message.created" && f["data"]["content"] == "fin").await;
    // Nothing came twice.
    let others = ["presence.changed", "conversation.created"];
    let kinds = |frames: Vec<Value>| -> Vec<String> {
        let told = frames.iter().filter(|frame| !others.contains(&text(frame, "type")));
        told.map(|frame| text(frame, "type").to_owned()).collect()
    };
    assert_eq!(kinds(at_carlos.settled().await), [""; 0]);
    let own = ["message.created", "message.updated", "message.deleted", "message.created"];
    assert_eq!(kinds(at_maria.settled().await), own);
}

/// Sessions that end at A have no socket at B, and no say there.
pub(crate) async fn ended_sessions_are_closed_elsewhere(nodes: &Nodes) {
    let it = nodes.a.sign_in(IT).await;
    for (how, who) in [("logout", MARIA), ("logout-all", CARLOS), ("deactivate", AISHA)] {
        let here = nodes.a.sign_in(who).await;
        let there = here.at(nodes.b.address());
        let mut socket = there.connect().await;
        there.get("/auth/me").await.expect(200);
        let began = Stopwatch::start();
        let ended = match how {
            "deactivate" => it.post(&format!("/admin/users/{}/deactivate", here.id), &json!({})).await,
            _ => here.request(Request::new(Method::POST, format!("/auth/{how}"))).await,
        };
        assert!(ended.status < 300, "{how}: {ended:?}");
        assert_eq!(socket.close_code().await, Some(4401), "{how}");
        assert!(began.elapsed() < ABOUT_A_SECOND, "{how} took {:?}", began.elapsed());
        eventually("its token is refused", async || there.get("/auth/me").await.status == 401).await;
        assert!(began.elapsed() < ABOUT_A_SECOND, "{how} took {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_everything_is_heard_at_once() {
    let Some(redis) = TestRedis::start().await else { return };
    let nodes = Nodes::new(Some(&redis)).await;
    nodes.are_connected().await;
    everything_is_heard_once(&nodes).await;

    // A node that only looked now and then would take five seconds.
    let [maria, carlos] = [nodes.a.sign_in(MARIA).await, nodes.b.sign_in(CARLOS).await];
    let group = maria.open_group("Turno", &[&carlos]).await;
    let mut at_carlos = carlos.connect().await;
    at_carlos.subscribe(&[&group]).await;
    let began = Stopwatch::start();
    for n in 1..=10 {
        maria.send(&group, "rápido").await;
        assert_eq!(number(&at_carlos.next_event("message.created").await, "seq"), n);
    }
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
    ended_sessions_are_closed_elsewhere(&nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everything_is_heard_within_a_second() {
    let nodes = Nodes::new(None).await;
    everything_is_heard_once(&nodes).await;
    ended_sessions_are_closed_elsewhere(&nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_redis_dies_nothing_is_lost() {
    let Some(redis) = TestRedis::start().await else { return };
    let nodes = Nodes::new(Some(&redis)).await;
    nodes.are_connected().await;
    redis.kill();
    everything_is_heard_once(&nodes).await;
    ended_sessions_are_closed_elsewhere(&nodes).await;
    assert_eq!(redis_of(&nodes.a).await, "unavailable");
    redis.restart().await;
    nodes.are_connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_or_forgets_holds_up_nobody() {
    let Some(redis) = TestRedis::start().await else { return };
    let nodes = Nodes::new(Some(&redis)).await;
    nodes.are_connected().await;
    redis.pause();
    everything_is_heard_once(&nodes).await;
    let [maria, carlos] = [nodes.a.sign_in(MARIA).await, nodes.b.sign_in(CARLOS).await];
    let group = maria.open_group("Turno", &[&carlos]).await;
    let began = Stopwatch::start();
    for _ in 0..20 {
        maria.send(&group, "sigo").await;
    }
    assert!(began.elapsed() < ABOUT_A_SECOND, "{:?}", began.elapsed());
    redis.resume();
    nodes.are_connected().await;
    redis.flush().await;
    everything_is_heard_once(&nodes).await;
}

/// Who is here, wherever they are connected.
#[tokio::test(flavor = "multi_thread")]
async fn presence_crosses_nodes() {
    let Some(redis) = TestRedis::start().await else { return };
    let nodes = Nodes::new(Some(&redis)).await;
    nodes.are_connected().await;
    let [maria, ana] = [nodes.a.sign_in(MARIA).await, nodes.b.sign_in(ANA).await];
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect().await;
    let shown =
        async || ana.get(&format!("/users/{}/presence", maria.id)).await.expect(200)["presence"].clone();
    let of_maria =
        |frame: &Value| frame["type"] == "presence.changed" && frame["data"]["user_id"] == maria.id;

    let mut at_maria = maria.connect().await;
    // Before that she may hear that María has gone, who was here to see that the nodes are connected.
    while at_ana.find(of_maria).await["data"]["presence"] != "online" {}
    assert_eq!(shown().await, "online");
    let online = at_ana.subscribe(&[&conversation]).await["subscriptions"][0]["online"].clone();
    assert!(online.as_array().is_some_and(|online| online.contains(&json!(maria.id))), "{online}");
    at_maria.call(json!({"type": "presence.set", "presence": "busy"})).await;
    assert_eq!(at_ana.find(of_maria).await["data"]["presence"], "busy");
    redis.flush().await;
    assert_eq!(shown().await, "busy", "nothing of it is in Redis");

    // Another device, on Ana's node: María is here until the last has gone.
    let elsewhere = maria.at(nodes.b.address()).connect().await;
    at_maria.close().await;
    assert_eq!(shown().await, "busy");
    elsewhere.close().await;
    let gone = at_ana.find(of_maria).await;
    assert_eq!(gone["data"]["presence"], "offline");
    assert!(gone["data"]["last_seen_at"].is_string(), "{gone}");
    let more = at_ana.settled().await;
    assert!(!more.iter().any(of_maria), "told once: {more:#?}");
    assert_eq!(shown().await, "offline");

    // A node that is new asks who is where.
    let _at_maria = maria.connect().await;
    assert_eq!(at_ana.find(of_maria).await["data"]["presence"], "busy");
    nodes.b.restart().await;
    eventually("the new node knows", async || shown().await == "busy").await;
    // One that dies takes its people with it.
    let mut at_ana = ana.connect().await;
    nodes.a.kill();
    eventually("she is gone", async || shown().await == "offline").await;
    assert_eq!(at_ana.find(of_maria).await["data"]["presence"], "offline");
}

/// Removals and messages in any order, from both nodes, a thousand times (WS-03).
#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_hears_nothing_that_comes_after() {
    const CONVERSATIONS: usize = 4;
    const ROUNDS: usize = 250;
    let Some(redis) = TestRedis::start().await else { return };
    let nodes = Nodes::new(Some(&redis)).await;
    nodes.are_connected().await;
    let maria = nodes.a.sign_in(MARIA).await;
    let [carlos, aisha] = nodes.b.sign_in_all([CARLOS, AISHA]).await;
    let (nodes, maria, carlos, aisha) = (&nodes, &maria, &carlos, &aisha);
    join_all((0..CONVERSATIONS).map(|n| async move {
        let group = maria.open_group("Guardia", &[carlos, aisha]).await;
        let people = format!("/conversations/{group}/participants");
        let removal = format!("{people}/{}", carlos.id);
        let mut at_carlos = carlos.connect().await;
        for round in 0..ROUNDS {
            at_carlos.subscribe(&[&group]).await;
            // From which node, and who goes first: a different mix each round.
            let dice = (round * 7 + n * 3) % 16;
            let remover = if dice & 1 == 0 { maria.clone() } else { maria.at(nodes.b.address()) };
            let remove = async {
                for _ in 0..(dice >> 1) & 3 {
                    tokio::task::yield_now().await;
                }
                insist(&remover, || Request::new(Method::DELETE, &removal)).await;
            };
            let sends = async {
                tokio::join!(say(aisha, &group), say(maria, &group));
                if dice & 8 == 0 {
                    say(maria, &group).await;
                }
            };
            tokio::join!(remove, sends);
            let sql = "SELECT left_seq FROM participants WHERE conversation_id = $1 AND user_id = $2";
            let left: i64 = nodes.row(sql, [&group, &carlos.id]).await.get(0);
            say(maria, &group).await;
            at_carlos
                .find(|f| f["type"] == "participant.removed" && f["conversation_id"] == group.as_str())
                .await;
            let heard = at_carlos.settled().await;
            let after: Vec<_> = heard
                .iter()
                .filter(|f| f["type"] == "message.created" && f["conversation_id"] == group.as_str())
                .filter(|f| number(f, "seq") >= left)
                .collect();
            assert!(after.is_empty(), "removed at {left}, heard {after:#?}");
            let back = json!({"user_id": carlos.id});
            insist(maria, || Request::new(Method::POST, &people).json(&back)).await;
        }
    }))
    .await;
}
