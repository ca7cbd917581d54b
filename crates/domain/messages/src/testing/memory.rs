//! A log in memory: proof that the suite can pass.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use alivio_kernel::ids::{ConversationId, MessageId, ReportId, UserId};
use alivio_kernel::{Event, SystemIds};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Fixture, World};
use crate::{
    Anchor, Appended, ClientMessageId, Digest, Error, HistoryQuery, Mark, Marks, MessageLog, Moved, NewEntry,
    Position, StoredMessage,
};

pub(crate) fn fixture() -> Fixture {
    let memory = Arc::new(Memory::default());
    Fixture { log: memory.clone(), world: memory }
}

#[derive(Default)]
struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    conversations: HashMap<ConversationId, Conversation>,
    blocks: HashSet<(UserId, UserId)>,
    events: Vec<Event>,
    flags: Vec<(ReportId, MessageId)>,
    numbers: i64,
}

#[derive(Default)]
struct Conversation {
    /// Marks and `joined_seq`.
    members: HashMap<UserId, (Marks, i64)>,
    members_version: i64,
    closed: bool,
    direct: bool,
    entries: Vec<(StoredMessage, [u8; 16])>,
}

impl Memory {
    /// Others get their turn first, as with a real store.
    async fn lock(&self) -> MutexGuard<'_, State> {
        tokio::task::yield_now().await;
        self.0.lock().unwrap()
    }
}

impl State {
    fn joined(&self, viewer: UserId, id: ConversationId) -> Option<(&Conversation, &Marks, i64)> {
        let conversation = self.conversations.get(&id)?;
        let (marks, joined_seq) = conversation.members.get(&viewer)?;
        Some((conversation, marks, *joined_seq))
    }

    fn stands_between(&self, conversation: &Conversation) -> bool {
        let here = |user: &UserId| conversation.members.contains_key(user);
        conversation.direct && self.blocks.iter().any(|(one, other)| here(one) && here(other))
    }

    /// Behind a block nobody sees the other's.
    fn shown_marks(&self, viewer: UserId, conversation: &Conversation) -> Vec<Marks> {
        let mut marks = conversation.marks();
        marks.retain(|marks| marks.user_id == viewer || !self.stands_between(conversation));
        marks
    }
}

impl Conversation {
    fn last_seq(&self) -> i64 {
        i64::try_from(self.entries.len()).unwrap()
    }

    fn marks(&self) -> Vec<Marks> {
        self.members.values().map(|(marks, _)| *marks).collect()
    }

    fn readable(&self, joined_seq: i64) -> impl DoubleEndedIterator<Item = &StoredMessage> {
        self.entries.iter().map(|(message, _)| message).filter(move |m| m.seq >= joined_seq)
    }

    fn find(&self, joined_seq: i64, message: MessageId) -> Option<&StoredMessage> {
        self.readable(joined_seq).find(|m| m.id == message)
    }

    fn unread(&self, marks: &Marks) -> i64 {
        let unread = |m: &&StoredMessage| m.seq > marks.read_up_to && m.sender_id != marks.user_id;
        i64::try_from(self.readable(0).filter(unread).count()).unwrap()
    }

    fn join(&mut self, user_id: UserId) {
        let last = self.last_seq();
        let marks = Marks { user_id, delivered_up_to: last, read_up_to: last };
        self.members.insert(user_id, (marks, last + 1));
        self.members_version += 1;
    }
}

#[async_trait]
impl MessageLog for Memory {
    async fn append(&self, entry: NewEntry) -> Result<Appended, Error> {
        let mut state = self.lock().await;
        let State { conversations, blocks, events, flags, numbers } = &mut *state;
        let Some(conversation) = conversations.get_mut(&entry.conversation_id) else {
            return Ok(Appended::NotAMember);
        };
        if !conversation.members.contains_key(&entry.sender_id) {
            return Ok(Appended::NotAMember);
        }
        let same_name = |m: &StoredMessage| {
            m.sender_id == entry.sender_id && m.client_message_id == entry.client_message_id
        };
        if let Some((earlier, fingerprint)) = conversation.entries.iter().find(|(m, _)| same_name(m)) {
            let repeat = *fingerprint == entry.fingerprint;
            return Ok(if repeat { Appended::Repeat(earlier.clone()) } else { Appended::Reused });
        }
        if conversation.closed {
            return Ok(Appended::Closed);
        }
        let here = |user: &UserId| conversation.members.contains_key(user);
        if conversation.direct && blocks.iter().any(|(one, other)| here(one) && here(other)) {
            return Ok(Appended::Blocked);
        }
        let (_, joined_seq) = conversation.members[&entry.sender_id];
        if entry.reply_to.is_some_and(|target| conversation.find(joined_seq, target).is_none()) {
            return Ok(Appended::NoReplyTarget);
        }
        *numbers += 1;
        let (seq, number) = (conversation.last_seq() + 1, *numbers);
        events.extend(entry.event.clone());
        flags.extend(entry.flag.as_ref().map(|flag| (flag.id, entry.id)));
        conversation.entries.push((super::message_log::as_stored(&entry, seq, number), entry.fingerprint));
        let expires_at = entry.expires_at;
        Ok(Appended::Stored { seq, number, members_version: conversation.members_version, expires_at })
    }

    async fn earlier(
        &self,
        sender: UserId,
        conversation: ConversationId,
        client_message_id: &ClientMessageId,
        fingerprint: [u8; 16],
    ) -> Result<Option<Appended>, Error> {
        let state = self.lock().await;
        let Some((conversation, ..)) = state.joined(sender, conversation) else {
            return Ok(Some(Appended::NotAMember));
        };
        let named = |m: &StoredMessage| m.sender_id == sender && m.client_message_id == *client_message_id;
        let earlier = conversation.entries.iter().find(|(m, _)| named(m));
        Ok(earlier.map(|(earlier, stored)| {
            if *stored == fingerprint { Appended::Repeat(earlier.clone()) } else { Appended::Reused }
        }))
    }

    async fn history(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        query: &HistoryQuery,
    ) -> Result<Option<Vec<StoredMessage>>, Error> {
        let state = self.lock().await;
        let Some((conversation, _, joined)) = state.joined(viewer, conversation) else { return Ok(None) };
        let seq = |anchor: &Anchor| match anchor {
            Anchor::Seq(seq) => Some(*seq),
            Anchor::Message(id) => conversation.find(joined, *id).map(|m| m.seq),
        };
        let limit = usize::try_from(query.size().get()).unwrap() + 1;
        let all = conversation.readable(joined).cloned();
        Ok(match query {
            HistoryQuery::Newest { offset, .. } => {
                Some(all.rev().skip(usize::try_from(*offset).unwrap()).take(limit).collect())
            }
            HistoryQuery::Before(anchor, _) => {
                seq(anchor).map(|seq| all.rev().filter(|m| m.seq < seq).take(limit).collect())
            }
            HistoryQuery::After(anchor, _) => {
                seq(anchor).map(|seq| all.filter(|m| m.seq > seq).take(limit).collect())
            }
        })
    }

    async fn position(
        &self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<Position>, Error> {
        let state = self.lock().await;
        Ok(state.joined(viewer, conversation).map(|(conversation, _, joined_seq)| Position {
            joined_seq,
            last_seq: conversation.last_seq(),
            last_revision: 0,
            members_version: conversation.members_version,
            marks: state.shown_marks(viewer, conversation),
        }))
    }

    async fn advance(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        mark: Mark,
        target: &Anchor,
        _: DateTime<Utc>,
    ) -> Result<Option<Moved>, Error> {
        let mut state = self.lock().await;
        let Some((found, before, joined)) = state.joined(viewer, conversation) else { return Ok(None) };
        let target = match target {
            Anchor::Seq(seq) => found.readable(joined).find(|m| m.seq == *seq),
            Anchor::Message(id) => found.find(joined, *id),
        };
        let Some(target) = target else { return Ok(None) };
        let mut marks = *before;
        marks.delivered_up_to = marks.delivered_up_to.max(target.seq);
        if mark == Mark::Read {
            marks.read_up_to = marks.read_up_to.max(target.seq);
        }
        let moved =
            Moved { marks, moved: marks != *before, message_id: target.id, unread: found.unread(&marks) };
        state.conversations.get_mut(&conversation).unwrap().members.get_mut(&viewer).unwrap().0 = marks;
        Ok(Some(moved))
    }

    async fn newest_of(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        messages: &[MessageId],
    ) -> Result<Option<MessageId>, Error> {
        let state = self.lock().await;
        Ok(state.joined(viewer, conversation).and_then(|(conversation, _, joined)| {
            conversation.readable(joined).rev().map(|m| m.id).find(|id| messages.contains(id))
        }))
    }

    async fn digests(&self, viewer: UserId, conversations: &[ConversationId]) -> Result<Vec<Digest>, Error> {
        let state = self.lock().await;
        let digest = |id: &ConversationId| {
            let (conversation, marks, joined) = state.joined(viewer, *id)?;
            Some(Digest {
                conversation_id: *id,
                unread: conversation.unread(marks),
                last: conversation.readable(joined).next_back().cloned(),
                marks: conversation.marks(),
            })
        };
        Ok(conversations.iter().filter_map(digest).collect())
    }
}

#[async_trait]
impl World for Memory {
    async fn user(&self) -> UserId {
        UserId::generate(&SystemIds)
    }

    async fn conversation(&self, members: &[UserId]) -> ConversationId {
        let id = ConversationId::generate(&SystemIds);
        let mut conversation = Conversation::default();
        members.iter().for_each(|user| conversation.join(*user));
        self.lock().await.conversations.insert(id, conversation);
        id
    }

    async fn add(&self, conversation: ConversationId, user: UserId) {
        self.lock().await.conversations.get_mut(&conversation).unwrap().join(user);
    }

    async fn remove(&self, conversation: ConversationId, user: UserId) {
        let mut state = self.lock().await;
        let conversation = state.conversations.get_mut(&conversation).unwrap();
        conversation.members.remove(&user).unwrap();
        conversation.members_version += 1;
    }

    async fn direct(&self, one: UserId, other: UserId) -> ConversationId {
        let id = self.conversation(&[one, other]).await;
        self.lock().await.conversations.get_mut(&id).unwrap().direct = true;
        id
    }

    async fn block(&self, blocker: UserId, blocked: UserId) {
        self.lock().await.blocks.insert((blocker, blocked));
    }

    async fn unblock(&self, blocker: UserId, blocked: UserId) {
        self.lock().await.blocks.remove(&(blocker, blocked));
    }

    async fn close(&self, conversation: ConversationId) {
        self.lock().await.conversations.get_mut(&conversation).unwrap().closed = true;
    }

    async fn leisure(&self, members: &[UserId]) -> ConversationId {
        self.conversation(members).await
    }

    async fn hide_receipts(&self, _: ConversationId) {
        panic!("it shows no receipts")
    }

    async fn notes(&self, _: ConversationId) -> Vec<(String, Option<MessageId>)> {
        panic!("it notes no changes")
    }

    async fn events(&self) -> Vec<Event> {
        self.lock().await.events.clone()
    }

    async fn flags(&self) -> Vec<(ReportId, MessageId)> {
        self.lock().await.flags.clone()
    }
}
