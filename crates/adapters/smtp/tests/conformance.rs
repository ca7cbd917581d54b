//! Against a small mail server of our own, in the clear, by STARTTLS, and with TLS from the first byte.
#![cfg(test)]

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alivio_kernel::ids::{EventId, Uuid};
use alivio_kernel::{Language, Sensitive};
use alivio_notifications::testing::{Arrived, Conduct, Fixture, World};
use alivio_notifications::{MailError, Mailer, RenderedMail};
use alivio_smtp::{Smtp, SmtpOptions};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    None,
    StartTls,
    FromTheFirstByte,
}

struct Server {
    port: u16,
    encryption: Encryption,
    certificate: Vec<u8>,
    acceptor: TlsAcceptor,
    conduct: Mutex<Conduct>,
    arrived: Mutex<Vec<Arrived>>,
    /// What was asked besides texts.
    commands: Mutex<Vec<String>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A conversation by lines.
struct Lines {
    stream: Box<dyn Stream>,
    unread: VecDeque<u8>,
}

impl Lines {
    fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), unread: VecDeque::new() }
    }

    async fn read(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = String::from_utf8(line).map_err(|_| Error::from(ErrorKind::InvalidData))?;
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend(&chunk[..count]),
            }
        }
    }

    async fn say(&mut self, line: &str) -> Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }
}

impl Server {
    async fn start(encryption: Encryption) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let server = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            encryption,
            certificate: made.cert.der().to_vec(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            conduct: Mutex::new(Conduct::Accept),
            arrived: Mutex::default(),
            commands: Mutex::default(),
        });
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&accepting);
                // A client that hangs up is its own business.
                tokio::spawn(async move {
                    if server.encryption == Encryption::FromTheFirstByte {
                        let stream = server.acceptor.accept(stream).await?;
                        return server.serve(Lines::new(stream), true).await;
                    }
                    server.serve(Lines::new(stream), false).await
                });
            }
        });
        server
    }

    fn options(&self) -> SmtpOptions {
        let url = match self.encryption {
            Encryption::None => format!("smtp://localhost:{}", self.port),
            Encryption::StartTls => format!("smtp://user:p%40ss@localhost:{}?tls=required", self.port),
            Encryption::FromTheFirstByte => format!("smtps://user:p%40ss@localhost:{}", self.port),
        };
        let mut options = SmtpOptions::new(Sensitive::new(url), "avisos@clinic.example");
        options.timeout = Duration::from_millis(800);
        options.extra_root = (self.encryption != Encryption::None).then(|| self.certificate.clone());
        options
    }

    fn conduct(&self) -> Conduct {
        *self.conduct.lock().unwrap()
    }

    async fn serve(&self, mut lines: Lines, encrypted: bool) -> Result<()> {
        let mut encrypted = encrypted;
        if self.conduct() == Conduct::Silent {
            return std::future::pending().await;
        }
        lines.say("220 localhost ESMTP").await?;
        let mut to = String::new();
        loop {
            let line = lines.read().await?;
            self.commands.lock().unwrap().push(line.clone());
            let (command, rest) = line.split_once([' ', ':']).unwrap_or((line.as_str(), ""));
            match command {
                "EHLO" => {
                    while self.conduct() == Conduct::Endless {
                        lines.say(&format!("250-{}", "X".repeat(500))).await?;
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    lines.say("250-localhost").await?;
                    if self.encryption == Encryption::StartTls && !encrypted {
                        lines.say("250-STARTTLS").await?;
                    } else if encrypted {
                        lines.say("250-AUTH PLAIN").await?;
                    }
                    lines.say("250 8BITMIME").await?;
                }
                "STARTTLS" => {
                    lines.say("220 go on").await?;
                    lines = Lines::new(self.acceptor.accept(lines.stream).await?);
                    encrypted = true;
                }
                "AUTH" => {
                    let expected = BASE64.encode("\0user\0p@ss");
                    let right = rest == format!("PLAIN {expected}");
                    lines.say(if right { "235 welcome" } else { "535 who?" }).await?;
                }
                "RCPT" => {
                    let address = rest.trim_start_matches("TO:").trim_matches(['<', '>']);
                    let reply = match self.conduct() {
                        // Real servers quote, too.
                        Conduct::Refuse => format!("550 5.1.1 <{address}> is unknown here"),
                        Conduct::Busy(_) => format!("451 4.7.1 <{address}> come back later"),
                        _ => "250 fine".to_owned(),
                    };
                    to = address.to_owned();
                    lines.say(&reply).await?;
                }
                "DATA" => {
                    lines.say("354 go on").await?;
                    let mut message = Vec::new();
                    loop {
                        let line = lines.read().await?;
                        if line == "." {
                            break;
                        }
                        message.push(line.strip_prefix('.').map(str::to_owned).unwrap_or(line));
                    }
                    if self.conduct() == Conduct::HangUp {
                        return Ok(());
                    }
                    self.arrived.lock().unwrap().push(parse(&to, &message));
                    lines.say("250 taken").await?;
                }
                "QUIT" => return lines.say("221 bye").await,
                _ => lines.say("250 fine").await?,
            }
        }
    }
}

/// Just enough MIME for what we send.
fn parse(to: &str, message: &[String]) -> Arrived {
    let (headers, body) = headers(message);
    let header = |name: &str| find(&headers, name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(header("to"), to);
    assert_eq!(header("auto-submitted"), "auto-generated");
    let boundary =
        header("content-type").split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut parts =
        body.split(|line| line.trim_end_matches("--") == format!("--{boundary}")).skip(1).map(|part| {
            let (headers, body) = self::headers(part);
            let text = match find(&headers, "content-transfer-encoding").unwrap().as_str() {
                "base64" => String::from_utf8(BASE64.decode(body.concat()).unwrap()).unwrap(),
                "quoted-printable" => quoted_printable(body),
                _ => body.join("\n"),
            };
            (find(&headers, "content-type").unwrap(), text)
        });
    let (plain, text) = parts.next().unwrap();
    let (rich, html) = parts.next().unwrap();
    assert!(plain.starts_with("text/plain") && rich.starts_with("text/html"), "{plain} {rich}");
    Arrived {
        identity: header("message-id"),
        to: to.to_owned(),
        subject: decoded(&header("subject")),
        text,
        html,
    }
}

fn find(headers: &[(String, String)], name: &str) -> Option<String> {
    headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
}

fn headers(lines: &[String]) -> (Vec<(String, String)>, &[String]) {
    let end = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in &lines[..end] {
        match (line.strip_prefix([' ', '\t']), headers.last_mut()) {
            (Some(more), Some((_, value))) => *value += &format!(" {more}"),
            _ => {
                let (name, value) = line.split_once(':').unwrap();
                headers.push((name.to_lowercase(), value.trim().to_owned()));
            }
        }
    }
    (headers, lines.get(end + 1..).unwrap_or_default())
}

/// RFC 2047.
fn decoded(value: &str) -> String {
    let mut text = Vec::new();
    let mut after_encoded = false;
    for word in value.split(' ') {
        let encoded = word.strip_prefix("=?utf-8?b?").and_then(|word| word.strip_suffix("?="));
        if !(text.is_empty() || after_encoded && encoded.is_some()) {
            text.push(b' ');
        }
        match encoded {
            Some(encoded) => text.extend(BASE64.decode(encoded).unwrap()),
            None => text.extend(word.bytes()),
        }
        after_encoded = encoded.is_some();
    }
    String::from_utf8(text).unwrap()
}

/// RFC 2045 §6.7.
fn quoted_printable(lines: &[String]) -> String {
    let mut bytes = Vec::new();
    for line in lines {
        let (line, soft) = line.strip_suffix('=').map_or((line.as_str(), false), |line| (line, true));
        let mut rest = line.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'=' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        if !soft {
            bytes.push(b'\n');
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[async_trait]
impl World for Server {
    async fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    async fn behave(&self, conduct: Conduct) -> bool {
        *self.conduct.lock().unwrap() = conduct;
        true
    }
}

async fn fixture(encryption: Encryption) -> Fixture {
    let server = Server::start(encryption).await;
    Fixture { mailer: Arc::new(Smtp::new(server.options()).unwrap()), world: server }
}

mod in_the_clear {
    use super::*;

    async fn fresh() -> Fixture {
        fixture(Encryption::None).await
    }
    alivio_notifications::mailer_conformance!(fresh);
}

mod by_starttls {
    use super::*;

    async fn fresh() -> Fixture {
        fixture(Encryption::StartTls).await
    }
    alivio_notifications::mailer_conformance!(fresh);
}

mod with_tls_from_the_first_byte {
    use super::*;

    async fn fresh() -> Fixture {
        fixture(Encryption::FromTheFirstByte).await
    }
    alivio_notifications::mailer_conformance!(fresh);
}

fn mail(to: &str) -> RenderedMail {
    RenderedMail {
        id: EventId::from(Uuid::from_u128(1)),
        to: Sensitive::new(to.to_owned()),
        language: Language::Spanish,
        kind: "password_changed",
        subject: "s".to_owned(),
        text: Sensitive::new("t".to_owned()),
        html: Sensitive::new("h".to_owned()),
    }
}

#[tokio::test]
async fn the_identity_is_the_id_at_the_senders_domain() {
    let server = Server::start(Encryption::None).await;
    Smtp::new(server.options()).unwrap().send(&mail("ana@clinic.example")).await.unwrap();
    let arrived = server.arrived().await;
    assert_eq!(arrived[0].identity, "<00000000-0000-0000-0000-000000000001@clinic.example>");
}

#[tokio::test]
async fn an_address_that_would_be_two_commands_never_leaves() {
    let server = Server::start(Encryption::None).await;
    let mailer = Smtp::new(server.options()).unwrap();
    for to in [
        "ana@clinic.example>\r\nRCPT TO:<eve@evil.example",
        "ana@clinic.example, eve@evil.example",
        "",
        "ana",
    ] {
        let refused = mailer.send(&mail(to)).await;
        assert!(matches!(refused, Err(MailError::Refused { status: None })), "{to}: {refused:?}");
    }
    assert!(server.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_of_nobody_we_trust_is_not_accepted() {
    for encryption in [Encryption::StartTls, Encryption::FromTheFirstByte] {
        let server = Server::start(encryption).await;
        let mut options = server.options();
        // The certificate of another server with the same name.
        options.extra_root = Some(Server::start(encryption).await.certificate.clone());
        let failed = Smtp::new(options).unwrap().send(&mail("ana@clinic.example")).await;
        assert!(matches!(failed, Err(MailError::Unavailable { .. })), "{failed:?}");
        let commands = server.commands.lock().unwrap().clone();
        assert!(commands.iter().all(|c| !c.starts_with("AUTH") && !c.starts_with("MAIL")), "{commands:?}");
    }
}

#[tokio::test]
async fn tls_that_is_required_and_not_offered_is_not_done_without() {
    let server = Server::start(Encryption::None).await;
    let mut options = server.options();
    let url = format!("smtp://user:p%40ss@localhost:{}?tls=required", server.port);
    options.url = Sensitive::new(url);
    let failed = Smtp::new(options).unwrap().send(&mail("ana@clinic.example")).await;
    assert!(matches!(failed, Err(MailError::Unavailable { .. })), "{failed:?}");
    let commands = server.commands.lock().unwrap().clone();
    assert!(commands.iter().all(|c| !c.starts_with("AUTH") && !c.starts_with("MAIL")), "{commands:?}");
}

#[tokio::test]
async fn a_server_is_checked_without_sending_anything() {
    let server = Server::start(Encryption::FromTheFirstByte).await;
    Smtp::new(server.options()).unwrap().check().await.unwrap();
    assert!(server.arrived().await.is_empty());
    let mut options = server.options();
    options.url = Sensitive::new(format!("smtps://user:wrong@localhost:{}", server.port));
    let refused = Smtp::new(options).unwrap().check().await;
    assert!(matches!(refused, Err(MailError::Refused { status: Some(535) })), "{refused:?}");
}
