//! `GET /api/v1/ws`: one socket per device, many conversations.

mod answers;
mod authenticate;
mod canonical;
mod commands;
mod document;
mod events;
mod frames;
mod socket;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use alivio_accounts::TICKET_LIFETIME;
use alivio_kernel::Caller;
use alivio_platform::live::{Inbox, LiveSession};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use answers::Answer;
pub(crate) use authenticate::{check_origin, whose};
pub(crate) use document::document;
pub(crate) use socket::{Act, Command, Listen, Refusal, Request, Words, open};

use crate::extract::SignedIn;
use crate::problem::{Problem, ProblemDetails, Result};
use crate::responses::{Unauthenticated, Unavailable};
use crate::state::State;

/// A ticket for one socket.
#[derive(Serialize, ToSchema)]
struct Ticket {
    /// Send it as `?ticket=…` or as the subprotocol `ticket.…`.
    #[schema(example = "alt_6kC1cL0Xr3gZ2yq7Qk0b5b8mJr5m2Qd1v0n9t8s7u6w")]
    ticket: String,
    /// Seconds until it expires. It works once.
    #[schema(example = 30)]
    expires_in: i64,
}

/// Get a ticket for a socket
///
/// Browsers cannot send headers with a WebSocket, and a token in an address ends up in logs. A ticket works
/// once and for 30 seconds.
#[utoipa::path(
    tag = "Realtime",
    operation_id = "issueTicket",
    security(("bearer" = [])),
    responses(
        (status = 201, description = "A ticket.", body = Ticket),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[post("/ws/tickets")]
async fn issue_ticket(state: web::Data<State>, SignedIn(caller): SignedIn) -> Result<HttpResponse> {
    let ticket = state.platform.accounts.issue_ticket(&caller).await?.into_exposed();
    Ok(HttpResponse::Created().json(Ticket { ticket, expires_in: TICKET_LIFETIME.num_seconds() }))
}

/// Open a socket
///
/// Sign in by `Authorization: Bearer …`, by the subprotocols `alivio.v1, bearer.<access token>` or
/// `alivio.v1, ticket.<ticket>`, or by `?ticket=…`. All frames are JSON text of at most 64 KiB.
///
/// **Commands** carry a `type` and a `ref` of your choice, and are answered by `ack` or `error` with the same `ref`.
/// **Events** carry `v`, `id`, `type`, `conversation_id` (but for `presence.changed` and `session.revoked`), `at`, `actor`,
/// `data`, and messages their `seq`, changes of messages their `revision`. `/asyncapi.json` describes each of them;
/// `/docs/realtime` shows them, and lets you try.
///
/// `online` names those you see online: it agrees with their presence by REST. `typing.set` and receipts reach nobody
/// while a block stands between the two of a direct conversation. Events about messages hold the whole message as it is
/// now.
///
/// **Coming back.** In each conversation messages are numbered by `seq` 1, 2, 3 …, and changes of messages (an edit, a
/// deletion, an expiry, a correction, a reaction set or cleared) by `revision` 1, 2, 3 … Keep, for each conversation, the
/// highest `seq` and the highest `revision` that envelopes and acks (`last_seq`, `last_revision`) have told you, and
/// `resume` with both. Then you get
/// 1. each message that you have and that has changed after your `last_revision`, once, as it is now, in the order of
///    `revision`: as `message.deleted` if it is gone, or else as `message.updated`, whatever it was that changed, and without
///    its `actor`; `at` is then the time at which it is told;
/// 2. each message after your `last_seq`, in the order of `seq`, as it is now;
/// 3. the ack, and from there on what happens: nothing is missing and nothing comes twice. The ack's `marks[]` say how far
///    everyone had received and read; what moves after that comes as `receipt.…`, and what moves within a quarter of a second
///    after it, together as `receipts`. Marks only go forward: keep the higher. Where more than 50 devices listen to a
///    conversation, you hear of your own marks and of those that reach messages which you have just sent.
///
/// On a connection `seq` goes up by one with each `message.created`, and `revision` goes up with each change; it may skip
/// numbers, of messages that you may not read and of changes that were told together. `data.revision` is the number of the
/// last change that the message shows; of two states of a message keep the one with the higher. Without `last_revision`
/// only messages are sent again. If you have a `seq` or a `revision` that does not exist, or `resume` with an `epoch` (of the
/// greeting) that is not the present one (a backup was restored), you get `sync.gap` and `gap: true`: drop what you have of
/// the conversation and read it anew by `GET /conversations/{id}/messages`; the socket goes on from the `last_seq` and `last_revision` of the ack. A device that reads
/// the conversation by REST first finds both numbers in `GET /conversations/{id}`. To resume marks nothing as delivered:
/// `ack` does.
///
/// **How many.** A person has 10 sockets open at most; the next is refused with 429 `too_many_sockets`, and a ticket that it
/// came with is spent. One socket carries all conversations. A socket whose device is gone without a word counts for a minute
/// at most: it is pinged every 25 seconds, and closed when 60 have passed without a sign of life.
///
/// **Close codes**: 4401 the session has ended (`session_ended`: signed out, or nothing was done for 30 minutes;
/// `session_evicted`: the account signed in on too many devices); 4429 too many commands; 4008 you read too slowly, resume; 1009 the
/// frame is too large, or in too many parts; 1003 not text; 1012 the server restarts, come back and resume; 1013 too much is
/// asked for at once: the reason, `try_again retry_after=7`, says after how many seconds to come back and resume.
///
/// **When everyone comes back at once**, those who `subscribe` or `resume` are let in by turns. Whoever has waited too long
/// is closed with 1013 and not refused: what they have missed is still there, so they resume from where they were.
#[utoipa::path(
    tag = "Realtime",
    operation_id = "openSocket",
    security(("bearer" = []), ()),
    params(("ticket" = Option<String>, Query, description = "A ticket, instead of a header.")),
    responses(
        (status = 101, description = "Switched to WebSocket."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`forbidden_origin`: a web page of another origin.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_sockets`: this account has as many sockets open as it may. `rate_limited`: too many requests; `Retry-After` says how many seconds to wait.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 426, description = "`upgrade_required`: not a WebSocket handshake.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, response = Unavailable),
    )
)]
#[get("/ws")]
async fn open_socket(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    check_origin(&request, &state.config)?;
    let live = whose(&request, "ticket").await?;
    let device = connect(&state, live.caller)?;
    open(&request, body, &state, device, live.expires_at, canonical::Canonical)
}

/// Connects a device of the caller, unless they have too many.
pub(crate) fn connect(state: &State, caller: Caller) -> Result<(LiveSession, Inbox)> {
    LiveSession::connect(Arc::clone(&state.platform), caller, state.config.sockets_per_person)
        .ok_or_else(|| Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets"))
}

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(issue_ticket).service(open_socket);
}
