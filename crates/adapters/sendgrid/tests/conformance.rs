//! Against a server of our own that answers as SendGrid documents, and as it should not.
#![cfg(test)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alivio_kernel::ids::{EventId, Uuid};
use alivio_kernel::{Language, Sensitive};
use alivio_notifications::testing::{Arrived, Conduct, Fixture, World};
use alivio_notifications::{MailError, Mailer, RenderedMail};
use alivio_sendgrid::{CheckError, SendGrid, SendGridOptions};
use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to answer.
#[derive(Debug, Clone)]
enum Reply {
    Conduct(Conduct),
    /// These bytes.
    Exactly(String),
    /// 202 and a body of 100 MB.
    HugeBody,
    /// One byte of the status line every 100 ms.
    SlowDrip,
}

#[derive(Debug, Clone)]
struct Request {
    head: String,
    body: Value,
}

struct Server {
    url: String,
    reply: Mutex<Reply>,
    /// All that was asked.
    asked: Mutex<Vec<Request>>,
    /// What was taken.
    taken: Mutex<Vec<Request>>,
    /// Megabytes of a huge body that found somewhere to go.
    written: AtomicUsize,
}

const KEY: &str = "SG.not-a-real-key";

impl Server {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            reply: Mutex::new(Reply::Conduct(Conduct::Accept)),
            asked: Mutex::default(),
            taken: Mutex::default(),
            written: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&accepting);
                // A client that hangs up is its own business.
                tokio::spawn(async move { server.answer(stream).await.ok() });
            }
        });
        server
    }

    fn mailer(&self) -> SendGrid {
        let mut options = SendGridOptions::new(Sensitive::new(KEY.to_owned()), "avisos@clinic.example");
        options.base_url.clone_from(&self.url);
        options.timeout = Duration::from_millis(800);
        SendGrid::new(options).unwrap()
    }

    fn reply(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = read(&mut stream).await?;
        self.asked.lock().unwrap().push(request.clone());
        let reply = self.reply.lock().unwrap().clone();
        let (status, headers) = match reply {
            Reply::Conduct(Conduct::Accept) => {
                self.taken.lock().unwrap().push(request);
                ("202 Accepted", String::new())
            }
            // What SendGrid says quotes what it was sent.
            Reply::Conduct(Conduct::Refuse) => ("400 Bad Request", format!("X-Quote: {}\r\n", request.body)),
            Reply::Conduct(Conduct::Busy(wait)) => {
                ("429 Too Many Requests", format!("Retry-After: {}\r\n", wait.as_secs()))
            }
            Reply::Conduct(Conduct::Silent) => return std::future::pending().await,
            Reply::Conduct(Conduct::HangUp) => return Ok(()),
            Reply::Conduct(Conduct::Endless) => {
                stream.write_all(b"HTTP/1.1 202 Accepted\r\n").await?;
                loop {
                    stream.write_all(format!("X-More: {}\r\n", "x".repeat(1000)).as_bytes()).await?;
                }
            }
            Reply::Exactly(answer) => {
                stream.write_all(answer.as_bytes()).await?;
                return stream.shutdown().await;
            }
            Reply::HugeBody => {
                self.taken.lock().unwrap().push(request);
                stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100000000\r\n\r\n").await?;
                for _ in 0..100 {
                    stream.write_all(&vec![b'x'; 1_000_000]).await?;
                    self.written.fetch_add(1, Ordering::Relaxed);
                }
                return Ok(());
            }
            Reply::SlowDrip => {
                for byte in b"HTTP/1.1 202 Accepted\r\n\r\n" {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                return Ok(());
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Request> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                let body = serde_json::from_str(body).unwrap_or_default();
                return Ok(Request { head: head.to_owned(), body });
            }
        }
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[async_trait]
impl World for Server {
    async fn arrived(&self) -> Vec<Arrived> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let arrived = |request: &Request| {
            let mail = &request.body;
            let person = &mail["personalizations"][0];
            assert_eq!(mail["content"][0]["type"], "text/plain");
            assert_eq!(mail["content"][1]["type"], "text/html");
            let identity = text(&person["custom_args"]["mail_id"]);
            assert!(text(&mail["headers"]["Message-ID"]).contains(&identity));
            Arrived {
                identity,
                to: text(&person["to"][0]["email"]),
                subject: text(&mail["subject"]),
                text: text(&mail["content"][0]["value"]),
                html: text(&mail["content"][1]["value"]),
            }
        };
        self.taken.lock().unwrap().iter().map(arrived).collect()
    }

    async fn behave(&self, conduct: Conduct) -> bool {
        self.reply(Reply::Conduct(conduct));
        true
    }
}

async fn fresh() -> Fixture {
    let server = Server::start().await;
    Fixture { mailer: Arc::new(server.mailer()), world: server }
}

alivio_notifications::mailer_conformance!(fresh);

fn mail() -> RenderedMail {
    RenderedMail {
        id: EventId::from(Uuid::from_u128(1)),
        to: Sensitive::new("ana@clinic.example".to_owned()),
        language: Language::Spanish,
        kind: "password_changed",
        subject: "s".to_owned(),
        text: Sensitive::new("t".to_owned()),
        html: Sensitive::new("h".to_owned()),
    }
}

fn answer(status: &str, headers: &str) -> Reply {
    Reply::Exactly(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"))
}

async fn sent(reply: Reply) -> Result<(), MailError> {
    let server = Server::start().await;
    server.reply(reply);
    server.mailer().send(&mail()).await
}

#[tokio::test]
async fn a_mail_is_posted_as_documented() {
    let server = Server::start().await;
    server.mailer().send(&mail()).await.unwrap();
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].head.starts_with("POST /v3/mail/send HTTP/1.1\r\n"), "{}", asked[0].head);
    assert!(
        asked[0].head.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {KEY}")))
    );
    let body = &asked[0].body;
    assert_eq!(body["from"]["email"], "avisos@clinic.example");
    assert_eq!(body["headers"]["Message-ID"], "<00000000-0000-0000-0000-000000000001@clinic.example>");
    // Nobody follows the reader, and no link is led through someone else.
    assert_eq!(body["tracking_settings"]["click_tracking"]["enable"], false);
    assert_eq!(body["tracking_settings"]["open_tracking"]["enable"], false);
}

#[tokio::test]
async fn each_status_means_what_it_should() {
    for status in ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "413 Payload Too Large"] {
        let refused = sent(answer(status, "")).await;
        let code = status[..3].parse().ok();
        assert!(
            matches!(refused, Err(MailError::Refused { status }) if status == code),
            "{status}: {refused:?}"
        );
    }
    for (status, headers, wait) in [
        ("429 Too Many Requests", "Retry-After: 30\r\n", Some(30)),
        ("429 Too Many Requests", "", None),
        ("429 Too Many Requests", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", None),
        ("429 Too Many Requests", "Retry-After: -1\r\n", None),
        ("503 Service Unavailable", "Retry-After: 99999999\r\n", Some(3600)),
        ("500 Internal Server Error", "", None),
        ("408 Request Timeout", "", None),
        ("301 Moved Permanently", "Location: /elsewhere\r\n", None),
    ] {
        let failed = sent(answer(status, headers)).await;
        let wait = wait.map(Duration::from_secs);
        assert!(
            matches!(failed, Err(MailError::Unavailable { retry_after, .. }) if retry_after == wait),
            "{status} {headers}: {failed:?}"
        );
    }
    sent(answer("200 OK", "")).await.unwrap();
}

#[tokio::test]
async fn the_key_follows_no_redirect() {
    let (server, elsewhere) = (Server::start().await, Server::start().await);
    for status in ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"] {
        server.reply(answer(status, &format!("Location: {}/v3/mail/send\r\n", elsewhere.url)));
        server.mailer().send(&mail()).await.unwrap_err();
    }
    assert!(elsewhere.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_huge_body_is_not_read() {
    let server = Server::start().await;
    server.reply(Reply::HugeBody);
    server.mailer().send(&mail()).await.unwrap();
    let written = server.written.load(Ordering::Relaxed);
    assert!(written < 50, "{written} MB were taken");
}

#[tokio::test]
async fn a_slow_drip_runs_out_of_time() {
    let began = Instant::now();
    assert!(matches!(sent(Reply::SlowDrip).await, Err(MailError::Unavailable { .. })));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let server = Server::start().await;
    let mut options = SendGridOptions::new(Sensitive::new(KEY.to_owned()), "avisos@clinic.example");
    // Bound and closed again: nobody listens.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    options.base_url = format!("http://{gone}");
    let failed = SendGrid::new(options).unwrap().send(&mail()).await;
    assert!(matches!(failed, Err(MailError::Unavailable { retry_after: None, .. })), "{failed:?}");
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_key_is_checked_for_the_right_to_send() {
    let check = async |reply: Reply| {
        let server = Server::start().await;
        server.reply(reply);
        let checked = server.mailer().check().await;
        assert!(server.asked.lock().unwrap()[0].head.starts_with("GET /v3/scopes "));
        checked
    };
    let scopes = |list: &str| {
        let body = format!("{{\"scopes\":[{list}]}}");
        Reply::Exactly(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    };
    check(scopes("\"alerts.read\",\"mail.send\"")).await.unwrap();
    assert!(matches!(check(scopes("\"mail.send.x\"")).await, Err(CheckError::MayNotSend)));
    assert!(matches!(check(answer("401 Unauthorized", "")).await, Err(CheckError::Refused(_))));
    let refused = check(answer("500 Internal Server Error", "")).await.unwrap_err();
    assert!(matches!(&refused, CheckError::Unreachable(_)) && !refused.to_string().contains(KEY));
    assert!(matches!(check(Reply::HugeBody).await, Err(CheckError::Unreachable(_))));
}
