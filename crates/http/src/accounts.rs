//! `/api/v1/auth`: signing in and out.

use actix_web::{HttpResponse, get, post, web};
use alivio_accounts::{ACCESS_LIFETIME, Password, SignIn, User};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, Malformed, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    /// The e-mail address of the account; case does not matter.
    #[schema(example = "maria.martinez@clinic.example", max_length = 254)]
    email: String,
    /// The password, at most 1,024 bytes.
    #[schema(example = "Alivio-demo-1", min_length = 1, max_length = 1024, format = Password)]
    password: String,
}

/// The refresh token to swap.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// As given by the last sign-in or refresh. Using it a second time ends the session.
    #[schema(example = "alr_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    refresh_token: String,
}

/// What a client may do now, and as whom.
#[derive(Serialize, ToSchema)]
#[schema(as = SignIn)]
struct SignInBody {
    /// Send it as `Authorization: Bearer …`.
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 600)]
    expires_in: i64,
    /// Swap it for the next pair before 30 minutes have passed.
    #[schema(example = "alr_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    refresh_token: String,
    /// Who signed in.
    user: UserBody,
    /// The page to go to, by role.
    #[schema(example = "/doctor")]
    redirect_to: &'static str,
}

impl From<SignIn> for SignInBody {
    fn from(sign_in: SignIn) -> Self {
        Self {
            access_token: sign_in.tokens.access.into_exposed(),
            token_type: "Bearer",
            expires_in: ACCESS_LIFETIME.num_seconds(),
            refresh_token: sign_in.tokens.refresh.into_exposed(),
            user: sign_in.user.into(),
            redirect_to: sign_in.redirect_to,
        }
    }
}

/// An account, as its owner sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
struct UserBody {
    /// Its id.
    id: Uuid,
    /// Where mail goes, and the name to sign in with.
    #[schema(example = "maria.martinez@clinic.example")]
    email: String,
    /// The full name.
    #[schema(example = "María Martínez García")]
    full_name: String,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez")]
    display_name: String,
    /// What the account is for: `patient`, `doctor`, `student`, `medical_admin` or `it_admin`.
    #[schema(example = "doctor")]
    role: &'static str,
    /// Title among professionals.
    #[schema(example = "Cardiologist")]
    professional_title: Option<String>,
    /// Whether they may sign in.
    is_active: bool,
    /// When the last of their devices went away.
    last_seen_at: Option<DateTime<Utc>>,
    /// When the account was made.
    created_at: DateTime<Utc>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id.uuid(),
            email: user.identity.email.as_str().to_owned(),
            full_name: user.identity.full_name,
            display_name: user.identity.display_name,
            role: user.role.as_str(),
            professional_title: user.professional_title,
            is_active: user.is_active,
            last_seen_at: user.last_seen_at,
            created_at: user.created_at,
        }
    }
}

/// Sign in
///
/// Opens a session on this device. An unknown address, a wrong password and a deactivated account get the
/// same answer, after the same time.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "login",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in.", body = SignInBody),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_credentials`", body = crate::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/login")]
async fn login(state: web::Data<State>, body: Body<LoginRequest>) -> Result<web::Json<SignInBody>> {
    let Body(LoginRequest { email, password }) = body;
    let password = Password::parse(password).map_err(invalid)?;
    Ok(web::Json(state.platform.accounts.login(&email, &password).await?.into()))
}

/// Swap a refresh token for a new pair
///
/// Each refresh token works once. A second use shows that it was stolen, and ends the session for both users.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "refresh",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "The next pair.", body = SignInBody),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_refresh_token`: unknown, expired, or used before.", body = crate::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/refresh")]
async fn refresh(state: web::Data<State>, body: Body<RefreshRequest>) -> Result<web::Json<SignInBody>> {
    Ok(web::Json(state.platform.accounts.refresh(&body.0.refresh_token).await?.into()))
}

/// Sign out
///
/// Ends the session: its tokens no longer work, and its sockets close with 4401 within a second.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "logout",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Signed out."),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/logout")]
async fn logout(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<HttpResponse> {
    state.platform.accounts.logout(&caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who am I?
#[utoipa::path(
    tag = "Accounts",
    operation_id = "me",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your account.", body = UserBody),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[get("/auth/me")]
async fn me(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<web::Json<UserBody>> {
    Ok(web::Json(state.platform.accounts.me(&caller).await?.into()))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(login).service(refresh).service(logout).service(me);
}
