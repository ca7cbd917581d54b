//! The loop of a socket, whatever words it speaks.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError};
use alivio_accounts::ChosenPresence;
use alivio_kernel::ids::{ConversationId, MessageId};
use alivio_kernel::{Clock, SystemClock};
use alivio_messages::{Anchor, Content, Draft, Emoji, Error, Mark};
use alivio_metrics::{self as metrics, Closing, Delivery, Outcome, sockets};
use alivio_platform::live::{
    ComeBack, Desk, Entry, Fate, Frame, Happening, Inbox, LiveSession, Resumed, Verdict, Vocabulary,
};
use bytestring::ByteString;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use governor::clock::DefaultClock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::answers::{
    Answer, Deletion, Edition, Nothing, Pong, ReactionAnswer, Resumption, Sent, ShownPresence, Standing,
    Subscriptions,
};
use super::authenticate::PROTOCOL;
use super::frames::{MAX_FRAME, guarded};
use crate::catalogue::Language;
use crate::messages::{ReadMarkerBody, WarningBody};
use crate::problem::{Problem, ProblemDetails, Result};
use crate::state::State;

/// A device that says nothing for so long, not even a pong, is gone (WS-09).
const SILENCE: Duration = Duration::from_secs(60);
/// Nor is one there that leaves so many pings unanswered.
const UNANSWERED: u32 = 3;
/// A device that takes nothing for so long is closed, and may resume.
const STUCK: Duration = Duration::from_secs(30);
/// How many events are sent before anything else is looked at.
const GULP: usize = 64;
/// How long a closing frame may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);
/// Closes the sockets of a session that has ended.
const SESSION_OVER: u16 = 4401;

/// What a device asks for.
#[expect(clippy::large_enum_variant, reason = "made once per command, and moved once")]
pub(crate) enum Command {
    /// To hear something else from now on.
    Listen(Listen),
    /// To do something, while it goes on hearing.
    Act(Act),
}

pub(crate) enum Listen {
    Subscribe(Vec<ConversationId>),
    Unsubscribe(Vec<ConversationId>),
    Resume { conversation: ConversationId, last_seq: i64, last_revision: Option<i64>, epoch: Option<Uuid> },
}

#[expect(clippy::large_enum_variant, reason = "made once per command, and moved once")]
pub(crate) enum Act {
    Send { conversation: ConversationId, draft: Draft },
    Edit { message: MessageId, content: Content, version: Option<u32> },
    Delete { message: MessageId },
    React { message: MessageId, emoji: Emoji, is_set: bool },
    Typing { conversation: ConversationId, is_typing: bool },
    Advance { conversation: ConversationId, mark: Mark, target: Anchor },
    ReadNewestOf { conversation: ConversationId, messages: Vec<MessageId> },
    ShowAs(ChosenPresence),
    Ping,
}

impl Act {
    /// Whether it keeps the session from going idle. What devices do by themselves does not (AU-09).
    const fn is_activity(&self) -> bool {
        match self {
            Self::Send { .. }
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::React { .. }
            | Self::Advance { mark: Mark::Read, .. }
            | Self::ReadNewestOf { .. } => true,
            Self::Typing { .. }
            | Self::Advance { mark: Mark::Delivered, .. }
            | Self::ShowAs(_)
            | Self::Ping => false,
        }
    }
}

impl Command {
    const fn measured(&self) -> metrics::Command {
        match self {
            Self::Listen(Listen::Subscribe(_)) => metrics::Command::Subscribe,
            Self::Listen(Listen::Unsubscribe(_)) => metrics::Command::Unsubscribe,
            Self::Listen(Listen::Resume { .. }) => metrics::Command::Resume,
            Self::Act(Act::Send { .. }) => metrics::Command::Send,
            Self::Act(Act::Edit { .. }) => metrics::Command::Edit,
            Self::Act(Act::Delete { .. }) => metrics::Command::Delete,
            Self::Act(Act::React { .. }) => metrics::Command::React,
            Self::Act(Act::Typing { .. }) => metrics::Command::Typing,
            Self::Act(Act::Advance { mark: Mark::Delivered, .. }) => metrics::Command::Ack,
            Self::Act(Act::Advance { mark: Mark::Read, .. } | Act::ReadNewestOf { .. }) => {
                metrics::Command::Read
            }
            Self::Act(Act::ShowAs(_)) => metrics::Command::Presence,
            Self::Act(Act::Ping) => metrics::Command::Ping,
        }
    }
}

impl From<Listen> for Command {
    fn from(listen: Listen) -> Self {
        Self::Listen(listen)
    }
}

impl From<Act> for Command {
    fn from(act: Act) -> Self {
        Self::Act(act)
    }
}

/// A command that has begun.
type Running = LocalBoxFuture<'static, Step>;

/// How far it has come.
enum Step {
    /// It is done.
    Done(Asked, Result<Answer>),
    /// The device may listen now, or is to come back.
    Entered(Asked, Listen, std::result::Result<Entry, ComeBack>),
}

/// What a device has asked for.
struct Asked {
    /// The device's name for it.
    reference: Option<String>,
    command: metrics::Command,
    at: Instant,
}

impl Asked {
    /// What it was, and what is to be done.
    fn now(request: std::result::Result<Request, Refusal>) -> (Self, Result<Command>) {
        let at = Instant::now();
        match request {
            Ok(Request { reference, command }) => {
                (Self { reference, command: command.measured(), at }, Ok(command))
            }
            Err(Refusal { reference, problem }) => {
                (Self { reference, command: metrics::Command::Unknown, at }, Err(problem))
            }
        }
    }
}

/// The question whether the session goes on.
type Checking = LocalBoxFuture<'static, std::result::Result<bool, alivio_accounts::Error>>;

/// A command and the device's name for it.
pub(crate) struct Request {
    pub(crate) reference: Option<String>,
    pub(crate) command: Command,
}

/// A command that could not be understood.
pub(crate) struct Refusal {
    pub(crate) reference: Option<String>,
    pub(crate) problem: Problem,
}

/// The words a socket speaks.
pub(crate) trait Words: 'static {
    fn vocabulary(&self) -> Vocabulary;
    /// What is said first, if anything.
    fn greeting(&self, session: &LiveSession) -> Option<ByteString>;
    fn read(&self, text: &str) -> std::result::Result<Request, Refusal>;
    /// `None` if these words cannot tell such an event.
    fn event(&self, frame: &Frame) -> Option<ByteString>;
    /// `None` if these words have no acknowledgements.
    fn ack(&self, reference: Option<String>, data: Answer) -> Option<ByteString>;
    fn error(&self, reference: Option<String>, problem: ProblemDetails) -> ByteString;
}

/// Answers the handshake and runs the socket in a task of its own.
pub(crate) fn open(
    request: &HttpRequest,
    body: web::Payload,
    state: &State,
    (session, inbox): (LiveSession, Inbox),
    expires_at: DateTime<Utc>,
    words: impl Words,
) -> Result<HttpResponse> {
    let body = web::Payload::from_request(request, &mut guarded(body.into_inner())).now_or_never();
    let upgraded = body
        .and_then(std::result::Result::ok)
        .and_then(|body| actix_ws::handle_with_protocols(request, body, &[PROTOCOL]).ok());
    let (response, sink, stream) =
        upgraded.ok_or_else(|| Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required"))?;
    let stream = stream.max_frame_size(MAX_FRAME).aggregate_continuations().max_continuation_size(MAX_FRAME);
    let rest = (expires_at - SystemClock.now()).to_std().unwrap_or_default();
    let per_second = state.config.socket_commands_per_second;
    let burst = per_second.saturating_mul(const { NonZeroU32::new(2).unwrap() });
    let socket = Socket {
        sink: Sink { session: sink, fate: inbox.fate.clone() },
        session,
        words,
        language: crate::catalogue::negotiate(request.headers()),
        heartbeat: state.config.socket_heartbeat,
        commands: limiter(Quota::per_second(per_second).allow_burst(burst)),
        refusals: limiter(Quota::per_second(NonZeroU32::MIN).allow_burst(burst)),
        told: Told::default(),
    };
    actix_web::rt::spawn(socket.run(stream, inbox, Instant::now() + rest));
    Ok(response)
}

/// All limiters look at one clock: a new one asks the processor what it is, which in a virtual machine was a twelfth of
/// what opening a socket takes.
fn limiter(quota: Quota) -> DefaultDirectRateLimiter {
    static CLOCK: LazyLock<DefaultClock> = LazyLock::new(DefaultClock::default);
    RateLimiter::direct_with_clock(quota, CLOCK.clone())
}

/// Why a socket ends.
enum End {
    /// The other side has gone.
    Gone,
    /// We close it.
    Close(CloseCode, &'static str),
    /// We cannot serve it now.
    Again(ComeBack),
}

/// Of one that sends too much (WS-07).
const FLOOD: End = End::Close(CloseCode::Other(4429), "rate_limited");

impl End {
    fn measured(&self) -> Closing {
        match self {
            Self::Gone => Closing::Gone,
            Self::Close(_, reason) => Closing::named(reason).unwrap_or(Closing::Other),
            Self::Again(_) => Closing::TryAgain,
        }
    }
}

impl From<ComeBack> for End {
    fn from(later: ComeBack) -> Self {
        Self::Again(later)
    }
}

impl From<Fate> for End {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::SessionEnded => Self::Close(CloseCode::Other(SESSION_OVER), "session_ended"),
            Fate::SessionEvicted => Self::Close(CloseCode::Other(SESSION_OVER), "session_evicted"),
            Fate::TooSlow => Self::Close(CloseCode::Other(4008), "too_slow"),
            Fate::Restart => Self::Close(CloseCode::Restart, "restart"),
        }
    }
}

/// The way out. Waits for a slow reader only as long as the hub has patience with it.
struct Sink {
    session: actix_ws::Session,
    fate: watch::Receiver<Option<Fate>>,
}

impl Sink {
    async fn text(&mut self, text: ByteString) -> std::result::Result<(), End> {
        written(self.session.text(text), &mut self.fate).await
    }

    async fn ping(&mut self) -> std::result::Result<(), End> {
        written(self.session.ping(b""), &mut self.fate).await
    }

    async fn pong(&mut self, bytes: &[u8]) -> std::result::Result<(), End> {
        written(self.session.pong(bytes), &mut self.fate).await
    }
}

/// Waits for a frame to leave, for as long as the socket may stay open and the other side reads at all.
async fn written(
    write: impl Future<Output = std::result::Result<(), actix_ws::Closed>>,
    must_close: &mut watch::Receiver<Option<Fate>>,
) -> std::result::Result<(), End> {
    tokio::select! {
        biased;
        sent = write => sent.map_err(|_| End::Gone),
        end = fate(must_close) => Err(end),
        () = tokio::time::sleep(STUCK) => Err(Fate::TooSlow.into()),
    }
}

/// Resolves when the socket must close.
async fn fate(fate: &mut watch::Receiver<Option<Fate>>) -> End {
    match fate.wait_for(Option::is_some).await.map(|fate| *fate) {
        Ok(Some(fate)) => fate.into(),
        _ => End::Gone,
    }
}

struct Socket<W> {
    sink: Sink,
    session: LiveSession,
    words: W,
    language: Language,
    heartbeat: Duration,
    commands: DefaultDirectRateLimiter,
    /// Refusals that are put up with; the limit on commands lets some of a flood through, this does not.
    refusals: DefaultDirectRateLimiter,
    told: Told,
}

/// Events that were sent and are not counted yet. They are counted by the handful: the counters are everybody's, and
/// there may be a million events a second.
#[derive(Default)]
struct Told {
    messages: u64,
    others: u64,
}

impl Told {
    const fn note(&mut self, frame: &Frame) {
        match frame.what {
            Happening::MessageCreated { .. } => self.messages += 1,
            _ => self.others += 1,
        }
    }

    fn count(&mut self) {
        let Self { messages, others } = std::mem::take(self);
        for (delivery, number) in [(Delivery::Message, messages), (Delivery::Other, others)] {
            if number > 0 {
                sockets::DELIVERIES.of(delivery).increment(number);
            }
        }
    }
}

// What is seldom waited for is boxed: otherwise each of ten thousand idle sockets keeps room for it.
impl<W: Words> Socket<W> {
    async fn run(mut self, stream: AggregatedMessageStream, inbox: Inbox, expires: Instant) {
        sockets::OPENED.increment(1);
        let end = match self.serve(stream, inbox, expires).await {
            Err(end) => end,
            Ok(()) => End::Gone,
        };
        self.told.count();
        sockets::CLOSED.of(end.measured()).increment(1);
        let Self { sink: Sink { session: mut sink, .. }, session, words, .. } = self;
        let (code, reason) = match end {
            End::Gone => return,
            End::Close(code, reason) => (code, Cow::Borrowed(reason)),
            End::Again(ComeBack(after)) => {
                (CloseCode::Again, format!("try_again retry_after={}", after.as_secs()).into())
            }
        };
        let last_words = match end {
            End::Close(CloseCode::Other(SESSION_OVER), reason) => words.event(&session.revoked(reason)),
            _ => None,
        };
        drop(session);
        let farewell = async {
            if let Some(last_words) = last_words {
                sink.text(last_words).await?;
            }
            sink.close(Some(CloseReason { code, description: Some(reason.into_owned()) })).await
        };
        drop(tokio::time::timeout(FAREWELL, farewell).await);
    }

    async fn serve(
        &mut self,
        mut stream: AggregatedMessageStream,
        mut inbox: Inbox,
        expires: Instant,
    ) -> std::result::Result<(), End> {
        if let Some(greeting) = self.words.greeting(&self.session) {
            self.sink.text(greeting).await?;
        }
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, patience) = (Instant::now(), patience(self.heartbeat));
        let expired = tokio::time::sleep_until(expires);
        tokio::pin!(expired);
        let mut frames = Vec::with_capacity(GULP);
        // One command at a time, in the order of the device; events go on arriving while it runs.
        let mut running: Option<Running> = None;
        // With every heartbeat: whether the session goes on. That ends those that went idle, that another node has
        // ended, and that ended while their socket was opening.
        let mut checking: Option<Checking> = None;
        loop {
            self.told.count();
            tokio::select! {
                end = fate(&mut inbox.fate) => return Err(end),
                () = &mut expired => return Err(Fate::SessionEnded.into()),
                count = inbox.frames.recv_many(&mut frames, GULP) => {
                    if count == 0 {
                        return Err(End::Gone);
                    }
                    for frame in frames.drain(..) {
                        self.forward(&frame).await?;
                    }
                }
                step = finished(&mut running) => {
                    running = None;
                    // Nothing was listened to meanwhile.
                    heard = Instant::now();
                    match step {
                        Step::Done(asked, outcome) => self.answer(asked, outcome).await?,
                        Step::Entered(asked, listen, entry) => {
                            let outcome = Box::pin(self.listen(listen, Some(entry?))).await?;
                            self.answer(asked, outcome).await?;
                        }
                    }
                }
                message = stream.recv(), if running.is_none() => {
                    heard = Instant::now();
                    running = self.hear(message).await?;
                }
                _ = heartbeat.tick() => {
                    if running.is_none() && heard.elapsed() > patience {
                        return Err(End::Gone);
                    }
                    self.sink.ping().await?;
                    if checking.is_none() {
                        checking = Some(Box::pin(self.session.check()));
                    }
                }
                lives = finished(&mut checking) => {
                    checking = None;
                    // An answer that does not come is no reason to go: the next one may.
                    if lives.is_ok_and(|lives| !lives) {
                        return Err(Fate::SessionEnded.into());
                    }
                }
            }
        }
    }

    async fn hear(
        &mut self,
        message: Option<std::result::Result<AggregatedMessage, ProtocolError>>,
    ) -> std::result::Result<Option<Running>, End> {
        match message {
            Some(Ok(AggregatedMessage::Text(text))) => self.obey(&text).await,
            Some(Ok(AggregatedMessage::Binary(_))) => Err(End::Close(CloseCode::Unsupported, "text_only")),
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                if self.is_flooding() {
                    return Err(FLOOD);
                }
                self.sink.pong(&bytes).await?;
                Ok(None)
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(None),
            Some(Ok(AggregatedMessage::Close(_))) => Err(End::Close(CloseCode::Normal, "bye")),
            Some(Err(ProtocolError::Io(error)))
                if error
                    .get_ref()
                    .is_some_and(|cause| matches!(cause.downcast_ref(), Some(PayloadError::Overflow))) =>
            {
                Err(End::Close(CloseCode::Size, "frame_too_large"))
            }
            Some(Err(ProtocolError::Overflow)) => Err(End::Close(CloseCode::Size, "frame_too_large")),
            Some(Err(ProtocolError::Io(error))) if error.to_string().contains("continuation size") => {
                Err(End::Close(CloseCode::Size, "message_too_large"))
            }
            // It is no mistake in the text, although it is called so.
            Some(Err(ProtocolError::Io(error))) if error.to_string().contains("reserved bits") => {
                Err(End::Close(CloseCode::Protocol, "protocol_error"))
            }
            Some(Err(ProtocolError::Io(error))) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(End::Close(CloseCode::Invalid, "not_utf8"))
            }
            Some(Err(_)) => Err(End::Close(CloseCode::Protocol, "protocol_error")),
            None => Err(End::Gone),
        }
    }

    /// Sends an event on, and whatever must come before it.
    async fn forward(&mut self, frame: &Arc<Frame>) -> std::result::Result<(), End> {
        match self.session.accept(frame) {
            Verdict::Deliver => self.tell(frame).await,
            Verdict::Drop => Ok(()),
            Verdict::Unsure(conversation) => match self.session.catch_up(conversation).await {
                Ok(()) => match self.session.accept(frame) {
                    Verdict::Drop => Ok(()),
                    Verdict::Deliver => self.tell(frame).await,
                    Verdict::Behind(_) | Verdict::Unsure(_) => Box::pin(self.recover(conversation)).await,
                },
                Err(Error::NotFound) => Ok(()),
                Err(_) => Err(self.session.later().into()),
            },
            Verdict::Behind(conversation) => Box::pin(self.recover(conversation)).await,
        }
    }

    /// Sends what is missing before an event, and what the event was about.
    async fn recover(&mut self, conversation: ConversationId) -> std::result::Result<(), End> {
        sockets::RECOVERIES.increment(1);
        let caught_up = match self.session.catch_up(conversation).await {
            Ok(()) => self.replay(conversation, None).await?.map(drop),
            Err(error) => Err(error),
        };
        match caught_up {
            // Someone who was removed is told so by an event of its own.
            Ok(()) | Err(Error::NotFound) => Ok(()),
            Err(_) => Err(self.session.later().into()),
        }
    }

    /// Sends all that the device missed in a conversation: the changes of what it has, then what it has not. How many
    /// messages and changes that were. It gives its place away before it waits for the device: one that reads slowly keeps
    /// nobody out.
    async fn replay(
        &mut self,
        conversation: ConversationId,
        mut entry: Option<Entry>,
    ) -> std::result::Result<std::result::Result<Replayed, Error>, End> {
        let mut replayed = Replayed { messages: 0, changes: 0 };
        loop {
            match self.session.missed_changes(conversation).await {
                Ok(None) => break,
                Ok(Some(frames)) => {
                    drop(entry.take());
                    replayed.changes += self.tell_all(&frames).await?;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        loop {
            match self.session.missed(conversation).await {
                Ok(frames) if frames.is_empty() => return Ok(Ok(replayed)),
                Ok(frames) => {
                    drop(entry.take());
                    replayed.messages += self.tell_all(&frames).await?;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Sends events on, and says how many.
    async fn tell_all(&mut self, frames: &[Arc<Frame>]) -> std::result::Result<usize, End> {
        for frame in frames {
            self.tell(frame).await?;
        }
        Ok(frames.len())
    }

    async fn tell(&mut self, frame: &Frame) -> std::result::Result<(), End> {
        match &frame.what {
            // The documents have words for each alone.
            Happening::Gathered(each) if self.words.vocabulary() != Vocabulary::Canonical => {
                for frame in each.iter() {
                    self.write(frame).await?;
                }
                Ok(())
            }
            _ => self.write(frame).await,
        }
    }

    async fn write(&mut self, frame: &Frame) -> std::result::Result<(), End> {
        let words = &self.words;
        let text = frame.render(words.vocabulary(), |frame| words.event(frame).unwrap_or_default());
        if text.is_empty() {
            return Ok(());
        }
        self.told.note(frame);
        self.sink.text(text).await
    }

    /// Whether the device sends more than can be put up with (WS-07).
    fn is_flooding(&self) -> bool {
        self.commands.check().is_err() && self.refusals.check().is_err()
    }

    /// Answers a command, or begins what takes longer.
    async fn obey(&mut self, text: &str) -> std::result::Result<Option<Running>, End> {
        let (asked, command) = Asked::now(self.words.read(text));
        if self.commands.check().is_err() {
            if self.refusals.check().is_err() {
                sockets::COMMANDS.of((asked.command, Outcome::RateLimited)).increment(1);
                return Err(FLOOD);
            }
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
            self.answer(asked, Err(problem)).await?;
            return Ok(None);
        }
        match command {
            Ok(Command::Act(act)) => {
                let desk = self.session.desk();
                Ok(Some(Box::pin(async move { Step::Done(asked, perform(&desk, act).await) })))
            }
            // Nothing is read for that.
            Ok(Command::Listen(listen @ Listen::Unsubscribe(_))) => {
                let outcome = Box::pin(self.listen(listen, None)).await?;
                self.answer(asked, outcome).await?;
                Ok(None)
            }
            Ok(Command::Listen(listen)) => {
                let entry = self.session.enter();
                Ok(Some(Box::pin(async move { Step::Entered(asked, listen, entry.await) })))
            }
            Err(problem) => {
                self.answer(asked, Err(problem)).await?;
                Ok(None)
            }
        }
    }

    async fn answer(
        &mut self,
        Asked { reference, command, at }: Asked,
        outcome: Result<Answer>,
    ) -> std::result::Result<(), End> {
        let came_of_it = crate::problem::outcome(&outcome);
        sockets::COMMANDS.of((command, came_of_it)).increment(1);
        let answer = match outcome {
            Ok(data) => self.words.ack(reference, data),
            Err(problem) => Some(self.words.error(reference, problem.words(self.language, ""))),
        };
        if let Some(answer) = answer {
            self.sink.text(answer).await?;
        }
        if (command, came_of_it) == (metrics::Command::Send, Outcome::Done) {
            sockets::ACKNOWLEDGEMENT.record(at.elapsed());
        }
        Ok(())
    }

    /// Changes what the socket sends, so nothing else is sent meanwhile.
    async fn listen(
        &mut self,
        listen: Listen,
        entry: Option<Entry>,
    ) -> std::result::Result<Result<Answer>, End> {
        if let Err(error) = self.session.touch().await {
            return Ok(Err(error.into()));
        }
        Ok(match listen {
            Listen::Subscribe(conversations) => match self.session.subscribe(&conversations).await {
                Ok(positions) => {
                    let online = self.session.online(&positions).await;
                    let positions = positions.iter();
                    let subscriptions = positions.map(|(id, position)| Standing::new(&online, *id, position));
                    Ok(Answer::Subscribed(Subscriptions { subscriptions: subscriptions.collect() }))
                }
                Err(error) => Err(error.into()),
            },
            Listen::Unsubscribe(conversations) => {
                self.session.unsubscribe(&conversations);
                Ok(Answer::Nothing(Nothing {}))
            }
            Listen::Resume { conversation, last_seq, last_revision, epoch } => {
                match self.session.resume(conversation, last_seq, last_revision, epoch).await {
                    Ok(resumed) => self.go_on(conversation, resumed, entry).await?,
                    Err(error) => Err(error.into()),
                }
            }
        })
    }

    /// Sends what a device missed, and says where it stands then.
    async fn go_on(
        &mut self,
        conversation: ConversationId,
        Resumed { mut position, gap }: Resumed,
        entry: Option<Entry>,
    ) -> std::result::Result<Result<Answer>, End> {
        if let Some(gap) = &gap {
            sockets::RESUME_GAPS.increment(1);
            self.tell(gap).await?;
        }
        let replayed = match self.replay(conversation, entry).await? {
            Ok(replayed) => replayed,
            Err(error) => {
                // It has some of it and not the rest: it is to resume again before it hears more.
                self.session.unsubscribe(&[conversation]);
                return Ok(Err(error.into()));
            }
        };
        self.session.note_reached(conversation, &mut position);
        let position = [(conversation, position)];
        let online = self.session.online(&position).await;
        let [(_, position)] = &position;
        Ok(Ok(Answer::Resumed(Resumption {
            standing: Standing::new(&online, conversation, position),
            replayed: replayed.messages,
            replayed_changes: replayed.changes,
            gap: gap.is_some(),
        })))
    }
}

/// What was sent again.
struct Replayed {
    messages: usize,
    changes: usize,
}

/// How long a device that is pinged this often may say nothing.
fn patience(heartbeat: Duration) -> Duration {
    SILENCE.min(heartbeat * UNANSWERED)
}

/// Resolves when what runs has finished; never, if nothing runs.
async fn finished<T>(running: &mut Option<LocalBoxFuture<'static, T>>) -> T {
    match running {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn perform(desk: &Desk, act: Act) -> Result<Answer> {
    if act.is_activity() {
        desk.touch().await?;
    }
    let marker = |conversation, moved| Ok(Answer::Marker(ReadMarkerBody::new(conversation, &moved)));
    match act {
        Act::Send { conversation, draft } => {
            let sent = desk.send(conversation, draft).await?;
            Ok(Answer::Sent(Sent {
                message_id: sent.message.id.uuid(),
                seq: sent.message.seq,
                created_at: sent.message.created_at,
                created: sent.created,
                warnings: WarningBody::all(&sent.warnings),
            }))
        }
        Act::Edit { message, content, version } => {
            let now = desk.edit(message, content, version).await?.message;
            let (version, edited_at) = (now.version, now.edited_at);
            Ok(Answer::Edited(Edition { message_id: message.uuid(), version, edited_at }))
        }
        Act::Delete { message } => {
            desk.delete(message).await?;
            Ok(Answer::Deleted(Deletion { message_id: message.uuid() }))
        }
        Act::React { message, emoji, is_set } => {
            desk.react(message, emoji, is_set).await?;
            Ok(Answer::Reacted(ReactionAnswer { message_id: message.uuid(), emoji: emoji.as_str() }))
        }
        Act::Typing { conversation, is_typing } => {
            desk.type_in(conversation, is_typing).await?;
            Ok(Answer::Nothing(Nothing {}))
        }
        Act::Advance { conversation, mark, target } => {
            marker(conversation, desk.advance(conversation, mark, target).await?)
        }
        Act::ReadNewestOf { conversation, messages } => {
            marker(conversation, desk.read_newest_of(conversation, &messages).await?)
        }
        Act::ShowAs(chosen) => {
            desk.show_as(chosen).await?;
            Ok(Answer::ShownAs(ShownPresence { presence: chosen.as_str() }))
        }
        Act::Ping => Ok(Answer::Pong(Pong { at: SystemClock.now() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_silent_for_longer_than_a_minute() {
        for (heartbeat, expected) in [(1, 3), (10, 30), (25, 60), (50, 60)] {
            assert_eq!(patience(Duration::from_secs(heartbeat)), Duration::from_secs(expected));
        }
    }
}
