//! Coming back to what was edited, taken back, corrected and reacted to meanwhile: every change once, with no hole and no
//! repeat before what happens live.

use std::collections::{HashMap, HashSet};

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{AISHA, ANA, CARLOS, MARIA};
use alivio_testkit::socket::Socket;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::audit::sql;
use crate::edits::edit;
use crate::encryption::{ended, operator};
use crate::{FAST, World, list, number, text};

const THUMB: &str = "%F0%9F%91%8D";

fn resume(conversation: &str, last_seq: i64, last_revision: i64) -> Value {
    json!({
        "type": "resume", "conversation_id": conversation, "last_seq": last_seq, "last_revision": last_revision,
    })
}

/// Messages one after the other, and their ids.
async fn say(actor: &Actor, conversation: &str, words: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for words in words {
        ids.push(text(&actor.send(conversation, words).await, "id").to_owned());
    }
    ids
}

async fn thumb(actor: &Actor, message: &str) {
    actor.put(&format!("/messages/{message}/reactions/{THUMB}"), &json!({})).await.expect(200);
}

/// The events about messages that were not asked for before: their types, places and numbers.
fn told(socket: &mut Socket) -> Vec<(String, i64, Option<i64>)> {
    let events =
        socket.take_kept().into_iter().filter(|f| f["type"].as_str().unwrap().starts_with("message."));
    events.map(|f| (text(&f, "type").to_owned(), number(&f, "seq"), f["revision"].as_i64())).collect()
}

fn expected(events: &[(&str, i64, Option<i64>)]) -> Vec<(String, i64, Option<i64>)> {
    events.iter().map(|(kind, seq, revision)| ((*kind).to_owned(), *seq, *revision)).collect()
}

#[tokio::test]
async fn what_changed_while_one_was_away_arrives_once_and_before_what_was_said() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let ids = say(&maria, &conversation, &["uno", "dos", "tres", "cuatro"]).await;
    let mut at_ana = ana.connect().await;
    let ack = at_ana.subscribe(&[&conversation]).await;
    let begun = &list(&ack, "subscriptions")[0];
    assert_eq!((number(begun, "last_seq"), number(begun, "last_revision")), (4, 0));
    at_ana.close().await;

    edit(&maria, &ids[0], &json!({"content": "uno, o dos"})).await.expect(200);
    thumb(&maria, &ids[1]).await;
    maria.delete(&format!("/messages/{}", ids[2])).await.expect(204);
    let correction = json!({"content": "cinco", "reason": "Error"});
    maria.post(&format!("/messages/{}/corrections", ids[3]), &correction).await.expect(201);
    edit(&maria, &ids[0], &json!({"content": "uno, y basta"})).await.expect(200);
    maria.send(&conversation, "seis").await;

    let mut at_ana = ana.connect().await;
    let ack = at_ana.call(resume(&conversation, 4, 0)).await;
    assert_eq!((number(&ack, "replayed"), number(&ack, "replayed_changes")), (2, 4));
    assert_eq!((number(&ack, "last_seq"), number(&ack, "last_revision"), &ack["gap"]), (6, 5, &json!(false)));
    let history: HashMap<_, _> =
        ana.log(&conversation).await.into_iter().map(|m| (number(&m, "seq"), m)).collect();
    let kept = at_ana.take_kept();
    let about: Vec<_> =
        kept.iter().map(|f| (text(f, "type"), number(f, "seq"), f["revision"].as_i64())).collect();
    let expect = [
        ("message.updated", 2, Some(2)),
        ("message.deleted", 3, Some(3)),
        ("message.updated", 4, Some(4)),
        ("message.updated", 1, Some(5)),
        ("message.created", 5, None),
        ("message.created", 6, None),
    ];
    assert_eq!(about, expect);
    for frame in &kept {
        assert_eq!(frame["data"], history[&number(frame, "seq")], "as it is now");
    }
    assert_eq!((&kept[1]["actor"], &kept[1]["at"]), (&json!(maria.id), &kept[1]["data"]["deleted_at"]));
    assert_eq!(kept[2]["data"]["corrected_by"], kept[4]["data"]["id"]);

    // To come back is not to have received: that is said by `ack`, and by nothing else (C-55).
    let own = |ack: &Value| list(ack, "marks").iter().find(|m| m["user_id"] == ana.id).cloned().unwrap();
    assert_eq!(number(&own(&ack), "delivered_up_to"), 0);
    let mut at_maria = maria.connect_to(&conversation).await;
    assert!(!at_maria.settled().await.iter().any(|f| f["type"] == "receipt.delivered"));
    at_ana.call(json!({"type": "ack", "conversation_id": conversation, "up_to_seq": 6})).await;
    let receipt = at_maria.next_event("receipt.delivered").await;
    assert_eq!((number(&receipt["data"], "delivered_up_to"), number(&receipt["data"], "read_up_to")), (6, 0));

    // From here on it is live, each change under the name of what happened.
    at_ana.settled().await;
    thumb(&maria, &ids[1]).await;
    edit(&maria, &ids[0], &json!({"content": "uno"})).await.expect(200);
    maria.delete(&format!("/messages/{}/reactions/{THUMB}", ids[1])).await.expect(200);
    // Once more is no change.
    for (kind, revision) in [("message.updated", 6), ("message.reacted", 7)] {
        let event = at_ana.next_event(kind).await;
        assert_eq!((number(&event, "revision"), &event["actor"]), (revision, &json!(maria.id)));
    }
    assert_eq!(told(&mut at_ana), []);
}

#[tokio::test]
async fn a_device_that_has_it_all_is_told_nothing_again() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let ids = say(&maria, &conversation, &["uno", "dos", "tres"]).await;
    for id in [&ids[0], &ids[2], &ids[1]] {
        thumb(&maria, id).await;
    }
    let shown = ana.conversation(&conversation).await;
    assert_eq!((number(&shown, "last_seq"), number(&shown, "last_revision")), (3, 3));

    let mut at_ana = ana.connect().await;
    at_ana.call(resume(&conversation, 3, 3)).await;
    assert_eq!(told(&mut at_ana), []);
    // Of what it does not have yet it needs no changes.
    at_ana.call(resume(&conversation, 1, 0)).await;
    let created = ("message.created", 2, None);
    assert_eq!(
        told(&mut at_ana),
        expected(&[("message.updated", 1, Some(1)), created, ("message.created", 3, None)])
    );
    at_ana.call(resume(&conversation, 3, 1)).await;
    assert_eq!(
        told(&mut at_ana),
        expected(&[("message.updated", 3, Some(2)), ("message.updated", 2, Some(3))])
    );
    // Without a word about changes there are none, until the next one.
    let without = json!({"type": "resume", "conversation_id": conversation, "last_seq": 2});
    let ack = ana.connect().await.call(without).await;
    assert_eq!((number(&ack, "replayed"), number(&ack, "last_revision")), (1, 3));
    edit(&maria, &ids[0], &json!({"content": "1"})).await.expect(200);
    assert_eq!(number(&at_ana.next_event("message.updated").await, "revision"), 4);
    assert_eq!(told(&mut at_ana), []);
}

#[tokio::test]
async fn a_device_that_knows_more_than_there_is_begins_anew() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let ids = say(&maria, &conversation, &["uno", "dos"]).await;
    thumb(&maria, &ids[0]).await;
    for (seq, revision) in [(1, 0), (0, 1), (i64::MAX - 2, i64::MAX - 9)] {
        let mut at_ana = ana.connect().await;
        let shown = ana.conversation(&conversation).await;
        let (last_seq, last_revision) = (number(&shown, "last_seq"), number(&shown, "last_revision"));
        let ack = at_ana.call(resume(&conversation, last_seq + seq, last_revision + revision)).await;
        assert_eq!(
            (&ack["gap"], &ack["replayed"], &ack["replayed_changes"]),
            (&json!(true), &json!(0), &json!(0))
        );
        assert_eq!((number(&ack, "last_seq"), number(&ack, "last_revision")), (last_seq, last_revision));
        let gap = at_ana.next_event("sync.gap").await;
        assert_eq!(
            (&gap["conversation_id"], number(&gap["data"], "last_seq")),
            (&json!(conversation), last_seq)
        );
        // It goes on from there.
        thumb(&ana, &ids[1]).await;
        ana.delete(&format!("/messages/{}/reactions/{THUMB}", ids[1])).await.expect(200);
        for revision in [last_revision + 1, last_revision + 2] {
            assert_eq!(number(&at_ana.next_event("message.reacted").await, "revision"), revision);
        }
    }
    let mut at_ana = ana.connect().await;
    for (last_seq, last_revision) in [(-1, 0), (0, -1), (i64::MIN, 0), (0, i64::MIN)] {
        let command = resume(&conversation, last_seq, last_revision);
        assert_eq!(at_ana.call_refused(command).await, "validation_failed", "{last_seq} {last_revision}");
    }
    for bad in [json!("1"), json!(1.5), json!([1])] {
        let command =
            json!({"type": "resume", "conversation_id": conversation, "last_seq": 0, "last_revision": bad});
        assert_eq!(at_ana.call_refused(command).await, "validation_failed", "{bad}");
    }
    thumb(&ana, &ids[0]).await;
    assert_eq!(told(&mut at_ana), [], "it does not listen");
}

#[tokio::test]
async fn who_came_later_hears_of_no_change_of_what_was_said_before() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let group = maria.open_group("Sesión clínica", &[&carlos]).await;
    let before = say(&maria, &group, &["antes"]).await;
    let people = format!("/conversations/{group}/participants");
    maria.post(&people, &json!({"user_id": aisha.id})).await.expect(200);
    let after = say(&maria, &group, &["después"]).await;
    let mut at_aisha = aisha.connect_to(&group).await;
    for id in [&before[0], &after[0], &before[0]] {
        thumb(&maria, id).await;
        maria.delete(&format!("/messages/{id}/reactions/{THUMB}")).await.expect(200);
    }
    thumb(&maria, &after[0]).await;
    let heard = at_aisha.settled().await;
    let heard: Vec<_> = heard.iter().filter(|f| f["type"] == "message.reacted").collect();
    assert!(heard.iter().all(|f| number(f, "seq") == 2), "{heard:#?}");
    assert_eq!(heard.iter().map(|f| number(f, "revision")).collect::<Vec<_>>(), [3, 4, 7]);
    let mut again = aisha.connect().await;
    let ack = again.call(resume(&group, 2, 0)).await;
    assert_eq!(number(&ack, "last_revision"), 7);
    assert_eq!(told(&mut again), expected(&[("message.updated", 2, Some(7))]));
}

#[tokio::test]
async fn other_devices_learn_what_is_left_unread_and_that_the_session_is_over() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let ids = say(&maria, &conversation, &["uno", "dos", "tres"]).await;
    let (mut phone, mut desk, mut at_maria) =
        (ana.connect().await, ana.connect().await, maria.connect_to(&conversation).await);
    ana.read_up_to(&conversation, &ids[1]).await;
    for device in [&mut phone, &mut desk] {
        let event = device.next_event("unread.changed").await;
        assert_eq!(
            (&event["data"]["unread_count"], &event["conversation_id"]),
            (&json!(1), &json!(conversation))
        );
    }
    phone.call(json!({"type": "read.set", "conversation_id": conversation, "message_id": ids[2]})).await;
    assert_eq!(desk.next_event("unread.changed").await["data"]["unread_count"], 0);
    // To have received is not to have read.
    phone.call(json!({"type": "ack", "conversation_id": conversation, "up_to_seq": 3})).await;
    assert!(!desk.settled().await.iter().any(|f| f["type"] == "unread.changed"));
    let heard = at_maria.settled().await;
    assert!(!heard.iter().any(|f| f["type"] == "unread.changed"), "{heard:#?}");

    ana.post("/auth/logout", &json!({})).await.expect(204);
    for mut device in [phone, desk] {
        assert_eq!(device.close_code().await, Some(4401));
        let last_word = device.take_kept().pop().unwrap();
        assert_eq!(
            (&last_word["type"], &last_word["data"]["reason"], &last_word["v"]),
            (&json!("session.revoked"), &json!("session_ended"), &json!(1))
        );
    }
}

/// A small generator of numbers, so that what goes wrong can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }
}

/// Does `steps` times three random things at once to what was said.
async fn act(actor: &Actor, conversation: &str, steps: usize, mut dice: Dice) {
    const FACES: [&str; 4] = ["%F0%9F%98%80", "%F0%9F%98%81", "%F0%9F%98%82", "%F0%9F%98%83"];
    let mut own: Vec<String> = Vec::new();
    for step in 0..steps {
        let mut requests = Vec::new();
        for _ in 0..3 {
            let at = |dice: &mut Dice| own.get(dice.index(own.len().max(1))).cloned();
            let face = FACES[dice.index(4)];
            let request = |method, path: String| Request::new(method, path);
            requests.push(match (dice.below(100), at(&mut dice)) {
                (0..30, _) | (_, None) => {
                    let words = json!({"content": format!("{step}")});
                    request(Method::POST, format!("/conversations/{conversation}/messages")).json(&words)
                }
                (30..55, Some(id)) => {
                    let words = json!({"content": format!("cambiado {step}")});
                    request(Method::PATCH, format!("/messages/{id}")).json(&words)
                }
                (55..75, Some(id)) => {
                    request(Method::PUT, format!("/messages/{id}/reactions/{face}")).json(&json!({}))
                }
                (75..87, Some(id)) => request(Method::DELETE, format!("/messages/{id}/reactions/{face}")),
                (87..94, Some(id)) => request(Method::DELETE, format!("/messages/{id}")),
                (_, Some(id)) => {
                    let words = json!({"content": format!("mejor {step}")});
                    request(Method::POST, format!("/messages/{id}/corrections")).json(&words)
                }
            });
        }
        let answers = join_all(requests.into_iter().map(|request| actor.request(request))).await;
        for answer in answers {
            // Gone, corrected or reworded meanwhile is an answer, too.
            assert!(answer.status < 500, "{}: {}", answer.asked, answer.text);
            if answer.status == 201
                && let Some(id) = answer.json["id"].as_str()
            {
                own.push(id.to_owned());
            }
        }
    }
}

/// What a client makes of what it is told, by nothing but the documented rules.
#[derive(Default)]
struct Model {
    messages: HashMap<String, Value>,
    last_seq: i64,
    last_revision: i64,
    seen: HashSet<String>,
    changes: usize,
}

impl Model {
    fn hear(&mut self, frame: &Value) {
        match text(frame, "type") {
            "ack" => {
                let data = &frame["data"];
                if data.get("last_revision").is_some() {
                    assert_eq!(
                        number(data, "last_seq"),
                        self.last_seq,
                        "the ack comes after what it tells: {data}"
                    );
                    assert!(number(data, "last_revision") >= self.last_revision, "{data}");
                    self.last_revision = number(data, "last_revision");
                }
            }
            "message.created" => {
                assert_eq!(number(frame, "seq"), self.last_seq + 1, "a hole or a repeat: {frame}");
                self.last_seq += 1;
                self.keep(frame);
            }
            kind if kind.starts_with("message.") => {
                assert!(
                    number(frame, "revision") > self.last_revision,
                    "{} and then {frame}",
                    self.last_revision
                );
                assert!(number(frame, "seq") <= self.last_seq, "a change of what is not there: {frame}");
                self.last_revision = number(frame, "revision");
                self.changes += 1;
                self.keep(frame);
            }
            "error" => panic!("{frame}"),
            _ => {}
        }
    }

    fn keep(&mut self, frame: &Value) {
        assert!(self.seen.insert(text(frame, "id").to_owned()), "twice: {frame}");
        let message = &frame["data"];
        let known = self.messages.entry(text(message, "id").to_owned()).or_insert(Value::Null);
        if known.is_null() || number(known, "revision") <= number(message, "revision") {
            *known = message.clone();
        }
    }
}

/// However often the line is cut, and whatever happens meanwhile: in the end the device knows what is so, and it was told
/// each thing once.
#[tokio::test]
async fn whatever_happens_and_however_often_the_line_is_cut_the_device_knows_in_the_end() {
    const STEPS: usize = 40;
    let world = World::with(&FAST).await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let group = maria.open_group("Idas y vueltas", &[&carlos]).await;
    let listener = world.sign_in(CARLOS).await;
    let (finished, mut end) = watch::channel(false);
    let acting = async {
        tokio::join!(act(&maria, &group, STEPS, Dice(1)), act(&carlos, &group, STEPS, Dice(2)));
        finished.send_replace(true);
    };
    let listening = async {
        let (mut model, mut dice, mut connections) = (Model::default(), Dice(3), 0);
        while !*end.borrow() {
            connections += 1;
            let mut socket = listener.connect().await;
            socket.command(resume(&group, model.last_seq, model.last_revision)).await;
            for _ in 0..=dice.below(30) {
                tokio::select! {
                    frame = socket.find(|_| true) => model.hear(&frame),
                    _ = end.wait_for(|end| *end) => break,
                }
            }
        }
        (model, connections)
    };
    let ((), (mut model, connections)) = tokio::join!(acting, listening);
    assert!(connections > 10 && model.changes > 20, "{connections} connections, {} changes", model.changes);

    let mut socket = listener.connect().await;
    socket.command(resume(&group, model.last_seq, model.last_revision)).await;
    for frame in socket.settled().await {
        model.hear(&frame);
    }
    let log = listener.log(&group).await;
    assert_eq!(model.messages.len(), log.len());
    for message in log {
        assert_eq!(model.messages[text(&message, "id")], message);
    }
    let shown = listener.conversation(&group).await;
    assert_eq!(
        (number(&shown, "last_seq"), number(&shown, "last_revision")),
        (model.last_seq, model.last_revision)
    );
}

/// A backup may lack what a device has, and have grown since beyond its numbers.
#[tokio::test]
async fn a_device_of_before_a_backup_was_restored_begins_anew() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    say(&maria, &conversation, &["uno", "dos"]).await;
    let since = text(&ana.get("/changes").await.expect(200), "next_cursor").to_owned();
    let of_epoch = |epoch: &Value| {
        let mut resume = resume(&conversation, 2, 0);
        resume["epoch"] = epoch.clone();
        resume
    };
    let gap_since =
        async |since: &str| ana.get(&format!("/changes?since={since}")).await.expect(200)["gap"].clone();

    // Neither a crash nor a new version is a reason.
    let before = ana.connect().await.ready["epoch"].clone();
    world.server.restart().await;
    let mut at_ana = ana.connect().await;
    assert_eq!(at_ana.ready["epoch"], before);
    assert_eq!(at_ana.call(of_epoch(&before)).await["gap"], false);
    assert_eq!(gap_since(&since).await, false);

    // As it would be after a dump was restored elsewhere.
    let moved = "UPDATE installation SET origin = 'elsewhere'";
    assert_eq!(sql(&world).await.execute(moved, &[]).await.expect("a move"), 1);
    world.server.restart().await;
    let mut at_ana = ana.connect().await;
    let now = at_ana.ready["epoch"].clone();
    assert_ne!(now, before);
    let ack = at_ana.call(of_epoch(&before)).await;
    assert_eq!((&ack["gap"], number(&ack, "last_seq")), (&json!(true), 2));
    assert_eq!(number(&at_ana.next_event("sync.gap").await["data"], "last_seq"), 2);
    assert_eq!(at_ana.call(of_epoch(&now)).await["gap"], false);
    assert_eq!(gap_since(&since).await, true);
    // Live again.
    maria.send(&conversation, "tres").await;
    assert_eq!(number(&at_ana.next_event("message.created").await, "seq"), 3);

    // Nothing shows that files were put back.
    let (done, told) = ended(operator(&world, &["new-epoch"])).await;
    assert!(done, "{told}");
    world.server.restart().await;
    assert_ne!(ana.connect().await.ready["epoch"], now);
}
