//! Reporting messages, and judging those that were reported or flagged.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, patch, post, web};
use alivio_kernel::ids::ReportId;
use alivio_kernel::{FieldError, Page, PageSize, Rule};
use alivio_messages::{
    Remark, Report, ReportHeader, ReportKind, ReportReason, ReportStatus, Resolution, ReviewStep,
};
use alivio_platform::HearingView;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::messages::MessageBody;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Why a message is reported.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewReport {
    /// `inappropriate`, `harassment`, `spam`, `privacy`, `safety` or `other`.
    #[schema(example = "harassment", pattern = "^(inappropriate|harassment|spam|privacy|safety|other)$")]
    pub(crate) reason: String,
    /// More about it, in 1 to 1,000 characters. Those who moderate read it.
    #[schema(example = "Me insulta desde ayer", min_length = 1, max_length = 1000)]
    pub(crate) comment: Option<String>,
}

/// What you have reported.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageReport)]
pub(crate) struct MessageReportBody {
    /// Its id.
    id: Uuid,
    /// The message.
    message_id: Uuid,
    /// Why.
    #[schema(example = "harassment")]
    reason: &'static str,
    /// What you said about it.
    #[schema(example = "Me insulta desde ayer")]
    comment: Option<String>,
    /// How far it has come: `open`, `in_review`, `resolved`, `dismissed`.
    #[schema(example = "open")]
    status: &'static str,
    /// When you reported it.
    created_at: DateTime<Utc>,
}

impl From<Report> for MessageReportBody {
    fn from(report: Report) -> Self {
        let header = report.header;
        Self {
            id: header.id.uuid(),
            message_id: header.message_id.uuid(),
            reason: header.reason.map_or("", ReportReason::as_str),
            comment: report.comment.map(|comment| comment.as_str().to_owned()),
            status: header.status.as_str(),
            created_at: header.created_at,
        }
    }
}

/// Something that the rules have found.
#[derive(Serialize, ToSchema)]
#[schema(as = FlagFinding)]
struct FindingBody {
    /// `profanity`, `phi` or `spam`.
    #[schema(example = "profanity")]
    kind: String,
    /// By which rule.
    #[schema(example = "rude_word")]
    rule: String,
}

/// Something to judge, without any words.
#[derive(Serialize, ToSchema)]
#[schema(as = ModerationItem)]
struct ModerationItemBody {
    /// Its id.
    id: Uuid,
    /// `report`: someone reported the message; `flag`: the rules have found something in it.
    #[schema(example = "report")]
    kind: &'static str,
    /// The conversation.
    conversation_id: Uuid,
    /// The message.
    message_id: Uuid,
    /// Who said it.
    sender_id: Uuid,
    /// Who reported it; `null` for a flag.
    reporter_id: Option<Uuid>,
    /// Why they did; `null` for a flag.
    #[schema(example = "harassment")]
    reason: Option<&'static str>,
    /// What the rules have found; empty for a report.
    findings: Vec<FindingBody>,
    /// `open`, `in_review`, `resolved`, `dismissed`.
    #[schema(example = "open")]
    status: &'static str,
    /// What was done, once it is resolved: `none`, `message_removed`, `warned`.
    #[schema(example = "warned")]
    resolution: Option<&'static str>,
    /// Who took it on or decided it.
    decided_by: Option<Uuid>,
    /// Send it with the next step.
    #[schema(example = 1)]
    version: u32,
    /// Since when it is there.
    created_at: DateTime<Utc>,
    /// When it last moved.
    updated_at: DateTime<Utc>,
}

impl From<ReportHeader> for ModerationItemBody {
    fn from(report: ReportHeader) -> Self {
        let finding = |(kind, rule)| FindingBody { kind, rule };
        Self {
            id: report.id.uuid(),
            kind: report.kind.as_str(),
            conversation_id: report.conversation_id.uuid(),
            message_id: report.message_id.uuid(),
            sender_id: report.sender_id.uuid(),
            reporter_id: report.reporter_id.map(Uuid::from),
            reason: report.reason.map(ReportReason::as_str),
            findings: report.findings.into_iter().map(finding).collect(),
            status: report.status.as_str(),
            resolution: report.resolution.map(Resolution::as_str),
            decided_by: report.decided_by.map(Uuid::from),
            version: report.version,
            created_at: report.created_at,
            updated_at: report.updated_at,
        }
    }
}

/// A page of things to judge.
#[derive(Serialize, ToSchema)]
struct ModerationPage {
    /// Newest first.
    items: Vec<ModerationItemBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// Something to judge, with the message in question.
#[derive(Serialize, ToSchema)]
struct ModerationCase {
    /// What is known of it.
    item: ModerationItemBody,
    /// What the reporter said about it.
    #[schema(example = "Me insulta desde ayer")]
    comment: Option<String>,
    /// What those who moderate said about it.
    #[schema(example = "Se ha avisado a quien lo escribió")]
    note: Option<String>,
    /// The message with at most five before and five after it, in the order of the conversation.
    messages: Vec<MessageBody>,
}

impl From<HearingView> for ModerationCase {
    fn from(hearing: HearingView) -> Self {
        let words = |remark: Option<Remark>| remark.map(|remark| remark.as_str().to_owned());
        Self {
            messages: hearing.messages.iter().map(MessageBody::from).collect(),
            comment: words(hearing.report.comment),
            note: words(hearing.report.note),
            item: hearing.report.header.into(),
        }
    }
}

/// A step of moderation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReviewStep {
    /// `in_review` from `open`; `resolved` or `dismissed` from `in_review`.
    #[schema(example = "resolved", pattern = "^(in_review|resolved|dismissed)$")]
    status: String,
    /// With `resolved`: `none`, `message_removed`, `warned`.
    #[schema(example = "warned", pattern = "^(none|message_removed|warned)$")]
    resolution: Option<String>,
    /// Why, in 1 to 1,000 characters.
    #[schema(example = "Se ha avisado a quien lo escribió", min_length = 1, max_length = 1000)]
    note: Option<String>,
    /// The version that you have seen.
    #[schema(example = 2, minimum = 1)]
    version: u32,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReportParams {
    /// Only these: `open`, `in_review`, `resolved`, `dismissed`.
    #[param(example = "open")]
    status: Option<String>,
    /// Only these: `report`, `flag`.
    #[param(example = "report")]
    kind: Option<String>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// Report a message
///
/// Those who moderate will see it, with the five messages before and after it. Reporting it again changes nothing.
#[utoipa::path(
    tag = "Messages",
    operation_id = "reportMessage",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The message.")),
    request_body = NewReport,
    responses(
        (status = 200, description = "You had reported it before; this is what you said then.", body = MessageReportBody),
        (status = 201, description = "Reported.", body = MessageReportBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: it is your own message.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/messages/{id}/reports")]
async fn report_message(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewReport>,
) -> Result<HttpResponse> {
    let NewReport { reason, comment } = body.0;
    let reason = reason.parse().map_err(invalid)?;
    let comment = remark("comment", comment.as_deref())?;
    let moderation = &state.platform.moderation;
    let (report, created) =
        moderation.report(&caller, id.into_inner().into(), reason, comment.as_ref()).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(MessageReportBody::from(report)))
}

pub(crate) fn remark(field: &'static str, words: Option<&str>) -> Result<Option<Remark>> {
    words.map(|words| Remark::parse(field, words)).transpose().map_err(invalid)
}

/// See what there is to judge
///
/// Scope `moderation:manage`. What people have reported and what the rules have flagged, without any words. What you
/// have said or reported yourself is not among it.
#[utoipa::path(
    tag = "Administration",
    operation_id = "listModerationReports",
    security(("bearer" = [])),
    params(ReportParams),
    responses(
        (status = 200, description = "A page.", body = ModerationPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/moderation/reports")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<ReportParams>,
) -> Result<web::Json<ModerationPage>> {
    let status = params.status.as_deref().map(str::parse::<ReportStatus>).transpose().map_err(invalid)?;
    let kind = params.kind.as_deref().map(str::parse::<ReportKind>).transpose().map_err(invalid)?;
    let malformed = |_| invalid(FieldError::new("cursor", Rule::Malformed));
    let after = params.cursor.as_deref().map(str::parse::<ReportId>).transpose().map_err(malformed)?;
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let page = state.platform.moderation.list(&caller, status, kind, after, size).await?;
    let Page { items, next_cursor } = page.map(ModerationItemBody::from);
    Ok(web::Json(ModerationPage { items, next_cursor }))
}

/// Look at what there is to judge
///
/// Scope `moderation:manage`. Shows the message in question and at most five before and after it, and nothing else of
/// the conversation. Each look is recorded, and whoever said it finds it in their access log.
#[utoipa::path(
    tag = "Administration",
    operation_id = "getModerationReport",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The report.")),
    responses(
        (status = 200, description = "The report with its messages.", body = ModerationCase),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it, or it is your own matter.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/moderation/reports/{id}")]
async fn look(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<ModerationCase>> {
    let hearing = state.platform.moderation.look(&caller, id.into_inner().into()).await?;
    Ok(web::Json(state.platform.screens.hearing(hearing).await?.into()))
}

/// Take a step of moderation
///
/// Scope `moderation:manage`. `open` → `in_review` → `resolved` or `dismissed`. With `message_removed` the message is
/// taken away for everyone; those who are connected are told by `message.deleted`.
#[utoipa::path(
    tag = "Administration",
    operation_id = "decideModerationReport",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The report.")),
    request_body = NewReviewStep,
    responses(
        (status = 200, description = "What is known of it now.", body = ModerationItemBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it, or it is your own matter.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`stale`: someone has moved it meanwhile; `report_transition_not_allowed`: it cannot go there from where it is.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[patch("/moderation/reports/{id}")]
async fn decide(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewReviewStep>,
) -> Result<web::Json<ModerationItemBody>> {
    let NewReviewStep { status, resolution, note, version } = body.0;
    let status = status.parse().map_err(invalid)?;
    let resolution = resolution.as_deref().map(str::parse::<Resolution>).transpose().map_err(invalid)?;
    let step = ReviewStep::to(status, resolution).map_err(invalid)?;
    let note = remark("note", note.as_deref())?;
    let report = ReportId::from(id.into_inner());
    let decided = state.platform.decide(&caller, report, version, step, note).await?;
    Ok(web::Json(decided.into()))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(report_message).service(list).service(look).service(decide);
}
