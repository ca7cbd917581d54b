//! Who is there, and what they do all the time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alivio_checker::{ConversationEnd, Line, Membership, Reader, Recorder};
use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::history::{Came, Scribe, connect, memberships_now, read_end};
use alivio_testkit::proxy::Proxy;
use alivio_testkit::server::{ADMIN, AISHA, CARLOS, MARIA, eventually};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::Chance;
use crate::stage::Stage;

/// After the end is known, readers still get so long without a message.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before someone asks again who was not answered.
const REST: Duration = Duration::from_millis(20);
/// How long someone stays, or stays away.
const STAY: Duration = Duration::from_millis(400);
/// Longer than any fault lasts.
const AFTER_ALL: Duration = Duration::from_secs(4);
/// People do not change their minds all the time.
const THOUGHT: Duration = Duration::from_millis(30);

/// A message that was said.
#[derive(Clone)]
struct Said {
    id: String,
    seq: i64,
    sender: String,
}

/// What all of them share.
struct Story {
    group: String,
    ending: AtomicBool,
    acknowledged: AtomicU64,
    /// What was said lately.
    said: Mutex<Vec<Said>>,
}

impl Story {
    fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    fn heard(&self, scribe: &Scribe, id: &Value, seq: &Value) {
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        if let (Some(id), Some(seq)) = (id.as_str(), seq.as_i64()) {
            let mut said = self.said.lock().expect("what was said");
            if said.len() >= 64 {
                said.remove(0);
            }
            said.push(Said { id: id.to_owned(), seq, sender: scribe.actor.id.clone() });
        }
    }

    fn some(&self, chance: &mut Chance) -> Option<Said> {
        let said = self.said.lock().expect("what was said");
        if said.is_empty() { None } else { Some(said[chance.below(said.len() as u64) as usize].clone()) }
    }
}

/// Everyone, doing something.
pub(crate) struct Cast {
    story: Arc<Story>,
    recorder: Recorder,
    everyone: Vec<Scribe>,
    acting: JoinSet<()>,
    membership: JoinHandle<Vec<Membership>>,
    following: JoinSet<Reader>,
    end: watch::Sender<Option<i64>>,
}

impl Cast {
    /// They come in and begin.
    pub(crate) async fn begin(stage: &Stage, seed: u64) -> Self {
        let people = stage.servers[0].sign_in_all([MARIA, CARLOS, AISHA, ADMIN]).await;
        let [maria, carlos, aisha, admin] = &people;
        let group = maria.open_group("Guardia", &[carlos, aisha]).await;
        let recorder = Recorder::default();
        let story = Arc::new(Story {
            group: group.clone(),
            ending: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            said: Mutex::default(),
        });
        // Each at one of the two servers, through its proxy.
        let device = |process: u64, actor: &Actor| {
            let proxy = &stage.to_servers[(process % 2) as usize];
            Scribe::new(&recorder, process, &actor.at(proxy.address()))
        };
        let mut acting = JoinSet::new();
        for (process, actor) in (1..).zip([maria, carlos, aisha, maria]) {
            acting.spawn(write_over_rest(Arc::clone(&story), device(process, actor)));
        }
        for (process, actor) in (11..).zip([carlos, aisha, maria]) {
            acting.spawn(write_over_socket(Arc::clone(&story), device(process, actor)));
        }
        for (process, actor) in (21..).zip([maria, carlos]) {
            let chance = Chance::new(seed.wrapping_add(process));
            acting.spawn(change_things(
                Arc::clone(&story),
                device(process, actor),
                actor.id == maria.id,
                chance,
            ));
        }
        let membership = tokio::spawn(come_and_go(
            Arc::clone(&story),
            device(31, maria),
            admin.id.clone(),
            stage.database_url(),
        ));
        let end = watch::Sender::new(None);
        let mut following = JoinSet::new();
        for (process, actor) in (41..).zip([maria, carlos, aisha, admin, maria]) {
            let (reader, group, end) = (device(process, actor), group.clone(), end.subscribe());
            following.spawn(async move { reader.follow(&group, end, PATIENCE).await });
        }
        // For the end: at the server itself.
        let everyone = (51..).zip(&people).map(|(process, actor)| Scribe::new(&recorder, process, actor));
        Self { story, everyone: everyone.collect(), recorder, acting, membership, following, end }
    }

    /// How many messages were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.story.acknowledged.load(Ordering::SeqCst)
    }

    /// They stop, receive what they have not received yet, and what is stored is read.
    pub(crate) async fn end(self, stage: &Stage) -> (Vec<Line>, Vec<ConversationEnd>) {
        let Self { story, recorder, everyone, acting, membership, following, end } = self;
        story.ending.store(true, Ordering::SeqCst);
        acting.join_all().await;
        let former = membership.await.expect("who came and went");
        eventually("the server answers", async || {
            let request = Request::new(Method::GET, format!("/conversations/{}", story.group));
            everyone[0].actor.try_request(request).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        let last = everyone[0].actor.conversation(&story.group).await["last_seq"].as_i64();
        // Nothing tells a server without Redis what was said at the other one: those who come back ask.
        stage.to_servers.iter().for_each(Proxy::cut);
        end.send_replace(last);
        let readers = following.join_all().await;
        let everyone: Vec<_> = everyone.iter().collect();
        let conversation = read_end(&stage.database_url(), &story.group, &everyone, former, readers).await;
        (recorder.lines(), vec![conversation])
    }
}

/// One message after the other, each until it is acknowledged.
async fn write_over_rest(story: Arc<Story>, scribe: Scribe) {
    for n in 0_u64.. {
        let (name, words) = (format!("rest-{}-{n}", scribe.process()), format!("mensaje {n}"));
        loop {
            if story.ending() {
                return;
            }
            match scribe.send(&story.group, &name, &words).await {
                Came::Done(message) => {
                    story.heard(&scribe, &message["id"], &message["seq"]);
                    break;
                }
                Came::Refused(status) => panic!("refused: {status}"),
                Came::Unknown => sleep(REST).await,
            }
        }
    }
}

/// Several at a time.
async fn write_over_socket(story: Arc<Story>, scribe: Scribe) {
    let mut n = 0;
    let messages = std::iter::from_fn(|| {
        n += 1;
        (!story.ending()).then(|| (format!("socket-{}-{n}", scribe.process()), format!("aviso {n}")))
    });
    let heard = |ack: &Value| story.heard(&scribe, &ack["message_id"], &ack["seq"]);
    scribe.write(&story.group, messages, heard).await;
}

/// Edits and takes back what they said themselves, or what others said if they moderate; reacts, reads.
async fn change_things(story: Arc<Story>, scribe: Scribe, moderates: bool, mut chance: Chance) {
    for n in 0_u64.. {
        if story.ending() {
            return;
        }
        sleep(THOUGHT).await;
        let name = format!("change-{}-{n}", scribe.process());
        let Came::Done(own) = scribe.send(&story.group, &name, "esto se cambia").await else { continue };
        story.heard(&scribe, &own["id"], &own["seq"]);
        let own = own["id"].as_str().expect("an id").to_owned();
        let Some(other) = story.some(&mut chance) else { continue };
        match chance.below(6) {
            0 | 1 => {
                for n in 0..=chance.below(3) {
                    scribe.edit(&story.group, &own, &format!("{name} cambia {n}")).await;
                }
            }
            2 => drop(scribe.delete(&story.group, &own, false).await),
            3 if moderates && other.sender != scribe.actor.id => {
                scribe.delete(&story.group, &other.id, true).await;
            }
            3 | 4 => {
                let is_set = !chance.one_in(3);
                scribe.react(&story.group, &other.id, is_set).await;
            }
            _ => drop(scribe.read_up_to(&story.group, &other.id, other.seq).await),
        }
    }
}

/// Lets someone into the conversation and sends them away again, and says how often they were in it. What is stored
/// forgets the time before when they come back, so it is read in between.
async fn come_and_go(story: Arc<Story>, scribe: Scribe, member: String, database: String) -> Vec<Membership> {
    let mut former = Vec::new();
    loop {
        let Ok(last) = membership(&database, &story.group, &member).await else {
            sleep(REST).await;
            continue;
        };
        let is_in = last.as_ref().is_some_and(|last| last.until.is_none());
        if is_in && story.ending() {
            return former;
        }
        former.extend(last.filter(|last| last.until.is_some() && former.last() != Some(last)));
        match scribe.change_membership(&story.group, &member, !is_in).await {
            // It may still happen, until whoever has stood still has gone on.
            Came::Unknown => sleep(AFTER_ALL).await,
            _ => sleep(STAY).await,
        }
    }
}

/// The last time that `member` was in the conversation.
async fn membership(
    database: &str,
    group: &str,
    member: &str,
) -> Result<Option<Membership>, tokio_postgres::Error> {
    let all = memberships_now(&connect(database).await?, group).await?;
    Ok(all.into_iter().find(|membership| membership.user == member))
}
