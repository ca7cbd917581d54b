//! The documented `ws://…/ws/chat/{conversation_id}/?token=…` (S0-120 … S0-125, S2-41 … S2-45): a socket for one
//! conversation, which it listens to by itself.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, web};
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{Clock, FieldError, Rule, SystemClock};
use alivio_messages::{Mark, MarksMoved};
use alivio_platform::live::{Frame, Happening, LiveSession, Vocabulary};
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::extract::parse_json;
use crate::messages::{MessageTypeBody, NewMessage, PriorityBody};
use crate::problem::{Problem, ProblemDetails, Result, invalid};
use crate::realtime::{Act, Credential, Refusal, Request, Words, check_origin, credential, open};
use crate::state::State;

/// Messages per `mark_read`.
const MAX_MARKED: usize = 100;

#[get("/ws/chat/{conversation_id}")]
pub(super) async fn open_chat(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
    conversation: web::Path<Uuid>,
) -> Result<HttpResponse> {
    check_origin(&request, &state.config)?;
    let accounts = &state.platform.accounts;
    let live = match credential(&request, "token")? {
        Credential::Token(token) => accounts.authenticate(&token).await?,
        Credential::Ticket(ticket) => accounts.redeem_ticket(&ticket).await?,
    };
    let conversation = ConversationId::from(conversation.into_inner());
    let (mut session, inbox) = LiveSession::connect(state.platform.clone(), live.caller);
    session.subscribe(&[conversation]).await?;
    open(&request, body, &state, (session, inbox), live.expires_at, Documented { conversation })
}

struct Documented {
    conversation: ConversationId,
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    SendMessage {
        content: String,
        #[serde(default)]
        message_type: MessageTypeBody,
        #[serde(default)]
        reply_to_id: Option<Uuid>,
        /// Not in the document; for clients that want to retry safely.
        #[serde(default)]
        client_message_id: Option<String>,
    },
    Typing {
        is_typing: bool,
    },
    MarkRead {
        message_ids: Vec<Uuid>,
    },
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    action: String,
}

impl Documented {
    fn act(&self, text: &str) -> Result<Act> {
        let head: Head = parse_json(text.as_bytes())?;
        if !matches!(head.action.as_str(), "send_message" | "typing" | "mark_read") {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_command"));
        }
        let conversation = self.conversation;
        Ok(match parse_json(text.as_bytes())? {
            Action::SendMessage { reply_to_id: Some(_), .. } => {
                return Err(invalid(FieldError::new("reply_to_id", Rule::Unknown)));
            }
            Action::SendMessage { content, message_type, client_message_id, .. } => {
                let new = NewMessage::of(message_type, PriorityBody::Normal, content, client_message_id);
                Act::Send { conversation, draft: new.parse().map_err(invalid)? }
            }
            Action::Typing { is_typing } => Act::Typing { conversation, is_typing },
            Action::MarkRead { message_ids } if message_ids.len() > MAX_MARKED => {
                return Err(invalid(FieldError::new("message_ids", Rule::TooMany { max: MAX_MARKED })));
            }
            Action::MarkRead { message_ids } => {
                let messages = message_ids.into_iter().map(MessageId::from).collect();
                Act::ReadNewestOf { conversation, messages }
            }
        })
    }
}

impl Words for Documented {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::Documented
    }

    fn greeting(&self, _: &LiveSession) -> Option<ByteString> {
        None
    }

    fn read(&self, text: &str) -> std::result::Result<Request, Refusal> {
        match self.act(text) {
            Ok(act) => Ok(Request { reference: None, command: act.into() }),
            Err(problem) => Err(Refusal { reference: None, problem }),
        }
    }

    fn event(&self, frame: &Frame) -> Option<ByteString> {
        let (kind, sender, data) = match &frame.what {
            Happening::MessageCreated { view, .. } => {
                let (message, sender) = (&view.message, &view.sender);
                let person = json!({
                    "id": sender.id, "name": sender.display_name.expose(), "user_type": sender.role,
                });
                let data = json!({
                    "message_id": message.id, "sender": person, "content": message.content.as_ref().map(|c| c.as_str()),
                    "timestamp": message.created_at, "attachments": [],
                });
                ("new_message", sender.id, data)
            }
            Happening::Typing { person, is_typing } => {
                let name = person.display_name.expose();
                let data = json!({"user_id": person.id, "user_name": name, "is_typing": is_typing});
                ("typing_indicator", person.id, data)
            }
            Happening::MarksMoved(MarksMoved { mark: Mark::Read, marks, message_id, at, .. }) => {
                let data = json!({"message_id": message_id, "read_by": marks.user_id, "read_at": at});
                ("message_read", marks.user_id, data)
            }
            Happening::PresenceChanged { conversations, .. }
                if !conversations.contains(&self.conversation) =>
            {
                return None;
            }
            Happening::PresenceChanged { user_id, presence, last_seen_at, .. } => {
                let status = presence.as_str();
                let data = json!({"user_id": user_id, "status": status, "last_seen": last_seen_at});
                ("user_status", *user_id, data)
            }
            // The document has no words for these.
            Happening::MarksMoved(_)
            | Happening::BreakGlass { .. }
            | Happening::ConversationCreated { .. }
            | Happening::ParticipantJoined { .. }
            | Happening::ParticipantRemoved { .. } => return None,
        };
        Some(self.envelope(kind, frame, sender, &data))
    }

    fn ack(&self, _: Option<String>, _: Value) -> Option<ByteString> {
        None
    }

    fn error(&self, _: Option<String>, problem: ProblemDetails) -> ByteString {
        let (data, now) = (problem.into_frame(), SystemClock.now());
        // Nobody sends an error.
        json!({
            "type": "error", "data": data, "timestamp": now,
            "conversation_id": self.conversation, "sender_id": null,
        })
        .to_string()
        .into()
    }
}

impl Documented {
    fn envelope(&self, kind: &str, frame: &Frame, sender: UserId, data: &Value) -> ByteString {
        json!({
            "type": kind, "data": data, "timestamp": frame.at,
            "conversation_id": self.conversation, "sender_id": sender,
        })
        .to_string()
        .into()
    }
}
