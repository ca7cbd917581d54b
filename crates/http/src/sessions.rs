//! `/api/v1/auth/sessions`: where one is signed in.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use alivio_accounts::SessionRecord;
use alivio_kernel::ids::SessionId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::cookies;
use crate::extract::SignedIn;
use crate::problem::Result;
use crate::responses::{Forged, Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

/// Where one is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionBody {
    /// Its id.
    id: Uuid,
    /// When it was opened.
    created_at: DateTime<Utc>,
    /// When something was last done in it, to about ten seconds. It ends 30 minutes later.
    last_active_at: DateTime<Utc>,
    /// When it ends at the latest.
    expires_at: DateTime<Utc>,
    /// What the device calls itself.
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0")]
    device: Option<String>,
    /// The network address that it was opened from.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    /// Whether it is the one that asks.
    is_current: bool,
    /// Whether the account had not been used on this device, or in this network, for 90 days.
    is_new_device: bool,
    /// What may be done in it: see `login`.
    #[schema(example = "full")]
    stage: &'static str,
}

impl SessionBody {
    fn of(session: SessionRecord, current: SessionId) -> Self {
        Self {
            id: session.id.uuid(),
            created_at: session.created_at,
            last_active_at: session.last_active_at,
            expires_at: session.expires_at,
            device: session.origin.device,
            address: session.origin.address.map(|address| address.to_string()),
            is_current: session.id == current,
            is_new_device: session.is_new_device,
            stage: session.stage.as_str(),
        }
    }
}

/// Where one is signed in: all of it, as there are never more than a few.
#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
struct SessionsBody {
    /// The newest first.
    items: Vec<SessionBody>,
}

/// Where am I signed in?
///
/// At most five full sessions live at once (`ALIVIO_MAX_SESSIONS`): the next sign-in ends the oldest.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "listSessions",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your live sessions.", body = SessionsBody),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[get("/auth/sessions")]
async fn list_sessions(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
) -> Result<web::Json<SessionsBody>> {
    let sessions = state.platform.accounts.sessions(&caller).await?;
    let items = sessions.into_iter().map(|session| SessionBody::of(session, caller.session_id));
    Ok(web::Json(SessionsBody { items: items.collect() }))
}

/// Sign out one device
///
/// Ends one of your sessions; its sockets close with 4401 within a second.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "revokeSession",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The session.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forged),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/auth/sessions/{id}")]
async fn revoke_session(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.accounts.revoke_session(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sign out all other devices
///
/// Ends all your sessions but the one that asks.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "revokeOtherSessions",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Ended."),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forged),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/auth/sessions")]
async fn revoke_other_sessions(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<HttpResponse> {
    state.platform.accounts.revoke_other_sessions(&caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sign out everywhere
///
/// Ends all your sessions, the one that asks included.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "logoutEverywhere",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Signed out."),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forged),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/logout-all")]
async fn logout_everywhere(
    state: web::Data<State>,
    request: HttpRequest,
    SignedIn(caller): SignedIn,
) -> Result<HttpResponse> {
    state.platform.accounts.logout_everywhere(&caller).await?;
    Ok(cookies::goodbye(&request, &state))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(list_sessions).service(revoke_session).service(revoke_other_sessions);
    config.service(logout_everywhere);
}
