//! `/files/uploads`: uploads in pieces, by tus 1.0.0 (creation, termination, expiration).

use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, delete, head, patch, post, web};
use alivio_files::{Draft, Error, Piece, Policy, Progress, Said};
use alivio_kernel::ids::FileId;
use alivio_kernel::{Clock, FieldError, Rule, SystemClock};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use utoipa::ToSchema;
use uuid::Uuid;

use super::form;
use super::pace::Pace;
use crate::extract::SignedIn;
use crate::problem::{Problem, ProblemDetails, Result, invalid};
use crate::responses::{Bytes, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable};
use crate::state::State;

/// Pieces of a body, of at most 128 KiB, that wait to be stored.
const AHEAD: usize = 4;

pub(super) const TUS_VERSION: &str = "1.0.0";

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSIONS: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const FILE: HeaderName = HeaderName::from_static("x-file-status");

/// Versions of the protocol that are spoken here.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the header")]
enum TusVersion {
    #[schema(rename = "1.0.0")]
    V1,
}

fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Refuses another version of the protocol than ours, as tus wants it, and whoever says none.
fn check_version(request: &HttpRequest) -> Result<()> {
    match request.headers().get(&TUS_RESUMABLE) {
        Some(version) if version == TUS_VERSION => Ok(()),
        Some(_) => Err(Problem::new(StatusCode::PRECONDITION_FAILED, "tus_version")),
        None => Err(invalid(FieldError::new("Tus-Resumable", Rule::Missing))),
    }
}

/// A number in a header that must be there.
fn number(request: &HttpRequest, name: &HeaderName, field: &'static str) -> Result<u64> {
    let rule = if header(request, name).is_some() { Rule::Malformed } else { Rule::Missing };
    let value = header(request, name).and_then(|value| value.parse().ok());
    value.ok_or_else(|| invalid(FieldError::new(field, rule)))
}

/// What is said in `Upload-Metadata`: names and values in base64, between commas.
fn metadata(request: &HttpRequest) -> Result<Said> {
    let malformed = || invalid(FieldError::new("Upload-Metadata", Rule::Malformed));
    let mut said = Said::default();
    let pairs = header(request, &UPLOAD_METADATA).unwrap_or_default();
    for pair in pairs.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = STANDARD.decode(value.trim()).map_err(|_| malformed())?;
        let value = String::from_utf8(value).map_err(|_| malformed())?;
        match name {
            "filename" | "name" => said.filename = Some(value),
            "filetype" | "type" => said.mime = Some(value),
            // Uppy tells it unasked; where a file lay is nobody's business.
            "relativePath" => {}
            name => form::take(&mut said, name, &value)?,
        }
    }
    Ok(said)
}

/// As HTTP dates are written.
fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn told(mut response: HttpResponseBuilder, progress: &Progress) -> HttpResponse {
    response
        .insert_header((TUS_RESUMABLE, TUS_VERSION))
        .insert_header((UPLOAD_OFFSET, progress.offset))
        .insert_header((UPLOAD_LENGTH, progress.length))
        .insert_header((CACHE_CONTROL, "no-store"));
    if let Some(at) = progress.expires_at {
        response.insert_header((UPLOAD_EXPIRES, http_date(at)));
    }
    if let Some(file) = &progress.file {
        response.insert_header((FILE, file.state.as_str()));
    }
    response.finish()
}

/// What tus clients ask first: not an operation, but a question about all of them.
async fn capabilities() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((TUS_RESUMABLE, TUS_VERSION))
        .insert_header((TUS_VERSIONS, TUS_VERSION))
        .insert_header((TUS_EXTENSION, "creation,termination,expiration"))
        .insert_header((TUS_MAX_SIZE, Policy::largest()))
        .insert_header((ALLOW, "OPTIONS, POST"))
        .finish()
}

/// Begin an upload in pieces
///
/// tus 1.0.0 with the extensions creation, termination and expiration: any tus client will do. `Upload-Metadata` has
/// `filename`, `filetype`, and the fields of the form of `POST /files`. The upload is forgotten after a day; once all is
/// there it becomes the file of the same id.
#[utoipa::path(
    tag = "Files",
    operation_id = "beginUpload",
    security(("bearer" = [])),
    params(
        ("Tus-Resumable" = inline(TusVersion), Header, description = "The version of the protocol.", example = "1.0.0"),
        ("Upload-Length" = u64, Header, description = "How many bytes there will be.", minimum = 1, example = 104_857_600),
        ("Upload-Metadata" = String, Header, description = "Names and values in base64.", example = "filename ZWNvLm1wNA=="),
    ),
    responses(
        (status = 201, description = "It has begun. `Location` is where its pieces go.", headers(("Location" = String, description = "Where its pieces go."), ("Upload-Expires" = String, description = "When it is forgotten."))),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "As for `POST /files`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`conversation_closed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "`tus_version`: another version of the protocol.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "`file_too_large`: `details` has `file_size`, which is the `Upload-Length`, `max_size` and `suggested_compression`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 429, response = RateLimited),
        (status = 503, response = Unavailable),
    )
)]
#[post("/files/uploads")]
async fn begin_upload(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    request: HttpRequest,
) -> Result<HttpResponse> {
    check_version(&request)?;
    let length = number(&request, &UPLOAD_LENGTH, "Upload-Length")?;
    let draft = Draft::parse(metadata(&request)?, SystemClock.now()).map_err(invalid)?;
    let (id, progress) = state.platform.files.begin_upload(&caller, &draft, length).await?;
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, format!("/api/v1/files/uploads/{id}")));
    Ok(told(response, &progress))
}

/// How far an upload has come
///
/// Also when it is a file by now: then `Upload-Offset` is `Upload-Length`, and `X-File-Status` is there. Whoever did not
/// get the answer to the last piece asks here, and need not send anything again.
#[utoipa::path(
    tag = "Files",
    operation_id = "getUploadOffset",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The upload."),
        ("Tus-Resumable" = inline(TusVersion), Header, description = "The version of the protocol.", example = "1.0.0"),
    ),
    responses(
        (status = 200, description = "It goes on at `Upload-Offset`.", headers(("Upload-Offset" = u64, description = "How many bytes are there."), ("Upload-Length" = u64, description = "How many there will be."), ("Upload-Expires" = String, description = "When it is forgotten, unless it is a file by then."), ("X-File-Status" = String, description = "The `status` of the file, once it is one."))),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "As for its last piece, if that could not make it a file", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`conversation_closed`, likewise.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "`tus_version`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "`file_too_large`, likewise.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "`file_type_not_allowed`, likewise.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`validation_failed`; `file_refused`, likewise.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, response = RateLimited),
        (status = 503, response = Unavailable),
    )
)]
#[head("/files/uploads/{id}")]
async fn upload_offset(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    check_version(&request)?;
    let progress = state.platform.files.upload(&caller, id.into_inner().into()).await?;
    Ok(told(HttpResponse::Ok(), &progress))
}

/// Send a piece of an upload
///
/// What has come stays, also when the connection breaks: `HEAD` tells how far it is. With the last piece the upload
/// becomes a file, which waits for its scan.
#[utoipa::path(
    tag = "Files",
    operation_id = "sendUploadPiece",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The upload."),
        ("Tus-Resumable" = inline(TusVersion), Header, description = "The version of the protocol.", example = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "Where the piece begins.", example = 0),
    ),
    request_body(content = Bytes, content_type = "application/offset+octet-stream", description = "The piece."),
    responses(
        (status = 204, description = "It is there.", headers(("Upload-Offset" = u64, description = "How many bytes are there."), ("Upload-Expires" = String, description = "When it is forgotten, unless it is a file by then."), ("X-File-Status" = String, description = "The `status` of the file, `pending`, once the upload is one."))),
        (status = 400, description = "`upload_incomplete`: it breaks off.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "As for `POST /files`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 408, description = "`request_timeout`: it hardly comes.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`upload_offset_mismatch`: it goes on at `details.offset`; `conversation_closed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "`tus_version`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "`file_too_large`: more than was said, or more than its type may have; `details` as for `POST /files`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_body`: it is no `application/offset+octet-stream`; `file_type_not_allowed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`validation_failed`; `file_refused`: its content breaks a rule (`details.reason`).", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
        (status = 507, description = "`storage_full`: there is no room.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
#[patch("/files/uploads/{id}")]
async fn send_piece(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse> {
    check_version(&request)?;
    if request.headers().get(CONTENT_TYPE)
        != Some(&HeaderValue::from_static("application/offset+octet-stream"))
    {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_body"));
    }
    let offset = number(&request, &UPLOAD_OFFSET, "Upload-Offset")?;
    let id = FileId::from(id.into_inner());
    let piece = state.platform.files.resume(&caller, id, offset).await?;
    let (sender, coming) = mpsc::channel(AHEAD);
    // It is sealed and stored while the next bytes come already. What has come stays, though whoever sends it hangs up:
    // it is not dropped with the connection.
    let taken = state.beside.spawn(take(piece, coming));
    let passed = pass(payload, Pace::new(state.config.upload_patience), sender).await;
    let progress = taken.await.map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR))??;
    passed?;
    Ok(told(HttpResponse::NoContent(), &progress))
}

/// Passes on what comes, until there is no more, or nobody takes it.
async fn pass(mut payload: web::Payload, mut pace: Pace, sender: mpsc::Sender<web::Bytes>) -> Result<()> {
    while let Some(bytes) = pace.next(&mut payload).await? {
        if sender.send(bytes).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Takes what is passed on, all of it or what was left of it when it was cut.
async fn take(
    mut piece: Piece,
    mut coming: mpsc::Receiver<web::Bytes>,
) -> std::result::Result<Progress, Error> {
    while let Some(bytes) = coming.recv().await {
        match piece.write(&bytes).await {
            Ok(()) => {}
            Err(error @ Error::TooLarge { .. }) => {
                piece.abort().await;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
    piece.finish().await
}

/// Give an upload up
#[utoipa::path(
    tag = "Files",
    operation_id = "cancelUpload",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The upload."),
        ("Tus-Resumable" = inline(TusVersion), Header, description = "The version of the protocol.", example = "1.0.0"),
    ),
    responses(
        (status = 204, description = "Nothing of it is left."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 412, description = "`tus_version`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/files/uploads/{id}")]
async fn cancel_upload(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    check_version(&request)?;
    state.platform.files.give_up(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().insert_header((TUS_RESUMABLE, TUS_VERSION)).finish())
}

pub(super) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(begin_upload).service(upload_offset).service(send_piece).service(cancel_upload);
    config.route("/files/uploads", web::method(Method::OPTIONS).to(capabilities));
}
