//! `/api/v1/presence`, `/api/v1/me/presence` and `/api/v1/me/privacy`: who is here, and who sees it.

use actix_web::{get, put, web};
use alivio_accounts::{ChosenPresence, Circle, PresencePrivacy, PresenceQuery};
use alivio_kernel::ids::UserId;
use alivio_kernel::{Caller, FieldError, PageSize, Rule};
use alivio_platform::live::{OwnPresence, Seen};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::paging;
use crate::problem::{Problem, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// How someone is, as you see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Presence)]
struct PresenceBody {
    /// Who.
    user_id: Uuid,
    /// `online`, `away` or `busy` while a device is connected, else `offline`. Those who do not show it to you are
    /// `offline`.
    #[schema(example = "busy")]
    presence: &'static str,
    /// Whether a device is connected: all but `offline`.
    #[schema(example = true)]
    is_online: bool,
    /// When the last of their devices went away, if they show it to you.
    last_seen_at: Option<DateTime<Utc>>,
}

impl From<Seen> for PresenceBody {
    fn from(seen: Seen) -> Self {
        Self {
            user_id: seen.user_id.uuid(),
            presence: seen.presence.as_str(),
            is_online: seen.presence.is_online(),
            last_seen_at: seen.last_seen_at,
        }
    }
}

/// How you are, and how you want to be seen.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnPresence)]
struct OwnPresenceBody {
    /// You.
    user_id: Uuid,
    /// As others see it: `online`, `away`, `busy` or `offline`.
    #[schema(example = "busy")]
    presence: &'static str,
    /// Whether a device of yours is connected.
    #[schema(example = true)]
    is_online: bool,
    /// When the last of your devices went away.
    last_seen_at: Option<DateTime<Utc>>,
    /// What is shown while a device of yours is connected: `online`, `away` or `busy`.
    #[schema(example = "busy")]
    chosen: &'static str,
}

impl From<OwnPresence> for OwnPresenceBody {
    fn from(own: OwnPresence) -> Self {
        Self {
            user_id: own.seen.user_id.uuid(),
            presence: own.seen.presence.as_str(),
            is_online: own.seen.presence.is_online(),
            last_seen_at: own.seen.last_seen_at,
            chosen: own.chosen.as_str(),
        }
    }
}

/// How you want to be seen.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PresenceChoice {
    /// What to show while a device of yours is connected.
    presence: PresenceToShow,
}

/// What can be chosen. To be invisible, change your privacy.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PresenceToShow {
    Online,
    Away,
    Busy,
}

impl From<PresenceToShow> for ChosenPresence {
    fn from(chosen: PresenceToShow) -> Self {
        match chosen {
            PresenceToShow::Online => Self::Online,
            PresenceToShow::Away => Self::Away,
            PresenceToShow::Busy => Self::Busy,
        }
    }
}

/// Who sees it: everyone in a conversation with you and your contacts, contacts only, or nobody.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Audience {
    EveryoneIKnow,
    Contacts,
    Nobody,
}

impl From<Audience> for Circle {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::EveryoneIKnow => Self::EveryoneIKnow,
            Audience::Contacts => Self::Contacts,
            Audience::Nobody => Self::Nobody,
        }
    }
}

impl From<Circle> for Audience {
    fn from(circle: Circle) -> Self {
        match circle {
            Circle::EveryoneIKnow => Self::EveryoneIKnow,
            Circle::Contacts => Self::Contacts,
            Circle::Nobody => Self::Nobody,
        }
    }
}

/// Who sees what of you.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Privacy {
    /// Who sees whether you are here.
    presence: Audience,
    /// Who sees when you were last.
    last_seen: Audience,
}

/// A page of people.
#[derive(Serialize, ToSchema)]
struct PresencePage {
    /// In the order of their ids.
    items: Vec<PresenceBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PresenceParams {
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many people a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// See how people you know are
///
/// Your contacts, and everyone you share a conversation with. Who has blocked you or is blocked by you, and who shows
/// you nothing, is not in it.
#[utoipa::path(
    tag = "Presence",
    operation_id = "listPresence",
    security(("bearer" = [])),
    params(PresenceParams),
    responses(
        (status = 200, description = "A page.", body = PresencePage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/presence")]
async fn list_presence(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<PresenceParams>,
) -> Result<web::Json<PresencePage>> {
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let parse = |cursor: &str| {
        cursor.parse::<UserId>().map_err(|_| invalid(FieldError::new("cursor", Rule::Malformed)))
    };
    let query = PresenceQuery {
        after: params.cursor.as_deref().map(parse).transpose()?,
        offset: paging::offset(params.page, size)?,
        size,
    };
    let page = state.platform.presence.everyone(&caller, &query).await?.map(PresenceBody::from);
    Ok(web::Json(PresencePage { items: page.items, next_cursor: page.next_cursor }))
}

/// See how you are
#[utoipa::path(
    tag = "Presence",
    operation_id = "getOwnPresence",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your presence.", body = OwnPresenceBody),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[get("/me/presence")]
async fn get_own_presence(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
) -> Result<web::Json<OwnPresenceBody>> {
    Ok(web::Json(state.platform.presence.own(&caller).await?.into()))
}

/// Choose how to be seen
///
/// Shown whenever a device of yours is connected, until you choose again. Those who see it are told at once.
#[utoipa::path(
    tag = "Presence",
    operation_id = "setOwnPresence",
    security(("bearer" = [])),
    request_body = PresenceChoice,
    responses(
        (status = 200, description = "Chosen.", body = OwnPresenceBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/me/presence")]
async fn set_own_presence(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<PresenceChoice>,
) -> Result<web::Json<OwnPresenceBody>> {
    choose(&state, &caller, body.0).await
}

/// See how someone is
#[utoipa::path(
    tag = "Presence",
    operation_id = "getPresence",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "Their presence.", body = PresenceBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/users/{user_id}/presence")]
async fn get_presence(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
) -> Result<web::Json<PresenceBody>> {
    Ok(web::Json(state.platform.presence.one(&caller, user.into_inner().into()).await?.into()))
}

/// Choose how to be seen, under your own id
///
/// The same as `PUT /me/presence`. Nobody chooses for others.
#[utoipa::path(
    tag = "Presence",
    operation_id = "setPresence",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "You.")),
    request_body = PresenceChoice,
    responses(
        (status = 200, description = "Chosen.", body = OwnPresenceBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/users/{user_id}/presence")]
async fn set_presence(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
    body: Body<PresenceChoice>,
) -> Result<web::Json<OwnPresenceBody>> {
    if user.into_inner() != caller.user_id.uuid() {
        return Err(Problem::not_found());
    }
    choose(&state, &caller, body.0).await
}

async fn choose(
    state: &State,
    caller: &Caller,
    choice: PresenceChoice,
) -> Result<web::Json<OwnPresenceBody>> {
    state.platform.choose_presence(caller, choice.presence.into()).await?;
    Ok(web::Json(state.platform.presence.own(caller).await?.into()))
}

/// See who sees what of you
#[utoipa::path(
    tag = "Presence",
    operation_id = "getPrivacy",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your privacy.", body = Privacy),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[get("/me/privacy")]
async fn get_privacy(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<web::Json<Privacy>> {
    let PresencePrivacy { presence, last_seen } = state.platform.presence.privacy(&caller).await?;
    Ok(web::Json(Privacy { presence: presence.into(), last_seen: last_seen.into() }))
}

/// Choose who sees what of you
#[utoipa::path(
    tag = "Presence",
    operation_id = "setPrivacy",
    security(("bearer" = [])),
    request_body = Privacy,
    responses(
        (status = 200, description = "Chosen.", body = Privacy),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/me/privacy")]
async fn set_privacy(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<Privacy>,
) -> Result<web::Json<Privacy>> {
    let privacy = PresencePrivacy { presence: body.0.presence.into(), last_seen: body.0.last_seen.into() };
    state.platform.set_presence_privacy(&caller, privacy).await?;
    Ok(web::Json(body.0))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(list_presence).service(get_own_presence).service(set_own_presence);
    config.service(get_presence).service(set_presence).service(get_privacy).service(set_privacy);
}
