//! Someone at the API: a person with a token, or nobody in particular.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::time::Duration;

use futures_util::TryFutureExt;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::socket::{Connect, Refused, Socket};

/// A slower answer is a failure.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// A request, before it is sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    bearer: bool,
}

impl Request {
    /// `path` is below `/api/v1`, or absolute if it begins with `//`.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None, bearer: true }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends `value` as JSON.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.raw("application/json", value.to_string())
    }

    /// Sends `body`, whatever it is.
    #[must_use]
    pub fn raw(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("Content-Type", content_type)
    }

    /// Sends a form: fields in order, of which one is a file with its name and its type.
    #[must_use]
    pub fn form(self, fields: &[Part<'_>]) -> Self {
        const BOUNDARY: &str = "a-boundary-that-nothing-contains";
        let mut body = Vec::new();
        for part in fields {
            body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=").as_bytes());
            match part {
                Part::Text(name, value) => body.extend(format!("\"{name}\"\r\n\r\n{value}").as_bytes()),
                Part::File { name, mime, content } => {
                    body.extend(format!("\"file\"; filename=\"{name}\"\r\n").as_bytes());
                    body.extend(format!("Content-Type: {mime}\r\n\r\n").as_bytes());
                    body.extend_from_slice(content);
                }
            }
            body.extend_from_slice(b"\r\n");
        }
        body.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.raw(&format!("multipart/form-data; boundary={BOUNDARY}"), body)
    }

    /// Leaves out the actor's token.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.bearer = false;
        self
    }
}

/// A field of a form.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// Its name and its value.
    Text(&'a str, &'a str),
    /// The file.
    File {
        /// What it is called.
        name: &'a str,
        /// What its sender says that it is.
        mime: &'a str,
        /// What is in it.
        content: &'a [u8],
    },
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request, for messages about a failure.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null if it is none.
    pub json: Value,
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// If it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        self.json
    }

    /// The body of a problem (RFC 9457) with this status and this code.
    ///
    /// # Panics
    /// If it is another, or lacks what every problem has.
    #[track_caller]
    pub fn problem(self, status: u16, error: &str) -> Value {
        let asked = self.asked.clone();
        let json = self.any_problem(status);
        assert_eq!(json["error"], error, "{asked}: {json}");
        json
    }

    /// The body of a problem (RFC 9457) with this status.
    ///
    /// # Panics
    /// If it is another, or lacks what every problem has.
    #[track_caller]
    pub fn any_problem(self, status: u16) -> Value {
        let Self { asked, json, .. } = &self;
        assert_eq!(self.status, status, "{asked}: {}", self.text);
        assert_eq!(self.header("content-type").as_deref(), Some("application/problem+json"), "{asked}");
        assert_eq!(json["status"], status, "{asked}: {}", self.text);
        for field in ["type", "title", "detail", "error", "message", "request_id"] {
            let present = json[field].as_str().is_some_and(|text| !text.is_empty());
            assert!(present, "{asked}: no {field} in {}", self.text);
        }
        assert!(json.get("details").is_some(), "{asked}: no details in {}", self.text);
        assert_eq!(self.header("x-request-id").as_deref(), json["request_id"].as_str(), "{asked}");
        self.json
    }

    /// A header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    /// The body without what differs from request to request.
    #[must_use]
    pub fn comparable(&self) -> Value {
        let mut body = self.json.clone();
        if let Some(body) = body.as_object_mut() {
            body.remove("request_id");
        }
        body
    }
}

/// Someone at the API. Clones share the tokens they were cloned with.
#[derive(Debug, Clone)]
pub struct Actor {
    address: watch::Receiver<Option<String>>,
    http: reqwest::Client,
    /// Who they are; empty if nobody in particular.
    pub id: String,
    /// Their account, as the sign-in answered it.
    pub user: Value,
    /// Their access token.
    pub access_token: Option<String>,
    /// Their refresh token.
    pub refresh_token: String,
}

impl Actor {
    pub(crate) fn new(address: watch::Receiver<Option<String>>) -> Self {
        let http =
            reqwest::Client::builder().no_proxy().timeout(REQUEST_PATIENCE).build().expect("an HTTP client");
        Self {
            address,
            http,
            id: String::new(),
            user: Value::Null,
            access_token: None,
            refresh_token: String::new(),
        }
    }

    /// The same place, as whoever the answer to a sign-in or a refresh says.
    ///
    /// # Panics
    /// If it is no such answer.
    #[must_use]
    #[track_caller]
    pub fn with_sign_in(&self, answer: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("text in the answer to a sign-in").to_owned();
        Self {
            id: text(&answer["user"]["id"]),
            user: answer["user"].clone(),
            access_token: Some(text(&answer["access_token"])),
            refresh_token: text(&answer["refresh_token"]),
            ..self.clone()
        }
    }

    /// The same person, who finds the server elsewhere: at another node, or behind a [proxy](crate::proxy).
    #[must_use]
    pub fn at(&self, address: watch::Receiver<Option<String>>) -> Self {
        Self { address, ..self.clone() }
    }

    /// The same place with another access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { access_token: Some(token.to_owned()), ..self.clone() }
    }

    /// The access token.
    ///
    /// # Panics
    /// If they have none.
    #[must_use]
    pub fn token(&self) -> &str {
        self.access_token.as_deref().expect("not signed in")
    }

    /// Sends a request whose answer may be lost: the server may be going down.
    ///
    /// # Errors
    /// If the answer is lost, or the server does not run.
    ///
    /// # Panics
    /// If the server answers that it broke (5xx other than 503 and 507).
    pub async fn try_request(&self, request: Request) -> Result<Answer, LostAnswer> {
        let base = self.address.borrow().clone().ok_or(LostAnswer)?;
        let url = match request.path.strip_prefix("//") {
            Some(path) => format!("{base}/{path}"),
            None => format!("{base}/api/v1{}", request.path),
        };
        let asked = format!("{} {}", request.method, request.path);
        let mut builder = self.http.request(request.method, url);
        for (name, value) in request.headers {
            // Bytes, as a client may well send others than ASCII.
            builder =
                builder.header(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"));
        }
        if let (true, Some(token)) = (request.bearer, &self.access_token) {
            builder = builder.bearer_auth(token);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().map_err(|_| LostAnswer).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().map_err(|_| LostAnswer).await?.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(status < 500 || matches!(status, 503 | 507), "{asked} broke the server: {status} {text}");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { asked, status, headers, bytes, text, json })
    }

    /// Sends a request.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn request(&self, request: Request) -> Answer {
        let asked = format!("{} {}", request.method, request.path);
        self.try_request(request).await.unwrap_or_else(|lost| panic!("{asked}: {lost}"))
    }

    /// `GET`; `path` is below `/api/v1`, as everywhere here.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Request::new(Method::GET, path)).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Request::new(Method::POST, path).json(body)).await
    }

    /// `PUT`.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.request(Request::new(Method::PUT, path).json(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Request::new(Method::DELETE, path)).await
    }

    /// The id of the direct conversation with `user_id`, which is opened if there is none.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn open_direct(&self, user_id: &str) -> String {
        let answer = self.post("/conversations/direct", &json!({"user_id": user_id})).await;
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text);
        id_of(&answer.json)
    }

    /// The id of a new group.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn open_group(&self, title: &str, participants: &[&Self]) -> String {
        let participants: Vec<_> = participants.iter().map(|actor| &actor.id).collect();
        let body = json!({"type": "group", "title": title, "participants": participants});
        id_of(&self.post("/conversations", &body).await.expect(201))
    }

    /// A conversation.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn conversation(&self, conversation: &str) -> Value {
        self.get(&format!("/conversations/{conversation}")).await.expect(200)
    }

    /// Sends a message and returns it.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn send(&self, conversation: &str, content: &str) -> Value {
        self.post(&format!("/conversations/{conversation}/messages"), &json!({"content": content}))
            .await
            .expect(201)
    }

    /// One page of messages; `query` begins with `?` unless it is empty.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn page(&self, conversation: &str, query: &str) -> Value {
        self.get(&format!("/conversations/{conversation}/messages{query}")).await.expect(200)
    }

    /// All messages, oldest first, page by page.
    ///
    /// # Panics
    /// If they cannot be read.
    pub async fn history(&self, conversation: &str) -> Vec<Value> {
        self.all_pages(conversation, "?page_size=100").await
    }

    /// All of a conversation, what was taken back or has expired, too.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn log(&self, conversation: &str) -> Vec<Value> {
        self.all_pages(conversation, "?include_deleted=true&page_size=100").await
    }

    /// What all pages of `query` hold, oldest first.
    async fn all_pages(&self, conversation: &str, query: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut next = query.to_owned();
        loop {
            let page = self.page(conversation, &next).await;
            all.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("{query}&before={cursor}"),
                None => break,
            }
        }
        all.reverse();
        all
    }

    /// Marks all up to this message as read.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn read_up_to(&self, conversation: &str, message_id: &str) -> Value {
        let path = format!("/conversations/{conversation}/read-marker");
        self.put(&path, &json!({"message_id": message_id})).await.expect(200)
    }

    /// A new ticket for a WebSocket.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn ticket(&self) -> String {
        let answer = self.request(Request::new(Method::POST, "/ws/tickets")).await.expect(201);
        assert_eq!(answer["expires_in"], 30, "{answer}");
        answer["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// A WebSocket, past its greeting.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn connect(&self) -> Socket {
        self.try_connect(self.knock()).await.unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// A WebSocket, past its greeting, that receives what happens in `conversation`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn connect_to(&self, conversation: &str) -> Socket {
        let mut socket = self.connect().await;
        socket.subscribe(&[conversation]).await;
        socket
    }

    /// The usual way to ask for a WebSocket: with the token in a header.
    #[must_use]
    pub fn knock(&self) -> Connect {
        Connect::new("/api/v1/ws").bearer(self.token())
    }

    /// A WebSocket asked for in any way.
    ///
    /// # Errors
    /// If the server refuses it, does not run, or goes away.
    pub async fn try_connect(&self, connect: Connect) -> Result<Socket, Refused> {
        let base = self.address.borrow().clone().ok_or_else(Refused::nobody_there)?;
        connect.send(&base).await
    }
}

/// The request or its answer got lost on the way: what it asked for may or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is lost")]
pub struct LostAnswer;

#[track_caller]
fn id_of(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}
