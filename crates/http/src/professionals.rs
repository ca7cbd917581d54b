//! `/api/v1/me/credentials`, `/api/v1/admin/credentials` and `/api/v1/admin/medical-professionals`: what is known of
//! professionals, and by whom it is decided.

use actix_web::{get, patch, post, web};
use alivio_accounts::{
    CredentialStatus, CredentialStep, Credentialing, Decision, DirectoryQuery, LicenseNumber, ProfilePatch,
    RejectionReason,
};
use alivio_kernel::{FieldError, PageSize, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::directory::{cursor_of, parse_cursor, role};
use crate::extract::{Body, SignedIn};
use crate::paging;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::profiles::{ProfileBody, given};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Credentials to verify.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CredentialSubmission {
    /// The number of your licence to practise.
    #[schema(example = "CMP-12345", min_length = 3, max_length = 40)]
    license_number: String,
    /// What you are specialised in, if it changes.
    #[schema(example = "Cardiología", max_length = 160)]
    specialty: Option<String>,
    /// Where you work or study, if it changes.
    #[schema(example = "Clínica Alivio", max_length = 160)]
    institution: Option<String>,
    /// A word to those who decide.
    #[schema(example = "Colegiada en Madrid desde 2004.", max_length = 500)]
    note: Option<String>,
}

/// A decision about credentials.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CredentialDecision {
    /// `verify` or `reject`.
    #[schema(example = "reject")]
    decision: String,
    /// Why, for a rejection: `license_not_found`, `name_mismatch`, `expired`, `incomplete` or `other`.
    #[schema(example = "expired")]
    reason_code: Option<String>,
    /// A word to the professional.
    #[schema(example = "Caducó en marzo.", max_length = 500)]
    note: Option<String>,
    /// What the decision is about: it counts only if this is still what is submitted.
    submission_id: Uuid,
}

/// A step in the history of credentials.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialStep)]
struct StepBody {
    /// Its id.
    id: Uuid,
    /// `submitted`, `verified`, `rejected`, or `withdrawn` by changing the number.
    #[schema(example = "submitted")]
    step: &'static str,
    /// Who did it.
    by: Uuid,
    /// When.
    at: DateTime<Utc>,
    /// Why, if it is a rejection.
    #[schema(example = "expired")]
    reason_code: Option<&'static str>,
    /// What they had to say.
    #[schema(example = "Caducó en marzo.")]
    note: Option<String>,
}

impl From<CredentialStep> for StepBody {
    fn from(step: CredentialStep) -> Self {
        Self {
            id: step.id,
            step: step.kind.as_str(),
            by: step.by.uuid(),
            at: step.at,
            reason_code: step.reason.map(RejectionReason::as_str),
            note: step.note.map(alivio_kernel::Sensitive::into_exposed),
        }
    }
}

/// Someone's credentials.
#[derive(Serialize, ToSchema)]
#[schema(as = Credentials)]
struct CredentialsBody {
    /// Whose.
    user_id: Uuid,
    /// The full name.
    #[schema(example = "María Martínez García")]
    full_name: String,
    /// Title among professionals.
    #[schema(example = "Cardiologist")]
    professional_title: Option<String>,
    /// What they are specialised in.
    #[schema(example = "Cardiología")]
    specialty: Option<String>,
    /// Where they work or study.
    #[schema(example = "Clínica Alivio")]
    institution: Option<String>,
    /// The number of their licence.
    #[schema(example = "CMP-12345")]
    license_number: Option<String>,
    /// `unverified`, `submitted`, `verified` or `rejected`.
    #[schema(example = "submitted")]
    status: &'static str,
    /// What waits for a decision: send it along with the decision.
    submission_id: Option<Uuid>,
    /// Every step, oldest first.
    history: Vec<StepBody>,
}

impl From<Credentialing> for CredentialsBody {
    fn from(credentials: Credentialing) -> Self {
        let status = credentials.status().as_str();
        let submission_id = credentials.submission().map(|step| step.id);
        let Credentialing { profile, history } = credentials;
        let (specialty, institution) =
            profile.entry.map_or((None, None), |entry| (entry.specialty, entry.institution));
        Self {
            user_id: profile.user.id.uuid(),
            full_name: profile.user.identity.full_name,
            professional_title: profile.user.professional_title,
            specialty,
            institution,
            license_number: profile.license_number.map(|number| number.expose().to_owned()),
            status,
            submission_id,
            history: history.into_iter().map(StepBody::from).collect(),
        }
    }
}

/// A page of credentials.
#[derive(Serialize, ToSchema)]
struct CredentialsPage {
    /// By name.
    items: Vec<CredentialsBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    next_cursor: Option<String>,
}

fn status(name: &str) -> std::result::Result<CredentialStatus, FieldError> {
    CredentialStatus::parse(name).ok_or(FieldError::new("status", Rule::Unknown))
}

fn note(raw: Option<&str>) -> std::result::Result<Option<String>, FieldError> {
    raw.map(CredentialStep::parse_note).transpose()
}

/// Your credentials
#[utoipa::path(
    tag = "Credentials",
    operation_id = "getOwnCredentials",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your credentials.", body = CredentialsBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: only professionals have credentials.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[get("/me/credentials")]
async fn own(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<web::Json<CredentialsBody>> {
    Ok(web::Json(state.platform.profiles.own_credentials(&caller).await?.into()))
}

/// Submit your credentials
///
/// They wait for a decision then, whatever was decided before. A number that is verified need not be submitted again.
#[utoipa::path(
    tag = "Credentials",
    operation_id = "submitCredentials",
    security(("bearer" = [])),
    request_body = CredentialSubmission,
    responses(
        (status = 200, description = "Submitted.", body = CredentialsBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: only professionals have credentials.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`already_verified`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/me/credentials")]
async fn submit(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<CredentialSubmission>,
) -> Result<web::Json<CredentialsBody>> {
    let Body(submission) = body;
    let number = LicenseNumber::parse(&submission.license_number).map_err(invalid)?;
    let patch = ProfilePatch::default()
        .published(
            None,
            submission.specialty.as_deref().map(Some),
            submission.institution.as_deref().map(Some),
            None,
        )
        .map_err(invalid)?;
    let note = note(submission.note.as_deref()).map_err(invalid)?;
    let credentials = state.platform.profiles.submit_credentials(&caller, number, patch, note).await?;
    Ok(web::Json(credentials.into()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CredentialsParams {
    /// Which: `unverified`, `submitted` (default), `verified` or `rejected`.
    #[param(example = "submitted")]
    status: Option<String>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

/// List credentials by what is known of them
///
/// Needs `credentials:verify`.
#[utoipa::path(
    tag = "Credentials",
    operation_id = "listCredentials",
    security(("bearer" = [])),
    params(CredentialsParams),
    responses(
        (status = 200, description = "A page.", body = CredentialsPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/credentials")]
async fn list_credentials(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<CredentialsParams>,
) -> Result<web::Json<CredentialsPage>> {
    let size = PageSize::parse(params.page_size, 20).map_err(invalid)?;
    let offset = paging::offset(params.page, size)?;
    let parse = || {
        let status = params.status.as_deref().map_or(Ok(CredentialStatus::Submitted), status)?;
        let after = params.cursor.as_deref().map(parse_cursor).transpose()?;
        Ok(DirectoryQuery { credential_status: Some(status), after, offset, ..DirectoryQuery::new(size) })
    };
    let query = parse().map_err(invalid)?;
    let page = state.platform.profiles.credentials_by_status(&caller, &query, cursor_of).await?;
    let page = page.map(CredentialsBody::from);
    Ok(web::Json(CredentialsPage { items: page.items, next_cursor: page.next_cursor }))
}

/// Decide about credentials
///
/// Needs `credentials:verify`. Nobody decides about their own. What was submitted is decided once.
#[utoipa::path(
    tag = "Credentials",
    operation_id = "decideCredentials",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Whose credentials.")),
    request_body = CredentialDecision,
    responses(
        (status = 200, description = "Decided.", body = CredentialsBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: `details.reason` is `missing_scope` or `own_account`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`nothing_to_decide`, `stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/admin/credentials/{user_id}/decision")]
async fn decide(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
    body: Body<CredentialDecision>,
) -> Result<web::Json<CredentialsBody>> {
    let Body(asked) = body;
    let decision = Decision::parse(&asked.decision, asked.reason_code.as_deref()).map_err(invalid)?;
    let note = note(asked.note.as_deref()).map_err(invalid)?;
    let user = user.into_inner().into();
    let profiles = &state.platform.profiles;
    let decided = profiles.decide_credentials(&caller, user, decision, asked.submission_id, note).await?;
    Ok(web::Json(decided.into()))
}

/// A page of professionals.
#[derive(Serialize, ToSchema)]
struct ProfessionalPage {
    /// By name.
    items: Vec<ProfileBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ProfessionalParams {
    /// As in `GET /users`.
    #[param(example = "marti", max_length = 160)]
    q: Option<String>,
    /// Only this role.
    #[param(example = "doctor")]
    role: Option<String>,
    /// Only this specialty.
    #[param(example = "Cardiología")]
    specialty: Option<String>,
    /// Only this institution.
    #[param(example = "Clínica Alivio")]
    institution: Option<String>,
    /// Only those of whose credentials this is known.
    #[param(example = "verified")]
    credential_status: Option<String>,
    /// Only those who may sign in, or only those who may not.
    is_active: Option<bool>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

/// List professionals
///
/// Needs `professionals:manage`. Deactivated and unlisted ones too.
#[utoipa::path(
    tag = "Credentials",
    operation_id = "listMedicalProfessionals",
    security(("bearer" = [])),
    params(ProfessionalParams),
    responses(
        (status = 200, description = "A page.", body = ProfessionalPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/medical-professionals")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<ProfessionalParams>,
) -> Result<web::Json<ProfessionalPage>> {
    let size = PageSize::parse(params.page_size, 20).map_err(invalid)?;
    let offset = paging::offset(params.page, size)?;
    let parse = || {
        let status = params.credential_status.as_deref().map(|name| {
            CredentialStatus::parse(name).ok_or(FieldError::new("credential_status", Rule::Unknown))
        });
        let query = DirectoryQuery {
            role: params.role.as_deref().map(role).transpose()?,
            credential_status: status.transpose()?,
            is_active: params.is_active,
            after: params.cursor.as_deref().map(parse_cursor).transpose()?,
            offset,
            ..DirectoryQuery::new(size)
        };
        query.words(params.q.as_deref())?.of(None, params.specialty.as_deref(), params.institution.as_deref())
    };
    let query = parse().map_err(invalid)?;
    let page = state.platform.profiles.professionals(&caller, &query, cursor_of).await?;
    let page = page.map(ProfileBody::from);
    Ok(web::Json(ProfessionalPage { items: page.items, next_cursor: page.next_cursor }))
}

/// What changes of a professional. Fields that are left out stay; null clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfessionalChanges {
    /// The full name, as on the licence.
    #[schema(example = "María Martínez García", min_length = 1, max_length = 120)]
    full_name: Option<String>,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez", min_length = 1, max_length = 120)]
    display_name: Option<String>,
    /// Title among professionals.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "Cardiologist", max_length = 160)]
    professional_title: Option<Option<String>>,
    /// What they are specialised in.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "Cardiología", max_length = 160)]
    specialty: Option<Option<String>>,
    /// Where they work or study.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "Clínica Alivio", max_length = 160)]
    institution: Option<Option<String>>,
    /// Their licence to practise. A new number has to be verified anew.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "CMP-12345", min_length = 3, max_length = 40)]
    license_number: Option<Option<String>>,
}

impl ProfessionalChanges {
    fn parse(self) -> std::result::Result<ProfilePatch, FieldError> {
        fn inner(field: &Option<Option<String>>) -> Option<Option<&str>> {
            field.as_ref().map(Option::as_deref)
        }
        ProfilePatch::default()
            .full_name(self.full_name.as_deref())?
            .display_name(self.display_name.as_deref())?
            .published(
                inner(&self.professional_title),
                inner(&self.specialty),
                inner(&self.institution),
                None,
            )?
            .confidential(None, inner(&self.license_number))
    }
}

/// Change a professional
///
/// Needs `professionals:manage`; another administrator's profile also needs `users:manage`.
#[utoipa::path(
    tag = "Credentials",
    operation_id = "changeMedicalProfessional",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The professional.")),
    request_body = ProfessionalChanges,
    responses(
        (status = 200, description = "The professional now.", body = ProfileBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: `details.reason` is `missing_scope` or `role_too_high`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/admin/medical-professionals/{id}")]
async fn change(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<ProfessionalChanges>,
) -> Result<web::Json<ProfileBody>> {
    let patch = body.0.parse().map_err(invalid)?;
    let id = id.into_inner().into();
    Ok(web::Json(state.platform.profiles.manage(&caller, id, patch).await?.into()))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(own).service(submit).service(list_credentials).service(decide);
    config.service(list).service(change);
}
