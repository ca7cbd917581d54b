//! What becomes of a message after it was sent.

use std::fmt;

use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, TimeDelta, Utc};

use super::{DeliveryStatus, Header, Mark};
use crate::{Error, Room};

/// The least time a message can be asked to last (S0-65).
pub const SHORTEST_LIFE: TimeDelta = TimeDelta::seconds(10);
/// The most time a message can be asked to last.
pub const LONGEST_LIFE: TimeDelta = TimeDelta::days(365);
/// How long the words of what was taken back rest before they are destroyed, where they belong to no record (C-25).
pub const PURGE_GRACE: TimeDelta = TimeDelta::days(7);
/// The most different emoji on a message.
pub const MAX_EMOJI: i64 = 20;
/// So many of those who reacted with an emoji are named; all are counted.
pub const NAMED_REACTORS: i64 = 20;
/// In a conversation of more people, a message does not name those who have read it; [`receipts`] do.
///
/// [`receipts`]: crate::Messages::receipts
pub const NAMED_READERS: i64 = 50;

/// By whom a message was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBackBy {
    /// By whom had sent it.
    Sender,
    /// By a moderator of the group.
    Moderator,
    /// By nobody: its time was over.
    System,
}

impl TakenBackBy {
    /// The name used in events and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Moderator => "moderator",
            Self::System => "system",
        }
    }
}

/// How free people are to change what they said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangePolicy {
    /// So long after a message was sent its words can be changed, where they belong to the care of a patient. Elsewhere
    /// they can for ever: every wording is kept and shown either way (C-26).
    pub care_edit_window: TimeDelta,
}

impl ChangePolicy {
    /// The window in minutes.
    pub fn of_minutes(minutes: u16) -> Self {
        Self { care_edit_window: TimeDelta::minutes(i64::from(minutes)) }
    }
}

impl Default for ChangePolicy {
    fn default() -> Self {
        Self::of_minutes(15)
    }
}

/// How things are for one who wants to change a message that they can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether they are a moderator of the conversation, and it is a group.
    pub moderates: bool,
    /// Whether the conversation goes on.
    pub is_open: bool,
    /// Whether a block stands between the two of a direct conversation.
    pub is_blocked: bool,
}

impl Standing {
    /// Whether something can happen here at all.
    const fn check(self) -> Result<(), Error> {
        if !self.is_open {
            return Err(Error::Closed);
        }
        if self.is_blocked { Err(Error::Blocked) } else { Ok(()) }
    }

    /// Whether `actor` may give the message `header` other words at `now`. `version` is the wording that they saw, if
    /// they say so.
    ///
    /// # Errors
    /// [`Error::NotTheSender`], [`Error::Gone`], [`Error::EditingDisabled`], [`Error::Closed`], [`Error::Blocked`],
    /// [`Error::AlreadyCorrected`], [`Error::EditWindowOver`], [`Error::Stale`].
    pub fn edit(
        self,
        header: &Header,
        actor: UserId,
        room: &Room,
        policy: &ChangePolicy,
        version: Option<u32>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.own(header, actor, now)?;
        if !room.message_editing {
            return Err(Error::EditingDisabled);
        }
        self.check()?;
        if let Some(by) = header.corrected_by {
            return Err(Error::AlreadyCorrected { by });
        }
        if room.is_care && now - header.created_at > policy.care_edit_window {
            return Err(Error::EditWindowOver);
        }
        if version.is_some_and(|version| version != header.version) { Err(Error::Stale) } else { Ok(()) }
    }

    /// Whether `actor` may put the message `header` right by another one.
    ///
    /// # Errors
    /// [`Error::NotTheSender`], [`Error::Gone`], [`Error::Closed`], [`Error::Blocked`], [`Error::AlreadyCorrected`].
    pub fn correct(self, header: &Header, actor: UserId, now: DateTime<Utc>) -> Result<(), Error> {
        self.own(header, actor, now)?;
        self.check()?;
        header.corrected_by.map_or(Ok(()), |by| Err(Error::AlreadyCorrected { by }))
    }

    /// Whether `actor` may take the message `header` back; in which role, unless that was done before.
    ///
    /// # Errors
    /// [`Error::NotTheSender`], [`Error::DeletionDisabled`], [`Error::Closed`], [`Error::Blocked`].
    pub fn take_back(
        self,
        header: &Header,
        actor: UserId,
        room: &Room,
        now: DateTime<Utc>,
    ) -> Result<Option<TakenBackBy>, Error> {
        let own = header.sender_id == actor;
        if !own && !self.moderates {
            return Err(Error::NotTheSender);
        }
        if header.is_gone(now) {
            return Ok(None);
        }
        // What moderators do is not a wish of the one who wrote it.
        if own && !self.moderates && !room.message_deletion {
            return Err(Error::DeletionDisabled);
        }
        self.check()?;
        Ok(Some(if own { TakenBackBy::Sender } else { TakenBackBy::Moderator }))
    }

    /// Whether one may react to the message `header`, or stop doing so.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Closed`], [`Error::Blocked`].
    pub fn react(self, header: &Header, now: DateTime<Utc>) -> Result<(), Error> {
        if header.is_gone(now) {
            return Err(Error::Gone);
        }
        self.check()
    }

    fn own(self, header: &Header, actor: UserId, now: DateTime<Utc>) -> Result<(), Error> {
        if header.sender_id != actor {
            return Err(Error::NotTheSender);
        }
        if header.is_gone(now) { Err(Error::Gone) } else { Ok(()) }
    }
}

/// Why a message was put right: 1 to 500 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct CorrectionReason(String);

impl CorrectionReason {
    const MAX: usize = 500;

    /// Checks what someone typed.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        text::parse("reason", raw, Self::MAX, Lines::Many).map(Self)
    }

    pub(crate) const fn restored(text: String) -> Self {
        Self(text)
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place where the reason for correcting a message is sealed.
    pub(crate) const fn context(corrected: MessageId, conversation: ConversationId) -> SealContext {
        SealContext {
            table: "messages",
            column: "correction_reason",
            row: corrected.uuid(),
            scope: Scope::Conversation(conversation),
            version: 1,
        }
    }
}

impl fmt::Debug for CorrectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CorrectionReason({} bytes)", self.0.len())
    }
}

/// One emoji of the Unicode list, skin tones and sequences included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Emoji(&'static str);

impl Emoji {
    /// Takes exactly one emoji; however it was written (`❤` or `❤️`), it is the same.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        emojis::get(raw).map(|emoji| Self(emoji.as_str())).ok_or(FieldError::new("emoji", Rule::Unknown))
    }

    /// The emoji, fully qualified.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// A wording that a message had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewording {
    /// Which wording it was.
    pub version: u32,
    /// When it gave way to the next.
    pub edited_at: DateTime<Utc>,
}

/// Those who reacted to a message with one emoji.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reacted {
    /// With what.
    pub emoji: String,
    /// How many.
    pub count: i64,
    /// The first [`NAMED_REACTORS`] of them, and when.
    pub people: Vec<(UserId, DateTime<Utc>)>,
}

/// When someone received and read a message (C-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Who.
    pub user_id: UserId,
    /// When it reached a device of theirs.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When they read it.
    pub read_at: Option<DateTime<Utc>>,
}

impl Receipt {
    /// How far it says that the message has come.
    pub const fn status(&self) -> DeliveryStatus {
        match self {
            Self { read_at: Some(_), .. } => DeliveryStatus::Read,
            Self { delivered_at: Some(_), .. } => DeliveryStatus::Delivered,
            _ => DeliveryStatus::Sent,
        }
    }
}

/// What has gathered around a message since it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aftermath {
    /// Its former wordings, the oldest first.
    pub rewordings: Vec<Rewording>,
    /// Reactions, in the order in which each emoji came first.
    pub reactions: Vec<Reacted>,
    /// Those who have read it, the first one first.
    pub read_by: Vec<(UserId, DateTime<Utc>)>,
}

/// A message has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has other words.
    Edited,
    /// It was taken back, or has expired.
    Deleted,
    /// Another message puts it right.
    Corrected,
    /// Someone reacts to it, or does so no longer.
    Reacted,
}

impl Change {
    /// The name used in storage and events.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Edited => "message.updated",
            Self::Deleted => "message.deleted",
            Self::Corrected => "message.corrected",
            Self::Reacted => "message.reacted",
        }
    }

    /// The change of that name.
    pub fn parse(kind: &str) -> Option<Self> {
        [Self::Edited, Self::Deleted, Self::Corrected, Self::Reacted].into_iter().find(|it| it.kind() == kind)
    }
}

/// How far the caller says that a message has come to them.
pub fn parse_status(raw: &str) -> Result<Mark, FieldError> {
    match raw {
        "delivered" => Ok(Mark::Delivered),
        "read" => Ok(Mark::Read),
        _ => Err(FieldError::new("status", Rule::Unknown)),
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::DomainError;
    use alivio_kernel::ids::Uuid;
    use proptest::prelude::*;

    use super::*;
    use crate::ClientMessageId;

    const OPEN: Standing = Standing { moderates: false, is_open: true, is_blocked: false };

    fn user(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    fn at() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn header() -> Header {
        let name = ClientMessageId::parse("a").unwrap();
        Header::new(Uuid::from_u128(9).into(), Uuid::from_u128(8).into(), user(1), name, at())
    }

    fn room(is_care: bool) -> Room {
        Room {
            is_direct: false,
            is_emergency: false,
            is_care,
            is_case_discussion: false,
            file_sharing: true,
            typing_indicators: true,
            read_receipts: true,
            message_editing: true,
            message_deletion: true,
        }
    }

    #[test]
    fn an_emoji_is_one_of_the_list_however_it_was_written() {
        for good in ["👍", "❤️", "👩🏽‍⚕️", "🇪🇸", "1️⃣", "👨‍👩‍👧‍👦"]
        {
            assert_eq!(Emoji::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Emoji::parse("❤").unwrap(), Emoji::parse("❤️").unwrap());
        for bad in ["", "a", "1", "👍👍", " 👍", "👍 ", ":+1:", "+1", "ok", "\u{200d}", "👍x"] {
            assert!(Emoji::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_wrote_it_edits_it_within_the_window_in_care_and_for_ever_elsewhere() {
        let policy = ChangePolicy::default();
        let edit = |who, care, minutes| {
            let now = at() + TimeDelta::minutes(minutes);
            let done = OPEN.edit(&header(), user(who), &room(care), &policy, None, now);
            done.map_err(|e| e.code())
        };
        assert_eq!(edit(1, true, 15), Ok(()));
        assert_eq!(edit(1, true, 16), Err("edit_window_over"));
        assert_eq!(edit(1, false, 500_000), Ok(()));
        assert_eq!(edit(2, true, 1), Err("not_the_sender"));
    }

    #[test]
    fn what_stands_in_the_way_of_an_edit_is_told_apart() {
        let edit = |standing: Standing, header: Header, room: Room, version| {
            standing
                .edit(&header, user(1), &room, &ChangePolicy::default(), version, at())
                .map_err(|error| error.code())
        };
        let gone = Header { deleted_at: Some(at()), ..header() };
        let expired = Header { expires_at: Some(at()), ..header() };
        let corrected = Header { corrected_by: Some(Uuid::nil().into()), ..header() };
        let fixed = Room { message_editing: false, ..room(true) };
        assert_eq!(edit(OPEN, header(), room(true), Some(1)), Ok(()));
        assert_eq!(edit(OPEN, header(), room(true), Some(2)), Err("stale"));
        assert_eq!(edit(OPEN, gone, room(true), None), Err("message_gone"));
        assert_eq!(edit(OPEN, expired, room(true), None), Err("message_gone"));
        assert_eq!(edit(OPEN, corrected, room(true), None), Err("already_corrected"));
        assert_eq!(edit(OPEN, header(), fixed, None), Err("message_editing_disabled"));
        let closed = Standing { is_open: false, ..OPEN };
        assert_eq!(edit(closed, header(), room(true), None), Err("conversation_closed"));
        let blocked = Standing { is_blocked: true, ..OPEN };
        assert_eq!(edit(blocked, header(), room(true), None), Err("direct_chat_blocked"));
    }

    proptest! {
        /// Nobody but who wrote it or moderates takes a message back; who does is told truthfully.
        #[test]
        fn a_message_is_taken_back_by_its_sender_or_a_moderator(
            own: bool, moderates: bool, allowed: bool, open: bool, gone: bool,
        ) {
            let header = Header { deleted_at: gone.then(at), deleted_by: gone.then(|| user(1)), ..header() };
            let room = Room { message_deletion: allowed, ..room(true) };
            let standing = Standing { moderates, is_open: open, is_blocked: false };
            let actor = if own { user(1) } else { user(2) };
            match standing.take_back(&header, actor, &room, at()) {
                Err(Error::NotTheSender) => prop_assert!(!own && !moderates),
                Err(Error::DeletionDisabled) => prop_assert!(own && !moderates && !allowed && !gone),
                Err(Error::Closed) => prop_assert!(!open && !gone),
                Err(_) => prop_assert!(false),
                Ok(None) => prop_assert!(gone),
                Ok(Some(by)) => {
                    prop_assert!(open && !gone);
                    prop_assert_eq!(by, if own { TakenBackBy::Sender } else { TakenBackBy::Moderator });
                }
            }
        }
    }
}
