//! What people say to files.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use alivio_files::{Grant, Regrant};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::bodies::{FileBody, SignatureBody};
use super::serve::shown;
use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::profiles::given;
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

/// Someone whom a file came to.
#[derive(Serialize, ToSchema)]
#[schema(as = FileGrant)]
struct GrantBody {
    /// Who.
    user_id: Uuid,
    /// `conversation`: they were in it when the file came; `message`: they can read one that holds it.
    #[schema(example = "conversation")]
    through: &'static str,
    /// How often they have downloaded it.
    #[schema(example = 2)]
    downloads: u32,
    /// When they last did.
    last_download_at: Option<DateTime<Utc>>,
    /// When it was taken back from them.
    withdrawn_at: Option<DateTime<Utc>>,
}

impl From<Grant> for GrantBody {
    fn from(grant: Grant) -> Self {
        Self {
            user_id: grant.user_id.uuid(),
            through: if grant.is_member { "conversation" } else { "message" },
            downloads: grant.downloads,
            last_download_at: grant.last_download_at,
            withdrawn_at: grant.withdrawn_at,
        }
    }
}

/// Whom a file came to.
#[derive(Serialize, ToSchema)]
struct FileGrants {
    /// Everyone who may see it, and from whom it was taken back.
    items: Vec<GrantBody>,
}

/// Who may see a file
///
/// For whoever uploaded it and for the patient whom it is about.
#[utoipa::path(
    tag = "Files",
    operation_id = "listFileGrants",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    responses(
        (status = 200, description = "Who may.", body = FileGrants),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_uploader`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/{id}/grants")]
async fn grants(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<FileGrants>> {
    let granted = state.platform.files.grants(&caller, id.into_inner().into()).await?;
    Ok(web::Json(FileGrants { items: granted.into_iter().map(GrantBody::from).collect() }))
}

/// What others may do with a file from now on. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileGrantsChange {
    /// When others can look at it no more; at once, if that is over.
    access_expires_at: Option<DateTime<Utc>>,
    /// How often it may be downloaded altogether, those that were counted; `null`: as often as anyone likes.
    #[schema(example = 10, minimum = 1, maximum = 1000)]
    #[serde(default, deserialize_with = "given")]
    max_downloads: Option<Option<i64>>,
    /// It may be sent on elsewhere.
    #[schema(example = false)]
    can_forward: Option<bool>,
    /// It may be printed: whoever shows it obeys.
    #[schema(example = false)]
    can_print: Option<bool>,
    /// Whoever looks at it is drawn into their copy.
    #[schema(example = true)]
    watermark_required: Option<bool>,
}

/// Change what others may do with a file
///
/// For whoever uploaded it. It holds for what is asked for from then on; the others are told by `file.updated`. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "changeFileGrants",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    request_body = FileGrantsChange,
    responses(
        (status = 200, description = "What is known of it now.", body = FileBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_uploader`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`stale`: it has changed at the same time.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/files/{id}/grants")]
async fn regrant(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<FileGrantsChange>,
) -> Result<web::Json<FileBody>> {
    let FileGrantsChange { access_expires_at, max_downloads, can_forward, can_print, watermark_required } =
        body.0;
    let change =
        Regrant { access_expires_at, max_downloads, can_forward, can_print, watermark: watermark_required };
    let file = state.platform.files.regrant(&caller, id.into_inner().into(), &change).await?;
    Ok(web::Json(shown(&state, file).await?))
}

/// Take a file back from someone
///
/// For whoever uploaded it. For that person there is no such file from then on, and their links lead nowhere. They are
/// told by `file.removed`. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "withdrawFile",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The file."),
        ("user_id" = Uuid, Path, description = "From whom."),
    ),
    responses(
        (status = 204, description = "They do not see it any more."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_uploader`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/files/{id}/grants/{user_id}")]
async fn withdraw(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    ids: web::Path<(Uuid, Uuid)>,
) -> Result<HttpResponse> {
    let (id, user) = ids.into_inner();
    state.platform.files.withdraw(&caller, id.into(), user.into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Give a file back to someone
///
/// For whoever uploaded it and has taken it back from them. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "giveFileBack",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The file."),
        ("user_id" = Uuid, Path, description = "To whom."),
    ),
    responses(
        (status = 204, description = "They see it again."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_uploader`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/files/{id}/grants/{user_id}")]
async fn give_back(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    ids: web::Path<(Uuid, Uuid)>,
) -> Result<HttpResponse> {
    let (id, user) = ids.into_inner();
    state.platform.files.grant_again(&caller, id.into(), user.into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(consent).service(sign).service(signatures);
    config.service(grants).service(regrant).service(withdraw).service(give_back);
}
