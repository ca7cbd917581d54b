//! A way to something, on which connections break and answers get lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How much passes at a time on a slow way, and how long that takes.
const SLICE: (usize, Duration) = (512, Duration::from_millis(4));

/// Where a proxy leads to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A server, wherever it is at the time, as [`TestServer::address`](crate::server::TestServer::address) says.
    Server(watch::Receiver<Option<String>>),
    /// A Unix socket, such as that of a private PostgreSQL.
    Socket(PathBuf),
    /// A port of this machine, such as that of a Redis.
    Port(u16),
}

/// What it does to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Pass,
    /// What is asked arrives; what is answered does not.
    LoseReplies,
    /// Nothing passes, and nothing is lost.
    Hold,
    /// All passes, little by little.
    Slow,
    /// The next thing to pass does so by half, and its connection ends.
    Tear,
    /// There is no way.
    Refuse,
}

/// A proxy on a port of its own, which forwards until it is told not to.
#[derive(Debug)]
pub struct Proxy {
    address: watch::Sender<Option<String>>,
    port: u16,
    mood: watch::Sender<Mood>,
    /// Counts how often all connections were cut.
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

impl Proxy {
    /// A proxy to `target`.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn to(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (mood, cuts) = (watch::Sender::new(Mood::Pass), watch::Sender::new(0));
        let accepting = tokio::spawn(accept(listener, Arc::new(target), mood.clone(), cuts.clone()));
        let address = watch::Sender::new(Some(format!("http://127.0.0.1:{port}")));
        Self { address, port, mood, cuts, accepting }
    }

    /// Its address, for [`Actor::at`](crate::actor::Actor::at).
    #[must_use]
    pub fn address(&self) -> watch::Receiver<Option<String>> {
        self.address.subscribe()
    }

    /// Its port on this machine.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections that are open now.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on answers get lost, while what is asked arrives; until [`mend`](Self::mend).
    pub fn lose_replies(&self) {
        self.mood.send_replace(Mood::LoseReplies);
    }

    /// From now on nothing passes, as if the other side had gone without a word; until [`mend`](Self::mend).
    pub fn hold(&self) {
        self.mood.send_replace(Mood::Hold);
    }

    /// From now on all takes its time; until [`mend`](Self::mend).
    pub fn slow_down(&self) {
        self.mood.send_replace(Mood::Slow);
    }

    /// From now on each connection ends in the middle of what passes next; until [`mend`](Self::mend).
    pub fn tear(&self) {
        self.mood.send_replace(Mood::Tear);
    }

    /// Cuts all connections, and from now on lets nobody through; until [`mend`](Self::mend).
    pub fn refuse(&self) {
        self.mood.send_replace(Mood::Refuse);
        self.cut();
    }

    /// Cuts the connections on which something got lost, and forwards again.
    pub fn mend(&self) {
        if *self.mood.borrow() == Mood::LoseReplies {
            self.cut();
        }
        self.mood.send_replace(Mood::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<Target>,
    mood: watch::Sender<Mood>,
    cuts: watch::Sender<u64>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (target, mood, mut cut) = (Arc::clone(&target), mood.subscribe(), cuts.subscribe());
        tokio::spawn(async move {
            client.set_nodelay(true).ok();
            if *mood.borrow() == Mood::Refuse {
                return;
            }
            // Who finds nobody there is let go, which is what it would have been told.
            let Some(server) = connect(&target).await else { return };
            let (from_client, to_client) = tokio::io::split(client);
            let (from_server, to_server) = tokio::io::split(server);
            tokio::select! {
                () = forward(from_client, to_server, mood.clone(), false) => {}
                () = forward(from_server, to_client, mood, true) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn connect(target: &Target) -> Option<Pin<Box<dyn Stream>>> {
    match target {
        Target::Server(address) => {
            let address = address.borrow().clone()?;
            let stream = TcpStream::connect(address.strip_prefix("http://")?).await.ok()?;
            stream.set_nodelay(true).ok()?;
            Some(Box::pin(stream))
        }
        Target::Socket(path) => Some(Box::pin(UnixStream::connect(path).await.ok()?)),
        Target::Port(port) => {
            let stream = TcpStream::connect(("127.0.0.1", *port)).await.ok()?;
            stream.set_nodelay(true).ok()?;
            Some(Box::pin(stream))
        }
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mood: watch::Receiver<Mood>,
    is_reply: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let now = *mood.borrow_and_update();
            let passes = match now {
                Mood::Pass => rest.len(),
                Mood::LoseReplies if is_reply => break,
                Mood::LoseReplies => rest.len(),
                Mood::Slow => rest.len().min(SLICE.0),
                Mood::Tear => rest.len() / 2,
                Mood::Refuse => return,
                Mood::Hold => {
                    if mood.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            if to.write_all(&rest[..passes]).await.is_err() || now == Mood::Tear {
                return;
            }
            rest = &rest[passes..];
            if now == Mood::Slow {
                tokio::time::sleep(SLICE.1).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Long enough for what would come.
    const MOMENT: Duration = Duration::from_millis(100);

    /// A proxy to something that answers with what it is told.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        Proxy::to(Target::Port(port)).await
    }

    async fn connect_to(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap()
    }

    async fn says(stream: &mut TcpStream, words: &[u8]) {
        stream.write_all(words).await.unwrap();
    }

    async fn hears(stream: &mut TcpStream, words: &[u8]) {
        let mut heard = vec![0; words.len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, words);
    }

    /// What comes until the end of the connection.
    async fn last_words(stream: &mut TcpStream) -> Vec<u8> {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.ok();
        heard
    }

    #[tokio::test]
    async fn what_is_held_comes_later_and_what_is_slow_comes_whole() {
        let proxy = echo().await;
        let mut stream = connect_to(&proxy).await;
        proxy.hold();
        says(&mut stream, b"hola").await;
        assert!(timeout(MOMENT, hears(&mut stream, b"hola")).await.is_err());
        proxy.mend();
        hears(&mut stream, b"hola").await;

        proxy.slow_down();
        let words: Vec<u8> = (0..5_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        says(&mut stream, &words).await;
        hears(&mut stream, &words).await;
    }

    #[tokio::test]
    async fn lost_replies_are_lost_with_their_connection() {
        let proxy = echo().await;
        let mut stream = connect_to(&proxy).await;
        proxy.lose_replies();
        says(&mut stream, b"hola").await;
        assert!(timeout(MOMENT, hears(&mut stream, b"hola")).await.is_err());
        proxy.mend();
        assert_eq!(last_words(&mut stream).await, b"");
    }

    #[tokio::test]
    async fn what_is_torn_comes_by_half() {
        let proxy = echo().await;
        let mut stream = connect_to(&proxy).await;
        says(&mut stream, b"hola").await;
        hears(&mut stream, b"hola").await;
        proxy.tear();
        says(&mut stream, &[b'x'; 1000]).await;
        assert!(last_words(&mut stream).await.len() < 1000);
    }

    #[tokio::test]
    async fn nobody_gets_through_where_there_is_no_way() {
        let proxy = echo().await;
        let mut before = connect_to(&proxy).await;
        says(&mut before, b"hola").await;
        hears(&mut before, b"hola").await;
        proxy.refuse();
        assert_eq!(last_words(&mut before).await, b"");
        let mut stream = connect_to(&proxy).await;
        stream.write_all(b"hola").await.ok();
        assert_eq!(last_words(&mut stream).await, b"");
        proxy.mend();
        let mut after = connect_to(&proxy).await;
        says(&mut after, b"hola").await;
        hears(&mut after, b"hola").await;
    }
}
