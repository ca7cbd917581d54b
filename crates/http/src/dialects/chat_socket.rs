//! The documented `ws://…/ws/chat/{conversation_id}/?token=…` (S0-120 … S0-125, S2-41 … S2-50): a socket for one
//! conversation, which it listens to by itself.
//!
//! Two documents describe it. Commands are those of S2, as S0 shows none. Events are told in the words of S0, or with
//! `?dialect=s2` in those of S2, both in the envelope of S0, which contains that of S2:
//!
//! | what happens | S0 | S2 |
//! |---|---|---|
//! | a message | `new_message` | `message` |
//! | someone types | `typing_indicator` | `typing` |
//! | someone has read | `message_read` | `message_read`, not in the document |
//! | presence | `user_status {status}` | |
//! | a message changes | `message_edited`, `_deleted`, `_corrected`, `_reacted`, not in the document | the same |
//! | a file can be opened | `file_shared` | |
//! | people come and go | | `user_status {action: user_joined, user_left}` |
//! | a command was refused | `error`, in neither document | `error` |

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, web};
use alivio_accounts::UserSummary;
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::{Clock, FieldError, Rule, SystemClock};
use alivio_messages::{Change, Content, Mark, MarksMoved};
use alivio_platform::live::{ComeBack, Frame, Happening, LiveSession, Vocabulary};
use alivio_platform::{FileView, MessageView};
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::s0;
use crate::extract::parse_json;
use crate::messages::{MessageTypeBody, NewMessage, attachments};
use crate::problem::{Problem, ProblemDetails, Result, invalid};
use crate::realtime::{Act, Answer, Refusal, Request, Words, check_origin, connect, open, whose};
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
    let live = whose(&request, "token").await?;
    let conversation = ConversationId::from(conversation.into_inner());
    let dialect = Dialect::of(request.query_string())?;
    let (mut session, inbox) = connect(&state, live.caller)?;
    let entry = session.enter().await.map_err(|ComeBack(after)| {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
        problem.with(json!({"retry_after": after.as_secs()}))
    })?;
    session.subscribe(&[conversation]).await?;
    drop(entry);
    open(&request, body, &state, (session, inbox), live.expires_at, Documented { conversation, dialect })
}

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    S0,
    S2,
}

impl Dialect {
    fn of(query: &str) -> Result<Self> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        match pairs.into_iter().find(|(name, _)| *name == "dialect").map(|(_, value)| value) {
            None | Some("s0") => Ok(Self::S0),
            Some("s2") => Ok(Self::S2),
            Some(_) => Err(invalid(FieldError::new("dialect", Rule::Unknown))),
        }
    }
}

struct Documented {
    conversation: ConversationId,
    dialect: Dialect,
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
    EditMessage {
        message_id: Uuid,
        content: String,
    },
    DeleteMessage {
        message_id: Uuid,
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
        const ACTIONS: [&str; 5] = ["send_message", "typing", "mark_read", "edit_message", "delete_message"];
        if !ACTIONS.contains(&head.action.as_str()) {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_command"));
        }
        let conversation = self.conversation;
        Ok(match parse_json(text.as_bytes())? {
            Action::SendMessage { content, message_type, reply_to_id, client_message_id } => {
                let content = Some(content);
                let new = NewMessage {
                    content,
                    message_type,
                    reply_to: reply_to_id,
                    client_message_id,
                    ..NewMessage::default()
                };
                Act::Send { conversation, draft: new.parse()? }
            }
            Action::Typing { is_typing } => Act::Typing { conversation, is_typing },
            Action::MarkRead { message_ids } if message_ids.len() > MAX_MARKED => {
                return Err(invalid(FieldError::new("message_ids", Rule::TooMany { max: MAX_MARKED })));
            }
            Action::MarkRead { message_ids } => {
                let messages = message_ids.into_iter().map(MessageId::from).collect();
                Act::ReadNewestOf { conversation, messages }
            }
            Action::EditMessage { message_id, content } => {
                let content = Content::parse(&content).map_err(invalid)?;
                Act::Edit { message: message_id.into(), content, version: None }
            }
            Action::DeleteMessage { message_id } => Act::Delete { message: message_id.into() },
        })
    }
}

impl Words for Documented {
    fn vocabulary(&self) -> Vocabulary {
        match self.dialect {
            Dialect::S0 => Vocabulary::Documented,
            Dialect::S2 => Vocabulary::DocumentedRooms,
        }
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
        let (kind, sender, data) = match self.dialect {
            Dialect::S0 => self.in_s0(&frame.what)?,
            Dialect::S2 => Self::in_s2(&frame.what)?,
        };
        Some(self.envelope(kind, frame, sender, &data))
    }

    fn ack(&self, _: Option<String>, _: Answer) -> Option<ByteString> {
        None
    }

    fn error(&self, _: Option<String>, problem: ProblemDetails) -> ByteString {
        let (mut data, now) = (json!(problem.into_frame()), SystemClock.now());
        if self.dialect == Dialect::S0
            && let Some(details) = s0::details(&data["details"])
        {
            data["details"] = details;
        }
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
    /// The event's name, who it is from, and what it says; nothing if the document has no words for it.
    fn in_s0(&self, what: &Happening) -> Option<Told> {
        Some(match what {
            Happening::MessageCreated { view, .. } => {
                let (message, sender) = (&view.message, &view.sender);
                let person = json!({
                    "id": sender.id, "name": sender.display_name.expose(), "user_type": sender.role,
                });
                let data = json!({
                    "message_id": message.id, "sender": person,
                    "content": message.content.as_ref().map(Content::as_str),
                    "timestamp": message.created_at, "attachments": attachments(message),
                    "reply_to_id": message.reply_to, "is_automated": message.automation.is_some(),
                });
                ("new_message", Some(sender.id), data)
            }
            Happening::Typing { person, is_typing } => {
                let name = person.display_name.expose();
                let data = json!({"user_id": person.id, "user_name": name, "is_typing": is_typing});
                ("typing_indicator", Some(person.id), data)
            }
            Happening::MessageChanged { change, actor, view, .. } => changed(*change, *actor, view),
            Happening::MarksMoved(moved) => read(moved)?,
            Happening::FileReady { view } if view.file.conversation_id == self.conversation => shared(view),
            // Only what concerns those in this conversation.
            Happening::PresenceChanged { user_id, presence, last_seen_at, conversations }
                if conversations.contains(&self.conversation) =>
            {
                let status = presence.as_str();
                let data = json!({"user_id": user_id, "status": status, "last_seen": last_seen_at});
                ("user_status", Some(*user_id), data)
            }
            // The document has no words for the rest.
            _ => return None,
        })
    }

    /// The same in the words of S2.
    fn in_s2(what: &Happening) -> Option<Told> {
        Some(match what {
            Happening::MessageCreated { view, .. } => {
                let (message, sender) = (&view.message, &view.sender);
                let data = json!({
                    "id": message.id, "content": message.content.as_ref().map(Content::as_str),
                    "sender": person(sender), "created_at": message.created_at,
                    "message_type": message.message_type.as_str(), "reply_to": message.reply_to,
                    "is_automated": message.automation.is_some(),
                });
                ("message", Some(sender.id), data)
            }
            Happening::Typing { person, is_typing } => {
                let name = person.display_name.expose();
                let data = json!({"user_id": person.id, "username": name, "is_typing": is_typing});
                ("typing", Some(person.id), data)
            }
            Happening::MessageChanged { change, actor, view, .. } => changed(*change, *actor, view),
            Happening::MarksMoved(moved) => read(moved)?,
            Happening::ParticipantJoined { person, .. } => came_or_went("user_joined", person),
            Happening::ParticipantRemoved { person, .. } => came_or_went("user_left", person),
            // Nor has this one. That someone is here is no coming or going (C-13).
            _ => return None,
        })
    }

    fn envelope(&self, kind: &str, frame: &Frame, sender: Option<UserId>, data: &Value) -> ByteString {
        json!({
            "type": kind, "data": data, "timestamp": frame.at,
            "conversation_id": self.conversation, "sender_id": sender,
        })
        .to_string()
        .into()
    }
}

/// What an event is called, who it is from, and what it says.
type Told = (&'static str, Option<UserId>, Value);

/// What became of a message: how it is now, as far as it changes.
fn changed(change: Change, actor: Option<UserId>, view: &MessageView) -> Told {
    let message = &view.message;
    let kind = match change {
        Change::Edited => "message_edited",
        Change::Deleted => "message_deleted",
        Change::Corrected => "message_corrected",
        Change::Reacted => "message_reacted",
    };
    let reactions: Vec<_> =
        view.reactions.iter().map(|r| json!({"emoji": r.emoji, "count": r.count})).collect();
    let data = json!({
        "message_id": message.id, "content": message.content.as_ref().map(Content::as_str),
        "edited_at": message.edited_at, "deleted_at": message.deleted_at, "corrected_by": message.corrected_by,
        "reactions": reactions,
    });
    (kind, actor, data)
}

/// That someone has read; neither document has words for what a device has merely received.
fn read(moved: &MarksMoved) -> Option<Told> {
    let MarksMoved { mark: Mark::Read, marks, message_id, at, .. } = moved else { return None };
    let data = json!({"message_id": message_id, "read_by": marks.user_id, "read_at": at});
    Some(("message_read", Some(marks.user_id), data))
}

/// That a file can be opened (S0-127).
fn shared(view: &FileView) -> Told {
    let FileView { file, uploader } = view;
    let data = json!({
        "file_id": file.id, "filename": file.name.as_str(), "size": file.size, "type": file.mime(),
        "uploader": {"id": uploader.id, "name": uploader.display_name.expose()},
        "download_url": format!("/api/v1/files/{}/content", file.id),
    });
    ("file_shared", Some(uploader.id), data)
}

fn person(person: &UserSummary) -> Value {
    json!({
        "id": person.id, "username": person.display_name.expose(), "full_name": person.full_name.expose(),
    })
}

fn came_or_went(action: &str, person: &UserSummary) -> Told {
    let name = person.display_name.expose();
    ("user_status", Some(person.id), json!({"action": action, "user_id": person.id, "username": name}))
}
