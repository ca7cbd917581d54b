//! What the server tells Prometheus: the right numbers, on a port of their own, and nothing about anybody.

mod exposition;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use alivio_kernel::{Clock, SystemClock};
use alivio_metrics::{GROUPS, redis};
use alivio_testkit::actor::Request;
use alivio_testkit::redis::TestRedis;
use alivio_testkit::server::{ADMIN, ANA, LUIS, MARIA, PASSWORD, eventually};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::audit::sql;
use crate::files::{pdf, upload};
use crate::{World, text, unused_id};
use exposition::Exposition;

const MEASURING: (&str, &str) = ("ALIVIO_METRICS_BIND", "127.0.0.1:0");

const REQUESTS: &str = "alivio_http_request_duration_seconds";
const REQUEST_COUNT: &str = "alivio_http_request_duration_seconds_count";

/// A server that is measured.
struct Measured {
    world: World,
    /// `http://127.0.0.1:<port>`.
    url: String,
}

impl Measured {
    async fn with(environment: &[(&str, &str)]) -> Self {
        let world = World::with(&[&[MEASURING], environment].concat()).await;
        let mut url = None;
        eventually("it says where", async || {
            let banner = world.banner();
            let said = banner.lines().find_map(|line| line.trim().strip_prefix("Metrics: "));
            url = said.and_then(|url| url.strip_suffix("/metrics")).map(str::to_owned);
            url.is_some()
        })
        .await;
        Self { world, url: url.expect("an address") }
    }

    async fn text(&self) -> String {
        let answer = reqwest::get(format!("{}/metrics", self.url)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        answer.text().await.expect("a text")
    }

    async fn scrape(&self) -> Exposition {
        Exposition::read(&self.text().await)
    }

    /// Waits until it is told.
    async fn shows(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        let what = format!("{name} {labels:?} is {expected}");
        eventually(&what, async || self.scrape().await.value(name, labels) == expected).await;
    }
}

#[tokio::test]
async fn a_chat_moves_the_numbers_by_what_happened() {
    let measured = Measured::with(&[]).await;
    let world = &measured.world;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let wrong = json!({"email": ANA, "password": "not her password"});
    world.anonymous().post("/auth/login", &wrong).await.problem(401, "invalid_credentials");
    let signed_in = [("step", "password"), ("outcome", "done")];
    measured.shows("alivio_sign_ins_total", &signed_in, 2.0).await;
    measured.shows("alivio_sign_ins_total", &[("step", "password"), ("outcome", "refused")], 1.0).await;

    let conversation = ana.open_direct(&maria.id).await;
    let (mut at_ana, mut at_maria) = (ana.connect().await, maria.connect().await);
    at_ana.subscribe(&[&conversation]).await;
    at_maria.subscribe(&[&conversation]).await;
    for name in ["one", "two", "three"] {
        at_ana.send(&conversation, name, "Hola").await;
    }
    // The third is stored; this is the same one.
    at_ana.send(&conversation, "three", "Hola").await;
    maria.send(&conversation, "Buenos días").await;
    for socket in [&mut at_ana, &mut at_maria] {
        for _ in 0..4 {
            socket.next_event("message.created").await;
        }
    }
    at_ana.call_refused(json!({"type": "message.delete", "message_id": unused_id()})).await;
    at_ana.call_refused(json!({"type": "fly"})).await;

    // What is counted after it was said is waited for; then nothing more may come.
    measured.shows("alivio_deliveries_total", &[("event", "message.created")], 8.0).await;
    measured.shows("alivio_acknowledgement_duration_seconds_count", &[], 4.0).await;
    let now = measured.scrape().await;
    let command = |command, outcome| {
        now.value("alivio_socket_commands_total", &[("command", command), ("outcome", outcome)])
    };
    assert_eq!((command("subscribe", "done"), command("message.send", "done")), (2.0, 4.0));
    assert_eq!((command("message.delete", "refused"), command("unknown", "refused")), (1.0, 1.0));
    assert_eq!(now.value("alivio_socket_commands_total", &[]), 8.0);
    assert_eq!(now.value("alivio_deliveries_total", &[("event", "message.created")]), 8.0);
    assert_eq!(now.value("alivio_acknowledgement_duration_seconds_count", &[]), 4.0);
    assert_eq!(now.value("alivio_sockets_open", &[]), 2.0);
    assert_eq!(now.value("alivio_sockets_opened_total", &[]), 2.0);
    assert_eq!(now.value("alivio_sockets_closed_total", &[]), 0.0);

    let appended = |outcome| now.value("alivio_messages_total", &[("outcome", outcome)]);
    assert_eq!((appended("stored"), appended("repeated")), (4.0, 1.0));
    assert_eq!(now.value("alivio_messages_total", &[]), 5.0);
    // Each waited for the one before it, so each had a commit of its own.
    for sum_or_count in ["sum", "count"] {
        let name = format!("alivio_message_commit_group_size_{sum_or_count}");
        assert_eq!(now.value(&name, &[]), 5.0, "{name}");
    }
    assert_eq!(now.value("alivio_message_commit_duration_seconds_count", &[]), 5.0);
    assert!(now.value("alivio_message_commit_duration_seconds_sum", &[]) > 0.0);

    let requests = |method, route, status| {
        now.value(REQUEST_COUNT, &[("method", method), ("route", route), ("status", status)])
    };
    assert_eq!(requests("POST", "/api/v1/auth/login", "2xx"), 2.0);
    assert_eq!(requests("POST", "/api/v1/auth/login", "4xx"), 1.0);
    assert_eq!(requests("GET", "/api/v1/ws", "1xx"), 2.0);
    assert_eq!(requests("POST", "/api/v1/conversations/{id}/messages", "2xx"), 1.0);

    at_ana.close().await;
    measured.shows("alivio_sockets_closed_total", &[("reason", "bye")], 1.0).await;
    maria.post("/auth/logout", &json!({})).await.expect(204);
    assert_eq!(at_maria.close_code().await, Some(4401));
    measured.shows("alivio_sockets_closed_total", &[("reason", "session_ended")], 1.0).await;
    measured.shows("alivio_sockets_open", &[], 0.0).await;
    assert_eq!(measured.scrape().await.value("alivio_sockets_closed_total", &[]), 2.0);
}

#[tokio::test]
async fn who_asks_too_much_is_counted() {
    let limits = [("ALIVIO_RATE_READS_PER_MINUTE", "2"), ("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "1")];
    let measured = Measured::with(&limits).await;
    let anonymous = measured.world.anonymous();
    for expected in [401, 401, 429] {
        anonymous.get("/auth/me").await.any_problem(expected);
    }
    measured.shows("alivio_http_rate_limited_total", &[], 1.0).await;

    let mut socket = measured.world.sign_in(ANA).await.connect().await;
    let mut references = Vec::new();
    // Some are done, some are refused; then the socket is closed, and the rest is not read.
    for _ in 0..20 {
        references.extend(socket.try_command(json!({"type": "ping"})).await);
    }
    let (mut done, mut refused) = (0.0, 0.0);
    for reference in references {
        match socket.try_answer(&reference).await {
            Some(Ok(_)) => done += 1.0,
            Some(Err(_)) => refused += 1.0,
            None => break,
        }
    }
    assert_eq!(socket.close_code().await, Some(4429));
    measured.shows("alivio_sockets_closed_total", &[("reason", "rate_limited")], 1.0).await;
    let shown = measured.scrape().await;
    let pings =
        |outcome| shown.value("alivio_socket_commands_total", &[("command", "ping"), ("outcome", outcome)]);
    assert_eq!((pings("done"), pings("rate_limited")), (done, refused + 1.0));
}

#[tokio::test]
async fn the_whole_table_is_shown_and_nothing_else() {
    let measured = Measured::with(&[]).await;
    measured.world.anonymous().get("/health").await.expect(200);
    let shown = measured.scrape().await;
    // There is no Redis here.
    let groups = GROUPS.iter().filter(|group| group.title != redis::GROUP.title);
    let table: Vec<_> = groups.flat_map(|group| group.metrics).collect();
    let names: BTreeSet<_> = table.iter().map(|metric| metric.name()).collect();
    assert_eq!(shown.0.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    for metric in table {
        let family = &shown.0[metric.name()];
        assert_eq!((family.kind.as_str(), family.help.as_str()), (metric.kind().as_str(), metric.help()));
        for sample in &family.samples {
            let mut labels: BTreeSet<_> = sample.labels.keys().map(String::as_str).collect();
            labels.remove("le");
            assert_eq!(labels, metric.labels().into_iter().collect(), "{sample:?}");
        }
    }
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(shown.value("alivio_build_info", &version), 1.0);
    assert_eq!(shown.value("alivio_database_up", &[]), 1.0);
    assert_eq!(shown.value("alivio_key_encryption_key_version", &[]), 1.0);
    assert_eq!(shown.value("alivio_database_connections_max", &[]), 8.0);
    assert!(shown.value("alivio_database_connections", &[]) >= 1.0);
    assert!(shown.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(shown.value("process_open_fds", &[]) > 10.0);
    let began = shown.value("process_start_time_seconds", &[]);
    let recently = SystemClock.now() - TimeDelta::minutes(5);
    assert!(began > f64::from(u32::try_from(recently.timestamp()).expect("this century")));
}

#[tokio::test]
async fn what_waits_in_the_installation_is_seen() {
    let measured = Measured::with(&[]).await;
    let [luis, ana, maria] = measured.world.sign_in_all([LUIS, ANA, MARIA]).await;
    // One emergency that nobody has acknowledged, and one that somebody has.
    luis.post("/emergencies", &json!({})).await.expect(201);
    let called = ana.post("/emergencies", &json!({})).await.expect(201);
    let id = text(&called["emergency"], "id");
    maria.post(&format!("/emergencies/{id}/acknowledge"), &json!({})).await.expect(200);
    // An event that was set aside, and one that no relay can take when it falls due, as its row is locked.
    let client = sql(&measured.world).await;
    for statement in [
        "INSERT INTO outbox (id, kind, payload, at) VALUES (gen_random_uuid(), 'tests.set_aside', '{}', now())",
        "INSERT INTO outbox (id, kind, payload, at, due_at)
         VALUES (gen_random_uuid(), 'tests.late', '{}', now(), now() + interval '1 second')",
        "BEGIN; SELECT FROM outbox WHERE kind = 'tests.late' FOR UPDATE",
    ] {
        client.batch_execute(statement).await.expect("valid SQL");
    }
    let is_late = "SELECT count(*) FROM outbox WHERE kind = 'tests.late' AND due_at < clock_timestamp()";
    eventually("it is due", async || {
        client.query_one(is_late, &[]).await.expect("a row").get::<_, i64>(0) == 1
    })
    .await;
    // Nor is anything indexed that was said since, while such a transaction is at work.
    let conversation = maria.open_direct(&ana.id).await;
    maria.send(&conversation, "aquí estoy").await;

    // The first look is at how it is now; the next one is ten seconds away.
    let shown = measured.scrape().await;
    assert_eq!(shown.value("alivio_emergencies_unacknowledged", &[]), 1.0);
    assert_eq!(shown.value("alivio_outbox_dead_letters", &[]), 1.0);
    assert!(shown.value("alivio_outbox_events_due", &[]) >= 1.0);
    assert!(shown.value("alivio_outbox_oldest_due_age_seconds", &[]) > 0.0);
    assert!(shown.value("alivio_search_oldest_unindexed_age_seconds", &[]) > 0.0);
    assert!(shown.value("alivio_outbox_events_total", &[("outcome", "handled")]) >= 1.0);
}

#[tokio::test]
async fn nothing_is_told_about_anybody() {
    let measured = Measured::with(&[]).await;
    let world = &measured.world;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let canary = |n: u32| format!("canario{n}xyz");
    let newcomer = json!({
        "email": format!("{}@example.com", canary(1)), "password": "caballo correcto", "role": "patient",
        "full_name": canary(2), "display_name": canary(3),
    });
    world.anonymous().post("/auth/register", &newcomer).await.expect(202);
    let conversation = ana.open_direct(&maria.id).await;
    let mut socket = ana.connect_to(&conversation).await;
    socket.send(&conversation, &canary(4), &canary(5)).await;
    socket.call_refused(json!({"type": canary(6)})).await;
    for path in
        [format!("/users?search={}", canary(7)), format!("/{}", canary(8)), format!("//{}/x", canary(9))]
    {
        ana.get(&path).await;
    }
    let unheard_of = Request::new(Method::from_bytes(canary(10).as_bytes()).expect("a method"), "/users");
    ana.request(unheard_of).await.any_problem(405);

    let shown = measured.text().await;
    assert!(shown.contains(REQUESTS), "this tests nothing");
    for word in
        ["canario", "Canario", "CANARIO", "ana.lopez", "example", "@", PASSWORD, &conversation, &ana.id]
    {
        assert!(!shown.contains(word), "{word} in {shown}");
    }
    // Nor any other id.
    let words = shown.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    assert_eq!(words.filter(|word| word.parse::<uuid::Uuid>().is_ok()).count(), 0);
}

#[tokio::test]
async fn however_much_is_asked_for_there_are_as_many_numbers_as_routes() {
    const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];
    let measured = Measured::with(&[]).await;
    let anonymous = measured.world.anonymous();
    let ask = async || {
        for (n, method) in METHODS.into_iter().cycle().take(117).enumerate() {
            let path = match n / METHODS.len() % 4 {
                0 => format!("//{}", unused_id()),
                1 => format!("/{}/{}", unused_id(), unused_id()),
                2 => format!("/conversations/{}/messages", unused_id()),
                _ => format!("/messages/{}/%00{}", unused_id(), unused_id()),
            };
            let method = if n % 2 == 0 { method.to_owned() } else { format!("{method}{n}") };
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            anonymous.request(Request::new(method, path)).await;
        }
        measured.scrape().await
    };
    let before = ask().await;
    assert!(before.value(REQUEST_COUNT, &[("route", "other")]) > 50.0);
    let after = ask().await;
    assert_eq!(after.value(REQUEST_COUNT, &[]), before.value(REQUEST_COUNT, &[]) + 117.0);
    assert_eq!(after.size(), before.size());
    let methods = after.values_of(REQUESTS, "method");
    let known = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "other"];
    assert!(methods.iter().all(|method| known.contains(&method.as_str())), "{methods:?}");
    let routes = after.values_of(REQUESTS, "route");
    assert!(routes.iter().all(|route| route == "other" || route.contains("{")), "{routes:?}");
}

#[tokio::test]
async fn numbers_are_not_on_the_public_port_and_nothing_else_is_on_theirs() {
    let measured = Measured::with(&[]).await;
    let [admin] = measured.world.sign_in_all([ADMIN]).await;
    for path in ["//metrics", "/metrics", "//api/metrics", "/admin/metrics"] {
        admin.get(path).await.problem(404, "not_found");
        measured.world.anonymous().get(path).await.problem(404, "not_found");
    }
    for path in ["", "/", "/api/v1/health", "/docs", "/metrics/x", "/openapi.json"] {
        let answer = reqwest::get(format!("{}{path}", measured.url)).await.expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
    }
    // Unless it is asked to, a server shows them nowhere.
    let unmeasured = World::new().await;
    eventually("it has said all", async || unmeasured.banner().contains("Try it")).await;
    assert!(!unmeasured.banner().contains("Metrics"));
}

#[test]
fn a_port_that_somebody_has_is_named_with_its_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let alivio = |command| {
        let ended = Command::new(env!("CARGO_BIN_EXE_alivio"))
            .arg(command)
            .env_clear()
            .envs([("ALIVIO_BIND", "127.0.0.1:0"), ("ALIVIO_METRICS_BIND", address.as_str())])
            .env("ALIVIO_DATA_DIR", std::env::temp_dir().join("alivio-never-made"))
            .stdin(Stdio::null())
            .output()
            .expect("the program");
        assert!(!ended.status.success(), "{command}");
        String::from_utf8([ended.stdout, ended.stderr].concat()).expect("text")
    };
    let refused = alivio("serve");
    assert!(refused.contains(&format!("cannot listen on {address} (ALIVIO_METRICS_BIND)")), "{refused}");
    let found = alivio("doctor");
    let line = found.lines().find(|line| line.contains("metrics: ")).expect("a line");
    assert!(line.starts_with("FAIL") && line.contains(&address), "{line}");
    assert!(line.contains("Set ALIVIO_METRICS_BIND to a free address"), "{line}");
}

#[tokio::test]
async fn the_line_to_redis_is_watched_where_there_is_one() {
    let Some(server) = TestRedis::start().await else { return };
    let measured = Measured::with(&[("REDIS_URL", &server.url())]).await;
    measured.shows("alivio_redis_up", &[], 1.0).await;
    let shown = measured.scrape().await;
    for metric in redis::GROUP.metrics {
        assert!(shown.0.contains_key(metric.name()), "{}", metric.name());
    }
    server.kill();
    measured.shows("alivio_redis_up", &[], 0.0).await;
}

#[tokio::test]
async fn bytes_of_files_are_counted() {
    let measured = Measured::with(&[]).await;
    let [maria, ana] = measured.world.sign_in_all([MARIA, ANA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let size = pdf("Informe").len() as f64;
    let file = upload(&maria, &conversation, "Informe", &[]).await;
    assert_eq!(ana.get(&format!("/files/{}/content", text(&file, "id"))).await.status, 200);
    measured.shows("alivio_files_sent_bytes_total", &[], size).await;
    // The other fields of the form came, too.
    let received = measured.scrape().await.value("alivio_files_received_bytes_total", &[]);
    assert!((size..size + 100.0).contains(&received), "{received}");
}
