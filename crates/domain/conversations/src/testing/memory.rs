//! A store in memory: proof that the suite can pass.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{AuditEntry, Effects, Event, SystemIds};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Fixture, World};
use crate::{
    Audience, Change, Closed, Conversation, ConversationStore, Created, Error, Facts, IdempotencyKey, Inbox,
    InboxFilter, InboxPage, InvitationLink, Kind, LinkStore, Mute, NewConversation, NewDetails, Ordering,
    Participant, ParticipantRole, Personal, PersonalChange, Progress, StoredConversation, StoredLine,
    StoredTitle, TokenHash, Unread, Versions,
};

pub(crate) fn fixture() -> Fixture {
    let memory = Arc::new(Memory::default());
    Fixture { store: memory.clone(), inbox: memory.clone(), links: memory.clone(), world: memory }
}

#[derive(Default)]
struct Memory(Mutex<State>);

/// A conversation, and the key and fingerprint it was made under.
type Row = (StoredConversation, Option<(IdempotencyKey, [u8; 16])>);

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    events: Vec<Event>,
    audit: Vec<AuditEntry>,
    /// Everyone who was ever removed, and from where.
    removed: Vec<(ConversationId, UserId)>,
    kept: HashMap<(ConversationId, UserId), Personal>,
    tags: HashMap<ConversationId, Vec<[u8; 16]>>,
    said: Vec<(ConversationId, i64, UserId)>,
    links: Vec<(InvitationLink, TokenHash)>,
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

    fn seen_by(&self, viewer: UserId, stored: &StoredConversation) -> StoredConversation {
        let mut stored = stored.clone();
        stored.conversation.mine =
            self.kept.get(&(stored.conversation.id, viewer)).copied().unwrap_or_default();
        stored
    }

    /// Messages by others that `viewer` has not read: all since they came, as nobody reads here.
    fn unread(&self, viewer: UserId, conversation: &Conversation) -> i64 {
        let from = conversation.participant(viewer).map_or(i64::MAX, |p| p.joined_seq);
        let others =
            self.said.iter().filter(|(id, seq, by)| *id == conversation.id && *seq >= from && *by != viewer);
        i64::try_from(others.count()).unwrap()
    }

    /// Those of `viewer` that pass `filter`; of the types of other people's accounts nothing is known here.
    fn filtered(&self, viewer: UserId, filter: &InboxFilter) -> Vec<StoredConversation> {
        let passes = |s: &StoredConversation| {
            let c = &s.conversation;
            let tags = &self.tags[&c.id];
            c.participant(viewer).is_some()
                && filter.kind.is_none_or(|kind| c.kind == kind)
                && filter.purpose.is_none_or(|purpose| c.purpose == purpose)
                && filter.with_user.is_none_or(|user| c.participant(user).is_some())
                && filter.has_unread.is_none_or(|has| (self.unread(viewer, c) > 0) == has)
                && filter.updated_since.is_none_or(|since| c.updated_at >= since)
                && (filter.include_archived || c.mine.archived_at.is_none())
                && filter.related_appointment.is_none_or(|id| c.metadata.related_appointment_id == Some(id))
                && filter.tags.iter().all(|tag| tags.contains(tag))
                && filter.number.is_none_or(|number| c.number == number)
                && filter.among.as_ref().is_none_or(|ids| ids.contains(&c.id))
        };
        let rows = self.rows.iter().map(|(stored, _)| self.seen_by(viewer, stored));
        rows.filter(passes).collect()
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
            metadata: new.metadata.clone(),
            participants: participants.collect(),
            created_by: new.created_by,
            created_at: new.created_at,
            updated_at: new.created_at,
            is_active: true,
            expires_at: new.expires_at,
            closed: None,
            mine: Personal::default(),
            last_seq: 0,
            message_count: 0,
            members_version: 1,
            details_version: 1,
        };
        let stored = StoredConversation {
            conversation,
            title: new.title.clone(),
            description: new.description.clone(),
            labels: new.labels.sealed.clone(),
            closed_reason: None,
        };
        if !new.notifies_creator {
            let mute = Some(Mute { since: new.created_at, until: None });
            state.kept.insert((new.id, new.created_by), Personal { mute, ..Personal::default() });
        }
        state.tags.insert(new.id, new.labels.tags.clone());
        state.rows.push((stored, new.idempotency.clone()));
        state.events.push(event);
        Ok(Created::New)
    }

    async fn find(&self, viewer: UserId, id: ConversationId) -> Result<Option<StoredConversation>, Error> {
        let state = self.lock().await;
        let is_it =
            |s: &&StoredConversation| s.conversation.id == id && s.conversation.participant(viewer).is_some();
        Ok(state
            .rows
            .iter()
            .map(|(stored, _)| stored)
            .find(is_it)
            .map(|stored| state.seen_by(viewer, stored)))
    }

    async fn look(&self, id: ConversationId) -> Result<Option<StoredConversation>, Error> {
        let state = self.lock().await;
        Ok(state.rows.iter().map(|(stored, _)| stored).find(|s| s.conversation.id == id).cloned())
    }

    async fn change(
        &self,
        id: ConversationId,
        versions: Versions,
        by: UserId,
        change: &Change,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        let mut state = self.lock().await;
        let found = state.rows.iter_mut().map(|(stored, _)| stored).find(|s| s.conversation.id == id);
        let stored = found.filter(|s| s.conversation.versions() == versions).ok_or(Error::Stale)?;
        let conversation = &mut stored.conversation;
        conversation.updated_at = conversation.updated_at.max(now);
        conversation.details_version += 1;
        let mut muted = None;
        match change {
            Change::Details(details, notifies) => {
                let NewDetails { title, description, settings, metadata, labels, expires_at } = &**details;
                (conversation.settings, conversation.metadata) = (*settings, metadata.clone());
                conversation.expires_at = *expires_at;
                stored.title.clone_from(title);
                stored.description.clone_from(description);
                stored.labels.clone_from(&labels.sealed);
                muted = notifies.map(|on| !on);
                let tags = labels.tags.clone();
                state.tags.insert(id, tags);
            }
            Change::Close(reason) => {
                conversation.is_active = false;
                conversation.closed = Some(Closed { at: now, by, reason: None });
                stored.closed_reason.clone_from(reason);
            }
            Change::Reopen => {
                conversation.is_active = true;
                conversation.closed = None;
                stored.closed_reason = None;
            }
            Change::Role(user, role) => {
                conversation.details_version -= 1;
                conversation.members_version += 1;
                for participant in conversation.participants.iter_mut().filter(|p| p.user_id == *user) {
                    participant.role = *role;
                }
            }
        }
        if let Some(muted) = muted {
            let change = if muted { PersonalChange::Mute(None) } else { PersonalChange::Unmute };
            let kept = state.kept.entry((id, by)).or_default();
            *kept = change.apply(*kept, now);
        }
        state.events.push(event);
        Ok(())
    }

    async fn keep(
        &self,
        id: ConversationId,
        user: UserId,
        change: PersonalChange,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<bool, Error> {
        let mut state = self.lock().await;
        if !state.all().any(|c| c.id == id && c.participant(user).is_some()) {
            return Ok(false);
        }
        let kept = state.kept.entry((id, user)).or_default();
        *kept = change.apply(*kept, now);
        state.events.push(event);
        Ok(true)
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
        state.kept.remove(&(id, user));
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

    async fn message(&self, id: ConversationId, sender: UserId, at: DateTime<Utc>) {
        let mut state = self.lock().await;
        let conversation = state.all().find(|c| c.id == id).unwrap();
        conversation.last_seq += 1;
        conversation.message_count += 1;
        conversation.updated_at = at;
        let seq = conversation.last_seq;
        state.said.push((id, seq, sender));
    }

    async fn events(&self) -> Vec<Event> {
        self.lock().await.events.clone()
    }

    async fn audited(&self) -> Vec<String> {
        self.lock().await.audit.iter().map(|entry| entry.action.to_owned()).collect()
    }
}

#[async_trait]
impl Inbox<()> for Memory {
    async fn page(&self, viewer: UserId, page: &InboxPage) -> Result<Vec<StoredLine<()>>, Error> {
        let state = self.lock().await;
        let mut rows = state.filtered(viewer, &page.filter);
        let key = |pinned: bool, at: DateTime<Utc>, id: ConversationId| {
            let micros = at.timestamp_micros();
            match page.ordering {
                Ordering::PinnedThenUpdated => (!pinned, -micros, Some(Reverse(id)), None),
                Ordering::CreatedDescending => (false, -micros, Some(Reverse(id)), None),
                Ordering::Updated | Ordering::Created => (false, micros, None, Some(id)),
            }
        };
        let of = |s: &StoredConversation| {
            let c = &s.conversation;
            let at = match page.ordering {
                Ordering::PinnedThenUpdated | Ordering::Updated => c.updated_at,
                Ordering::Created | Ordering::CreatedDescending => c.created_at,
            };
            key(c.mine.pinned_at.is_some(), at, c.id)
        };
        rows.sort_by_key(of);
        rows.retain(|s| page.after.is_none_or(|after| of(s) > key(after.is_pinned, after.at, after.id)));
        let limit = usize::try_from(page.size.get()).unwrap() + 1;
        let rows = rows.into_iter().skip(usize::try_from(page.offset).unwrap()).take(limit);
        let line = |stored: StoredConversation| {
            let c = &stored.conversation;
            let from = c.participant(viewer).unwrap().joined_seq;
            let progress = c.participants.iter().map(|p| {
                let up_to = p.joined_seq - 1;
                Progress { user_id: p.user_id, delivered_up_to: up_to, read_up_to: up_to }
            });
            StoredLine {
                unread: state.unread(viewer, c),
                progress: progress.collect(),
                last: (c.last_seq >= from).then_some(()),
                stored,
            }
        };
        Ok(rows.map(line).collect())
    }

    async fn titles(
        &self,
        viewer: UserId,
        filter: &InboxFilter,
        limit: i64,
    ) -> Result<Vec<StoredTitle>, Error> {
        let state = self.lock().await;
        let mut rows = state.filtered(viewer, filter);
        rows.sort_by_key(|s| Reverse((s.conversation.updated_at, s.conversation.id)));
        let title = |stored: StoredConversation| {
            let others =
                stored.conversation.participants.iter().map(|p| p.user_id).filter(|id| *id != viewer);
            let named = if stored.title.is_none() { 2 } else { 0 };
            StoredTitle {
                id: stored.conversation.id,
                others: others.take(named).collect(),
                title: stored.title,
            }
        };
        Ok(rows.into_iter().take(usize::try_from(limit).unwrap()).map(title).collect())
    }

    async fn unread(&self, viewer: UserId) -> Result<Vec<Unread>, Error> {
        let state = self.lock().await;
        let mut rows =
            state.filtered(viewer, &InboxFilter { include_archived: true, ..InboxFilter::default() });
        rows.sort_by_key(|s| Reverse((s.conversation.updated_at, s.conversation.id)));
        let unread = rows.iter().map(|s| Unread {
            conversation_id: s.conversation.id,
            messages: state.unread(viewer, &s.conversation),
        });
        Ok(unread.filter(|unread| unread.messages > 0).collect())
    }
}

#[async_trait]
impl LinkStore for Memory {
    async fn issue(&self, link: &InvitationLink, hash: &TokenHash, effects: Effects) -> Result<(), Error> {
        let mut state = self.lock().await;
        state.links.push((link.clone(), *hash));
        state.audit.extend(effects.audit);
        Ok(())
    }

    async fn of(&self, conversation: ConversationId) -> Result<Vec<InvitationLink>, Error> {
        let state = self.lock().await;
        let links = state.links.iter().rev().map(|(link, _)| link);
        Ok(links.filter(|link| link.conversation_id == conversation).cloned().collect())
    }

    async fn by_hash(&self, hash: &TokenHash) -> Result<Option<InvitationLink>, Error> {
        let state = self.lock().await;
        Ok(state.links.iter().find(|(_, other)| other == hash).map(|(link, _)| link.clone()))
    }

    async fn revoke(
        &self,
        conversation: ConversationId,
        id: alivio_kernel::ids::InvitationLinkId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let mut state = self.lock().await;
        let mut links = state.links.iter_mut().map(|(link, _)| link);
        let link = links.find(|link| link.id == id && link.conversation_id == conversation);
        let Some(link) = link else { return Ok(false) };
        if link.revoked_at.is_none() {
            link.revoked_at = Some(now);
            state.audit.extend(effects.audit);
        }
        Ok(true)
    }

    async fn admit(
        &self,
        link: &InvitationLink,
        members_version: i64,
        user_id: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let mut state = self.lock().await;
        let id = link.conversation_id;
        if state.all().any(|c| c.id == id && c.participant(user_id).is_some()) {
            return Ok(());
        }
        if !state.links.iter().any(|(other, _)| other.id == link.id && other.is_good(now)) {
            return Err(Error::NotFound);
        }
        let conversation = state.at_version(id, members_version)?;
        let joined_seq = conversation.last_seq + 1;
        let role = ParticipantRole::Member;
        conversation.participants.push(Participant { user_id, role, joined_at: now, joined_seq });
        conversation.members_version += 1;
        conversation.updated_at = now;
        for (used, _) in state.links.iter_mut().filter(|(other, _)| other.id == link.id) {
            used.uses += 1;
        }
        state.events.extend(effects.events);
        state.audit.extend(effects.audit);
        Ok(())
    }
}
