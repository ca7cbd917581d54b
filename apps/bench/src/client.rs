//! The people of the demo clinic and their sockets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::progress;

/// A doctor.
pub(crate) const MARIA: &str = "maria.martinez@clinic.example";
/// Another one.
pub(crate) const CARLOS: &str = "carlos.ruiz@clinic.example";
/// Those of the demo clinic who may all talk to each other: a patient brings in only those who attend them.
pub(crate) const COLLEAGUES: [&str; 4] = [MARIA, CARLOS, "admin@clinic.example", "it@clinic.example"];

/// Everyone in the demo clinic.
pub(crate) const EVERYONE: [&str; 7] = [
    "admin@clinic.example",
    MARIA,
    CARLOS,
    "ana.lopez@clinic.example",
    "luis.soto@clinic.example",
    "it@clinic.example",
    "aisha.rehman@clinic.example",
];

/// What passes for no answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The `ref` of the command that resumes.
pub(crate) const RESUME: &str = "resume";
/// The close code for those who read too slowly.
const TOO_SLOW: u16 = 4008;
/// What a socket reads at once, in bytes. The library's own 128 KiB are cleared before each read.
const READ_BUFFER: usize = 16 * 1024;
/// How many sockets are being opened at a time.
pub(crate) const CONNECTING: usize = 32;

/// Some answer lacks something.
const INCOMPLETE: &str = "an answer without what was due";

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// No answer.
    #[error("no answer from the server: {0}; is it running there?")]
    Http(#[from] reqwest::Error),
    /// Another answer than the one that was due.
    #[error("{0}")]
    Refused(String),
    /// A socket broke.
    #[error("a WebSocket broke: {0}")]
    Socket(#[from] tungstenite::Error),
    /// No connection.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server found that a socket reads too slowly: it is to come back and resume.
    #[error("the server let a socket go as too slow")]
    LetGo,
    /// The database refused.
    #[error("the database: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// Silence.
    #[error("the server was silent for {} s", PATIENCE.as_secs())]
    Silence,
}

/// Someone who has signed in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// Who.
    pub(crate) id: String,
    /// Renewed before it expires.
    token: watch::Receiver<String>,
}

impl Person {
    fn token(&self) -> String {
        self.token.borrow().clone()
    }
}

/// The server, and those who use it.
#[derive(Debug)]
pub(crate) struct Clinic {
    http: reqwest::Client,
    /// The first one's.
    url: String,
    /// Every node's.
    nodes: Vec<String>,
    /// Sockets opened so far, on one node after the other.
    opened: AtomicUsize,
    /// In the order of the addresses they signed in with.
    pub(crate) people: Vec<Person>,
}

impl Clinic {
    /// Signs in everyone of `emails` at the first of the nodes in `url`, which are separated by commas.
    pub(crate) async fn sign_in(url: &str, password: &str, emails: &[&str]) -> Result<Self, BenchError> {
        let nodes: Vec<_> = url.split(',').map(|node| node.trim_end_matches('/').to_owned()).collect();
        let url = nodes.first().cloned().unwrap_or_default();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let mut clinic = Self { http, url, nodes, opened: AtomicUsize::new(0), people: Vec::new() };
        for email in emails {
            let answer =
                clinic.post("/auth/login", None, &json!({"email": email, "password": password})).await?;
            let tokens = Tokens::parse(&answer)?;
            let (access, token) = watch::channel(tokens.access.clone());
            clinic.people.push(Person { id: text(&answer["user"]["id"])?, token });
            tokio::spawn(renew(clinic.http.clone(), clinic.url.clone(), tokens, access));
        }
        Ok(clinic)
    }

    /// The id of a new conversation that `by` opens with `others`.
    pub(crate) async fn open_group(
        &self,
        title: &str,
        by: &Person,
        others: &[Person],
    ) -> Result<String, BenchError> {
        let participants: Vec<_> = others.iter().map(|person| &person.id).collect();
        let asked = json!({"type": "group", "title": title, "participants": participants});
        text(&self.post("/conversations", Some(by), &asked).await?["id"])
    }

    /// A socket for each of `wanted`, in that order, subscribed to its conversation.
    pub(crate) async fn connect(&self, wanted: &[(&Person, &str)]) -> Result<Vec<Socket>, BenchError> {
        let bar = progress::of("connecting", wanted.len());
        let sockets =
            stream::iter(wanted.iter().map(|(person, conversation)| self.connect_one(person, conversation)))
                .buffered(CONNECTING)
                .inspect(|_| bar.inc(1))
                .try_collect()
                .await;
        bar.finish_and_clear();
        sockets
    }

    async fn connect_one(&self, person: &Person, conversation: &str) -> Result<Socket, BenchError> {
        let mut socket = self.open(person).await?;
        let subscribe = json!({"type": "subscribe", "ref": "subscribe", "conversation_ids": [conversation]});
        socket.send(subscribe.to_string()).await?;
        loop {
            let frame = timeout(PATIENCE, socket.receive()).await.map_err(|_| BenchError::Silence)??;
            let frame = Frame::parse(&frame)?;
            match frame.kind {
                "ack" => return Ok(socket),
                "error" => return Err(frame.refusal()),
                _ => {}
            }
        }
    }

    /// Another socket for someone who has all up to `last_seq`. What follows, and the answer to [`RESUME`], are yet
    /// to be received.
    pub(crate) async fn resume(
        &self,
        person: &Person,
        conversation: &str,
        last_seq: u64,
    ) -> Result<Socket, BenchError> {
        let mut socket = self.open(person).await?;
        let resume =
            json!({"type": "resume", "ref": RESUME, "conversation_id": conversation, "last_seq": last_seq});
        socket.send(resume.to_string()).await?;
        Ok(socket)
    }

    /// A socket on the next node that listens to nothing yet.
    pub(crate) async fn open(&self, person: &Person) -> Result<Socket, BenchError> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let node = self.nodes.iter().cycle().nth(number % self.nodes.len().max(1)).unwrap_or(&self.url);
        let authority = node.strip_prefix("http://").ok_or_else(|| {
            BenchError::Refused(format!("{node} does not begin with http://; a proxy is not measured here"))
        })?;
        let mut request = format!("ws://{authority}/api/v1/ws").into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", person.token()));
        let bearer = bearer.map_err(|_| BenchError::Refused("a token that no header can hold".to_owned()))?;
        request.headers_mut().insert("Authorization", bearer);
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let small = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let (stream, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(small)).await?;
        Ok(Socket { stream })
    }

    /// Asks for `path`, and reads the answer to its end.
    pub(crate) async fn get(&self, path: &str, by: &Person) -> Result<(), BenchError> {
        let request = self.http.get(format!("{}/api/v1{path}", self.url)).bearer_auth(by.token());
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            Ok(())
        } else {
            Err(BenchError::Refused(format!("GET {path}: {status}: {text}")))
        }
    }

    /// The answer to a request for `path`.
    pub(crate) async fn read(&self, path: &str, by: &Person) -> Result<Value, BenchError> {
        let request = self.http.get(format!("{}/api/v1{path}", self.url)).bearer_auth(by.token());
        let answer = request.send().await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(BenchError::Refused(format!("GET {path}: {status}: {}", answer.text().await?)));
        }
        Ok(answer.json().await?)
    }

    /// The answer to what `by` posts to `path`.
    pub(crate) async fn post_by(&self, path: &str, by: &Person, body: &Value) -> Result<Value, BenchError> {
        self.post(path, Some(by), body).await
    }

    async fn post(&self, path: &str, by: Option<&Person>, body: &Value) -> Result<Value, BenchError> {
        let mut request = self.http.post(format!("{}/api/v1{path}", self.url)).json(body);
        if let Some(person) = by {
            request = request.bearer_auth(person.token());
        }
        let answer = request.send().await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(BenchError::Refused(format!("POST {path}: {status}: {}", answer.text().await?)));
        }
        Ok(answer.json().await?)
    }
}

/// What someone is let in with.
struct Tokens {
    access: String,
    refresh: String,
    lifetime: Duration,
}

impl Tokens {
    fn parse(answer: &Value) -> Result<Self, BenchError> {
        let lifetime =
            answer["expires_in"].as_u64().ok_or_else(|| BenchError::Refused(INCOMPLETE.to_owned()))?;
        Ok(Self {
            access: text(&answer["access_token"])?,
            refresh: text(&answer["refresh_token"])?,
            lifetime: Duration::from_secs(lifetime),
        })
    }
}

/// Swaps tokens in time, for as long as anyone needs them.
async fn renew(http: reqwest::Client, url: String, mut tokens: Tokens, access: watch::Sender<String>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(tokens.lifetime / 2) => {}
            () = access.closed() => return,
        }
        let asked = json!({"refresh_token": tokens.refresh});
        let answer = http.post(format!("{url}/api/v1/auth/refresh")).json(&asked).send().await;
        let Ok(answer) = answer else { continue };
        // Whoever cannot go on is told so by the next answer.
        let Ok(answer) = answer.json().await else { return };
        let Ok(renewed) = Tokens::parse(&answer) else { return };
        tokens = renewed;
        access.send_replace(tokens.access.clone());
    }
}

fn text(value: &Value) -> Result<String, BenchError> {
    value.as_str().map(str::to_owned).ok_or_else(|| BenchError::Refused(INCOMPLETE.to_owned()))
}

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Sends a command at once.
    pub(crate) async fn send(&mut self, command: String) -> Result<(), BenchError> {
        Ok(self.stream.send(Message::text(command)).await?)
    }

    /// Puts a command into the buffer.
    pub(crate) async fn feed(&mut self, command: String) -> Result<(), BenchError> {
        Ok(self.stream.feed(Message::text(command)).await?)
    }

    /// Sends what is in the buffer.
    pub(crate) async fn flush(&mut self) -> Result<(), BenchError> {
        Ok(self.stream.flush().await?)
    }

    /// The next frame of text.
    pub(crate) async fn receive(&mut self) -> Result<Utf8Bytes, BenchError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(frame))) => return Ok(frame),
                Some(Ok(Message::Close(Some(reason)))) if u16::from(reason.code) == TOO_SLOW => {
                    return Err(BenchError::LetGo);
                }
                Some(Ok(Message::Close(reason))) => {
                    let reason = reason.map(|reason| format!("{}: {}", reason.code, reason.reason));
                    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                    return Err(BenchError::Refused(format!("the server closed a socket ({reason})")));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(tungstenite::Error::ConnectionClosed.into()),
            }
        }
    }
}

/// The little that matters of a frame.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame<'a> {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    /// The command it answers.
    #[serde(rename = "ref")]
    pub(crate) reference: Option<&'a str>,
    /// The place of its message in the log.
    pub(crate) seq: Option<u64>,
    /// The rest.
    #[serde(borrow, default)]
    pub(crate) data: FrameData<'a>,
}

/// The little that matters of a frame's data.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct FrameData<'a> {
    /// The sender's name for the message.
    pub(crate) client_message_id: Option<&'a str>,
    /// The place of the message that is acknowledged.
    pub(crate) seq: Option<u64>,
    /// The id of the message that is acknowledged.
    pub(crate) message_id: Option<&'a str>,
    /// The id of the message that is delivered.
    pub(crate) id: Option<&'a str>,
    /// Which wording it has.
    pub(crate) version: Option<u32>,
    /// Who sent it.
    pub(crate) sender: Option<Sender<'a>>,
    error: Option<&'a str>,
}

/// Who sent a message.
#[derive(Debug, Deserialize)]
pub(crate) struct Sender<'a> {
    /// Their id.
    pub(crate) id: &'a str,
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    pub(crate) fn parse(text: &'a str) -> Result<Self, BenchError> {
        serde_json::from_str(text)
            .map_err(|error| BenchError::Refused(format!("a frame that cannot be read: {error}")))
    }

    /// The error it stands for.
    pub(crate) fn refusal(&self) -> BenchError {
        let hint = match self.data.error {
            Some("rate_limited") => "; start the server with ALIVIO_SOCKET_COMMANDS_PER_SECOND=1000000",
            _ => "",
        };
        BenchError::Refused(format!(
            "a command was refused: {}{hint}",
            self.data.error.unwrap_or("no reason given")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_without_copying() {
        let event = r#"{"v":1,"id":"e","type":"message.created","seq":7,"conversation_id":"c","at":"t","actor":"a",
            "data":{"id":"m","content":"\"hola\"","seq":7,"client_message_id":"3-99","sender":{"id":"a"}}}"#;
        let frame = Frame::parse(event).unwrap();
        assert_eq!(
            (frame.kind, frame.seq, frame.data.client_message_id),
            ("message.created", Some(7), Some("3-99"))
        );
        let ack =
            Frame::parse(r#"{"v":1,"type":"ack","ref":"42","data":{"message_id":"m","seq":8}}"#).unwrap();
        assert_eq!((ack.reference, ack.data.seq), (Some("42"), Some(8)));
        let error = r#"{"v":1,"type":"error","ref":null,"data":{"error":"rate_limited","message":"…","details":null}}"#;
        assert!(
            Frame::parse(error).unwrap().refusal().to_string().contains("ALIVIO_SOCKET_COMMANDS_PER_SECOND")
        );
        assert!(Frame::parse("pong").is_err());
    }
}
