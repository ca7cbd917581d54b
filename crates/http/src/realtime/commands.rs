//! What a device may ask for: every command, what it holds and what its acknowledgement tells. The parser, the document
//! and nothing else are made from this table.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answers::{
    Deletion, Edition, Nothing, Pong, ReactionAnswer, Resumption, Sent, ShownPresence, Subscriptions,
};
use super::document::{Described, described};
use crate::messages::{MessageTypeBody, PayloadBody, PriorityBody, ReadMarkerBody};

/// Conversations per `subscribe`.
pub(super) const MAX_SUBSCRIBE: usize = 100;
/// The longest `ref`.
pub(super) const MAX_REF: usize = 128;

macro_rules! commands {
    ($($name:literal $kind:ident($body:ty) => $ack:ty, $summary:literal;)*) => {
        /// The name of a command.
        #[derive(Clone, Copy)]
        pub(super) enum Kind { $($kind),* }

        impl Kind {
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }

        /// Every command, and what its acknowledgement tells.
        pub(super) fn commands() -> Vec<(Described, Described)> {
            vec![$((described::<$body>($name, $summary), described::<$ack>($name, "It is done."))),*]
        }
    };
}

commands! {
    "subscribe" Subscribe(Conversations) => Subscriptions, "Hear what happens in these conversations.";
    "unsubscribe" Unsubscribe(Conversations) => Nothing, "Hear no more of these conversations.";
    "resume" Resume(Resume) => Resumption,
        "Hear what happens in a conversation; all that was missed arrives first, then the acknowledgement.";
    "message.send" Send(Send) => Sent, "Send a message. Again under the same name, it answers the first result.";
    "message.edit" Edit(Edit) => Edition, "Put other words in place of yours.";
    "message.delete" Delete(Delete) => Deletion, "Take a message back.";
    "reaction.set" SetReaction(Reaction) => ReactionAnswer, "React to a message.";
    "reaction.clear" ClearReaction(Reaction) => ReactionAnswer, "Take a reaction back.";
    "typing.set" Typing(Typing) => Nothing, "Say that you type, or have stopped. Say it again every few seconds.";
    "read.set" Read(Read) => ReadMarkerBody, "Say that you have read all messages up to this one.";
    "ack" Ack(Ack) => ReadMarkerBody, "Say that this device has all messages up to a `seq`.";
    "presence.set" Presence(Presence) => ShownPresence, "Choose how others see you while you are connected.";
    "ping" Ping(Ping) => Pong, "Ask whether anybody is there.";
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* })*) => { $(
        $(#[$doc])*
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// Which command.
            #[serde(rename = "type")] _type: String,
            /// Your name for the command; its answer carries the same. At most 128 characters.
            #[serde(default, rename = "ref")] #[schema(max_length = 128, example = "1")] _ref: Option<String>,
            $($(#[$attribute])* pub(super) $field: $type),*
        }
    )* };
}

bodies! {
    /// Some conversations.
    Conversations {
        /// Which, at most 100.
        #[schema(min_items = 1, max_items = 100)]
        conversation_ids: Vec<Uuid>
    }
    /// A message to send.
    Send {
        /// Where.
        conversation_id: Uuid,
        /// Your name for it, 1 to 128 visible ASCII characters.
        #[schema(example = "client_msg_12345", min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
        client_message_id: String,
        /// 1 to 5,000 characters, not only white space. Only a `text` needs words.
        #[schema(example = "¿Cómo se ha sentido con la nueva medicación?", min_length = 1, max_length = 5000)]
        content: Option<String>,
        /// What it is.
        #[serde(default)] message_type: MessageTypeBody,
        /// How urgent it is.
        #[serde(default)] priority: PriorityBody,
        /// The files that a `file`, `image`, `audio` or `video` message consists of.
        #[serde(default)] #[schema(max_items = 10)] attachments: Vec<Uuid>,
        /// What an `appointment` or a `prescription` consists of.
        #[schema(value_type = Option<PayloadBody>)]
        payload: Option<Value>,
        /// The message that it answers, in the same conversation.
        reply_to: Option<Uuid>,
        /// What it was written with: 1 to 32 lower-case letters, digits and underscores.
        #[schema(example = "web_app", min_length = 1, max_length = 32, pattern = "^[a-z0-9_]+$")]
        source: Option<String>,
        /// When it was written, by the clock of the client.
        client_sent_at: Option<DateTime<Utc>>,
        /// How long until it disappears; this or `expires_at`.
        #[schema(example = 86_400)]
        expires_in_seconds: Option<i64>,
        /// When it disappears; this or `expires_in_seconds`.
        expires_at: Option<DateTime<Utc>>
    }
    /// Other words for a message.
    Edit {
        /// Which.
        message_id: Uuid,
        /// 1 to 5,000 characters, not only white space.
        #[schema(example = "Tome 5 mg por la mañana.", min_length = 1, max_length = 5000)]
        content: String,
        /// The `version` that you saw. If the message has another one by now, nothing is changed.
        #[serde(default)] #[schema(example = 1, minimum = 1)] version: Option<u32>
    }
    /// A message to take back.
    Delete {
        /// Which.
        message_id: Uuid
    }
    /// A reaction.
    Reaction {
        /// To which message.
        message_id: Uuid,
        /// One emoji.
        #[schema(example = "👍")]
        emoji: String
    }
    /// Where a device had come to.
    Resume {
        /// Where.
        conversation_id: Uuid,
        /// The last `seq` that you have.
        #[schema(example = 15)]
        last_seq: i64,
        /// The last `revision` that you have; without it only messages are sent again.
        #[schema(example = 4)]
        last_revision: Option<i64>,
        /// The `epoch` of the greeting when you got them. If it is another one now, a backup was restored, and you get
        /// `sync.gap`.
        epoch: Option<Uuid>
    }
    /// Whether you type.
    Typing {
        /// Where.
        conversation_id: Uuid,
        /// Whether you do.
        is_typing: bool
    }
    /// Up to where you have read.
    Read {
        /// Where.
        conversation_id: Uuid,
        /// The newest message that you have read.
        message_id: Uuid
    }
    /// Up to where this device has all messages.
    Ack {
        /// Where.
        conversation_id: Uuid,
        /// Up to this `seq`.
        #[schema(example = 15)]
        up_to_seq: i64
    }
    /// How others see you.
    Presence {
        /// `online`, `away` or `busy`.
        #[schema(example = "busy")]
        presence: String
    }
    /// Nothing else.
    Ping { }
}
