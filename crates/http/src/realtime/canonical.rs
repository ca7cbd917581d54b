//! The canonical words: dotted types, `ref`, `ack`, `error`.

use alivio_accounts::ChosenPresence;
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{FieldError, Rule};
use alivio_messages::{Anchor, ClientMessageId, Content, Emoji, Mark, MarksMoved};
use alivio_platform::live::{Frame, Happening, LiveSession, TYPING_LIFETIME, Vocabulary};
use bytestring::ByteString;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Act, Command, Listen, Refusal, Request, Words};
use crate::extract::parse_json;
use crate::messages::{MessageBody, MessageTypeBody, NewMessage, PriorityBody};
use crate::problem::{Problem, ProblemDetails, invalid};

/// The version of the envelope.
const VERSION: u8 = 1;
/// Conversations per `subscribe`.
const MAX_SUBSCRIBE: usize = 100;
const MAX_REF: usize = 128;

pub(super) struct Canonical;

/// What every command begins with. The rest is read once the type is known.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    r#ref: Option<String>,
}

macro_rules! commands {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* })*) => { $(
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            #[serde(rename = "type")] _type: String,
            #[serde(default, rename = "ref")] _ref: Option<String>,
            $($(#[$attribute])* $field: $type),*
        }
    )* };
}

commands! {
    Conversations { conversation_ids: Vec<Uuid> }
    Send {
        conversation_id: Uuid,
        client_message_id: String,
        content: Option<String>,
        #[serde(default)] message_type: MessageTypeBody,
        #[serde(default)] priority: PriorityBody,
        #[serde(default)] attachments: Vec<Uuid>,
        payload: Option<Value>,
        reply_to: Option<Uuid>,
        source: Option<String>,
        client_sent_at: Option<DateTime<Utc>>,
        expires_in_seconds: Option<i64>,
        expires_at: Option<DateTime<Utc>>
    }
    Edit { message_id: Uuid, content: String, #[serde(default)] version: Option<u32> }
    Delete { message_id: Uuid }
    Reaction { message_id: Uuid, emoji: String }
    Resume { conversation_id: Uuid, last_seq: i64, last_revision: Option<i64> }
    Typing { conversation_id: Uuid, is_typing: bool }
    Read { conversation_id: Uuid, message_id: Uuid }
    Ack { conversation_id: Uuid, up_to_seq: i64 }
    Presence { presence: String }
    Ping { }
}

impl Words for Canonical {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::Canonical
    }

    fn greeting(&self, session: &LiveSession) -> Option<ByteString> {
        let caller = session.caller();
        let data = json!({"user_id": caller.user_id, "session_id": caller.session_id});
        Some(text(&json!({"v": VERSION, "type": "ready", "data": data})))
    }

    fn read(&self, text: &str) -> Result<Request, Refusal> {
        let head: Head = parse_json(text.as_bytes())
            .map_err(|problem| Refusal { reference: reference_of(text), problem })?;
        let reference = head.r#ref;
        if reference.as_ref().is_some_and(|r| r.len() > MAX_REF) {
            let problem = invalid(FieldError::new("ref", Rule::TooLong { max: MAX_REF }));
            return Err(Refusal { reference: None, problem });
        }
        match command(&head.r#type, text) {
            Ok(command) => Ok(Request { reference, command }),
            Err(problem) => Err(Refusal { reference, problem }),
        }
    }

    fn event(&self, frame: &Frame) -> Option<ByteString> {
        Some(match &frame.what {
            Happening::MessageCreated { view, .. } => text(&Event {
                id: view.message.id.uuid(),
                seq: Some(view.message.seq),
                ..Event::new("message.created", frame, view.message.sender_id, MessageBody::from(&**view))
            }),
            Happening::MessageChanged { change, revision, actor, view, .. } => text(&Event {
                seq: Some(view.message.seq),
                revision: Some(*revision),
                ..Event::new(change.kind(), frame, *actor, MessageBody::from(&**view))
            }),
            Happening::Typing { person, is_typing } => text(&Event::new(
                "typing",
                frame,
                person.id,
                json!({
                    "user_id": person.id, "is_typing": is_typing, "expires_in_ms": TYPING_LIFETIME.as_millis(),
                }),
            )),
            Happening::MarksMoved(MarksMoved { mark, marks, message_id, .. }) => {
                let kind = match mark {
                    Mark::Delivered => "receipt.delivered",
                    Mark::Read => "receipt.read",
                };
                text(&Event::new(
                    kind,
                    frame,
                    marks.user_id,
                    json!({
                        "user_id": marks.user_id, "message_id": message_id,
                        "delivered_up_to": marks.delivered_up_to, "read_up_to": marks.read_up_to,
                    }),
                ))
            }
            Happening::UnreadChanged { user_id, unread } => {
                let data = json!({"conversation_id": frame.conversation_id, "unread_count": unread});
                text(&Event::new("unread.changed", frame, *user_id, data))
            }
            Happening::Gap { last_seq, last_revision } => {
                let data = json!({"last_seq": last_seq, "last_revision": last_revision});
                text(&Event::new("sync.gap", frame, None, data))
            }
            Happening::SessionRevoked { reason } => {
                text(&Event::new("session.revoked", frame, None, json!({"reason": reason})))
            }
            Happening::PresenceChanged { user_id, presence, last_seen_at, .. } => text(&Event::new(
                "presence.changed",
                frame,
                *user_id,
                json!({
                    "user_id": user_id, "presence": presence.as_str(), "is_online": presence.is_online(),
                    "last_seen_at": last_seen_at,
                }),
            )),
            Happening::ConversationCreated { created_by } => {
                let data = json!({"conversation_id": frame.conversation_id});
                text(&Event::new("conversation.created", frame, *created_by, data))
            }
            Happening::ConversationUpdated { updated_by } => {
                let data = json!({"conversation_id": frame.conversation_id});
                text(&Event::new("conversation.updated", frame, *updated_by, data))
            }
            Happening::ParticipantJoined { person, added_by } => {
                text(&Event::new("participant.joined", frame, *added_by, json!({"user_id": person.id})))
            }
            Happening::BreakGlass { grant_id, admin_id } => {
                let data = json!({
                    "conversation_id": frame.conversation_id, "grant_id": grant_id, "admin_id": admin_id,
                });
                text(&Event::new("access.break_glass", frame, *admin_id, data))
            }
            Happening::ScheduledChanged { sender_id, id, state } => {
                let data = json!({"scheduled_message_id": id, "state": state.as_str()});
                text(&Event::new("scheduled_message.changed", frame, *sender_id, data))
            }
            Happening::DraftChanged { user_id, conversation_id } => {
                let data = json!({"conversation_id": conversation_id});
                text(&Event::new("draft.changed", frame, *user_id, data))
            }
            Happening::EmergencyPaged { emergency_id, opened_by, level } => {
                let data = json!({
                    "emergency_id": emergency_id, "conversation_id": frame.conversation_id, "level": level,
                });
                text(&Event::new("emergency.paged", frame, *opened_by, data))
            }
            Happening::EmergencyAcknowledged { emergency_id, acknowledged_by } => {
                let data = json!({"emergency_id": emergency_id, "acknowledged_by": acknowledged_by});
                text(&Event::new("emergency.acknowledged", frame, *acknowledged_by, data))
            }
            Happening::EmergencyResolved { emergency_id, resolved_by } => {
                let data = json!({"emergency_id": emergency_id, "resolved_by": resolved_by});
                text(&Event::new("emergency.resolved", frame, *resolved_by, data))
            }
            Happening::ParticipantRemoved { person, removed_by } => {
                text(&Event::new("participant.removed", frame, *removed_by, json!({"user_id": person.id})))
            }
        })
    }

    fn ack(&self, reference: Option<String>, data: Value) -> Option<ByteString> {
        Some(text(&json!({"v": VERSION, "type": "ack", "ref": reference, "data": data})))
    }

    fn error(&self, reference: Option<String>, problem: ProblemDetails) -> ByteString {
        text(&json!({"v": VERSION, "type": "error", "ref": reference, "data": problem.into_frame()}))
    }
}

/// The `ref` of a command whose other fields are not what they should be.
fn reference_of(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get("ref")?.as_str().filter(|r| r.len() <= MAX_REF).map(str::to_owned)
}

fn command(kind: &str, text: &str) -> Result<Command, Problem> {
    fn body<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
        parse_json(text.as_bytes())
    }
    fn ids(text: &str) -> Result<Vec<ConversationId>, Problem> {
        let ids = body::<Conversations>(text)?.conversation_ids;
        let rule = match ids.len() {
            0 => Rule::TooFew { min: 1 },
            1..=MAX_SUBSCRIBE => return Ok(ids.into_iter().map(ConversationId::from).collect()),
            _ => Rule::TooMany { max: MAX_SUBSCRIBE },
        };
        Err(invalid(FieldError::new("conversation_ids", rule)))
    }
    let act = match kind {
        "subscribe" => return Ok(Listen::Subscribe(ids(text)?).into()),
        "unsubscribe" => return Ok(Listen::Unsubscribe(ids(text)?).into()),
        "resume" => {
            let Resume { conversation_id, last_seq, last_revision, .. } = body(text)?;
            return Ok(
                Listen::Resume { conversation: conversation_id.into(), last_seq, last_revision }.into()
            );
        }
        "message.send" => {
            let send: Send = body(text)?;
            // Checked here, as it may be absent elsewhere.
            ClientMessageId::parse(&send.client_message_id).map_err(invalid)?;
            let new = NewMessage {
                message_type: send.message_type,
                content: send.content,
                priority: send.priority,
                attachments: send.attachments,
                payload: send.payload,
                reply_to: send.reply_to,
                source: send.source,
                client_sent_at: send.client_sent_at,
                client_message_id: Some(send.client_message_id),
                scheduled_for: None,
                expires_in_seconds: send.expires_in_seconds,
                expires_at: send.expires_at,
            };
            Act::Send { conversation: send.conversation_id.into(), draft: new.parse()? }
        }
        "message.edit" => {
            let Edit { message_id, content, version, .. } = body(text)?;
            let content = Content::parse(&content).map_err(invalid)?;
            Act::Edit { message: message_id.into(), content, version }
        }
        "message.delete" => {
            let Delete { message_id, .. } = body(text)?;
            Act::Delete { message: message_id.into() }
        }
        "reaction.set" | "reaction.clear" => {
            let Reaction { message_id, emoji, .. } = body(text)?;
            let emoji = Emoji::parse(&emoji).map_err(invalid)?;
            Act::React { message: message_id.into(), emoji, is_set: kind == "reaction.set" }
        }
        "typing.set" => {
            let Typing { conversation_id, is_typing, .. } = body(text)?;
            Act::Typing { conversation: conversation_id.into(), is_typing }
        }
        "read.set" => {
            let Read { conversation_id, message_id, .. } = body(text)?;
            let target = Anchor::Message(message_id.into());
            Act::Advance { conversation: conversation_id.into(), mark: Mark::Read, target }
        }
        "ack" => {
            let Ack { conversation_id, up_to_seq, .. } = body(text)?;
            let target = Anchor::Seq(up_to_seq);
            Act::Advance { conversation: conversation_id.into(), mark: Mark::Delivered, target }
        }
        "presence.set" => {
            let Presence { presence, .. } = body(text)?;
            Act::ShowAs(ChosenPresence::parse(&presence).map_err(invalid)?)
        }
        "ping" => {
            let Ping { .. } = body(text)?;
            Act::Ping
        }
        _ => return Err(Problem::new(actix_web::http::StatusCode::UNPROCESSABLE_ENTITY, "unknown_command")),
    };
    Ok(act.into())
}

#[derive(Serialize)]
struct Event<T> {
    v: u8,
    id: Uuid,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<ConversationId>,
    at: DateTime<Utc>,
    /// Nobody, when a time was over.
    actor: Option<UserId>,
    data: T,
}

impl<T> Event<T> {
    fn new(kind: &'static str, frame: &Frame, actor: impl Into<Option<UserId>>, data: T) -> Self {
        let (conversation_id, at) = (frame.conversation_id, frame.at);
        Self {
            v: VERSION,
            id: frame.id,
            r#type: kind,
            seq: None,
            revision: None,
            conversation_id,
            at,
            actor: actor.into(),
            data,
        }
    }
}

/// Our own types always serialise.
pub(crate) fn text(value: &impl Serialize) -> ByteString {
    serde_json::to_string(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (Option<String>, &'static str) {
        match Canonical.read(text) {
            Ok(_) => (None, "accepted"),
            Err(refusal) => (refusal.reference, refusal.problem.code()),
        }
    }

    #[test]
    fn bad_commands_are_refused_under_their_own_ref() {
        let id = Uuid::nil();
        let one = Some("1".to_owned());
        assert_eq!(refusal("not json"), (None, "malformed_json"));
        assert_eq!(refusal(r#"{"type":"fly","ref":"1"}"#), (one.clone(), "unknown_command"));
        assert_eq!(refusal(r#"{"type":"ping","ref":"1","x":1}"#), (one.clone(), "validation_failed"));
        assert_eq!(
            refusal(r#"{"type":"subscribe","ref":"1","conversation_ids":[]}"#),
            (one.clone(), "validation_failed")
        );
        let no_name =
            format!(r#"{{"type":"message.send","ref":"1","conversation_id":"{id}","content":"x"}}"#);
        assert_eq!(refusal(&no_name), (one.clone(), "validation_failed"));
        let forged = format!(
            r#"{{"type":"message.send","ref":"1","conversation_id":"{id}","client_message_id":"a","content":"x","sender_id":"{id}"}}"#
        );
        assert_eq!(refusal(&forged), (one, "validation_failed"));
        assert_eq!(
            refusal(&format!(r#"{{"type":"ping","ref":"{}"}}"#, "x".repeat(129))),
            (None, "validation_failed")
        );
        assert_eq!(refusal(r#"{"type":"ping","ref":"1"}"#), (None, "accepted"));
    }
}
