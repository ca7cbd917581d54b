//! Limits that hold however many nodes there are, and what they are without Redis.

use std::time::Duration;

use alivio_testkit::actor::{Answer, Request};
use alivio_testkit::redis::TestRedis;
use alivio_testkit::server::{ANA, MARIA, TestServer, eventually};
use alivio_testkit::stopwatch::Stopwatch;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::World;
use crate::nodes::Nodes;

/// One comes back every ten seconds: longer than it takes to ask.
const SIX_CREDENTIALS: (&str, &str) = ("ALIVIO_RATE_CREDENTIALS_PER_MINUTE", "6");
/// More than anyone waits for a Redis that hangs, on a machine that does other things, too.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Tries credentials from an address of its own: the nodes believe what this proxy says.
async fn guess(node: &TestServer, from: &str) -> Answer {
    let body = json!({"token": "alp_guess", "new_password": "caballo correcto"});
    let guess = Request::new(Method::POST, "/auth/password/reset").json(&body);
    node.anonymous().request(guess.header("X-Forwarded-For", from)).await
}

/// How many of so many tries pass, each at another node than the one before.
async fn passed(nodes: &Nodes, times: usize, from: &str) -> usize {
    let mut passed = 0;
    for node in [&nodes.a, &nodes.b].into_iter().cycle().take(times) {
        let began = Stopwatch::start();
        let answer = guess(node, from).await;
        assert!(began.elapsed() < AT_ONCE, "an answer took {:?}", began.elapsed());
        match answer.status {
            401 => passed += 1,
            429 => drop(answer.problem(429, "rate_limited")),
            status => panic!("{status}: {}", answer.text),
        }
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_so_often_and_no_more_on_all_nodes_together() {
    let Some(redis) = TestRedis::start().await else { return };
    let proxy = ("ALIVIO_TRUSTED_PROXIES", "127.0.0.1");
    let url = redis.url();
    let nodes = Nodes::at([&url, &url], &[SIX_CREDENTIALS, proxy]).await;
    nodes.reach_redis().await;
    assert_eq!(passed(&nodes, 20, "192.0.2.1").await, 6);
    // All at once.
    let tries = (0..40).map(|n| guess(if n % 2 == 0 { &nodes.a } else { &nodes.b }, "192.0.2.2"));
    let answers = join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 6);

    // Each by itself, and at once.
    redis.kill();
    assert_eq!(passed(&nodes, 40, "192.0.2.3").await, 12);
    redis.restart().await;
    let mut tried = 0;
    eventually("they count together again", async || {
        tried += 1;
        passed(&nodes, 20, &format!("198.51.100.{tried}")).await == 6
    })
    .await;
    redis.pause();
    assert_eq!(passed(&nodes, 40, "192.0.2.5").await, 12);
    redis.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_does_on_one_node_counts_on_the_other() {
    let Some(redis) = TestRedis::start().await else { return };
    let (url, writes) = (redis.url(), ("ALIVIO_RATE_WRITES_PER_MINUTE", "300"));
    let nodes = Nodes::at([&url, &url], &[writes]).await;
    nodes.reach_redis().await;
    let ana = nodes.a.sign_in(ANA).await;
    let there = ana.at(nodes.b.address());
    for _ in 0..200 {
        ana.post("/conversations", &json!({"unknown": 1})).await.problem(422, "validation_failed");
    }
    let mut own = 0;
    eventually("the other node has heard of it", async || {
        let answer = there.post("/conversations", &json!({"unknown": 1})).await;
        own += u64::from(answer.status == 422);
        let remaining = answer.header("ratelimit-remaining").and_then(|left| left.parse::<u64>().ok());
        300 - remaining.expect("a number") >= own + 100
    })
    .await;
    // Reading is another matter.
    there.get("/auth/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_through_two_nodes_keeps_one_pace() {
    const LIMIT: usize = 60;
    let Some(redis) = TestRedis::start().await else { return };
    let (url, limit) = (redis.url(), ("ALIVIO_RATE_MESSAGES_PER_MINUTE", "60"));
    let nodes = Nodes::at([&url, &url], &[limit]).await;
    nodes.reach_redis().await;
    let [ana, maria] = nodes.a.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let say = json!({"content": "hola"});
    for _ in 0..LIMIT {
        ana.post(&path, &say).await.expect(201);
    }
    let (there, mut passed) = (ana.at(nodes.b.address()), 0);
    eventually("the other node has heard of it", async || {
        let answer = there.post(&path, &say).await;
        match answer.status {
            201 => passed += 1,
            _ => drop(answer.clone().problem(429, "rate_limited")),
        }
        answer.status == 429
    })
    .await;
    assert!(passed < LIMIT, "{passed}: it has counted by itself only");
    // María keeps her own.
    maria.at(nodes.b.address()).post(&path, &say).await.expect(201);
}

/// WS-09.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_so_many_sockets_on_all_nodes_together() {
    let Some(redis) = TestRedis::start().await else { return };
    let (url, three) = (redis.url(), ("ALIVIO_SOCKETS_PER_PERSON", "3"));
    let nodes = Nodes::at([&url, &url], &[three]).await;
    nodes.are_connected().await;
    let [ana, maria] = nodes.a.sign_in_all([ANA, MARIA]).await;
    let there = ana.at(nodes.b.address());
    let (first, _second) = (ana.connect().await, ana.connect().await);
    eventually("the other node has heard of it", async || {
        let Ok(third) = there.try_connect(there.knock()).await else { return false };
        let fourth = there.try_connect(there.knock()).await;
        third.close().await;
        match fourth {
            Ok(fourth) => fourth.close().await,
            Err(refused) => return refused.status == Some(429),
        }
        false
    })
    .await;
    // Whoever closes one may open another, elsewhere; and others are not concerned.
    first.close().await;
    let mut opened = Vec::new();
    eventually("there is room for two", async || {
        opened.extend(there.try_connect(there.knock()).await.ok());
        opened.len() == 2
    })
    .await;
    maria.connect().await.close().await;
}

/// A node by itself counts by itself, and needs no Redis for that.
#[tokio::test]
async fn a_person_has_ten_sockets_and_no_more() {
    let world = World::with(&[("ALIVIO_SOCKETS_PER_PERSON", "")]).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    // WS-09: thirty at the same time.
    let tries = join_all((0..30).map(|_| ana.try_connect(ana.knock()))).await;
    let (opened, refused): (Vec<_>, Vec<_>) = tries.into_iter().partition(Result::is_ok);
    let mut opened: Vec<_> = opened.into_iter().flatten().collect();
    assert_eq!((opened.len(), refused.len()), (10, 20));
    for refused in refused.into_iter().filter_map(Result::err) {
        assert_eq!(refused.status, Some(429), "{refused}");
        assert!(refused.body.contains("too_many_sockets"), "{refused}");
    }
    let dialect =
        || alivio_testkit::socket::Connect::new(format!("/ws/chat/{conversation}/?token={}", ana.token()));
    assert_eq!(ana.try_connect(dialect()).await.expect_err("refused").status, Some(429));
    // Who tries in vain takes nothing from others, nor from themselves.
    maria.connect().await.close().await;
    for _ in 0..3 {
        opened.pop().expect("one of ten").close().await;
        let mut next = None;
        eventually("one more fits", async || {
            next = ana.try_connect(dialect()).await.ok();
            next.is_some()
        })
        .await;
        assert_eq!(ana.try_connect(ana.knock()).await.expect_err("the eleventh").status, Some(429));
        next.expect("a socket").close().await;
        eventually("and again", async || {
            opened.extend(ana.try_connect(ana.knock()).await.ok());
            opened.len() == 10
        })
        .await;
    }
}
