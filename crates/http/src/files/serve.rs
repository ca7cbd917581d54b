//! Files as they are found and given.

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, DispositionType, ETAG,
    EntityTag, IF_RANGE, IfNoneMatch, LOCATION, RANGE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, delete, get, head, post, web};
use alivio_files::{Content, File, FileQuery, Opened, View};
use alivio_kernel::ids::FileId;
use alivio_kernel::{Caller, FieldError, Page, PageSize, Rule};
use alivio_metrics::files as metrics;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::{FileBody, checksum, disposition};
use super::range::{Wanted, wanted};
use crate::conditional::not_modified;
use crate::extract::{SignedIn, origin};
use crate::problem::{Problem, ProblemDetails, Result, invalid};
use crate::responses::{Bytes, Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

/// Pieces of a file, of at most 256 KiB, that wait to be sent.
const AHEAD: usize = 2;

/// Whatever a file is, no browser runs it.
const SANDBOX: &str = "sandbox; default-src 'none'";

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FileParams {
    /// Only those of this conversation.
    conversation_id: Option<Uuid>,
    /// Only those about this patient.
    patient_id: Option<Uuid>,
    /// Only those that belong to this consultation.
    related_appointment: Option<Uuid>,
    /// Only those that are this in a record: `lab_result`, `imaging` …
    #[param(example = "imaging")]
    document_type: Option<String>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// A page of files.
#[derive(Serialize, ToSchema)]
struct FilePage {
    /// Newest first.
    items: Vec<FileBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// Files that you may see
///
/// Those of conversations that you are in, uploaded since you came, and those in messages that you can read.
#[utoipa::path(
    tag = "Files",
    operation_id = "listFiles",
    security(("bearer" = [])),
    params(FileParams),
    responses(
        (status = 200, description = "A page.", body = FilePage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<FileParams>,
) -> Result<web::Json<FilePage>> {
    let malformed = |_| invalid(FieldError::new("cursor", Rule::Malformed));
    let after = params.cursor.as_deref().map(str::parse::<FileId>).transpose().map_err(malformed)?;
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let query = FileQuery {
        conversation_id: params.conversation_id.map(Into::into),
        patient_id: params.patient_id.map(Into::into),
        related_appointment: params.related_appointment.map(Into::into),
        document_type: params.document_type.as_deref().map(str::parse).transpose().map_err(invalid)?,
    };
    let Page { items, next_cursor } = state.platform.files.list(&caller, query, after, size).await?;
    let views = state.platform.screens.files(items).await?;
    Ok(web::Json(FilePage { items: views.iter().map(FileBody::from).collect(), next_cursor }))
}

/// What is known of a file
#[utoipa::path(
    tag = "Files",
    operation_id = "getFile",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    responses(
        (status = 200, description = "What is known of it.", body = FileBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/{id}")]
async fn one(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<FileBody>> {
    let file = state.platform.files.file(&caller, id.into_inner().into()).await?;
    Ok(web::Json(shown(&state, file).await?))
}

pub(super) async fn shown(state: &State, file: File) -> Result<FileBody> {
    Ok(FileBody::from(&state.platform.screens.file(file).await?))
}

/// Delete a file
///
/// Its uploader can, and a clinician who refuses what a patient handed over. What belongs to a record is withheld from
/// then on, and destroyed when it need not be kept any more; all else is destroyed at once.
#[utoipa::path(
    tag = "Files",
    operation_id = "deleteFile",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_uploader`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/files/{id}")]
async fn remove(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.files.delete(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LinkParams {
    /// The secret of a link of `POST /files/{id}/link`, instead of a sign-in.
    link: Option<String>,
}

/// Whoever asks: by a link, or signed in.
async fn whoever(state: &State, request: &HttpRequest, id: FileId, params: &LinkParams) -> Result<Caller> {
    let Some(secret) = &params.link else {
        let SignedIn(caller) = <SignedIn as actix_web::FromRequest>::extract(request).await?;
        return Ok(caller);
    };
    let holder = state.platform.files.by_link(id, secret).await?;
    Ok(Caller {
        user_id: holder.user_id,
        role: holder.role,
        session_id: holder.session_id,
        address: origin(request).address,
    })
}

/// The file, if whoever asks may open it.
async fn opened(
    state: &State,
    request: &HttpRequest,
    id: FileId,
    params: &LinkParams,
) -> Result<(Caller, Opened)> {
    let caller = whoever(state, request, id, params).await?;
    let opened = state.platform.files.opened(&caller, id).await?;
    Ok((caller, opened))
}

/// Download a file
///
/// `Range` gives one stretch of it, but for files that are marked for whoever looks at them or may be downloaded so many
/// times: those come as a whole. Each download is recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "downloadFile",
    security(("bearer" = []), ("cookie" = []), ("link" = [])),
    params(
        ("id" = Uuid, Path, description = "The file."),
        LinkParams,
        ("Range" = Option<String>, Header, description = "One stretch of bytes.", example = "bytes=0-1023"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` that the stretch must be of."),
    ),
    responses(
        (status = 200, description = "All of it.", body = Bytes, content_type = "*/*", headers(("ETag" = String, description = "Its checksum."), ("Content-Disposition" = String, description = "Its name."))),
        (status = 206, description = "The stretch.", body = Bytes, content_type = "*/*", headers(("Content-Range" = String, description = "Which stretch it is."))),
        (status = 304, description = "It still is the one of `If-None-Match`."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`consent_required`: the patient has not agreed; `file_expired`; `downloads_exhausted`; `file_quarantined`; `link_invalid`: the link is over, was withdrawn, or leads elsewhere", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`file_pending`: it waits for its scan; `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 416, description = "`range_not_satisfiable`: no such stretch, or several.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/{id}/content")]
async fn content(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<Uuid>,
    params: web::Query<LinkParams>,
    known: web::Header<IfNoneMatch>,
) -> Result<HttpResponse> {
    let (caller, opened) = opened(&state, &request, id.into_inner().into(), &params).await?;
    let tag = tag(&opened);
    if let Some(response) = tag.as_ref().and_then(|tag| not_modified(tag, &known)) {
        return Ok(response);
    }
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_same =
        header(IF_RANGE).is_none_or(|known| tag.as_ref().is_some_and(|tag| known == tag.to_string()));
    let asked = header(RANGE).filter(|_| is_same && !opened.is_whole);
    let size = opened.file.size;
    let part = match wanted(asked, size) {
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
        Wanted::Unsatisfiable => {
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable");
            let mut response = HttpResponse::from_error(problem);
            if let Ok(value) = format!("bytes */{size}").parse() {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            return Ok(response);
        }
    };
    let given = state.platform.files.download(&caller, &opened, part.clone()).await?;
    let mut response = match &part {
        Some(range) => {
            let mut response = HttpResponse::PartialContent();
            response
                .insert_header((CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)));
            response
        }
        None => HttpResponse::Ok(),
    };
    name(&mut response, &opened, tag);
    Ok(send(&state, response, given))
}

/// What a download would be like
///
/// Its type, size and `ETag`, and whether stretches can be asked for. No download is counted or recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "describeDownload",
    security(("bearer" = []), ("cookie" = []), ("link" = [])),
    params(("id" = Uuid, Path, description = "The file."), LinkParams),
    responses(
        (status = 200, description = "As the download would be answered. A file that is marked for whoever looks at it has no `Content-Length`.", headers(("ETag" = String, description = "Its checksum."), ("Content-Disposition" = String, description = "Its name."), ("Accept-Ranges" = String, description = "`bytes`, or `none` where it comes as a whole."))),
        (status = 304, description = "It still is the one of `If-None-Match`."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "As for the download", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[head("/files/{id}/content")]
async fn describe(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<Uuid>,
    params: web::Query<LinkParams>,
    known: web::Header<IfNoneMatch>,
) -> Result<HttpResponse> {
    let (_, opened) = opened(&state, &request, id.into_inner().into(), &params).await?;
    let tag = tag(&opened);
    if let Some(response) = tag.as_ref().and_then(|tag| not_modified(tag, &known)) {
        return Ok(response);
    }
    let mut response = HttpResponse::Ok();
    name(&mut response, &opened, tag);
    response.insert_header((CONTENT_SECURITY_POLICY, SANDBOX)).content_type(opened.file.mime());
    if opened.is_stamped {
        return Ok(response.finish());
    }
    Ok(response.body(SizedStream::new(opened.file.size, stream::empty::<std::io::Result<web::Bytes>>())))
}

/// What is said of a download before its bytes.
fn name(response: &mut HttpResponseBuilder, opened: &Opened, tag: Option<EntityTag>) {
    if let Some(tag) = tag {
        response.insert_header((ETAG, tag));
    }
    let ranges = if opened.is_whole { "none" } else { "bytes" };
    let name = disposition(DispositionType::Attachment, opened.file.name.as_str());
    response.insert_header((ACCEPT_RANGES, ranges)).insert_header((CONTENT_DISPOSITION, name));
}

/// Of what is the same for everyone.
fn tag(opened: &Opened) -> Option<EntityTag> {
    let digest = opened.file.sha256.as_ref().filter(|_| !opened.is_stamped)?;
    Some(EntityTag::new_strong(checksum(digest).trim_start_matches("SHA256:").to_owned()))
}

fn send(state: &State, mut response: HttpResponseBuilder, given: Content) -> HttpResponse {
    let (sender, mut opened) = mpsc::channel(AHEAD);
    let mut bytes = given.bytes.inspect_ok(|bytes| metrics::SENT.increment(bytes.len() as u64));
    // It is read and opened while what was opened before is on its way.
    state.beside.spawn(async move {
        while let Some(piece) = bytes.next().await {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    response
        .insert_header((CONTENT_SECURITY_POLICY, SANDBOX))
        .content_type(given.mime)
        .body(SizedStream::new(given.size, stream::poll_fn(move |cx| opened.poll_recv(cx))))
}

macro_rules! picture {
    ($(#[$doc:meta])* $name:ident, $id:literal, $path:literal, $view:ident) => {
        $(#[$doc])*
        #[utoipa::path(
            tag = "Files",
            operation_id = $id,
            security(("bearer" = []), ("cookie" = []), ("link" = [])),
            params(("id" = Uuid, Path, description = "The file."), LinkParams),
            responses(
                (status = 200, description = "The picture.", content((Bytes = "image/jpeg"), (Bytes = "image/png"))),
                (status = 401, response = Unauthenticated),
                (status = 403, description = "As for the file itself", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 404, response = NotFound),
                (status = 409, description = "`file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 422, response = Invalid),
                (status = 503, response = Unavailable),
            )
        )]
        #[get($path)]
        async fn $name(
            state: web::Data<State>,
            request: HttpRequest,
            id: web::Path<Uuid>,
            params: web::Query<LinkParams>,
        ) -> Result<HttpResponse> {
            let id = FileId::from(id.into_inner());
            let caller = whoever(&state, &request, id, &params).await?;
            let given = state.platform.files.view(&caller, id, View::$view).await?;
            let mut response = HttpResponse::Ok();
            response.insert_header((CONTENT_DISPOSITION, "inline"));
            Ok(send(&state, response, given))
        }
    };
}

picture!(
    /// A large picture of a file
    ///
    /// Of a picture, or of the first page of a document. Marked for whoever looks at it, as the file is.
    preview, "previewFile", "/files/{id}/preview", Preview
);
picture!(
    /// A small picture of a file
    thumbnail, "getFileThumbnail", "/files/{id}/thumbnail", Thumbnail
);

/// A link to a file.
#[derive(Serialize, ToSchema)]
struct FileLink {
    /// Where it leads.
    #[schema(example = "/api/v1/files/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/content?link=alf_…")]
    url: String,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
}

/// Make a link to a file
///
/// For viewers that cannot sign in: it opens this file for five minutes as if you did, while your session lasts.
#[utoipa::path(
    tag = "Files",
    operation_id = "linkFile",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    responses(
        (status = 201, description = "The link.", body = FileLink),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/files/{id}/link")]
async fn link(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    let id = FileId::from(id.into_inner());
    let (secret, expires_at) = state.platform.files.link(&caller, id).await?;
    let url = format!("/api/v1/files/{id}/content?link={}", secret.expose());
    Ok(HttpResponse::Created().insert_header((LOCATION, url.clone())).json(FileLink { url, expires_at }))
}

pub(super) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(list).service(content).service(describe).service(preview).service(thumbnail).service(link);
    config.service(one).service(remove);
}
