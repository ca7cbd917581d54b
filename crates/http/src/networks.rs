//! From where one may sign in (S0-232).

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest};
use alivio_kernel::Origin;
use futures_util::future::LocalBoxFuture;

use crate::extract::origin;
use crate::problem::{Problem, Result};
use crate::state::State;

/// Where whoever signs in asks from, if that is allowed. A handler that takes it looks at no credential otherwise.
pub(crate) struct FromAllowedNetwork(pub(crate) Origin);

impl FromRequest for FromAllowedNetwork {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (origin, state) = (origin(request), State::of(request));
        Box::pin(async move {
            let allowed = &state.config.allowed_networks;
            let inside = |address| allowed.iter().any(|net| net.contains(&address));
            if allowed.is_empty() || origin.address.is_some_and(inside) {
                return Ok(Self(origin));
            }
            state.platform.trail.refused(&origin, "sign_in.network", "network_not_allowed").await?;
            Err(Problem::new(StatusCode::FORBIDDEN, "network_not_allowed"))
        })
    }
}
