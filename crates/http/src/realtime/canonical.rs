//! The canonical words: dotted types, `ref`, `ack`, `error`.

use actix_web::http::StatusCode;
use alivio_accounts::ChosenPresence;
use alivio_kernel::ids::ConversationId;
use alivio_kernel::{FieldError, Rule};
use alivio_messages::{Anchor, ClientMessageId, Content, Emoji, Mark};
use alivio_platform::live::{Frame, LiveSession, Vocabulary};
use bytestring::ByteString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answers::{AckFrame, Answer, ErrorFrame, Ready, ReadyFrame};
use super::commands::{
    Ack, Conversations, Delete, Edit, Kind, MAX_REF, MAX_SUBSCRIBE, Ping, Presence, Reaction, Read, Resume,
    Send, Typing,
};
use super::events::Event;
use super::{Act, Command, Listen, Refusal, Request, Words};
use crate::extract::parse_json;
use crate::messages::NewMessage;
use crate::problem::{Problem, ProblemDetails, invalid};

/// The version of the envelope.
pub(super) const VERSION: u8 = 1;

pub(super) struct Canonical;

/// What every command begins with. The rest is read once the type is known.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    r#ref: Option<String>,
}

impl Words for Canonical {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::Canonical
    }

    fn greeting(&self, session: &LiveSession) -> Option<ByteString> {
        let caller = session.caller();
        let (user_id, session_id) = (caller.user_id.uuid(), caller.session_id.uuid());
        let data = Ready { user_id, session_id, epoch: session.epoch() };
        Some(text(&ReadyFrame { v: VERSION, r#type: "ready", data }))
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
        Some(text(&Event::from(frame)))
    }

    fn ack(&self, reference: Option<String>, data: Answer) -> Option<ByteString> {
        Some(text(&AckFrame { v: VERSION, r#type: "ack", r#ref: reference, data }))
    }

    fn error(&self, reference: Option<String>, problem: ProblemDetails) -> ByteString {
        let data = problem.into_frame();
        text(&ErrorFrame { v: VERSION, r#type: "error", r#ref: reference, data })
    }
}

/// The `ref` of a command whose other fields are not what they should be.
fn reference_of(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get("ref")?.as_str().filter(|r| r.len() <= MAX_REF).map(str::to_owned)
}

fn command(name: &str, text: &str) -> Result<Command, Problem> {
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
    let Some(kind) = Kind::named(name) else {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_command"));
    };
    let act = match kind {
        Kind::Subscribe => return Ok(Listen::Subscribe(ids(text)?).into()),
        Kind::Unsubscribe => return Ok(Listen::Unsubscribe(ids(text)?).into()),
        Kind::Resume => {
            let Resume { conversation_id, last_seq, last_revision, epoch, .. } = body(text)?;
            let conversation = conversation_id.into();
            return Ok(Listen::Resume { conversation, last_seq, last_revision, epoch }.into());
        }
        Kind::Send => {
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
        Kind::Edit => {
            let Edit { message_id, content, version, .. } = body(text)?;
            let content = Content::parse(&content).map_err(invalid)?;
            Act::Edit { message: message_id.into(), content, version }
        }
        Kind::Delete => {
            let Delete { message_id, .. } = body(text)?;
            Act::Delete { message: message_id.into() }
        }
        Kind::SetReaction | Kind::ClearReaction => {
            let Reaction { message_id, emoji, .. } = body(text)?;
            let emoji = Emoji::parse(&emoji).map_err(invalid)?;
            Act::React { message: message_id.into(), emoji, is_set: matches!(kind, Kind::SetReaction) }
        }
        Kind::Typing => {
            let Typing { conversation_id, is_typing, .. } = body(text)?;
            Act::Typing { conversation: conversation_id.into(), is_typing }
        }
        Kind::Read => {
            let Read { conversation_id, message_id, .. } = body(text)?;
            let target = Anchor::Message(message_id.into());
            Act::Advance { conversation: conversation_id.into(), mark: Mark::Read, target }
        }
        Kind::Ack => {
            let Ack { conversation_id, up_to_seq, .. } = body(text)?;
            let target = Anchor::Seq(up_to_seq);
            Act::Advance { conversation: conversation_id.into(), mark: Mark::Delivered, target }
        }
        Kind::Presence => {
            let Presence { presence, .. } = body(text)?;
            Act::ShowAs(ChosenPresence::parse(&presence).map_err(invalid)?)
        }
        Kind::Ping => {
            let Ping { .. } = body(text)?;
            Act::Ping
        }
    };
    Ok(act.into())
}

/// Our own types always serialise.
pub(crate) fn text(value: &impl Serialize) -> ByteString {
    serde_json::to_string(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

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

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(Value::from(Uuid::nil().to_string())),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Something like a command: its type, and fields that commands have, with whatever in them.
    fn near_command() -> impl Strategy<Value = String> {
        let types = prop::sample::select(vec![
            "subscribe",
            "unsubscribe",
            "resume",
            "message.send",
            "message.edit",
            "message.delete",
            "reaction.set",
            "reaction.clear",
            "typing.set",
            "read.set",
            "ack",
            "presence.set",
            "ping",
            "message.created",
        ]);
        let fields = prop::sample::select(vec![
            "ref",
            "conversation_id",
            "conversation_ids",
            "client_message_id",
            "content",
            "message_id",
            "message_type",
            "payload",
            "attachments",
            "reply_to",
            "emoji",
            "is_typing",
            "last_seq",
            "up_to_seq",
            "presence",
            "v",
        ]);
        (types, prop::collection::hash_map(fields, value(), 0..6)).prop_map(|(kind, fields)| {
            let mut command: serde_json::Map<_, _> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            command.insert("type".to_owned(), kind.into());
            Value::Object(command).to_string()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// WS-13: with words for it, and under a name that the device has given, if any.
        #[test]
        fn whatever_comes_is_understood_or_refused(
            text in prop_oneof![
                any::<String>(),
                value().prop_map(|value| value.to_string()),
                near_command(),
                // Broken off.
                (near_command(), any::<prop::sample::Index>()).prop_map(|(command, end)| {
                    let ends: Vec<_> = command.char_indices().map(|(index, _)| index).collect();
                    command[..ends[end.index(ends.len())]].to_owned()
                }),
            ],
        ) {
            let (reference, code) = refusal(&text);
            prop_assert!(!code.is_empty());
            prop_assert!(reference.is_none_or(|reference| reference.len() <= MAX_REF));
        }
    }
}
