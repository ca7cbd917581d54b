//! `/api/v1/conversations`: opening, finding and changing conversations.

mod bodies;
mod links;
mod members;
mod opening;
mod personal;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};
use alivio_conversations::{InboxFilter, InboxQuery, Kind, Purpose};
use alivio_kernel::ids::ConversationId;
use alivio_kernel::{Caller, FieldError, PageSize, Role, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::SignedIn;
use crate::paging;
use crate::problem::{Result, invalid};
use crate::responses::{Invalid, NotFound, Unauthenticated, Unavailable};
use crate::state::State;

pub(crate) use bodies::UserSummaryBody;
pub(crate) use bodies::{ConversationBody, ParticipantBody};

/// What a conversation is for: two people, several, follow-up of a patient, or urgent help.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ConversationType {
    Direct,
    Group,
    Consultation,
    Emergency,
}

impl From<ConversationType> for Kind {
    fn from(kind: ConversationType) -> Self {
        match kind {
            ConversationType::Direct => Self::Direct,
            ConversationType::Group => Self::Group,
            ConversationType::Consultation => Self::Consultation,
            ConversationType::Emergency => Self::Emergency,
        }
    }
}

/// With whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Person {
    /// The other person.
    user_id: Uuid,
}

/// A page of conversations.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationPage {
    /// In the order asked for.
    items: Vec<ConversationBody>,
    /// Send it as `cursor`, with the same `ordering`, to get the next page; `null` on the last.
    #[schema(example = "-updated_at.0.1767225600000000.0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e")]
    next_cursor: Option<String>,
}

/// How much of a conversation you have not read.
#[derive(Serialize, ToSchema)]
struct UnreadConversation {
    /// Which.
    conversation_id: Uuid,
    /// Messages by others that you have not read.
    #[schema(example = 2)]
    unread_count: i64,
}

/// What you have not read.
#[derive(Serialize, ToSchema)]
struct UnreadCounts {
    /// Messages by others, in all conversations together.
    #[schema(example = 5)]
    messages: i64,
    /// Conversations with some.
    #[schema(example = 2)]
    conversations: i64,
    /// Each of them, what changed last first. Together they make `messages`.
    by_conversation: Vec<UnreadConversation>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only conversations of this type.
    #[param(inline)]
    r#type: Option<ConversationType>,
    /// Only of this purpose: `care`, `team`, `study_group`, `case_discussion` or `support`.
    #[param(example = "care")]
    purpose: Option<String>,
    /// Only with this person.
    with_user: Option<Uuid>,
    /// Only with (`true`) or without (`false`) messages that you have not read.
    has_unread: Option<bool>,
    /// Only what has changed at this time or since, messages included.
    updated_since: Option<DateTime<Utc>>,
    /// Those that you archived, too.
    include_archived: Option<bool>,
    /// Only with someone else who is a `doctor` or a `patient`.
    #[param(example = "doctor")]
    participant_type: Option<String>,
    /// Only what follows this consultation.
    related_appointment: Option<Uuid>,
    /// Only with all of these tags; commas between them.
    #[param(example = "hipertension,medicacion")]
    tags: Option<String>,
    /// Only with all of these words in the title, or in the names of the others where there is none.
    #[param(example = "hipertension", min_length = 1, max_length = 100)]
    search: Option<String>,
    /// Only the one with this number.
    #[param(example = "CONV-2026-001001")]
    r#ref: Option<String>,
    /// `-updated_at` (default; the pinned stand first), `updated_at`, `-created_at`, `created_at`, `title` or `-title`.
    #[param(example = "-updated_at")]
    ordering: Option<String>,
    /// Where the page starts: `next_cursor` of the page before.
    cursor: Option<String>,
    /// The page's number from 1, for clients that do not use cursors.
    #[param(minimum = 1, maximum = 100, example = 1)]
    page: Option<i64>,
    /// How many conversations a page holds (default 20).
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
}

impl ListParams {
    fn parse(self) -> Result<InboxQuery> {
        let size = PageSize::parse(self.page_size, 20).map_err(invalid)?;
        let participant_type = match self.participant_type.as_deref() {
            None => None,
            Some("doctor") => Some(Role::Doctor),
            Some("patient") => Some(Role::Patient),
            Some(_) => return Err(invalid(FieldError::new("participant_type", Rule::Unknown))),
        };
        let tags = self.tags.as_deref().unwrap_or("").split(',').map(str::trim);
        Ok(InboxQuery {
            filter: InboxFilter {
                kind: self.r#type.map(Kind::from),
                purpose: self.purpose.as_deref().map(str::parse::<Purpose>).transpose().map_err(invalid)?,
                with_user: self.with_user.map(Into::into),
                has_unread: self.has_unread,
                updated_since: self.updated_since,
                include_archived: self.include_archived.unwrap_or(false),
                participant_type,
                related_appointment: self.related_appointment.map(Into::into),
                tags: Vec::new(),
                number: self.r#ref.as_deref().map(parse_reference).transpose()?,
                among: None,
            },
            tags: tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
            search: self.search,
            order: self.ordering.as_deref().map(str::parse).transpose().map_err(invalid)?.unwrap_or_default(),
            cursor: self.cursor,
            offset: paging::offset(self.page, size)?,
            size,
        })
    }
}

/// The number in `CONV-2026-001001`.
fn parse_reference(reference: &str) -> Result<i64> {
    let number =
        reference.strip_prefix("CONV-").and_then(|rest| rest.split_once('-')).and_then(|(year, number)| {
            let _: u16 = year.parse().ok()?;
            number.parse().ok()
        });
    number.ok_or_else(|| invalid(FieldError::new("ref", Rule::Malformed)))
}

async fn show(
    state: &State,
    caller: &Caller,
    status: StatusCode,
    conversation: ConversationId,
) -> Result<HttpResponse> {
    let view = state.platform.screens.conversation(caller, conversation).await?;
    Ok(HttpResponse::build(status).json(ConversationBody::from(view)))
}

/// List your conversations
///
/// Those that you archived only if asked for; the pinned stand first unless you order otherwise.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "listConversations",
    security(("bearer" = [])),
    params(ListParams),
    responses(
        (status = 200, description = "A page.", body = ConversationPage),
        (status = 401, response = Unauthenticated),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations")]
async fn list(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    params: web::Query<ListParams>,
) -> Result<web::Json<ConversationPage>> {
    let page = state.platform.screens.inbox(&caller, &params.into_inner().parse()?).await?;
    let items = page.items.into_iter().map(ConversationBody::from).collect();
    Ok(web::Json(ConversationPage { items, next_cursor: page.next_cursor }))
}

/// Count what you have not read
///
/// The one source of every badge. Archived and muted conversations count, too.
#[utoipa::path(
    tag = "Conversations",
    operation_id = "getUnread",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The counts.", body = UnreadCounts),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[get("/unread")]
async fn unread(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<web::Json<UnreadCounts>> {
    let unread = state.platform.inboxes.unread(&caller).await?;
    let by_conversation: Vec<_> = unread
        .into_iter()
        .map(|unread| UnreadConversation {
            conversation_id: unread.conversation_id.uuid(),
            unread_count: unread.messages,
        })
        .collect();
    Ok(web::Json(UnreadCounts {
        messages: by_conversation.iter().map(|unread| unread.unread_count).sum(),
        conversations: i64::try_from(by_conversation.len()).unwrap_or(i64::MAX),
        by_conversation,
    }))
}

/// Look at a conversation
#[utoipa::path(
    tag = "Conversations",
    operation_id = "getConversation",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "The conversation.", body = ConversationBody),
        (status = 401, response = Unauthenticated),
        (status = 404, response = NotFound),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/conversations/{id}")]
async fn get_one(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<HttpResponse> {
    show(&state, &caller, StatusCode::OK, id.into_inner().into()).await
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(opening::open_direct).service(links::enter);
    // Or else `direct` and `join` would be taken for ids.
    config.map(|config| {
        config
            .service(web::resource("/conversations/direct").to(crate::nowhere))
            .service(web::resource("/conversations/join").to(crate::nowhere))
    });
    config.service(opening::open).service(list).service(unread).service(get_one);
    config.service(opening::change).service(opening::close_or_leave);
    config.service(opening::close).service(opening::reopen);
    config.service(members::list).service(members::add).service(members::change).service(members::remove);
    config.service(members::leave).service(members::join);
    config.service(links::issue).service(links::list).service(links::revoke);
    config.service(personal::archive).service(personal::unarchive);
    config.service(personal::pin).service(personal::unpin);
    config.service(personal::mute).service(personal::unmute);
}
