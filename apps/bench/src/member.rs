//! One socket in a conversation: sends in a closed loop, and checks what it receives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{BenchError, Clinic, Frame, PATIENCE, Person, RESUME, Socket};
use crate::record::{self, Scribe};
use crate::stats::Seen;
use crate::{Common, progress, talk};
use alivio_checker::{Reader, Recorder};

/// When a sender sends its next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// When one of its own is acknowledged.
    OnAck,
    /// When one of another's arrives: an answer.
    OnDelivery,
    /// When its time has come, whatever became of the one before. Times count from there, so that a server that falls
    /// behind does not look good.
    Every(Duration),
}

/// What a member does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Messages that it begins with.
    pub(crate) first: u16,
    /// When it sends more; `None` for those who only listen.
    pub(crate) next: Option<Next>,
    /// How long its connection lasts, more or less; for ever, if that is not said.
    pub(crate) cut_every: Option<Duration>,
}

impl Part {
    /// Listens only.
    pub(crate) const LISTENER: Self = Self { first: 0, next: None, cut_every: None };
}

/// When a member does what is not an answer to anything.
struct Timer {
    send_at: Option<Instant>,
    cut_at: Option<Instant>,
}

impl Timer {
    fn new(part: Part, schedule: Schedule) -> Self {
        let send_at = match part.next {
            // Not all at the same moment.
            Some(Next::Every(interval)) => Some(schedule.origin + interval.mul_f64(fastrand::f64())),
            _ => None,
        };
        let mut timer = Self { send_at, cut_at: None };
        timer.cut_after(part.cut_every, schedule.origin);
        timer
    }

    /// Between half and one and a half of `every` from `now`.
    fn cut_after(&mut self, every: Option<Duration>, now: Instant) {
        self.cut_at = every.map(|every| now + every.mul_f64(0.5 + fastrand::f64()));
    }

    /// The next of these moments before `until`.
    fn next(&self, until: Instant) -> Option<Instant> {
        self.send_at.into_iter().chain(self.cut_at).filter(|at| *at < until).min()
    }
}

/// The time everything happens in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    origin: Instant,
    from: Instant,
    until: Instant,
}

impl Schedule {
    /// Starts now.
    pub(crate) fn new(common: &Common) -> Self {
        let origin = Instant::now();
        let from = origin + common.warmup();
        Self { origin, from, until: from + common.measured() }
    }

    /// Nanoseconds since the start, as they travel in a message's name.
    fn stamp(&self, now: Instant) -> u128 {
        now.duration_since(self.origin).as_nanos()
    }

    /// How long ago a stamp was made; `None` outside the measured time.
    fn age(&self, now: Instant, stamp: &str) -> Option<Duration> {
        let sent = self.origin + Duration::from_nanos(stamp.parse().ok()?);
        (now >= self.from && now < self.until).then(|| now.saturating_duration_since(sent))
    }
}

/// What the members of a conversation know together.
#[derive(Debug)]
pub(crate) struct Conversation {
    id: String,
    sending: AtomicUsize,
    highest: AtomicU64,
    end: watch::Sender<Option<u64>>,
}

impl Conversation {
    /// A conversation in which so many send.
    pub(crate) fn new(id: String, senders: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            sending: AtomicUsize::new(senders),
            highest: AtomicU64::new(0),
            end: watch::Sender::new(None),
        })
    }

    /// A sender has sent its last, and the highest seq acknowledged to it is this.
    fn leave(&self, highest: u64) {
        self.highest.fetch_max(highest, Ordering::SeqCst);
        if self.sending.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.end.send_replace(Some(self.highest.load(Ordering::SeqCst)));
        }
    }
}

/// Someone in a conversation.
#[derive(Debug)]
pub(crate) struct Member {
    /// Which of the members; names its messages.
    pub(crate) number: usize,
    /// Whose device it is.
    pub(crate) person: Person,
    /// Where it connects to.
    pub(crate) clinic: Arc<Clinic>,
    /// Its connection, subscribed.
    pub(crate) socket: Socket,
    /// Where it is.
    pub(crate) conversation: Arc<Conversation>,
    /// What it does.
    pub(crate) part: Part,
    /// Messages that it has composed.
    pub(crate) said: u64,
    /// Writes down what it does, if there is to be a history; [`play`] sees to that.
    pub(crate) scribe: Option<Scribe>,
}

/// Lets all `members` do their parts in their new conversations, and returns what they have seen.
pub(crate) async fn play(common: &Common, members: Vec<Member>) -> Result<Played, BenchError> {
    let schedule = Schedule::new(common);
    let recorder = common.history.as_ref().map(|_| Recorder::default());
    let clinic = members.first().map(|member| Arc::clone(&member.clinic));
    let mut readers = Vec::new();
    let _shown = progress::over("measuring", common.warmup() + common.measured());
    let mut tasks = JoinSet::new();
    for mut member in members {
        let (id, person) = (&member.conversation.id, &member.person);
        let reader = Reader { process: member.number as u64, user: person.id.clone(), from: 0 };
        readers.push((id.clone(), reader));
        let scribe = recorder.as_ref().map(|recorder| Scribe::new(recorder, member.number, person, id));
        member.scribe = scribe;
        tasks.spawn(member.play(schedule, common.size));
    }
    let mut seen = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        seen.push(ended.map_err(|error| BenchError::Refused(format!("a member failed: {error}")))??);
    }
    let broken = match (&common.history, recorder, clinic) {
        (Some(file), Some(recorder), Some(clinic)) => {
            Some(record::verdict(file, &recorder, &clinic, readers).await?)
        }
        _ => None,
    };
    Ok(Played { seen, broken })
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Played {
    /// What each has seen.
    pub(crate) seen: Vec<Seen>,
    /// The rules that were broken, in words, if a history was written.
    pub(crate) broken: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Send<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "ref")]
    reference: &'a str,
    conversation_id: &'a str,
    client_message_id: &'a str,
    content: &'a str,
}

/// A message that is not acknowledged yet.
struct Sent {
    reference: String,
    command: String,
}

impl Member {
    async fn play(mut self, schedule: Schedule, size: u16) -> Result<Seen, BenchError> {
        let mut seen = Seen::default();
        let mut end = self.conversation.end.subscribe();
        let (mut on_their_way, mut highest) = (VecDeque::new(), 0);
        let mut sending = self.part.next.is_some();
        let own = format!("{}-", self.number);
        let mut timer = Timer::new(self.part, schedule);
        for _ in 0..self.part.first {
            let sent = self.compose(schedule, Instant::now(), &own, size);
            self.socket.feed(sent.command.clone()).await?;
            on_their_way.push_back(sent);
        }
        self.socket.flush().await?;

        loop {
            let now = Instant::now();
            if sending && on_their_way.is_empty() && now >= schedule.until {
                sending = false;
                self.conversation.leave(highest);
            }
            if now < schedule.until {
                if let (Some(due), Some(Next::Every(interval))) = (timer.send_at, self.part.next)
                    && due <= now
                {
                    timer.send_at = Some(due + interval);
                    let sent = self.compose(schedule, due, &own, size);
                    self.send(sent, &mut on_their_way).await?;
                    continue;
                }
                if timer.cut_at.is_some_and(|at| at <= now) {
                    timer.cut_after(self.part.cut_every, now);
                    seen.cuts += 1;
                    self.come_back(seen.sequence.complete_up_to(), &on_their_way).await?;
                    continue;
                }
            }
            let wake = timer.next(schedule.until).unwrap_or(schedule.until);
            let ended = *end.borrow();
            if ended.is_some_and(|end| seen.sequence.is_complete(end)) {
                break;
            }
            let frame = tokio::select! {
                frame = timeout(PATIENCE, self.socket.receive()) => frame,
                // The last one who sends may have sent its last: look again.
                _ = end.changed(), if ended.is_none() => continue,
                () = tokio::time::sleep_until(wake.into()), if now < wake => continue,
            };
            let frame = match frame {
                Ok(Err(BenchError::LetGo | BenchError::Socket(_))) => {
                    seen.reconnects += 1;
                    self.come_back(seen.sequence.complete_up_to(), &on_their_way).await?;
                    continue;
                }
                Ok(frame) => frame?,
                // What has not come by now is lost, which the report says.
                Err(_) if ended.is_some() => break,
                // Nobody had anything to say.
                Err(_) if on_their_way.is_empty() => continue,
                Err(_) => return Err(BenchError::Silence),
            };
            let now = Instant::now();
            let frame = Frame::parse(&frame)?;
            let due = match frame.kind {
                "ack" if frame.reference == Some(RESUME) => None,
                "ack" => {
                    let reference = frame.reference.unwrap_or_default();
                    on_their_way.retain(|sent: &Sent| sent.reference != reference);
                    if let Some(scribe) = &mut self.scribe {
                        scribe.acknowledged(reference, &frame);
                    }
                    highest = highest.max(frame.data.seq.unwrap_or_default());
                    if let Some(age) = schedule.age(now, reference) {
                        seen.acks.record(age);
                    }
                    Some(Next::OnAck)
                }
                "message.created" => {
                    seen.sequence.saw(frame.seq.unwrap_or_default());
                    if let Some(scribe) = &self.scribe {
                        scribe.received(&frame);
                    }
                    let name = frame.data.client_message_id.unwrap_or_default();
                    if let Some(age) = name.rsplit('-').next().and_then(|stamp| schedule.age(now, stamp)) {
                        seen.deliveries.record(age);
                    }
                    (!name.starts_with(&own)).then_some(Next::OnDelivery)
                }
                "error" => return Err(frame.refusal()),
                _ => None,
            };
            if sending && due.is_some() && due == self.part.next && now < schedule.until {
                let sent = self.compose(schedule, Instant::now(), &own, size);
                self.send(sent, &mut on_their_way).await?;
            }
        }
        seen.end = end.borrow().unwrap_or_default();
        Ok(seen)
    }

    async fn send(&mut self, sent: Sent, on_their_way: &mut VecDeque<Sent>) -> Result<(), BenchError> {
        match self.socket.send(sent.command.clone()).await {
            // Why the socket broke is yet to be received; then it is sent again.
            Ok(()) | Err(BenchError::Socket(_)) => on_their_way.push_back(sent),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Connects again, and sends again what was not acknowledged: under the same name it is the same message.
    async fn come_back(&mut self, last_seq: u64, on_their_way: &VecDeque<Sent>) -> Result<(), BenchError> {
        if let Some(scribe) = &mut self.scribe {
            scribe.comes_back(last_seq, on_their_way.iter().map(|sent| &*sent.reference));
        }
        self.socket = self.clinic.resume(&self.person, &self.conversation.id, last_seq).await?;
        for sent in on_their_way {
            self.socket.feed(sent.command.clone()).await?;
        }
        self.socket.flush().await
    }

    /// A message that was due `at`.
    fn compose(&mut self, schedule: Schedule, at: Instant, own: &str, size: u16) -> Sent {
        self.said += 1;
        let content = talk::words((self.number as u64) << 32 | self.said, size);
        let reference = schedule.stamp(at).to_string();
        let client_id = format!("{own}{reference}");
        let send = Send {
            kind: "message.send",
            reference: &reference,
            conversation_id: &self.conversation.id,
            client_message_id: &client_id,
            content: &content,
        };
        // A struct of text always serialises.
        let command = serde_json::to_string(&send).unwrap_or_default();
        if let Some(scribe) = &mut self.scribe {
            scribe.sends(&reference, &client_id, &content);
        }
        Sent { reference, command }
    }
}
