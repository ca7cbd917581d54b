//! Who is there, and what they do all the time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alivio_checker::{ConversationEnd, Line, Reader, Recorder};
use alivio_kernel::{Clock, SystemClock};
use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::history::{Came, Scribe, all_is_handled, read_end, remember_memberships};
use alivio_testkit::server::{ADMIN, AISHA, CARLOS, MARIA, eventually};
use chrono::TimeDelta;
use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::chance::Chance;
use crate::stage::Stage;

/// Conversations: all happens in each of them.
const ROOMS: usize = 3;
/// Messages that a device has on their way at the same time.
const WINDOW: usize = 8;
/// After the end is known, readers still get so long without a message.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a killed server had taken on comes back after its lease; so nothing is left over after this time.
const ALL_DONE: Duration = Duration::from_secs(60);
/// Before someone asks again who was not answered.
const REST: Duration = Duration::from_millis(20);
/// How long someone stays, or stays away, at most.
const STAY: u64 = 800;
/// People do not change their minds all the time.
const THOUGHT: Duration = Duration::from_millis(30);

/// A message that was said.
#[derive(Clone)]
struct Said {
    id: String,
    seq: i64,
    sender: String,
}

/// A conversation.
struct Room {
    id: String,
    /// What was said lately.
    said: Mutex<Vec<Said>>,
}

/// What all of them share.
#[derive(Default)]
struct Story {
    ending: AtomicBool,
    /// How many messages were acknowledged at each server.
    acknowledged: [AtomicU64; 2],
}

impl Story {
    fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }
}

/// Someone at a device in a conversation, connected to one of the servers.
#[derive(Clone)]
struct Part {
    story: Arc<Story>,
    room: Arc<Room>,
    scribe: Scribe,
    node: usize,
}

impl Part {
    fn ending(&self) -> bool {
        self.story.ending()
    }

    fn group(&self) -> &str {
        &self.room.id
    }

    fn name(&self, n: u64) -> String {
        format!("{}-{n}", self.scribe.process())
    }

    fn heard(&self, id: &Value, seq: &Value) {
        self.story.acknowledged[self.node].fetch_add(1, Ordering::SeqCst);
        if let (Some(id), Some(seq)) = (id.as_str(), seq.as_i64()) {
            let mut said = self.room.said.lock().expect("what was said");
            if said.len() >= 64 {
                said.remove(0);
            }
            said.push(Said { id: id.to_owned(), seq, sender: self.scribe.actor.id.clone() });
        }
    }

    /// Something that was said lately, by another.
    fn other(&self, chance: &mut Chance) -> Option<Said> {
        let said = self.room.said.lock().expect("what was said");
        let others: Vec<_> = said.iter().filter(|said| said.sender != self.scribe.actor.id).collect();
        if others.is_empty() { None } else { Some((*chance.one_of(&others)).clone()) }
    }
}

/// Gives each device its number and its server.
struct Casting<'a> {
    stage: &'a Stage,
    recorder: Recorder,
    story: Arc<Story>,
    devices: u64,
}

impl Casting<'_> {
    fn part(&mut self, room: &Arc<Room>, actor: &Actor, node: usize) -> Part {
        self.devices += 1;
        let node = node % 2;
        let actor = actor.at(self.stage.to_servers[node].address());
        let scribe = Scribe::new(&self.recorder, self.devices, &actor);
        Part { story: Arc::clone(&self.story), room: Arc::clone(room), scribe, node }
    }

    fn parts(&mut self, room: &Arc<Room>, actor: &Actor) -> [Part; 2] {
        [0, 1].map(|node| self.part(room, actor, node))
    }
}

/// Everyone, doing something.
pub(crate) struct Cast {
    story: Arc<Story>,
    recorder: Recorder,
    rooms: Vec<Arc<Room>>,
    /// At the first server itself.
    everyone: Vec<Scribe>,
    acting: JoinSet<()>,
    following: Vec<JoinSet<Reader>>,
    /// Where each conversation ends, once that is known.
    ends: Vec<watch::Sender<Option<i64>>>,
}

impl Cast {
    /// They come in and begin.
    pub(crate) async fn begin(stage: &Stage, seed: u64) -> Self {
        remember_memberships(&stage.database_url()).await;
        let people = stage.servers[0].sign_in_all([MARIA, CARLOS, AISHA, ADMIN]).await;
        let [maria, carlos, aisha, admin] = &people;
        let (recorder, story) = (Recorder::default(), Arc::<Story>::default());
        let mut casting =
            Casting { stage, recorder: recorder.clone(), story: Arc::clone(&story), devices: 0 };
        let mut chances = (1..).map(|n| Chance::new(seed.wrapping_add(n)));
        let mut chance = || chances.next().expect("without end");
        let (mut acting, mut following) = (JoinSet::new(), Vec::new());
        let (mut rooms, mut ends) = (Vec::new(), Vec::new());
        for n in 0..ROOMS {
            let id = maria.open_group("Guardia", &[carlos, aisha]).await;
            let room = Arc::new(Room { id, said: Mutex::default() });
            for (node, actor) in [(n, maria), (n, carlos), (n + 1, carlos)] {
                acting.spawn(write_over_socket(casting.part(&room, actor, node)));
            }
            // She is sent away now and then, and does not know.
            acting.spawn(write_over_rest(casting.part(&room, aisha, n + 1)));
            acting.spawn(write_twice(casting.parts(&room, carlos)));
            acting.spawn(change_things(casting.part(&room, maria, n + 1), true, chance()));
            acting.spawn(change_things(casting.part(&room, carlos, n), false, chance()));
            for member in [aisha, admin] {
                for node in [0, 1] {
                    let moderator = casting.part(&room, maria, node);
                    acting.spawn(let_in_and_send_away(moderator, member.id.clone(), chance()));
                }
            }
            let end = watch::Sender::new(None);
            let mut readers = JoinSet::new();
            for (node, actor) in [maria, carlos, aisha, admin].into_iter().enumerate() {
                let (part, end) = (casting.part(&room, actor, n + node), end.subscribe());
                readers.spawn(async move { part.scribe.follow(part.group(), end, PATIENCE).await });
            }
            following.push(readers);
            rooms.push(room);
            ends.push(end);
        }
        let everyone = people.iter().map(|actor| {
            casting.devices += 1;
            Scribe::new(&recorder, casting.devices, actor)
        });
        let everyone = everyone.collect();
        Self { story, recorder, rooms, everyone, acting, following, ends }
    }

    /// How many messages were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged_at().iter().sum()
    }

    /// How many at each server.
    pub(crate) fn acknowledged_at(&self) -> [u64; 2] {
        [0, 1].map(|node| self.story.acknowledged[node].load(Ordering::SeqCst))
    }

    /// They stop, receive what they have not received yet, and what is stored is read.
    pub(crate) async fn end(self, stage: &Stage) -> (Vec<Line>, Vec<ConversationEnd>) {
        let Self { story, recorder, rooms, everyone, acting, following, ends } = self;
        story.ending.store(true, Ordering::SeqCst);
        acting.join_all().await;
        let url = stage.database_url();
        all_is_handled(&url, ALL_DONE).await;
        eventually("the server answers", async || {
            let request = Request::new(Method::GET, "/auth/me");
            everyone[0].actor.try_request(request).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        let everyone: Vec<_> = everyone.iter().collect();
        let conversations = rooms.iter().zip(following).zip(&ends).map(async |((room, following), end)| {
            end.send_replace(everyone[0].actor.conversation(&room.id).await["last_seq"].as_i64());
            let readers = following.join_all().await;
            read_end(&url, &room.id, &everyone, readers).await
        });
        let conversations = join_all(conversations).await;
        (recorder.lines(), conversations)
    }
}

/// One message after the other, each until it is acknowledged or refused.
async fn write_over_rest(part: Part) {
    for n in 0.. {
        let (name, words) = (part.name(n), format!("mensaje {n}"));
        loop {
            if part.ending() {
                return;
            }
            match part.scribe.send(part.group(), &name, &words).await {
                Came::Done(message) => {
                    part.heard(&message["id"], &message["seq"]);
                    break;
                }
                Came::Refused(404) => {
                    sleep(THOUGHT).await;
                    break;
                }
                Came::Refused(status) => panic!("refused: {status}"),
                Came::Unknown => sleep(REST).await,
            }
        }
    }
}

/// Each message at both servers at once, as if it had been doubled on its way.
async fn write_twice([here, there]: [Part; 2]) {
    for n in 0.. {
        let (name, words) = (here.name(n), format!("repito {n}"));
        loop {
            if here.ending() {
                return;
            }
            let send = |part: &Part| part.scribe.clone();
            let (one, other) = (send(&here), send(&there));
            let both = join(one.send(here.group(), &name, &words), other.send(here.group(), &name, &words));
            let (one, other) = both.await;
            let done = [(&here, one), (&there, other)].into_iter().find_map(|(part, came)| match came {
                Came::Done(message) => Some((part, message)),
                Came::Refused(status) => panic!("refused: {status}"),
                Came::Unknown => None,
            });
            if let Some((part, message)) = done {
                part.heard(&message["id"], &message["seq"]);
                break;
            }
            sleep(REST).await;
        }
        sleep(THOUGHT).await;
    }
}

/// Several at a time.
async fn write_over_socket(part: Part) {
    let mut n = 0;
    let messages = std::iter::from_fn(|| {
        n += 1;
        (!part.ending()).then(|| (part.name(n), format!("aviso {n}")))
    });
    let heard = |ack: &Value| part.heard(&ack["message_id"], &ack["seq"]);
    part.scribe.write(part.group(), WINDOW, messages, heard).await;
}

/// Edits, takes back and puts right what they said themselves, or takes back what others said if they moderate; reacts,
/// reads, reports, puts off.
async fn change_things(part: Part, moderates: bool, mut chance: Chance) {
    let (scribe, group) = (&part.scribe, part.group());
    for n in 0_u64.. {
        if part.ending() {
            return;
        }
        sleep(THOUGHT).await;
        let name = part.name(n);
        let Came::Done(own) = scribe.send(group, &name, "esto se cambia").await else { continue };
        part.heard(&own["id"], &own["seq"]);
        let own = own["id"].as_str().expect("an id").to_owned();
        let Some(other) = part.other(&mut chance) else { continue };
        match chance.below(10) {
            0 | 1 => {
                for n in 0..=chance.below(3) {
                    scribe.edit(group, &own, &format!("{name} cambia {n}")).await;
                }
            }
            2 => drop(scribe.delete(group, &own, false).await),
            3 if moderates => drop(scribe.delete(group, &other.id, true).await),
            4 if moderates => put_off(&part, &format!("{name}-later")).await,
            3..6 => {
                let is_set = !chance.one_in(3);
                scribe.react(group, &other.id, is_set).await;
            }
            6 => drop(scribe.report(group, &other.id).await),
            7 => put_right(&part, &own, &format!("{name}-right")).await,
            _ => drop(scribe.read_up_to(group, &other.id, other.seq).await),
        }
    }
}

/// Until it is known that it was.
async fn put_off(part: &Part, name: &str) {
    let due = SystemClock.now() + TimeDelta::milliseconds(1500);
    while !part.ending() && part.scribe.put_off(part.group(), name, name, due).await == Came::Unknown {
        sleep(REST).await;
    }
}

/// Until it is known that it was.
async fn put_right(part: &Part, message: &str, name: &str) {
    loop {
        match part.scribe.correct(part.group(), message, name, name).await {
            Came::Done(correction) => return part.heard(&correction["id"], &correction["seq"]),
            Came::Refused(_) => return,
            Came::Unknown if part.ending() => return,
            Came::Unknown => sleep(REST).await,
        }
    }
}

/// Lets someone into the conversation and sends them away again, while someone else does the same at the other server.
async fn let_in_and_send_away(part: Part, member: String, mut chance: Chance) {
    while !part.ending() {
        part.scribe.change_membership(part.group(), &member, chance.one_in(2)).await;
        sleep(Duration::from_millis(chance.below(STAY))).await;
    }
}
