//! `/api/v1/admin/users`: accounts, for those who manage them.

use actix_web::{HttpResponse, get, patch, post, web};
use alivio_accounts::{Email, User, UserQuery};
use alivio_kernel::ids::UserId;
use alivio_kernel::{FieldError, Page, PageSize, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::directory::role;
use crate::extract::{Body, SignedIn};
use crate::paging;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::registration::Acknowledgement;
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// An account, as those who manage accounts see it.
#[derive(Serialize, ToSchema)]
struct ManagedUser {
    /// Its id.
    id: Uuid,
    /// Where mail goes, and the name to sign in with.
    #[schema(example = "maria.martinez@clinic.example")]
    email: String,
    /// The full name.
    #[schema(example = "María Martínez García")]
    full_name: String,
    /// What the account is for: `patient`, `doctor`, `student`, `medical_admin` or `it_admin`.
    #[schema(example = "doctor")]
    role: &'static str,
    /// Whether they may sign in.
    is_active: bool,
    /// When the last of their devices went away.
    last_seen_at: Option<DateTime<Utc>>,
    /// When the account was made.
    created_at: DateTime<Utc>,
}

impl From<User> for ManagedUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id.uuid(),
            email: user.identity.email.as_str().to_owned(),
            full_name: user.identity.full_name,
            role: user.role.as_str(),
            is_active: user.is_active,
            last_seen_at: user.last_seen_at,
            created_at: user.created_at,
        }
    }
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
struct ManagedUserPage {
    /// Newest first.
    items: Vec<ManagedUser>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ManagedUserChange {
    /// `patient`, `doctor`, `student`, `medical_admin` or `it_admin`. A patient never becomes staff, and staff never a
    /// patient: someone who is both has two accounts.
    #[schema(example = "doctor")]
    role: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UserParams {
    /// Only with this role.
    #[param(example = "doctor")]
    role: Option<String>,
    /// Only those who may, or may not, sign in.
    is_active: Option<bool>,
    /// Only with exactly this address.
    #[param(example = "maria.martinez@clinic.example", max_length = 254)]
    email: Option<String>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// The page's number from 1, for clients that do not use cursors. Not with `cursor`.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many accounts a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// List accounts
///
/// Scope `users:manage`.
#[utoipa::path(
    tag = "Administration",
    operation_id = "listUsers",
    security(("bearer" = [])),
    params(UserParams),
    responses(
        (status = 200, description = "A page.", body = ManagedUserPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/users")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<UserParams>,
) -> Result<web::Json<ManagedUserPage>> {
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    if params.cursor.is_some() && params.page.is_some() {
        return Err(invalid(FieldError::new("cursor", Rule::Malformed)));
    }
    let query = UserQuery {
        role: params.role.as_deref().map(role).transpose().map_err(invalid)?,
        is_active: params.is_active,
        email: params.email.as_deref().map(Email::parse).transpose().map_err(invalid)?,
        after: params.cursor.map(UserId::from),
        offset: paging::offset(params.page, size)?,
        size,
    };
    let page = state.platform.administration.list(&caller, &query).await?;
    let Page { items, next_cursor } = page.map(ManagedUser::from);
    Ok(web::Json(ManagedUserPage { items, next_cursor }))
}

/// Look at an account
///
/// Scope `users:manage`. Its owner finds that in their access log.
#[utoipa::path(
    tag = "Administration",
    operation_id = "getManagedUser",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The account.")),
    responses(
        (status = 200, description = "The account.", body = ManagedUser),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/users/{id}")]
async fn show(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<ManagedUser>> {
    Ok(web::Json(state.platform.administration.show(&caller, id.into_inner().into()).await?.into()))
}

/// Change an account
///
/// Scope `users:manage`. Another role ends all sessions of the account within a second.
#[utoipa::path(
    tag = "Administration",
    operation_id = "changeUser",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The account.")),
    request_body = ManagedUserChange,
    responses(
        (status = 200, description = "The account.", body = ManagedUser),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it, or it is your own account.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`last_administrator`, `role_not_assignable`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/admin/users/{id}")]
async fn change(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<ManagedUserChange>,
) -> Result<web::Json<ManagedUser>> {
    let (user, role) = (id.into_inner().into(), role(&body.0.role).map_err(invalid)?);
    let changed = state.platform.administration.set_role(&caller, user, role).await?;
    state.platform.people.forget(user).await;
    Ok(web::Json(changed.into()))
}

/// Deactivate an account
///
/// Scope `users:manage`. They can no longer sign in, and all their sessions end within a second.
#[utoipa::path(
    tag = "Administration",
    operation_id = "deactivateUser",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The account.")),
    responses(
        (status = 200, description = "The account.", body = ManagedUser),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it, or it is your own account.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`last_administrator`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/admin/users/{id}/deactivate")]
async fn deactivate(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<ManagedUser>> {
    Ok(web::Json(state.platform.administration.deactivate(&caller, id.into_inner().into()).await?.into()))
}

/// Activate an account
///
/// Scope `users:manage`. They can sign in again.
#[utoipa::path(
    tag = "Administration",
    operation_id = "activateUser",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The account.")),
    responses(
        (status = 200, description = "The account.", body = ManagedUser),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it, or it is your own account.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/admin/users/{id}/activate")]
async fn activate(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<ManagedUser>> {
    Ok(web::Json(state.platform.administration.activate(&caller, id.into_inner().into()).await?.into()))
}

/// End all sessions of an account
///
/// Scope `users:manage`. Its tokens no longer work and its sockets close with 4401 within a second. They can sign in
/// again.
#[utoipa::path(
    tag = "Administration",
    operation_id = "revokeUserSessions",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The account.")),
    responses(
        (status = 204, description = "They have ended."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it, or it is your own account.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/admin/users/{id}/revoke-sessions")]
async fn revoke_sessions(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.administration.revoke_sessions(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reset the password of an account
///
/// Scope `users:manage`. Sends the person the letter that `POST /api/v1/auth/forgot-password` sends; until they choose
/// another password, nothing changes. Whoever is deactivated gets none.
#[utoipa::path(
    tag = "Administration",
    operation_id = "resetUserPassword",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The account.")),
    responses(
        (status = 202, description = "The letter is on its way.", body = Acknowledgement),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it, or it is your own account.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/admin/users/{id}/reset-password")]
async fn reset_password(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.passwords.request_reset_for(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::Accepted().json(Acknowledgement { status: "reset_requested" }))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config
        .service(list)
        .service(show)
        .service(change)
        .service(deactivate)
        .service(activate)
        .service(revoke_sessions)
        .service(reset_password);
}
