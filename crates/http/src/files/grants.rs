//! What people say to files.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, put, web};
use alivio_kernel::{FieldError, Rule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::bodies::{FileBody, SignatureBody};
use super::serve::shown;
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// What a patient says to others seeing a file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FileConsent)]
struct ConsentBody {
    /// Whether they may.
    #[schema(example = true)]
    granted: bool,
}

/// Agree that others see a file
///
/// For the patient whom it is about, where their consent is asked for. It can be withdrawn. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "setFileConsent",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    request_body = ConsentBody,
    responses(
        (status = 200, description = "What is known of it now.", body = FileBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/files/{id}/consent")]
async fn consent(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<ConsentBody>,
) -> Result<web::Json<FileBody>> {
    let file = state.platform.files.consent(&caller, id.into_inner().into(), body.0.granted).await?;
    Ok(web::Json(shown(&state, file).await?))
}

/// What is signed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSignature {
    /// The checksum of the file as you have seen it: `SHA256:` and 64 hexadecimal digits.
    #[schema(
        example = "SHA256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        pattern = "^SHA256:[0-9a-f]{64}$"
    )]
    checksum: String,
}

/// Who has signed a file.
#[derive(Serialize, ToSchema)]
struct FileSignatures {
    /// The first first.
    items: Vec<SignatureBody>,
}

/// The digest that `SHA256:…` tells.
fn digest(checksum: &str) -> Result<[u8; 32]> {
    let malformed = || invalid(FieldError::new("checksum", Rule::Malformed));
    let digits =
        checksum.strip_prefix("SHA256:").filter(|digits| digits.len() == 64).ok_or_else(malformed)?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
        *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(malformed)?;
    }
    Ok(digest)
}

/// Sign a file
///
/// Where a signature is asked for: states that you stand for the file with this checksum. Everyone signs once; signing
/// again changes nothing. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "signFile",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    request_body = NewSignature,
    responses(
        (status = 201, description = "Who has signed it.", body = FileSignatures),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`signature_not_asked`; `checksum_mismatch`: it is another file; `file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/files/{id}/signatures")]
async fn sign(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewSignature>,
) -> Result<HttpResponse> {
    let digest = digest(&body.0.checksum)?;
    let signed = state.platform.files.sign(&caller, id.into_inner().into(), digest).await?;
    let items = signed.into_iter().map(SignatureBody::from).collect();
    Ok(HttpResponse::build(StatusCode::CREATED).json(FileSignatures { items }))
}

/// Who has signed a file
#[utoipa::path(
    tag = "Files",
    operation_id = "listFileSignatures",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    responses(
        (status = 200, description = "Who has.", body = FileSignatures),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/{id}/signatures")]
async fn signatures(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<FileSignatures>> {
    let signed = state.platform.files.signatures(&caller, id.into_inner().into()).await?;
    Ok(web::Json(FileSignatures { items: signed.into_iter().map(SignatureBody::from).collect() }))
}

pub(super) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(consent).service(sign).service(signatures);
}
