use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alivio_kernel::ids::{ConversationId, IdSource, MessageId, SessionId, UserId};
use alivio_kernel::{Caller, Clock};
use alivio_messages::{Mark, MarksMoved};
use chrono::{DateTime, Utc};
use dashmap::DashMap;
use tokio::sync::{Notify, mpsc, watch};

use super::order::Order;
use super::receipts::up_to;
use super::{Frame, Happening};
use crate::MessageView;

/// Events that may wait for a socket: handles to shared ones, so a full queue costs 8 KiB. A socket that falls
/// further behind is closed, and resumes. Bursts of a lively room must fit, or readers that are merely busy go too.
const QUEUE: usize = 1024;
/// How long a message may wait for the one before it. Commits take milliseconds.
const PATIENCE: Duration = Duration::from_millis(100);
/// After so long the one before it may have been taken by another node, and is looked for.
const SUSPICION: Duration = Duration::from_millis(25);

/// So many changes of messages are remembered, to tell which came first. They are announced within moments of each
/// other, or not at the same time.
const RECENT: usize = 256;

/// Where more devices listen than this, receipts are told to those alone whom they concern: to tell everyone of everyone
/// would be as many events as the square of them.
const CROWD: usize = 50;
/// So many of the last messages in a crowd are remembered, to know whom receipts concern.
const LAST: usize = 256;
/// So many receipts are told together, that they fit into a frame.
const TOGETHER: usize = 200;

/// Why a socket must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its session has ended.
    SessionEnded,
    /// Its session was the oldest of too many.
    SessionEvicted,
    /// It does not read as fast as it is written to.
    TooSlow,
    /// The server goes away; come back.
    Restart,
}

/// A connected socket, as the hub sees it.
#[derive(Debug)]
pub(super) struct Socket {
    id: u64,
    user_id: UserId,
    session_id: SessionId,
    queue: mpsc::Sender<Arc<Frame>>,
    fate: watch::Sender<Option<Fate>>,
}

impl Socket {
    fn push(&self, frame: &Arc<Frame>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(Arc::clone(frame)) {
            self.close(Fate::TooSlow);
        }
    }

    fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    fn close(&self, fate: Fate) {
        self.fate.send_if_modified(|present| present.is_none() && present.replace(fate).is_none());
    }
}

/// What arrives at a socket.
#[derive(Debug)]
pub struct Inbox {
    /// Events.
    pub frames: mpsc::Receiver<Arc<Frame>>,
    /// Turns to the reason when it must close.
    pub fate: watch::Receiver<Option<Fate>>,
}

#[derive(Default)]
struct Topic {
    subscribers: HashMap<u64, Arc<Socket>>,
    messages: Order<Arc<Frame>>,
    changes: Order<Arc<Frame>>,
    /// How messages were last shown.
    shown: VecDeque<Arc<MessageView>>,
    /// In a crowd: who sent the last messages, and how far it was told of each mark.
    senders: VecDeque<(i64, UserId)>,
    told: HashMap<(UserId, Mark), i64>,
}

impl Topic {
    fn tell(&self, frame: &Arc<Frame>) {
        self.subscribers.values().for_each(|socket| socket.push(frame));
    }

    /// Tells what has its place in the log.
    fn tell_in_turn(&mut self, frames: Vec<Arc<Frame>>) {
        for frame in frames {
            self.note_sender(&frame);
            self.tell(&frame);
        }
    }

    fn awaited(&self) -> Awaited {
        Awaited { message: self.messages.awaited(), change: self.changes.awaited() }
    }

    fn is_crowd(&self) -> bool {
        self.subscribers.len() > CROWD
    }

    fn note_sender(&mut self, frame: &Frame) {
        if let (Happening::MessageCreated { view, .. }, true) = (&frame.what, self.is_crowd()) {
            if self.senders.len() == LAST {
                self.senders.pop_front();
            }
            self.senders.push_back((view.message.seq, view.message.sender_id));
        }
    }

    /// Whom a receipt concerns: whose it is, and who sent what it newly tells of.
    fn concerned(&mut self, moved: &MarksMoved) -> HashSet<UserId> {
        let (user, to) = (moved.marks.user_id, up_to(moved));
        let told = self.told.insert((user, moved.mark), to).unwrap_or_default();
        let newly = self.senders.iter().filter(|(seq, _)| (told + 1..=to).contains(seq));
        newly.map(|(_, sender)| *sender).chain([user]).collect()
    }

    /// The later of `view` and how its message was last shown.
    fn latest(&mut self, view: Arc<MessageView>) -> Arc<MessageView> {
        let known = self.shown.iter_mut().find(|known| known.message.id == view.message.id);
        if let Some(known) = known {
            if known.message.revision < view.message.revision {
                *known = view;
            }
            return Arc::clone(known);
        }
        if self.shown.len() == RECENT {
            self.shown.pop_front();
        }
        self.shown.push_back(Arc::clone(&view));
        view
    }
}

/// What a conversation waits for before it tells what came early.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Awaited {
    message: Option<i64>,
    change: Option<i64>,
}

impl Awaited {
    /// What is still waited for of what was waited for `before`. Whatever is waited for anew has its own time.
    fn since(self, before: Self) -> Self {
        let still = |now: Option<i64>, before| now.filter(|_| now == before);
        Self { message: still(self.message, before.message), change: still(self.change, before.change) }
    }
}

/// What became of a message or of marks: the same here and in the database, and of nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Note {
    pub(crate) kind: String,
    pub(crate) message: MessageId,
    pub(crate) user: Option<UserId>,
    pub(crate) at: DateTime<Utc>,
}

/// The notes of what was told last. They need to be remembered until the database has shown them, too.
#[derive(Debug, Default)]
struct Notes {
    recent: HashSet<Note>,
    older: HashSet<Note>,
}

impl Notes {
    /// Two to three seconds of the most that a node can do.
    const ROOM: usize = 4096;

    fn has(&self, note: &Note) -> bool {
        self.recent.contains(note) || self.older.contains(note)
    }

    fn add(&mut self, note: Note) -> bool {
        if self.has(&note) {
            return false;
        }
        if self.recent.len() >= Self::ROOM {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(note)
    }
}

/// Who is connected to this node, and to what they listen.
pub struct Hub {
    topics: DashMap<ConversationId, Topic>,
    people: DashMap<UserId, Vec<Arc<Socket>>>,
    sockets: AtomicU64,
    notes: Mutex<Notes>,
    /// Rung when a message is missing that another node may have taken.
    gap: Arc<Notify>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl Hub {
    pub(crate) fn new(clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>, gap: Arc<Notify>) -> Self {
        Self {
            topics: DashMap::new(),
            people: DashMap::new(),
            sockets: AtomicU64::new(0),
            notes: Mutex::default(),
            gap,
            clock,
            ids,
        }
    }

    /// Whether nobody is connected.
    pub(crate) fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Takes note of what is about to be told. Whether it was not told before: by the one who did it, or from the
    /// database.
    pub(crate) fn note(&self, note: Note) -> bool {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).add(note)
    }

    /// Whether that was told.
    pub(crate) fn has_noted(&self, note: &Note) -> bool {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).has(note)
    }

    /// Whether those who listen have not been sent the message at `seq`.
    pub(crate) fn lacks(&self, conversation: ConversationId, seq: i64) -> bool {
        self.topics.get(&conversation).is_some_and(|topic| topic.messages.lacks(seq))
    }

    /// Asks every socket to close.
    pub fn close_all(&self, fate: Fate) {
        for person in &self.people {
            person.value().iter().for_each(|socket| socket.close(fate));
        }
    }

    /// How many sockets are connected.
    pub fn socket_count(&self) -> usize {
        self.people.iter().map(|person| person.value().len()).sum()
    }

    /// How many events wait for the socket that most wait for.
    pub fn longest_queue(&self) -> usize {
        let longest = |sockets: &Vec<Arc<Socket>>| sockets.iter().map(|socket| socket.waiting()).max();
        self.people.iter().filter_map(|person| longest(person.value())).max().unwrap_or_default()
    }

    pub(crate) fn frame(
        &self,
        conversation: impl Into<Option<ConversationId>>,
        at: DateTime<Utc>,
        what: Happening,
    ) -> Arc<Frame> {
        Arc::new(Frame::new(self.ids.uuid(), conversation.into(), at, what))
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn has_audience(&self, conversation: ConversationId) -> bool {
        self.topics.contains_key(&conversation)
    }

    /// Sends the message at `seq` to those who listen, after those before it.
    pub(crate) fn publish(self: &Arc<Self>, conversation: ConversationId, seq: i64, frame: Arc<Frame>) {
        self.tell_in_order(conversation, |topic| topic.messages.offer(seq, frame));
    }

    /// Tells what `offer` gives back, and waits for what it holds back no longer than there is patience.
    fn tell_in_order(
        self: &Arc<Self>,
        conversation: ConversationId,
        offer: impl FnOnce(&mut Topic) -> Vec<Arc<Frame>>,
    ) {
        let Some(mut topic) = self.topics.get_mut(&conversation) else { return };
        let waited = topic.awaited() != Awaited::default();
        let frames = offer(&mut topic);
        topic.tell_in_turn(frames);
        let awaited = topic.awaited();
        if awaited != Awaited::default() && !waited {
            drop(topic);
            tokio::spawn(Arc::clone(self).wait(conversation, awaited));
        }
    }

    /// Waits until nothing is waited for, and for nothing longer than there is patience.
    async fn wait(self: Arc<Self>, conversation: ConversationId, mut awaited: Awaited) {
        while awaited != Awaited::default() {
            tokio::time::sleep(SUSPICION).await;
            let suspicious = self.awaited(conversation).since(awaited);
            if suspicious != Awaited::default() {
                self.gap.notify_one();
                tokio::time::sleep(PATIENCE).await;
                self.release(conversation, suspicious);
            }
            awaited = self.awaited(conversation);
        }
    }

    /// Sends the change of this number to those who listen, after those before it. Announcers look at the message in any
    /// order; whoever looked before another is shown it as the other one found it.
    pub(crate) fn publish_change(
        self: &Arc<Self>,
        conversation: ConversationId,
        revision: i64,
        at: DateTime<Utc>,
        what: impl FnOnce(Arc<MessageView>) -> Happening,
        view: MessageView,
    ) {
        self.tell_in_order(conversation, |topic| {
            let view = topic.latest(Arc::new(view));
            topic.changes.offer(revision, self.frame(conversation, at, what(view)))
        });
    }

    /// Sends something without a place in the log to those who listen.
    pub(crate) fn tell_topic(&self, conversation: ConversationId, frame: &Arc<Frame>) {
        if let Some(topic) = self.topics.get(&conversation) {
            topic.tell(frame);
        }
    }

    /// Tells those who listen of what has moved, in as few events as will do; a crowd, of what concerns each.
    pub(crate) fn tell_receipts(&self, conversation: ConversationId, moved: &[MarksMoved]) {
        let Some(mut topic) = self.topics.get_mut(&conversation) else { return };
        let frame = |moved: &MarksMoved| self.frame(conversation, moved.at, Happening::MarksMoved(*moved));
        let each: Vec<_> = moved.iter().map(frame).collect();
        if !topic.is_crowd() {
            self.together(conversation, &each).iter().for_each(|frame| topic.tell(frame));
            return;
        }
        let mut concerned: HashMap<UserId, Vec<usize>> = HashMap::new();
        for (index, moved) in moved.iter().enumerate() {
            for user in topic.concerned(moved) {
                concerned.entry(user).or_default().push(index);
            }
        }
        // Mostly many are concerned by the same.
        let mut written: HashMap<&[usize], Vec<Arc<Frame>>> = HashMap::new();
        for socket in topic.subscribers.values() {
            let Some(indices) = concerned.get(&socket.user_id) else { continue };
            let frames = written.entry(indices).or_insert_with(|| {
                let theirs: Vec<_> = indices.iter().map(|index| Arc::clone(&each[*index])).collect();
                self.together(conversation, &theirs)
            });
            frames.iter().for_each(|frame| socket.push(frame));
        }
    }

    /// `each` in as few frames as will do.
    fn together(&self, conversation: ConversationId, each: &[Arc<Frame>]) -> Vec<Arc<Frame>> {
        let gather = |part: &[Arc<Frame>]| match part {
            [alone] => Arc::clone(alone),
            _ => self.frame(conversation, self.clock.now(), Happening::Gathered(part.into())),
        };
        each.chunks(TOGETHER).map(gather).collect()
    }

    /// Sends something to those devices of `user` that listen.
    pub(crate) fn tell_own(&self, conversation: ConversationId, user: UserId, frame: &Arc<Frame>) {
        if let Some(topic) = self.topics.get(&conversation) {
            topic.subscribers.values().filter(|socket| socket.user_id == user).for_each(|s| s.push(frame));
        }
    }

    /// Sends something to every device of these people, whatever they listen to.
    pub(crate) fn tell_people(&self, people: &[UserId], frame: &Arc<Frame>) {
        for user in people {
            if let Some(sockets) = self.people.get(user) {
                sockets.iter().for_each(|socket| socket.push(frame));
            }
        }
    }

    /// Sends something to every device of `user`, now.
    pub(crate) fn tell_person(&self, user: UserId, what: Happening) {
        let frame = self.frame(None, self.clock.now(), what);
        self.tell_people(&[user], &frame);
    }

    /// Tells every device of `user` how many messages are left unread in a conversation.
    pub(crate) fn tell_unread(&self, user: UserId, conversation: ConversationId, unread: i64) {
        let what = Happening::UnreadChanged { user_id: user, unread };
        let frame = self.frame(conversation, self.clock.now(), what);
        self.tell_people(&[user], &frame);
    }

    /// Sends something to those who listen, and to every device of these people: once to each.
    pub(crate) fn tell_everyone(&self, conversation: ConversationId, people: &[UserId], frame: &Arc<Frame>) {
        self.tell_people(people, frame);
        if let Some(topic) = self.topics.get(&conversation) {
            let others = topic.subscribers.values().filter(|socket| !people.contains(&socket.user_id));
            others.for_each(|socket| socket.push(frame));
        }
    }

    /// Takes a conversation from all sockets of `user`.
    pub(crate) fn expel(&self, conversation: ConversationId, user: UserId) {
        if let Some(mut topic) = self.topics.get_mut(&conversation) {
            topic.subscribers.retain(|_, socket| socket.user_id != user);
        }
        self.drop_if_empty(conversation);
    }

    pub(crate) fn close_session(&self, user: UserId, session: SessionId, fate: Fate) {
        if let Some(sockets) = self.people.get(&user) {
            sockets.iter().filter(|s| s.session_id == session).for_each(|socket| socket.close(fate));
        }
    }

    /// Closes the sockets of a user, except those of one session.
    pub(crate) fn close_user(&self, user: UserId, except: Option<SessionId>, fate: Fate) {
        if let Some(sockets) = self.people.get(&user) {
            let others = sockets.iter().filter(|s| Some(s.session_id) != except);
            others.for_each(|socket| socket.close(fate));
        }
    }

    /// A socket of the caller, unless they have as many as `most` here.
    pub(super) fn connect(&self, caller: &Caller, most: usize) -> Option<(Arc<Socket>, Inbox)> {
        let mut sockets = self.people.entry(caller.user_id).or_default();
        if sockets.len() >= most {
            drop(sockets);
            self.people.remove_if(&caller.user_id, |_, sockets| sockets.is_empty());
            return None;
        }
        let (queue, frames) = mpsc::channel(QUEUE);
        let (fate_sender, fate) = watch::channel(None);
        let socket = Arc::new(Socket {
            id: self.sockets.fetch_add(1, Ordering::Relaxed),
            user_id: caller.user_id,
            session_id: caller.session_id,
            queue,
            fate: fate_sender,
        });
        sockets.push(Arc::clone(&socket));
        Some((socket, Inbox { frames, fate }))
    }

    /// Forgets a socket that listened to `topics`.
    pub(super) fn disconnect(&self, socket: &Socket, topics: impl Iterator<Item = ConversationId>) {
        let user = socket.user_id;
        if let Some(mut sockets) = self.people.get_mut(&user) {
            sockets.retain(|other| other.id != socket.id);
        }
        self.people.remove_if(&user, |_, sockets| sockets.is_empty());
        for conversation in topics {
            self.leave(conversation, socket);
        }
    }

    pub(super) fn join(&self, conversation: ConversationId, socket: &Arc<Socket>) {
        let mut topic = self.topics.entry(conversation).or_default();
        topic.subscribers.entry(socket.id).or_insert_with(|| Arc::clone(socket));
    }

    pub(super) fn leave(&self, conversation: ConversationId, socket: &Socket) {
        if let Some(mut topic) = self.topics.get_mut(&conversation) {
            topic.subscribers.remove(&socket.id);
        }
        self.drop_if_empty(conversation);
    }

    /// Sends what `socket` says to those who listen, if it still listens itself.
    pub(super) fn tell_from(&self, conversation: ConversationId, socket: &Socket, what: Happening) -> bool {
        let frame = self.frame(conversation, self.clock.now(), what);
        let Some(topic) = self.topics.get(&conversation) else { return false };
        let listens = topic.subscribers.contains_key(&socket.id);
        if listens {
            topic.tell(&frame);
        }
        listens
    }

    /// Whether `socket` listens to `conversation`.
    pub(super) fn hears(&self, conversation: ConversationId, socket: &Socket) -> bool {
        self.topics.get(&conversation).is_some_and(|topic| topic.subscribers.contains_key(&socket.id))
    }

    fn awaited(&self, conversation: ConversationId) -> Awaited {
        self.topics.get(&conversation).map(|topic| topic.awaited()).unwrap_or_default()
    }

    /// Tells what came early, if that is still what it waits for.
    fn release(&self, conversation: ConversationId, awaited: Awaited) {
        let Some(mut topic) = self.topics.get_mut(&conversation) else { return };
        let stuck = topic.awaited().since(awaited);
        if stuck.message.is_some() {
            let held = topic.messages.release();
            topic.tell_in_turn(held);
        }
        if stuck.change.is_some() {
            let held = topic.changes.release();
            topic.tell_in_turn(held);
        }
    }

    fn drop_if_empty(&self, conversation: ConversationId) {
        self.topics.remove_if(&conversation, |_, topic| topic.subscribers.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;
    use alivio_kernel::{ManualClock, Role, SequentialIds};
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_message_that_is_missing_has_its_own_time() {
        let ids = SequentialIds::default();
        let caller = Caller {
            user_id: ids.uuid().into(),
            role: Role::Doctor,
            session_id: ids.uuid().into(),
            address: None,
        };
        let conversation = ids.uuid().into();
        let gap = Arc::new(Notify::new());
        let hub = Arc::new(Hub::new(Arc::new(ManualClock::default()), Arc::new(ids), Arc::clone(&gap)));
        let (socket, inbox) = hub.connect(&caller, 1).expect("one is not too many");
        hub.join(conversation, &socket);
        let publish = |seq| {
            let what = Happening::ConversationCreated { created_by: caller.user_id };
            hub.publish(conversation, seq, hub.frame(conversation, DateTime::UNIX_EPOCH, what));
        };
        publish(1);
        publish(3);
        // Something is always missing, and nothing for long.
        for missing in (2..=40).step_by(2) {
            tokio::time::sleep(SUSPICION / 2).await;
            publish(missing + 3);
            publish(missing);
        }
        assert_eq!(inbox.frames.len(), 41);
        assert!(gap.notified().now_or_never().is_none(), "nobody was suspected");
        // The last of them never comes.
        tokio::time::sleep(3 * SUSPICION + PATIENCE).await;
        assert_eq!(inbox.frames.len(), 42);
        assert!(gap.notified().now_or_never().is_some());
    }

    #[test]
    fn what_was_told_is_told_once_and_remembered_for_a_while() {
        let note = |n: usize| Note {
            kind: "message.updated".to_owned(),
            message: MessageId::from(Uuid::nil()),
            user: None,
            at: DateTime::UNIX_EPOCH + chrono::TimeDelta::microseconds(i64::try_from(n).unwrap()),
        };
        let mut notes = Notes::default();
        assert!(notes.add(note(0)) && !notes.add(note(0)) && notes.has(&note(0)));
        assert!((1..=Notes::ROOM).all(|n| notes.add(note(n))));
        assert!(!notes.add(note(0)) && !notes.add(note(Notes::ROOM)));
        assert!((1..=2 * Notes::ROOM).all(|n| notes.add(note(Notes::ROOM + n))));
        assert!(!notes.has(&note(0)), "not for ever");
    }
}
