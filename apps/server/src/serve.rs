//! `alivio serve`: runs until it is told to stop, and then lets everyone finish.

use std::any::Any;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::HttpServer;
#[cfg(target_os = "linux")]
use actix_web::rt::net::TcpStream;
use alivio_http::{HttpConfig, State, app};
use alivio_kernel::BoxError;
use alivio_platform::live::Fate;
use alivio_sandbox::{DemoClinic, PASSWORD, demo_clinic};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::assembly::{Storage, platform};
use crate::config::{Config, Environment, ScannerConfig};
use crate::metrics::Metrics;

/// How long a connection may take to say what it wants.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the other side of a connection may take nothing of what it is sent.
const STUCK: Duration = Duration::from_secs(30);
/// How long after the database failed it the index of the search is gone on with.
const REINDEX: Duration = Duration::from_secs(15);

/// Serves.
pub(crate) async fn serve(config: Config) -> Result<(), BoxError> {
    // Before anything is started, so that no signal is missed.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // What production must be told is asked for before anything is touched.
    config.mail()?;
    config.public_origin()?;
    config.scanner()?;
    // Before anything is measured.
    let metrics = Metrics::begin(&config)?;
    let stop = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    Storage::with(&config, async |storage| run(&config, storage, metrics, stop).await).await
}

async fn run(
    config: &Config,
    storage: &Storage,
    metrics: Option<Metrics>,
    stop: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let (platform, relay, housekeeping, mut fellowship, watched) = platform(config, storage).await?;
    let demo =
        if config.demo { Some(demo_clinic(&platform.accounts, &platform.profiles).await?) } else { None };
    let published = platform.profiles.publish_missing().await?;
    if published > 0 {
        tracing::info!(directory.published = published, "directory.completed");
    }

    fellowship.begin().await?;
    let (stopping, stopped) = watch::channel(false);
    let fellowship = tokio::spawn(fellowship.run(stopped.clone()));
    let relay = tokio::spawn(relay.run(stopped.clone()));
    let housekeeping = tokio::spawn(housekeeping.run(stopped.clone()));
    let search = platform.search.clone();
    // Beside all else: what was said before there was an index, or by another version of it.
    let indexing = tokio::spawn(async move {
        loop {
            match search.complete_index().await {
                Ok(0) => break,
                Ok(indexed) => break tracing::info!(search.indexed = indexed, "search.index_completed"),
                Err(error) => tracing::warn!(%error, "search.index_not_completed"),
            }
            tokio::time::sleep(REINDEX).await;
        }
    });
    let http = HttpConfig {
        allowed_origins: config.allowed_origins.clone(),
        socket_commands_per_second: config.socket_commands_per_second,
        sockets_per_person: config.sockets_per_person,
        socket_heartbeat: config.socket_heartbeat,
        // Browsers take no such cookie without TLS, which nobody has on their own machine.
        secure_cookies: config.environment == Environment::Production || !config.bind.ip().is_loopback(),
        rates: config.rates,
        trusted_proxies: config.trusted_proxies.clone(),
        upload_patience: config.upload_patience,
        allowed_networks: config.allowed_networks.clone(),
    };
    let state = State::new(platform.clone(), http, stopped);
    let server = HttpServer::new(move || app(state.clone()))
        // Small frames must not wait for the other side to confirm the last one (Nagle's algorithm).
        .tcp_nodelay(true)
        // Who connects and asks nothing is let go (WS-09).
        .client_request_timeout(HANDSHAKE)
        .on_connect(|connection, _| lose_patience(connection))
        .bind(config.bind)
        .map_err(|error| format!("cannot listen on {} (ALIVIO_BIND): {error}", config.bind))?
        .disable_signals()
        .shutdown_timeout(config.shutdown.as_secs());
    let address = server.addrs().first().copied().unwrap_or(config.bind);
    let server = server.run();
    let handle = server.handle();
    let mut server = tokio::spawn(server);
    let metrics_address = metrics.as_ref().map(|metrics| metrics.address);
    let metrics = metrics.map(|metrics| metrics.serve(watched, &platform)).transpose()?;
    tracing::info!(http.address = %address, "server.started");
    let is_scanned = !matches!(config.scanner()?, ScannerConfig::Sandbox);
    announce(&format!("http://{address}"), metrics_address, is_scanned, demo.as_ref())?;

    tokio::select! {
        ended = &mut server => ended??,
        () = stop => {
            tracing::info!("server.stopping");
            // Readiness turns red first; then sockets are told to come back, elsewhere or later.
            stopping.send_replace(true);
            platform.presence.stop_waiting();
            platform.hub.close_all(Fate::Restart);
            handle.stop(true).await;
            server.await??;
        }
    }
    stopping.send_replace(true);
    indexing.abort();
    relay.await?;
    fellowship.await?;
    housekeeping.await?;
    if let Some(metrics) = metrics {
        metrics.stop().await;
    }
    tracing::info!("server.stopped");
    Ok(())
}

/// Lets the system drop the connection when the other side has taken nothing for [`STUCK`] (WS-08): while there is no
/// room for what was written, nobody else would find out that there is nothing more to be written.
#[cfg(target_os = "linux")]
fn lose_patience(connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(STUCK)) {
        tracing::warn!(%error, "server.patience_not_set");
    }
}

/// Others keep it for as long as they please.
#[cfg(not(target_os = "linux"))]
const fn lose_patience(_: &dyn Any) {}

/// Tells whoever started us where to go.
fn announce(
    url: &str,
    metrics: Option<SocketAddr>,
    is_scanned: bool,
    demo: Option<&DemoClinic>,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Alivio listens on {url}\n  API, to read and try: {url}/docs")?;
    if let Some(metrics) = metrics {
        writeln!(out, "  Metrics: http://{metrics}/metrics")?;
    }
    if !is_scanned {
        writeln!(
            out,
            "  Files: looked at by a sandbox that finds EICAR's test file only; ALIVIO_CLAMD says who does better"
        )?;
    }
    if let Some(DemoClinic { people, ana, .. }) = demo {
        writeln!(out, "\nDemo clinic, password {PASSWORD} for all:")?;
        for (email, role) in people {
            writeln!(out, "  {email:<32}{role}")?;
        }
        let doctor = people.first().map_or("", |(email, _)| *email);
        let json = "-H 'Content-Type: application/json'";
        writeln!(
            out,
            "\nTry it:
TOKEN=$(curl -s {url}/api/v1/auth/login {json} -d '{{\"email\":\"{doctor}\",\"password\":\"{PASSWORD}\"}}' | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
CHAT=$(curl -s {url}/api/v1/conversations/direct -H \"Authorization: Bearer $TOKEN\" {json} -d '{{\"user_id\":\"{ana}\"}}' | sed 's/^{{\"id\":\"\\([^\"]*\\)\".*/\\1/')
curl -s {url}/api/v1/conversations/$CHAT/messages -H \"Authorization: Bearer $TOKEN\" {json} -d '{{\"content\":\"Hola Ana\"}}'"
        )?;
    }
    out.flush()
}
