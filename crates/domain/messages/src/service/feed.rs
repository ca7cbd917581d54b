use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{Caller, PageSize, Place};
use chrono::{DateTime, TimeDelta, Utc};

use super::Messages;
use crate::{Error, Message, StoredChange};

/// A cursor that is older has nothing to go on from.
pub const CHANGES_KEPT: TimeDelta = TimeDelta::days(30);
/// Changes are forgotten only so much later: no node's clock is a day wrong.
const GRACE: TimeDelta = TimeDelta::days(1);

/// So many changes are forgotten at once.
const FORGOTTEN_AT_ONCE: i64 = 5000;

/// Something that happened, with the message that it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedItem {
    /// What: `message.created`, `receipt.read`, `participant.joined` …
    pub kind: String,
    /// Where.
    pub conversation_id: ConversationId,
    /// Whom it concerns, or who did it.
    pub user_id: Option<UserId>,
    /// When.
    pub at: DateTime<Utc>,
    /// The message that it is about, as it is now.
    pub message: Option<Message>,
}

/// A part of all that happened in the caller's conversations.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// The changes, in their order.
    pub items: Vec<FeedItem>,
    /// Where to go on, now or later.
    pub next_cursor: String,
    /// Whether there is more now.
    pub has_more: bool,
    /// The cursor was too old, or none of ours: what happened since is not known, and everything is to be read anew.
    pub is_gap: bool,
}

/// Where someone has come to in the row of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    place: Place,
    /// When that was.
    at: DateTime<Utc>,
}

impl Cursor {
    fn body(&self) -> String {
        let Self { place: Place { transaction, number }, at } = self;
        format!("{transaction}.{number}.{}", at.timestamp_micros())
    }

    fn parse(body: &str) -> Option<Self> {
        let mut parts = body.split('.');
        let (transaction, number, at) = (parts.next()?, parts.next()?, parts.next()?);
        let place = Place { transaction: transaction.parse().ok()?, number: number.parse().ok()? };
        let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
        parts.next().is_none().then_some(Self { place, at })
    }
}

impl Messages {
    /// What happened in the caller's conversations since `since`; without it, nothing but where to begin.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn feed(&self, caller: &Caller, since: Option<&str>, size: PageSize) -> Result<Feed, Error> {
        let p = &self.ports;
        // Before anything is read: what is made later is older than this by no clock.
        let now = p.clock.now();
        let begin = |horizon, is_gap| Feed {
            items: Vec::new(),
            next_cursor: self.sign(caller, &Cursor { place: Place::before(horizon), at: now }),
            has_more: false,
            is_gap,
        };
        let Some(since) = since else { return Ok(begin(p.feed.horizon().await?, false)) };
        let known = self.verify(caller, since).filter(|cursor| cursor.at >= now - CHANGES_KEPT);
        let Some(Cursor { place, .. }) = known else { return Ok(begin(p.feed.horizon().await?, true)) };
        let stretch = p.feed.changes(caller.user_id, place, size).await?;
        // Of another time, before the database was restored from a copy.
        if place.transaction >= stretch.horizon {
            return Ok(begin(stretch.horizon, true));
        }
        let (mut rows, has_more) = size.cut(stretch.changes);
        let last = rows.last().map(|row| Cursor { place: row.place, at: row.at });
        let next = match last {
            Some(last) if has_more => last,
            _ => Cursor { place: Place::before(stretch.horizon), at: now },
        };
        let about: Vec<_> = rows.iter_mut().map(|row| row.message.take()).collect();
        let has_message: Vec<_> = about.iter().map(Option::is_some).collect();
        let messages = self.unseal(about.into_iter().flatten().collect()).await?;
        let mut messages = self.known_to(caller.user_id, messages).await?.into_iter();
        let show = |(row, has_message): (StoredChange, bool)| FeedItem {
            kind: row.kind,
            conversation_id: row.conversation_id,
            user_id: row.user_id,
            at: row.at,
            message: if has_message { messages.next() } else { None },
        };
        let items = rows.into_iter().zip(has_message).map(show).collect();
        Ok(Feed { items, next_cursor: self.sign(caller, &next), has_more, is_gap: false })
    }

    /// Forgets some of the changes that no cursor can reach any more. Whether there may be more of them.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn forget_changes(&self) -> Result<bool, Error> {
        let p = &self.ports;
        let forgotten = p.feed.forget(p.clock.now() - CHANGES_KEPT - GRACE, FORGOTTEN_AT_ONCE).await?;
        Ok(forgotten >= FORGOTTEN_AT_ONCE)
    }

    /// A cursor that only its owner can use, and nobody can make up.
    fn sign(&self, caller: &Caller, cursor: &Cursor) -> String {
        let body = cursor.body();
        let proof = self.proof(caller, &body);
        format!("{body}.{proof}")
    }

    fn verify(&self, caller: &Caller, signed: &str) -> Option<Cursor> {
        let (body, proof) = signed.rsplit_once('.')?;
        if self.proof(caller, body) == proof { Cursor::parse(body) } else { None }
    }

    fn proof(&self, caller: &Caller, body: &str) -> String {
        let print =
            self.ports.sealer.fingerprint(Scope::User(caller.user_id), format!("changes\0{body}").as_bytes());
        format!("{:032x}", u128::from_be_bytes(print))
    }
}
