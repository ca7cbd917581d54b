//! Cookie mode (C-28): the tokens of a sign-in as cookies that scripts cannot read, for web pages.
//!
//! Browsers add cookies by themselves, also to what another page makes them ask for. So whatever is changed by a
//! cookie alone needs a second token in `X-CSRF-Token`, which only a page that can read our answers knows. It is
//! bound to the session.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use alivio_accounts::{ACCESS_LIFETIME, SignIn};
use alivio_kernel::ids::SessionId;
use alivio_kernel::{Clock, SystemClock};
use cookie::{Cookie, SameSite};
use serde_json::json;

use crate::accounts::SignInBody;
use crate::extract::bearer;
use crate::problem::{Problem, Result};
use crate::state::State;

/// Holds the access token.
pub(crate) const SESSION: &str = "alivio_session";
/// Holds the refresh token, after the id of its session.
const REFRESH: &str = "alivio_refresh";
/// Holds the token that a page puts into [`CSRF_HEADER`].
const CSRF: &str = "alivio_csrf";
/// Where each cookie is sent.
const SESSION_PATH: &str = "/api";
const REFRESH_PATH: &str = "/api/v1/auth/refresh";
const CSRF_PATH: &str = "/";

const CSRF_HEADER: &str = "x-csrf-token";
const MODE_HEADER: &str = "x-alivio-session";

/// How a client wants the tokens of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In the body.
    Body,
    /// As cookies.
    Cookies,
}

impl FromRequest for Delivery {
    type Error = Problem;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match request.headers().get(MODE_HEADER).map(HeaderValue::as_bytes) {
            None => Ok(Self::Body),
            Some(b"cookie") => Ok(Self::Cookies),
            Some(_) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed")
                .with(json!({"field": "X-Alivio-Session", "rule": "unknown"}))),
        })
    }
}

impl Delivery {
    /// A sign-in as an answer.
    pub(crate) fn answer(self, state: &State, sign_in: SignIn) -> HttpResponse {
        self.with(state, sign_in, |body| HttpResponse::Ok().json(body))
    }

    /// A sign-in as part of an answer.
    pub(crate) fn with(
        self,
        state: &State,
        sign_in: SignIn,
        answer: impl FnOnce(SignInBody) -> HttpResponse,
    ) -> HttpResponse {
        if self == Self::Body {
            return answer(sign_in.into());
        }
        let (session, ends) = (sign_in.session_id, sign_in.expires_at - SystemClock.now());
        let csrf = state.platform.accounts.csrf_token(session).into_exposed();
        let mut body = SignInBody::from(sign_in);
        let (access, refresh) = (body.access_token.take(), body.refresh_token.take());
        body.csrf_token = Some(csrf.clone());
        let mut response = answer(body);
        let mut put = |name, value, path, seconds| add(&mut response, state, (name, value, path), seconds);
        put(SESSION, access.unwrap_or_default(), SESSION_PATH, ACCESS_LIFETIME.num_seconds());
        if let Some(refresh) = refresh {
            put(REFRESH, format!("{session}.{refresh}"), REFRESH_PATH, ends.num_seconds());
        }
        put(CSRF, csrf, CSRF_PATH, ends.num_seconds());
        response
    }
}

/// `204`, and no cookies of ours from now on, if there were any.
pub(crate) fn goodbye(request: &HttpRequest, state: &State) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    if find(request.headers(), SESSION).is_some() {
        for (name, path) in [(SESSION, SESSION_PATH), (REFRESH, REFRESH_PATH), (CSRF, CSRF_PATH)] {
            add(&mut response, state, (name, String::new(), path), 0);
        }
    }
    response
}

fn add(
    response: &mut HttpResponse,
    state: &State,
    (name, value, path): (&'static str, String, &'static str),
    seconds: i64,
) {
    let cookie = Cookie::build((name, value))
        .path(path)
        .max_age(cookie::time::Duration::seconds(seconds))
        .http_only(name != CSRF)
        .secure(state.config.secure_cookies)
        .same_site(SameSite::Strict);
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut cookies = lines.flat_map(Cookie::split_parse).filter_map(|cookie| cookie.ok());
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// What someone presents with a request.
pub(crate) struct Presented {
    pub(crate) token: String,
    /// What must prove that no other page made the browser ask: nothing, or what came in [`CSRF_HEADER`].
    csrf: Option<String>,
}

impl Presented {
    /// A bearer token wins over a cookie.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        if let Some(token) = bearer(request.headers()) {
            return Some(Self { token: token.to_owned(), csrf: None });
        }
        let token = find(request.headers(), SESSION)?;
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        Some(Self { token, csrf: (!is_safe).then(|| csrf_header(request.headers())) })
    }

    /// Refuses what another page may have made the browser ask for.
    pub(crate) fn check(&self, state: &State, session: SessionId) -> Result<()> {
        self.csrf.as_ref().map_or(Ok(()), |presented| check(state, session, presented))
    }
}

/// The refresh token of a cookie.
pub(crate) fn refresh_token(request: &HttpRequest, state: &State) -> Result<String> {
    let refused = || Problem::new(StatusCode::UNAUTHORIZED, "invalid_refresh_token");
    let cookie = find(request.headers(), REFRESH).ok_or_else(refused)?;
    let (session, token) = cookie.split_once('.').ok_or_else(refused)?;
    let session: SessionId = session.parse().map_err(|_| refused())?;
    check(state, session, &csrf_header(request.headers()))?;
    Ok(token.to_owned())
}

fn csrf_header(headers: &HeaderMap) -> String {
    headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
}

fn check(state: &State, session: SessionId, presented: &str) -> Result<()> {
    if state.platform.accounts.is_csrf_token(session, presented) {
        Ok(())
    } else {
        Err(Problem::new(StatusCode::FORBIDDEN, "csrf_token_invalid"))
    }
}
