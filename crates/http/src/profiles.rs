//! `/api/v1/me/profile`, `/api/v1/me/avatar` and what of them others change and see.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, EntityTag, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, put, web};
use alivio_accounts::{CredentialStatus, ImageForm, Profile, ProfilePatch};
use alivio_kernel::{FieldError, Language, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::conditional::not_modified;
use crate::extract::{Body, SignedIn};
use crate::problem::{Problem, ProblemDetails, Result, invalid};
use crate::responses::{
    Bytes, Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable,
};
use crate::state::State;

/// The largest picture, in bytes.
const MAX_PICTURE: usize = 2 * 1024 * 1024;

/// Where a picture is; `v` changes with the picture.
pub(crate) fn avatar_url(user: Uuid, version: Option<i64>) -> Option<String> {
    version.map(|version| format!("/api/v1/users/{user}/avatar?v={version}"))
}

/// Tells a field that is null from one that is not there.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// All that someone says of themselves. Fields that are left out are cleared, but for `listed`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileReplacement {
    /// The full name, as on a licence or an identity card.
    #[schema(example = "María Martínez García", min_length = 1, max_length = 120)]
    full_name: String,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez", min_length = 1, max_length = 120)]
    display_name: String,
    /// The language to write to you in: `es` or `en`.
    #[schema(example = "es")]
    language: String,
    /// Where to call you: 6 to 15 digits. Nobody else sees it.
    #[schema(example = "+34600123456")]
    phone: Option<String>,
    /// Title among professionals. Only professionals have this field and those that follow.
    #[schema(example = "Cardiologist", max_length = 160)]
    professional_title: Option<String>,
    /// What you are specialised in.
    #[schema(example = "Cardiología", max_length = 160)]
    specialty: Option<String>,
    /// Where you work or study.
    #[schema(example = "Clínica Alivio", max_length = 160)]
    institution: Option<String>,
    /// What you tell about yourself.
    #[schema(example = "Veinte años con corazones.", max_length = 2000)]
    bio: Option<String>,
    /// Whether people find you in the directory.
    listed: Option<bool>,
    /// Your licence to practise. A new number has to be verified anew.
    #[schema(example = "CMP-12345", min_length = 3, max_length = 40)]
    license_number: Option<String>,
}

impl ProfileReplacement {
    fn parse(self) -> std::result::Result<ProfilePatch, FieldError> {
        let patch = ProfilePatch { language: Some(language(&self.language)?), ..ProfilePatch::default() };
        ProfilePatch { listed: self.listed, ..patch }
            .full_name(Some(&self.full_name))?
            .display_name(Some(&self.display_name))?
            .published(
                Some(self.professional_title.as_deref()),
                Some(self.specialty.as_deref()),
                Some(self.institution.as_deref()),
                Some(self.bio.as_deref()),
            )?
            .confidential(Some(self.phone.as_deref()), Some(self.license_number.as_deref()))
    }
}

/// What changes of a profile. Fields that are left out stay; null clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileChanges {
    /// The full name, as on a licence or an identity card.
    #[schema(example = "María Martínez García", min_length = 1, max_length = 120)]
    full_name: Option<String>,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez", min_length = 1, max_length = 120)]
    display_name: Option<String>,
    /// The language to write to them in: `es` or `en`.
    #[schema(example = "es")]
    language: Option<String>,
    /// Where to call them. Only they themselves change it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "+34600123456")]
    phone: Option<Option<String>>,
    /// Title among professionals. Only professionals have this field and those that follow.
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
    /// What they tell about themselves.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "Veinte años con corazones.", max_length = 2000)]
    bio: Option<Option<String>>,
    /// Whether people find them in the directory.
    listed: Option<bool>,
    /// Their licence to practise. A new number has to be verified anew.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "CMP-12345", min_length = 3, max_length = 40)]
    license_number: Option<Option<String>>,
}

impl ProfileChanges {
    fn parse(self) -> std::result::Result<ProfilePatch, FieldError> {
        fn inner(field: &Option<Option<String>>) -> Option<Option<&str>> {
            field.as_ref().map(Option::as_deref)
        }
        let language = self.language.as_deref().map(language).transpose()?;
        ProfilePatch { language, listed: self.listed, ..ProfilePatch::default() }
            .full_name(self.full_name.as_deref())?
            .display_name(self.display_name.as_deref())?
            .published(
                inner(&self.professional_title),
                inner(&self.specialty),
                inner(&self.institution),
                inner(&self.bio),
            )?
            .confidential(inner(&self.phone), inner(&self.license_number))
    }
}

fn language(tag: &str) -> std::result::Result<Language, FieldError> {
    tag.parse().map_err(|_| FieldError::new("language", Rule::Unknown))
}

/// A profile, as its owner and those who manage professionals see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile)]
pub(crate) struct ProfileBody {
    /// Whose.
    id: Uuid,
    /// Where mail goes, and the name to sign in with.
    #[schema(example = "maria.martinez@clinic.example")]
    email: String,
    /// The full name.
    #[schema(example = "María Martínez García")]
    full_name: String,
    /// The name shown in a chat.
    #[schema(example = "Dra. María Martínez")]
    display_name: String,
    /// What the account is for.
    #[schema(example = "doctor")]
    role: &'static str,
    /// The language to write to them in.
    #[schema(example = "es")]
    language: &'static str,
    /// Where to call them. Only their owner sees it.
    #[schema(example = "+34600123456")]
    phone: Option<String>,
    /// Where their picture is.
    #[schema(example = "/api/v1/users/0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e/avatar?v=1767225600000000")]
    avatar_url: Option<String>,
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
    /// Whether people find them in the directory. Null for those who are never in it.
    listed: Option<bool>,
    /// Their licence to practise.
    #[schema(example = "CMP-12345")]
    license_number: Option<String>,
    /// `unverified`, `submitted`, `verified` or `rejected`. Null for those who have no credentials.
    #[schema(example = "verified")]
    credential_status: Option<&'static str>,
    /// Whether their credentials were found genuine.
    is_verified: bool,
    /// Whether they may sign in.
    is_active: bool,
    /// When the account was made.
    created_at: DateTime<Utc>,
}

impl From<Profile> for ProfileBody {
    fn from(profile: Profile) -> Self {
        let Profile { user, phone, avatar_version, entry, license_number } = profile;
        let status = entry.as_ref().map(|entry| entry.credential_status);
        let listed = entry.as_ref().map(|entry| entry.listed);
        let (specialty, institution, bio) =
            entry.map_or((None, None, None), |entry| (entry.specialty, entry.institution, entry.bio));
        Self {
            id: user.id.uuid(),
            email: user.identity.email.as_str().to_owned(),
            full_name: user.identity.full_name,
            display_name: user.identity.display_name,
            role: user.role.as_str(),
            language: user.language.tag(),
            phone: phone.map(|phone| phone.expose().to_owned()),
            avatar_url: avatar_url(user.id.uuid(), avatar_version),
            professional_title: user.professional_title,
            specialty,
            institution,
            bio,
            listed,
            license_number: license_number.map(|number| number.expose().to_owned()),
            credential_status: status.map(CredentialStatus::as_str),
            is_verified: status == Some(CredentialStatus::Verified),
            is_active: user.is_active,
            created_at: user.created_at,
        }
    }
}

/// Your profile
#[utoipa::path(
    tag = "People",
    operation_id = "getOwnProfile",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your profile.", body = ProfileBody),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[get("/me/profile")]
async fn own(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<web::Json<ProfileBody>> {
    Ok(web::Json(state.platform.profiles.own(&caller).await?.into()))
}

/// Replace your profile
///
/// What you leave out is cleared, but for `listed`. Professionals publish names, title, specialty, institution and bio
/// in the directory; patients have none of these but the names, which rest encrypted.
#[utoipa::path(
    tag = "People",
    operation_id = "replaceOwnProfile",
    security(("bearer" = [])),
    request_body = ProfileReplacement,
    responses(
        (status = 200, description = "Your profile now.", body = ProfileBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 409, description = "`stale`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/me/profile")]
async fn replace_own(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<ProfileReplacement>,
) -> Result<web::Json<ProfileBody>> {
    let patch = body.0.parse().map_err(invalid)?;
    Ok(web::Json(state.platform.profiles.change(&caller, caller.user_id, patch).await?.into()))
}

/// Change a profile
///
/// Your own, or a professional's if you manage them (`professionals:manage`).
#[utoipa::path(
    tag = "People",
    operation_id = "changeProfile",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Whose profile.")),
    request_body = ProfileChanges,
    responses(
        (status = 200, description = "The profile now.", body = ProfileBody),
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
#[patch("/users/{id}")]
async fn change(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<ProfileChanges>,
) -> Result<web::Json<ProfileBody>> {
    let patch = body.0.parse().map_err(invalid)?;
    Ok(web::Json(state.platform.profiles.change(&caller, id.into_inner().into(), patch).await?.into()))
}

/// Set your picture
///
/// A PNG or JPEG of at most 2 MiB and 4,096 pixels a side. It is made to fit 256 × 256, and loses what else it tells:
/// where it was taken, by what.
#[utoipa::path(
    tag = "People",
    operation_id = "setOwnAvatar",
    security(("bearer" = [])),
    request_body(content((Bytes = "image/png"), (Bytes = "image/jpeg")), description = "The picture."),
    responses(
        (status = 200, description = "Your profile now.", body = ProfileBody),
        (status = 400, description = "`bad_request`: the body breaks off.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, response = Unauthenticated),
        (status = 413, description = "`payload_too_large`: the picture is larger than 2 MiB.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_image`: the body is not called `image/png` or `image/jpeg`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`unsupported_image`: it is no such picture, broken, or too large in pixels.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[put("/me/avatar")]
async fn set_avatar(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<ProfileBody>> {
    let named = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if ImageForm::parse(&named.trim().to_ascii_lowercase()).is_none() {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_image"));
    }
    let too_large = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    let bytes = payload.to_bytes_limited(MAX_PICTURE).await.map_err(too_large)?;
    let bytes = bytes.map_err(|error| Problem::of_status(error.as_response_error().status_code()))?;
    Ok(web::Json(state.platform.profiles.put_avatar(&caller, bytes.to_vec()).await?.into()))
}

/// Remove your picture
#[utoipa::path(
    tag = "People",
    operation_id = "removeOwnAvatar",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "You have none."),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/me/avatar")]
async fn remove_avatar(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<HttpResponse> {
    state.platform.profiles.remove_avatar(&caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AvatarParams {
    /// As in `avatar_url`, so that the address changes with the picture. The newest is answered whatever it says.
    #[expect(dead_code, reason = "it is there for what stands between us and the client")]
    v: Option<String>,
}

/// Someone's picture
///
/// For whoever may see the person.
#[utoipa::path(
    tag = "People",
    operation_id = "getAvatar",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Whose picture."), AvatarParams),
    responses(
        (status = 200, description = "The picture.", content((Bytes = "image/jpeg"), (Bytes = "image/png")), headers(("ETag" = String, description = "Changes with the picture."))),
        (status = 304, description = "It is still the one of `If-None-Match`."),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/users/{id}/avatar")]
async fn get_avatar(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    _params: web::Query<AvatarParams>,
    known: web::Header<IfNoneMatch>,
) -> Result<HttpResponse> {
    let avatar = state.platform.profiles.avatar(&caller, id.into_inner().into()).await?;
    let tag = EntityTag::new_strong(avatar.version.to_string());
    if let Some(response) = not_modified(&tag, &known) {
        return Ok(response);
    }
    let mut response = HttpResponse::Ok();
    response.insert_header((ETAG, tag));
    Ok(response.content_type(avatar.form.media_type()).body(avatar.image))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(own).service(replace_own).service(change);
    config.service(set_avatar).service(remove_avatar).service(get_avatar);
}
