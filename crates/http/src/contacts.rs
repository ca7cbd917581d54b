//! `/api/v1/contacts` and `/api/v1/contact-requests`: whom one knows.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, post, put, web};
use alivio_accounts::{
    Added, After, Contact, ContactQuery, ContactRequest, Direction, Email, Invitee, Nickname, UserSummary,
    Window,
};
use alivio_kernel::ids::UserId;
use alivio_kernel::{Caller, FieldError, PageSize, Rule};
use alivio_platform::live::Seen;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::conversations::UserSummaryBody;
use crate::extract::{Body, SignedIn};
use crate::paging;
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{
    Forbidden, Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable,
};
use crate::state::State;

/// Whom to ask: by id or by address, not both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewContactRequest {
    /// Who.
    user_id: Option<Uuid>,
    /// Their e-mail address; case does not matter.
    #[schema(example = "carlos.ruiz@clinic.example", max_length = 254)]
    email: Option<String>,
}

/// Whom to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewContact {
    /// Who.
    user_id: Uuid,
    /// What to call them: one line, at most 100 characters.
    #[schema(example = "Carlos (cardio)", min_length = 1, max_length = 100)]
    nickname: Option<String>,
}

/// What you keep about a contact.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ContactSettings {
    /// What to call them; none if absent or null.
    #[schema(example = "Carlos (cardio)", min_length = 1, max_length = 100)]
    nickname: Option<String>,
    /// Whether they come first in your list.
    #[schema(example = true)]
    is_favorite: bool,
}

/// An open request.
#[derive(Serialize, ToSchema)]
#[schema(as = ContactRequest)]
struct ContactRequestBody {
    /// Its id.
    id: Uuid,
    /// `incoming`, or `outgoing` if it is yours.
    #[schema(example = "incoming")]
    direction: &'static str,
    /// Who asks. Only of incoming requests.
    from: Option<UserSummaryBody>,
    /// Who is asked, if they were named by their id.
    user_id: Option<Uuid>,
    /// Who is asked, if they were named by their address. Only of outgoing requests.
    #[schema(example = "carlos.ruiz@clinic.example")]
    email: Option<String>,
    /// Since when it is open.
    created_at: DateTime<Utc>,
}

impl ContactRequestBody {
    fn new(request: &ContactRequest, caller: &Caller, people: &HashMap<UserId, Arc<UserSummary>>) -> Self {
        let outgoing = request.from == caller.user_id;
        let person = if outgoing { None } else { people.get(&request.from) };
        let (user_id, email) = match &request.named {
            Invitee::User(user) => (Some(user.uuid()), None),
            Invitee::Email(email) => (None, Some(email.as_str().to_owned())),
        };
        Self {
            id: request.id.uuid(),
            direction: if outgoing { "outgoing" } else { "incoming" },
            from: person.map(|person| UserSummaryBody::from(&**person)),
            user_id,
            email,
            created_at: request.created_at,
        }
    }
}

/// A page of requests.
#[derive(Serialize, ToSchema)]
struct ContactRequestPage {
    /// Newest first.
    items: Vec<ContactRequestBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// Someone you know.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
struct ContactBody {
    /// Who.
    user: UserSummaryBody,
    /// What you call them.
    #[schema(example = "Carlos (cardio)")]
    nickname: Option<String>,
    /// Whether they come first in your list.
    #[schema(example = true)]
    is_favorite: bool,
    /// Whether you block them.
    #[schema(example = false)]
    is_blocked: bool,
    /// `online`, `away`, `busy` or `offline`, as far as they show it to you.
    #[schema(example = "online")]
    presence: &'static str,
    /// Whether a device of theirs is connected.
    #[schema(example = true)]
    is_online: bool,
    /// When the last of their devices went away, if they show it to you.
    last_seen_at: Option<DateTime<Utc>>,
    /// Since when you know each other.
    created_at: DateTime<Utc>,
}

/// A page of contacts.
#[derive(Serialize, ToSchema)]
struct ContactPage {
    /// Favourites first, then those who were added last.
    items: Vec<ContactBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "1.1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// Which requests.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RequestDirection {
    /// Those to you.
    #[default]
    Incoming,
    /// Those of yours.
    Outgoing,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RequestParams {
    /// Those to you (the default) or those of yours.
    #[serde(default)]
    #[param(inline)]
    direction: RequestDirection,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many requests a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ContactParams {
    /// Only those who are favourites, or who are not.
    favorite: Option<bool>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many contacts a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

fn bad_cursor() -> crate::problem::Problem {
    invalid(FieldError::new("cursor", Rule::Malformed))
}

fn parse_after<T: std::str::FromStr>(cursor: &str) -> Option<After<T>> {
    let (at, id) = paging::moment(cursor)?;
    Some(After { at, id: id.parse().ok()? })
}

fn parse_nickname(nickname: Option<String>) -> Result<Option<Nickname>> {
    nickname.map(|nickname| Nickname::parse(&nickname)).transpose().map_err(invalid)
}

async fn show_contacts(state: &State, caller: &Caller, contacts: Vec<Contact>) -> Result<Vec<ContactBody>> {
    let ids: Vec<UserId> = contacts.iter().map(|contact| contact.user_id).collect();
    let people = state.platform.people.summaries(ids.iter().copied()).await?;
    let seen = state.platform.presence.seen(caller, &ids).await?;
    let show = |contact: Contact| {
        let person = people.get(&contact.user_id)?;
        let seen: Option<&Seen> = seen.get(&contact.user_id);
        Some(ContactBody {
            user: UserSummaryBody::from(&**person),
            nickname: contact.nickname.map(|nickname| nickname.expose().to_owned()),
            is_favorite: contact.is_favorite,
            is_blocked: contact.is_blocked,
            presence: seen.map_or("offline", |seen| seen.presence.as_str()),
            is_online: seen.is_some_and(|seen| seen.presence.is_online()),
            last_seen_at: seen.and_then(|seen| seen.last_seen_at),
            created_at: contact.created_at,
        })
    };
    Ok(contacts.into_iter().filter_map(show).collect())
}

async fn show_contact(state: &State, caller: &Caller, contact: Contact) -> Result<ContactBody> {
    let shown = show_contacts(state, caller, vec![contact]).await?;
    shown.into_iter().next().ok_or_else(crate::problem::Problem::not_found)
}

async fn show_added(state: &State, caller: &Caller, added: Added) -> Result<HttpResponse> {
    Ok(match added {
        Added::Requested(request) => {
            HttpResponse::Accepted().json(ContactRequestBody::new(&request, caller, &HashMap::new()))
        }
        Added::Contact { contact, created } => {
            let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
            answer.json(show_contact(state, caller, contact).await?)
        }
    })
}

/// Ask someone to be a contact
///
/// Name them by `user_id` or by `email`. The answer is the same whether or not there is such a person and whether or
/// not they may be asked. If they had asked you, you are contacts at once. By `email` the answer is always 202.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "requestContact",
    security(("bearer" = [])),
    request_body = NewContactRequest,
    responses(
        (status = 200, description = "You know each other already.", body = ContactBody),
        (status = 201, description = "They had asked you: you are contacts now.", body = ContactBody),
        (status = 202, description = "The request is open.", body = ContactRequestBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 409, description = "`too_many_contact_requests`: 100 are open.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/contact-requests")]
async fn request_contact(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<NewContactRequest>,
) -> Result<HttpResponse> {
    let invitee = match (body.0.user_id, body.0.email) {
        (Some(user), None) => Invitee::User(user.into()),
        (None, Some(email)) => Invitee::Email(Email::parse(&email).map_err(invalid)?),
        (None, None) => return Err(invalid(FieldError::new("user_id", Rule::Empty))),
        (Some(_), Some(_)) => return Err(invalid(FieldError::new("email", Rule::TooMany { max: 0 }))),
    };
    let added = state.platform.contacts.ask(&caller, invitee, None).await?;
    show_added(&state, &caller, added).await
}

/// List open requests
#[utoipa::path(
    tag = "Contacts",
    operation_id = "listContactRequests",
    security(("bearer" = [])),
    params(RequestParams),
    responses(
        (status = 200, description = "A page.", body = ContactRequestPage),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/contact-requests")]
async fn list_requests(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<RequestParams>,
) -> Result<web::Json<ContactRequestPage>> {
    let size = PageSize::parse(params.page_size, 20).map_err(invalid)?;
    let after =
        params.cursor.as_deref().map(|cursor| parse_after(cursor).ok_or_else(bad_cursor)).transpose()?;
    let window = Window { after, offset: paging::offset(params.page, size)?, size };
    let direction = match params.direction {
        RequestDirection::Incoming => Direction::Incoming,
        RequestDirection::Outgoing => Direction::Outgoing,
    };
    let cursor = |r: &ContactRequest| format!("{}.{}", r.created_at.timestamp_micros(), r.id);
    let page = state.platform.contacts.requests(&caller, direction, &window, cursor).await?;
    let askers = page.items.iter().map(|request| request.from);
    let people = state.platform.people.summaries(askers).await?;
    let page = page.map(|request| ContactRequestBody::new(&request, &caller, &people));
    Ok(web::Json(ContactRequestPage { items: page.items, next_cursor: page.next_cursor }))
}

/// Accept a request
///
/// You become contacts of each other.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "acceptContactRequest",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The request.")),
    responses(
        (status = 200, description = "You are contacts.", body = ContactBody),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/contact-requests/{id}/accept")]
async fn accept_request(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<ContactBody>> {
    let contact = state.platform.contacts.accept(&caller, id.into_inner().into()).await?;
    Ok(web::Json(show_contact(&state, &caller, contact).await?))
}

/// Decline a request
///
/// Whoever asked is not told.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "declineContactRequest",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The request.")),
    responses(
        (status = 204, description = "Declined."),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/contact-requests/{id}/decline")]
async fn decline_request(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.contacts.decline(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Take a request back
#[utoipa::path(
    tag = "Contacts",
    operation_id = "withdrawContactRequest",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The request.")),
    responses(
        (status = 204, description = "Taken back."),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/contact-requests/{id}")]
async fn withdraw_request(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.contacts.withdraw(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List your contacts
#[utoipa::path(
    tag = "Contacts",
    operation_id = "listContacts",
    security(("bearer" = [])),
    params(ContactParams),
    responses(
        (status = 200, description = "A page.", body = ContactPage),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/contacts")]
async fn list_contacts(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<ContactParams>,
) -> Result<web::Json<ContactPage>> {
    let size = PageSize::parse(params.page_size, 20).map_err(invalid)?;
    let parse = |cursor: &str| {
        let (favorite, after) = cursor.split_once('.')?;
        let favorite = match favorite {
            "1" => true,
            "0" => false,
            _ => return None,
        };
        Some((favorite, parse_after(after)?))
    };
    let query = ContactQuery {
        favorite: params.favorite,
        after: params.cursor.as_deref().map(|cursor| parse(cursor).ok_or_else(bad_cursor)).transpose()?,
        offset: paging::offset(params.page, size)?,
        size,
    };
    let cursor = |contact: &Contact| {
        let (favorite, micros) = (u8::from(contact.is_favorite), contact.created_at.timestamp_micros());
        format!("{favorite}.{micros}.{}", contact.user_id)
    };
    let page = state.platform.contacts.list(&caller, &query, cursor).await?;
    let items = show_contacts(&state, &caller, page.items).await?;
    Ok(web::Json(ContactPage { items, next_cursor: page.next_cursor }))
}

/// Add a contact
///
/// Asks them, unless they have asked you. The nickname is kept until they accept.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "addContact",
    security(("bearer" = [])),
    request_body = NewContact,
    responses(
        (status = 200, description = "You know each other already.", body = ContactBody),
        (status = 201, description = "They had asked you: you are contacts now.", body = ContactBody),
        (status = 202, description = "They are asked.", body = ContactRequestBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 409, description = "`too_many_contact_requests`: 100 are open.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/contacts")]
async fn add_contact(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<NewContact>,
) -> Result<HttpResponse> {
    let (invitee, nickname) = (Invitee::User(body.0.user_id.into()), parse_nickname(body.0.nickname)?);
    let added = state.platform.contacts.ask(&caller, invitee, nickname).await?;
    show_added(&state, &caller, added).await
}

/// Look at a contact
#[utoipa::path(
    tag = "Contacts",
    operation_id = "getContact",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "The contact.", body = ContactBody),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/contacts/{user_id}")]
async fn get_contact(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
) -> Result<web::Json<ContactBody>> {
    let contact = state.platform.contacts.contact(&caller, user.into_inner().into()).await?;
    Ok(web::Json(show_contact(&state, &caller, contact).await?))
}

/// Change what you keep about a contact
#[utoipa::path(
    tag = "Contacts",
    operation_id = "changeContact",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Who.")),
    request_body = ContactSettings,
    responses(
        (status = 200, description = "The contact.", body = ContactBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/contacts/{user_id}")]
async fn change_contact(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
    body: Body<ContactSettings>,
) -> Result<web::Json<ContactBody>> {
    let (user, nickname) = (user.into_inner().into(), parse_nickname(body.0.nickname)?);
    let contact = state.platform.contacts.replace(&caller, user, nickname, body.0.is_favorite).await?;
    Ok(web::Json(show_contact(&state, &caller, contact).await?))
}

/// Remove a contact
///
/// For both of you.
#[utoipa::path(
    tag = "Contacts",
    operation_id = "removeContact",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 204, description = "Removed."),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/contacts/{user_id}")]
async fn remove_contact(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.contacts.remove(&caller, user.into_inner().into()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Make a contact a favourite
#[utoipa::path(
    tag = "Contacts",
    operation_id = "favorContact",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "The contact.", body = ContactBody),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/contacts/{user_id}/favorite")]
async fn favor(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
) -> Result<web::Json<ContactBody>> {
    let contact = state.platform.contacts.set_favorite(&caller, user.into_inner().into(), true).await?;
    Ok(web::Json(show_contact(&state, &caller, contact).await?))
}

/// Make a contact one among the others
#[utoipa::path(
    tag = "Contacts",
    operation_id = "unfavorContact",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "The contact.", body = ContactBody),
        (status = 401, response = Unauthenticated),
        (status = 403, response = Forbidden),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/contacts/{user_id}/favorite")]
async fn unfavor(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    user: web::Path<Uuid>,
) -> Result<web::Json<ContactBody>> {
    let contact = state.platform.contacts.set_favorite(&caller, user.into_inner().into(), false).await?;
    Ok(web::Json(show_contact(&state, &caller, contact).await?))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(request_contact).service(list_requests).service(accept_request);
    config.service(decline_request).service(withdraw_request);
    config.service(list_contacts).service(add_contact).service(get_contact).service(change_contact);
    config.service(remove_contact).service(favor).service(unfavor);
}
