//! Everyone loses the connection at once, and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use crate::client::{BenchError, COLLEAGUES, Clinic, Frame, PATIENCE, Person, RESUME, Socket};
use crate::stats::{Histogram, Outcome, Sequence, Times};
use crate::{Common, talk};

/// Nobody waits longer than this to be let in again.
const GIVE_UP: Duration = Duration::from_secs(60);
/// How long to wait before another try, at first.
const BACK_OFF: Duration = Duration::from_millis(250);

/// Everyone loses the connection at once, and comes back to resume, while messages go on being sent.
///
/// Both sides need as many file descriptors: `ulimit -n 65536`.
#[derive(Debug, Args)]
pub(crate) struct Storm {
    /// Sockets
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sockets: u32,
    /// Conversations that they are spread over
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    conversations: u16,
    /// Messages per second in all
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Over how many seconds those who come back spread themselves
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = crate::seconds)]
    spread: f64,
}

/// How far it has come.
#[derive(Debug, Clone)]
enum Phase {
    Live,
    Cut(Instant),
    /// Where each conversation ended.
    End(Arc<Vec<u64>>),
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Weathered {
    sockets: u32,
    conversations: u16,
    messages: u64,
    connects_per_second: f64,
    /// From the cut until a socket was back and had all that it missed.
    back: Times,
    refusals: u64,
    lost: u64,
    out_of_order: u64,
    repeated: u64,
}

impl Outcome for Weathered {
    fn table(&self) -> String {
        let Self { sockets, conversations, messages, connects_per_second, back, .. } = self;
        let Self { refusals, lost, out_of_order, repeated, .. } = self;
        let Times { p50_ms, p99_ms, max_ms, .. } = back;
        format!(
            "storm: {sockets} sockets in {conversations} conversations, {messages} messages, \
             {connects_per_second:.0} connected per second at first\n\
             back and complete after p50 {p50_ms:.0} ms · p99 {p99_ms:.0} ms · max {max_ms:.0} ms · refused {refusals}\n\
             lost {lost} · out of order {out_of_order} · repeated {repeated}"
        )
    }

    fn is_flawless(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0 && self.repeated == 0
    }
}

impl Storm {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Weathered, BenchError> {
        let clinic = Arc::new(Clinic::sign_in(&common.url, &common.password, &COLLEAGUES).await?);
        let (opener, others) = clinic.people.split_first().ok_or(BenchError::Silence)?;
        let mut ids = Vec::new();
        for number in 0..self.conversations {
            ids.push(clinic.open_group(&format!("bench: storm {number}"), opener, others).await?);
        }
        let ids = Arc::new(ids);
        let places: Vec<_> = (0..self.sockets as usize)
            .map(|number| (&clinic.people[number % clinic.people.len()], number % ids.len()))
            .collect();
        let wanted: Vec<_> = places.iter().map(|(person, place)| (*person, ids[*place].as_str())).collect();
        let began = Instant::now();
        let sockets = clinic.connect(&wanted).await?;
        let connects_per_second = f64::from(self.sockets) / began.elapsed().as_secs_f64();

        let phase = watch::Sender::new(Phase::Live);
        let back = watch::Sender::new(0_u32);
        let mut listeners = JoinSet::new();
        for (socket, (person, place)) in sockets.into_iter().zip(places) {
            let listener = Listener {
                clinic: Arc::clone(&clinic),
                person: person.clone(),
                id: ids[place].clone(),
                place,
                spread: Duration::from_secs_f64(self.spread),
                heard: Heard::default(),
            };
            listeners.spawn(listener.listen(socket, phase.subscribe(), back.clone()));
        }
        let (stop, stopped) = watch::channel(false);
        let sender =
            tokio::spawn(send(Arc::clone(&clinic), Arc::clone(&ids), self.rate, common.size, stopped));

        tokio::time::sleep(common.warmup()).await;
        phase.send_replace(Phase::Cut(Instant::now()));
        let all_back = async { back.subscribe().wait_for(|back| *back == self.sockets).await.map(drop) };
        // Whoever did not make it is in the figures.
        timeout(GIVE_UP, all_back).await.ok();
        tokio::time::sleep(common.warmup()).await;
        stop.send_replace(true);
        let ends = sender.await.map_err(|error| BenchError::Refused(error.to_string()))??;
        let ends = Arc::new(ends);
        phase.send_replace(Phase::End(Arc::clone(&ends)));

        let (mut times, mut weathered) = (Histogram::default(), (0, 0, 0, 0));
        while let Some(heard) = listeners.join_next().await {
            let Heard { back, sequence, refusals, lost } =
                heard.map_err(|error| BenchError::Refused(error.to_string()))??;
            times.add(&back);
            weathered.0 += refusals;
            weathered.1 += lost;
            weathered.2 += sequence.late();
            weathered.3 += sequence.repeated();
        }
        let (refusals, lost, out_of_order, repeated) = weathered;
        Ok(Weathered {
            sockets: self.sockets,
            conversations: self.conversations,
            messages: ends.iter().sum(),
            connects_per_second,
            back: times.summary(),
            refusals,
            lost,
            out_of_order,
            repeated,
        })
    }
}

/// Sends to each of the conversations in turn until it is told to stop, and says where each ended.
async fn send(
    clinic: Arc<Clinic>,
    ids: Arc<Vec<String>>,
    rate: u32,
    size: u16,
    stopped: watch::Receiver<bool>,
) -> Result<Vec<u64>, BenchError> {
    let mut ends = vec![0; ids.len()];
    let mut socket = clinic.open(&clinic.people[0]).await?;
    let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sent, mut acknowledged) = (0_usize, 0_usize);
    while !*stopped.borrow() || acknowledged < sent {
        tokio::select! {
            _ = clock.tick(), if !*stopped.borrow() => {
                let command = json!({
                    "type": "message.send", "ref": sent.to_string(), "conversation_id": ids[sent % ids.len()],
                    "client_message_id": format!("storm-{sent}"), "content": talk::words(sent as u64, size),
                });
                socket.send(command.to_string()).await?;
                sent += 1;
            }
            frame = timeout(PATIENCE, socket.receive()) => {
                let frame = frame.map_err(|_| BenchError::Silence)??;
                let frame = Frame::parse(&frame)?;
                match (frame.kind, frame.reference.and_then(|number| number.parse::<usize>().ok())) {
                    ("ack", Some(number)) => {
                        acknowledged += 1;
                        let end = &mut ends[number % ids.len()];
                        *end = (*end).max(frame.data.seq.unwrap_or_default());
                    }
                    ("error", _) => return Err(frame.refusal()),
                    _ => {}
                }
            }
        }
    }
    Ok(ends)
}

/// What one socket has seen.
#[derive(Debug, Default)]
struct Heard {
    back: Histogram,
    sequence: Sequence,
    refusals: u64,
    lost: u64,
}

/// One of the many.
struct Listener {
    clinic: Arc<Clinic>,
    person: Person,
    id: String,
    place: usize,
    spread: Duration,
    heard: Heard,
}

impl Listener {
    async fn listen(
        mut self,
        mut socket: Socket,
        mut phase: watch::Receiver<Phase>,
        back: watch::Sender<u32>,
    ) -> Result<Heard, BenchError> {
        loop {
            let present = phase.borrow_and_update().clone();
            match present {
                Phase::Cut(at) if self.heard.back.total() == 0 => {
                    drop(socket);
                    socket = self.come_back(at).await?;
                    self.heard.back.record(at.elapsed());
                    back.send_modify(|back| *back += 1);
                    continue;
                }
                Phase::End(ends) => {
                    let end = ends[self.place];
                    while !self.heard.sequence.is_complete(end) {
                        match timeout(PATIENCE, socket.receive()).await {
                            Ok(frame) => self.hear(&frame?)?,
                            // What has not come by now is lost, which the report says.
                            Err(_) => break,
                        };
                    }
                    self.heard.lost = self.heard.sequence.lost(end);
                    return Ok(self.heard);
                }
                Phase::Live | Phase::Cut(_) => {}
            }
            tokio::select! {
                frame = socket.receive() => {
                    self.hear(&frame?)?;
                }
                _ = phase.changed() => {}
            }
        }
    }

    /// Takes note of a frame, and says whether it ends what was missed.
    fn hear(&mut self, frame: &str) -> Result<bool, BenchError> {
        let frame = Frame::parse(frame)?;
        match frame.kind {
            "message.created" => self.heard.sequence.saw(frame.seq.unwrap_or_default()),
            "error" => return Err(frame.refusal()),
            _ => {}
        }
        Ok(frame.kind == "ack" && frame.reference == Some(RESUME))
    }

    /// A new connection that has all that was missed.
    async fn come_back(&mut self, cut: Instant) -> Result<Socket, BenchError> {
        tokio::time::sleep(self.spread.mul_f64(fastrand::f64())).await;
        let mut wait = BACK_OFF;
        loop {
            match self.try_to_come_back().await {
                Ok(socket) => return Ok(socket),
                Err(error) if cut.elapsed() > GIVE_UP => return Err(error),
                Err(_) => self.heard.refusals += 1,
            }
            tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
            wait *= 2;
        }
    }

    async fn try_to_come_back(&mut self) -> Result<Socket, BenchError> {
        let last_seq = self.heard.sequence.complete_up_to();
        let mut socket = self.clinic.resume(&self.person, &self.id, last_seq).await?;
        loop {
            let frame = timeout(PATIENCE, socket.receive()).await.map_err(|_| BenchError::Silence)??;
            if self.hear(&frame)? {
                return Ok(socket);
            }
        }
    }
}
