//! Numbers for Prometheus, on a port of their own: whoever reaches it reads them without signing in, so it is not the
//! public one. What is measured, and where it is named, is in `alivio_metrics`.

mod process;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, get, web};
use alivio_crypto::EnvelopeSealer;
use alivio_kernel::{BoxError, Clock, SystemClock};
use alivio_metrics::{GROUPS, Use, database, installation, outbox, redis, search, sockets};
use alivio_platform::Platform;
use alivio_platform::live::Hub;
use alivio_postgres::{Database, PoolState, Vitals};
use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::Config;

/// How Prometheus calls its text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often the database is asked at most, however many scrape.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A database that takes longer is as good as none, to whoever scrapes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what was measured is added up, so that it takes no room while nobody scrapes.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);
/// What was built, if whoever built it said so.
const COMMIT: Option<&str> = option_env!("GIT_COMMIT");

/// What is looked at when someone scrapes.
pub(crate) struct Watched {
    pub(crate) database: Database,
    pub(crate) sealer: Arc<EnvelopeSealer>,
}

/// A port that nobody else has, and what is measured from now on.
pub(crate) struct Metrics {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    exporter: PrometheusHandle,
}

impl Metrics {
    /// Takes the port and begins to measure, if that is wanted. MUST come before all that measures.
    pub(crate) fn begin(config: &Config) -> Result<Option<Self>, BoxError> {
        let Some(bind) = config.metrics_bind else { return Ok(None) };
        let refused = |error| format!("cannot listen on {bind} (ALIVIO_METRICS_BIND): {error}");
        let listener = TcpListener::bind(bind).map_err(refused)?;
        let mut builder = PrometheusBuilder::new();
        for metric in
            GROUPS.iter().flat_map(|group| group.metrics).filter(|metric| !metric.buckets().is_empty())
        {
            let name = Matcher::Full(metric.name().to_owned());
            builder = builder.set_buckets_for_metric(name, metric.buckets())?;
        }
        let exporter = builder.install_recorder()?;
        // Of a line that there is not, nothing is shown, or it would look broken.
        let is_shown = |title: &str| config.redis_url.is_some() || title != redis::GROUP.title;
        GROUPS.iter().filter(|group| is_shown(group.title)).for_each(|group| group.begin());
        installation::BUILD
            .of([env!("CARGO_PKG_VERSION").into(), COMMIT.unwrap_or("unknown").into()])
            .set(1.0);
        process::began(SystemClock.now());
        Ok(Some(Self { address: listener.local_addr()?, listener, exporter }))
    }

    /// Shows it to whoever asks.
    pub(crate) fn serve(self, watched: Watched, platform: &Platform) -> Result<Serving, BoxError> {
        let Self { address, listener, exporter } = self;
        let adding_up = tokio::spawn(add_up(exporter.clone()));
        let hub = Arc::clone(&platform.hub);
        let scrape = web::Data::new(Scrape { exporter, watched, hub, looked: Mutex::default() });
        let server = HttpServer::new(move || App::new().app_data(scrape.clone()).service(show))
            .workers(1)
            .listen(listener)?
            .disable_signals()
            .shutdown_timeout(1)
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        tracing::info!(metrics.address = %address, "metrics.started");
        Ok(Serving { handle, adding_up })
    }
}

/// Numbers that are being shown.
pub(crate) struct Serving {
    handle: ServerHandle,
    adding_up: JoinHandle<()>,
}

impl Serving {
    pub(crate) async fn stop(self) {
        self.adding_up.abort();
        self.handle.stop(true).await;
    }
}

async fn add_up(exporter: PrometheusHandle) {
    let mut often = tokio::time::interval(ADD_UP_EVERY);
    loop {
        often.tick().await;
        exporter.run_upkeep();
    }
}

#[get("/metrics")]
async fn show(scrape: web::Data<Scrape>) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body(scrape.text().await)
}

struct Scrape {
    exporter: PrometheusHandle,
    watched: Watched,
    hub: Arc<Hub>,
    /// When the database was asked.
    looked: Mutex<Option<Instant>>,
}

impl Scrape {
    async fn text(&self) -> String {
        self.look_at_the_installation().await;
        sockets::OPEN.set(float(self.hub.socket_count()));
        sockets::QUEUE_DEPTH.set(float(self.hub.longest_queue()));
        let PoolState { idle, busy, max, waiting } = self.watched.database.pool_state();
        database::CONNECTIONS.of(Use::Idle).set(float(idle));
        database::CONNECTIONS.of(Use::Busy).set(float(busy));
        database::CONNECTIONS_MAX.set(float(max));
        database::WAITING.set(float(waiting));
        installation::KEY_VERSION.set(self.watched.sealer.current_kek());
        process::look();
        self.exporter.render()
    }

    /// Asks the database, unless that was done a moment ago.
    async fn look_at_the_installation(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        *looked = Some(Instant::now());
        let now = SystemClock.now();
        let vitals = tokio::time::timeout(PATIENCE, self.watched.database.vitals(now)).await;
        let vitals = vitals.ok().and_then(Result::ok);
        database::UP.set(if vitals.is_some() { 1.0 } else { 0.0 });
        let of_it =
            |count: fn(&Vitals) -> i64| vitals.as_ref().map_or(f64::NAN, |vitals| float(count(vitals)));
        outbox::DUE.set(of_it(|vitals| vitals.events_due));
        outbox::DEAD_LETTERS.set(of_it(|vitals| vitals.dead_letters));
        installation::EMERGENCIES.set(of_it(|vitals| vitals.emergencies_unacknowledged));
        let age = |of: fn(&Vitals) -> Option<DateTime<Utc>>| {
            vitals.as_ref().map_or(f64::NAN, |vitals| {
                of(vitals).and_then(|at| (now - at).to_std().ok()).unwrap_or_default().as_secs_f64()
            })
        };
        outbox::OLDEST_DUE.set(age(|vitals| vitals.oldest_due));
        search::OLDEST_UNINDEXED.set(age(|vitals| vitals.oldest_unindexed));
    }
}

/// No count here comes near the end of what fits.
fn float(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}
