//! When patients may write (C-19): the clinic's hours, those of professionals, and how they stand in a conversation.

use actix_web::{HttpResponse, delete, get, put, web};
use alivio_conversations::{Availability, ChatHours, Opening, OutsideHours, Schedule, StatedHours};
use alivio_kernel::FieldError;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// A day of the week.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }
}

/// A part of every week. It may end on the next day: `22:00` to `06:00` is one night.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOpening {
    /// The day it begins on.
    day: Day,
    /// When it begins, by the clock on the wall.
    #[schema(example = "08:00", pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// When it ends, up to `24:00`. If that is before it begins, it ends on the next day.
    #[schema(example = "22:00", pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
    to: String,
}

impl NewOpening {
    pub(crate) fn parse(&self) -> std::result::Result<Opening, FieldError> {
        Opening::parse(self.day.as_str(), &self.from, &self.to)
    }
}

/// A part of every week.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpeningBody {
    /// The day it begins on.
    #[schema(example = "monday")]
    day: &'static str,
    /// When it begins.
    #[schema(example = "08:00")]
    from: String,
    /// When it ends, up to `24:00`; on the next day if that is before it begins.
    #[schema(example = "22:00")]
    to: String,
}

impl From<&Opening> for OpeningBody {
    fn from(opening: &Opening) -> Self {
        Self { day: opening.day(), from: opening.from(), to: opening.to() }
    }
}

/// What becomes of what a patient writes while it is closed: it is refused; it is stored and disturbs nobody; or a
/// machine also answers, once in each closed period.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OutsideHoursBody {
    #[default]
    Reject,
    AcceptSilently,
    AutoReply,
}

impl From<OutsideHoursBody> for OutsideHours {
    fn from(body: OutsideHoursBody) -> Self {
        match body {
            OutsideHoursBody::Reject => Self::Reject,
            OutsideHoursBody::AcceptSilently => Self::AcceptSilently,
            OutsideHoursBody::AutoReply => Self::AutoReply,
        }
    }
}

/// When patients may write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewChatHours {
    /// The IANA zone that the clock on the wall goes by.
    #[schema(example = "Europe/Madrid")]
    time_zone: String,
    /// Parts of every week; without any it is never open.
    #[schema(max_items = 56)]
    weekly: Vec<NewOpening>,
    /// Dates on which it is closed from midnight to midnight.
    #[serde(default)]
    #[schema(max_items = 400)]
    closed_dates: Vec<NaiveDate>,
    /// What becomes of what a patient writes while it is closed.
    #[serde(default)]
    outside_hours: OutsideHoursBody,
}

impl NewChatHours {
    fn parse(self) -> Result<ChatHours> {
        let openings = self.weekly.iter().map(NewOpening::parse).collect::<std::result::Result<_, _>>();
        let zone = self.time_zone.parse().map_err(invalid)?;
        let schedule = Schedule::new(zone, openings.map_err(invalid)?, self.closed_dates).map_err(invalid)?;
        Ok(ChatHours { schedule, outside: self.outside_hours.into() })
    }
}

/// When patients may write to someone, and whether they may now.
#[derive(Serialize, ToSchema)]
struct ChatHoursBody {
    /// The IANA zone that the clock on the wall goes by.
    #[schema(example = "Europe/Madrid")]
    time_zone: &'static str,
    /// Parts of every week, from Monday on.
    weekly: Vec<OpeningBody>,
    /// Dates on which it is closed from midnight to midnight.
    closed_dates: Vec<NaiveDate>,
    /// `reject`, `accept_silently` or `auto_reply`.
    #[schema(example = "reject")]
    outside_hours: &'static str,
    /// Whether nobody has set them: a professional goes by the clinic's, the clinic by what it was installed with.
    is_default: bool,
    /// Whether it is open.
    is_open_now: bool,
    /// When it opens: now, if it is open; `null` if that is not within 400 days.
    next_open_at: Option<DateTime<Utc>>,
}

impl From<StatedHours> for ChatHoursBody {
    fn from(stated: StatedHours) -> Self {
        let StatedHours { hours, is_default, availability } = stated;
        Self {
            time_zone: hours.schedule.zone().as_str(),
            weekly: hours.schedule.openings().iter().map(OpeningBody::from).collect(),
            closed_dates: hours.schedule.closed_dates().to_vec(),
            outside_hours: hours.outside.as_str(),
            is_default,
            is_open_now: availability.is_open,
            next_open_at: availability.next_open_at,
        }
    }
}

/// Whether patients may write in a conversation now.
#[derive(Serialize, ToSchema)]
struct AvailabilityBody {
    /// Whether they may. What professionals write goes at any hour, and so does everything in an emergency.
    is_open: bool,
    /// When it opens: now, if it is open; `null` if that is not within 400 days.
    next_open_at: Option<DateTime<Utc>>,
    /// The IANA zone of the hours that decide.
    #[schema(example = "Europe/Madrid")]
    time_zone: &'static str,
    /// The hours of the day there.
    #[schema(example = "08:00-22:00")]
    allowed_hours: String,
    /// The time on the wall there.
    #[schema(example = "23:30")]
    current_time: String,
    /// What becomes of what a patient writes while it is closed: `reject`, `accept_silently` or `auto_reply`.
    #[schema(example = "reject")]
    outside_hours: &'static str,
    /// Where help is called at any hour.
    #[schema(example = "/api/v1/emergencies")]
    emergency_channel: &'static str,
}

impl From<Availability> for AvailabilityBody {
    fn from(availability: Availability) -> Self {
        Self {
            is_open: availability.is_open,
            next_open_at: availability.next_open_at,
            time_zone: availability.zone.as_str(),
            allowed_hours: availability.hours,
            current_time: availability.wall_time,
            outside_hours: availability.outside.as_str(),
            emergency_channel: "/api/v1/emergencies",
        }
    }
}

/// See the clinic's chat hours
///
/// Scope `policies:manage`.
#[utoipa::path(
    tag = "Administration",
    operation_id = "getClinicChatHours",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The hours.", body = ChatHoursBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[get("/admin/chat-hours")]
async fn of_clinic(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<web::Json<ChatHoursBody>> {
    Ok(web::Json(state.platform.hours.of_clinic(&caller).await?.into()))
}

/// Set the clinic's chat hours
///
/// Scope `policies:manage`. They hold for all professionals who have none of their own, at once.
#[utoipa::path(
    tag = "Administration",
    operation_id = "setClinicChatHours",
    security(("bearer" = [])),
    request_body = NewChatHours,
    responses(
        (status = 200, description = "They hold from now on.", body = ChatHoursBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: your role does not allow it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/admin/chat-hours")]
async fn set_of_clinic(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<NewChatHours>,
) -> Result<web::Json<ChatHoursBody>> {
    Ok(web::Json(state.platform.hours.set_of_clinic(&caller, body.0.parse()?).await?.into()))
}

/// See my chat hours
///
/// Scope `chat_hours:own`.
#[utoipa::path(
    tag = "Profile",
    operation_id = "getMyChatHours",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The hours.", body = ChatHoursBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: patients do not write to your role by hours.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[get("/me/chat-hours")]
async fn own(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<web::Json<ChatHoursBody>> {
    Ok(web::Json(state.platform.hours.own(&caller).await?.into()))
}

/// Set my chat hours
///
/// Scope `chat_hours:own`. They hold wherever you moderate a conversation with a patient; with other clinicians who do,
/// it is open if it is for any of you.
#[utoipa::path(
    tag = "Profile",
    operation_id = "setMyChatHours",
    security(("bearer" = [])),
    request_body = NewChatHours,
    responses(
        (status = 200, description = "They hold from now on.", body = ChatHoursBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: patients do not write to your role by hours.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/me/chat-hours")]
async fn set_own(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<NewChatHours>,
) -> Result<web::Json<ChatHoursBody>> {
    Ok(web::Json(state.platform.hours.set_own(&caller, Some(body.0.parse()?)).await?.into()))
}

/// Go by the clinic's chat hours again
///
/// Scope `chat_hours:own`.
#[utoipa::path(
    tag = "Profile",
    operation_id = "deleteMyChatHours",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "You go by the clinic's."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: patients do not write to your role by hours.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/me/chat-hours")]
async fn clear_own(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<HttpResponse> {
    state.platform.hours.set_own(&caller, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// See when someone can be written to
///
/// Of a clinician to whom you may talk.
#[utoipa::path(
    tag = "Users",
    operation_id = "getChatHours",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "The hours.", body = ChatHoursBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/users/{id}/chat-hours")]
async fn of_user(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<ChatHoursBody>> {
    Ok(web::Json(state.platform.hours.of(&caller, id.into_inner().into()).await?.into()))
}

/// See whether patients may write in a conversation now
///
/// Whatever you are: it is what its patients may do.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "getAvailability",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "How it stands.", body = AvailabilityBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}/availability")]
async fn get_availability(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<AvailabilityBody>> {
    Ok(web::Json(state.platform.hours.availability(&caller, id.into_inner().into()).await?.into()))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config
        .service(of_clinic)
        .service(set_of_clinic)
        .service(own)
        .service(set_own)
        .service(clear_own)
        .service(of_user)
        .service(get_availability);
}
