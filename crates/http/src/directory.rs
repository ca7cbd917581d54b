//! `/api/v1/users`: finding people, and their cards.

use actix_web::{get, web};
use alivio_accounts::{Card, CredentialStatus, DirectoryAfter, DirectoryQuery, fold_key};
use alivio_kernel::{FieldError, PageSize, Role, Rule};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::SignedIn;
use crate::paging;
use crate::problem::{Result, invalid};
use crate::profiles::avatar_url;
use crate::responses::{Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

/// A person, as those who may find them see them.
#[derive(Serialize, ToSchema)]
#[schema(as = UserCard)]
struct CardBody {
    /// Who.
    id: Uuid,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez")]
    display_name: String,
    /// The full name.
    #[schema(example = "María Martínez García")]
    full_name: String,
    /// What their account is for.
    #[schema(example = "doctor")]
    role: &'static str,
    /// Title among professionals.
    #[schema(example = "Cardiologist")]
    professional_title: Option<String>,
    /// What they are specialised in.
    #[schema(example = "Cardiología")]
    specialty: Option<String>,
    /// Where they work or study.
    #[schema(example = "Clínica Alivio")]
    institution: Option<String>,
    /// What they tell about themselves.
    #[schema(example = "Veinte años con corazones.")]
    bio: Option<String>,
    /// Where their picture is.
    #[schema(example = "/api/v1/users/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/avatar?v=1767225600000000")]
    avatar_url: Option<String>,
    /// Whether their credentials were found genuine.
    is_verified: bool,
}

impl From<Card> for CardBody {
    fn from(card: Card) -> Self {
        let id = card.id.uuid();
        Self {
            id,
            display_name: card.display_name.into_exposed(),
            full_name: card.full_name.into_exposed(),
            role: card.role.as_str(),
            professional_title: card.professional_title,
            specialty: card.specialty,
            institution: card.institution,
            bio: card.bio,
            avatar_url: avatar_url(id, card.avatar_version),
            is_verified: card.is_verified,
        }
    }
}

/// A page of the directory.
#[derive(Serialize, ToSchema)]
struct DirectoryPage {
    /// By name, without regard to case and accents.
    items: Vec<CardBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    #[schema(example = "maria_martinez_garcia.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DirectoryParams {
    /// Beginnings of words of name, title, specialty or institution, all of which must be there, without regard to case
    /// and accents: `marti card` finds Martínez, Cardiologist.
    #[param(example = "marti card", max_length = 160)]
    q: Option<String>,
    /// Only this role.
    #[param(example = "doctor")]
    role: Option<String>,
    /// Only this title.
    #[param(example = "Cardiologist")]
    title: Option<String>,
    /// Only this specialty.
    #[param(example = "Cardiología")]
    specialty: Option<String>,
    /// Only this institution.
    #[param(example = "Clínica Alivio")]
    institution: Option<String>,
    /// `true` leaves out those whose credentials are not verified.
    verified: Option<bool>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many people a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

pub(crate) fn role(name: &str) -> std::result::Result<Role, FieldError> {
    name.parse().map_err(|_| FieldError::new("role", Rule::Unknown))
}

/// Folded names hold letters, digits and single spaces; these stand as `_`.
pub(crate) fn cursor_of(after: &DirectoryAfter) -> String {
    format!("{}.{}", after.name_key.replace(' ', "_"), after.user_id)
}

pub(crate) fn parse_cursor(cursor: &str) -> std::result::Result<DirectoryAfter, FieldError> {
    let parse = || {
        let (name, id) = cursor.rsplit_once('.')?;
        let name_key = name.replace('_', " ");
        let after = DirectoryAfter { user_id: id.parse().ok()?, name_key };
        (after.name_key == fold_key(&after.name_key)).then_some(after)
    };
    parse().ok_or(FieldError::new("cursor", Rule::Malformed))
}

/// Find professionals
///
/// You find those of your institution, and those who share a conversation or a care relationship with you; with
/// `ALIVIO_DIRECTORY=open` everyone who is listed. Patients find those who attend them, and are never found
/// themselves. Those who run the clinic find everyone.
#[utoipa::path(
    tag = "People",
    operation_id = "searchDirectory",
    security(("bearer" = [])),
    params(DirectoryParams),
    responses(
        (status = 200, description = "A page.", body = DirectoryPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/users")]
async fn search(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<DirectoryParams>,
) -> Result<web::Json<DirectoryPage>> {
    let size = PageSize::parse(params.page_size, 20).map_err(invalid)?;
    let parse = || {
        let query = DirectoryQuery {
            role: params.role.as_deref().map(role).transpose()?,
            credential_status: params.verified.filter(|only| *only).map(|_| CredentialStatus::Verified),
            after: params.cursor.as_deref().map(parse_cursor).transpose()?,
            ..DirectoryQuery::new(size)
        };
        query.words(params.q.as_deref())?.of(
            params.title.as_deref(),
            params.specialty.as_deref(),
            params.institution.as_deref(),
        )
    };
    let query = DirectoryQuery { offset: paging::offset(params.page, size)?, ..parse().map_err(invalid)? };
    let page = state.platform.directory.search(&caller, &query, cursor_of).await?.map(CardBody::from);
    Ok(web::Json(DirectoryPage { items: page.items, next_cursor: page.next_cursor }))
}

/// An institution.
#[derive(Serialize, ToSchema)]
#[schema(as = Institution)]
struct InstitutionBody {
    /// Its name.
    #[schema(example = "Clínica Alivio")]
    institution: String,
    /// How many of those whom you may find belong to it.
    #[schema(example = 3)]
    count: i64,
}

/// A page of institutions.
#[derive(Serialize, ToSchema)]
struct InstitutionPage {
    /// By name.
    items: Vec<InstitutionBody>,
    /// Send it as `page` to get the next page; `null` on the last.
    #[schema(example = "2")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InstitutionParams {
    /// The page's number from 1.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many institutions a page holds (default 50).
    #[param(minimum = 1, maximum = 100, example = 50)]
    page_size: Option<i64>,
}

/// List institutions
///
/// Those of the professionals whom you may find. `GET /users?institution=` finds who belongs to one.
#[utoipa::path(
    tag = "People",
    operation_id = "listInstitutions",
    security(("bearer" = [])),
    params(InstitutionParams),
    responses(
        (status = 200, description = "A page.", body = InstitutionPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/users/institutions")]
async fn institutions(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<InstitutionParams>,
) -> Result<web::Json<InstitutionPage>> {
    let size = PageSize::parse(params.page_size, 50).map_err(invalid)?;
    let offset = paging::offset(params.page, size)?;
    let (found, more) = state.platform.directory.institutions(&caller, offset, size).await?;
    let items =
        found.into_iter().map(|(institution, count)| InstitutionBody { institution, count }).collect();
    let next = params.page.unwrap_or(1) + 1;
    Ok(web::Json(InstitutionPage { items, next_cursor: more.then(|| next.to_string()) }))
}

/// Look at someone
///
/// A professional whom you may find, someone who shares a conversation or a care relationship with you, or yourself.
#[utoipa::path(
    tag = "People",
    operation_id = "getUser",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "The person.", body = CardBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/users/{id}")]
async fn get_one(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<CardBody>> {
    Ok(web::Json(state.platform.directory.card(&caller, id.into_inner().into()).await?.into()))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(search).service(institutions);
    // Or else `institutions` would be taken for an id.
    config.map(|config| config.service(web::resource("/users/institutions").to(crate::nowhere)));
    config.service(get_one);
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::UserId;

    use super::*;

    #[test]
    fn cursors_read_back_and_others_are_refused() {
        let after =
            DirectoryAfter { name_key: "maria martinez 2".into(), user_id: UserId::from(Uuid::nil()) };
        assert_eq!(parse_cursor(&cursor_of(&after)), Ok(after));
        let id = Uuid::nil();
        for bad in ["", "x", ".", "maria.x", &format!("María.{id}"), &format!("a__b.{id}"), &id.to_string()]
        {
            assert!(parse_cursor(bad).is_err(), "{bad}");
        }
    }
}
