//! Urgent help at any hour (S0-24, S0-117), and who answers.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, put, web};
use alivio_conversations::{ADMINISTRATORS, Emergency, OnCallList, OnCallPerson, Schedule};
use alivio_kernel::ids::UserId;
use alivio_kernel::{Clock, FieldError, Page, PageSize, Rule, SystemClock};
use alivio_messages::{ClientMessageId, Content, Draft};
use alivio_platform::automated::disclaimer;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::catalogue;
use crate::conversations::ConversationBody;
use crate::extract::{Body, IdempotencyKey, SignedIn};
use crate::hours::{NewOpening, OpeningBody};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// A call for help.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEmergency {
    /// What happens, at most 5,000 characters. Best left for later if writing takes time: help is called at once.
    #[schema(example = "Dolor fuerte en el pecho", min_length = 1, max_length = 5000)]
    message: Option<String>,
    /// For whom, if you are no patient.
    patient_id: Option<Uuid>,
}

/// An emergency. What is said in it is in its conversation.
#[derive(Serialize, ToSchema)]
struct EmergencyBody {
    /// Its id.
    id: Uuid,
    /// Who needs help.
    patient_id: Uuid,
    /// Where they talk.
    conversation_id: Uuid,
    /// Who called.
    opened_by: Uuid,
    /// When.
    opened_at: DateTime<Utc>,
    /// `paged`: people have been called and nobody has acknowledged; `acknowledged`; `resolved`.
    #[schema(example = "paged")]
    status: &'static str,
    /// How many people have been called.
    #[schema(example = 2)]
    paged_count: i64,
    /// Whom the last page called: `on_call`, or the clinic's `administrators` if nobody is, or nobody answered.
    #[schema(example = "on_call")]
    paged: &'static str,
    /// The level of the on-call list that was called last; `null` for the administrators.
    #[schema(example = 1)]
    level: Option<i32>,
    /// When someone acknowledged it.
    acknowledged_at: Option<DateTime<Utc>>,
    /// When it was ended.
    resolved_at: Option<DateTime<Utc>>,
}

impl From<Emergency> for EmergencyBody {
    fn from(emergency: Emergency) -> Self {
        let on_call = emergency.level < ADMINISTRATORS;
        Self {
            id: emergency.id.uuid(),
            patient_id: emergency.patient_id.uuid(),
            conversation_id: emergency.conversation_id.uuid(),
            opened_by: emergency.opened_by.uuid(),
            opened_at: emergency.opened_at,
            status: emergency.status(),
            paged_count: emergency.paged,
            paged: if on_call { "on_call" } else { "administrators" },
            level: on_call.then_some(emergency.level),
            acknowledged_at: emergency.acknowledged.map(|(_, at)| at),
            resolved_at: emergency.resolved.map(|(_, at)| at),
        }
    }
}

/// An emergency that was opened or continues.
#[derive(Serialize, ToSchema)]
struct CalledEmergency {
    /// The emergency.
    emergency: EmergencyBody,
    /// Where it goes on.
    conversation: ConversationBody,
    /// Show it before all else.
    #[schema(example = "Si hay peligro para la vida, llame ya al 112. …")]
    disclaimer: String,
    /// The number to dial when a life is in danger.
    #[schema(example = "112")]
    emergency_number: String,
}

/// A page of emergencies.
#[derive(Serialize, ToSchema)]
struct EmergencyPage {
    /// Newest first.
    items: Vec<EmergencyBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// Which emergencies: those that are not resolved, or those that are.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum EmergencyFilter {
    Open,
    Resolved,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EmergencyParams {
    /// Only those that are not resolved, or only those that are.
    #[param(inline)]
    status: Option<EmergencyFilter>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// When someone is on call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewShifts {
    /// The IANA zone that the clock on the wall goes by.
    #[schema(example = "Europe/Madrid")]
    time_zone: String,
    /// Parts of every week.
    #[schema(min_items = 1, max_items = 56)]
    weekly: Vec<NewOpening>,
}

/// Someone who answers emergencies.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOnCallPerson {
    /// An active doctor.
    user_id: Uuid,
    /// When; always, if it is left out.
    shifts: Option<NewShifts>,
}

/// Those who are paged together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOnCallLevel {
    /// Nobody is on the list twice.
    #[schema(min_items = 1, max_items = 20)]
    people: Vec<NewOnCallPerson>,
}

/// Who answers emergencies.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOnCallList {
    /// Those of the first are paged at once, those of the next when nobody has acknowledged in time, and in the end the
    /// clinic's administrators.
    #[schema(max_items = 5)]
    levels: Vec<NewOnCallLevel>,
}

impl NewOnCallList {
    fn parse(&self) -> std::result::Result<OnCallList, FieldError> {
        let shifts = |shifts: &NewShifts| {
            let openings =
                shifts.weekly.iter().map(NewOpening::parse).collect::<std::result::Result<Vec<_>, _>>()?;
            if openings.is_empty() {
                return Err(FieldError::new("weekly", Rule::TooFew { min: 1 }));
            }
            Schedule::new(shifts.time_zone.parse()?, openings, Vec::new())
        };
        let person = |person: &NewOnCallPerson| {
            let shifts = person.shifts.as_ref().map(shifts).transpose()?;
            Ok(OnCallPerson { user_id: UserId::from(person.user_id), shifts })
        };
        let level = |level: &NewOnCallLevel| level.people.iter().map(person).collect();
        OnCallList::new(self.levels.iter().map(level).collect::<std::result::Result<_, _>>()?)
    }
}

/// When someone is on call.
#[derive(Serialize, ToSchema)]
struct ShiftsBody {
    /// The IANA zone that the clock on the wall goes by.
    #[schema(example = "Europe/Madrid")]
    time_zone: &'static str,
    /// Parts of every week, from Monday on.
    weekly: Vec<OpeningBody>,
}

/// Someone who answers emergencies.
#[derive(Serialize, ToSchema)]
struct OnCallPersonBody {
    /// Who.
    user_id: Uuid,
    /// When; `null` if always.
    shifts: Option<ShiftsBody>,
    /// Whether they are on call now.
    is_on_call_now: bool,
}

/// Those who are paged together.
#[derive(Serialize, ToSchema)]
struct OnCallLevelBody {
    /// Who.
    people: Vec<OnCallPersonBody>,
}

/// Who answers emergencies.
#[derive(Serialize, ToSchema)]
struct OnCallListBody {
    /// In the order in which they are paged.
    levels: Vec<OnCallLevelBody>,
}

impl From<OnCallList> for OnCallListBody {
    fn from(list: OnCallList) -> Self {
        let now = SystemClock.now();
        let shifts = |shifts: &Schedule| ShiftsBody {
            time_zone: shifts.zone().as_str(),
            weekly: shifts.openings().iter().map(OpeningBody::from).collect(),
        };
        let person = |person: &OnCallPerson| OnCallPersonBody {
            user_id: person.user_id.uuid(),
            shifts: person.shifts.as_ref().map(shifts),
            is_on_call_now: person.is_on_call(now),
        };
        let levels = list.levels().iter();
        Self { levels: levels.map(|l| OnCallLevelBody { people: l.iter().map(person).collect() }).collect() }
    }
}

/// Call for urgent help
///
/// At any hour, whether or not someone attends you. Opens your emergency conversation, or continues the one that is
/// open, and pages the people on call until someone acknowledges. Professionals call for a patient to whom they may talk.
/// With an `Idempotency-Key`, a message that is sent again is not doubled.
#[utoipa::path(
    tag = "Emergencies",
    operation_id = "callForHelp",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Marks retries of this request, 1 to 128 visible ASCII characters.")),
    request_body = NewEmergency,
    responses(
        (status = 200, description = "It was open, and continues.", body = CalledEmergency),
        (status = 201, description = "It is open, and people are paged.", body = CalledEmergency),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`conversation_not_allowed`: not for this person.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`stale`: it was ended at that very moment; try again. `client_message_id_reused`: the key was used for another message.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/emergencies")]
async fn call(
    request: HttpRequest,
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    IdempotencyKey(key): IdempotencyKey,
    asked: Body<NewEmergency>,
) -> Result<HttpResponse> {
    let NewEmergency { message, patient_id } = asked.0;
    let words = |words: String| -> std::result::Result<Draft, FieldError> {
        let name = key.as_ref().map(|key| ClientMessageId::parse(key.as_str())).transpose()?;
        Ok(Draft { client_message_id: name, ..Draft::text(Content::parse_as("message", &words)?) })
    };
    let words = message.map(words).transpose().map_err(invalid)?;
    let platform = &state.platform;
    let called = platform.call_for_help(&caller, patient_id.map(UserId::from), words).await?;
    let status = if called.created { StatusCode::CREATED } else { StatusCode::OK };
    let conversation = platform.screens.conversation(&caller, called.emergency.conversation_id).await?;
    let number = platform.emergencies.policy().number.as_str();
    Ok(HttpResponse::build(status).json(CalledEmergency {
        emergency: called.emergency.into(),
        conversation: ConversationBody::from(conversation),
        disclaimer: disclaimer(catalogue::negotiate(request.headers()), number),
        emergency_number: number.to_owned(),
    }))
}

/// List emergencies
///
/// Scope `emergencies:answer`. All of them if you run the clinic or are on the on-call list; otherwise those to which you
/// were paged or in whose conversation you are.
#[utoipa::path(
    tag = "Emergencies",
    operation_id = "listEmergencies",
    security(("bearer" = [])),
    params(EmergencyParams),
    responses(
        (status = 200, description = "A page.", body = EmergencyPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/emergencies")]
async fn list_emergencies(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<EmergencyParams>,
) -> Result<web::Json<EmergencyPage>> {
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let malformed = |_| invalid(FieldError::new("cursor", Rule::Malformed));
    let after = params.cursor.as_deref().map(str::parse).transpose().map_err(malformed)?;
    let open = params.status.map(|status| status == EmergencyFilter::Open);
    let page = state.platform.emergencies.list(&caller, open, after, size).await?;
    let Page { items, next_cursor } = page.map(EmergencyBody::from);
    Ok(web::Json(EmergencyPage { items, next_cursor }))
}

/// Take care of an emergency
///
/// Scope `emergencies:answer`. For those who are on call, were paged, attend the patient or run the clinic. Stops the
/// paging and brings you into its conversation, where you read all of it and moderate. Doing it again changes nothing.
#[utoipa::path(
    tag = "Emergencies",
    operation_id = "acknowledgeEmergency",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The emergency.")),
    responses(
        (status = 200, description = "It is acknowledged.", body = EmergencyBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`emergency_over`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/emergencies/{id}/acknowledge")]
async fn acknowledge(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<EmergencyBody>> {
    Ok(web::Json(state.platform.emergencies.acknowledge(&caller, id.into_inner().into()).await?.into()))
}

/// End an emergency
///
/// Scope `emergencies:answer`. For those who have acknowledged it, and those who run the clinic. Closes its conversation.
#[utoipa::path(
    tag = "Emergencies",
    operation_id = "resolveEmergency",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The emergency.")),
    responses(
        (status = 200, description = "It is over.", body = EmergencyBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it; `not_a_moderator`: acknowledge it first.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`emergency_over`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/emergencies/{id}/resolve")]
async fn resolve(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<EmergencyBody>> {
    Ok(web::Json(state.platform.emergencies.resolve(&caller, id.into_inner().into()).await?.into()))
}

/// See who answers emergencies
///
/// Scope `policies:manage`.
#[utoipa::path(
    tag = "Administration",
    operation_id = "getOnCall",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The list.", body = OnCallListBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/on-call")]
async fn get_on_call(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
) -> Result<web::Json<OnCallListBody>> {
    Ok(web::Json(state.platform.emergencies.on_call(&caller).await?.into()))
}

/// Decide who answers emergencies
///
/// Scope `policies:manage`. Replaces the list. Those who are no longer active doctors when it matters are passed over.
#[utoipa::path(
    tag = "Administration",
    operation_id = "setOnCall",
    security(("bearer" = [])),
    request_body = NewOnCallList,
    responses(
        (status = 200, description = "It holds from now on.", body = OnCallListBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/admin/on-call")]
async fn set_on_call(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<NewOnCallList>,
) -> Result<web::Json<OnCallListBody>> {
    let list = body.0.parse().map_err(invalid)?;
    Ok(web::Json(state.platform.emergencies.set_on_call(&caller, list).await?.into()))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config
        .service(call)
        .service(list_emergencies)
        .service(acknowledge)
        .service(resolve)
        .service(get_on_call)
        .service(set_on_call);
}
