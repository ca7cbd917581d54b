//! A store in memory: proof that the suite can pass.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard};

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Event, SystemIds};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Fixture, World};
use crate::{
    Audience, Conversation, ConversationStore, Created, Error, Facts, IdempotencyKey, Kind, ListQuery,
    NewConversation, Participant, ParticipantRole, StoredConversation,
};

pub(crate) fn fixture() -> Fixture {
    let memory = Arc::new(Memory::default());
    Fixture { store: memory.clone(), world: memory }
}

#[derive(Default)]
struct Memory(Mutex<State>);

/// A conversation, and the key and fingerprint it was made under.
type Row = (StoredConversation, Option<(IdempotencyKey, [u8; 16])>);

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    events: Vec<Event>,
    /// Everyone who was ever removed, and from where.
    removed: Vec<(ConversationId, UserId)>,
}

impl Memory {
    /// Others get their turn first, as with a real store.
    async fn lock(&self) -> MutexGuard<'_, State> {
        tokio::task::yield_now().await;
        self.0.lock().unwrap()
    }
}

impl State {
    fn all(&mut self) -> impl Iterator<Item = &mut Conversation> {
        self.rows.iter_mut().map(|(stored, _)| &mut stored.conversation)
    }

    fn at_version(&mut self, id: ConversationId, version: i64) -> Result<&mut Conversation, Error> {
        self.all().find(|c| c.id == id && c.members_version == version).ok_or(Error::Stale)
    }
}

#[async_trait]
impl ConversationStore for Memory {
    async fn create(&self, new: &NewConversation, event: Event) -> Result<Created, Error> {
        let mut state = self.lock().await;
        if let Some((key, fingerprint)) = &new.idempotency {
            let same_key = state.rows.iter().find_map(|(stored, idempotency)| {
                let (stored_key, stored_fingerprint) = idempotency.as_ref()?;
                let same = stored.conversation.created_by == new.created_by && stored_key == key;
                same.then_some((stored.conversation.id, *stored_fingerprint))
            });
            if let Some((id, stored)) = same_key {
                return if stored == *fingerprint { Ok(Created::Repeat(id)) } else { Err(Error::KeyReused) };
            }
        }
        let is_theirs = |c: &&mut Conversation| {
            c.kind == Kind::Direct && new.participants.iter().all(|(user, _)| c.participant(*user).is_some())
        };
        if new.kind == Kind::Direct
            && let Some(existing) = state.all().find(is_theirs)
        {
            return Ok(Created::DirectExists(existing.id));
        }
        let participants = new.participants.iter().map(|(user_id, role)| Participant {
            user_id: *user_id,
            role: *role,
            joined_at: new.created_at,
            joined_seq: 1,
        });
        let conversation = Conversation {
            id: new.id,
            number: i64::try_from(state.rows.len()).unwrap(),
            kind: new.kind,
            purpose: new.purpose,
            settings: new.settings,
            title: None,
            description: None,
            participants: participants.collect(),
            created_by: new.created_by,
            created_at: new.created_at,
            updated_at: new.created_at,
            is_active: true,
            last_seq: 0,
            message_count: 0,
            members_version: 1,
        };
        let (title, description) = (new.title.clone(), new.description.clone());
        state.rows.push((StoredConversation { conversation, title, description }, new.idempotency.clone()));
        state.events.push(event);
        Ok(Created::New)
    }

    async fn find(&self, viewer: UserId, id: ConversationId) -> Result<Option<StoredConversation>, Error> {
        let state = self.lock().await;
        let mut all = state.rows.iter().map(|(stored, _)| stored);
        Ok(all.find(|s| s.conversation.id == id && s.conversation.participant(viewer).is_some()).cloned())
    }

    async fn list(&self, viewer: UserId, query: &ListQuery) -> Result<Vec<StoredConversation>, Error> {
        let state = self.lock().await;
        let key = |c: &Conversation| (Reverse(c.updated_at), Reverse(c.id));
        let mut rows: Vec<_> = state
            .rows
            .iter()
            .map(|(stored, _)| stored)
            .filter(|s| s.conversation.participant(viewer).is_some())
            .filter(|s| query.kind.is_none_or(|kind| s.conversation.kind == kind))
            .filter(|s| {
                query.after.is_none_or(|a| key(&s.conversation) > (Reverse(a.updated_at), Reverse(a.id)))
            })
            .cloned()
            .collect();
        rows.sort_by_key(|s| key(&s.conversation));
        let limit = usize::try_from(query.size.get()).unwrap() + 1;
        Ok(rows.into_iter().skip(usize::try_from(query.offset).unwrap()).take(limit).collect())
    }

    async fn add(
        &self,
        id: ConversationId,
        members_version: i64,
        user_id: UserId,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        let mut state = self.lock().await;
        let conversation = state.at_version(id, members_version)?;
        if conversation.participant(user_id).is_some() {
            return Ok(());
        }
        let joined_seq = conversation.last_seq + 1;
        let role = ParticipantRole::Member;
        conversation.participants.push(Participant { user_id, role, joined_at: now, joined_seq });
        conversation.members_version += 1;
        conversation.updated_at = now;
        state.events.push(event);
        Ok(())
    }

    async fn remove(
        &self,
        id: ConversationId,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        let mut state = self.lock().await;
        let conversation = state.at_version(id, members_version)?;
        conversation.participants.retain(|p| p.user_id != user);
        conversation.members_version += 1;
        conversation.updated_at = now;
        state.events.push(event);
        state.removed.push((id, user));
        Ok(())
    }

    async fn facts(&self, id: ConversationId) -> Result<Option<Facts>, Error> {
        let state = self.lock().await;
        let found = state.rows.iter().map(|(stored, _)| &stored.conversation).find(|c| c.id == id);
        Ok(found.map(|c| Facts { kind: c.kind, purpose: c.purpose, settings: c.settings }))
    }

    async fn audience(&self, id: ConversationId) -> Result<Option<Audience>, Error> {
        let mut state = self.lock().await;
        Ok(state.all().find(|c| c.id == id).map(|c| Audience {
            members_version: c.members_version,
            members: c.participants.iter().map(|p| p.user_id).collect(),
        }))
    }

    async fn former(&self, id: ConversationId) -> Result<Vec<UserId>, Error> {
        let mut state = self.lock().await;
        let present: Vec<_> =
            state.all().filter(|c| c.id == id).flat_map(|c| &c.participants).map(|p| p.user_id).collect();
        let removed = state.removed.iter().filter(|(from, user)| *from == id && !present.contains(user));
        let mut former: Vec<_> = removed.map(|(_, user)| *user).collect();
        former.sort_unstable();
        former.dedup();
        Ok(former)
    }
}

#[async_trait]
impl World for Memory {
    async fn user(&self) -> UserId {
        UserId::generate(&SystemIds)
    }

    async fn message(&self, conversation: ConversationId, _: UserId, at: DateTime<Utc>) {
        let mut state = self.lock().await;
        let conversation = state.all().find(|c| c.id == conversation).unwrap();
        conversation.last_seq += 1;
        conversation.message_count += 1;
        conversation.updated_at = at;
    }

    async fn events(&self) -> Vec<Event> {
        self.lock().await.events.clone()
    }
}
