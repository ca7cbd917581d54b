//! A WebSocket client that waits for what it is told to, never for longer than it should, and keeps the rest.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{SplitSink, StreamExt};
use futures_util::{SinkExt, Stream};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::contract;
use crate::server::PATIENCE;

/// What a socket reads at once, in bytes. The library's own 128 KiB are cleared before each read.
const READ_BUFFER: usize = 16 * 1024;

/// How to ask for a WebSocket.
#[derive(Debug, Clone)]
pub struct Connect {
    path: String,
    headers: Vec<(String, String)>,
    receive_buffer: Option<u32>,
    greeted: bool,
    checked: bool,
}

impl Connect {
    /// `path` with its query.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        let path = path.into();
        // The documented dialect begins without a word.
        let greeted = !path.starts_with("/ws/chat/");
        Self { path, headers: Vec::new(), receive_buffer: None, greeted, checked: true }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Presents an access token in a header.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Offers sub-protocols, which is how browsers present a token.
    #[must_use]
    pub fn protocols(self, protocols: &str) -> Self {
        self.header("Sec-WebSocket-Protocol", protocols)
    }

    /// Leaves the kernel this much room for what was not read yet.
    #[must_use]
    pub const fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Does not hold the frames against the document: for those who receive very many.
    #[must_use]
    pub const fn unchecked(mut self) -> Self {
        self.checked = false;
        self
    }

    /// Opens the connection and returns it with the server's headers, nothing read yet.
    ///
    /// # Errors
    /// If the server refuses it or goes away.
    pub async fn open(self, base: &str) -> Result<(WebSocketStream<TcpStream>, HeaderMap), Refused> {
        let authority = base.strip_prefix("http://").unwrap_or(base);
        let mut request = format!("ws://{authority}{}", self.path).into_client_request()?;
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().expect("a header's name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(authority.parse().expect("an address")).await?;
        stream.set_nodelay(true)?;
        let small = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(small));
        let (stream, response) =
            timeout(PATIENCE, handshake).await.map_err(|_| Refused::nobody_there())??;
        Ok((stream, response.headers().clone()))
    }

    pub(crate) async fn send(self, base: &str) -> Result<Socket, Refused> {
        let (greeted, checked) = (self.greeted, self.greeted && self.checked);
        let (stream, headers) = self.open(base).await?;
        let mut socket = Socket::new(stream, headers, checked);
        if greeted {
            let ready = socket.try_find(|frame| frame["type"] == "ready").await;
            let ready = ready.ok_or_else(Refused::nobody_there)?;
            assert_eq!(ready["v"], 1, "{ready}");
            socket.ready = ready["data"].clone();
        }
        Ok(socket)
    }
}

/// Why there is no WebSocket.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no WebSocket: {status:?} {body}")]
pub struct Refused {
    /// The status, if an answer came.
    pub status: Option<u16>,
    /// The body of the answer; else what happened.
    pub body: String,
}

impl Refused {
    pub(crate) fn nobody_there() -> Self {
        Self { status: None, body: "nobody there".to_owned() }
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self { status: None, body: error.to_string() }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Http(response) => Self {
                status: Some(response.status().as_u16()),
                body: String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned(),
            },
            error => Self { status: None, body: error.to_string() },
        }
    }
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// With a close frame and its reason; 1005 stands for one without a code.
    Closed(u16, String),
    /// Without one.
    Lost,
}

/// An open WebSocket. What arrives is kept in order until it is asked for.
#[derive(Debug)]
pub struct Socket {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    incoming: mpsc::UnboundedReceiver<Result<Value, End>>,
    kept: VecDeque<Value>,
    /// The commands that were not answered yet; `None` if what it says is not held against the document.
    asked: Option<HashMap<String, Value>>,
    end: Option<End>,
    /// The headers of the handshake's answer.
    pub headers: HeaderMap,
    /// What the server greeted with: `{user_id, session_id}`.
    pub ready: Value,
}

impl Socket {
    fn new(stream: WebSocketStream<TcpStream>, headers: HeaderMap, checked: bool) -> Self {
        let (sink, stream) = stream.split();
        let (sender, incoming) = mpsc::unbounded_channel();
        // Reads whatever the test is doing: a client that does not is told to go as too slow.
        tokio::spawn(read_all(stream, sender));
        let asked = checked.then(HashMap::new);
        Self { sink, incoming, kept: VecDeque::new(), asked, end: None, headers, ready: Value::Null }
    }

    /// Sends a command, adding a new `ref`, which is returned.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn command(&mut self, command: Value) -> String {
        self.try_command(command).await.unwrap_or_else(|| panic!("the socket has ended: {:?}", self.end))
    }

    /// Sends a command, adding a new `ref`, which is returned; `None` if the connection is gone.
    pub async fn try_command(&mut self, mut command: Value) -> Option<String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let reference = format!("r{}", NEXT.fetch_add(1, Ordering::Relaxed));
        command["ref"] = json!(reference);
        let text = command.to_string();
        if let Some(asked) = &mut self.asked {
            asked.insert(reference.clone(), command);
        }
        self.try_text(&text).await.then_some(reference)
    }

    /// Sends a frame of text as it is.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn text(&mut self, text: &str) {
        assert!(self.try_text(text).await, "the socket has ended: {:?}", self.end);
    }

    /// Sends a frame of text as it is; `false` if the connection is gone.
    pub async fn try_text(&mut self, text: &str) -> bool {
        self.sink.send(Message::text(text)).await.is_ok()
    }

    /// Sends a binary frame; `false` if the connection is gone.
    pub async fn try_binary(&mut self, bytes: Vec<u8>) -> bool {
        self.sink.send(Message::binary(bytes)).await.is_ok()
    }

    /// Sends one text message in as many frames as there are `parts`; `false` if the connection is gone.
    pub async fn try_fragments(&mut self, parts: &[&[u8]]) -> bool {
        for (index, part) in parts.iter().enumerate() {
            let data = if index == 0 { Data::Text } else { Data::Continue };
            let last = index + 1 == parts.len();
            let frame = Frame::message(Bytes::copy_from_slice(part), OpCode::Data(data), last);
            if self.sink.send(Message::Frame(frame)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // Gone already is as good.
        self.sink.close().await.ok();
        self.close_code().await;
    }

    /// The next frame, whatever it is and however long it takes; `None` if the connection ends.
    pub async fn next(&mut self) -> Option<Value> {
        match self.kept.pop_front() {
            Some(frame) => Some(frame),
            None => self.receive().await,
        }
    }

    /// The first frame that `matches`, kept or yet to come; `None` if the connection ends before.
    ///
    /// # Panics
    /// If neither happens in time.
    pub async fn try_find(&mut self, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        if let Some(index) = self.kept.iter().position(&matches) {
            return self.kept.remove(index);
        }
        loop {
            let frame = timeout(PATIENCE, self.receive()).await;
            let frame =
                frame.unwrap_or_else(|_| panic!("not within {PATIENCE:?}; kept: {:#?}", self.kept))?;
            if matches(&frame) {
                return Some(frame);
            }
            self.kept.push_back(frame);
        }
    }

    /// The first frame that `matches`, kept or yet to come.
    ///
    /// # Panics
    /// If none comes.
    pub async fn find(&mut self, matches: impl Fn(&Value) -> bool) -> Value {
        let found = self.try_find(matches).await;
        found.unwrap_or_else(|| panic!("the socket has ended: {:?}; kept: {:#?}", self.end, self.kept))
    }

    /// The next event of this type; those of other types are kept.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next_event(&mut self, kind: &str) -> Value {
        let event = self.find(|frame| frame["type"] == kind).await;
        // The documented dialect has another envelope, and errors are no events.
        if event.get("v").is_some() && kind != "error" {
            assert_eq!(event["v"], 1, "{event}");
            for field in ["id", "conversation_id", "at", "data"] {
                assert!(!event[field].is_null(), "no {field} in {event}");
            }
        }
        event
    }

    /// The answer to a command: its data, or its error.
    ///
    /// # Panics
    /// If none comes.
    pub async fn answer(&mut self, reference: &str) -> Result<Value, Value> {
        let answer = self.try_answer(reference).await;
        answer.unwrap_or_else(|| panic!("the socket has ended: {:?}", self.end))
    }

    /// The answer to a command: its data, or its error; `None` if the connection ends before.
    ///
    /// # Panics
    /// If neither happens in time.
    pub async fn try_answer(&mut self, reference: &str) -> Option<Result<Value, Value>> {
        let is_answer = |f: &Value| f["ref"] == reference && (f["type"] == "ack" || f["type"] == "error");
        let frame = self.try_find(is_answer).await?;
        assert_eq!(frame["v"], 1, "{frame}");
        let data = frame["data"].clone();
        Some(if frame["type"] == "ack" { Ok(data) } else { Err(data) })
    }

    /// The data of the `ack` of a command.
    ///
    /// # Panics
    /// If it is answered with an error, or not at all.
    pub async fn expect_ack(&mut self, reference: &str) -> Value {
        self.answer(reference).await.unwrap_or_else(|error| panic!("refused: {error}"))
    }

    /// The data of the `error` that answers a command: `{error, message, details}`.
    ///
    /// # Panics
    /// If it is acknowledged, or not answered at all.
    pub async fn expect_error(&mut self, reference: &str) -> Value {
        let error = self.answer(reference).await.expect_err("acknowledged, where an error was due");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        error
    }

    /// Sends a command and returns the data of its `ack`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn call(&mut self, command: Value) -> Value {
        let reference = self.command(command).await;
        self.expect_ack(&reference).await
    }

    /// Sends a command and returns the code of the error that answers it.
    ///
    /// # Panics
    /// If it is acknowledged.
    pub async fn call_refused(&mut self, command: Value) -> String {
        let reference = self.command(command).await;
        let error = self.expect_error(&reference).await;
        error["error"].as_str().expect("an error's code").to_owned()
    }

    /// Subscribes to `conversations`.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn subscribe(&mut self, conversations: &[&str]) -> Value {
        self.call(json!({"type": "subscribe", "conversation_ids": conversations})).await
    }

    /// Sends a message and returns the data of its `ack`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn send(&mut self, conversation: &str, client_message_id: &str, content: &str) -> Value {
        self.call(send_command(conversation, client_message_id, content)).await
    }

    /// All frames that were not asked for before, once no more come: nothing but its answer after each of several
    /// `ping`s. One would not do, as the server may answer before it sends on what it has in its queue.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn settled(&mut self) -> Vec<Value> {
        const QUIET: usize = 3;
        let (mut quiet, mut before) = (0, self.kept.len());
        while quiet < QUIET {
            self.call(json!({"type": "ping"})).await;
            quiet = if self.kept.len() == before { quiet + 1 } else { 0 };
            before = self.kept.len();
        }
        self.kept.drain(..).collect()
    }

    /// The code that the server closes with; `None` if the connection ends without one. What is kept stays.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn close_code(&mut self) -> Option<u16> {
        let ended = timeout(PATIENCE, async {
            while let Some(frame) = self.receive().await {
                self.kept.push_back(frame);
            }
        });
        ended.await.unwrap_or_else(|_| panic!("not closed within {PATIENCE:?}; kept: {:#?}", self.kept));
        match self.end {
            Some(End::Closed(code, _)) => Some(code),
            _ => None,
        }
    }

    /// The reason that the server closed with, once it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<&str> {
        match &self.end {
            Some(End::Closed(_, reason)) => Some(reason),
            _ => None,
        }
    }

    /// Gives away all frames that were kept.
    pub fn take_kept(&mut self) -> Vec<Value> {
        self.kept.drain(..).collect()
    }

    /// Holds a frame against the document, and the command that it acknowledges, too.
    fn check(&mut self, frame: &Value) {
        let Some(asked) = &mut self.asked else { return };
        let name = frame["type"].as_str().unwrap_or_default();
        if name != "ack" {
            contract::check(name, frame);
            return;
        }
        let Some(command) = frame["ref"].as_str().and_then(|reference| asked.remove(reference)) else {
            return;
        };
        let name = command["type"].as_str().unwrap_or_default();
        contract::check(name, &command);
        contract::check(&format!("{name}.ack"), frame);
    }

    async fn receive(&mut self) -> Option<Value> {
        if self.end.is_some() {
            return None;
        }
        match self.incoming.recv().await {
            Some(Ok(frame)) => {
                self.check(&frame);
                Some(frame)
            }
            Some(Err(end)) => {
                self.end = Some(end);
                None
            }
            None => {
                self.end = Some(End::Lost);
                None
            }
        }
    }
}

/// The command that sends a message.
#[must_use]
pub fn send_command(conversation: &str, client_message_id: &str, content: &str) -> Value {
    json!({
        "type": "message.send",
        "conversation_id": conversation,
        "client_message_id": client_message_id,
        "content": content,
    })
}

async fn read_all(
    mut stream: impl Stream<Item = Result<Message, Error>> + Unpin,
    frames: mpsc::UnboundedSender<Result<Value, End>>,
) {
    let end = loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame = serde_json::from_str(&text);
                let frame = frame.unwrap_or_else(|_| json!({"type": "not JSON", "text": text.as_str()}));
                if frames.send(Ok(frame)).is_err() {
                    return;
                }
            }
            Some(Ok(Message::Close(frame))) => {
                let closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                let (code, reason) = closed.unwrap_or((1005, String::new()));
                break End::Closed(code, reason);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break End::Lost,
        }
    };
    frames.send(Err(end)).ok();
    // Completes the closing handshake.
    while timeout(Duration::from_secs(1), stream.next())
        .await
        .is_ok_and(|item| item.is_some_and(|i| i.is_ok()))
    {}
}
