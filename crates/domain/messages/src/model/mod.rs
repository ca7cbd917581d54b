mod change;
mod draft;
mod header;
mod kind;
mod moderation;
mod payload;
mod scheduled;
mod search;

use std::fmt;
use std::str::FromStr;

use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};

pub use change::{
    Aftermath, Change, ChangePolicy, CorrectionReason, Emoji, LONGEST_LIFE, MAX_EMOJI, NAMED_REACTORS,
    NAMED_READERS, PURGE_GRACE, Reacted, Receipt, Rewording, SHORTEST_LIFE, Standing, TakenBackBy,
    parse_status,
};
pub use draft::Draft;
pub(crate) use draft::KeptDraft;
pub use header::{Automation, Header, Message, PREVIEW, Quote, Source};
pub use kind::MessageType;
pub use moderation::*;
pub use payload::{
    Appointment, Attachment, MAX_ATTACHMENTS, Payload, Prescription, PrescriptionItem, SystemEvent,
};
pub(crate) use scheduled::check_time;
pub use scheduled::{Outcome, ScheduledMessage, ScheduledState, UnsentDraft};
pub use search::*;

/// The most characters a message can hold (S0-173).
pub const MAX_CONTENT: usize = 5000;

/// How urgent a message is (S0-61).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Priority {
    /// Can wait.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Soon.
    High,
    /// Now.
    Urgent,
}

impl Priority {
    /// Every priority.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Urgent];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

impl FromStr for Priority {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|p| p.as_str() == s).ok_or(FieldError::new("priority", Rule::Unknown))
    }
}

/// The words of a message: 1 to 5,000 characters, no control characters but line breaks and tabs.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// Checks what someone typed.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        Self::parse_as("content", raw)
    }

    /// The same, where the words stand in another `field`.
    pub fn parse_as(field: &'static str, raw: &str) -> Result<Self, FieldError> {
        text::parse(field, raw, MAX_CONTENT, Lines::Many).map(Self)
    }

    /// Words that were checked when they were stored.
    pub(crate) const fn restored(text: String) -> Self {
        Self(text)
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place where the words of a message are sealed; each edit is another place.
    pub(crate) const fn context(header: &Header) -> SealContext {
        SealContext {
            table: "messages",
            column: "content",
            row: header.id.uuid(),
            scope: Scope::Conversation(header.conversation_id),
            version: header.version,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

/// The sender's own name for a message, by which repeats are recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientMessageId(String);

impl ClientMessageId {
    const MAX: usize = 128;

    /// Takes 1 to 128 visible ASCII characters.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        text::parse_token("client_message_id", raw, Self::MAX).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One of the two marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A device has it.
    Delivered,
    /// The person has read it.
    Read,
}

impl Mark {
    /// The name used in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// How far a participant has come. What is read has been delivered: `read_up_to <= delivered_up_to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Whose.
    pub user_id: UserId,
    /// All up to this seq has reached a device of theirs.
    pub delivered_up_to: i64,
    /// All up to this seq has been read.
    pub read_up_to: i64,
}

impl Marks {
    /// Leaves of `marks` what `viewer` may see of others: nothing where a block stands between them, and where it is not
    /// shown who has read what (S0-36), not how far they have read.
    pub fn hide(marks: &mut Vec<Self>, viewer: UserId, is_blocked: bool, shows_reading: bool) {
        marks.retain(|marks| marks.user_id == viewer || !is_blocked);
        for theirs in marks.iter_mut().filter(|marks| marks.user_id != viewer && !shows_reading) {
            theirs.read_up_to = 0;
        }
    }
}

/// A participant's marks have moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarksMoved {
    /// Where.
    pub conversation_id: ConversationId,
    /// Which mark was asked to move; reading moves both.
    pub mark: Mark,
    /// Where the marks are now.
    pub marks: Marks,
    /// The message at the mark that moved.
    pub message_id: MessageId,
    /// When.
    pub at: DateTime<Utc>,
}

/// How far a message has come (C-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryStatus {
    /// Stored.
    Sent,
    /// On a device of every recipient.
    Delivered,
    /// Read by every recipient.
    Read,
}

impl DeliveryStatus {
    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// How far the message at `seq` by `sender` has come, given where all participants' marks are.
pub fn delivery_status(seq: i64, sender: UserId, marks: &[Marks]) -> DeliveryStatus {
    let mut recipients = marks.iter().filter(|m| m.user_id != sender).peekable();
    if recipients.peek().is_none() {
        return DeliveryStatus::Sent;
    }
    recipients
        .map(|m| match () {
            () if m.read_up_to >= seq => DeliveryStatus::Read,
            () if m.delivered_up_to >= seq => DeliveryStatus::Delivered,
            () => DeliveryStatus::Sent,
        })
        .min()
        .unwrap_or(DeliveryStatus::Sent)
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;
    use proptest::prelude::*;

    use chrono::TimeDelta;

    use super::*;

    fn user(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    #[test]
    fn content_is_1_to_5000_characters() {
        assert!(Content::parse(&"é".repeat(5000)).is_ok());
        for bad in ["", "  \n", &"x".repeat(5001), "nul\0"] {
            assert!(Content::parse(bad).is_err());
        }
    }

    #[test]
    fn client_message_ids_are_visible_ascii() {
        assert!(ClientMessageId::parse("client_msg_12345").is_ok());
        for bad in ["", "a b", "ñ", "a\0", &"x".repeat(129)] {
            assert!(ClientMessageId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_lasts_from_ten_seconds_to_a_year() {
        let now = DateTime::UNIX_EPOCH;
        let life = |seconds| Some(TimeDelta::seconds(seconds));
        let draft = |expires_in, expires_at| Draft {
            expires_in,
            expires_at,
            ..Draft::text(Content::parse("a").unwrap())
        };
        let year = LONGEST_LIFE.num_seconds();
        for (seconds, good) in [(9, false), (10, true), (year, true), (year + 1, false), (-1, false)] {
            let at = now + TimeDelta::seconds(seconds);
            for draft in [draft(life(seconds), None), draft(None, Some(at))] {
                assert_eq!(draft.expiry(now).ok(), good.then_some(Some(at)), "{seconds}");
            }
        }
        assert_eq!(draft(None, None).expiry(now), Ok(None));
        assert!(draft(life(60), Some(now + TimeDelta::seconds(60))).expiry(now).is_err(), "told twice");
    }

    #[test]
    fn content_does_not_show_in_debug() {
        assert_eq!(format!("{:?}", Content::parse("hypertension").unwrap()), "Content(12 bytes)");
    }

    #[test]
    fn a_message_to_nobody_is_only_sent() {
        let own = Marks { user_id: user(1), delivered_up_to: 9, read_up_to: 9 };
        assert_eq!(delivery_status(1, user(1), &[own]), DeliveryStatus::Sent);
    }

    proptest! {
        /// The slowest recipient decides, and moving a mark forward never lowers the status.
        #[test]
        fn status_is_that_of_the_slowest_recipient(
            seq in 1..50_i64,
            positions in prop::collection::vec((0..50_i64, 0..50_i64), 1..6),
            moved in 0..6_usize,
        ) {
            let mut marks: Vec<_> = (2..).zip(&positions).map(|(n, (a, b))| Marks {
                user_id: user(n), delivered_up_to: *a.max(b), read_up_to: *a.min(b),
            }).collect();
            let before = delivery_status(seq, user(1), &marks);
            prop_assert_eq!(before == DeliveryStatus::Read, marks.iter().all(|m| m.read_up_to >= seq));
            prop_assert_eq!(before == DeliveryStatus::Sent, marks.iter().any(|m| m.delivered_up_to < seq));
            let index = moved % marks.len();
            marks[index].delivered_up_to = 50;
            marks[index].read_up_to = 50;
            prop_assert!(delivery_status(seq, user(1), &marks) >= before);
        }
    }
}
