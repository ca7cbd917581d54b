//! A small server in memory that makes no mistakes, and clients who use it at the same time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use alivio_checker::{
    Action, AuditRow, ConversationEnd, Digest, End, Indexed, Line, Mark, MarksEnd, MarksNow, Membership,
    Message, Note, Reaction, Reader, Recorder, Seen, Stored, Ticket, Who, Wording,
};

const ROOM: &str = "room";
pub(crate) const MODERATOR: &str = "user-0";
const USERS: u64 = 4;
/// One device of each user, and a second one of the first.
const PROCESSES: u64 = USERS + 1;

/// A small generator of random numbers: what matters is that the choices differ.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { Some(&from[self.below(from.len() as u64) as usize]) }
    }
}

/// An operation on its way.
struct Pending {
    ticket: Ticket,
    /// The answer, once it has happened; `Err` if it was refused.
    done: Option<Result<Action, ()>>,
}

struct Device {
    who: Who,
    cursor: i64,
    pending: VecDeque<Pending>,
    /// Sent, with an outcome that nobody knows.
    unknown: Vec<Action>,
    sent: u64,
}

#[derive(Default)]
struct Server {
    messages: Vec<Message>,
    /// Who is in it, since when, and whether from its beginning.
    open: HashMap<String, (i64, bool)>,
    closed: Vec<Membership>,
    /// What is put off, and whether it was sent meanwhile: the sender, their names for it then and now, the words.
    put_off: Vec<(String, String, String, Digest)>,
    sent: usize,
    marks: HashMap<String, (i64, i64)>,
    reactions: BTreeMap<(String, String), Vec<String>>,
    audit: Vec<AuditRow>,
}

impl Server {
    fn last(&self) -> i64 {
        self.messages.len() as i64
    }

    fn is_for(&self, user: &str, seq: i64) -> bool {
        self.open.get(user).is_some_and(|(from, _)| *from <= seq)
    }

    /// Where the message is, and whether that is new.
    fn store(&mut self, user: &str, client_id: &str, digest: Digest, corrects: Option<String>) -> Stored {
        let known = self.messages.iter().find(|m| m.sender == user && m.client_id == client_id);
        if let Some(known) = known {
            return Stored { message: known.id.clone(), seq: known.seq, is_new: Some(false) };
        }
        let (message, seq) = (format!("message-{}", self.last() + 1), self.last() + 1);
        self.messages.push(Message {
            seq,
            id: message.clone(),
            sender: user.to_owned(),
            client_id: client_id.to_owned(),
            version: 1,
            is_deleted: false,
            corrects,
            wordings: Some(vec![Wording { version: 1, digest }]),
        });
        Stored { message, seq, is_new: Some(true) }
    }

    /// Sends the next of what was put off, if there is any.
    fn send_what_is_due(&mut self) -> bool {
        let Some((user, sent_as, _, digest)) = self.put_off.get(self.sent).cloned() else { return false };
        self.sent += 1;
        self.store(&user, &sent_as, digest, None);
        true
    }

    /// Someone's own message that nobody has put right, if `client_id` is one of a correction.
    fn to_correct(&self, user: &str, client_id: &str) -> Option<String> {
        let is_free = |id: &str| !self.messages.iter().any(|m| m.corrects.as_deref() == Some(id));
        let mine = self.messages.iter().find(|m| m.sender == user && !m.is_deleted && is_free(&m.id));
        mine.filter(|_| client_id.ends_with('7')).map(|mine| mine.id.clone())
    }

    fn audit(&mut self, action: &str, object: &str, actor: &str) {
        let (action, object, actor) = (action.to_owned(), object.to_owned(), actor.to_owned());
        self.audit.push(AuditRow { action, object, actor });
    }

    fn message(&mut self, id: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.id == id)
    }

    /// Does what was asked for, once however often it is asked.
    fn perform(&mut self, user: &str, action: &Action) -> Result<Action, ()> {
        if !self.open.contains_key(user) {
            return Err(());
        }
        let mut answer = action.clone();
        match &mut answer {
            Action::Send { client_id, digest, stored } => {
                let corrects = self.to_correct(user, client_id);
                let kept = self.store(user, client_id, *digest, corrects.clone());
                if let Some(corrected) = corrects.filter(|_| kept.is_new == Some(true)) {
                    self.audit("message.corrected", &corrected, user);
                }
                *stored = Some(kept);
            }
            Action::PutOff { client_id, digest, sent_as } => {
                let name = format!("later-{client_id}");
                if !self.put_off.iter().any(|(sender, _, known, _)| sender == user && known == client_id) {
                    self.put_off.push((user.to_owned(), name.clone(), client_id.clone(), *digest));
                }
                *sent_as = Some(name);
            }
            Action::Report { message } => {
                let known = AuditRow {
                    action: "message.reported".into(),
                    object: message.clone(),
                    actor: user.to_owned(),
                };
                if !self.audit.contains(&known) {
                    self.audit.push(known);
                }
            }
            Action::Edit { message, digest, version } => {
                let kept = self.message(message).filter(|m| m.sender == user && !m.is_deleted).ok_or(())?;
                kept.version += 1;
                *version = Some(kept.version);
                let wording = Wording { version: kept.version, digest: *digest };
                kept.wordings.get_or_insert_default().push(wording);
            }
            Action::Delete { message, by_moderator } => {
                let id = message.clone();
                let kept = self.message(&id).ok_or(())?;
                if !std::mem::replace(&mut kept.is_deleted, true) && *by_moderator {
                    self.audit("message.removed", &id, user);
                }
            }
            Action::React { message, emoji, is_set } => {
                let users = self.reactions.entry((message.clone(), emoji.clone())).or_default();
                users.retain(|other| other != user);
                if *is_set {
                    users.push(user.to_owned());
                }
            }
            Action::Advance { mark, up_to, now } => {
                let marks = self.marks.entry(user.to_owned()).or_default();
                marks.0 = marks.0.max(*up_to);
                if *mark == Mark::Read {
                    marks.1 = marks.1.max(*up_to);
                }
                *now = Some(MarksNow { delivered: marks.0, read: marks.1 });
            }
            Action::Join { member } => {
                let next = self.last() + 1;
                self.open.entry(member.clone()).or_insert((next, false));
            }
            Action::Leave { member } => {
                if let Some((from, is_founder)) = self.open.remove(member) {
                    let until = Some(self.last() + 1);
                    self.closed.push(Membership { user: member.clone(), from, until, is_founder });
                }
            }
            Action::Listen { .. } | Action::Deliver(_) | Action::Look(_) => {}
        }
        Ok(answer)
    }
}

fn seen(message: &Message) -> Seen {
    let words = message.wordings.as_ref().and_then(|wordings| wordings.last());
    Seen {
        seq: message.seq,
        message: message.id.clone(),
        sender: message.sender.clone(),
        client_id: message.client_id.clone(),
        version: message.version,
        digest: words.filter(|_| !message.is_deleted).map(|wording| wording.digest),
    }
}

/// A history without a mistake, of about so many steps.
pub(crate) fn history(seed: u64, steps: usize) -> (Vec<Line>, End) {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.end()
}

struct World {
    chance: Chance,
    recorder: Recorder,
    server: Server,
    devices: Vec<Device>,
}

impl World {
    fn new(seed: u64) -> Self {
        let recorder = Recorder::default();
        let who = |process: u64| Who { process, user: format!("user-{}", process % USERS) };
        let device = |process| Device {
            who: who(process),
            cursor: 0,
            pending: VecDeque::new(),
            unknown: Vec::new(),
            sent: 0,
        };
        let devices: Vec<Device> = (0..PROCESSES).map(device).collect();
        for device in &devices {
            recorder.happened(&device.who, ROOM, Action::Listen { from: 0 });
        }
        let open = (0..USERS).map(|user| (format!("user-{user}"), (1, true))).collect();
        Self { chance: Chance(seed), recorder, server: Server { open, ..Server::default() }, devices }
    }

    fn step(&mut self) {
        let at = self.chance.below(PROCESSES) as usize;
        match self.chance.below(8) {
            0..3 => self.ask(at),
            3 | 4 => self.perform(at),
            5 => self.answer(at),
            6 => drop(self.deliver(at)),
            _ if self.chance.one_in(4) => self.come_back(at),
            _ if self.chance.one_in(4) => drop(self.server.send_what_is_due()),
            _ => self.look(at),
        }
    }

    fn ask(&mut self, at: usize) {
        let wish = self.wish(at);
        let device = &mut self.devices[at];
        if let Some(action) = wish.filter(|_| device.pending.len() < 4) {
            let ticket = self.recorder.invoke(&device.who, ROOM, action);
            device.pending.push_back(Pending { ticket, done: None });
        }
    }

    fn wish(&mut self, at: usize) -> Option<Action> {
        let (server, device, chance) = (&self.server, &mut self.devices[at], &mut self.chance);
        let user = &device.who.user;
        let mine: Vec<&Message> = server.messages.iter().filter(|m| m.sender == *user).collect();
        let readable: Vec<&Message> = server.messages.iter().filter(|m| server.is_for(user, m.seq)).collect();
        Some(match chance.below(14) {
            0 => {
                let message = chance.pick(&mine)?.id.clone();
                let digest = Digest::of(&format!("words {}", chance.below(u64::MAX)));
                Action::Edit { message, digest, version: None }
            }
            1 if user == MODERATOR => {
                let message = chance.pick(&readable)?;
                Action::Delete { message: message.id.clone(), by_moderator: message.sender != *user }
            }
            1 => Action::Delete { message: chance.pick(&mine)?.id.clone(), by_moderator: false },
            2 => {
                let message = chance.pick(&readable)?.id.clone();
                Action::React { message, emoji: "thumb".into(), is_set: !chance.one_in(3) }
            }
            3 => {
                let up_to = chance.pick(&readable)?.seq;
                let mark = if chance.one_in(2) { Mark::Read } else { Mark::Delivered };
                Action::Advance { mark, up_to, now: None }
            }
            4 if user == MODERATOR => {
                let member = format!("user-{}", 1 + chance.below(USERS - 1));
                if server.open.contains_key(&member) {
                    Action::Leave { member }
                } else {
                    Action::Join { member }
                }
            }
            5 if !device.unknown.is_empty() => device.unknown.remove(0),
            6 => Action::Report { message: chance.pick(&readable)?.id.clone() },
            // Who puts something off must be there when it is due.
            7 if user == MODERATOR => {
                device.sent += 1;
                let client_id = format!("{}-{}", device.who.process, device.sent);
                Action::PutOff { digest: Digest::of(&client_id), client_id, sent_as: None }
            }
            _ => {
                device.sent += 1;
                let client_id = format!("{}-{}", device.who.process, device.sent);
                Action::Send { digest: Digest::of(&client_id), client_id, stored: None }
            }
        })
    }

    /// What waits first happens now.
    fn perform(&mut self, at: usize) {
        let device = &mut self.devices[at];
        if let Some(next) = device.pending.iter_mut().find(|pending| pending.done.is_none()) {
            next.done = Some(self.server.perform(&device.who.user, next.ticket.action()));
        }
    }

    fn answer(&mut self, at: usize) {
        let is_lost = self.chance.one_in(6);
        let device = &mut self.devices[at];
        let Some(first) = device.pending.front() else { return };
        match &first.done {
            None if !is_lost => {}
            // What has not got there never gets there, nor does what was sent after it.
            None => while self.end_first(at, true) {},
            Some(_) => drop(self.end_first(at, is_lost)),
        }
    }

    fn end_first(&mut self, at: usize, is_lost: bool) -> bool {
        let device = &mut self.devices[at];
        let Some(Pending { ticket, done }) = device.pending.pop_front() else { return false };
        match done {
            Some(Ok(answer)) if !is_lost => self.recorder.ok(ticket, answer),
            Some(Err(())) if !is_lost => self.recorder.fail(ticket),
            _ => {
                if matches!(ticket.action(), Action::Send { .. } | Action::PutOff { .. }) {
                    device.unknown.push(ticket.action().clone());
                }
                self.recorder.info(ticket);
            }
        }
        true
    }

    fn deliver(&mut self, at: usize) -> bool {
        let (server, device) = (&self.server, &mut self.devices[at]);
        let next =
            server.messages.iter().find(|m| m.seq > device.cursor && server.is_for(&device.who.user, m.seq));
        if let Some(message) = next {
            device.cursor = message.seq;
            self.recorder.happened(&device.who, ROOM, Action::Deliver(seen(message)));
        }
        next.is_some()
    }

    fn come_back(&self, at: usize) {
        let device = &self.devices[at];
        self.recorder.happened(&device.who, ROOM, Action::Listen { from: device.cursor });
    }

    fn look(&mut self, at: usize) {
        let (server, device) = (&self.server, &self.devices[at]);
        let readable: Vec<_> =
            server.messages.iter().filter(|m| server.is_for(&device.who.user, m.seq)).collect();
        if let Some(message) = self.chance.pick(&readable) {
            self.recorder.happened(&device.who, ROOM, Action::Look(seen(message)));
        }
    }

    fn end(mut self) -> (Vec<Line>, End) {
        for at in 0..self.devices.len() {
            for _ in 0..8 {
                self.perform(at);
                self.answer(at);
            }
        }
        while self.server.send_what_is_due() {}
        for at in 0..self.devices.len() {
            while self.deliver(at) {}
        }
        let Self { recorder, server, devices, .. } = self;
        let readers =
            devices.iter().map(|d| Reader { process: d.who.process, user: d.who.user.clone(), from: 0 });
        let unread = |user: &str, from: i64, read: i64| {
            let theirs = |m: &&Message| m.sender != user && m.seq > read && m.seq >= from;
            server.messages.iter().filter(theirs).count() as i64
        };
        let marks = server.open.iter().map(|(user, (from, _))| {
            let (delivered, read) = server.marks.get(user).copied().unwrap_or_default();
            MarksEnd { user: user.clone(), delivered, read, unread: Some(unread(user, *from, read)) }
        });
        let note =
            |kind: &str, about: &str, times: u64| Note { kind: kind.into(), about: about.into(), times };
        let notes = server.messages.iter().flat_map(|m| {
            [
                note("message.created", &m.id, 1),
                note("message.updated", &m.id, u64::from(m.version) - 1),
                note("message.deleted", &m.id, u64::from(m.is_deleted)),
            ]
        });
        let corrected = server.messages.iter().filter_map(|m| m.corrects.as_ref());
        let notes = notes.chain(corrected.map(|id| note("message.corrected", id, 1)));
        let index = server.messages.iter().filter(|m| !m.is_deleted);
        let index = index.map(|m| Indexed { message: m.id.clone(), version: m.version });
        let reactions = server.reactions.iter().map(|((message, emoji), users)| Reaction {
            message: message.clone(),
            emoji: emoji.clone(),
            count: users.len() as u64,
            users: users.clone(),
        });
        let open = server.open.iter().map(|(user, (from, is_founder))| Membership {
            user: user.clone(),
            from: *from,
            until: None,
            is_founder: *is_founder,
        });
        let memberships: Vec<Membership> = server.closed.iter().cloned().chain(open).collect();
        let of_members = memberships.iter().flat_map(|m| {
            [
                note("participant.joined", &m.user, u64::from(!m.is_founder)),
                note("participant.removed", &m.user, u64::from(m.until.is_some())),
            ]
        });
        let notes = notes.chain(of_members).filter(|note| note.times > 0).collect();
        let conversation = ConversationEnd {
            id: ROOM.into(),
            index: Some(index.collect()),
            unhandled: Some(0),
            notes: Some(notes),
            marks: marks.collect(),
            readers: readers.collect(),
            reactions: Some(reactions.collect()),
            audit: Some(server.audit.clone()),
            memberships,
            messages: server.messages.clone(),
        };
        (recorder.lines(), End { conversations: vec![conversation] })
    }
}

/// The ids of messages that someone acknowledged.
pub(crate) fn acknowledged(lines: &[Line]) -> HashSet<&str> {
    let stored = lines.iter().filter_map(|line| match &line.action {
        Action::Send { stored: Some(stored), .. } => Some(&*stored.message),
        _ => None,
    });
    stored.collect()
}
