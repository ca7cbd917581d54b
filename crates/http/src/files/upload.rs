//! `POST /files`: a form with a file in it, taken as it comes.

use actix_multipart::{Field, Multipart};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse, post, web};
use alivio_files::{Draft, Incoming, Said};
use alivio_kernel::{Caller, Clock, FieldError, Rule, SystemClock};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::bodies::FileBody;
use super::form::{self, MAX_FIELD};
use super::pace::Pace;
use crate::extract::SignedIn;
use crate::problem::{Problem, ProblemDetails, Result, invalid};
use crate::responses::{NotFound, Unauthenticated, Unavailable};
use crate::state::State;

/// More fields than there are names.
const MAX_FIELDS: usize = 32;
/// What a form needs besides the file.
const FORM: u64 = 64 * 1024;

/// A form with a file in it. The fields may come in any order.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFile)]
struct NewFileForm {
    /// The file, with its name.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Where it is shared.
    conversation_id: uuid::Uuid,
    /// `lab_result`, `prescription`, `image`, `audio`, `video`, `document`; by its content if not said.
    #[schema(example = "prescription")]
    file_type: Option<String>,
    /// What it is about, in at most 1,000 characters.
    #[schema(example = "Receta para la hipertensión")]
    description: Option<String>,
    /// The patient must agree before others see it.
    requires_patient_consent: Option<bool>,
    /// It belongs to the patient's record.
    is_medical_document: Option<bool>,
    /// What it is in a record: one of `document_types` in the policy.
    #[schema(example = "prescription")]
    document_type: Option<String>,
    /// Whom it is about: the patient whom the conversation is about, if said.
    patient_id: Option<uuid::Uuid>,
    /// The consultation that it belongs to.
    related_appointment: Option<uuid::Uuid>,
    /// It tells of someone's health.
    contains_phi: Option<bool>,
    /// Someone is to sign it.
    requires_signature: Option<bool>,
    /// It may be sent on elsewhere; medical documents may not unless said.
    can_forward: Option<bool>,
    /// It may be printed.
    can_print: Option<bool>,
    /// Whoever looks at it is drawn into their copy: PDF, JPEG and PNG only.
    watermark_required: Option<bool>,
    /// How often it may be downloaded, 1 to 1,000.
    max_downloads: Option<i64>,
    /// When others can look at it no more; after a year if not said.
    access_expires_at: Option<chrono::DateTime<chrono::Utc>>,
    /// How long it is kept though it is deleted, 1 to 100; medical documents 7 if not said.
    retention_period_years: Option<i64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UploadParams {
    /// What the file is, if the form does not say it.
    #[param(example = "image")]
    file_type: Option<String>,
}

/// Upload a file
///
/// At most 10 MiB: larger ones come in pieces, see `POST /files/uploads`. Its type is seen from its content. It waits
/// for a scan then (`status` `pending`); `file.ready` or `file.quarantined` tells what that came to.
#[utoipa::path(
    tag = "Files",
    operation_id = "uploadFile",
    security(("bearer" = [])),
    params(UploadParams),
    request_body(content = NewFileForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "It is stored, and waits for a scan.", body = FileBody, headers(("Location" = String, description = "Where it is."))),
        (status = 400, description = "`upload_incomplete`: the form breaks off, or is none.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`not_the_patient`: a patient hands over what concerns themselves, and others what concerns the patient whom the conversation is about; `file_sharing_disabled`; `direct_chat_blocked`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 408, description = "`request_timeout`: it hardly comes.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`conversation_closed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "`file_too_large`: `details` has `max_size` and `suggested_compression`, and `file_size` once all of it has come: of what is cut off before, nobody knows it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "`file_type_not_allowed`: `details` has `file_type`, `allowed_types` and `security_reason`; `unsupported_body`: it is no form.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`validation_failed`: a field breaks a rule; `file_refused`: its content does (`details.reason`).", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: more than 10 files in an hour, or too many requests.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
        (status = 507, description = "`storage_full`: there is no room.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
#[post("/files")]
async fn upload(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<UploadParams>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !header(CONTENT_TYPE).to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_body"));
    }
    let form = Form {
        said: Said::default(),
        told: header(CONTENT_LENGTH).parse::<u64>().ok().map(|length| length.saturating_sub(FORM)),
        pace: Pace::new(state.config.upload_patience),
        fields: Multipart::new(request.headers(), payload),
        file_type: params.into_inner().file_type,
        caller,
        state: state.clone(),
    };
    // Whoever hangs up leaves nothing behind: it is not dropped with the connection.
    let kept = actix_web::rt::spawn(form.take()).await;
    let file = kept.map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR))??;
    let view = state.platform.screens.file(file).await?;
    let body = FileBody::from(&view);
    let location = (LOCATION, format!("/api/v1/files/{}", body.id));
    Ok(HttpResponse::Created().insert_header(location).json(body))
}

/// A form that is coming.
struct Form {
    state: web::Data<State>,
    caller: Caller,
    said: Said,
    file_type: Option<String>,
    told: Option<u64>,
    pace: Pace,
    fields: Multipart,
}

impl Form {
    async fn take(mut self) -> Result<alivio_files::File> {
        let files = self.state.platform.files.clone();
        let mut incoming = None;
        let taken = self.take_fields(&mut incoming).await;
        let (said, caller) = (self.said, self.caller);
        let draft = taken.and_then(|()| Draft::parse(said, SystemClock.now()).map_err(invalid));
        match (draft, incoming) {
            (Ok(draft), Some(incoming)) => Ok(files.keep(&caller, incoming, &draft).await?),
            (Ok(_), None) => Err(invalid(FieldError::new("file", Rule::Missing))),
            (Err(problem), Some(incoming)) => {
                files.discard(incoming).await;
                Err(problem)
            }
            (Err(problem), None) => Err(problem),
        }
    }

    async fn take_fields(&mut self, incoming: &mut Option<Incoming>) -> Result<()> {
        let incomplete = |_| Problem::new(StatusCode::BAD_REQUEST, "upload_incomplete");
        let mut seen = Vec::new();
        let patience = self.state.config.upload_patience;
        let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout");
        while let Some(field) = tokio::time::timeout(patience, self.fields.next()).await.map_err(slow)? {
            let mut field = field.map_err(incomplete)?;
            let name = field.name().unwrap_or_default().to_owned();
            if seen.len() == MAX_FIELDS || seen.contains(&name) {
                return Err(invalid(FieldError::new("form", Rule::Malformed)));
            }
            if name == "file" {
                *incoming = Some(self.take_file(&mut field).await?);
            } else {
                let value = self.text(&mut field).await?;
                form::take(&mut self.said, &name, &value)?;
            }
            seen.push(name);
        }
        if self.said.kind.is_none() {
            self.said.kind = self.file_type.take();
        }
        Ok(())
    }

    async fn text(&mut self, field: &mut Field) -> Result<String> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.pace.next(field).await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_FIELD {
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"));
            }
        }
        String::from_utf8(bytes).map_err(|_| invalid(FieldError::new("form", Rule::Malformed)))
    }

    async fn take_file(&mut self, field: &mut Field) -> Result<Incoming> {
        let files = self.state.platform.files.clone();
        // Browsers write a quotation mark so, and nothing else.
        self.said.filename = field
            .content_disposition()
            .and_then(|part| part.get_filename())
            .map(|name| name.replace("%22", "\""));
        self.said.mime = field.content_type().map(ToString::to_string);
        // What is known to be refused is not taken.
        if self.said.conversation_id.is_some() {
            let draft = Draft::parse(self.said.clone(), SystemClock.now()).map_err(invalid)?;
            files.may_upload(&self.caller, &draft).await?;
        }
        let mut receiving = files.receive(self.told)?;
        loop {
            let step = match self.pace.next(field).await {
                Ok(Some(piece)) => receiving.write(&piece).await.map_err(Problem::from),
                Ok(None) => return Ok(receiving.finish().await?),
                Err(problem) => Err(problem),
            };
            if let Err(problem) = step {
                receiving.abort().await;
                return Err(problem);
            }
        }
    }
}

pub(super) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(upload);
}
