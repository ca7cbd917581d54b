//! The crash test: people write while the server is killed and started again, twenty times.
//!
//! An acknowledged message is there for good, once, at the place it was acknowledged at, in the order it was
//! sent. One that was not acknowledged is there once or not at all. A reader that resumes after each crash sees
//! every message once, in order.
#![cfg(test)]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::server::{ADMIN, AISHA, CARLOS, MARIA, TestServer, eventually};
use alivio_testkit::socket::send_command;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Unless `CRASH_TEST_KILLS` asks for more, to let it run for an hour.
const KILLS: usize = 20;
/// Commands that a WebSocket writer has on their way at the same time.
const WINDOW: usize = 4;

/// What all parts of the story share.
struct Story {
    server: TestServer,
    acknowledged: AtomicUsize,
    ending: AtomicBool,
}

impl Story {
    async fn up(&self) {
        let mut address = self.server.address();
        address.wait_for(Option::is_some).await.expect("the server's address");
    }

    fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }
}

#[derive(Debug, PartialEq)]
struct Acknowledged {
    name: String,
    message_id: String,
    seq: i64,
}

/// What a writer knows in the end.
#[derive(Default)]
struct Ledger {
    conversation: String,
    /// In the order of their first sending.
    acknowledged: Vec<Acknowledged>,
    /// Sent, never acknowledged, not sent again.
    unknown: Vec<String>,
    resent: usize,
    /// Found in the log when they were sent again.
    repeats: usize,
}

impl Ledger {
    fn record(&mut self, story: &Story, name: String, id: &Value, seq: &Value, created: bool) {
        let message_id = id.as_str().expect("a message's id").to_owned();
        self.acknowledged.push(Acknowledged { name, message_id, seq: seq.as_i64().expect("a seq") });
        self.repeats += usize::from(!created);
        story.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// A small generator of random numbers: what matters is that the choices differ.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn words(name: &str) -> String {
    format!("{name} dice algo que no se puede perder")
}

/// One message after the other over REST, each sent until it is acknowledged or given up.
async fn write_over_rest(
    story: Arc<Story>,
    actor: Actor,
    conversation: String,
    name: String,
    seed: u64,
) -> Ledger {
    let mut chance = Chance(seed);
    let mut ledger = Ledger { conversation: conversation.clone(), ..Ledger::default() };
    let path = format!("/conversations/{conversation}/messages");
    for n in 0.. {
        if story.ending() {
            break;
        }
        let name = format!("{name}-{n}");
        let body = json!({"content": words(&name), "client_message_id": name});
        loop {
            story.up().await;
            match actor.try_request(Request::new(Method::POST, &path).json(&body)).await {
                Ok(answer) if matches!(answer.status, 200 | 201) => {
                    let created = answer.status == 201;
                    ledger.record(&story, name, &answer.json["id"], &answer.json["seq"], created);
                    break;
                }
                // Says itself that it does not know.
                Ok(answer) => assert_eq!(answer.status, 503, "{}: {}", answer.asked, answer.text),
                Err(_) => {}
            }
            if chance.one_in(4) {
                ledger.unknown.push(name);
                break;
            }
            ledger.resent += 1;
        }
    }
    ledger
}

/// Several at a time over a WebSocket; after a crash all that were on their way are sent again, in order, but for
/// some that are given up.
async fn write_over_socket(
    story: Arc<Story>,
    actor: Actor,
    conversation: String,
    name: String,
    seed: u64,
) -> Ledger {
    let mut chance = Chance(seed);
    let mut ledger = Ledger { conversation: conversation.clone(), ..Ledger::default() };
    let mut unsent = VecDeque::new();
    let mut n = 0;
    while !(story.ending() && unsent.is_empty()) {
        story.up().await;
        let Ok(mut socket) = actor.try_connect(actor.knock()).await else { continue };
        let mut on_their_way: VecDeque<(String, String)> = VecDeque::new();
        let lost = loop {
            while on_their_way.len() < WINDOW {
                let name = match unsent.pop_front() {
                    Some(name) => name,
                    None if story.ending() => break,
                    None => {
                        n += 1;
                        format!("{name}-{n}")
                    }
                };
                match socket.try_command(send_command(&conversation, &name, &words(&name))).await {
                    Some(reference) => on_their_way.push_back((reference, name)),
                    None => {
                        unsent.push_front(name);
                        break;
                    }
                }
            }
            let Some((reference, _)) = on_their_way.front() else { break false };
            match socket.try_answer(reference).await {
                Some(Ok(ack)) => {
                    let (_, name) = on_their_way.pop_front().expect("the first");
                    ledger.record(&story, name, &ack["message_id"], &ack["seq"], ack["created"] == true);
                }
                Some(Err(error)) => {
                    assert_eq!(error["error"], "unavailable", "{error}");
                    break true;
                }
                None => break true,
            }
        };
        if lost {
            for (_, name) in on_their_way.into_iter().rev() {
                if chance.one_in(4) {
                    ledger.unknown.push(name);
                } else {
                    ledger.resent += 1;
                    unsent.push_front(name);
                }
            }
        }
    }
    ledger
}

/// Follows a conversation from its beginning to where it ends, over all crashes.
async fn read(
    story: Arc<Story>,
    actor: Actor,
    conversation: String,
    mut end: watch::Receiver<Option<i64>>,
) -> Vec<String> {
    let mut seen = Vec::new();
    let last = |seen: &[String]| i64::try_from(seen.len()).expect("a small number");
    while end.borrow().is_none_or(|end| last(&seen) < end) {
        story.up().await;
        let Ok(mut socket) = actor.try_connect(actor.knock()).await else { continue };
        let resume = json!({"type": "resume", "conversation_id": conversation, "last_seq": last(&seen)});
        if socket.try_command(resume).await.is_none() {
            continue;
        }
        while end.borrow().is_none_or(|end| last(&seen) < end) {
            let event = tokio::select! {
                event = socket.try_find(|frame| frame["type"] == "message.created") => event,
                changed = end.changed() => {
                    changed.expect("the story's end");
                    continue;
                }
            };
            let Some(event) = event else { break };
            assert_eq!(event["seq"], last(&seen) + 1, "{event}");
            assert_eq!(event["seq"], event["data"]["seq"], "{event}");
            seen.push(event["data"]["id"].as_str().expect("an id").to_owned());
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_twenty_crashes() {
    let database = TestDatabase::new().await.expect("a database");
    let environment = [("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "1000000")];
    let server = TestServer::start(env!("CARGO_BIN_EXE_alivio"), database.url(), &environment).await;
    let [maria, carlos, aisha, admin] = server.sign_in_all([MARIA, CARLOS, AISHA, ADMIN]).await;
    let group = maria.open_group("Guardia", &[&carlos, &aisha, &admin]).await;
    let direct = maria.open_direct(&carlos.id).await;
    let story = Arc::new(Story { server, acknowledged: AtomicUsize::new(0), ending: AtomicBool::new(false) });

    let mut writers = JoinSet::new();
    let cast = [(&maria, &group), (&carlos, &group), (&aisha, &group), (&carlos, &direct)];
    for (seed, (actor, conversation)) in (1_u64..).zip(cast) {
        let (actor, conversation) = (actor.clone(), conversation.clone());
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (rest, socket) = (format!("rest-{seed:x}"), format!("socket-{seed:x}"));
        writers.spawn(write_over_rest(Arc::clone(&story), actor.clone(), conversation.clone(), rest, seed));
        writers.spawn(write_over_socket(
            Arc::clone(&story),
            actor,
            conversation,
            socket,
            seed.rotate_left(7),
        ));
    }
    let mut readers = JoinSet::new();
    let mut ends = HashMap::new();
    for (actor, conversation) in [(&admin, &group), (&maria, &group), (&maria, &direct)] {
        let end = ends.entry(conversation.clone()).or_insert_with(|| watch::Sender::new(None));
        let (actor, reading) = (actor.clone(), conversation.clone());
        let (story, end) = (Arc::clone(&story), end.subscribe());
        readers.spawn(async move { (reading.clone(), read(story, actor, reading, end).await) });
    }

    let kills = std::env::var("CRASH_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut chance = Chance(0x0A11_0710);
    for kill in 1..=kills {
        let enough =
            story.acknowledged.load(Ordering::SeqCst) + usize::try_from(1 + chance.below(120)).expect("few");
        let what = format!("{enough} acknowledgements before kill {kill}");
        eventually(&what, async || story.acknowledged.load(Ordering::SeqCst) >= enough).await;
        story.server.restart().await;
    }
    story.ending.store(true, Ordering::SeqCst);
    let ledgers = writers.join_all().await;

    let (mut acknowledged, mut resent, mut repeats, mut unknown) = (0, 0, 0, 0);
    let mut order: HashMap<String, Vec<String>> = HashMap::new();
    for conversation in [&group, &direct] {
        let history = maria.history(conversation).await;
        let count = i64::try_from(history.len()).expect("a small number");
        let seqs: Vec<_> = history.iter().map(|message| message["seq"].as_i64().expect("a seq")).collect();
        assert_eq!(seqs, (1..=count).collect::<Vec<_>>(), "every seq once");
        let mut by_name = HashMap::new();
        for message in &history {
            let name = message["client_message_id"].as_str().expect("a name");
            assert_eq!(message["content"], words(name));
            assert!(by_name.insert(name, message).is_none(), "{name} is there twice");
        }
        for ledger in ledgers.iter().filter(|ledger| ledger.conversation == *conversation) {
            for ack in &ledger.acknowledged {
                let message = by_name.remove(ack.name.as_str());
                let message = message.unwrap_or_else(|| panic!("lost, or acknowledged twice: {ack:?}"));
                assert_eq!(message["id"], ack.message_id, "{ack:?}");
                assert_eq!(message["seq"], ack.seq, "{ack:?}");
            }
            let in_order = ledger.acknowledged.is_sorted_by_key(|ack| ack.seq);
            assert!(in_order, "out of order: {:#?}", ledger.acknowledged);
            for name in &ledger.unknown {
                // Once or not at all.
                by_name.remove(name.as_str());
            }
            acknowledged += ledger.acknowledged.len();
            (resent, repeats) = (resent + ledger.resent, repeats + ledger.repeats);
            unknown += ledger.unknown.len();
        }
        assert!(by_name.is_empty(), "nobody sent {:?}", by_name.keys());
        let ids = history.iter().map(|message| message["id"].as_str().expect("an id").to_owned());
        order.insert(conversation.clone(), ids.collect());
        ends[conversation].send_replace(Some(count));
    }
    for (conversation, seen) in readers.join_all().await {
        assert_eq!(seen, order[&conversation], "a reader saw something else");
    }
    assert!(resent + unknown >= kills, "the crashes hit nothing: {resent} sent again, {unknown} given up");
    assert!(!story.server.logs().contains("panicked"), "{}", story.server.logs());
    println!(
        "{kills} kills: {acknowledged} acknowledged, {resent} sent again of which {repeats} had been stored, \
         {unknown} given up"
    );
}
