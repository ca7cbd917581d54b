//! `/api/v1/auth`: signing in and out.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use alivio_accounts::{ACCESS_LIFETIME, Password, SignIn, User};
use alivio_kernel::{AccessScope, Sensitive};
use alivio_metrics::{SignInStep, http};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::cookies::{self, Delivery};
use crate::extract::{Body, SignedIn};
use crate::networks::FromAllowedNetwork;
use crate::problem::{Problem, Result, invalid, outcome};
use crate::responses::{Forged, Invalid, Malformed, NotJson, TooLarge, Unauthenticated, Unavailable};
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
    /// As given by an earlier sign-in to the same address on this device. Wrong guesses of strangers then do not matter.
    #[schema(example = "ald_0197a3c06f1e7c3a9d4e2f6b8a1c5d7e000000006a6b3f00")]
    device_token: Option<String>,
}

/// The refresh token to swap.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// As given by the last sign-in or refresh. Using it a second time ends the session. Left out, it is taken from
    /// the cookie, if `X-Alivio-Session` is `cookie`.
    #[schema(example = "alr_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    refresh_token: Option<String>,
}

/// What a client may do now, and as whom.
#[derive(Serialize, ToSchema)]
#[schema(as = SignIn)]
pub(crate) struct SignInBody {
    /// Send it as `Authorization: Bearer …`. Null if it came as a cookie.
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl")]
    pub(crate) access_token: Option<String>,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 600)]
    expires_in: i64,
    /// Swap it for the next pair before 30 minutes have passed in which nothing was done. Null while `stage` is not
    /// `full`, and if it came as a cookie.
    #[schema(example = "alr_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    pub(crate) refresh_token: Option<String>,
    /// With cookies only: send it as `X-CSRF-Token` with every request that is not `GET`.
    #[schema(example = "0197a3c06f1e7c3a9d4e2f6b8a1c5d7e")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) csrf_token: Option<String>,
    /// What may be done now: `full` means everything; `change_password`, `second_factor` and `enrol_second_factor`
    /// mean that step only, within ten minutes.
    #[schema(example = "full")]
    stage: &'static str,
    /// Keep it on this device, and send it with the next sign-in to this address. Only what leads to the stage `full`
    /// gives one; good for 180 days, unless the password changes or all sessions are ended.
    #[schema(example = "ald_0197a3c06f1e7c3a9d4e2f6b8a1c5d7e000000006a6b3f00")]
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
    /// Who signed in.
    user: UserBody,
    /// The page to go to, by role.
    #[schema(example = "/doctor")]
    redirect_to: &'static str,
}

impl From<SignIn> for SignInBody {
    fn from(sign_in: SignIn) -> Self {
        Self {
            access_token: Some(sign_in.tokens.access.into_exposed()),
            token_type: "Bearer",
            expires_in: ACCESS_LIFETIME.num_seconds(),
            refresh_token: sign_in.tokens.refresh.map(Sensitive::into_exposed),
            csrf_token: None,
            stage: sign_in.stage.as_str(),
            device_token: sign_in.device_token.map(Sensitive::into_exposed),
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
    /// The language to write to them in: `es` or `en`.
    #[schema(example = "es")]
    language: &'static str,
    /// What the role allows. Rely on these rather than on the role.
    #[schema(example = json!(["directory:read", "contacts:manage"]))]
    scopes: Vec<&'static str>,
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
            language: user.language.tag(),
            scopes: user.role.scopes().map(AccessScope::as_str).collect(),
            is_active: user.is_active,
            last_seen_at: user.last_seen_at,
            created_at: user.created_at,
        }
    }
}

/// Sign in
///
/// Opens a session on this device. An unknown address, a wrong password and a deactivated account get the
/// same answer, after the same time. Each wrong password locks the address for a second, then two, and so on up to an
/// hour, ten tries per hour at most; while it is locked the right password gets that answer, too, unless the device is
/// known by its `device_token`.
///
/// With `X-Alivio-Session: cookie` the tokens come as cookies that scripts cannot read, and requests that change
/// something need the `csrf_token` of the answer, or of the cookie `alivio_csrf`, in `X-CSRF-Token`.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "login",
    request_body = LoginRequest,
    params(("X-Alivio-Session" = Option<String>, Header, description = "`cookie`: the tokens come as cookies.")),
    responses(
        (status = 200, description = "Signed in.", body = SignInBody),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_credentials`", body = crate::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`network_not_allowed`: not from this network.", body = crate::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/login")]
async fn login(
    state: web::Data<State>,
    FromAllowedNetwork(origin): FromAllowedNetwork,
    delivery: Delivery,
    body: Body<LoginRequest>,
) -> Result<HttpResponse> {
    let Body(LoginRequest { email, password, device_token }) = body;
    let password = Password::parse(password).map_err(invalid)?;
    let accounts = &state.platform.accounts;
    let sign_in = accounts.login(&email, &password, device_token.as_deref(), &origin).await;
    Ok(delivery.answer(&state, counted(SignInStep::Password, sign_in)?))
}

/// Counts what came of a secret that was presented to sign in.
pub(crate) fn counted(
    step: SignInStep,
    sign_in: std::result::Result<SignIn, alivio_accounts::Error>,
) -> Result<SignIn> {
    let sign_in = sign_in.map_err(Problem::from);
    http::SIGN_INS.of((step, outcome(&sign_in))).increment(1);
    sign_in
}

/// Swap a refresh token for a new pair
///
/// Each refresh token works once. A second use shows that it was stolen, and ends the session for both users.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "refresh",
    request_body = RefreshRequest,
    params(("X-Alivio-Session" = Option<String>, Header, description = "`cookie`: the tokens come as cookies.")),
    responses(
        (status = 200, description = "The next pair.", body = SignInBody),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_refresh_token`: unknown, expired, or used before.", body = crate::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`csrf_token_invalid`: the session came by cookie, and `X-CSRF-Token` is missing or wrong. `network_not_allowed`: not from this network.", body = crate::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/refresh")]
async fn refresh(
    state: web::Data<State>,
    request: HttpRequest,
    FromAllowedNetwork(origin): FromAllowedNetwork,
    delivery: Delivery,
    body: Body<RefreshRequest>,
) -> Result<HttpResponse> {
    let token = match (body.0.refresh_token, delivery) {
        (Some(token), _) => token,
        (None, Delivery::Cookies) => cookies::refresh_token(&request, &state)?,
        (None, Delivery::Body) => {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed")
                .with(json!({"field": "refresh_token", "rule": "missing"})));
        }
    };
    let sign_in = state.platform.accounts.refresh(&token, &origin).await?;
    Ok(delivery.answer(&state, sign_in))
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
        (status = 403, response = Forged),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/logout")]
async fn logout(
    state: web::Data<State>,
    request: HttpRequest,
    SignedIn(caller): SignedIn,
) -> Result<HttpResponse> {
    state.platform.accounts.logout(&caller).await?;
    Ok(cookies::goodbye(&request, &state))
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
