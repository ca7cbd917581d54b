//! `/api/v1/auth`: how accounts come to be, by signing up or by invitation.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use alivio_accounts::{
    Email, InvitedPerson, NewPassword, OpenInvitation, Password, Registration, identity, invitable_role,
    open_role,
};
use alivio_kernel::ids::InvitationId;
use alivio_kernel::{FieldError, Language, PageSize, Rule, Sensitive};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::catalogue;
use crate::extract::{Asked, Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Someone who signs up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterRequest {
    /// Where the confirmation goes, and the name to sign in with.
    #[schema(example = "julia.prieto@example.com", max_length = 254)]
    email: String,
    /// At least 8 characters and at most 1,024 bytes, byte for byte; not the address, not one of the commonest.
    #[schema(example = "caballo correcto", min_length = 8, max_length = 1024, format = Password)]
    password: String,
    /// The full name, at most 120 characters.
    #[schema(example = "Julia Prieto Sanz", min_length = 1, max_length = 120)]
    full_name: String,
    /// The name shown in a chat; the full name if there is none.
    #[schema(example = "Julia Prieto", min_length = 1, max_length = 120)]
    display_name: Option<String>,
    /// `patient` or `student`; everyone else is invited.
    #[schema(example = "patient")]
    role: String,
    /// The language to write to them in: `es` or `en`. By default that of `Accept-Language`.
    #[schema(value_type = Option<String>, example = "es")]
    language: Option<Language>,
}

/// What happens next.
#[derive(Serialize, ToSchema)]
pub(crate) struct Acknowledgement {
    /// A stable code.
    #[schema(example = "confirmation_sent")]
    pub(crate) status: &'static str,
}

/// The token that came by mail, and what only whoever signed up knows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConfirmEmailRequest {
    /// Works once, for 24 hours.
    #[schema(example = "alc_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    token: String,
    /// The password that they signed up with. After five tries one must sign up again.
    #[schema(example = "caballo correcto", max_length = 1024, format = Password)]
    password: String,
}

/// A new account.
#[derive(Serialize, ToSchema)]
struct RegisteredUser {
    /// Its id.
    user_id: Uuid,
}

/// Someone to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitationRequest {
    /// Where the invitation goes; only this address can take it.
    #[schema(example = "marcos.rey@clinic.example", max_length = 254)]
    email: String,
    /// `doctor`, `student`, `medical_admin` or `it_admin`; which of them depends on your role.
    #[schema(example = "doctor")]
    role: String,
    /// The language to write to them in: `es` (the default) or `en`.
    #[schema(value_type = Option<String>, example = "es")]
    language: Option<Language>,
}

/// An invitation that can still be taken. Its token goes by mail only.
#[derive(Serialize, ToSchema)]
#[schema(as = Invitation)]
struct InvitationBody {
    /// Its id.
    id: Uuid,
    /// Who is invited.
    #[schema(example = "marcos.rey@clinic.example")]
    email: String,
    /// What their account will be for.
    #[schema(example = "doctor")]
    role: &'static str,
    /// The language to write to them in.
    #[schema(example = "es")]
    language: &'static str,
    /// Who invited them.
    issued_by: Uuid,
    /// When.
    created_at: DateTime<Utc>,
    /// Until when it can be taken.
    expires_at: DateTime<Utc>,
}

impl From<OpenInvitation> for InvitationBody {
    fn from(invitation: OpenInvitation) -> Self {
        Self {
            id: invitation.id.uuid(),
            email: invitation.email.as_str().to_owned(),
            role: invitation.role.as_str(),
            language: invitation.language.tag(),
            issued_by: invitation.issued_by.uuid(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

/// A page of invitations, newest first.
#[derive(Serialize, ToSchema)]
struct InvitationPage {
    /// The invitations.
    items: Vec<InvitationBody>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    next_cursor: Option<String>,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InvitationParams {
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many at most, 1 to 100; 20 by default.
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

/// Someone who takes an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfessionalRequest {
    /// The address that was invited.
    #[schema(example = "marcos.rey@clinic.example", max_length = 254)]
    email: String,
    /// The full name, as on the licence.
    #[schema(example = "Marcos Rey Blanco", min_length = 1, max_length = 120)]
    full_name: String,
    /// The number of the licence to practise; a doctor needs one.
    #[schema(example = "28-2871234", min_length = 3, max_length = 40)]
    license_number: Option<String>,
    /// The specialty; a doctor needs one.
    #[schema(example = "Dermatology", min_length = 1, max_length = 160)]
    specialty: Option<String>,
    /// What came with the invitation. Works once, for 7 days.
    #[schema(example = "ali_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    registration_token: String,
    /// The name shown in a chat; the full name if there is none.
    #[schema(example = "Dr. Marcos Rey", min_length = 1, max_length = 120)]
    display_name: Option<String>,
    /// Title among professionals; the specialty if there is none.
    #[schema(example = "Dermatologist", min_length = 1, max_length = 160)]
    professional_title: Option<String>,
    /// The language to write to them in: `es` or `en`; that of the invitation if there is none.
    #[schema(value_type = Option<String>, example = "es")]
    language: Option<Language>,
}

/// Sign up
///
/// For patients and students. The answer is the same whether the address has an account or not; what follows is a
/// letter to it: to confirm the address within 24 hours, or to say that it has an account.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "register",
    request_body = RegisterRequest,
    responses(
        (status = 202, description = "A letter is on its way.", body = Acknowledgement),
        (status = 400, response = Malformed),
        (status = 403, description = "`registration_closed`: here people are invited.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/register")]
async fn register(
    state: web::Data<State>,
    request: HttpRequest,
    Asked(origin): Asked,
    body: Body<RegisterRequest>,
) -> Result<HttpResponse> {
    let Body(body) = body;
    let email = Email::parse(&body.email).map_err(invalid)?;
    let new = Registration {
        identity: identity(email, &body.full_name, body.display_name.as_deref()).map_err(invalid)?,
        password: NewPassword::parse("password", body.password).map_err(invalid)?,
        role: open_role(&body.role).map_err(invalid)?,
        language: body.language.unwrap_or_else(|| catalogue::negotiate(request.headers())),
    };
    state.platform.registrations.register(new, &origin).await?;
    Ok(HttpResponse::Accepted().json(Acknowledgement { status: "confirmation_sent" }))
}

/// Confirm an address
///
/// Makes the account, for whoever has both the token and the password of the registration. One can sign in from now on.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "confirmEmail",
    request_body = ConfirmEmailRequest,
    responses(
        (status = 201, description = "There is an account now.", body = RegisteredUser),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_secret`: token or password is wrong, or the token has expired, was used, or was tried five times.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken`: another registration of the address was confirmed first.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/confirm-email")]
async fn confirm_email(
    state: web::Data<State>,
    Asked(origin): Asked,
    body: Body<ConfirmEmailRequest>,
) -> Result<HttpResponse> {
    let Body(ConfirmEmailRequest { token, password }) = body;
    let password = Password::parse(password).map_err(invalid)?;
    let user_id = state.platform.registrations.confirm(&token, &password, &origin).await?.uuid();
    Ok(HttpResponse::Created().json(RegisteredUser { user_id }))
}

/// Invite someone
///
/// Clinic administrators invite doctors and students; IT administrators invite everyone but patients. The token goes
/// by mail only. If the address has an account, the letter says so; the answer is the same.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "issueInvitation",
    security(("bearer" = [])),
    request_body = InvitationRequest,
    responses(
        (status = 202, description = "The invitation is on its way.", body = InvitationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: `details.reason` says why.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/invitations")]
async fn issue_invitation(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    body: Body<InvitationRequest>,
) -> Result<HttpResponse> {
    let Body(InvitationRequest { email, role, language }) = body;
    let email = Email::parse(&email).map_err(invalid)?;
    let role = invitable_role(&role).map_err(invalid)?;
    let language = language.unwrap_or_default();
    let issued = state.platform.invitations.issue(&caller, email, role, language).await?;
    Ok(HttpResponse::Accepted().json(InvitationBody::from(issued)))
}

/// The open invitations
#[utoipa::path(
    tag = "Accounts",
    operation_id = "listInvitations",
    security(("bearer" = [])),
    params(InvitationParams),
    responses(
        (status = 200, description = "A page.", body = InvitationPage),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: `details.reason` says why.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/auth/invitations")]
async fn list_invitations(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<InvitationParams>,
) -> Result<web::Json<InvitationPage>> {
    let size = PageSize::parse(params.page_size, 20).map_err(invalid)?;
    let parse = |cursor: &str| cursor.parse::<InvitationId>().ok();
    let after = match params.cursor.as_deref() {
        None => None,
        Some(cursor) => {
            Some(parse(cursor).ok_or_else(|| invalid(FieldError::new("cursor", Rule::Malformed)))?)
        }
    };
    let page = state.platform.invitations.list(&caller, after, size).await?.map(InvitationBody::from);
    Ok(web::Json(InvitationPage { items: page.items, next_cursor: page.next_cursor }))
}

/// Take an invitation back
#[utoipa::path(
    tag = "Accounts",
    operation_id = "revokeInvitation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The invitation.")),
    responses(
        (status = 204, description = "It can no longer be taken."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden`: `details.reason` says why.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/auth/invitations/{id}")]
async fn revoke_invitation(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    state.platform.invitations.revoke(&caller, id.into_inner().into()).await?;
    Ok(HttpResponse::new(StatusCode::NO_CONTENT))
}

/// Take an invitation
///
/// Makes an account for a professional. A temporary password follows by mail: sign in with it at
/// `POST /api/v1/auth/login-temporary`.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "registerMedicalProfessional",
    request_body = ProfessionalRequest,
    responses(
        (status = 201, description = "There is an account now; its temporary password is on its way.", body = RegisteredUser),
        (status = 400, response = Malformed),
        (status = 401, description = "`invalid_secret`: the token is wrong, expired, was used before, or is for another address.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken`: the address has an account by now.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/auth/register-medical-professional")]
async fn register_medical_professional(
    state: web::Data<State>,
    Asked(origin): Asked,
    body: Body<ProfessionalRequest>,
) -> Result<HttpResponse> {
    let Body(body) = body;
    let person = InvitedPerson {
        email: body.email,
        full_name: body.full_name,
        display_name: body.display_name,
        license_number: body.license_number,
        specialty: body.specialty,
        professional_title: body.professional_title,
        language: body.language,
        token: Sensitive::new(body.registration_token),
    };
    let user_id = state.platform.invitations.redeem(person, &origin).await?.uuid();
    Ok(HttpResponse::Created().json(RegisteredUser { user_id }))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config
        .service(register)
        .service(confirm_email)
        .service(issue_invitation)
        .service(list_invitations)
        .service(revoke_invitation)
        .service(register_medical_professional);
}
