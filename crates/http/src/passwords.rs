//! `/api/v1/auth`: how passwords are replaced.

use actix_web::{HttpResponse, post, web};
use alivio_accounts::{Email, NewPassword, Password};
use alivio_kernel::{FieldError, Origin, Rule};
use alivio_metrics::SignInStep;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::accounts::{SignInBody, counted};
use crate::cookies::Delivery;
use crate::extract::{Asked, Body, InStep};
use crate::networks::FromAllowedNetwork;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::registration::Acknowledgement;
use crate::responses::{Invalid, Malformed, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Who signs in with a temporary password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TemporaryLoginRequest {
    /// The e-mail address of the account.
    #[schema(example = "marcos.rey@clinic.example", max_length = 254)]
    email: String,
    /// What came by mail. Works once, for 24 hours.
    #[schema(example = "7K2MA-9QXWF-3HVTB-CDE45", min_length = 1, max_length = 1024, format = Password)]
    temporary_password: String,
    /// As given by an earlier sign-in to the same address on this device.
    #[schema(example = "ald_0197a3c06f1e7c3a9d4e2f6b8a1c5d7e000000006a6b3f00")]
    device_token: Option<String>,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePasswordRequest {
    /// The present password; not needed after a sign-in with a temporary one.
    #[schema(example = "caballo de antes", min_length = 1, max_length = 1024, format = Password)]
    current_password: Option<String>,
    /// At least 8 characters and at most 1,024 bytes, byte for byte; not the address, not one of the commonest.
    #[schema(example = "caballo correcto", min_length = 8, max_length = 1024, format = Password)]
    new_password: String,
}

/// Whose password was forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ForgotPasswordRequest {
    /// The e-mail address of the account.
    #[schema(example = "ana.lopez@clinic.example", max_length = 254)]
    email: String,
}

/// Another password, with the token that came by mail.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResetPasswordRequest {
    /// Works once, for an hour.
    #[schema(example = "alp_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    token: String,
    /// At least 8 characters and at most 1,024 bytes, byte for byte; not the address, not one of the commonest.
    #[schema(example = "caballo correcto", min_length = 8, max_length = 1024, format = Password)]
    new_password: String,
}

/// Either `email`, to ask for a token, or `token` and `new_password`, to use it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResetEitherRequest {
    /// The e-mail address of the account.
    #[schema(example = "ana.lopez@clinic.example", max_length = 254)]
    email: Option<String>,
    /// What came by mail.
    token: Option<String>,
    /// At least 8 characters and at most 1,024 bytes.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    new_password: Option<String>,
}

async fn do_change(
    state: &State,
    InStep(live): InStep,
    origin: &Origin,
    delivery: &Delivery,
    request: ChangePasswordRequest,
) -> Result<HttpResponse> {
    let current = request.current_password.map(Password::parse).transpose();
    let current = current.map_err(|error| invalid(FieldError::new("current_password", error.rule)))?;
    let new = NewPassword::parse("new_password", request.new_password).map_err(invalid)?;
    let sign_in = state.platform.passwords.change(&live, current, new, origin).await?;
    Ok(delivery.answer(state, sign_in))
}

async fn do_forgot(state: &State, origin: &Origin, email: &str) -> Result<HttpResponse> {
    let email = Email::parse(email).map_err(invalid)?;
    state.platform.passwords.forgot(&email, origin).await?;
    Ok(HttpResponse::Accepted().json(Acknowledgement { status: "reset_requested" }))
}

async fn do_reset(state: &State, origin: &Origin, token: &str, new_password: String) -> Result<HttpResponse> {
    let new = NewPassword::parse("new_password", new_password).map_err(invalid)?;
    state.platform.passwords.reset(token, new, origin).await?;
    Ok(HttpResponse::Ok().json(Acknowledgement { status: "password_reset" }))
}

/// Sign in with a temporary password
///
/// Uses it up. What follows is `change_password`, within ten minutes. One that is wrong, expired or was used before gets
/// the same answer, after the same time, as a wrong password at `POST /api/v1/auth/login`.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "loginTemporary",
    request_body = TemporaryLoginRequest,
    responses(
        (status = 200, description = "Signed in, to change the password.", body = SignInBody),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_credentials`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`network_not_allowed`: not from this network.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/login-temporary")]
async fn login_temporary(
    state: web::Data<State>,
    FromAllowedNetwork(origin): FromAllowedNetwork,
    delivery: Delivery,
    body: Body<TemporaryLoginRequest>,
) -> Result<HttpResponse> {
    let Body(TemporaryLoginRequest { email, temporary_password, device_token }) = body;
    let password = Password::parse(temporary_password)
        .map_err(|error| invalid(FieldError::new("temporary_password", error.rule)))?;
    let passwords = &state.platform.passwords;
    let sign_in = passwords.sign_in_temporary(&email, &password, device_token.as_deref(), &origin).await;
    Ok(delivery.answer(&state, counted(SignInStep::TemporaryPassword, sign_in)?))
}

macro_rules! change {
    ($(#[$doc:meta])* $name:ident, $id:literal, $path:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            tag = "Accounts",
            operation_id = $id,
            security(("bearer" = [])),
            request_body = ChangePasswordRequest,
            responses(
                (status = 200, description = "Changed. A full sign-in, in place of all others.", body = SignInBody),
                (status = 400, response = Malformed),
                (status = 401, response = Unauthenticated),
                (status = 403, description = "`step_required`: another step comes first.", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 413, response = TooLarge),
                (status = 415, response = NotJson),
                (status = 422, response = Invalid),
                (status = 503, response = Unavailable),
            )
        )]
        #[post($path)]
        async fn $name(
            state: web::Data<State>,
            live: InStep,
            Asked(origin): Asked,
            delivery: Delivery,
            body: Body<ChangePasswordRequest>,
        ) -> Result<HttpResponse> {
            do_change(&state, live, &origin, &delivery, body.0).await
        }
    };
}

change!(
    /// Change the password
    ///
    /// Ends all sign-ins of the account, the one that asks too, closes their sockets within a second, and answers with a
    /// new one. `invalid_credentials` (401) means that the current password is wrong.
    change_password, "changePassword", "/auth/password/change"
);
change!(
    /// Change the password (documented path)
    ///
    /// The same as `POST /api/v1/auth/password/change`.
    documented_change_password, "documentedChangePassword", "/auth/change-password"
);

macro_rules! forgot {
    ($(#[$doc:meta])* $name:ident, $id:literal, $path:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            tag = "Accounts",
            operation_id = $id,
            request_body = ForgotPasswordRequest,
            responses(
                (status = 202, description = "If the address has an account, a letter is on its way.", body = Acknowledgement),
                (status = 400, response = Malformed),
                (status = 413, response = TooLarge),
                (status = 415, response = NotJson),
                (status = 422, response = Invalid),
                (status = 503, response = Unavailable),
            )
        )]
        #[post($path)]
        async fn $name(
            state: web::Data<State>,
            Asked(origin): Asked,
            body: Body<ForgotPasswordRequest>,
        ) -> Result<HttpResponse> {
            do_forgot(&state, &origin, &body.0.email).await
        }
    };
}

forgot!(
    /// Ask for another password
    ///
    /// The answer is the same whether the address has an account or not. The token that is mailed works once, for an
    /// hour, unless a newer one is asked for.
    forgot_password, "forgotPassword", "/auth/password/forgot"
);
forgot!(
    /// Ask for another password (documented path)
    ///
    /// The same as `POST /api/v1/auth/password/forgot`.
    documented_forgot_password, "documentedForgotPassword", "/auth/forgot-password"
);

macro_rules! reset {
    ($(#[$doc:meta])* $name:ident, $id:literal, $path:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            tag = "Accounts",
            operation_id = $id,
            request_body = ResetPasswordRequest,
            responses(
                (status = 200, description = "The password is the new one; all sign-ins have ended.", body = Acknowledgement),
                (status = 400, response = Malformed),
                (status = 401, description = "`invalid_secret`: the token is wrong, expired, or was used before.", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 413, response = TooLarge),
                (status = 415, response = NotJson),
                (status = 422, response = Invalid),
                (status = 503, response = Unavailable),
            )
        )]
        #[post($path)]
        async fn $name(
            state: web::Data<State>,
            Asked(origin): Asked,
            body: Body<ResetPasswordRequest>,
        ) -> Result<HttpResponse> {
            let Body(ResetPasswordRequest { token, new_password }) = body;
            do_reset(&state, &origin, &token, new_password).await
        }
    };
}

reset!(
    /// Set another password
    ///
    /// With the token that came by mail. Ends all sign-ins of the account and closes their sockets within a second; a
    /// second factor stays as it is.
    reset_password, "resetPassword", "/auth/password/reset"
);
reset!(
    /// Set another password (documented path)
    ///
    /// The same as `POST /api/v1/auth/password/reset`.
    documented_reset_password, "documentedResetPassword", "/auth/reset-password-confirm"
);

/// Ask for another password, or set it (documented path)
///
/// With `email` the same as `POST /api/v1/auth/password/forgot`; with `token` and `new_password` the same as
/// `POST /api/v1/auth/password/reset`.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "resetPasswordEither",
    request_body = ResetEitherRequest,
    responses(
        (status = 200, description = "The password is the new one; all sign-ins have ended.", body = Acknowledgement),
        (status = 202, description = "If the address has an account, a letter is on its way.", body = Acknowledgement),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_secret`: the token is wrong, expired, or was used before.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/reset-password")]
async fn reset_password_either(
    state: web::Data<State>,
    Asked(origin): Asked,
    body: Body<ResetEitherRequest>,
) -> Result<HttpResponse> {
    let missing = |field| invalid(FieldError::new(field, Rule::Missing));
    match body.0 {
        ResetEitherRequest { email: Some(_), token: Some(_), .. } => {
            Err(invalid(FieldError::new("email", Rule::Malformed)))
        }
        ResetEitherRequest { token: Some(token), new_password, email: None } => {
            do_reset(&state, &origin, &token, new_password.ok_or_else(|| missing("new_password"))?).await
        }
        ResetEitherRequest { new_password: Some(_), token: None, .. } => Err(missing("token")),
        ResetEitherRequest { email, .. } => {
            do_forgot(&state, &origin, &email.ok_or_else(|| missing("email"))?).await
        }
    }
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config
        .service(login_temporary)
        .service(change_password)
        .service(documented_change_password)
        .service(forgot_password)
        .service(documented_forgot_password)
        .service(reset_password)
        .service(documented_reset_password)
        .service(reset_password_either);
}
