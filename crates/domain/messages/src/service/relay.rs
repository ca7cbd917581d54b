//! What happened elsewhere, told to those who are connected here.

use std::collections::{HashMap, HashSet};

use alivio_kernel::Place;
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use chrono::{DateTime, Utc};

use super::Messages;
use super::read::acquaint;
use crate::{Change, Error, LiveFeed, Mark, Marks, MarksMoved, Message, MessageChanged, NotedChange};

/// A message as it is now, and the membership that may see it.
struct Told {
    message: Message,
    marks: Vec<Marks>,
    members_version: i64,
}

impl Messages {
    /// What became of messages and marks behind `after`: `limit` changes at most, and the oldest transaction that is
    /// still at work. For whoever follows all changes, as nodes do: [`Follower`](alivio_kernel::Follower).
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn noted(&self, after: Place, limit: i64) -> Result<(u64, Vec<NotedChange>), Error> {
        self.ports.feed.noted(after, limit).await
    }

    /// Tells `live` of those of `changes` that it awaits, with how things are now. Each message is read once, whoever
    /// listens, and authorises nobody: whoever is told by `live` was let in by their own membership. When each of them
    /// happened.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`]; some may have been told by then.
    pub async fn relay(
        &self,
        changes: Vec<NotedChange>,
        live: &dyn LiveFeed,
    ) -> Result<Vec<DateTime<Utc>>, Error> {
        let awaited: Vec<_> = changes.into_iter().filter(|change| live.awaits(change)).collect();
        let happened = awaited.iter().map(|change| change.at).collect();
        let mut told = self.told(&awaited).await?;
        let marks = self.marks(&awaited).await?;
        for NotedChange { kind, conversation_id, message_id, revision, user_id, at, .. } in awaited {
            if let Some(mark) = mark_of(&kind) {
                // Who has left has no marks.
                let moved = user_id.and_then(|user| marks.get(&(conversation_id, user)));
                if let Some(&marks) = moved {
                    live.marks_moved(&MarksMoved { conversation_id, mark, marks, message_id, at }).await;
                }
                continue;
            }
            let Some(Told { message, marks, members_version }) = told.get_mut(&message_id) else { continue };
            match Change::parse(&kind) {
                None => live.message_created(message, *members_version).await,
                Some(change) => {
                    let around = self.aftermath(std::slice::from_ref(message)).await?.remove(&message_id);
                    let changed = MessageChanged {
                        change,
                        revision: revision.unwrap_or(message.revision),
                        actor: user_id,
                        at,
                        message: message.clone(),
                        aftermath: around.unwrap_or_default(),
                        marks: marks.clone(),
                        members_version: *members_version,
                    };
                    live.message_changed(changed).await;
                }
            }
        }
        Ok(happened)
    }

    /// The messages that `changes` are about, as those who listen see them.
    async fn told(&self, changes: &[NotedChange]) -> Result<HashMap<MessageId, Told>, Error> {
        let ids = changes.iter().filter(|change| mark_of(&change.kind).is_none()).map(|c| c.message_id);
        let ids: Vec<_> = ids.collect::<HashSet<_>>().into_iter().collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let currents = self.ports.feed.currents(&ids).await?;
        let (rows, around): (Vec<_>, Vec<_>) =
            currents.into_iter().map(|it| (it.message, (it.marks, it.members_version))).unzip();
        let mut told = HashMap::with_capacity(rows.len());
        for (mut message, (marks, members_version)) in self.unseal(rows).await?.into_iter().zip(around) {
            // What it answers can be read later.
            let known = self.known(message.sender_id, std::iter::once(&message)).await.unwrap_or_default();
            acquaint(&mut message, &known, true);
            told.insert(message.id, Told { message, marks, members_version });
        }
        Ok(told)
    }

    async fn marks(
        &self,
        changes: &[NotedChange],
    ) -> Result<HashMap<(ConversationId, UserId), Marks>, Error> {
        let moved = changes.iter().filter(|change| mark_of(&change.kind).is_some());
        let whose = moved.filter_map(|change| Some((change.conversation_id, change.user_id?)));
        let whose: Vec<_> = whose.collect::<HashSet<_>>().into_iter().collect();
        if whose.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.ports.feed.marks_of(&whose).await?;
        Ok(found.into_iter().map(|(conversation, marks)| ((conversation, marks.user_id), marks)).collect())
    }
}

/// Of a change of marks, the one that was asked to move.
fn mark_of(kind: &str) -> Option<Mark> {
    let name = kind.strip_prefix("receipt.")?;
    [Mark::Delivered, Mark::Read].into_iter().find(|mark| mark.as_str() == name)
}
