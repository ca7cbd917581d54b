//! `/api/v1/auth/mfa`: the second factor of a sign-in.

use actix_web::{HttpResponse, delete, get, post, web};
use alivio_accounts::{OneTimeCode, Password, Proof, RecoveryCode};
use alivio_kernel::{FieldError, Rule};
use alivio_metrics::SignInStep;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::{SignInBody, counted};
use crate::cookies::Delivery;
use crate::extract::{Asked, Body, InStep, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{
    Forged, Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable,
};
use crate::state::State;

/// How it stands with the second factor.
#[derive(Serialize, ToSchema)]
struct SecondFactorStatus {
    /// Whether it is on.
    enabled: bool,
    /// Whether the clinic demands one of your role.
    required: bool,
    /// How many recovery codes were not used yet, of ten.
    #[schema(example = 10)]
    recovery_codes_left: u32,
}

/// What an authenticator app needs to know. It is shown this once.
#[derive(Serialize, ToSchema)]
struct SecondFactorEnrolment {
    /// The secret in base 32, to be typed.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    secret: String,
    /// The same as an address, to be shown as a QR code.
    #[schema(
        example = "otpauth://totp/Alivio:maria%40clinic.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Alivio"
    )]
    otpauth_url: String,
}

/// The password of someone who is signed in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EnrolRequest {
    /// Needed unless the sign-in waits for this step.
    #[schema(example = "Alivio-demo-1", min_length = 1, max_length = 1024, format = Password)]
    password: Option<String>,
}

/// A code of the authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeRequest {
    /// The six digits that the app shows.
    #[schema(example = "123456")]
    code: String,
}

/// A code of the authenticator app, or a recovery code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VerifyRequest {
    /// The six digits that the app shows.
    #[schema(example = "123456")]
    code: Option<String>,
    /// Instead: a recovery code, which is used up.
    #[schema(example = "ABCD-EFGH-2345-6722")]
    recovery_code: Option<String>,
}

/// A code of the authenticator app, or the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TurnOffRequest {
    /// The six digits that the app shows.
    #[schema(example = "123456")]
    code: Option<String>,
    /// Instead: the password.
    #[schema(example = "Alivio-demo-1", min_length = 1, max_length = 1024, format = Password)]
    password: Option<String>,
}

/// Recovery codes. They are shown this once.
#[derive(Serialize, ToSchema)]
struct RecoveryCodes {
    /// Each completes one sign-in without the app.
    #[schema(example = json!(["ABCD-EFGH-2345-6722"]))]
    recovery_codes: Vec<String>,
}

/// What turning the second factor on gives.
#[derive(Serialize, ToSchema)]
struct SecondFactorConfirmed {
    /// Each completes one sign-in without the app. They are shown this once.
    #[schema(example = json!(["ABCD-EFGH-2345-6722"]))]
    recovery_codes: Vec<String>,
    /// A full sign-in, if this was the step that was missing.
    sign_in: Option<SignInBody>,
}

fn written(codes: &[RecoveryCode]) -> Vec<String> {
    codes.iter().map(|code| code.written().into_exposed()).collect()
}

/// Exactly one of the two.
fn either(
    (field, code): (&'static str, Option<String>),
    (other_field, other): (&'static str, Option<String>),
    parse: impl FnOnce(String) -> std::result::Result<Proof, FieldError>,
) -> Result<Proof> {
    match (code, other) {
        (Some(code), None) => OneTimeCode::parse(&code).map(Proof::Code).map_err(invalid),
        (None, Some(other)) => parse(other).map_err(invalid),
        (None, None) => Err(invalid(FieldError::new(field, Rule::Empty))),
        (Some(_), Some(_)) => Err(invalid(FieldError::new(other_field, Rule::TooMany { max: 1 }))),
    }
}

/// How is my second factor?
#[utoipa::path(
    tag = "Accounts",
    operation_id = "secondFactorStatus",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "How it stands.", body = SecondFactorStatus),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`step_required`: another step of the sign-in comes first.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[get("/auth/mfa")]
async fn status(state: web::Data<State>, InStep(live): InStep) -> Result<web::Json<SecondFactorStatus>> {
    let status = state.platform.second_factor.status(&live).await?;
    Ok(web::Json(SecondFactorStatus {
        enabled: status.is_on,
        required: status.is_required,
        recovery_codes_left: status.recovery_codes_left,
    }))
}

/// Set up an authenticator app
///
/// The second factor is on once `confirm` has seen a code of the app. Repeating this makes a new secret. It takes the
/// password, unless it was just given: while the `stage` of the sign-in is `enrol_second_factor`.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "enrolSecondFactor",
    security(("bearer" = [])),
    request_body = EnrolRequest,
    responses(
        (status = 201, description = "What the app needs to know.", body = SecondFactorEnrolment),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_credentials`: wrong password; `unauthenticated`, `invalid_token`, `session_ended`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`step_required`, `csrf_token_invalid`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`second_factor_on`: turn it off first.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/mfa/totp")]
async fn enrol(
    state: web::Data<State>,
    InStep(live): InStep,
    Asked(origin): Asked,
    body: Body<EnrolRequest>,
) -> Result<HttpResponse> {
    let password = body.0.password.map(Password::parse).transpose().map_err(invalid)?;
    let enrolment = state.platform.second_factor.enrol(&live, password.as_ref(), &origin).await?;
    Ok(HttpResponse::Created().json(SecondFactorEnrolment {
        secret: enrolment.secret.into_exposed(),
        otpauth_url: enrolment.url.into_exposed(),
    }))
}

/// Turn the second factor on
///
/// Show a code of the app that was set up. From now on every sign-in needs one; all other sessions end.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "confirmSecondFactor",
    security(("bearer" = [])),
    request_body = CodeRequest,
    params(("X-Alivio-Session" = Option<String>, Header, description = "`cookie`: the tokens of a sign-in come as cookies.")),
    responses(
        (status = 200, description = "It is on.", body = SecondFactorConfirmed),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`invalid_code`, `step_required`, `csrf_token_invalid`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`second_factor_on`, `second_factor_off`: none is being set up.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/mfa/totp/confirm")]
async fn confirm(
    state: web::Data<State>,
    InStep(live): InStep,
    Asked(origin): Asked,
    delivery: Delivery,
    body: Body<CodeRequest>,
) -> Result<HttpResponse> {
    let code = OneTimeCode::parse(&body.0.code).map_err(invalid)?;
    let confirmed = state.platform.second_factor.confirm(&live, &code, &origin).await?;
    let recovery_codes = written(&confirmed.recovery_codes);
    let answer = |sign_in| HttpResponse::Ok().json(SecondFactorConfirmed { recovery_codes, sign_in });
    Ok(match confirmed.sign_in {
        Some(sign_in) => delivery.with(&state, sign_in, |body| answer(Some(body))),
        None => answer(None),
    })
}

/// Turn the second factor off
#[utoipa::path(
    tag = "Accounts",
    operation_id = "turnOffSecondFactor",
    security(("bearer" = [])),
    request_body = TurnOffRequest,
    responses(
        (status = 204, description = "It is off, and its recovery codes are gone."),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`second_factor_required`: the clinic demands one of your role; `invalid_code`: wrong code or password; `csrf_token_invalid`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`second_factor_off`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 429, description = "`codes_locked`: too many wrong ones; `details.retry_after` seconds.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/auth/mfa/totp")]
async fn turn_off(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<TurnOffRequest>,
) -> Result<HttpResponse> {
    let TurnOffRequest { code, password } = body.0;
    let proof =
        either(("code", code), ("password", password), |text| Password::parse(text).map(Proof::Password))?;
    state.platform.second_factor.turn_off(&caller, &proof).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Get new recovery codes
///
/// The old ones no longer work.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "renewRecoveryCodes",
    security(("bearer" = [])),
    request_body = CodeRequest,
    responses(
        (status = 200, description = "Ten new ones.", body = RecoveryCodes),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`invalid_code`, `csrf_token_invalid`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`second_factor_off`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 429, description = "`codes_locked`: too many wrong ones; `details.retry_after` seconds.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/mfa/recovery-codes")]
async fn renew_recovery_codes(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<CodeRequest>,
) -> Result<web::Json<RecoveryCodes>> {
    let code = OneTimeCode::parse(&body.0.code).map_err(invalid)?;
    let codes = state.platform.second_factor.renew_recovery_codes(&caller, code).await?;
    Ok(web::Json(RecoveryCodes { recovery_codes: written(&codes) }))
}

/// Complete a sign-in
///
/// For a sign-in whose `stage` is `second_factor`. Each code works once. After five wrong ones the sign-in ends, and
/// codes are refused for 30 seconds; each further wrong one doubles that.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "verifySecondFactor",
    security(("bearer" = [])),
    request_body = VerifyRequest,
    params(("X-Alivio-Session" = Option<String>, Header, description = "`cookie`: the tokens of the sign-in come as cookies.")),
    responses(
        (status = 200, description = "Signed in.", body = SignInBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`invalid_code`: wrong, or used before; `csrf_token_invalid`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`no_step_pending`, `second_factor_off`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 429, description = "`codes_locked`: too many wrong ones; sign in again in `details.retry_after` seconds.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/mfa/verify")]
async fn verify(
    state: web::Data<State>,
    InStep(live): InStep,
    Asked(origin): Asked,
    delivery: Delivery,
    body: Body<VerifyRequest>,
) -> Result<HttpResponse> {
    let VerifyRequest { code, recovery_code } = body.0;
    let proof = either(("code", code), ("recovery_code", recovery_code), |text| {
        RecoveryCode::parse(&text).map(Proof::RecoveryCode)
    })?;
    let sign_in = state.platform.second_factor.verify(&live, &proof, &origin).await;
    Ok(delivery.answer(&state, counted(SignInStep::SecondFactor, sign_in)?))
}

/// Reset the second factor of someone who has lost it
///
/// Needs the scope `users:manage`. Their sessions end; their next sign-in needs the password only, and a new second
/// factor if the clinic demands one.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "resetSecondFactor",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The user.")),
    responses(
        (status = 204, description = "Reset."),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forged),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/admin/users/{id}/mfa")]
async fn reset(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.second_factor.reset(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(status).service(enrol).service(confirm).service(turn_off);
    config.service(renew_recovery_codes).service(verify).service(reset);
}
