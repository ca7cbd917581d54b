//! Is it alive, is it ready, and if not, what is missing?

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};
use futures_util::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::State;

/// A dependency that takes longer counts as down.
const DEADLINE: Duration = Duration::from_secs(2);

/// How the server is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version that runs.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Whatever it uses. It can do without `redis`, which only makes things faster, and people go on talking without
    /// `files` and `scanner`.
    dependencies: Vec<DependencyHealth>,
}

/// How something the server needs is.
#[derive(Serialize, ToSchema)]
struct DependencyHealth {
    /// Its name.
    #[schema(example = "database")]
    name: &'static str,
    /// `ok` or `unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
    /// How long it took to answer, in milliseconds.
    #[schema(example = 1)]
    latency_ms: u64,
}

/// That the server answers.
#[derive(Serialize, ToSchema)]
struct Liveness {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

async fn check(state: &State) -> HttpResponse {
    let checks = state.platform.dependencies.iter().map(|dependency| async move {
        let started = Instant::now();
        let status = match tokio::time::timeout(DEADLINE, dependency.check()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(error)) => {
                tracing::warn!(dependency = dependency.name(), error = %error, "health.unavailable");
                "unavailable"
            }
            Err(_) => "unavailable",
        };
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        (DependencyHealth { name: dependency.name(), status, latency_ms }, dependency.is_needed())
    });
    let dependencies = join_all(checks).await;
    let lacks_nothing = dependencies.iter().all(|(found, is_needed)| found.status == "ok" || !is_needed);
    let is_ready = !*state.stopping.borrow() && lacks_nothing;
    let dependencies = dependencies.into_iter().map(|(found, _)| found).collect();
    let (code, status) =
        if is_ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    HttpResponse::build(code).json(Health { status, version: env!("CARGO_PKG_VERSION"), dependencies })
}

macro_rules! operation {
    ($(#[$doc:meta])* $name:ident, $id:literal, $path:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            tag = "Operations",
            operation_id = $id,
            responses(
                (status = 200, description = "Everything it needs answers.", body = Health),
                (status = 503, description = "It is going away, or something it needs does not answer.", body = Health),
            )
        )]
        #[get($path)]
        async fn $name(state: web::Data<State>) -> HttpResponse {
            check(&state).await
        }
    };
}

operation!(
    /// How is the server?
    health, "health", "/api/v1/health"
);
operation!(
    /// How is the server? (documented path)
    ///
    /// The same as `GET /api/v1/health`.
    documented_health, "documentedHealth", "/api/health"
);
operation!(
    /// Can it take requests?
    ///
    /// For load balancers: turns 503 as soon as the server begins to go away.
    ready, "ready", "/api/v1/health/ready"
);

/// Does it run?
///
/// For supervisors: touches nothing else, so a dependency that is down does not restart the server.
#[utoipa::path(
    tag = "Operations",
    operation_id = "live",
    responses((status = 200, description = "It runs.", body = Liveness))
)]
#[get("/api/v1/health/live")]
async fn live() -> web::Json<Liveness> {
    web::Json(Liveness { status: "ok" })
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(health).service(documented_health).service(ready).service(live);
}
