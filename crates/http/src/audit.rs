//! `/api/v1/admin/audit` and `/api/v1/me/access-log`: who did what to whose data.

use actix_web::{get, web};
use alivio_audit::{ActionPrefix, After, ObjectKind, Recorded, TrailFilter};
use alivio_kernel::audit::Outcome;
use alivio_kernel::{Page, PageSize, Role};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::SignedIn;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Unauthenticated, Unavailable};
use crate::state::State;

/// A line of the audit trail: ids and codes, never names or content.
#[derive(Serialize, ToSchema)]
struct AuditEntry {
    /// Its id.
    id: Uuid,
    /// When.
    at: DateTime<Utc>,
    /// Who; null if nobody was signed in.
    actor_id: Option<Uuid>,
    /// The role they had.
    #[schema(example = "it_admin")]
    actor_role: Option<&'static str>,
    /// The network address it came from.
    #[schema(example = "203.0.113.7")]
    address: Option<String>,
    /// What was done: `thing.what_was_done`.
    #[schema(example = "user.deactivated")]
    action: String,
    /// Whose data it concerns.
    subject_id: Option<Uuid>,
    /// The kind of thing it was done to.
    #[schema(example = "conversation")]
    object_kind: Option<String>,
    /// The thing it was done to.
    object_id: Option<Uuid>,
    /// `done`, `denied` or `failed`.
    #[schema(example = "done")]
    outcome: &'static str,
    /// Why, as a code.
    #[schema(example = "missing_scope")]
    reason: Option<String>,
}

impl From<Recorded> for AuditEntry {
    fn from(entry: Recorded) -> Self {
        let (object_kind, object_id) = entry.object.unzip();
        Self {
            id: entry.id.uuid(),
            at: entry.at,
            actor_id: entry.actor.map(Uuid::from),
            actor_role: entry.actor_role.map(Role::as_str),
            address: entry.address.map(|address| address.to_string()),
            action: entry.action,
            subject_id: entry.subject.map(Uuid::from),
            object_kind,
            object_id,
            outcome: entry.outcome.as_str(),
            reason: entry.reason,
        }
    }
}

/// A page of the audit trail.
#[derive(Serialize, ToSchema)]
struct AuditPage {
    /// Newest first.
    items: Vec<AuditEntry>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// Something that someone else did to your data.
#[derive(Serialize, ToSchema)]
struct Access {
    /// Its id.
    id: Uuid,
    /// When.
    at: DateTime<Utc>,
    /// Who.
    actor_id: Option<Uuid>,
    /// The role they had.
    #[schema(example = "medical_admin")]
    actor_role: Option<&'static str>,
    /// What was done: `thing.what_was_done`.
    #[schema(example = "conversation.read_by_break_glass")]
    action: String,
    /// The kind of thing it was done to.
    #[schema(example = "conversation")]
    object_kind: Option<String>,
    /// The thing it was done to.
    object_id: Option<Uuid>,
    /// `done`, `denied` or `failed`.
    #[schema(example = "done")]
    outcome: &'static str,
    /// Why, as a code.
    #[schema(example = "missing_scope")]
    reason: Option<String>,
}

impl From<Recorded> for Access {
    fn from(entry: Recorded) -> Self {
        let AuditEntry {
            id, at, actor_id, actor_role, action, object_kind, object_id, outcome, reason, ..
        } = entry.into();
        Self { id, at, actor_id, actor_role, action, object_kind, object_id, outcome, reason }
    }
}

/// A page of what others did to your data.
#[derive(Serialize, ToSchema)]
struct AccessPage {
    /// Newest first.
    items: Vec<Access>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// What came of it.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AuditOutcome {
    Done,
    Denied,
    Failed,
}

impl From<AuditOutcome> for Outcome {
    fn from(outcome: AuditOutcome) -> Self {
        match outcome {
            AuditOutcome::Done => Self::Done,
            AuditOutcome::Denied => Self::Denied,
            AuditOutcome::Failed => Self::Failed,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TrailParams {
    /// Only what they did.
    actor: Option<Uuid>,
    /// Only what concerns their data.
    subject: Option<Uuid>,
    /// Only actions whose names begin so.
    #[param(example = "user.", min_length = 1, max_length = 64, pattern = "^[a-z0-9_.]+$")]
    action: Option<String>,
    /// Only what was done to things of this kind.
    #[param(example = "conversation", min_length = 1, max_length = 64, pattern = "^[a-z0-9_]+$")]
    object_kind: Option<String>,
    /// Only what was done to this thing.
    object_id: Option<Uuid>,
    /// Only with this outcome.
    #[param(inline)]
    outcome: Option<AuditOutcome>,
    /// Only from this instant on.
    from: Option<DateTime<Utc>>,
    /// Only before this instant.
    to: Option<DateTime<Utc>>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many entries a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

impl TrailParams {
    fn filter(&self) -> Result<TrailFilter> {
        Ok(TrailFilter {
            actor: self.actor.map(Into::into),
            subject: self.subject.map(Into::into),
            action: self.action.as_deref().map(ActionPrefix::parse).transpose().map_err(invalid)?,
            object_kind: self.object_kind.as_deref().map(ObjectKind::parse).transpose().map_err(invalid)?,
            object_id: self.object_id,
            outcome: self.outcome.map(Into::into),
            from: self.from,
            to: self.to,
        })
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AccessParams {
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many entries a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// Where a page starts and how much it holds.
pub(crate) fn window(cursor: Option<&str>, size: Option<i64>) -> Result<(Option<After>, PageSize)> {
    let after = cursor.map(After::parse).transpose().map_err(invalid)?;
    Ok((after, PageSize::parse(size, 50).map_err(invalid)?))
}

/// Read the audit trail
///
/// Scope `audit:read`. Reading it is itself recorded.
#[utoipa::path(
    tag = "Administration",
    operation_id = "readAuditTrail",
    security(("bearer" = [])),
    params(TrailParams),
    responses(
        (status = 200, description = "A page.", body = AuditPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/audit")]
async fn trail(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<TrailParams>,
) -> Result<web::Json<AuditPage>> {
    let (after, size) = window(params.cursor.as_deref(), params.page_size)?;
    let page = state.platform.trail.read(&caller, &params.filter()?, after, size).await?;
    let Page { items, next_cursor } = page.map(AuditEntry::from);
    Ok(web::Json(AuditPage { items, next_cursor }))
}

/// See what others did to your data
///
/// Among other things, when an administrator read a conversation of yours in an emergency, and when your account was
/// looked at or changed.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "readAccessLog",
    security(("bearer" = [])),
    params(AccessParams),
    responses(
        (status = 200, description = "A page.", body = AccessPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/me/access-log")]
async fn access_log(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<AccessParams>,
) -> Result<web::Json<AccessPage>> {
    let (after, size) = window(params.cursor.as_deref(), params.page_size)?;
    let Page { items, next_cursor } =
        state.platform.trail.access_log(&caller, after, size).await?.map(Access::from);
    Ok(web::Json(AccessPage { items, next_cursor }))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(trail).service(access_log);
}
