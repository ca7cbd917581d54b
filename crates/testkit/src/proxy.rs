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

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where a proxy leads to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A server, wherever it is at the time, as [`TestServer::address`](crate::server::TestServer::address) says.
    Server(watch::Receiver<Option<String>>),
    /// A Unix socket, such as that of a private PostgreSQL.
    Socket(PathBuf),
}

/// What it does to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Pass,
    /// What is asked arrives; what is answered does not.
    LoseReplies,
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

    /// Cuts the connections on which something got lost, and forwards again.
    pub fn mend(&self) {
        self.cut();
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
            // Who finds nobody there is let go, which is what it would have been told.
            let Some(server) = connect(&target).await else { return };
            let (from_client, to_client) = tokio::io::split(client);
            let (from_server, to_server) = tokio::io::split(server);
            tokio::select! {
                () = forward(from_client, to_server, None) => {}
                () = forward(from_server, to_client, Some(mood)) => {}
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
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mood: Option<watch::Receiver<Mood>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if mood.as_ref().is_some_and(|mood| *mood.borrow() == Mood::LoseReplies) {
            continue;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
